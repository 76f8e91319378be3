"""DNS messages: questions read, answers written, everything between passed on as it is.

Pure. A message is a header of twelve bytes, then questions, answers and more records. A name is a row of labels, each with
its length in front, and ends with a label of length 0; a length from 192 up is a pointer to where the rest of the name stood
before, which is how names in answers repeat the question's.

    id  flags  questions  answers  authorities  additionals        each two bytes, in network order

Rule: a message comes from anybody, so every length is checked and no pointer is followed; a question that uses one is
refused, because there is nothing before it to point to. See RFC 1035 and RFC 6891. Chapter 18.
"""

from __future__ import annotations

import ipaddress
import struct
from collections.abc import Sequence
from dataclasses import dataclass
from enum import IntEnum
from typing import Final

from minidocker.errors import InvalidParameter

__all__ = [
    "MAX_UDP_BYTES", "Answer", "MalformedQuestion", "Query", "Rcode", "RecordType", "parse_query", "parse_reverse_name", "read_id",
    "render_response",
]  # fmt: skip

_HEADER: Final = struct.Struct(">HHHHHH")
_QUESTION_TAIL: Final = struct.Struct(">HH")
_RECORD_TAIL: Final = struct.Struct(">HHIH")

MAX_UDP_BYTES: Final = 512
"""What a client without EDNS takes in one datagram."""
MAX_NAME_BYTES: Final = 255
MAX_LABEL_BYTES: Final = 63
IN: Final = 1
ANY_CLASS: Final = 255
_OPT: Final = 41
_RESPONSE, _AUTHORITATIVE, _TRUNCATED, _RECURSION_DESIRED, _RECURSION_AVAILABLE = 0x8000, 0x0400, 0x0200, 0x0100, 0x0080
_OPCODE_MASK: Final = 0x7800


class MalformedQuestion(InvalidParameter):
    """Bytes that are no question."""


class RecordType(IntEnum):
    """The types of records that a container's name service knows."""

    A = 1
    PTR = 12
    AAAA = 28
    ANY = 255


class Rcode(IntEnum):
    """How a response went."""

    NOERROR = 0
    FORMERR = 1
    SERVFAIL = 2
    NXDOMAIN = 3
    NOTIMP = 4
    REFUSED = 5


@dataclass(frozen=True, slots=True, kw_only=True)
class Query:
    """One question."""

    id: int
    name: str
    """In lower case, without the dot at the end; bytes that are no ASCII letters stand as they are (Latin-1)."""
    type: int
    question: bytes
    """The question as it came: an answer repeats it, capitals and all."""
    flags: int = _RECURSION_DESIRED
    max_bytes: int = MAX_UDP_BYTES
    """How long a datagram the client takes; from EDNS."""
    edns: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """One record about the name of the question: an address, or for PTR a name."""

    value: str
    ttl_s: int = 600


def read_id(message: bytes) -> int:
    """Return the number by which an answer finds its question."""
    return int.from_bytes(message[:2], "big")


def parse_query(message: bytes) -> Query:
    """Return the one question in *message*.

    Raises:
        MalformedQuestion: it is an answer, has not exactly one question, or does not hold what its lengths say.
    """
    if len(message) < _HEADER.size:
        raise MalformedQuestion(f"parse DNS message: {len(message)} bytes are no header")
    identity, flags, questions, answers, authorities, additionals = _HEADER.unpack_from(message)
    if flags & (_RESPONSE | _OPCODE_MASK) or questions != 1 or answers or authorities:
        raise MalformedQuestion("parse DNS message: it is not one standard question")
    labels, offset = _parse_labels(message, _HEADER.size)
    if len(message) < offset + _QUESTION_TAIL.size:
        raise MalformedQuestion("parse DNS message: the question is cut off")
    kind, class_ = _QUESTION_TAIL.unpack_from(message, offset)
    offset += _QUESTION_TAIL.size
    if class_ not in (IN, ANY_CLASS):
        kind = 0  # of another world: nothing here is known by that type
    size = _parse_edns(message, offset) if additionals else 0
    return Query(
        id=identity, name=".".join(label.decode("latin-1") for label in labels).lower(), type=kind,
        question=message[_HEADER.size : offset], flags=flags, max_bytes=max(size, MAX_UDP_BYTES), edns=size > 0,
    )  # fmt: skip


