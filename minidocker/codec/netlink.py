"""Netlink: the message frame in which Linux's network stack is asked and answers.

Pure. A message is a header of 16 bytes and a body; a body is a fixed C struct (made by the codec of the family, such as
`minidocker.codec.rtnetlink`) followed by attributes. An attribute is type, length, value and padding to four bytes; its
length counts the header but not the padding. Numbers are in the machine's own byte order.

    struct nlmsghdr { __u32 nlmsg_len; __u16 nlmsg_type, nlmsg_flags; __u32 nlmsg_seq, nlmsg_pid; };
    struct nlattr   { __u16 nla_len, nla_type; };
    struct nlmsgerr { int error; struct nlmsghdr msg; /* the request, unless NLM_F_CAPPED; then attributes */ };

Rule: nothing here knows what an attribute means. See netlink(7). Chapter 18.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from enum import IntEnum, IntFlag
from typing import Final, Union

from minidocker.errors import HostError

__all__ = [
    "Ack", "AttributeValue", "Attributes", "MalformedMessage", "Message", "Nlm", "Nlmsg", "find_attribute", "number_messages",
    "parse_ack", "parse_attributes", "parse_messages", "parse_name", "render_attributes", "render_messages", "render_name",
]  # fmt: skip

_HEADER: Final = struct.Struct("=IHHII")
_ATTRIBUTE: Final = struct.Struct("=HH")
_ERROR: Final = struct.Struct("=i")

_NESTED: Final = 0x8000
_TYPE_MASK: Final = 0x3FFF
"""The two upper bits of an attribute's type say "nested" and "network byte order"."""

_EXT_ACK_TEXT: Final = 1
"""`NLMSGERR_ATTR_MSG`: the kernel's own words for an error."""

AttributeValue = Union[bytes, Sequence["tuple[int, AttributeValue]"]]  # noqa: UP007 - recursive alias
"""Bytes, or attributes inside an attribute."""

Attributes = Sequence[tuple[int, AttributeValue]]
"""Type and value, in the order in which they travel."""


class MalformedMessage(HostError):
    """Bytes from the kernel are no netlink message."""


class Nlmsg(IntEnum):
    """Message types that every family shares."""

    NOOP = 1
    ERROR = 2
    DONE = 3


class Nlm(IntFlag):
    """Message flags; the bits from 0x100 mean one thing in a "get", another in a "new" and a third in an error."""

    REQUEST = 0x1
    MULTI = 0x2
    ACK = 0x4
    ECHO = 0x8
    DUMP = 0x300
    REPLACE = 0x100
    EXCL = 0x200
    CREATE = 0x400
    APPEND = 0x800
    CAPPED = 0x100
    ACK_TLVS = 0x200


@dataclass(frozen=True, slots=True, kw_only=True)
class Message:
    """One netlink message."""

    type: int
    flags: int = Nlm.REQUEST | Nlm.ACK
    body: bytes = b""
    sequence: int = 0
    """Chosen by the sender; the answer repeats it."""
    port: int = 0
    """The socket's netlink address; 0 is the kernel."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Ack:
    """The kernel's answer to a request: done, or why not."""

    errno: int = 0
    """0 when the request was carried out."""
    text: str = ""
    """The kernel's explanation (NETLINK_EXT_ACK), where it gives one."""
    sequence: int = 0


def _pad(length: int) -> int:
    """Return *length* rounded up to four bytes."""
    return (length + 3) & ~3


def render_attributes(attributes: Attributes) -> bytes:
    """Return the bytes of *attributes*, each padded; a sequence as a value is nested."""
    parts: list[bytes] = []
    for kind, value in attributes:
        nested = not isinstance(value, bytes)
        data = value if isinstance(value, bytes) else render_attributes(value)
        size = _ATTRIBUTE.size + len(data)
        parts += (_ATTRIBUTE.pack(size, kind | _NESTED if nested else kind), data, bytes(_pad(size) - size))
    return b"".join(parts)


