"""The port proxy: serve the clients of a published port that the packet filter does not send on.

Those are clients on the host that use 127.0.0.1, clients that speak IPv6, and everybody on a host without nf_tables. A
`PortProxy` is a guest in somebody else's event loop (the container's monitor): every socket is registered with a
callback `(mask) -> None` as its data, and nothing here ever waits.

Theory of operation. A connection is two sockets and two pipes; a pipe is source, buffer, sink:

    client ──▶ [buffer] ──▶ server          A socket is watched for reading while its pipe has room, for writing while
    client ◀── [buffer] ◀── server          bytes wait for it. End of file on a source, once the buffer is empty, closes
                                            the writing half of the sink: the other direction goes on (half-close).

A full buffer stops the reading, so that a slow reader slows the writer down and not the memory up. Datagrams have no
connections: each client address gets a socket of its own, so that answers find their way back. Chapter 18.
"""

from __future__ import annotations

import selectors
import socket
import struct
from collections import OrderedDict
from collections.abc import Callable
from contextlib import suppress
from errno import EINPROGRESS
from functools import partial
from typing import Final

__all__ = ["BUFFER_BYTES", "PortProxy"]

BUFFER_BYTES: Final = 256 * 1024
"""How much one direction of a connection holds back; four times what one recv(2) takes."""
CHUNK_BYTES: Final = 64 * 1024
"""What one recv(2) takes, and the largest datagram."""
ACCEPTS_PER_TURN: Final = 64
"""New clients or datagrams before the loop's other sockets have their turn."""
UDP_CLIENTS: Final = 256
"""Client addresses remembered; the one silent for longest is forgotten first."""

_READ, _WRITE = selectors.EVENT_READ, selectors.EVENT_WRITE
_RESET_ON_CLOSE: Final = struct.pack("ii", 1, 0)
"""`struct linger`: the other side shall see a broken connection, not a proper end."""

Target = tuple[str, int]
ClientAddress = tuple[str, int]
"""IPv6 addresses have two more elements; they go back as they came."""


def _family(target: Target) -> socket.AddressFamily:
    """Return the address family of *target*; a container may have IPv6 only."""
    return socket.AF_INET6 if ":" in target[0] else socket.AF_INET


class PortProxy:
    """Sends what comes to *listener* on to *target*, an address and port inside the container.

    Preconditions:
        Takes ownership of *listener*: a listening TCP socket, or a bound UDP socket.
    """

    def __init__(self, watch: selectors.BaseSelector, *, listener: socket.socket, target: Target) -> None:
        """Register with *watch*."""
        serve = _DatagramService if listener.type == socket.SOCK_DGRAM else _StreamService
        self._service: _DatagramService | _StreamService = serve(watch, listener, target)

    def retarget(self, target: Target) -> None:
        """Send new clients to *target*; connections that exist go on as they are."""
        self._service.target = target

    def close(self) -> None:
        """Stop listening and cut all connections; further calls do nothing."""
        self._service.close()


class _StreamService:
    """Accepts clients and remembers their connections."""

    def __init__(self, watch: selectors.BaseSelector, listener: socket.socket, target: Target) -> None:
        self._watch, self._listener, self.target = watch, listener, target
        self._connections: set[_Connection] = set()
        self._is_paused = False
        listener.setblocking(False)
        watch.register(listener, _READ, self._on_clients)

    def _on_clients(self, _mask: int) -> None:
        for _turn in range(ACCEPTS_PER_TURN):
            try:
                client, _address = self._listener.accept()
            except (BlockingIOError, InterruptedError, ConnectionAbortedError):
                return
            except OSError:
                self._pause()
                return
            try:
                self._connections.add(_Connection(self._watch, client, self.target, self._forget))
            except OSError:  # no descriptor for the other side
                client.close()
                self._pause()
                return

    def _pause(self) -> None:
        """Out of descriptors: leave clients in the backlog until a connection ends, instead of spinning."""
        if self._connections and not self._is_paused:
            self._watch.unregister(self._listener)
            self._is_paused = True

    def _forget(self, connection: _Connection) -> None:
        self._connections.discard(connection)
        if self._is_paused:
            self._is_paused = False
            self._watch.register(self._listener, _READ, self._on_clients)

    def close(self) -> None:
        if self._listener.fileno() < 0:
            return
        if not self._is_paused:
            self._watch.unregister(self._listener)
        self._is_paused = False
        self._listener.close()
        for connection in tuple(self._connections):
            connection.abort(_forget=False)
        self._connections.clear()


class _Pipe:
    """One direction of a connection."""

    def __init__(self, source: socket.socket, sink: socket.socket) -> None:
        self.source, self.sink = source, sink
        self.buffer = bytearray()
        self.is_ended = False
        """Whether the source has said all."""
        self.is_closed = False
        """Whether the sink knows that."""

    def fill(self) -> None:
        """Read once, if there is room."""
        if self.is_ended or len(self.buffer) >= BUFFER_BYTES:
            return
        with suppress(BlockingIOError, InterruptedError):
            data = self.source.recv(CHUNK_BYTES)
            self.buffer += data
            self.is_ended = not data

    def drain(self) -> None:
        """Write what the sink takes; pass the end on behind the last byte."""
        with suppress(BlockingIOError, InterruptedError):
            while self.buffer:
                with memoryview(self.buffer) as view:
                    sent = self.sink.send(view)
                del self.buffer[:sent]
        if self.is_ended and not self.buffer and not self.is_closed:
            self.is_closed = True
            self.sink.shutdown(socket.SHUT_WR)

    @property
    def wants_read(self) -> bool:
        """Whether the source is worth watching."""
        return not self.is_ended and len(self.buffer) < BUFFER_BYTES