def _parse_labels(message: bytes, offset: int) -> tuple[list[bytes], int]:
    """Return the labels of the name at *offset*, and where it ends."""
    labels: list[bytes] = []
    start = offset
    while True:
        if offset >= len(message):
            raise MalformedQuestion("parse DNS message: a name is cut off")
        length = message[offset]
        offset += 1
        if length == 0:
            return labels, offset
        if length > MAX_LABEL_BYTES or offset + length > len(message) or offset + length - start > MAX_NAME_BYTES:
            raise MalformedQuestion("parse DNS message: a label is too long, or points elsewhere")
        labels.append(message[offset : offset + length])
        offset += length


def _parse_edns(message: bytes, offset: int) -> int:
    """Return the size of datagrams that the client takes, 0 if the first additional record does not say."""
    if len(message) < offset + 1 + _RECORD_TAIL.size or message[offset] != 0:
        return 0
    kind, size, _ttl, _length = _RECORD_TAIL.unpack_from(message, offset + 1)
    return size if kind == _OPT else 0


def render_response(query: Query, answers: Sequence[Answer] = (), *, rcode: Rcode = Rcode.NOERROR, max_bytes: int = 0) -> bytes:
    """Return the response to *query*; with *max_bytes*, one that is longer is cut off, and says so: ask again over TCP."""
    question = query.question
    opt = b"\0" + _RECORD_TAIL.pack(_OPT, 4096, 0, 0) if query.edns else b""
    records = [_render_answer(query, answer) for answer in answers]
    flags = _RESPONSE | _RECURSION_AVAILABLE | (query.flags & _RECURSION_DESIRED) | rcode
    size = _HEADER.size + len(question) + len(opt) + sum(map(len, records))
    if max_bytes and size > max_bytes:
        flags, records = flags | _TRUNCATED, []
    header = _HEADER.pack(query.id, flags | (_AUTHORITATIVE if records else 0), 1, len(records), 0, 1 if opt else 0)
    return b"".join((header, question, *records, opt))


def _render_answer(query: Query, answer: Answer) -> bytes:
    """Return one record; its name is a pointer to the question's."""
    if query.type == RecordType.PTR:
        kind, data = RecordType.PTR, _render_name(answer.value)
    else:
        address = ipaddress.ip_address(answer.value)
        kind, data = RecordType.A if address.version == 4 else RecordType.AAAA, address.packed
    return b"\xc0\x0c" + _RECORD_TAIL.pack(kind, IN, answer.ttl_s, len(data)) + data


def _render_name(name: str) -> bytes:
    """Return *name* as labels; what would not fit is left out."""
    labels = [label.encode("latin-1", "replace")[:MAX_LABEL_BYTES] for label in name.split(".") if label]
    return b"".join(bytes((len(label),)) + label for label in labels)[: MAX_NAME_BYTES - 1] + b"\0"


def parse_reverse_name(name: str) -> str:
    """Return the address that `2.0.18.172.in-addr.arpa` (or a name under `ip6.arpa`) asks about; empty for another name."""
    labels = name.split(".")
    try:
        if labels[-2:] == ["in-addr", "arpa"] and len(labels) == 6:
            return str(ipaddress.IPv4Address(".".join(reversed(labels[:4]))))
        if labels[-2:] == ["ip6", "arpa"] and len(labels) == 34 and all(len(label) == 1 for label in labels[:32]):
            return str(ipaddress.IPv6Address(int("".join(reversed(labels[:32])), 16)))
    except ValueError:
        return ""
    return ""
