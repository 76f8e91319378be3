"""Rtnetlink: links, addresses and routes as netlink messages.

Pure. A function that ends in `_request` returns the message that asks the kernel for something; a `parse_` function
reads the kernel's description of a thing. The fixed structs, in the headers' own order:

    struct ifinfomsg { u8 family, pad; u16 type; s32 index; u32 flags, change; };
    struct ifaddrmsg { u8 family, prefixlen, flags, scope; u32 index; };
    struct rtmsg     { u8 family, dst_len, src_len, tos, table, protocol, scope, type; u32 flags; };

Addresses travel in network byte order, everything else in the machine's. See rtnetlink(7), `<linux/if_link.h>`. Chapter 18.
"""

from __future__ import annotations

import ipaddress
import struct
from dataclasses import dataclass
from enum import IntEnum
from typing import Final

from minidocker.codec.netlink import (
    Attributes,
    AttributeValue,
    MalformedMessage,
    Message,
    Nlm,
    find_attribute,
    parse_attributes,
    parse_name,
    render_attributes,
    render_name,
)  # fmt: skip
from minidocker.errors import InvalidParameter

__all__ = [
    "LINK_NAME_MAX_BYTES", "Link", "LinkAddress", "Route", "Rtm", "add_address_request", "add_route_request",
    "change_link_request", "create_bridge_request", "create_veth_request", "delete_link_request",
    "disable_ipv6_address_request", "get_link_request", "isolate_port_request", "list_addresses_request", "list_links_request", "list_routes_request", "parse_link", "parse_link_address",
    "parse_mac_address", "parse_route",
]  # fmt: skip

LINK_NAME_MAX_BYTES: Final = 15
"""`IFNAMSIZ` less its zero byte."""

_IFINFO: Final = struct.Struct("=BxHiII")
_IFADDR: Final = struct.Struct("=BBBBI")
_RTMSG: Final = struct.Struct("=BBBBBBBBI")
_U32: Final = struct.Struct("=I")

AF_INET: Final = 2
AF_INET6: Final = 10
AF_BRIDGE: Final = 7
IFF_UP: Final = 1
IFA_F_NODAD: Final = 2
"""No "duplicate address detection"."""
BRPORT_ISOLATED: Final = 33
RT_TABLE_MAIN: Final = 254
RTPROT_BOOT: Final = 3
RTN_UNICAST: Final = 1
RTEXT_FILTER_SKIP_STATS: Final = 8
"""Leave the counters out of a description of a link: most of its bytes."""
VETH_INFO_PEER: Final = 1
INET6_ADDR_GEN_MODE: Final = 8
"""How a link gets its first IPv6 address by itself; 1 is "not at all"."""


class Rtm(IntEnum):
    """Message types of `<linux/rtnetlink.h>`."""

    NEWLINK = 16
    DELLINK = 17
    GETLINK = 18
    SETLINK = 19
    NEWADDR = 20
    DELADDR = 21
    GETADDR = 22
    NEWROUTE = 24
    DELROUTE = 25
    GETROUTE = 26


class Ifla(IntEnum):
    """Attributes of a link."""

    ADDRESS = 1
    IFNAME = 3
    MTU = 4
    LINK = 5
    MASTER = 10
    PROTINFO = 12
    LINKINFO = 18
    IFALIAS = 20
    AF_SPEC = 26
    NET_NS_FD = 28
    EXT_MASK = 29
    NUM_TX_QUEUES = 31
    NUM_RX_QUEUES = 32


class IflaInfo(IntEnum):
    """Attributes inside `Ifla.LINKINFO`: which driver, and what it is told."""

    KIND = 1
    DATA = 2


class Ifa(IntEnum):
    """Attributes of an address."""

    ADDRESS = 1
    LOCAL = 2
    BROADCAST = 4


class Rta(IntEnum):
    """Attributes of a route."""

    DST = 1
    OIF = 4
    GATEWAY = 5


@dataclass(frozen=True, slots=True, kw_only=True)
class Link:
    """A network card, virtual or not."""

    index: int
    name: str
    up: bool = False
    mac_address: str = ""
    mtu: int = 0
    master: int = 0
    """Index of the bridge it is a port of; 0 for none."""
    kind: str = ""
    """`bridge`, `veth`, …; empty for hardware and `lo`."""
    alias: str = ""
    """A free text for people, which `ip link` shows."""
    peer_index: int = 0
    """veth: index of the other end, in the network namespace of that end."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LinkAddress:
    """An address on a link."""

    link_index: int
    address: str
    """With its prefix length, such as `172.17.0.1/16`."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Route:
    """Where packets to *destination* go."""

    destination: str
    """Such as `10.0.0.0/8`; the default route is `0.0.0.0/0`."""
    gateway: str = ""
    link_index: int = 0
    table: int = RT_TABLE_MAIN


