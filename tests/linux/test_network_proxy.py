"""The port proxy on loopback: every byte arrives, a half-closed connection goes on, a slow reader costs no memory.

Tier 1: Linux, no root. The loop that runs the proxy is the test's own, as the monitor's is in the product.
"""

from __future__ import annotations

import hashlib
import selectors
import socket
from collections.abc import Callable, Iterator

import pytest

from minidocker.network.proxy import BUFFER_BYTES, PortProxy

WAIT_S = 10
"""A loop that has nothing to do for so long has failed."""


class Loop:
    """A selector loop that turns until something is so."""

    def __init__(self) -> None:
        self.watch = selectors.DefaultSelector()

    def turn_until(self, condition: Callable[[], bool]) -> None:
        """Run callbacks until *condition* holds."""
        while not condition():
            events = self.watch.select(WAIT_S)
            assert events, "nothing happens any more"
            for key, mask in events:
                key.data(mask)

    def settle(self) -> None:
        """Run callbacks as long as any has work."""
        while events := self.watch.select(0.02):
            for key, mask in events:
                key.data(mask)


@pytest.fixture
def loop() -> Iterator[Loop]:
    """Return a loop; whatever is registered at the end was forgotten by somebody."""
    loop = Loop()
    yield loop
    leftovers = list(loop.watch.get_map().values())
    loop.watch.close()
    assert leftovers == []


def listen(kind: socket.SocketKind = socket.SOCK_STREAM, address: str = "127.0.0.1") -> socket.socket:
    """Return a socket bound to a free port of loopback."""
    sock = socket.socket(socket.AF_INET6 if ":" in address else socket.AF_INET, kind)
    sock.bind((address, 0))
    if kind == socket.SOCK_STREAM:
        sock.listen()
    sock.settimeout(WAIT_S)
    return sock


def accept(loop: Loop, server: socket.socket) -> socket.socket:
    """Return the connection that the proxy makes to *server*."""
    server.setblocking(False)
    found: list[socket.socket] = []

    def take(_mask: int) -> None:
        found.append(server.accept()[0])

    loop.watch.register(server, selectors.EVENT_READ, take)
    loop.turn_until(lambda: bool(found))
    loop.watch.unregister(server)
    found[0].setblocking(False)
    return found[0]


def receive_all(loop: Loop, source: socket.socket) -> bytes:
    """Return what *source* says until its end."""
    data, ended = bytearray(), False

    def take(_mask: int) -> None:
        nonlocal ended
        chunk = source.recv(1 << 20)
        data.extend(chunk)
        ended = not chunk

    loop.watch.register(source, selectors.EVENT_READ, take)
    loop.turn_until(lambda: ended)
    loop.watch.unregister(source)
    return bytes(data)


def send_all(loop: Loop, sink: socket.socket, data: bytes) -> None:
    """Write *data* as fast as it is taken, then close the writing half."""
    left = memoryview(data)

    def give(_mask: int) -> None:
        nonlocal left
        left = left[sink.send(left) :]
        if not left:
            loop.watch.unregister(sink)
            sink.shutdown(socket.SHUT_WR)

    loop.watch.register(sink, selectors.EVENT_WRITE, give)


@pytest.mark.parametrize("address", ["127.0.0.1", "::1"])
def test_connection_carries_every_byte_and_half_closes(loop: Loop, address: str) -> None:
    """The client says all it has and closes its half; the answer still comes, whole (`echo request | nc`)."""
    payload = bytes(range(256)) * 20_000  # 5 MB, twenty times the buffer
    with listen() as server, listen(address=address) as listener:
        proxy = PortProxy(loop.watch, listener=listener, target=server.getsockname())
        with socket.create_connection(listener.getsockname()[:2], WAIT_S) as client:
            client.setblocking(False)
            with accept(loop, server) as connection:
                send_all(loop, client, payload)
                assert hashlib.sha256(receive_all(loop, connection)).digest() == hashlib.sha256(payload).digest()
                send_all(loop, connection, payload[::-1])
                assert receive_all(loop, client) == payload[::-1]
        proxy.close()


