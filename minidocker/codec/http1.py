"""HTTP/1.1 messages: bytes to events and back, for the server and for the client.

Theory of operation. A `MessageParser` is fed bytes as they arrive and gives, for each message, one `Request` or `Response`,
any number of `Data`, one `EndOfMessage`; `next_event` returns `None` while bytes are missing. What follows the message
stays in the buffer: the next request, or, after an upgrade, bytes of another protocol (`take_rest`).

    idle ──head──▶ body by length ─┐
      ▲   │──────▶ chunked ────────┤
      │   │──────▶ until the end ──┤      (responses only)
      └───┴────────────────────────┴──▶ EndOfMessage ──▶ idle, or closed, or switched to another protocol

Rule: strict, because what two programs read differently is how requests are smuggled (RFC 9112, section 11.2). Lines end in
CR LF; a message with both `Content-Length` and `Transfer-Encoding` is refused, and so are two lengths that differ, folded
lines, blanks before the colon. Pure. See RFC 9110, RFC 9112. Chapter 12.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Final

__all__ = [
    "CONTINUE", "LAST_CHUNK", "MAX_HEAD_BYTES", "REASONS", "Data", "EndOfMessage", "HttpError", "MessageParser", "Request",
    "RequestParser", "Response", "ResponseParser", "keeps_alive", "render_chunk", "render_request", "render_response",
]  # fmt: skip

MAX_HEAD_BYTES: Final = 256 * 1024
"""Start line and headers together. Go's server takes 1 MiB; ours must hold the registry credentials of a build."""
MAX_HEADERS: Final = 200
"""Header lines of one message; browsers send about 20, docker about 6."""
MAX_CHUNK_LINE_BYTES: Final = 4096
"""A chunk's size with its extensions; also a trailer section. Go takes 4096."""
MAX_LENGTH_DIGITS: Final = 18
"""Digits of a `Content-Length`: below 2**63, whatever the reader's language."""
MAX_CHUNK_DIGITS: Final = 15
"""Hexadecimal digits of a chunk's size: below 2**63 too."""

CONTINUE: Final = b"HTTP/1.1 100 Continue\r\n\r\n"
"""What a client that sent `Expect: 100-continue` waits for before it sends the body."""
LAST_CHUNK: Final = b"0\r\n\r\n"
"""The end of a chunked body."""
REASONS: Final[Mapping[int, str]] = {
    100: "Continue", 101: "UPGRADED", 200: "OK", 201: "Created", 202: "Accepted", 204: "No Content", 206: "Partial Content",
    301: "Moved Permanently", 302: "Found", 304: "Not Modified", 307: "Temporary Redirect", 308: "Permanent Redirect",
    400: "Bad Request", 401: "Unauthorized", 403: "Forbidden", 404: "Not Found", 405: "Method Not Allowed",
    406: "Not Acceptable", 409: "Conflict", 412: "Precondition Failed", 413: "Content Too Large",
    416: "Range Not Satisfiable", 429: "Too Many Requests", 431: "Request Header Fields Too Large",
    500: "Internal Server Error", 501: "Not Implemented", 502: "Bad Gateway", 503: "Service Unavailable",
    505: "HTTP Version Not Supported",
}  # fmt: skip
"""The words after a status; 101 is Docker's spelling, which old clients compared."""

# RFC 9110, section 5.6.2, and 9112, sections 3 and 5: token, request-line, status-line, field-line. A field value may hold
# visible ASCII, blanks and bytes above 127, but no control character: a bare CR or a NUL is where readers disagree.
_TOKEN: Final = rb"[!#$%&'*+.^_`|~0-9A-Za-z-]+"
_FIRST: Final = re.compile(rb"[!#$%&'*+.^_`|~0-9A-Za-z-]")
_REQUEST_LINE: Final = re.compile(rb"(" + _TOKEN + rb") ([!-~]+) HTTP/([0-9])\.([0-9])")
_STATUS_LINE: Final = re.compile(rb"HTTP/([0-9])\.([0-9]) ([1-9][0-9]{2})(?: ([\t -~\x80-\xff]*))?")
_FIELD: Final = re.compile(rb"(" + _TOKEN + rb"):[ \t]*((?:[!-~\x80-\xff](?:[\t -~\x80-\xff]*[!-~\x80-\xff])?)?)[ \t]*")
_CHUNK_LINE: Final = re.compile(rb"([0-9A-Fa-f]+)[ \t]*(?:;[\t -~\x80-\xff]*)?")
_SAFE_TEXT: Final = re.compile(r"[\t -~\x80-\xff]*")