def parse_mac_address(text: str) -> bytes:
    """Return the six bytes of `02:42:ac:11:00:02`.

    Raises:
        InvalidParameter: another form, or a group address, which no card can have.
    """
    parts = text.replace("-", ":").split(":")
    try:
        address = bytes(int(part, 16) for part in parts)
    except ValueError:
        address = b""
    if len(address) != 6 or any(len(part) != 2 for part in parts):
        raise InvalidParameter(f"invalid MAC address `{text[:40]}`: expected six pairs of hexadecimal digits")
    if address[0] & 1:
        raise InvalidParameter(f"invalid MAC address `{text}`: a group address cannot belong to a card")
    return address


def _link_body(attributes: Attributes, *, index: int = 0, up: bool | None = None) -> bytes:
    """Return `ifinfomsg` and attributes; *up* None leaves the state alone."""
    change = 0 if up is None else IFF_UP
    return _IFINFO.pack(0, 0, index, IFF_UP if up else 0, change) + render_attributes(attributes)


def _name_attribute(name: str) -> tuple[int, bytes]:
    """Return the attribute for the name of a link.

    Raises:
        InvalidParameter: the kernel would cut it off or refuse it.
    """
    if not 0 < len(name.encode()) <= LINK_NAME_MAX_BYTES or name in (".", "..") or any(c in "/: \t\n\0" for c in name):
        raise InvalidParameter(f"invalid link name `{name[:40]}`: 1 to {LINK_NAME_MAX_BYTES} bytes without `/`, `:` or blanks")
    return Ifla.IFNAME, render_name(name)


def _selector(link: str | int) -> tuple[int, Attributes]:
    """Return index and attributes that pick *link*, named or numbered."""
    return (link, ()) if isinstance(link, int) else (0, (_name_attribute(link),))


def create_bridge_request(name: str, *, mac_address: str = "", mtu: int = 0) -> Message:
    """Ask for a bridge that is up at once; without a MAC address of its own it would change with every port."""
    attributes: list[tuple[int, AttributeValue]] = [_name_attribute(name)]
    if mac_address:
        attributes.append((Ifla.ADDRESS, parse_mac_address(mac_address)))
    if mtu:
        attributes.append((Ifla.MTU, _U32.pack(mtu)))
    attributes.append((Ifla.LINKINFO, ((IflaInfo.KIND, b"bridge"),)))
    flags = Nlm.REQUEST | Nlm.ACK | Nlm.CREATE | Nlm.EXCL
    return Message(type=Rtm.NEWLINK, flags=flags, body=_link_body(attributes, up=True))


def create_veth_request(
    *, host_name: str, container_name: str, container_netns_fd: int, bridge_index: int = 0, mac_address: str = "", mtu: int = 0
) -> Message:
    """Ask for a pair of cards in one message: the host's end up and on its bridge, the other inside the container.

    The peer is made where it belongs: moving a card to another namespace later waits for a grace period of the whole
    machine, 20 to 30 ms against 0.5 ms for the whole pair. One queue each, said outright: the driver otherwise prepares
    one for every processor.
    """
    one = _U32.pack(1)
    queues = ((Ifla.NUM_TX_QUEUES, one), (Ifla.NUM_RX_QUEUES, one))
    size = ((Ifla.MTU, _U32.pack(mtu)),) if mtu else ()
    address = ((Ifla.ADDRESS, parse_mac_address(mac_address)),) if mac_address else ()
    netns = (Ifla.NET_NS_FD, _U32.pack(container_netns_fd))
    peer = _link_body((_name_attribute(container_name), *queues, *size, *address, netns))
    data = render_attributes(((VETH_INFO_PEER, peer),))
    attributes: list[tuple[int, AttributeValue]] = [_name_attribute(host_name), *queues, *size]
    if bridge_index:
        attributes.append((Ifla.MASTER, _U32.pack(bridge_index)))
    attributes.append((Ifla.LINKINFO, ((IflaInfo.KIND, b"veth"), (IflaInfo.DATA, data))))
    flags = Nlm.REQUEST | Nlm.ACK | Nlm.CREATE | Nlm.EXCL
    return Message(type=Rtm.NEWLINK, flags=flags, body=_link_body(attributes, up=True))


