"""One connection: requests in, answers out, until either side ends it or a handler takes the socket.

Theory of operation. One thread serves one connection, one request after the other. The body is read only when the handler
asks for it (`_RequestBody`), and `100 Continue` is sent only then. Head and body of a small answer leave in one write. A
body that grows is chunked (for HTTP/1.0: ended by the end of the connection), and each piece is sent as it comes.

After a `Hijack` the bytes belong to the container: its monitor gets the socket itself. Only where that cannot be (TLS, or
bytes that arrived with the request and were read already) the thread stays and pumps through a pair of sockets. Chapter 13.
"""

from __future__ import annotations

import functools
import socket
import time
from collections.abc import Generator
from contextlib import suppress
from ipaddress import ip_address
from typing import Final

from minidocker.api.application import Application
from minidocker.api.listener import Listener
from minidocker.api.pump import pump
from minidocker.api.response import FileResponse, Hijack, Response, StreamResponse, error_response
from minidocker.api.streams import wait_until_read
from minidocker.codec import http1
from minidocker.codec.frames import encode_frame
from minidocker.errors import MinidockerError

__all__ = ["serve_connection"]

READ_BYTES: Final = 64 * 1024
MAX_DRAINED_BYTES: Final = 1 << 20
"""How much of a body that no handler wanted is read, so that the connection can go on; more than that is cut off."""
_NO_BODY_STATUS: Final = frozenset({204, 304})


def serve_connection(
    client: socket.socket, listener: Listener, application: Application, headers: tuple[tuple[str, str], ...]
) -> None:
    """Answer the requests that come on *client*, each answer with *headers*; the caller closes it."""
    if client.family != socket.AF_UNIX:
        client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    connection = _Connection(client, listener, headers)
    try:
        while connection.serve_one(application):
            pass
    except http1.HttpError as error:
        with suppress(OSError):  # whoever sends garbage need not stay for the answer
            connection.send_response(error_response(error.status, str(error)), close=True)
    except (ConnectionError, TimeoutError):
        pass  # the client went away in the middle: nobody is left to tell


class _Connection:
    """The state between the requests of one connection."""

    def __init__(self, client: socket.socket, listener: Listener, headers: tuple[tuple[str, str], ...]) -> None:
        self.client, self._listener, self._headers = client, listener, headers
        self.parser = http1.RequestParser()
        self._version = (1, 1)
        self._head_only = False

    def next_event(self) -> http1.Event | None:
        """Return the next event, or `None` at the end of the connection."""
        while (event := self.parser.next_event()) is None:
            data = self.client.recv(READ_BYTES)
            self.parser.feed(data)
            if not data:
                return self.parser.next_event()
        return event

    def serve_one(self, application: Application) -> bool:
        """Answer one request; whether another one may follow."""
        head = self.next_event()
        if not isinstance(head, http1.Request):
            return False
        self._version, self._head_only = head.version, head.method == "HEAD"
        body = _RequestBody(self, expects_continue=head.headers.get("expect", "").lower() == "100-continue")
        refusal = _refuse_browser(head, self._listener)
        answer = refusal or application(head, body, self.client.fileno())
        if isinstance(answer, Hijack):
            self._hijack(answer, body, upgrade="upgrade" in head.headers)
            return False
        stay = http1.keeps_alive(head) and refusal is None
        if isinstance(answer, StreamResponse):
            return self._send_stream(answer, close=not stay) and body.drain() and stay
        stay = stay and not body.is_unwanted
        if isinstance(answer, FileResponse):
            self._send_file(answer, close=not stay)
            return body.drain() and stay
        self.send_response(answer, close=not stay)
        return body.drain() and stay

    def send_response(self, answer: Response, *, close: bool) -> None:
        """Send an answer whose body is known, in one write."""
        headers = [*self._headers, *answer.headers, ("Date", _http_date(int(time.time())))]
        if answer.content_type:
            headers.append(("Content-Type", answer.content_type))
        if answer.status not in _NO_BODY_STATUS:
            headers.append(("Content-Length", str(len(answer.body))))
        if close:
            headers.append(("Connection", "close"))
        self.client.sendall(http1.render_response(answer.status, headers) + (b"" if self._head_only else answer.body))

    def _send_file(self, answer: FileResponse, *, close: bool) -> None:
        """Send a piece of a file."""
        headers = [*self._headers, *answer.headers, ("Date", _http_date(int(time.time()))), ("Content-Length", str(answer.size))]
        if close:
            headers.append(("Connection", "close"))
        with open(answer.path, "rb") as file:
            self.client.sendall(http1.render_response(answer.status, headers))
            if answer.size and not self._head_only and self.client.sendfile(file, answer.offset, answer.size) < answer.size:
                raise ConnectionError("the file became shorter while it was sent")  # the length has gone out: break off

    def _send_stream(self, answer: StreamResponse, *, close: bool) -> bool:
        """Send an answer piece by piece; whether the connection is still good."""
        chunked = self._version >= (1, 1)
        headers = [*self._headers, *answer.headers, ("Date", _http_date(int(time.time()))), ("Content-Type", answer.content_type)]
        headers.append(("Transfer-Encoding", "chunked") if chunked else ("Connection", "close"))
        if close and chunked:
            headers.append(("Connection", "close"))
        try:
            self.client.sendall(http1.render_response(answer.status, headers))
            for piece in answer.chunks:
                self.client.sendall(http1.render_chunk(piece) if chunked else piece)
        finally:
            if isinstance(answer.chunks, Generator):
                answer.chunks.close()
            if answer.on_end is not None:
                answer.on_end()
        if chunked:
            self.client.sendall(http1.LAST_CHUNK)
        return chunked

    def _hijack(self, answer: Hijack, body: _RequestBody, *, upgrade: bool) -> None:
        """Give the connection to the handler; from here on it carries no HTTP."""
        body.drain()
        headers = [("Content-Type", answer.content_type), *self._headers]
        if upgrade:
            headers += [("Connection", "Upgrade"), ("Upgrade", "tcp")]
        self.client.sendall(http1.render_response(101 if upgrade else 200, headers))
        rest = self.parser.take_rest()
        wait_until_read(self.client.fileno())
        if self._listener.tls is None and not rest:
            _take(answer, self.client)
            return
        ours, theirs = socket.socketpair()
        with ours:
            with theirs:
                _take(answer, theirs)
            pump(self.client, ours, first=rest)