def parse_attributes(data: bytes) -> tuple[tuple[int, bytes], ...]:
    """Return type and value of each attribute in *data*; a nested value is parsed by calling this again.

    Raises:
        MalformedMessage: a length that does not fit.
    """
    found: list[tuple[int, bytes]] = []
    offset = 0
    while offset + _ATTRIBUTE.size <= len(data):
        size, kind = _ATTRIBUTE.unpack_from(data, offset)
        if not _ATTRIBUTE.size <= size <= len(data) - offset:
            raise MalformedMessage(f"parse netlink attribute `{kind & _TYPE_MASK}`: length {size} at byte {offset} does not fit")
        found.append((kind & _TYPE_MASK, data[offset + _ATTRIBUTE.size : offset + size]))
        offset += _pad(size)
    return tuple(found)


def find_attribute(attributes: Iterable[tuple[int, bytes]], kind: int) -> bytes | None:
    """Return the value of the first attribute of type *kind*."""
    return next((value for found, value in attributes if found == kind), None)


def render_name(text: str) -> bytes:
    """Return *text* as the kernel wants strings: UTF-8 with a zero byte at the end."""
    return text.encode() + b"\0"


def parse_name(value: bytes | None) -> str:
    """Return the text before the first zero byte; a missing attribute is the empty text."""
    return (value or b"").partition(b"\0")[0].decode(errors="replace")


def number_messages(messages: Iterable[Message], *, first: int) -> tuple[Message, ...]:
    """Return *messages* with consecutive sequence numbers, so that answers find their requests."""
    return tuple(replace(m, sequence=(first + i) & 0xFFFFFFFF) for i, m in enumerate(messages))


def render_messages(messages: Iterable[Message]) -> bytes:
    """Return *messages* one behind the other, as one send(2) takes them."""
    parts: list[bytes] = []
    for m in messages:
        size = _HEADER.size + len(m.body)
        parts += (_HEADER.pack(size, m.type, m.flags, m.sequence, m.port), m.body, bytes(_pad(size) - size))
    return b"".join(parts)


def parse_messages(data: bytes) -> Iterator[Message]:
    """Yield each message of one received datagram.

    Raises:
        MalformedMessage: a header or a length that does not fit.
    """
    offset = 0
    while offset < len(data):
        if len(data) - offset < _HEADER.size:
            raise MalformedMessage(f"parse netlink message at byte {offset}: header of {_HEADER.size} bytes is cut off")
        size, kind, flags, sequence, port = _HEADER.unpack_from(data, offset)
        if not _HEADER.size <= size <= len(data) - offset:
            raise MalformedMessage(f"parse netlink message at byte {offset}: length {size} does not fit")
        body = data[offset + _HEADER.size : offset + size]
        yield Message(type=kind, flags=flags, body=body, sequence=sequence, port=port)
        offset += _pad(size)


def parse_ack(message: Message) -> Ack:
    """Return what an `Nlmsg.ERROR` (or the `Nlmsg.DONE` of a dump) says; error 0 is the acknowledgement.

    Raises:
        MalformedMessage: *message* is too short to be one.
    """
    if len(message.body) < _ERROR.size:
        if message.type == Nlmsg.DONE:
            return Ack(sequence=message.sequence)
        raise MalformedMessage(f"parse netlink error: body of {len(message.body)} bytes is too short")
    (number,) = _ERROR.unpack_from(message.body)
    text = ""
    if message.flags & Nlm.ACK_TLVS:
        text = parse_name(find_attribute(parse_attributes(message.body[_attributes_offset(message) :]), _EXT_ACK_TEXT))
    return Ack(errno=max(0, -number), text=text, sequence=message.sequence)


def _attributes_offset(message: Message) -> int:
    """Return where attributes begin in an error: behind the request it repeats, whole or only its header."""
    if message.type == Nlmsg.DONE:
        return _ERROR.size
    if len(message.body) < _ERROR.size + _HEADER.size:
        raise MalformedMessage("parse netlink error: the header of the request is cut off")
    request_size = int(_HEADER.unpack_from(message.body, _ERROR.size)[0])
    capped = message.flags & Nlm.CAPPED
    return _ERROR.size + (_HEADER.size if capped else _pad(max(request_size, _HEADER.size)))