def change_link_request(
    link: str | int, *, up: bool | None = None, new_name: str = "", mac_address: str = "", mtu: int = 0,
    master: int | None = None, netns_fd: int | None = None, alias: str = "",
) -> Message:  # fmt: skip
    """Ask for changes to a link; what is not given stays. A *master* of 0 takes it off its bridge."""
    index, selector = _selector(link)
    attributes = list(selector)
    if new_name:
        if selector:
            raise InvalidParameter(f"rename link `{link}`: the message has room for one name only, give the index")
        attributes.append(_name_attribute(new_name))
    if mac_address:
        attributes.append((Ifla.ADDRESS, parse_mac_address(mac_address)))
    if alias:
        attributes.append((Ifla.IFALIAS, render_name(alias)))
    for kind, number in ((Ifla.MTU, mtu or None), (Ifla.MASTER, master), (Ifla.NET_NS_FD, netns_fd)):
        if number is not None:
            attributes.append((kind, _U32.pack(number)))
    return Message(type=Rtm.NEWLINK, body=_link_body(attributes, index=index, up=up))


def disable_ipv6_address_request(link: str | int) -> Message:
    """Ask that *link* gets no IPv6 address by itself when it comes up: it has none then, and the IPv4 rules say all."""
    index, attributes = _selector(link)
    mode: AttributeValue = ((AF_INET6, ((INET6_ADDR_GEN_MODE, b"\x01"),)),)
    return Message(type=Rtm.NEWLINK, body=_link_body((*attributes, (Ifla.AF_SPEC, mode)), index=index))


def isolate_port_request(link_index: int) -> Message:
    """Ask that a bridge passes nothing between this port and others that are isolated as well."""
    attributes: Attributes = ((Ifla.PROTINFO, ((BRPORT_ISOLATED, b"\x01"),)),)
    body = _IFINFO.pack(AF_BRIDGE, 0, link_index, 0, 0) + render_attributes(attributes)
    return Message(type=Rtm.SETLINK, body=body)


def delete_link_request(link: str | int) -> Message:
    """Ask for the end of a link; of a veth pair both ends go."""
    index, attributes = _selector(link)
    return Message(type=Rtm.DELLINK, body=_link_body(attributes, index=index))


def get_link_request(link: str | int) -> Message:
    """Ask for the description of one link, without its counters."""
    index, attributes = _selector(link)
    attributes = (*attributes, (Ifla.EXT_MASK, _U32.pack(RTEXT_FILTER_SKIP_STATS)))
    return Message(type=Rtm.GETLINK, flags=Nlm.REQUEST, body=_link_body(attributes, index=index))


def list_links_request() -> Message:
    """Ask for the descriptions of all links."""
    attributes = ((Ifla.EXT_MASK, _U32.pack(RTEXT_FILTER_SKIP_STATS)),)
    return Message(type=Rtm.GETLINK, flags=Nlm.REQUEST | Nlm.DUMP, body=_link_body(attributes))


def add_address_request(link_index: int, address: str) -> Message:
    """Ask for *address* (`172.17.0.2/16`) on a link; the route to its network comes with it."""
    interface = _parse_interface(address)
    attributes: list[tuple[int, bytes]] = [(Ifa.LOCAL, interface.packed), (Ifa.ADDRESS, interface.packed)]
    if interface.version == 4 and interface.network.prefixlen < 31:
        attributes.append((Ifa.BROADCAST, interface.network.broadcast_address.packed))
    # an IPv6 address would be unusable for a second while the kernel looks for another owner; ours is the only one who gives
    flags6 = IFA_F_NODAD if interface.version == 6 else 0
    body = _IFADDR.pack(_family(interface.version), interface.network.prefixlen, flags6, 0, link_index)
    flags = Nlm.REQUEST | Nlm.ACK | Nlm.CREATE | Nlm.EXCL
    return Message(type=Rtm.NEWADDR, flags=flags, body=body + render_attributes(attributes))


def list_addresses_request(*, family: int = 0) -> Message:
    """Ask for all addresses of *family* (0: of every family)."""
    return Message(type=Rtm.GETADDR, flags=Nlm.REQUEST | Nlm.DUMP, body=_IFADDR.pack(family, 0, 0, 0, 0))


