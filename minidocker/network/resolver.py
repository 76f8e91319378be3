"""The name service of one container: a guest in its monitor's event loop, as the port proxy is.

Acting. Clients in the container ask at 127.0.0.11 over UDP or TCP. `minidocker.network.lookup` answers for neighbours; what
it does not know goes, as it came, to the servers of the host, through a socket of its own in the container's namespace, so
that the container's routes and the filter's rules hold for it. Nothing here ever waits:

    client ──▶ listener ──▶ lookup ──▶ answer at once
                               └─────▶ upstream socket ··· later: its answer ──▶ client

There are no timers. A client that gets no answer asks again, with the same number, and then the next server is asked; what
nobody answers is forgotten when `PENDING_MAX` later questions wait. See resolv.conf(5). Chapter 18.
"""

from __future__ import annotations

import ipaddress
import json
import os
import selectors
import socket
from collections import OrderedDict
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from functools import partial
from typing import Final

from minidocker.codec.dns import MalformedQuestion, Query, Rcode, parse_query, read_id, render_response
from minidocker.network.lookup import NameTable, plan_reply, read_table

__all__ = ["Resolver"]

PENDING_MAX: Final = 256
"""Questions that wait for servers outside; the oldest is forgotten first."""
STREAMS_MAX: Final = 64
"""Clients over TCP at a time."""
STREAM_BYTES_MAX: Final = 64 * 1024 + 2
"""A message over TCP has its length in two bytes in front."""
DATAGRAMS_PER_TURN: Final = 64
DNS_PORT: Final = 53
MESSAGE_MAX: Final = 64 * 1024

_READ, _WRITE = selectors.EVENT_READ, selectors.EVENT_WRITE
OpenSocket = Callable[[socket.AddressFamily, socket.SocketKind, bool], socket.socket]
"""Makes a socket in the container's network namespace, or with True in the host's."""
Reply = Callable[[bytes], None]


@dataclass(slots=True, kw_only=True)
class _Pending:
    """A question that somebody outside was asked."""

    message: bytes
    reply: Reply
    kind: socket.SocketKind
    tried: int = 0
    upstream: socket.socket | None = None
    received: bytearray = field(default_factory=bytearray)


