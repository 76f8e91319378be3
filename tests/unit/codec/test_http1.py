"""HTTP/1.1 as the Remote API speaks it: events out of bytes, and nothing that two readers could take differently."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from minidocker.codec.http1 import (
    MAX_HEAD_BYTES,
    Data,
    EndOfMessage,
    Event,
    HttpError,
    MessageParser,
    Request,
    RequestParser,
    Response,
    ResponseParser,
    keeps_alive,
    render_chunk,
    render_request,
    render_response,
)

HEAD = b"POST /images/load HTTP/1.1\r\nHost: docker\r\n"
MESSAGES = {
    "no body": b"GET /_ping HTTP/1.1\r\nHost: docker\r\n\r\n",
    "length": HEAD + b"Content-Length: 5\r\n\r\nhello",
    "length zero": HEAD + b"Content-Length: 0\r\n\r\n",
    "equal lengths": HEAD + b"Content-Length: 5\r\nContent-Length: 5\r\n\r\nhello",
    "chunked": HEAD + b"Transfer-Encoding: chunked\r\n\r\n3\r\nhel\r\n2;why=not\r\nlo\r\n0\r\n\r\n",
    "chunked with trailer": HEAD + b"Transfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\nX-Sum: 1\r\n\r\n",
    "two requests": HEAD + b"Content-Length: 2\r\n\r\nhi" + b"GET /info HTTP/1.1\r\nHost: docker\r\n\r\n",
    "bad after good": HEAD + b"Content-Length: 2\r\n\r\nhi" + b"nonsense\r\n\r\n",
    "chunk too long": HEAD + b"Transfer-Encoding: chunked\r\n\r\n3\r\nhello\r\n0\r\n\r\n",
    "cut off": HEAD + b"Content-Length: 9\r\n\r\nhello",
    "cut off in a chunk's end": HEAD + b"Transfer-Encoding: chunked\r\n\r\n5\r\nhello\r",
}


def read_all(parser: MessageParser, pieces: list[bytes]) -> tuple[list[Event], str]:
    """Feed *pieces* and the end; return the events, with neighbouring data joined, and the error's text."""
    events: list[Event] = []
    try:
        for piece in [*[p for p in pieces if p], b""]:
            parser.feed(piece)
            while (event := parser.next_event()) is not None:
                if isinstance(event, Data) and events and isinstance((last := events[-1]), Data):
                    events.pop()
                    event = Data(last.data + event.data)
                events.append(event)
    except HttpError as error:
        return events, str(error)
    return events, ""


@pytest.mark.parametrize("name", MESSAGES)
@given(cuts=st.lists(st.integers(0, 120), max_size=6))
def test_parser_given_any_chunking_gives_the_same_events(name: str, cuts: list[int]) -> None:
    """Bytes arrive in whatever pieces the network makes; a message must not depend on them."""
    message = MESSAGES[name]
    places = sorted({0, len(message), *(cut for cut in cuts if cut < len(message))})
    pieces = [message[a:b] for a, b in pairwise(places)]
    assert read_all(RequestParser(), pieces) == read_all(RequestParser(), [message])


def test_parser_given_single_bytes_gives_the_same_events() -> None:
    """The hardest chunking of all, for every message of the table."""
    for message in MESSAGES.values():
        assert read_all(RequestParser(), [bytes((b,)) for b in message]) == read_all(RequestParser(), [message])


