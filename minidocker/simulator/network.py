"""Links, addresses, routes: what netlink changes in a network namespace.

Pure, in the records that our netlink codec reads from a real kernel. Rule: the kernel adds routes by itself. An address on a link
that is up brings a route to its neighbours, and entries in the table `local` that say which addresses are this machine. See
rtnetlink(7), veth(4), ip-route(8). Chapter 18.
"""

from __future__ import annotations

import errno
import ipaddress
from collections.abc import Iterator
from dataclasses import replace
from typing import Final

from minidocker.codec.rtnetlink import Link, LinkAddress, Route
from minidocker.simulator.linux import Linux, Net, fail, require_capability

__all__ = ["LOCAL", "MAIN", "add_address", "add_route", "create_veth", "find_link", "find_route", "remove_link", "set_link_up"]

LOCAL, MAIN = 255, 254
"""Routing tables: which addresses are ours (and broadcast), and where everything else goes. LOCAL is asked first."""
LOOPBACK: Final = "127.0.0.1/8"


def find_link(net: Net, name: str) -> Link:
    """Return the link called *name*.

    Raises:
        OSError: ENODEV.
    """
    for link in net.links:
        if link.name == name:
            return link
    raise fail(errno.ENODEV, "no such link", name)


def create_veth(
    linux: Linux, pid: int, *, host_name: str, peer_name: str, peer_pid: int, bridge: str, mac_address: str, mtu: int = 0, isolated: bool = False
) -> Linux:
    """Make a cable: one end here, up and plugged into *bridge*, the other in the network namespace of *peer_pid*, down.

    Raises:
        OSError: EEXIST for a name that is taken, ENODEV without the bridge, EPERM without CAP_NET_ADMIN.
    """
    require_capability(linux.processes[pid], "CAP_NET_ADMIN", "making a link")
    number, net = linux.net_of(pid)
    peer_number, peer_net = linux.net_of(peer_pid)
    switch = find_link(net, bridge)
    if any(link.name == host_name for link in net.links) or any(link.name == peer_name for link in peer_net.links):
        raise fail(errno.EEXIST, "a link has this name", host_name)
    index, peer_index = _next_index(net), _next_index(peer_net)
    linux, serial = linux.new_id()
    made_up = f"02:00:00:00:{serial >> 8 & 0xFF:02x}:{serial & 0xFF:02x}"
    here = Link(
        index=index, name=host_name, up=True, mac_address=made_up, mtu=mtu or 1500, master=switch.index, kind="veth", peer_index=peer_index
    )
    there = Link(index=peer_index, name=peer_name, mac_address=mac_address or made_up, mtu=mtu or 1500, kind="veth", peer_index=index)
    alone = net.isolated | ({host_name} if isolated else set())
    linux = linux.with_namespace(number, replace(net, links=(*net.links, here), isolated=alone))
    _, peer_net = linux.net_of(peer_pid)
    linux = linux.with_namespace(peer_number, replace(peer_net, links=(*peer_net.links, there)))
    return replace(linux, cables=(*linux.cables, ((number, index), (peer_number, peer_index))))


def remove_link(linux: Linux, pid: int, name: str) -> Linux:
    """Remove a cable by one of its ends: the other goes too, and every address and route over either.

    Raises:
        OSError: ENODEV, EPERM.
    """
    require_capability(linux.processes[pid], "CAP_NET_ADMIN", "removing a link")
    number, net = linux.net_of(pid)
    end = (number, find_link(net, name).index)
    cable = next((pair for pair in linux.cables if end in pair), (end,))
    for namespace, index in cable:
        old = next(linux.net_of(p)[1] for p in linux.processes if linux.net_of(p)[0] == namespace)
        left = replace(
            old, links=tuple(one for one in old.links if one.index != index),
            addresses=tuple(a for a in old.addresses if a.link_index != index),
            routes=tuple(r for r in old.routes if r.link_index != index),
        )  # fmt: skip
        linux = linux.with_namespace(namespace, left)
    return replace(linux, cables=tuple(pair for pair in linux.cables if pair != cable))


def _next_index(net: Net) -> int:
    return max((link.index for link in net.links), default=0) + 1


