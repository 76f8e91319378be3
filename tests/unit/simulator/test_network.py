"""Links, addresses and routes: what the kernel adds by itself."""

from __future__ import annotations

import errno

import pytest

from minidocker.codec.rtnetlink import Route
from minidocker.kernel.flags import Clone
from minidocker.simulator.linux import Linux
from minidocker.simulator.network import LOCAL, MAIN, add_address, add_route, create_veth, find_link, find_route, remove_link, set_link_up
from minidocker.simulator.processes import fork, unshare
from tests.unit.simulator.small import start


def connected() -> tuple[Linux, int, int]:
    """Return a machine, a process outside, and one in a network namespace with a cable."""
    linux, outside = start()
    linux, inside = fork(linux, outside)
    linux = unshare(linux, inside, Clone.NEWNET)
    linux = create_veth(
        linux, outside, host_name="veth0", peer_name="eth0", peer_pid=inside, bridge="minidocker0", mac_address="02:42:ac:11:00:02"
    )
    return linux, outside, inside


def test_new_namespace_has_only_lo_and_that_is_off() -> None:
    """network_namespaces(7); when `lo` is switched on it gets its addresses by itself."""
    linux, pid = start()
    linux = unshare(linux, pid, Clone.NEWNET)
    _, net = linux.net_of(pid)
    assert [(link.name, link.up) for link in net.links] == [("lo", False)]
    assert net.addresses == ()
    _, net = set_link_up(linux, pid, "lo").net_of(pid)
    assert [a.address for a in net.addresses] == ["127.0.0.1/8", "::1/128"]


def test_cable_has_two_ends_that_know_each_other() -> None:
    """veth(4): the end on the bridge is up, the other waits inside for its address."""
    linux, outside, inside = connected()
    here = next(link for link in linux.net_of(outside)[1].links if link.name == "veth0")
    there = next(link for link in linux.net_of(inside)[1].links if link.name == "eth0")
    assert (here.peer_index, there.peer_index) == (there.index, here.index)
    assert (here.up, there.up, here.master) == (True, False, 3)


@pytest.mark.parametrize("address_first", [True, False], ids=["address-first", "up-first"])
def test_address_on_a_link_that_is_up_brings_its_routes(address_first: bool) -> None:
    """The neighbours go into the table `main`, the address itself into `local`; the order of the two calls does not matter."""
    linux, _, inside = connected()
    for is_address in (address_first, not address_first):
        linux = add_address(linux, inside, "eth0", "172.17.0.2/16") if is_address else set_link_up(linux, inside, "eth0")
    assert set(linux.net_of(inside)[1].routes) == {
        Route(destination="172.17.0.0/16", link_index=2, table=MAIN), Route(destination="172.17.0.2/32", link_index=2, table=LOCAL),
        Route(destination="172.17.255.255/32", link_index=2, table=LOCAL),
    }  # fmt: skip


def test_gateway_must_be_a_neighbour() -> None:
    """ENETUNREACH: a route through somebody that no route leads to. Hence the order of the steps."""
    linux, _, inside = connected()
    linux = add_address(linux, inside, "eth0", "172.17.0.2/16")
    with pytest.raises(OSError, match="neighbour") as caught:
        add_route(linux, inside, gateway="172.17.0.1")
    assert caught.value.errno == errno.ENETUNREACH
    linux = add_route(set_link_up(linux, inside, "eth0"), inside, gateway="172.17.0.1")
    with pytest.raises(FileExistsError):
        add_route(linux, inside, gateway="172.17.0.1")


def test_longest_prefix_wins_and_local_is_asked_first() -> None:
    """ip-route(8): the more special route is taken, and one's own address is never sent out."""
    linux, _, inside = connected()
    linux = set_link_up(add_address(linux, inside, "eth0", "172.17.0.2/16"), inside, "eth0")
    _, net = add_route(linux, inside, gateway="172.17.0.1").net_of(inside)
    found = {address: find_route(net, address) for address in ("172.17.0.2", "172.17.9.9", "192.0.2.1")}
    assert [(r.table, r.gateway) if r else None for r in found.values()] == [(LOCAL, ""), (MAIN, ""), (MAIN, "172.17.0.1")]


def test_link_that_is_missing_or_taken_is_refused() -> None:
    """ENODEV and EEXIST."""
    linux, outside, inside = connected()
    with pytest.raises(OSError) as caught:
        set_link_up(linux, inside, "eth7")
    assert caught.value.errno == errno.ENODEV
    with pytest.raises(FileExistsError):
        create_veth(linux, outside, host_name="veth0", peer_name="eth1", peer_pid=inside, bridge="minidocker0", mac_address="")
    with pytest.raises(FileExistsError):
        add_address(add_address(linux, inside, "eth0", "10.0.0.1/8"), inside, "eth0", "10.0.0.1/8")


def test_cable_goes_with_everything_that_hung_on_it() -> None:
    """Both ends, the address and its routes; what is left inside is `lo`, and the bridge outside."""
    linux, outside, inside = connected()
    linux = add_route(set_link_up(add_address(linux, inside, "eth0", "172.17.0.2/16"), inside, "eth0"), inside, gateway="172.17.0.1")
    linux = remove_link(linux, outside, "veth0")
    _, net = linux.net_of(inside)
    assert ([link.name for link in net.links], net.addresses, net.routes) == (["lo"], (), ())
    with pytest.raises(OSError, match="no such link"):
        find_link(linux.net_of(outside)[1], "veth0")