_NO_BODY: Final = 0
_CHUNK_HEADER: Final = -1
_CHUNK_DATA: Final = -2
_TRAILERS: Final = -3
_UNTIL_CLOSE: Final = -4
_IDLE: Final = -5
_CLOSED: Final = -6


class HttpError(Exception):
    """The peer broke the protocol; *status* is what a server answers before it closes the connection."""

    def __init__(self, message: str, *, status: int = 400) -> None:
        """Keep the sentence and the status."""
        super().__init__(message)
        self.status = status


@dataclass(frozen=True, slots=True)
class Request:
    """The head of a request. Header names are lower case; repeated headers are joined by `, `."""

    method: str
    target: str
    headers: Mapping[str, str]
    version: tuple[int, int] = (1, 1)


@dataclass(frozen=True, slots=True)
class Response:
    """The head of a response."""

    status: int
    reason: str
    headers: Mapping[str, str]
    version: tuple[int, int] = (1, 1)


@dataclass(frozen=True, slots=True)
class Data:
    """A piece of the body."""

    data: bytes


@dataclass(frozen=True, slots=True)
class EndOfMessage:
    """The body is complete; trailers are read and dropped."""


Event = Request | Response | Data | EndOfMessage
_END: Final = EndOfMessage()


class MessageParser:
    """What requests and responses have in common; use one of the two subclasses."""

    def __init__(self) -> None:
        """Wait for the first message."""
        self._buffer = bytearray()
        self._scanned = 0
        """How much of the buffer is known not to hold the end of the head."""
        self._state = _IDLE
        """A positive number is the length of what is left of the body."""
        self._chunk_left = 0
        self._ended = False
        self._finish_next = False

    def feed(self, data: bytes) -> None:
        """Take *data* from the connection; empty means that the peer has ended its side."""
        if data:
            self._buffer += data
        else:
            self._ended = True

    @property
    def is_idle(self) -> bool:
        """Whether the parser stands between two messages."""
        return self._state == _IDLE and not self._finish_next

    @property
    def has_bytes(self) -> bool:
        """Whether bytes wait that belong to no event yet."""
        return bool(self._buffer)

    def take_rest(self) -> bytes:
        """Return and forget the bytes after the message: after an upgrade they are another protocol's."""
        rest = bytes(self._buffer)
        self._buffer.clear()
        self._state, self._finish_next = _CLOSED, False
        return rest

    def next_event(self) -> Event | None:
        """Return the next event, or `None` until more bytes are fed (or, at a clean end, for ever).

        Raises:
            HttpError: the bytes break the protocol, or end in the middle of a message.
        """
        if self._finish_next:
            self._finish_next, self._state, self._scanned = False, _IDLE, 0
            return _END
        state = self._state
        if state == _IDLE:
            return self._next_head()
        if state > 0:
            return self._next_data(state)
        if state in (_CHUNK_HEADER, _CHUNK_DATA):
            return self._next_chunk()
        if state == _TRAILERS:
            return self._next_trailers()
        if state == _UNTIL_CLOSE:
            return self._next_until_close()
        return None

    # --- heads

    def _next_head(self) -> Event | None:
        if self._buffer and _FIRST.match(self._buffer) is None:  # a client that begins TLS waits for an answer, not for more bytes
            raise HttpError(f"read message head: `{_show(bytes(self._buffer[:1]))}` begins no message; is this TLS?")
        end = self._buffer.find(b"\r\n\r\n", self._scanned)
        if end < 0 or end > MAX_HEAD_BYTES:
            if len(self._buffer) >= MAX_HEAD_BYTES + 4:
                raise HttpError(f"read message head: it is longer than {MAX_HEAD_BYTES} bytes", status=431)
            if self._ended and self._buffer:
                raise HttpError("read message head: the connection ended in the middle of it")
            self._scanned = max(0, len(self._buffer) - 3)
            return None
        head = bytes(self._buffer[:end])
        del self._buffer[: end + 4]
        first, _, block = head.partition(b"\r\n")
        headers = _parse_headers(block)
        return self._begin(first, headers)

    def _begin(self, first_line: bytes, headers: dict[str, str]) -> Event:
        """Return the head that starts with *first_line*, and prepare for its body."""
        raise NotImplementedError

    def _expect_body(self, length: int) -> None:
        """Prepare for a body of *length* bytes, or for one of the framings below zero."""
        self._state = length
        self._finish_next = length == _NO_BODY

    # --- bodies

    def _next_data(self, left: int) -> Event | None:
        if not self._buffer:
            self._require_open()
            return None
        data = bytes(self._buffer[:left])
        del self._buffer[: len(data)]
        self._expect_body(left - len(data))
        return Data(data)

    def _next_until_close(self) -> Event | None:
        if self._buffer:
            data = bytes(self._buffer)
            self._buffer.clear()
            return Data(data)
        if not self._ended:
            return None
        self._state = _CLOSED
        return _END

    def _next_chunk(self) -> Event | None:
        if self._state == _CHUNK_HEADER:
            line = self._take_line()
            if line is None:
                return None
            match = _CHUNK_LINE.fullmatch(line)
            if match is None or len(match[1]) > MAX_CHUNK_DIGITS:
                raise HttpError(f"read chunk: `{_show(line)}` is no size")
            self._chunk_left = int(match[1], 16)
            if not self._chunk_left:
                self._state = _TRAILERS
                return self._next_trailers()
            self._state = _CHUNK_DATA
        if not self._chunk_left:
            return self._next_chunk() if self._skip_chunk_end() else None
        return self._next_chunk_data()

    def _next_chunk_data(self) -> Event | None:
        if not self._buffer:
            self._require_open()
            return None
        data = bytes(self._buffer[: self._chunk_left])
        del self._buffer[: len(data)]
        self._chunk_left -= len(data)
        return Data(data)

    def _skip_chunk_end(self) -> bool:
        """After the last byte of a chunk: drop its CR LF; whether both were there."""
        if not b"\r\n".startswith(self._buffer[:2]):
            raise HttpError("read chunk: it is longer than its size says")
        if len(self._buffer) < 2:
            self._require_open()
            return False
        del self._buffer[:2]
        self._state = _CHUNK_HEADER
        return True

    def _next_trailers(self) -> Event | None:
        while (line := self._take_line()) is not None:
            if not line:
                self._state = _IDLE
                self._scanned = 0
                return _END
            if _FIELD.fullmatch(line) is None:
                raise HttpError(f"read trailer: `{_show(line)}` is no header")
        return None

    def _take_line(self) -> bytes | None:
        """Return the next line without its end, or `None` while it is incomplete."""
        end = self._buffer.find(b"\r\n", 0, MAX_CHUNK_LINE_BYTES + 2)
        if end < 0:
            if len(self._buffer) >= MAX_CHUNK_LINE_BYTES + 2:
                raise HttpError(f"read chunk: a line is longer than {MAX_CHUNK_LINE_BYTES} bytes")
            self._require_open()
            return None
        line = bytes(self._buffer[:end])
        del self._buffer[: end + 2]
        return line

    def _require_open(self) -> None:
        if self._ended:
            raise HttpError("read message body: the connection ended in the middle of it")


