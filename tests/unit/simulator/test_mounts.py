"""The mount table: mount, umount, pivot_root, and the mistakes that the kernel does not allow."""

from __future__ import annotations

import errno
from collections.abc import Callable
from dataclasses import replace

import pytest

from minidocker.kernel.flags import Clone, Mnt, Ms
from minidocker.simulator.files import exists, resolve
from minidocker.simulator.linux import Linux
from minidocker.simulator.mounts import mount, pivot_root, umount
from minidocker.simulator.processes import fork, unshare
from minidocker.simulator.views import list_mounts
from tests.unit.simulator.small import bind, change, points, start, tmpfs


def options_at(linux: Linux, pid: int, path: str) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Return the options of the uppermost mount at *path*, and those of its file system."""
    info = [m for m in list_mounts(linux, pid) if m.mount_point == path][-1]
    return info.options, info.super_options


def test_bind_ignores_every_flag_but_recursion() -> None:
    """mount(2): "the remaining bits in mountflags are also ignored". Read-only takes a second call."""
    linux, pid = start()
    first = mount(linux, pid, source="/a", target="/b", flags=Ms.BIND | Ms.RDONLY)
    assert options_at(first, pid, "/b")[0] == ("rw", "relatime")
    second = mount(first, pid, source="", target="/b", flags=Ms.BIND | Ms.REMOUNT | Ms.RDONLY)
    assert options_at(second, pid, "/b") == (("ro", "relatime"), ("rw",))


def test_remount_without_bind_changes_the_file_system_for_everybody() -> None:
    """MS_REMOUNT alone is the whole file system; with MS_BIND it is this one mount."""
    linux, pid = start()
    linux = bind(tmpfs(linux, pid, "/a"), pid, "/a", "/b")
    linux = mount(linux, pid, source="", target="/a", flags=Ms.REMOUNT | Ms.RDONLY)
    assert options_at(linux, pid, "/b") == (("rw", "relatime"), ("ro",))


def test_access_times_survive_a_remount_that_does_not_name_them() -> None:
    """mount(2): if no flag of access times is given, the remount keeps what there was."""
    linux, pid = start()
    linux = mount(linux, pid, source="tmpfs", target="/a", fstype="tmpfs", flags=Ms.NOATIME)
    linux = mount(linux, pid, source="", target="/a", flags=Ms.REMOUNT | Ms.BIND | Ms.NOSUID)
    assert options_at(linux, pid, "/a")[0] == ("rw", "nosuid", "noatime")


def test_plain_bind_leaves_what_is_mounted_inside_behind() -> None:
    """MS_REC takes the mounts below along; without it their mount points are empty directories."""
    linux, pid = start()
    linux = tmpfs(tmpfs(linux, pid, "/a", "x"), pid, "/a/x")
    assert points(bind(linux, pid, "/a", "/b"), pid) == ["/a", "/a/x", "/b"]
    assert points(bind(linux, pid, "/a", "/b", recursive=True), pid) == ["/a", "/a/x", "/b", "/b/x"]


def test_unmounted_directory_is_busy_until_detached() -> None:
    """umount2(2): EBUSY while something lies in it; MNT_DETACH takes the whole tree."""
    linux, pid = start()
    linux = tmpfs(tmpfs(linux, pid, "/a", "x"), pid, "/a/x")
    with pytest.raises(OSError, match="something is mounted") as caught:
        umount(linux, pid, "/a")
    assert caught.value.errno == errno.EBUSY
    assert points(umount(linux, pid, "/a", flags=Mnt.DETACH), pid) == []


REFUSED: dict[str, tuple[Callable[[Linux, int], Linux], int]] = {
    "missing-target": (lambda linux, pid: tmpfs(linux, pid, "/nowhere"), errno.ENOENT),
    "unknown-file-system": (lambda linux, pid: mount(linux, pid, source="x", target="/a", fstype="floppyfs"), errno.ENODEV),
    "unknown-option": (lambda linux, pid: mount(linux, pid, source="x", target="/a", fstype="tmpfs", data="color=red"), errno.EINVAL),
    "directory-on-a-file": (lambda linux, pid: bind(linux, pid, "/a", "/proc/kcore"), errno.ENOTDIR),
    "two-kinds-of-propagation": (lambda linux, pid: change(linux, pid, "/", Ms.SHARED | Ms.SLAVE), errno.EINVAL),
    "propagation-of-no-mount": (lambda linux, pid: change(linux, pid, "/a", Ms.SHARED), errno.EINVAL),
    "unbindable-source": (lambda linux, pid: bind(change(tmpfs(linux, pid, "/a"), pid, "/a", Ms.UNBINDABLE), pid, "/a", "/b"), errno.EINVAL),
    "nothing-mounted": (lambda linux, pid: umount(linux, pid, "/a"), errno.EINVAL),
    "remount-of-no-mount": (lambda linux, pid: mount(linux, pid, source="", target="/a", flags=Ms.REMOUNT | Ms.BIND), errno.EINVAL),
}


@pytest.mark.parametrize(("call", "number"), REFUSED.values(), ids=REFUSED)
def test_mistake_is_refused_with_the_kernels_error(call: Callable[[Linux, int], Linux], number: int) -> None:
    """Each line is an entry under ERRORS of mount(2) or umount2(2)."""
    linux, pid = start()
    with pytest.raises(OSError) as caught:
        call(linux, pid)
    assert caught.value.errno == number


def test_nothing_can_be_mounted_without_the_privilege() -> None:
    """CAP_SYS_ADMIN: this is what a container's root lacks, and why it cannot take the masks off."""
    linux, pid = start()
    process = linux.processes[pid]
    linux = linux.with_process(replace(process, credentials=replace(process.credentials, effective=frozenset())))
    with pytest.raises(PermissionError):
        tmpfs(linux, pid, "/a")
    with pytest.raises(PermissionError):
        umount(linux, pid, "/proc")
    with pytest.raises(PermissionError):
        pivot_root(linux, pid, "/", "/")


