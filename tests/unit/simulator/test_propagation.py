"""Propagation: who receives a mount, and who does not."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from minidocker.kernel.flags import Clone, Mnt, Ms
from minidocker.simulator.linux import Linux
from minidocker.simulator.mounts import umount
from minidocker.simulator.processes import fork, unshare
from minidocker.simulator.views import list_mounts
from tests.unit.simulator.small import bind, change, points, start, tmpfs

KINDS = {
    "shared-and-its-peer": (Ms(0), True, True, "peers tell each other everything"),
    "private": (Ms.PRIVATE, False, False, "tells nobody and hears nothing"),
    "slave": (Ms.SLAVE, True, False, "hears, but tells nothing"),
    "unbindable": (Ms.UNBINDABLE, False, False, "private, and may not be copied"),
}


def _pair(kind: Ms) -> tuple[Linux, int]:
    """Return a machine where `/a` is shared and `/b` is a copy of it, changed to *kind*."""
    linux, pid = start()
    linux = change(tmpfs(linux, pid, "/a", "x"), pid, "/a", Ms.SHARED)
    linux = bind(linux, pid, "/a", "/b")
    return (change(linux, pid, "/b", kind) if kind else linux), pid


@pytest.mark.parametrize(("kind", "hears", "tells", "why"), KINDS.values(), ids=KINDS)
def test_kind_decides_who_receives(kind: Ms, hears: bool, tells: bool, why: str) -> None:
    """mount_namespaces(7): a copy of a shared mount is its peer until it is told otherwise."""
    linux, pid = _pair(kind)
    assert ("/b/x" in points(tmpfs(linux, pid, "/a/x"), pid)) is hears, why
    assert ("/a/x" in points(tmpfs(linux, pid, "/b/x"), pid)) is tells, why


def test_slave_of_a_slave_hears_the_first_master() -> None:
    """A mount can be slave and shared at once: it passes on what it hears."""
    linux, pid = _pair(Ms.SLAVE)
    linux = bind(change(linux, pid, "/b", Ms.SHARED), pid, "/b", "/c")
    linux = change(linux, pid, "/c", Ms.SLAVE)
    assert points(tmpfs(linux, pid, "/a/x"), pid) == ["/a", "/a/x", "/b", "/b/x", "/c", "/c/x"]
    assert points(tmpfs(linux, pid, "/b/x"), pid) == ["/a", "/b", "/b/x", "/c", "/c/x"]


def test_last_peer_leaves_its_slaves_to_its_own_master() -> None:
    """Where the middle of a chain ends, its two ends are tied together."""
    linux, pid = _pair(Ms.SLAVE)
    linux = bind(change(linux, pid, "/b", Ms.SHARED), pid, "/b", "/c")
    linux = change(linux, pid, "/c", Ms.SLAVE)
    linux = umount(linux, pid, "/b")
    assert "/c/x" in points(tmpfs(linux, pid, "/a/x"), pid)


def test_new_namespace_hears_of_shared_mounts_only() -> None:
    """This is why a container's first mount step cuts the ties: systemd makes everything shared."""
    for kind, expected in ((Ms.SHARED, True), (Ms.PRIVATE, False)):
        linux, pid = start()
        linux = change(tmpfs(linux, pid, "/a", "x"), pid, "/a", kind)
        linux, child = fork(linux, pid)
        linux = unshare(linux, child, Clone.NEWNS)
        assert ("/a/x" in points(tmpfs(linux, child, "/a/x"), pid)) is expected
        assert "/a/x" in points(tmpfs(linux, child, "/a/x"), child)


ACTIONS = st.lists(
    st.tuples(
        st.sampled_from(["mount", "bind", "rbind", "umount", "detach", "change"]),
        st.sampled_from(["/a", "/b", "/c", "/a/x", "/b/x"]),
        st.sampled_from(["/a", "/b", "/c"]),
        st.sampled_from([Ms.SHARED, Ms.PRIVATE, Ms.SLAVE, Ms.UNBINDABLE]),
    ),
    max_size=12,
)


def act(linux: Linux, pid: int, action: tuple[str, str, str, Ms]) -> Linux:
    """Do one thing, or nothing where the kernel would refuse."""
    what, target, source, kind = action
    try:
        if what == "mount":
            return tmpfs(linux, pid, target, "x")
        if what in ("bind", "rbind"):
            return bind(linux, pid, source, target, recursive=what == "rbind")
        if what in ("umount", "detach"):
            return umount(linux, pid, target, flags=Mnt.DETACH if what == "detach" else Mnt(0))
        return change(linux, pid, target, kind)
    except OSError:
        return linux


@given(ACTIONS)
def test_table_is_always_a_tree(actions: list[tuple[str, str, str, Ms]]) -> None:
    """Whatever is done: each mount has a parent in its own namespace, no place has two mounts, and no master is without members."""
    linux, pid = start()
    for action in actions:
        linux = act(linux, pid, action)
        mounts = linux.mounts.values()
        assert all(m.parent in linux.mounts and linux.mounts[m.parent].namespace == m.namespace for m in mounts)
        places = [(m.parent, m.mount_point) for m in mounts if m.parent != m.id]
        assert len(set(places)) == len(places)
        groups = {m.peer_group for m in mounts}
        assert all(m.master in groups for m in mounts if m.master)


@given(ACTIONS)
def test_umount_undoes_mount(actions: list[tuple[str, str, str, Ms]]) -> None:
    """What a mount brought, here and at every receiver, an unmount takes away again: nothing more, nothing less."""
    linux, pid = start()
    for action in actions:
        linux = act(linux, pid, action)
    after = umount(tmpfs(linux, pid, "/a"), pid, "/a")
    assert [(m.mount_point, m.root, m.device) for m in list_mounts(after, pid)] == [
        (m.mount_point, m.root, m.device) for m in list_mounts(linux, pid)
    ]