class Resolver:
    """Answers what comes to *sockets* (UDP and TCP, ours now)."""

    def __init__(self, watch: selectors.BaseSelector, sockets: Sequence[socket.socket], *, open_socket: OpenSocket) -> None:
        """Register with *watch*; `configure` says what there is to know."""
        self._watch, self._sockets, self._open_socket = watch, list(sockets), open_socket
        self._paths: tuple[str, ...] = ()
        self._links: dict[str, str] = {}
        self._servers: tuple[str, ...] = ()
        self._tables: dict[str, tuple[object, NameTable]] = {}
        self._pending: OrderedDict[object, _Pending] = OrderedDict()
        self._streams: OrderedDict[socket.socket, bytearray] = OrderedDict()
        self._turn = 0
        for sock in self._sockets:
            sock.setblocking(False)
            handler = self._on_datagrams if sock.type == socket.SOCK_DGRAM else self._on_clients
            watch.register(sock, _READ, partial(handler, sock))

    def configure(self, *, paths: Sequence[str], links: dict[str, str], servers: Sequence[str]) -> None:
        """Answer from the tables in *paths*, know *links* besides, and ask *servers* (none: nobody) for the rest."""
        self._paths, self._servers = tuple(paths), tuple(servers)
        self._links = {alias.lower(): name for alias, name in links.items()}

    def close(self) -> None:
        """Answer no more."""
        for key in tuple(self._pending):
            self._forget(key)
        for stream in tuple(self._streams):
            self._drop(stream)
        for sock in self._sockets:
            self._watch.unregister(sock)
            sock.close()
        self._sockets.clear()

    # -- questions ---------------------------------------------------------------------------------------------------

    def _on_datagrams(self, listener: socket.socket, _mask: int) -> None:
        for _turn in range(DATAGRAMS_PER_TURN):
            try:
                message, client = listener.recvfrom(MESSAGE_MAX)
            except OSError:  # nothing more, or an earlier answer could not be delivered
                return
            self._answer(message, ("udp", client), socket.SOCK_DGRAM, partial(self._send_datagram, listener, client))

    def _send_datagram(self, listener: socket.socket, client: tuple[str, int], response: bytes) -> None:
        with suppress(OSError):  # nobody waits for it any more
            listener.sendto(response, client)

    def _answer(self, message: bytes, client: object, kind: socket.SocketKind, reply: Reply) -> None:
        """Answer *message*, or ask somebody; what is no question gets the answer that it deserves, or none."""
        try:
            query = parse_query(message)
        except MalformedQuestion:
            if len(message) >= 12 and not message[2] & 0x80:  # never to an answer: two servers would talk for ever
                reply(render_response(Query(id=read_id(message), name="", type=0, question=b"\0\0\0\0\0"), rcode=Rcode.FORMERR))
            return
        self._turn += 1
        found = plan_reply(query, self._load_tables(), links=self._links, turn=self._turn, can_forward=bool(self._servers))
        if found is not None:
            limit = query.max_bytes if kind == socket.SOCK_DGRAM else 0
            reply(render_response(query, found.answers, rcode=found.rcode, max_bytes=limit))
            return
        self._forward(message, (client, query.id, query.question), kind, reply)

    def _load_tables(self) -> list[NameTable]:
        """Return the tables, read again where a file is another than it was."""
        tables = []
        for path in self._paths:
            with suppress(OSError, ValueError, KeyError, TypeError):  # the network is being removed: it has no names
                found = os.stat(path)
                stamp = (found.st_ino, found.st_mtime_ns, found.st_size)
                if self._tables.get(path, (None,))[0] != stamp:
                    with open(path, encoding="utf-8") as file:
                        self._tables[path] = (stamp, read_table(json.load(file)))
                tables.append(self._tables[path][1])
        return tables

    # -- servers outside ---------------------------------------------------------------------------------------------

    def _forward(self, message: bytes, key: object, kind: socket.SocketKind, reply: Reply) -> None:
        """Ask a server outside; a question that is asked again goes to the next one."""
        pending = self._pending.pop(key, None) or _Pending(message=message, reply=reply, kind=kind)
        self._close_upstream(pending)
        self._pending[key] = pending
        if len(self._pending) > PENDING_MAX:
            self._forget(next(iter(self._pending)))
        self._ask(key, pending)

    def _ask(self, key: object, pending: _Pending) -> None:
        """Send a question to the next server that takes it; with none left, say that it failed."""
        for _server in self._servers:
            server = self._servers[pending.tried % len(self._servers)]
            pending.tried += 1
            with suppress(OSError, ValueError):  # no route, no descriptor, no address: the next one
                address = ipaddress.ip_address(server.partition("%")[0])
                family = socket.AF_INET if address.version == 4 else socket.AF_INET6
                upstream = self._open_socket(family, pending.kind, address.is_loopback)
                pending.upstream = upstream
                upstream.setblocking(False)
                code = upstream.connect_ex((str(address), DNS_PORT))
                if pending.kind == socket.SOCK_DGRAM:
                    upstream.send(pending.message)
                    self._watch.register(upstream, _READ, partial(self._on_answer, key))
                elif code in (0, 115):  # EINPROGRESS
                    self._watch.register(upstream, _WRITE, partial(self._on_connected, key))
                else:
                    raise OSError(code, os.strerror(code))
                return
            self._close_upstream(pending)
        self._fail(key, pending)

    def _fail(self, key: object, pending: _Pending) -> None:
        self._forget(key)
        with suppress(MalformedQuestion):
            pending.reply(render_response(parse_query(pending.message), rcode=Rcode.SERVFAIL))

    def _next_server(self, key: object, pending: _Pending) -> None:
        """A server refused at once: ask the next, each one once."""
        self._close_upstream(pending)
        if pending.tried < len(self._servers):
            self._ask(key, pending)
        else:
            self._fail(key, pending)

    def _on_answer(self, key: object, _mask: int) -> None:
        pending = self._pending.get(key)
        if pending is None or pending.upstream is None:
            return
        try:
            response = pending.upstream.recv(MESSAGE_MAX)
        except BlockingIOError:
            return
        except OSError:  # nobody listens there
            self._next_server(key, pending)
            return
        if read_id(response) == read_id(pending.message):
            self._forget(key)
            pending.reply(response)

    def _on_connected(self, key: object, _mask: int) -> None:
        pending = self._pending.get(key)
        if pending is None or pending.upstream is None:
            return
        try:
            pending.upstream.send(len(pending.message).to_bytes(2, "big") + pending.message)
        except OSError:
            self._next_server(key, pending)
            return
        self._watch.modify(pending.upstream, _READ, partial(self._on_stream_answer, key))

    def _on_stream_answer(self, key: object, _mask: int) -> None:
        pending = self._pending.get(key)
        if pending is None or pending.upstream is None:
            return
        try:
            data = pending.upstream.recv(MESSAGE_MAX)
        except BlockingIOError:
            return
        except OSError:
            data = b""
        pending.received += data
        response = _take_message(pending.received)
        if response is not None:
            self._forget(key)
            pending.reply(response)
        elif not data:
            self._next_server(key, pending)

    def _close_upstream(self, pending: _Pending) -> None:
        upstream, pending.upstream = pending.upstream, None
        pending.received.clear()
        if upstream is not None:
            with suppress(KeyError):  # it was never watched
                self._watch.unregister(upstream)
            upstream.close()

    def _forget(self, key: object) -> None:
        pending = self._pending.pop(key, None)
        if pending is not None:
            self._close_upstream(pending)

    # -- clients over TCP --------------------------------------------------------------------------------------------

    def _on_clients(self, listener: socket.socket, _mask: int) -> None:
        with suppress(OSError):  # it went away, or there is no descriptor: it will try again
            client, _address = listener.accept()
            client.setblocking(False)
            self._streams[client] = bytearray()
            self._watch.register(client, _READ, partial(self._on_stream, client))
            if len(self._streams) > STREAMS_MAX:
                self._drop(next(iter(self._streams)))

    def _on_stream(self, client: socket.socket, _mask: int) -> None:
        buffer = self._streams.get(client)
        if buffer is None:
            return
        try:
            data = client.recv(MESSAGE_MAX)
        except BlockingIOError:
            return
        except OSError:
            data = b""
        if not data or len(buffer) + len(data) > 2 * STREAM_BYTES_MAX:
            self._drop(client)
            return
        buffer += data
        while client in self._streams and (message := _take_message(buffer)) is not None:
            self._answer(message, ("tcp", client), socket.SOCK_STREAM, partial(self._send_stream, client))

    def _send_stream(self, client: socket.socket, response: bytes) -> None:
        """Send an answer whole, or drop the client: one that does not read is not waited for."""
        content = len(response).to_bytes(2, "big") + response
        try:
            is_sent = client in self._streams and client.send(content) == len(content)
        except OSError:
            is_sent = False
        if not is_sent:
            self._drop(client)

    def _drop(self, client: socket.socket) -> None:
        if self._streams.pop(client, None) is not None:
            self._watch.unregister(client)
            client.close()


def _take_message(buffer: bytearray) -> bytes | None:
    """Take the first message out of *buffer*, if it is whole."""
    size = int.from_bytes(buffer[:2], "big")
    if len(buffer) < 2 or len(buffer) < 2 + size:
        return None
    message = bytes(buffer[2 : 2 + size])
    del buffer[: 2 + size]
    return message