@given(st.binary(max_size=200))
@example(b"\r\n\r\n")
@example(b"GET / HTTP/1.1\r\n\r\n")
@example(b"GET / HTTP/1.1\r\nHost: a\r\nContent-Length: 99999999999999999999\r\n\r\n")
def test_parsers_given_garbage_raise_only_their_own_error(garbage: bytes) -> None:
    """A server that dies of what a stranger sends is no server: `read_all` lets any other exception through."""
    read_all(RequestParser(), [garbage])
    read_all(ResponseParser(), [garbage])
    read_all(ResponseParser(), [b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n" + garbage])


SMUGGLING = {
    "length and coding": b"Content-Length: 4\r\nTransfer-Encoding: chunked\r\n",
    "lengths that differ": b"Content-Length: 4\r\nContent-Length: 5\r\n",
    "lengths that differ in one line": b"Content-Length: 4, 5\r\n",
    "negative length": b"Content-Length: -1\r\n",
    "signed length": b"Content-Length: +5\r\n",
    "hexadecimal length": b"Content-Length: 0x5\r\n",
    "empty length": b"Content-Length: \r\n",
    "length beyond 63 bits": b"Content-Length: 9223372036854775808\r\n",
    "blank before the colon": b"Content-Length : 5\r\n",
    "folded line": b"X-A: b\r\n c\r\n",
    "bare carriage return": b"X-A: b\rContent-Length: 5\r\n",
    "bare line feed": b"X-A: b\nContent-Length: 5\r\n",
    "zero byte": b"X-A: b\0c\r\n",
    "coding hidden in a name": b"Transfer\x00-Encoding: chunked\r\n",
    "second host": b"Host: elsewhere\r\n",
    "no name": b": value\r\n",
    "no colon": b"Content-Length\r\n",
}


@pytest.mark.parametrize("lines", SMUGGLING.values(), ids=SMUGGLING.keys())
def test_request_that_two_readers_could_frame_differently_is_refused(lines: bytes) -> None:
    """RFC 9112, 11.2: where a proxy and a server disagree about the length, the rest becomes somebody's request."""
    parser = RequestParser()
    parser.feed(b"POST / HTTP/1.1\r\nHost: docker\r\n" + lines + b"\r\n")
    with pytest.raises(HttpError) as caught:
        parser.next_event()
    assert caught.value.status == 400


STATUSES = {
    "unknown coding": (b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: gzip, chunked\r\n\r\n", 501),
    "coding twice": (b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n", 501),
    "coding in 1.0": (b"POST / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n", 400),
    "no host": (b"GET / HTTP/1.1\r\n\r\n", 400),
    "version 2": (b"GET / HTTP/2.0\r\nHost: a\r\n\r\n", 505),
    "blank in the path": (b"GET /a b HTTP/1.1\r\nHost: a\r\n\r\n", 400),
    "head too long": (b"GET / HTTP/1.1\r\nX: " + b"a" * MAX_HEAD_BYTES + b"\r\n\r\n", 431),
    "head without end": (b"a" * (MAX_HEAD_BYTES + 4), 431),
    "too many headers": (b"GET / HTTP/1.1\r\n" + b"A: b\r\n" * 201 + b"\r\n", 431),
}


@pytest.mark.parametrize(("head", "status"), STATUSES.values(), ids=STATUSES.keys())
def test_request_that_breaks_the_protocol_names_the_status_to_answer(head: bytes, status: int) -> None:
    """The error says what the server answers before it closes."""
    parser = RequestParser()
    parser.feed(head)
    with pytest.raises(HttpError) as caught:
        parser.next_event()
    assert caught.value.status == status


CHUNKS = {
    "no size": b"\r\n",
    "no number": b"xyz\r\n",
    "signed": b"+5\r\nhello\r\n",
    "sixteen digits": b"1000000000000000\r\n",
    "size line without end": b"5" + b";" * 5000,
    "longer than its size": b"3\r\nhello\r\n",
}


@pytest.mark.parametrize("body", CHUNKS.values(), ids=CHUNKS.keys())
def test_chunk_with_a_wrong_size_is_refused(body: bytes) -> None:
    """A chunk is exactly as long as it says."""
    events, error = read_all(RequestParser(), [HEAD + b"Transfer-Encoding: chunked\r\n\r\n" + body])
    assert error
    assert EndOfMessage() not in events


def test_request_head_gives_method_target_and_headers_by_lower_case_name() -> None:
    """Names do not depend on their case; a repeated header is a list."""
    parser = RequestParser()
    parser.feed(b"GET /v1.50/info?a=1 HTTP/1.1\r\nHOST:  docker \r\nX-A: 1\r\nx-a: 2\r\nEmpty:\r\n\r\n")
    assert parser.next_event() == Request("GET", "/v1.50/info?a=1", {"host": "docker", "x-a": "1, 2", "empty": ""})
    assert parser.next_event() == EndOfMessage()


def test_bytes_after_an_upgrade_request_are_left_for_the_other_protocol() -> None:
    """A client may send its input right behind the request; it belongs to the container."""
    parser = RequestParser()
    parser.feed(b"POST /containers/a/attach HTTP/1.1\r\nHost: d\r\nUpgrade: tcp\r\n\r\ninput")
    assert isinstance(parser.next_event(), Request)
    assert parser.next_event() == EndOfMessage()
    assert parser.take_rest() == b"input"
    assert parser.next_event() is None


RESPONSES = {
    "length": (b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi", "GET", b"hi"),
    "until the end": (b"HTTP/1.1 200 OK\r\n\r\nall of it", "GET", b"all of it"),
    "head has none": (b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n", "HEAD", b""),
    "no content": (b"HTTP/1.1 204 No Content\r\n\r\n", "POST", b""),
    "not modified": (b"HTTP/1.1 304 Not Modified\r\nContent-Length: 9\r\n\r\n", "POST", b""),
    "no reason": (b"HTTP/1.1 200\r\nContent-Length: 0\r\n\r\n", "GET", b""),
    "after continue": (b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi", "PUT", b"hi"),
}


@pytest.mark.parametrize(("message", "method", "body"), RESPONSES.values(), ids=RESPONSES.keys())
def test_response_body_ends_where_status_method_and_headers_say(message: bytes, method: str, body: bytes) -> None:
    """RFC 9112, 6.3: the rules for the length of a body, in their order."""
    events, error = read_all(ResponseParser(method), [message])
    assert not error
    assert b"".join(event.data for event in events if isinstance(event, Data)) == body
    assert events[-1] == EndOfMessage()


def test_response_that_switches_protocols_leaves_the_rest() -> None:
    """After 101 there is no HTTP: docker attach reads frames."""
    parser = ResponseParser("POST")
    parser.feed(b"HTTP/1.1 101 UPGRADED\r\nUpgrade: tcp\r\n\r\n\x01\0\0\0")
    assert parser.next_event() == Response(101, "UPGRADED", {"upgrade": "tcp"})
    assert parser.take_rest() == b"\x01\0\0\0"


KEEP_ALIVE = {
    "1.1": ((1, 1), {}, True),
    "1.1 close": ((1, 1), {"connection": "Close"}, False),
    "1.1 close in a list": ((1, 1), {"connection": "upgrade, close"}, False),
    "1.0": ((1, 0), {}, False),
    "1.0 keep-alive": ((1, 0), {"connection": "keep-alive"}, True),
}


@pytest.mark.parametrize(("version", "headers", "expected"), KEEP_ALIVE.values(), ids=KEEP_ALIVE.keys())
def test_connection_stays_open_as_version_and_header_say(
    version: tuple[int, int], headers: dict[str, str], expected: bool
) -> None:
    """HTTP/1.1 keeps it unless told otherwise, HTTP/1.0 closes it unless told otherwise."""
    assert keeps_alive(Request("GET", "/", headers, version)) is expected


TEXT = st.text(st.characters(min_codepoint=33, max_codepoint=126), min_size=1, max_size=20)
NAMES = st.from_regex(r"X-[a-z]{1,8}", fullmatch=True)


@given(st.dictionaries(NAMES, TEXT, max_size=5), st.lists(st.binary(min_size=1, max_size=30), max_size=5))
def test_rendered_request_parses_to_itself(headers: dict[str, str], pieces: list[bytes]) -> None:
    """What the client writes, the server reads."""
    fields = [("Host", "docker"), ("Transfer-Encoding", "chunked"), *headers.items()]
    message = render_request("PUT", "/x?y=%20", fields) + b"".join(map(render_chunk, pieces)) + b"0\r\n\r\n"
    events, error = read_all(RequestParser(), [message])
    assert not error
    assert events[0] == Request("PUT", "/x?y=%20", {name.lower(): value for name, value in fields})
    assert b"".join(event.data for event in events if isinstance(event, Data)) == b"".join(pieces)


@given(st.sampled_from([200, 201, 304, 404, 599]), TEXT)
def test_rendered_response_parses_to_itself(status: int, value: str) -> None:
    """What the server writes, the client reads."""
    parser = ResponseParser("HEAD")
    parser.feed(render_response(status, [("X-A", value), ("Content-Length", "0")]))
    head = parser.next_event()
    assert isinstance(head, Response)
    assert (head.status, head.headers) == (status, {"x-a": value, "content-length": "0"})


@pytest.mark.parametrize("value", ["a\r\nX-B: c", "a\nb", "a\0b", "\u20ac"], ids=["line", "line feed", "zero", "no latin-1"])
def test_header_value_with_a_line_end_is_not_rendered(value: str) -> None:
    """A name from a request that lands in a header must not add a header of its own."""
    with pytest.raises(ValueError, match="control character"):
        render_response(200, [("X-A", value)])


def test_empty_chunk_is_not_rendered() -> None:
    """A chunk without bytes is the end of the body; no data must not end it."""
    assert render_chunk(b"") == b""


@pytest.mark.parametrize("target", ["/a b", "/a\r\nb", "/\u20ac"], ids=["blank", "line", "no ascii"])
def test_request_with_an_impossible_target_is_not_rendered(target: str) -> None:
    """The caller percent-encodes; the codec does not guess."""
    with pytest.raises(ValueError, match="cannot be sent"):
        render_request("GET", target, [])


def test_tls_on_a_port_without_it_is_refused_at_its_first_byte() -> None:
    """A client that tries TLS first waits for our answer before it falls back: nobody may wait for a line's end here."""
    parser = RequestParser()
    parser.feed(b"\x16")
    with pytest.raises(HttpError, match="is this TLS"):
        parser.next_event()
