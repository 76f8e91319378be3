"""Speak HTTP/1.1 to a server over a unix, TCP or TLS socket.

Acts. `http.client` would cost more start-up time than all the rest of `minidocker ps`, and it reads ahead of a hijacked
connection; what the Remote API needs fits here. Paths carry no `/v1.NN` unless `DOCKER_API_VERSION` asks for it: a
server answers those in its own newest version, which saves the `HEAD /_ping` with which `docker` begins, and holds
against any dockerd because the API grows by fields that an older side ignores. Chapter 14.
"""

from __future__ import annotations

import socket

from minidocker.errors import MinidockerError, PeerError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
    from io import BufferedReader

    from minidocker.spec.record import Json

    Filters = Mapping[str, str | Sequence[str]]

__all__ = ["DaemonError", "Response", "ServerUnreachable", "Stream", "Transport", "render_filters", "render_target"]

_UNRESERVED = frozenset(b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-._~")
_PATH_BYTES = _UNRESERVED | frozenset(b"/:@,+=")
CHUNK_BYTES = 65536
"""How much is read from a socket or a file at once: the default capacity of a Linux pipe."""


class ServerUnreachable(MinidockerError):
    """Nobody answers at the server's address."""


class DaemonError(MinidockerError):
    """The server refused a request; `http_status` is its answer."""

    def __init__(self, message: str, http_status: int, hint: str = "") -> None:
        """Keep the server's words."""
        super().__init__(f"Error response from daemon: {message}", hint=hint)
        self.text = message
        self.http_status = http_status


def _quote(text: str, allowed: frozenset[int]) -> str:
    return "".join(chr(byte) if byte in allowed else f"%{byte:02X}" for byte in text.encode("utf-8", "surrogateescape"))


def render_target(path: str, query: Mapping[str, str | list[str]] | None = None) -> str:
    """Return the request target for *path* and *query*; a list repeats its key."""
    pairs = [
        f"{key}={_quote(value, _UNRESERVED)}"
        for key, values in (query or {}).items()
        for value in ([values] if isinstance(values, str) else values)
    ]
    return _quote(path, _PATH_BYTES) + ("?" + "&".join(pairs) if pairs else "")


def render_filters(filters: Filters | None) -> dict[str, str | list[str]]:
    """Return *filters* as a query: names, each with a text or several of which one must fit."""
    if not filters:
        return {}
    return {"filters": _render_json({name: [texts] if isinstance(texts, str) else [*texts] for name, texts in filters.items()}).decode()}


class Stream:
    """A connection that stopped being HTTP: bytes in both directions until each side ends its own."""

    def __init__(self, connection: socket.socket, reader: BufferedReader) -> None:
        """Take over *connection*; *reader* may hold bytes that came with the header."""
        self._connection = connection
        self._reader = reader

    def receive(self) -> bytes:
        """Return what has arrived, at least one byte; nothing at the end."""
        try:
            return self._reader.read1(CHUNK_BYTES)
        except ConnectionResetError:
            return b""

    def send(self, content: bytes) -> None:
        """Send all of *content*."""
        self._connection.sendall(content)

    def half_close(self) -> None:
        """Say that nothing more will be sent, and go on receiving."""
        self._connection.shutdown(socket.SHUT_WR)

    def abort(self) -> None:
        """End both directions, so that a `receive` in another thread returns."""
        self._connection.shutdown(socket.SHUT_RDWR)

    def close(self) -> None:
        """Give the socket back."""
        self._reader.close()
        self._connection.close()


class Response:
    """The answer to one request; its body is still on the wire."""

    def __init__(self, connection: _Connection, method: str) -> None:
        """Read status and header.

        Raises:
            PeerError: what came is not HTTP.
        """
        self._connection = connection
        reader = connection.reader
        line = reader.readline(CHUNK_BYTES)
        if not line:
            raise ConnectionResetError("the server closed the connection without an answer")
        words = line.split(None, 2)
        if len(words) < 2 or not words[0].startswith(b"HTTP/") or not words[1].isdigit():
            raise PeerError(f"read the server's answer: not HTTP: `{line[:60]!r}`", hint="is the address that of a Docker server?")
        self.status = int(words[1])
        self.headers: dict[str, str] = {}
        while line := reader.readline(CHUNK_BYTES).strip():
            name, _, value = line.decode("latin-1").partition(":")
            self.headers[name.lower()] = value.strip()
        self._chunked = self.headers.get("transfer-encoding", "").lower() == "chunked"
        length = self.headers.get("content-length", "")
        self._remaining: int | None = int(length) if length.isdigit() else None
        if method == "HEAD" or self.status in (204, 304):
            self._chunked, self._remaining = False, 0
        self._keeps = (self._chunked or self._remaining is not None) and self.headers.get("connection", "").lower() != "close"

    def iterate(self) -> Iterator[bytes]:
        """Yield the body as it arrives; whoever stops early has dropped the connection."""
        whole = False
        try:
            yield from self._chunks() if self._chunked else self._pieces()
            whole = True
        finally:
            self._connection.busy = False
            if not (whole and self._keeps and self._connection.shared):
                self._connection.close()

    def _chunks(self) -> Iterator[bytes]:
        reader = self._connection.reader
        while size := int(reader.readline(CHUNK_BYTES).partition(b";")[0].strip() or b"0", 16):
            while size:
                piece = reader.read1(min(size, CHUNK_BYTES))
                if not piece:
                    raise PeerError("read the server's answer: it ended in the middle of a chunk")
                size -= len(piece)
                yield piece
            reader.readline(CHUNK_BYTES)
        while reader.readline(CHUNK_BYTES).strip():
            pass

    def _pieces(self) -> Iterator[bytes]:
        reader = self._connection.reader
        while self._remaining != 0:
            piece = reader.read1(CHUNK_BYTES if self._remaining is None else min(self._remaining, CHUNK_BYTES))
            if not piece:
                break
            if self._remaining is not None:
                self._remaining -= len(piece)
            yield piece

    def read(self) -> bytes:
        """Return the whole body."""
        return b"".join(self.iterate())

    def lines(self) -> Iterator[bytes]:
        """Yield the lines of the body as they arrive."""
        pending = b""
        for piece in self.iterate():
            *whole, pending = (pending + piece).split(b"\n")
            yield from whole
        if pending:
            yield pending

    def json(self) -> Json:
        """Return the body as JSON; nothing is `None`."""
        body = self.read()
        if not body:
            return None
        import json

        value: Json = json.loads(body)
        return value

    def close(self) -> None:
        """Drop the connection, whatever is still on it."""
        self._connection.close()


class _Connection:
    """One socket with its reader."""

    __slots__ = ("busy", "closed", "reader", "shared", "socket")

    def __init__(self, connected: socket.socket, *, shared: bool = False) -> None:
        self.socket = connected
        self.shared = shared
        self.reader = connected.makefile("rb")
        self.busy = False
        self.closed = False

    def send(self, method: str, target: str, headers: Mapping[str, str], body: bytes | Iterable[bytes]) -> None:
        lines = [f"{method} {target} HTTP/1.1", "Host: minidocker", "User-Agent: minidocker"]
        lines.extend(f"{name}: {value}" for name, value in headers.items())
        if isinstance(body, bytes):
            if body or method == "POST":
                lines.append(f"Content-Length: {len(body)}")
            self.socket.sendall("\r\n".join(lines).encode("utf-8", "surrogateescape") + b"\r\n\r\n" + body)
            return
        lines.append("Transfer-Encoding: chunked")
        self.socket.sendall("\r\n".join(lines).encode("utf-8", "surrogateescape") + b"\r\n\r\n")
        for piece in body:
            if piece:
                self.socket.sendall(b"%x\r\n%b\r\n" % (len(piece), piece))
        self.socket.sendall(b"0\r\n\r\n")

    def close(self) -> None:
        if not self.closed:
            self.closed = True
            self.reader.close()
            self.socket.close()


class Transport:
    """Requests to one server. Short ones share a connection; each stream has its own."""

    def __init__(self, connect: Callable[[], socket.socket], *, api_version: str = "") -> None:
        """Let *connect* make sockets, and prefix paths with *api_version* if there is one."""
        self._connect = connect
        self._prefix = f"/v{api_version.removeprefix('v')}" if api_version else ""
        self._shared: _Connection | None = None
        self.config_directory = ""
        """Where the credentials are that go along with a request for a registry."""
        self.on_answer: Callable[[Response], None] | None = None
        """Called once, with the first answer of this server."""

    def call(
        self, method: str, path: str, query: Mapping[str, str | list[str]] | None = None, body: Json = None
    ) -> Response:
        """Return the server's answer to a short request, sent on the shared connection.

        Raises:
            DaemonError: the server answers with 400 or more.
            ServerUnreachable: nobody listens.
        """
        reused = self._shared is not None and not (self._shared.busy or self._shared.closed)
        if not reused or self._shared is None:
            self._shared = _Connection(self._connect(), shared=True)
        try:
            return self._exchange(self._shared, method, path, query, body)
        except (BrokenPipeError, ConnectionResetError):
            if not reused:
                raise
            self._shared = _Connection(self._connect(), shared=True)
            return self._exchange(self._shared, method, path, query, body)

    def get(self, path: str, query: Mapping[str, str | list[str]] | None = None) -> Json:
        """Return the JSON that the server has at *path*."""
        return self.call("GET", path, query).json()

    def post(self, path: str, query: Mapping[str, str | list[str]] | None = None, body: Json = None) -> Json:
        """Ask the server to do something and return the JSON of its answer."""
        return self.call("POST", path, query, body).json()

    def open(
        self,
        method: str,
        path: str,
        query: Mapping[str, str | list[str]] | None = None,
        body: Json | bytes | Iterable[bytes] = None,
        *,
        content_type: str = "application/json",
        headers: Mapping[str, str] | None = None,
    ) -> Response:
        """Return the answer of a long request on a connection of its own; its body is read as it comes."""
        connection = _Connection(self._connect())
        try:
            return self._exchange(connection, method, path, query, body, content_type, headers)
        except BaseException:
            connection.close()
            raise

    def hijack(self, path: str, query: Mapping[str, str | list[str]] | None = None, body: Json = None) -> Stream:
        """Ask the server to turn the connection into a stream of bytes."""
        connection = _Connection(self._connect())
        kind = "application/json" if body is not None else "text/plain"
        try:
            response = self._exchange(connection, "POST", path, query, body, kind, {"Connection": "Upgrade", "Upgrade": "tcp"})
            if response.status not in (101, 200):
                raise PeerError(f"attach to `{path}`: unable to upgrade to tcp, received {response.status}")
        except BaseException:
            connection.close()
            raise
        return Stream(connection.socket, connection.reader)

    def close(self) -> None:
        """Drop the shared connection."""
        if self._shared is not None:
            self._shared.close()

    def _exchange(
        self,
        connection: _Connection,
        method: str,
        path: str,
        query: Mapping[str, str | list[str]] | None,
        body: Json | bytes | Iterable[bytes],
        content_type: str = "application/json",
        headers: Mapping[str, str] | None = None,
    ) -> Response:
        connection.busy = True
        content: bytes | Iterable[bytes]
        if body is None:
            content, sent = b"", dict(headers or {})
        else:
            content = body if isinstance(body, bytes) or content_type != "application/json" else _render_json(body)  # type: ignore[assignment]  # an iterable comes with a content type
            sent = {"Content-Type": content_type, **(headers or {})}
        try:
            connection.send(method, self._prefix + render_target(path, query), sent, content)
        except (BrokenPipeError, ConnectionResetError):
            # The server may have refused a long body early; its answer says why.
            pass
        response = Response(connection, method)
        if self.on_answer is not None:
            seen, self.on_answer = self.on_answer, None
            seen(response)
        if response.status >= 400:
            raise _read_error(response)
        return response


def _render_json(value: object) -> bytes:
    import json

    return json.dumps(value).encode()


def _read_error(response: Response) -> DaemonError:
    body, hint = response.read(), ""
    try:
        import json

        value = json.loads(body)
        message, hint = str(value["message"]), str(value.get("hint", ""))
    except (ValueError, KeyError, TypeError):
        message = body.decode(errors="replace").strip() or f"request returned status {response.status} without a reason"
    return DaemonError(message.rstrip("\n"), response.status, hint)
