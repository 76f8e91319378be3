"""One request to one host, and its answer: TLS, time limits, redirects, connections that are used again.

Acting. A registry may send a client elsewhere for a blob, to a store of some cloud. What belongs to the registry stays there:
`Authorization` does not follow to another host, an answer of the cloud is no answer of the registry (CVE-2020-15157), and TLS is
never given up on the way. Every wait has an end. `close` breaks off what is under way, from any thread. Chapter 8.
"""

from __future__ import annotations

import http.client
import socket
import ssl
import threading
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Final
from urllib.parse import urljoin, urlsplit

from minidocker.errors import InvalidParameter, MinidockerError, PeerError

__all__ = ["Answer", "BrokenConnection", "Transport", "Unreachable"]

CONNECT_TIMEOUT_S: Final = 15.0
STALL_TIMEOUT_S: Final = 30.0
"""How long a peer may say nothing; a download goes on for as long as bytes come."""
MAX_REDIRECTS: Final = 10
"""As browsers and Go have it."""
MAX_LEFT_BYTES: Final = 64 << 10
MAX_IDLE: Final = 8
"""Connections kept for the next request."""
_REDIRECTS: Final = frozenset({301, 302, 303, 307, 308})


class BrokenConnection(PeerError):
    """The connection could not be made, or broke: another try may fare better."""


class Unreachable(BrokenConnection):
    """There was not even a connection: the address, the name or the certificate is wrong, and asking again changes nothing."""


class Answer:
    """The head of an answer, and its body while it comes."""

    def __init__(self, response: http.client.HTTPResponse, connection: http.client.HTTPConnection, url: str, transport: Transport) -> None:
        """Read from *response*; *connection* goes back to *transport* when the body was read."""
        self._response, self._connection, self._transport = response, connection, transport
        self._is_given_back = False
        self.url = url
        """Where it came from in the end, after redirects."""
        self.status = response.status
        self.headers = {name.lower(): value for name, value in response.getheaders()}

    def read_into(self, buffer: memoryview) -> int:
        """Fill *buffer* with what comes next; 0 at the end.

        Raises:
            BrokenConnection: it ended too early, or nothing came for too long.
        """
        with _explained(self.url):
            count = self._response.readinto(buffer)
        if not count and self._response.length:
            raise BrokenConnection(f"read from `{_shown(self.url)}`: the connection ended before the answer did")
        return count

    def read(self, limit: int) -> bytes:
        """Return the whole body, which may have *limit* bytes.

        Raises:
            PeerError: it is longer, or broke off.
        """
        try:
            with _explained(self.url):
                content = self._response.read(limit + 1)
        finally:
            missing = self._response.length
            self.close()
        if len(content) > limit:
            raise PeerError(f"read from `{_shown(self.url)}`: the answer has more than {limit} bytes")
        if missing:
            raise BrokenConnection(f"read from `{_shown(self.url)}`: the connection ended before the answer did")
        return content

    def close(self) -> None:
        """Be done with the answer, in whatever state; what little is left is read, so that the connection can be used again."""
        if self._is_given_back:
            return
        self._is_given_back = True
        if not self._response.isclosed() and self._response.length is not None and self._response.length <= MAX_LEFT_BYTES:
            with suppress(OSError, http.client.HTTPException):  # then the connection is not used again
                self._response.read()
        reusable = self._response.isclosed() and not self._response.will_close
        self._response.close()
        self._transport.give_back(self._connection, reusable=reusable)