class _RequestBody:
    """The body of one request, read from the connection when somebody asks."""

    def __init__(self, connection: _Connection, *, expects_continue: bool) -> None:
        self._connection, self._expects_continue = connection, expects_continue
        self._pending = b""
        self._ended = False

    @property
    def is_unwanted(self) -> bool:
        """Whether the client still waits for permission to send: the connection cannot go on."""
        return self._expects_continue and not self._ended

    def read(self, size: int = -1, /) -> bytes:
        """Return exactly *size* bytes, fewer only at the end; all of them for -1."""
        pieces: list[bytes] = []
        missing = size
        while missing and (piece := self._read_some(missing)):
            pieces.append(piece)
            missing -= len(piece) if missing > 0 else 0
        return b"".join(pieces) if len(pieces) != 1 else pieces[0]

    def _read_some(self, limit: int) -> bytes:
        """Return at least one byte and at most *limit* (any number if negative), or nothing at the end."""
        if not self._pending and not self._ended:
            self._pending = self._next_piece()
        if limit < 0 or len(self._pending) <= limit:
            piece, self._pending = self._pending, b""
        else:
            piece, self._pending = self._pending[:limit], self._pending[limit:]
        return piece

    def _next_piece(self) -> bytes:
        if self._expects_continue and not self._connection.parser.has_bytes:
            self._connection.client.sendall(http1.CONTINUE)
        self._expects_continue = False
        event = self._connection.next_event()
        if isinstance(event, http1.Data):
            return event.data
        self._ended = True
        return b""

    def drain(self) -> bool:
        """Read what the handler left, up to a limit; whether the next request can be read."""
        if self.is_unwanted:
            return False
        drained = len(self._pending)
        self._pending = b""
        while not self._ended and drained <= MAX_DRAINED_BYTES:
            drained += len(self._next_piece())
        return self._ended


def _take(answer: Hijack, connection: socket.socket) -> None:
    """Let the handler take the socket; a failure becomes the only output, because the head has gone out."""
    try:
        answer.take(connection.fileno())
    except MinidockerError as error:
        text = f"{error.message}\r\n".encode()
        connection.sendall(text if answer.is_terminal else encode_frame(1, text))


def _refuse_browser(head: http1.Request, listener: Listener) -> Response | None:
    """Refuse what a web page may send: it could drive the engine of whoever visits it."""
    if "origin" in head.headers:
        return error_response(403, "refuse request: it comes from a web page (`Origin` is set)")
    if listener.checks_host and not _is_address(head.headers.get("host", "")):
        return error_response(403, f"refuse request: `Host: {head.headers.get('host', '')[:80]}` is not an address of this server")
    return None


def _is_address(host: str) -> bool:
    """Whether *host* is an IP address or `localhost`, with or without a port."""
    name = host[1:].partition("]")[0] if host.startswith("[") else host.partition(":")[0]
    if name == "localhost":
        return True
    try:
        ip_address(name)
    except ValueError:
        return False
    return True


@functools.lru_cache(maxsize=1)
def _http_date(second: int) -> str:
    """Return *second* as HTTP writes dates; made once for each second."""
    return time.strftime("%a, %d %b %Y %H:%M:%S GMT", time.gmtime(second))