class _Connection:
    """A client, the server behind it, and a pipe each way."""

    def __init__(
        self, watch: selectors.BaseSelector, client: socket.socket, target: Target, on_end: Callable[[_Connection], None]
    ) -> None:
        self._watch, self._client, self._on_end = watch, client, on_end
        self._server = socket.socket(_family(target), socket.SOCK_STREAM | socket.SOCK_CLOEXEC | socket.SOCK_NONBLOCK)
        client.setblocking(False)
        for side in (client, self._server):
            side.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._request, self._response = _Pipe(client, self._server), _Pipe(self._server, client)
        self._is_connected = False
        self._is_closed = False
        self._masks: dict[socket.socket, int] = {}
        if self._server.connect_ex(target) not in (0, EINPROGRESS):
            self._server.close()
            raise ConnectionRefusedError(f"connect to {target[0]}:{target[1]}")
        self._set_mask(self._server, _WRITE)

    def _set_mask(self, side: socket.socket, mask: int) -> None:
        """Watch *side* for *mask*; for nothing means not at all, because a hang-up is reported even then."""
        old = self._masks.get(side, 0)
        if mask == old:
            return
        self._masks[side] = mask
        if not mask:
            self._watch.unregister(side)
        elif old:
            self._watch.modify(side, mask, self._on_ready)
        else:
            self._watch.register(side, mask, self._on_ready)

    def _on_ready(self, _mask: int) -> None:
        """Move what can be moved in both directions; a socket without news says so at once."""
        if self._is_closed:
            return  # the loop had an event for the other socket in hand
        try:
            if not self._is_connected:
                self._finish_connect()
            for pipe in (self._request, self._response):
                pipe.fill()
                pipe.drain()
        except OSError:
            self.abort()
            return
        if self._request.is_closed and self._response.is_closed:
            self._end()
            return
        for side, outgoing, incoming in (
            (self._client, self._request, self._response), (self._server, self._response, self._request),
        ):  # fmt: skip
            self._set_mask(side, (_READ if outgoing.wants_read else 0) | (_WRITE if incoming.buffer else 0))

    def _finish_connect(self) -> None:
        """Take note of how connecting went.

        Raises:
            OSError: the server did not accept.
        """
        number = self._server.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
        if number:
            raise OSError(number, "connect")
        self._is_connected = True

    def abort(self, *, _forget: bool = True) -> None:
        """Cut the connection so that both sides notice."""
        for side in (self._client, self._server):
            with suppress(OSError):  # already reset by the other side
                side.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET_ON_CLOSE)
        self._end(forget=_forget)

    def _end(self, *, forget: bool = True) -> None:
        self._is_closed = True
        for side in (self._client, self._server):
            self._set_mask(side, 0)
            side.close()
        if forget:
            self._on_end(self)


class _DatagramService:
    """Gives every client address a socket of its own towards the container."""

    def __init__(self, watch: selectors.BaseSelector, listener: socket.socket, target: Target) -> None:
        self._watch, self._listener, self.target = watch, listener, target
        self._clients: OrderedDict[ClientAddress, socket.socket] = OrderedDict()
        listener.setblocking(False)
        watch.register(listener, _READ, self._on_requests)

    def _on_requests(self, _mask: int) -> None:
        for _turn in range(ACCEPTS_PER_TURN):
            try:
                data, address = self._listener.recvfrom(CHUNK_BYTES)
            except BlockingIOError:
                return
            except OSError:
                continue  # an earlier answer could not be delivered; the error is about that one
            with suppress(OSError):  # nobody listens in there, or its buffer is full: datagrams may be lost
                self._server_of(address).send(data)

    def _server_of(self, address: ClientAddress) -> socket.socket:
        """Return the socket that stands for the client at *address*."""
        server = self._clients.get(address)
        if server is None:
            server = socket.socket(_family(self.target), socket.SOCK_DGRAM | socket.SOCK_CLOEXEC | socket.SOCK_NONBLOCK)
            try:
                server.connect(self.target)
            except OSError:
                server.close()
                raise
            self._watch.register(server, _READ, partial(self._on_answers, server, address))
            self._clients[address] = server
            if len(self._clients) > UDP_CLIENTS:
                self._drop(next(iter(self._clients)))
        self._clients.move_to_end(address)
        return server

    def _on_answers(self, server: socket.socket, address: ClientAddress, _mask: int) -> None:
        if server.fileno() < 0:
            return  # dropped in the same turn of the loop
        with suppress(OSError):  # nothing there after all, or refused: see `_on_requests`
            for _turn in range(ACCEPTS_PER_TURN):
                self._listener.sendto(server.recv(CHUNK_BYTES), address)

    def _drop(self, address: ClientAddress) -> None:
        server = self._clients.pop(address)
        self._watch.unregister(server)
        server.close()

    def close(self) -> None:
        if self._listener.fileno() < 0:
            return
        for address in tuple(self._clients):
            self._drop(address)
        self._watch.unregister(self._listener)
        self._listener.close()