class RequestParser(MessageParser):
    """The server's side: requests."""

    def _begin(self, first_line: bytes, headers: dict[str, str]) -> Request:
        match = _REQUEST_LINE.fullmatch(first_line)
        if match is None:
            raise HttpError(f"read request: `{_show(first_line)}` is no request line")
        version = (int(match[3]), int(match[4]))
        if version[0] != 1:
            raise HttpError(f"read request: HTTP/{version[0]}.{version[1]} is not spoken here", status=505)
        host = headers.get("host")
        if version >= (1, 1) and (host is None or "," in host):
            raise HttpError("read request: HTTP/1.1 needs exactly one `Host`")
        length = _parse_framing(headers, version)
        self._expect_body(_NO_BODY if length is None else length)
        return Request(match[1].decode("ascii"), match[2].decode("ascii"), headers, version)


class ResponseParser(MessageParser):
    """The client's side: responses, each to a request whose method it must know."""

    def __init__(self, method: str = "GET") -> None:
        """Wait for the response to a request with *method*."""
        super().__init__()
        self.method = method

    def _begin(self, first_line: bytes, headers: dict[str, str]) -> Response:
        match = _STATUS_LINE.fullmatch(first_line)
        if match is None:
            raise HttpError(f"read response: `{_show(first_line)}` is no status line")
        status, version = int(match[3]), (int(match[1]), int(match[2]))
        response = Response(status, (match[4] or b"").decode("latin-1"), headers, version)
        if status == 101:
            self._state = _CLOSED
        elif status < 200:
            self._state, self._scanned = _IDLE, 0  # an interim response: no body, no end, the real one follows
        elif self.method == "HEAD" or status in (204, 304):
            self._expect_body(_NO_BODY)
        else:
            length = _parse_framing(headers, version)
            self._expect_body(_UNTIL_CLOSE if length is None else length)
        return response


