"""Processes and namespaces: the oddities of each kind."""

from __future__ import annotations

import errno
from dataclasses import replace

import pytest

from minidocker.kernel.flags import Clone, Rlimit
from minidocker.simulator.linux import Linux, Process, Uts
from minidocker.simulator.processes import end_process, fork, read_sysctls, set_hostname, set_oom_score, set_rlimit, setns, unshare, write_sysctl
from minidocker.simulator.views import render_status
from tests.unit.simulator.small import points, start, tmpfs


def status(linux: Linux, pid: int, field: str) -> str:
    """Return one line of `/proc/PID/status`."""
    return dict(line.split(":\t", 1) for line in render_status(linux, pid).splitlines())[field]


def test_unshared_pid_namespace_is_for_the_children() -> None:
    """unshare(2): a process never changes its number; its next child is process 1."""
    linux, pid = start()
    linux = unshare(linux, pid, Clone.NEWPID)
    assert status(linux, pid, "NSpid") == str(pid)
    linux, first = fork(linux, pid)
    linux, second = fork(linux, first)
    assert (status(linux, first, "NSpid"), status(linux, second, "NSpid")) == ("1", "2")
    assert status(linux, first, "PPid") == "0", "the parent exists, but has no number in there"
    assert linux.processes[first].numbers[0][1] == first, "outside it has an ordinary number as well"


def test_second_pid_namespace_in_a_row_is_refused() -> None:
    """pid_namespaces(7): EINVAL; the first one has not been used yet."""
    linux, pid = start()
    with pytest.raises(OSError, match="chosen already") as caught:
        unshare(unshare(linux, pid, Clone.NEWPID), pid, Clone.NEWPID)
    assert caught.value.errno == errno.EINVAL


def test_end_of_process_one_is_the_end_of_its_namespace() -> None:
    """Everybody in there is killed, and nobody can be born there again: that is how a container ends."""
    linux, pid = start()
    linux = unshare(linux, pid, Clone.NEWPID)
    linux, first = fork(linux, pid)
    linux, grandchild = fork(linux, first)
    linux = end_process(linux, first)
    assert set(linux.processes) == {pid}
    assert grandchild not in linux.processes
    with pytest.raises(OSError) as caught:
        fork(linux, pid)
    assert caught.value.errno == errno.ENOMEM


def test_names_are_copied_and_then_ones_own() -> None:
    """A new UTS namespace starts with the names of the old one."""
    linux, pid = start()
    linux, child = fork(linux, pid)
    linux = unshare(linux, child, Clone.NEWUTS)
    linux = set_hostname(linux, child, "box")
    names = [linux.namespaces[linux.processes[p].namespaces[Clone.NEWUTS]] for p in (pid, child)]
    assert names == [Uts(hostname="host"), Uts(hostname="box")]
    with pytest.raises(OSError, match="64 bytes"):
        set_hostname(linux, child, "x" * 65)


def test_joining_a_mount_namespace_moves_to_its_root() -> None:
    """setns(2): root and working directory become those of the namespace."""
    linux, pid = start()
    linux, child = fork(linux, pid)
    linux = tmpfs(unshare(linux, child, Clone.NEWNS), child, "/a")
    assert "/a" not in points(linux, pid)
    linux = setns(linux, pid, child, Clone.NEWNS)
    assert "/a" in points(linux, pid)
    with pytest.raises(ProcessLookupError):
        setns(linux, pid, 4711, Clone.NEWNS)


def test_parameter_belongs_to_the_namespace_its_name_says() -> None:
    """`net.*` is the network's, `kernel.shm*` the ipc namespace's; anything else is the whole machine's."""
    linux, pid = start()
    linux, child = fork(linux, pid)
    linux = unshare(linux, child, Clone.NEWNET | Clone.NEWIPC)
    for name in ("net.ipv4.ip_forward", "kernel.shmmax", "kernel.panic"):
        linux = write_sysctl(linux, child, name, "7")
    seen = read_sysctls(linux, pid)
    assert [name in seen and seen[name] == "7" for name in ("net.ipv4.ip_forward", "kernel.shmmax", "kernel.panic")] == [False, False, True]
    assert read_sysctls(linux, child)["kernel.shmmax"] == "7"


def without(process: Process, capability: str) -> Process:
    """Return *process* without one capability."""
    who = process.credentials
    return replace(process, credentials=replace(who, effective=who.effective - {capability}))


LIMITS = {
    "soft-above-hard": (Rlimit.NOFILE, 10, 5, errno.EINVAL),
    "unlimited-above-hard": (Rlimit.NOFILE, -1, 5, errno.EINVAL),
    "raised-without-privilege": (Rlimit.NPROC, 10, -1, errno.EPERM),
    "more-files-than-there-can-be": (Rlimit.NOFILE, 10, 2_000_000, errno.EPERM),
}


@pytest.mark.parametrize(("resource", "soft", "hard", "number"), LIMITS.values(), ids=LIMITS)
def test_limit_is_refused(resource: Rlimit, soft: int, hard: int, number: int) -> None:
    """setrlimit(2): lowering is for everybody and for ever, raising takes CAP_SYS_RESOURCE."""
    linux, pid = start()
    linux = linux.with_process(without(linux.processes[pid], "CAP_SYS_RESOURCE"))
    with pytest.raises(OSError) as caught:
        set_rlimit(linux, pid, resource, soft, hard)
    assert caught.value.errno == number


def test_oom_score_goes_up_for_everybody_and_down_for_the_privileged() -> None:
    """proc(5): a process may offer itself, but not hide."""
    linux, pid = start()
    linux = set_oom_score(linux.with_process(without(linux.processes[pid], "CAP_SYS_RESOURCE")), pid, 100)
    with pytest.raises(PermissionError) as caught:
        set_oom_score(linux, pid, 50)
    assert caught.value.errno == errno.EACCES
    with pytest.raises(OSError, match="-1000"):
        set_oom_score(linux, pid, 1001)


def test_user_namespace_gives_every_capability() -> None:
    """user_namespaces(7): inside, one is mighty over what belongs to the new namespace."""
    linux, pid = start()
    process = linux.processes[pid]
    poor = replace(process.credentials, permitted=frozenset(), effective=frozenset())
    linux = linux.with_process(replace(process, credentials=poor))
    with pytest.raises(PermissionError):
        unshare(linux, pid, Clone.NEWUTS)
    linux = unshare(linux, pid, Clone.NEWUSER | Clone.NEWUTS)
    assert "CAP_SYS_ADMIN" in linux.processes[pid].credentials.effective
