"""Netlink frames: what is rendered parses back, what is cut off is refused, and errors carry the kernel's words."""

from __future__ import annotations

import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from minidocker.codec.netlink import (
    Ack,
    MalformedMessage,
    Message,
    Nlm,
    Nlmsg,
    find_attribute,
    number_messages,
    parse_ack,
    parse_attributes,
    parse_messages,
    parse_name,
    render_attributes,
    render_messages,
    render_name,
)

U32 = st.integers(0, 2**32 - 1)
MESSAGES = st.builds(
    Message, type=st.integers(0, 2**16 - 1), flags=st.integers(0, 2**16 - 1), body=st.binary(max_size=40), sequence=U32, port=U32
)
ATTRIBUTES = st.lists(st.tuples(st.integers(0, 0x3FFF), st.binary(max_size=20)), max_size=6)


@given(st.lists(MESSAGES, max_size=5))
def test_messages_rendered_together_parse_to_the_same_messages(messages: list[Message]) -> None:
    """Several requests travel in one send(2); padding between them belongs to nobody."""
    assert list(parse_messages(render_messages(messages))) == messages


@given(ATTRIBUTES)
def test_attributes_rendered_parse_to_the_same_attributes(attributes: list[tuple[int, bytes]]) -> None:
    """An attribute's length leaves the padding out, so values of any length come back whole."""
    data = render_attributes(attributes)
    assert len(data) % 4 == 0
    assert list(parse_attributes(data)) == attributes


@given(st.binary(max_size=120))
def test_garbage_is_refused_with_the_own_error_only(data: bytes) -> None:
    """Whatever arrives, the parsers end: with values or with `MalformedMessage`."""
    for parse in (lambda: list(parse_messages(data)), lambda: parse_attributes(data), lambda: parse_ack(Message(type=2, body=data))):
        try:
            parse()
        except MalformedMessage:
            continue


@pytest.mark.parametrize(
    "data",
    [
        pytest.param(b"\x10\0\0\0", id="half a header"),
        pytest.param(struct.pack("=IHHII", 15, 2, 0, 0, 0), id="length below the header's"),
        pytest.param(struct.pack("=IHHII", 20, 2, 0, 0, 0), id="length beyond the datagram"),
    ],
)
def test_message_that_does_not_fit_is_refused(data: bytes) -> None:
    """A length is never believed beyond the bytes that are there."""
    with pytest.raises(MalformedMessage):
        list(parse_messages(data))


@pytest.mark.parametrize("size", [0, 3, 9])
def test_attribute_that_does_not_fit_is_refused(size: int) -> None:
    """A length of nothing would never end; one too long would read the neighbour's bytes."""
    with pytest.raises(MalformedMessage):
        parse_attributes(struct.pack("=HH", size, 1) + b"abcd")


def test_nested_attributes_parse_level_by_level() -> None:
    """A value may be attributes again; the flag that says so is not part of the type."""
    data = render_attributes(((18, ((1, b"bridge"), (2, ((5, b"x"),)))),))
    assert struct.unpack_from("=HH", data)[1] == 18 | 0x8000
    inner = parse_attributes(find_attribute(parse_attributes(data), 18) or b"")
    assert inner[0] == (1, b"bridge")
    assert parse_attributes(inner[1][1]) == ((5, b"x"),)


def test_name_ends_at_the_first_zero_byte() -> None:
    """The kernel's strings end with a zero byte, and its buffers are often larger."""
    assert render_name("eth0") == b"eth0\0"
    assert parse_name(b"eth0\0\0\0") == "eth0"
    assert parse_name(None) == ""


def test_numbering_counts_up_and_wraps() -> None:
    """Every answer repeats its request's number, which is how they find each other."""
    one, two = number_messages((Message(type=16), Message(type=20)), first=0xFFFFFFFF)
    assert (one.sequence, two.sequence) == (0xFFFFFFFF, 0)


REQUEST_HEADER = struct.pack("=IHHII", 24, 16, 5, 7, 0)
TEXT = render_attributes(((1, b"Nexthop has invalid gateway\0"),))


@pytest.mark.parametrize(
    ("message", "expected"),
    [
        pytest.param(Message(type=Nlmsg.ERROR, flags=0, body=struct.pack("=i", 0) + REQUEST_HEADER, sequence=7), Ack(sequence=7), id="done"),
        pytest.param(
            Message(type=Nlmsg.ERROR, flags=Nlm.CAPPED | Nlm.ACK_TLVS, body=struct.pack("=i", -22) + REQUEST_HEADER + TEXT),
            Ack(errno=22, text="Nexthop has invalid gateway"), id="refused with a text behind the header",
        ),
        pytest.param(
            Message(type=Nlmsg.ERROR, flags=Nlm.ACK_TLVS, body=struct.pack("=i", -22) + REQUEST_HEADER + bytes(8) + TEXT),
            Ack(errno=22, text="Nexthop has invalid gateway"), id="refused with a text behind the whole request",
        ),
        pytest.param(Message(type=Nlmsg.ERROR, flags=0, body=struct.pack("=i", -17) + REQUEST_HEADER), Ack(errno=17), id="refused without a word"),
        pytest.param(Message(type=Nlmsg.DONE, flags=Nlm.MULTI, body=struct.pack("=i", 0)), Ack(), id="end of a list"),
        pytest.param(Message(type=Nlmsg.DONE, flags=Nlm.ACK_TLVS, body=struct.pack("=i", -5) + TEXT), Ack(errno=5, text="Nexthop has invalid gateway"), id="list cut short"),
        pytest.param(Message(type=Nlmsg.DONE, flags=Nlm.MULTI), Ack(), id="end of a list without a number"),
    ],
)  # fmt: skip
def test_answer_says_done_or_why_not(message: Message, expected: Ack) -> None:
    """Error 0 is the acknowledgement; with NETLINK_EXT_ACK the kernel says in words what it did not like."""
    assert parse_ack(message) == expected