class Transport:
    """The connections of one operation; close it."""

    def __init__(
        self, *, certificate_directories: Iterable[str] = (), connect_timeout_s: float = CONNECT_TIMEOUT_S,
        stall_timeout_s: float = STALL_TIMEOUT_S,
    ) -> None:  # fmt: skip
        """Trust, besides the system's authorities, those of a host in one of *certificate_directories*."""
        self._directories = tuple(certificate_directories)
        self._connect_timeout_s, self._stall_timeout_s = connect_timeout_s, stall_timeout_s
        self._lock = threading.Lock()
        self._idle: dict[tuple[str, str, bool], list[http.client.HTTPConnection]] = {}
        self._active: dict[http.client.HTTPConnection, tuple[str, str, bool]] = {}
        self._contexts: dict[tuple[str, bool], ssl.SSLContext] = {}
        self.is_closed = False

    def send(
        self, method: str, url: str, headers: Mapping[str, str] | None = None, body: bytes | Iterable[bytes] | None = None, *,
        verify: bool = True,
    ) -> Answer:  # fmt: skip
        """Return the answer to a request; GET and HEAD follow redirects.

        Raises:
            BrokenConnection: nobody answered, or not in time.
            PeerError: the redirects do not end, or lead where they must not.
        """
        sent, origin = dict(headers or {}), urlsplit(url)
        for _ in range(MAX_REDIRECTS + 1):
            answer = self._send_once(method, url, sent, body, verify=verify)
            target = answer.headers.get("location", "")
            if answer.status not in _REDIRECTS or method not in ("GET", "HEAD") or not target:
                return answer
            answer.close()
            url = urljoin(url, target)
            _check_redirect(origin.scheme, url)
            there = urlsplit(url)
            if (there.scheme, there.netloc) != (origin.scheme, origin.netloc):
                sent = {name: value for name, value in sent.items() if name.lower() not in ("authorization", "cookie")}
                verify = verify or there.hostname != origin.hostname
        raise PeerError(f"ask `{_shown(origin.geturl())}`: more than {MAX_REDIRECTS} redirects")

    def _send_once(
        self, method: str, url: str, headers: Mapping[str, str], body: bytes | Iterable[bytes] | None, *, verify: bool
    ) -> Answer:
        parts = urlsplit(url)
        key = (parts.scheme, parts.netloc, verify)
        target = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
        for is_first in (True, False):
            connection, is_fresh = self._take(key, url)
            try:
                with _explained(url):
                    try:
                        connection.request(method, target, body, {"User-Agent": "minidocker", **headers})
                    except (BrokenPipeError, ConnectionResetError):
                        pass  # the server may have refused a long body early: its answer says why
                    response = connection.getresponse()
                return Answer(response, connection, url, self)
            except BrokenConnection:
                self.give_back(connection, reusable=False)
                if is_fresh or not is_first or self.is_closed or not isinstance(body, bytes | None):
                    raise  # otherwise: the server had closed a connection that idled
            except BaseException:
                self.give_back(connection, reusable=False)
                raise
        raise AssertionError("the second turn returns or raises")

    def _take(self, key: tuple[str, str, bool], url: str) -> tuple[http.client.HTTPConnection, bool]:
        """Return a connection, and whether it is new."""
        with self._lock:
            if self.is_closed:
                raise BrokenConnection("the operation was broken off")
            idle = self._idle.get(key)
            if idle:
                connection = idle.pop()
                self._active[connection] = key
                return connection, False
        connection = self._connect(key, url)
        with self._lock:
            self._active[connection] = key
            is_closed = self.is_closed
        if is_closed:
            self.give_back(connection, reusable=False)
            raise BrokenConnection("the operation was broken off")
        return connection, True

    def _connect(self, key: tuple[str, str, bool], url: str) -> http.client.HTTPConnection:
        try:
            return self._connect_to(key, url)
        except BrokenConnection as error:
            raise Unreachable(error.message, hint=error.hint) from error

    def _connect_to(self, key: tuple[str, str, bool], url: str) -> http.client.HTTPConnection:
        scheme, host, verify = key
        with _explained(url):
            try:
                if scheme == "https":
                    connection: http.client.HTTPConnection = http.client.HTTPSConnection(
                        host, timeout=self._connect_timeout_s, context=self._context(host, verify=verify)
                    )
                elif scheme == "http":
                    connection = http.client.HTTPConnection(host, timeout=self._connect_timeout_s)
                else:
                    raise InvalidParameter(f"ask `{_shown(url)}`: no such scheme")
            except http.client.InvalidURL as error:
                raise InvalidParameter(f"ask `{_shown(url)}`: {error}") from error
            try:
                connection.connect()
            except BaseException:
                connection.close()  # half of TLS is there
                raise
            connection.auto_open = 0  # it would connect again by itself, without our limits
            connection.sock.settimeout(self._stall_timeout_s)
            connection.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        return connection

    def _context(self, host: str, *, verify: bool) -> ssl.SSLContext:
        """Return what TLS with *host* asks for: its own authorities and the client's certificate, where somebody laid them."""
        if (host, verify) not in self._contexts:
            context = ssl.create_default_context()
            if not verify:
                context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
            for directory in self._directories:
                _load_certificates(context, Path(directory) / host)
            self._contexts[(host, verify)] = context
        return self._contexts[(host, verify)]

    def give_back(self, connection: http.client.HTTPConnection, *, reusable: bool) -> None:
        """Keep a connection for the next request, or close it."""
        with self._lock:
            key = self._active.pop(connection, None)
            if reusable and key is not None and not self.is_closed:
                idle = self._idle.setdefault(key, [])
                if len(idle) < MAX_IDLE:
                    idle.append(connection)
                    return
        connection.close()

    def close(self) -> None:
        """Break off what is under way; safe to call from any thread, and twice."""
        with self._lock:
            self.is_closed = True
            idle = [connection for connections in self._idle.values() for connection in connections]
            self._idle.clear()
            for connection in self._active:
                if connection.sock is not None:
                    with suppress(OSError):  # it ended by itself
                        socket.socket.shutdown(connection.sock, socket.SHUT_RDWR)
        for connection in idle:
            connection.close()