def _parse_headers(block: bytes) -> dict[str, str]:
    """Return the header lines in *block* by lower-case name."""
    headers: dict[str, str] = {}
    if not block:
        return headers
    lines = block.split(b"\r\n")
    if len(lines) > MAX_HEADERS:
        raise HttpError(f"read headers: there are more than {MAX_HEADERS}", status=431)
    for line in lines:
        match = _FIELD.fullmatch(line)
        if match is None:
            raise HttpError(f"read headers: `{_show(line)}` is no header")
        name, value = match[1].decode("ascii").lower(), match[2].decode("latin-1")
        headers[name] = f"{headers[name]}, {value}" if name in headers else value
    return headers


def _parse_framing(headers: Mapping[str, str], version: tuple[int, int]) -> int | None:
    """Return the body's length, `_CHUNK_HEADER`, or `None` where no header says."""
    coding, length = headers.get("transfer-encoding"), headers.get("content-length")
    if coding is not None:
        if length is not None:
            raise HttpError("read headers: both `Content-Length` and `Transfer-Encoding` are given")
        if version < (1, 1):
            raise HttpError("read headers: HTTP/1.0 has no `Transfer-Encoding`")
        if coding.lower() != "chunked":
            raise HttpError(f"read headers: transfer coding `{coding[:40]}` is not supported", status=501)
        return _CHUNK_HEADER
    if length is None:
        return None
    values = {value.strip(" \t") for value in length.split(",")}
    value = values.pop()
    if values or not (value.isascii() and value.isdigit()) or len(value) > MAX_LENGTH_DIGITS:
        raise HttpError(f"read headers: `Content-Length: {length[:40]}` is not one number")
    return int(value)


def _show(line: bytes) -> str:
    return line[:60].decode("ascii", "backslashreplace")


def keeps_alive(message: Request | Response) -> bool:
    """Whether the connection may carry another message after *message*."""
    words = {word.strip().lower() for word in message.headers.get("connection", "").split(",")}
    return "close" not in words and (message.version >= (1, 1) or "keep-alive" in words)


# --- rendering


def render_request(method: str, target: str, headers: Iterable[tuple[str, str]]) -> bytes:
    """Return the head of a request.

    Raises:
        ValueError: a part holds a line end or another control character, or the target a blank.
    """
    if _REQUEST_LINE.fullmatch(f"{method} {target} HTTP/1.1".encode("latin-1", "replace")) is None or not target.isascii():
        raise ValueError(f"render request: `{method} {target}` cannot be sent")
    return (f"{method} {target} HTTP/1.1\r\n" + _render_headers(headers)).encode("latin-1")


def render_response(status: int, headers: Iterable[tuple[str, str]], *, version: tuple[int, int] = (1, 1)) -> bytes:
    """Return the head of a response; *version* is the request's, which decides the first line only.

    Raises:
        ValueError: a header holds a line end or another control character.
    """
    first = f"HTTP/{version[0]}.{version[1]} {status} {REASONS.get(status, 'Unknown')}\r\n"
    return (first + _render_headers(headers)).encode("latin-1")


def _render_headers(headers: Iterable[tuple[str, str]]) -> str:
    """Return the lines of *headers* and the empty line; a value may not smuggle in a line of its own."""
    lines = [f"{name}: {value}" for name, value in headers]
    if any(_SAFE_TEXT.fullmatch(line) is None for line in lines):
        raise ValueError("render headers: a value holds a control character or is not Latin-1")
    return "\r\n".join([*lines, "", ""]) if lines else "\r\n"


def render_chunk(data: bytes) -> bytes:
    """Return *data* as one chunk of a chunked body; nothing for no data, because an empty chunk is the end."""
    return b"%x\r\n%b\r\n" % (len(data), data) if data else b""
