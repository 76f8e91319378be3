"""DNS: a question is read to the byte, and hostile bytes are refused, whatever they are."""

from __future__ import annotations

import struct

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from minidocker.codec.dns import (
    Answer, MalformedQuestion, Query, Rcode, RecordType, parse_query, parse_reverse_name, render_response,
)  # fmt: skip

LABELS = st.lists(st.text("abcXYZ019-_", min_size=1, max_size=63), min_size=1, max_size=4).filter(lambda ls: sum(map(len, ls)) < 240)


def question(name: str, kind: int = 1, *, identity: int = 7, flags: int = 0x0100, edns: int = 0, class_: int = 1) -> bytes:
    """Return a question as a client sends it."""
    labels = b"".join(bytes((len(label),)) + label.encode() for label in name.split(".") if label)
    opt = b"\0" + struct.pack(">HHIH", 41, edns, 0, 0) if edns else b""
    header = struct.pack(">HHHHHH", identity, flags, 1, 0, 0, 1 if edns else 0)
    return header + labels + b"\0" + struct.pack(">HH", kind, class_) + opt


@given(LABELS, st.integers(0, 0xFFFF), st.sampled_from([1, 12, 28, 255, 15]))
def test_question_is_read_as_it_was_asked(labels: list[str], identity: int, kind: int) -> None:
    """The name is compared without regard to case; the answer repeats the question with its capitals."""
    query = parse_query(question(".".join(labels), kind, identity=identity))
    assert (query.id, query.name, query.type, query.edns) == (identity, ".".join(labels).lower(), kind, False)
    assert render_response(query)[12:] == query.question


@given(st.binary(max_size=600))
@example(b"\0\1\1\0\0\1\0\0\0\0\0\0\xc0\x0c\0\1\0\1")
@example(b"\0\1\1\0\0\1\0\0\0\0\0\0" + b"\x3f" + b"a" * 63)
@example(b"\0\1\1\0\0\1\0\0\0\0\0\0" + (b"\x3f" + b"a" * 63) * 5 + b"\0\0\1\0\1")
def test_hostile_bytes_are_a_question_or_malformed(data: bytes) -> None:
    """Pointers into themselves, names without end, lengths beyond the message: nothing but `MalformedQuestion`."""
    try:
        query = parse_query(data)
    except MalformedQuestion:
        return
    assert len(query.question) <= len(data)
    assert len(query.name) <= 255


@pytest.mark.parametrize(
    "message",
    [b"", b"\0" * 11, question("a", flags=0x8180), question("a", flags=0x2800), question("web")[:-3], b"\0\1\1\0\0\2" + question("a")[6:]],
    ids=["nothing", "half a header", "an answer", "an update", "cut off", "two questions"],
)
def test_other_messages_are_malformed(message: bytes) -> None:
    """What is no single standard question is not guessed at."""
    with pytest.raises(MalformedQuestion):
        parse_query(message)


def test_edns_says_how_much_fits() -> None:
    """Without it 512 bytes; the answer says that it understood."""
    query = parse_query(question("web", edns=4096))
    assert (query.max_bytes, query.edns) == (4096, True)
    assert struct.unpack(">H", render_response(query)[10:12]) == (1,)
    assert parse_query(question("web", edns=100)).max_bytes == 512


def test_question_of_another_class_has_no_type_that_is_known() -> None:
    """CHAOS asks for the server's version: not ours to answer."""
    assert parse_query(question("version.bind", 16, class_=3)).type == 0


def test_answers_point_at_the_name_of_the_question() -> None:
    """Two bytes instead of the name: 0xc00c is where the question's name begins."""
    query = parse_query(question("web"))
    response = render_response(query, [Answer(value="172.18.0.2"), Answer(value="172.18.0.3", ttl_s=5)])
    record = b"\xc0\x0c" + struct.pack(">HHIH", 1, 1, 600, 4) + bytes((172, 18, 0, 2))
    assert response[12 + len(query.question) :].startswith(record)
    assert struct.unpack(">HHHH", response[:8]) == (7, 0x8580, 1, 2)


def test_answer_that_does_not_fit_is_cut_off_and_says_so() -> None:
    """The client asks again over TCP, where there is no limit."""
    query = parse_query(question("web"))
    answers = [Answer(value=f"10.0.{n // 250}.{n % 250}") for n in range(100)]
    cut, whole = render_response(query, answers, max_bytes=512), render_response(query, answers)
    assert (len(cut), cut[2] & 2, struct.unpack(">H", cut[6:8])) == (12 + len(query.question), 2, (0,))
    assert struct.unpack(">H", whole[6:8]) == (100,)


def test_failure_is_a_number_in_the_header() -> None:
    """SERVFAIL: try elsewhere. NXDOMAIN: there is no such name."""
    assert render_response(parse_query(question("x")), rcode=Rcode.NXDOMAIN)[3] & 15 == 3


@pytest.mark.parametrize(
    ("name", "address"),
    [
        ("2.0.18.172.in-addr.arpa", "172.18.0.2"), ("1.18.172.in-addr.arpa", ""), ("300.0.18.172.in-addr.arpa", ""), ("web", ""),
        (".".join(reversed("fd000000000000000000000000000002")) + ".ip6.arpa", "fd00::2"), ("x." * 32 + "ip6.arpa", ""),
    ],
)  # fmt: skip
def test_reverse_name_is_an_address_backwards(name: str, address: str) -> None:
    """Whoever looks up who 172.18.0.2 is asks for 2.0.18.172.in-addr.arpa."""
    assert parse_reverse_name(name) == address


def test_name_in_an_answer_is_labels_too() -> None:
    """PTR: the answer is a name."""
    query = Query(id=1, name="", type=RecordType.PTR, question=b"\0\0\x0c\0\1")
    assert render_response(query, [Answer(value="web.shop")]).endswith(b"\3web\4shop\0")