def in_namespace() -> tuple[Linux, int, int]:
    """Return a machine, a process outside, and one in a mount namespace of its own that has prepared `/new`."""
    linux, outside = start()
    linux, inside = fork(linux, outside)
    linux = unshare(linux, inside, Clone.NEWNS)
    return tmpfs(linux, inside, "/new", "old", "bin"), outside, inside


def test_pivot_root_leaves_no_way_back() -> None:
    """After the old root is taken off, no path of the process leads to the host's files, and the host sees no change."""
    linux, outside, inside = in_namespace()
    linux = pivot_root(linux, inside, "/new", "/new/old")
    root = linux.processes[inside].root
    assert exists(linux, root, "/old/a")
    linux = umount(linux, inside, "/old", flags=Mnt.DETACH)
    assert not exists(linux, root, "/old/a")
    assert resolve(linux, root, "/../../..") == root
    assert [m.mount_point for m in list_mounts(linux, inside)] == ["/"]
    assert exists(linux, linux.processes[outside].root, "/a")


PRECONDITIONS: dict[str, tuple[Callable[[Linux, int], Linux], str, str, int]] = {
    "new-root-is-a-directory-of-the-old": (lambda linux, pid: linux, "/a", "/a/x", errno.EBUSY),
    "new-root-is-no-mount-point": (lambda linux, pid: linux, "/new/bin", "/new/bin", errno.EINVAL),
    "place-for-the-old-is-elsewhere": (lambda linux, pid: tmpfs(linux, pid, "/a", "x"), "/new", "/a/x", errno.EINVAL),
    "parent-is-shared": (lambda linux, pid: change(linux, pid, "/", Ms.SHARED), "/new", "/new/old", errno.EINVAL),
    "new-root-is-shared": (lambda linux, pid: change(linux, pid, "/new", Ms.SHARED), "/new", "/new/old", errno.EINVAL),
    "not-a-directory": (lambda linux, pid: linux, "/proc/kcore", "/new/old", errno.ENOTDIR),
    "missing": (lambda linux, pid: linux, "/new", "/new/nothing", errno.ENOENT),
}


@pytest.mark.parametrize(("prepare", "new", "old", "number"), PRECONDITIONS.values(), ids=PRECONDITIONS)
def test_pivot_root_has_preconditions(prepare: Callable[[Linux, int], Linux], new: str, old: str, number: int) -> None:
    """pivot_root(2) lists them; each protects somebody: peers from a move, the old root from being lost."""
    linux, _, inside = in_namespace()
    linux = prepare(linux, inside)
    with pytest.raises(OSError) as caught:
        pivot_root(linux, inside, new, old)
    assert caught.value.errno == number


def test_pivot_root_moves_the_other_processes_of_the_namespace() -> None:
    """Whoever had the old root has the new one: otherwise a neighbour would keep the old tree alive."""
    linux, outside, inside = in_namespace()
    linux, neighbour = fork(linux, inside)
    linux = pivot_root(linux, inside, "/new", "/new/old")
    assert linux.processes[neighbour].root == linux.processes[inside].root
    assert linux.processes[outside].root != linux.processes[inside].root


def test_new_namespace_is_a_copy_and_then_a_stranger() -> None:
    """CLONE_NEWNS copies the whole table; what is mounted afterwards shows on one side only."""
    linux, outside, inside = in_namespace()
    assert "/new" in points(linux, inside)
    assert "/new" not in points(linux, outside)
    assert {m.mount_point for m in list_mounts(linux, outside)} < {m.mount_point for m in list_mounts(linux, inside)}
