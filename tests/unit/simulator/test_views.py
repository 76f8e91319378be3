"""Views: the kernel's files, rendered from the model."""

from __future__ import annotations

from dataclasses import replace

from minidocker.kernel.flags import Clone, Ms
from minidocker.simulator.mounts import mount
from minidocker.simulator.processes import fork, unshare
from minidocker.simulator.views import list_devices, list_groups, render_addresses, render_cgroup, render_mounts, render_routes
from tests.unit.simulator.small import start, tmpfs


def test_mount_is_named_from_the_readers_root() -> None:
    """proc_pid_mountinfo(5): what lies outside of the root of the process is not shown."""
    linux, pid = start()
    linux = tmpfs(tmpfs(linux, pid, "/new", "bin"), pid, "/new/bin")
    top = next(m for m in linux.mounts.values() if m.mount_point == "/new")
    place = replace(linux.processes[pid].root, mount=top.id, path="/")
    linux = linux.with_process(replace(linux.processes[pid], root=place))
    assert [line.split()[4] for line in render_mounts(linux, pid).splitlines()] == ["/", "/bin"]


def test_propagate_from_names_a_group_that_the_reader_can_see() -> None:
    """A slave of a slave whose master is elsewhere: `propagate_from` is the nearest that is here."""
    linux, pid = start()
    linux = mount(tmpfs(linux, pid, "/a"), pid, source="", target="/a", flags=Ms.SHARED)
    for source, target in (("/a", "/b"), ("/b", "/c")):
        linux = mount(linux, pid, source=source, target=target, flags=Ms.BIND)
        linux = mount(linux, pid, source="", target=target, flags=Ms.SLAVE)
        if target == "/b":
            linux = mount(linux, pid, source="", target=target, flags=Ms.SHARED)
    middle = next(m for m in linux.mounts.values() if m.mount_point == "/b")
    hidden = linux.with_mounts(replace(middle, namespace=999))
    fields = next(line for line in render_mounts(hidden, pid).splitlines() if " /c " in line).split()
    first = next(m for m in linux.mounts.values() if m.mount_point == "/a")
    assert fields[6:8] == [f"master:{middle.peer_group}", f"propagate_from:{first.peer_group}"]


def test_group_is_named_from_the_root_of_the_cgroup_namespace() -> None:
    """cgroup_namespaces(7): one's own group is `/`, and what lies beside it begins with `..`."""
    linux, pid = start()
    linux, child = fork(linux, pid)
    linux = unshare(linux, child, Clone.NEWCGROUP)
    assert render_cgroup(linux, pid) == "0::/system.slice/minidocker.service\n"
    assert render_cgroup(linux, child) == "0::/\n"
    moved = linux.with_process(replace(linux.processes[child], groups={0: "/system.slice/other"}))
    assert render_cgroup(moved, child) == "0::/../other\n"
    assert list_groups(linux, pid)["/sys/fs/cgroup/cgroup.controllers"] == "cpuset cpu io memory pids"


def test_network_is_shown_as_ip_does() -> None:
    """Link by link its addresses; the default route first."""
    linux, pid = start()
    assert "2: eth0: <BROADCAST,MULTICAST,UP> mtu 1500 state UP\n    link/ether 52:54:00:12:34:56\n    inet 192.0.2.10/24 scope global eth0\n" in render_addresses(linux, pid)
    assert render_routes(linux, pid).splitlines() == [
        "default via 192.0.2.1 dev eth0", "172.17.0.0/16 dev minidocker0 scope link src 172.17.0.1",
        "192.0.2.0/24 dev eth0 scope link src 192.0.2.10",
    ]  # fmt: skip


def test_devices_are_the_nodes_in_dev() -> None:
    """The example machine's devtmpfs is not looked into."""
    linux, pid = start()
    assert list_devices(linux, pid) == {}