def set_link_up(linux: Linux, pid: int, name: str, *, ipv6: bool = False) -> Linux:
    """Switch a link on: its addresses come to life, with the kernel's routes; `lo` gets 127.0.0.1 and ::1 by itself.

    With *ipv6* another link makes itself a link-local address from its own (RFC 4291, appendix A).

    Raises:
        OSError: ENODEV, EPERM.
    """
    require_capability(linux.processes[pid], "CAP_NET_ADMIN", "switching a link on")
    number, net = linux.net_of(pid)
    link = find_link(net, name)
    if link.up:
        return linux
    links = tuple(replace(one, up=True) if one.index == link.index else one for one in net.links)
    net = replace(net, links=links)
    if link.name == "lo":
        own = [LinkAddress(link_index=link.index, address=text) for text in (LOOPBACK, "::1/128")]
        net = replace(net, addresses=(*net.addresses, *(a for a in own if a not in net.addresses)))
    elif ipv6:
        net = replace(net, addresses=(*net.addresses, LinkAddress(link_index=link.index, address=_link_local(link.mac_address))))
    routes = [route for a in net.addresses if a.link_index == link.index for route in _routes_of(link, a.address)]
    return linux.with_namespace(number, replace(net, routes=(*net.routes, *routes)))


def _link_local(mac_address: str) -> str:
    """Return the address that a card makes itself: its number with one bit turned, and `ff:fe` in the middle."""
    number = bytes.fromhex(mac_address.replace(":", ""))
    middle = bytes((number[0] ^ 2,)) + number[1:3] + b"\xff\xfe" + number[3:]
    address = ipaddress.IPv6Address(b"\xfe\x80" + bytes(6) + middle)
    return f"{address}/64"


def add_address(linux: Linux, pid: int, name: str, address: str) -> Linux:
    """Give a link an address with its prefix length; while the link is off it waits.

    Raises:
        OSError: ENODEV, EPERM, EEXIST.
    """
    require_capability(linux.processes[pid], "CAP_NET_ADMIN", "adding an address")
    number, net = linux.net_of(pid)
    link = find_link(net, name)
    new = LinkAddress(link_index=link.index, address=address)
    if new in net.addresses:
        raise fail(errno.EEXIST, "the link has this address", address)
    routes = tuple(_routes_of(link, address)) if link.up else ()
    return linux.with_namespace(number, replace(net, addresses=(*net.addresses, new), routes=(*net.routes, *routes)))


def _routes_of(link: Link, address: str) -> Iterator[Route]:
    """Yield the routes that the kernel makes for an address: the neighbours, itself, and for IPv4 everybody at once."""
    interface = ipaddress.ip_interface(address)
    network = interface.network
    if isinstance(network, ipaddress.IPv6Network):
        if network.prefixlen < 128:
            yield Route(destination=str(network), link_index=link.index, table=MAIN)
        yield Route(destination=f"{interface.ip}/128", link_index=link.index, table=LOCAL)
        return
    if link.name == "lo":
        yield Route(destination=str(network), link_index=link.index, table=LOCAL)
    elif network.prefixlen < 32:
        yield Route(destination=str(network), link_index=link.index, table=MAIN)
    yield Route(destination=f"{interface.ip}/32", link_index=link.index, table=LOCAL)
    if network.prefixlen < 31:
        yield Route(destination=f"{network.broadcast_address}/32", link_index=link.index, table=LOCAL)


def add_route(linux: Linux, pid: int, *, gateway: str, destination: str = "") -> Linux:
    """Send packets to *destination*, or everywhere else, by way of *gateway*.

    Raises:
        OSError: ENETUNREACH: the gateway is not a neighbour; EEXIST; EPERM.
    """
    require_capability(linux.processes[pid], "CAP_NET_ADMIN", "adding a route")
    number, net = linux.net_of(pid)
    way = find_route(net, gateway)
    if way is None or way.gateway:
        raise fail(errno.ENETUNREACH, "the gateway is not a neighbour on any link that is up", gateway)
    route = Route(destination=destination or ("::/0" if ":" in gateway else "0.0.0.0/0"), gateway=gateway, link_index=way.link_index, table=MAIN)
    if any((r.destination, r.table) == (route.destination, MAIN) for r in net.routes):
        raise fail(errno.EEXIST, "there is a route to this destination", route.destination)
    return linux.with_namespace(number, replace(net, routes=(*net.routes, route)))


def find_route(net: Net, address: str) -> Route | None:
    """Return the route to *address*: the table `local` before the table `main`, in each the longest prefix."""
    wanted = ipaddress.ip_address(address)
    for table in (LOCAL, MAIN):
        fits = [r for r in net.routes if r.table == table and wanted in ipaddress.ip_network(r.destination)]
        if fits:
            return max(fits, key=lambda r: ipaddress.ip_network(r.destination).prefixlen)
    return None