def _check_redirect(scheme: str, url: str) -> None:
    target = urlsplit(url)
    if target.scheme not in ("http", "https") or (scheme == "https" and target.scheme != "https"):
        raise PeerError(f"follow redirect to `{_shown(url)}`: it leaves TLS")


def _load_certificates(context: ssl.SSLContext, directory: Path) -> None:
    """Trust every `*.crt` in *directory*, and show `NAME.cert` with `NAME.key` to who asks."""
    if not directory.is_dir():
        return
    for path in sorted(directory.iterdir()):
        try:
            if path.suffix == ".crt":
                context.load_verify_locations(path)
            elif path.suffix == ".cert":
                context.load_cert_chain(path, path.with_suffix(".key"))
        except (OSError, ssl.SSLError) as error:
            raise InvalidParameter(f"read certificate `{path}`: {error}") from error


@contextmanager
def _explained(url: str) -> Iterator[None]:
    """Turn what sockets, TLS and HTTP raise into one sentence that names the host."""
    try:
        yield
    except MinidockerError:
        raise
    except (OSError, http.client.HTTPException, ValueError) as error:
        raise _explain(url, error) from error


def _explain(url: str, error: Exception) -> BrokenConnection:
    where = _shown(url)
    if isinstance(error, ssl.SSLCertVerificationError):
        return BrokenConnection(
            f"ask `{where}`: tls: failed to verify certificate: {error.verify_message}",
            hint=f"put the authority's certificate into /etc/docker/certs.d/{urlsplit(url).netloc}/ca.crt",
        )
    if isinstance(error, TimeoutError):
        return BrokenConnection(f"ask `{where}`: it said nothing for too long")
    if isinstance(error, socket.gaierror):
        return BrokenConnection(f"ask `{where}`: no such host: {error.strerror}")
    if isinstance(error, http.client.IncompleteRead):
        return BrokenConnection(f"ask `{where}`: the connection ended before the answer did")
    text = (error.strerror if isinstance(error, OSError) else None) or str(error) or type(error).__name__
    return BrokenConnection(f"ask `{where}`: {text[:200]}")


def _shown(url: str) -> str:
    """Return an address without its query, in which stores of clouds put signatures."""
    return url.partition("?")[0][:300]
