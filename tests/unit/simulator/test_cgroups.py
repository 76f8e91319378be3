"""Control groups: what the kernel puts into a new directory, and what it makes of a write."""

from __future__ import annotations

import errno
import posixpath
from dataclasses import replace

import pytest

from minidocker.simulator.cgroups import join_group, make_group, members_of, read_group, write_group_file
from minidocker.simulator.filesystems import group_root
from minidocker.simulator.linux import Linux, Place
from minidocker.simulator.machine import EXAMPLE_FACTS, boot

V1 = replace(
    EXAMPLE_FACTS,
    mountinfo=EXAMPLE_FACTS.mountinfo.replace("cgroup2 cgroup2 rw", "cgroup cgroup rw,memory,cpuset,cpu,devices"), cgroup="3:memory,cpuset,cpu,devices:/\n",
    groups={"/sys/fs/cgroup": {"cpuset.cpus": "0-3", "cpuset.mems": "0", "devices.list": "a *:* rwm", "memory.swappiness": "10"}},
)  # fmt: skip
TREE = "/sys/fs/cgroup"


def group_of(version: int) -> tuple[Linux, int, Place]:
    """Return a machine with a group `/sys/fs/cgroup/g`."""
    linux, pid = boot(V1 if version == 1 else EXAMPLE_FACTS)
    root = linux.processes[pid].root
    return make_group(linux, root, f"{TREE}/g"), pid, root


def files_of(linux: Linux, path: str = "/g") -> dict[str, str]:
    """Return what is in a group."""
    return read_group(next(f for f in linux.file_systems.values() if f.hierarchy >= 0), path)


WRITES = {
    "memory-rounds-to-pages": (1, "memory.limit_in_bytes", "10000", "8192"),
    "memory-unlimited": (1, "memory.limit_in_bytes", "-1", "9223372036854771712"),
    "shares-are-moved-into-their-range": (1, "cpu.shares", "1", "2"),
    "cpus-in-the-kernels-form": (1, "cpuset.cpus", "0,1,2,5", "0-2,5"),
    "memory-v2": (2, "memory.max", "10000", "8192"),
    "no-limit-v2": (2, "memory.max", "max", "max"),
    "two-numbers": (2, "cpu.max", "50000 100000", "50000 100000"),
}


@pytest.mark.parametrize(("version", "file", "value", "expected"), WRITES.values(), ids=WRITES)
def test_file_reads_back_what_the_kernel_made_of_it(version: int, file: str, value: str, expected: str) -> None:
    """What is written is a wish; what is read is the limit that holds."""
    linux, _, root = group_of(version)
    assert files_of(write_group_file(linux, root, f"{TREE}/g/{file}", value))[file] == expected


REFUSED = {
    "memory-above-memory-and-swap": (1, [("memory.limit_in_bytes", "8192"), ("memory.memsw.limit_in_bytes", "4096")], errno.EINVAL),
    "not-a-list": (1, [("cpuset.cpus", "a-b")], errno.EINVAL),
    "weight-out-of-range": (2, [("cpu.weight", "0")], errno.EINVAL),
    "controller-not-handed-down": (2, [("io.weight", "5")], errno.ENOENT),
    "subtree-without-the-controller": (2, [("cgroup.subtree_control", "+io")], errno.ENOENT),
}


@pytest.mark.parametrize(("version", "writes", "number"), REFUSED.values(), ids=REFUSED)
def test_write_is_refused(version: int, writes: list[tuple[str, str]], number: int) -> None:
    """Each is a rule of the controllers' documentation."""
    linux, _, root = group_of(version)
    *before, (file, value) = writes
    for earlier, wanted in before:
        linux = write_group_file(linux, root, f"{TREE}/g/{earlier}", wanted)
    with pytest.raises(OSError) as caught:
        write_group_file(linux, root, f"{TREE}/g/{file}", value)
    assert caught.value.errno == number


def test_v1_cpuset_wants_processors_before_processes() -> None:
    """cgroups(7): ENOSPC; this is why `MakeCgroup` has *inherit*."""
    linux, pid, root = group_of(1)
    linux = write_group_file(linux, root, f"{TREE}/g/cpuset.cpus", "0")
    with pytest.raises(OSError, match="cpuset") as caught:
        join_group(linux, pid, root, f"{TREE}/g")
    assert caught.value.errno == errno.ENOSPC
    linux = join_group(write_group_file(linux, root, f"{TREE}/g/cpuset.mems", "0"), pid, root, f"{TREE}/g")
    assert linux.processes[pid].groups[3] == "/g"


def test_v2_group_has_processes_or_children_with_controllers() -> None:
    """The rule of no internal processes, from both sides: EBUSY."""
    linux, pid, root = group_of(2)
    handing = write_group_file(linux, root, f"{TREE}/g/cgroup.subtree_control", "+memory")
    joined = join_group(linux, pid, root, f"{TREE}/g")
    with pytest.raises(OSError, match="internal") as joining:
        join_group(handing, pid, root, f"{TREE}/g")
    with pytest.raises(OSError, match="internal") as handing_down:
        write_group_file(joined, root, f"{TREE}/g/cgroup.subtree_control", "+memory")
    assert (joining.value.errno, handing_down.value.errno) == (errno.EBUSY, errno.EBUSY)


def test_v2_child_has_what_the_parent_hands_down() -> None:
    """Delegation: `cgroup.subtree_control` of the parent is `cgroup.controllers` of the child."""
    linux, _, root = group_of(2)
    linux = write_group_file(linux, root, f"{TREE}/g/cgroup.subtree_control", "+pids")
    linux = make_group(linux, root, f"{TREE}/g/below")
    assert files_of(linux, "/g/below").keys() == {"cgroup.procs", "cgroup.controllers", "cgroup.subtree_control", "pids.max"}
    with pytest.raises(FileExistsError):
        make_group(linux, root, f"{TREE}/g")


def test_device_rules_add_up() -> None:
    """v1: deny everything, then allow line by line; what is allowed twice is one line."""
    linux, _, root = group_of(1)
    for file, value in (("deny", "a"), ("allow", "c 1:3 r"), ("allow", "c *:* m"), ("allow", "c 1:3 wm"), ("deny", "c 1:3 m")):
        linux = write_group_file(linux, root, f"{TREE}/g/devices.{file}", value)
    assert files_of(linux)["devices.list"] == "c 1:3 rw\nc *:* m"


def test_new_v1_group_inherits_little() -> None:
    """Limits start open; devices and swappiness are the parent's."""
    linux, pid, _ = group_of(1)
    files = files_of(linux)
    assert (files["devices.list"], files["memory.swappiness"], files["cpuset.cpus"]) == ("a *:* rwm", "10", "")
    tree = next(f for f in linux.file_systems.values() if f.hierarchy == 3)
    assert members_of(linux, tree, "/") == (pid,)
    assert posixpath.isabs(group_root(linux, pid, tree))