def test_slow_reader_stops_the_writer(loop: Loop) -> None:
    """What nobody reads stays with the writer: the proxy takes a bounded amount and then stops watching."""
    with listen() as server, listen() as listener:
        proxy = PortProxy(loop.watch, listener=listener, target=server.getsockname())
        with socket.create_connection(listener.getsockname(), WAIT_S) as client:
            client.setblocking(False)
            client.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 4096)
            with accept(loop, server) as connection:
                sent, stalled = 0, 0
                while stalled < 3:
                    try:
                        sent += client.send(bytes(65536))
                        stalled = 0
                    except BlockingIOError:
                        stalled += 1
                        loop.settle()
                assert sent > BUFFER_BYTES
                client.shutdown(socket.SHUT_WR)
                assert len(receive_all(loop, connection)) == sent
        proxy.close()


def test_many_connections_are_served_at_once(loop: Loop) -> None:
    """Nobody waits for anybody."""
    with listen() as server, listen() as listener:
        proxy = PortProxy(loop.watch, listener=listener, target=server.getsockname())
        clients = [socket.create_connection(listener.getsockname(), WAIT_S) for _ in range(50)]
        connections = [accept(loop, server) for _ in clients]
        for number, client in enumerate(clients):
            client.sendall(b"%d" % number)
            client.shutdown(socket.SHUT_WR)
        assert sorted(int(receive_all(loop, c)) for c in connections) == list(range(50))
        for sock in (*clients, *connections):
            sock.close()
        loop.settle()
        proxy.close()


def test_client_of_a_server_that_refuses_sees_a_broken_connection(loop: Loop) -> None:
    """The proxy has accepted before it could know; a reset is the honest answer, an orderly end would be a lie."""
    with listen() as gone:
        target = gone.getsockname()
    with listen() as listener:
        proxy = PortProxy(loop.watch, listener=listener, target=target)
        with socket.create_connection(listener.getsockname(), WAIT_S) as client:
            loop.settle()
            with pytest.raises(ConnectionResetError):
                client.recv(1)
        proxy.close()


def test_closing_the_proxy_cuts_its_connections(loop: Loop) -> None:
    """When the container is gone nobody shall believe to talk to it."""
    with listen() as server, listen() as listener:
        proxy = PortProxy(loop.watch, listener=listener, target=server.getsockname())
        with socket.create_connection(listener.getsockname(), WAIT_S) as client, accept(loop, server) as connection:
            proxy.close()
            proxy.close()
            assert listener.fileno() == -1
            with pytest.raises(ConnectionResetError):
                client.recv(1)
            with pytest.raises(ConnectionResetError):
                connection.recv(1)


def test_datagrams_find_their_way_back_to_the_client_that_asked(loop: Loop) -> None:
    """UDP has no connections: every client address is given a socket of its own, whose answers are that client's."""
    with listen(socket.SOCK_DGRAM) as server, listen(socket.SOCK_DGRAM) as listener:
        proxy = PortProxy(loop.watch, listener=listener, target=server.getsockname())
        with listen(socket.SOCK_DGRAM) as one, listen(socket.SOCK_DGRAM) as other:
            for client, text in ((one, b"one"), (other, b"other"), (one, b"one again")):
                client.sendto(text, listener.getsockname())
            loop.settle()
            asked = [server.recvfrom(100) for _ in range(3)]
            assert [text for text, _ in asked] == [b"one", b"other", b"one again"]
            assert asked[0][1] == asked[2][1] != asked[1][1]
            for text, address in asked:
                server.sendto(text.upper(), address)
            loop.settle()
            assert [one.recv(100), one.recv(100), other.recv(100)] == [b"ONE", b"ONE AGAIN", b"OTHER"]
        proxy.close()


def test_datagram_to_a_server_that_is_not_there_is_lost_and_the_proxy_lives(loop: Loop) -> None:
    """The refusal (ICMP) shows up as an error of a later call, and belongs to nobody."""
    with listen(socket.SOCK_DGRAM) as gone:
        target = gone.getsockname()
    with listen(socket.SOCK_DGRAM) as listener:
        proxy = PortProxy(loop.watch, listener=listener, target=target)
        with listen(socket.SOCK_DGRAM) as client:
            for _ in range(3):
                client.sendto(b"lost", listener.getsockname())
                loop.settle()
            with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as server:
                server.bind(target)
                client.sendto(b"found", listener.getsockname())
                loop.settle()
                server.setblocking(False)
                received = [server.recv(100)]
        proxy.close()
    assert received == [b"found"]
