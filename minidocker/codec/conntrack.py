"""Connection tracking as netlink messages: list the flows that the kernel remembers, and make it forget one.

Pure. The kernel looks the `nat` chains up for the first packet of a flow only, and keeps to what they said for as long as
packets come. A UDP client that goes on sending from one port would reach the old owner of a published port for ever, so the
flow must be forgotten when the port changes hands. A flow is known by its *tuple*, addresses and ports as they were sent; to
name it to the kernel, the tuple goes back as it came. See `<linux/netfilter/nfnetlink_conntrack.h>`, conntrack(8). Chapter 18.
"""

from __future__ import annotations

import ipaddress
import struct
from dataclasses import dataclass
from typing import Final

from minidocker.codec.netlink import Message, Nlm, find_attribute, parse_attributes, render_attributes

__all__ = ["Flow", "delete_flow_request", "list_flows_request", "parse_flow"]

SUBSYSTEM: Final = 1
"""`NFNL_SUBSYS_CTNETLINK`, the upper byte of every message type."""
CT_GET: Final = 1
CT_DELETE: Final = 2
UDP: Final = 17

_TUPLE_ORIG, _TUPLE_IP, _TUPLE_PROTO = 1, 1, 2
_DESTINATIONS: Final = (2, 4)
"""The attributes of the destination in IPv4 and in IPv6."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Flow:
    """One flow, as its first packet was sent."""

    family: int
    protocol: int
    destination: str
    destination_port: int
    tuple: bytes
    """How the kernel wrote it."""


def list_flows_request() -> Message:
    """Return the request for all flows of both families."""
    return Message(type=SUBSYSTEM << 8 | CT_GET, flags=Nlm.REQUEST | Nlm.DUMP, body=struct.pack(">BBH", 0, 0, 0))


def parse_flow(message: Message) -> Flow | None:
    """Return the flow in *message*; None for one without ports, such as an echo request's.

    Raises:
        MalformedMessage: a length that does not fit.
    """
    found = find_attribute(parse_attributes(message.body[4:]), _TUPLE_ORIG) or b""
    parts = parse_attributes(found)
    addresses = parse_attributes(find_attribute(parts, _TUPLE_IP) or b"")
    protocol = dict(parse_attributes(find_attribute(parts, _TUPLE_PROTO) or b""))
    address = next((value for kind, value in addresses if kind in _DESTINATIONS), b"")
    if len(address) not in (4, 16) or len(protocol.get(1, b"")) != 1 or len(protocol.get(3, b"")) != 2:
        return None
    return Flow(
        family=message.body[0], protocol=protocol[1][0], destination=str(ipaddress.ip_address(address)),
        destination_port=int.from_bytes(protocol[3], "big"), tuple=found,
    )  # fmt: skip


def delete_flow_request(flow: Flow) -> Message:
    """Return the request to forget *flow*."""
    parts = tuple((kind, parse_attributes(value)) for kind, value in parse_attributes(flow.tuple) if kind in (_TUPLE_IP, _TUPLE_PROTO))
    body = struct.pack(">BBH", flow.family, 0, 0) + render_attributes(((_TUPLE_ORIG, parts),))
    return Message(type=SUBSYSTEM << 8 | CT_DELETE, flags=Nlm.REQUEST | Nlm.ACK, body=body)
