"""Flows in netlink messages: what the kernel's description says, and that the tuple goes back as it came."""

from __future__ import annotations

import ipaddress
import struct

import pytest

from minidocker.codec.conntrack import Flow, delete_flow_request, list_flows_request, parse_flow
from minidocker.codec.netlink import MalformedMessage, Message, Nlm, parse_attributes, render_attributes

UDP = 17


def described(source: str, destination: str, *, protocol: int = UDP, ports: tuple[int, int] | None = (4000, 53)) -> Message:
    """Return what the kernel says of a flow."""
    here, there = ipaddress.ip_address(source), ipaddress.ip_address(destination)
    first = 1 if here.version == 4 else 3
    numbers = tuple((kind, struct.pack(">H", port)) for kind, port in zip((2, 3), ports or (), strict=False))
    parts = ((1, ((first, here.packed), (first + 1, there.packed))), (2, ((1, bytes([protocol])), *numbers)), (3, b"\0\1"))
    family = 2 if here.version == 4 else 10
    return Message(type=0x100, flags=0, body=struct.pack(">BBH", family, 0, 0) + render_attributes(((1, parts), (3, b"\0\0\0\1"))))


@pytest.mark.parametrize(("source", "destination"), [("192.0.2.2", "192.0.2.1"), ("2001:db8::2", "2001:db8::1")], ids=["IPv4", "IPv6"])
def test_flow_is_known_by_where_its_first_packet_went(source: str, destination: str) -> None:
    """The original direction counts: the answer's addresses are what translation made of them."""
    flow = parse_flow(described(source, destination))
    assert flow is not None
    assert (flow.protocol, flow.destination, flow.destination_port) == (UDP, destination, 53)


def test_flow_without_ports_is_left_out() -> None:
    """An echo request belongs to no published port."""
    assert parse_flow(described("192.0.2.2", "192.0.2.1", protocol=1, ports=None)) is None
    assert parse_flow(Message(type=0x100, flags=0, body=bytes(4))) is None


def test_flow_is_forgotten_by_its_own_tuple() -> None:
    """Without the tuple the kernel would forget every flow of the machine; the zone, which it also tells, is no part of it."""
    flow = parse_flow(described("192.0.2.2", "192.0.2.1"))
    assert flow is not None
    request = delete_flow_request(flow)
    assert (request.type, request.flags, request.body[0]) == (0x102, Nlm.REQUEST | Nlm.ACK, 2)
    ((kind, found),) = parse_attributes(request.body[4:])
    assert (kind, parse_attributes(found)) == (1, parse_attributes(flow.tuple)[:2])


def test_all_flows_are_asked_for_at_once() -> None:
    """Family 0 means both."""
    request = list_flows_request()
    assert (request.type, request.flags, request.body) == (0x101, Nlm.REQUEST | Nlm.DUMP, bytes(4))


def test_length_that_does_not_fit_is_refused() -> None:
    """A cut message must not be read past its end."""
    whole = described("192.0.2.2", "192.0.2.1")
    cut = Message(type=whole.type, flags=0, body=whole.body[:-10])
    with pytest.raises(MalformedMessage):
        parse_flow(cut)


def test_flows_are_values() -> None:
    """Two descriptions of one flow are equal, so that a set holds it once."""
    assert parse_flow(described("192.0.2.2", "192.0.2.1")) == parse_flow(described("192.0.2.2", "192.0.2.1"))
    assert Flow.__hash__ is not None
