"""Changes: what one step does to a machine, in lines."""

from __future__ import annotations

from minidocker.kernel.flags import Clone
from minidocker.simulator.changes import describe_changes
from minidocker.simulator.processes import fork, set_hostname, unshare
from tests.unit.simulator.small import start, tmpfs


def test_nothing_done_is_nothing_changed() -> None:
    """Two equal states differ in no line."""
    linux, pid = start()
    assert describe_changes(linux, linux, pid) == []


def test_each_fact_is_one_line() -> None:
    """Another value, a mount more, a process more."""
    linux, pid = start()
    assert describe_changes(linux, set_hostname(linux, pid, "box"), pid) == ["~ hostname: host -> box"]
    mounted = tmpfs(linux, pid, "/a")
    assert describe_changes(linux, mounted, pid) == ["+ mount /a: tmpfs rw,relatime"]
    assert describe_changes(mounted, tmpfs(mounted, pid, "/b"), pid) == ["+ mount /b: tmpfs rw,relatime"]
    after, child = fork(unshare(linux, pid, Clone.NEWPID), pid)
    assert describe_changes(linux, after, child)[0].endswith(f"1 in pid namespace [{after.processes[child].numbers[-1][0]}]")