def add_route_request(*, destination: str = "", gateway: str = "", link_index: int = 0, replace: bool = False) -> Message:
    """Ask for a route; an empty *destination* is the default route, and the kernel finds the link of the gateway itself."""
    network = _parse_interface(destination).network if destination else None
    via = _parse_interface(gateway) if gateway else None
    version = network.version if network else via.version if via else 4
    attributes: list[tuple[int, bytes]] = []
    if network and network.prefixlen:
        attributes.append((Rta.DST, network.network_address.packed))
    if via:
        attributes.append((Rta.GATEWAY, via.packed))
    if link_index:
        attributes.append((Rta.OIF, _U32.pack(link_index)))
    length = network.prefixlen if network else 0
    scope = 0 if via else 253  # RT_SCOPE_LINK: the destination is on the link itself
    body = _RTMSG.pack(_family(version), length, 0, 0, RT_TABLE_MAIN, RTPROT_BOOT, scope, RTN_UNICAST, 0)
    flags = Nlm.REQUEST | Nlm.ACK | Nlm.CREATE | (Nlm.REPLACE if replace else Nlm.EXCL)
    return Message(type=Rtm.NEWROUTE, flags=flags, body=body + render_attributes(attributes))


def list_routes_request(*, family: int = AF_INET) -> Message:
    """Ask for all routes of *family*, of every table."""
    return Message(type=Rtm.GETROUTE, flags=Nlm.REQUEST | Nlm.DUMP, body=_RTMSG.pack(family, 0, 0, 0, 0, 0, 0, 0, 0))


def _family(version: int) -> int:
    """Return the address family of an IP version."""
    return AF_INET if version == 4 else AF_INET6


def _parse_interface(text: str) -> ipaddress.IPv4Interface | ipaddress.IPv6Interface:
    """Return the address in *text*, with or without a prefix length."""
    try:
        return ipaddress.ip_interface(text)
    except ValueError as error:
        raise InvalidParameter(f"invalid address `{text[:60]}`: {error}") from error


def _require_struct(message: Message, layout: struct.Struct) -> tuple[int, ...]:
    """Return the fixed part of *message*."""
    if len(message.body) < layout.size:
        raise MalformedMessage(f"parse rtnetlink message {message.type}: body of {len(message.body)} bytes is too short")
    return layout.unpack_from(message.body)


def _number(attributes: tuple[tuple[int, bytes], ...], kind: int) -> int:
    """Return a 32-bit attribute, 0 when it is missing."""
    value = find_attribute(attributes, kind) or b""
    return int(_U32.unpack(value)[0]) if len(value) == _U32.size else 0


def parse_link(message: Message) -> Link:
    """Return the link that an `Rtm.NEWLINK` describes."""
    _family_number, _type, index, flags, _change = _require_struct(message, _IFINFO)
    attributes = parse_attributes(message.body[_IFINFO.size :])
    info = parse_attributes(find_attribute(attributes, Ifla.LINKINFO) or b"")
    kind = parse_name(find_attribute(info, IflaInfo.KIND))
    return Link(
        index=index, name=parse_name(find_attribute(attributes, Ifla.IFNAME)), up=bool(flags & IFF_UP),
        mac_address=(find_attribute(attributes, Ifla.ADDRESS) or b"").hex(":"), mtu=_number(attributes, Ifla.MTU),
        master=_number(attributes, Ifla.MASTER), kind=kind, alias=parse_name(find_attribute(attributes, Ifla.IFALIAS)),
        peer_index=_number(attributes, Ifla.LINK) if kind == "veth" else 0,
    )  # fmt: skip


def parse_link_address(message: Message) -> LinkAddress:
    """Return the address that an `Rtm.NEWADDR` describes."""
    _family_number, length, _flags, _scope, index = _require_struct(message, _IFADDR)
    attributes = parse_attributes(message.body[_IFADDR.size :])
    # on a point-to-point link ADDRESS is the other side; LOCAL is ours, where there is one
    packed = find_attribute(attributes, Ifa.LOCAL) or find_attribute(attributes, Ifa.ADDRESS) or b""
    return LinkAddress(link_index=index, address=f"{_parse_packed(packed)}/{length}")


def parse_route(message: Message) -> Route:
    """Return the route that an `Rtm.NEWROUTE` describes."""
    fields = _require_struct(message, _RTMSG)
    attributes = parse_attributes(message.body[_RTMSG.size :])
    anywhere = bytes(4 if fields[0] == AF_INET else 16)
    gateway = find_attribute(attributes, Rta.GATEWAY)
    return Route(
        destination=f"{_parse_packed(find_attribute(attributes, Rta.DST) or anywhere)}/{fields[1]}",
        gateway=_parse_packed(gateway) if gateway else "", link_index=_number(attributes, Rta.OIF), table=fields[4],
    )  # fmt: skip


def _parse_packed(packed: bytes) -> str:
    """Return the text of an address of four or sixteen bytes."""
    if len(packed) not in (4, 16):
        raise MalformedMessage(f"parse rtnetlink address: {len(packed)} bytes instead of 4 or 16")
    return str(ipaddress.ip_address(packed))
