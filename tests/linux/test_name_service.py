"""The name service of a container in an event loop, with servers outside that the test plays.

Tier 2: root, for a network namespace of its own in which port 53 is free.
"""

from __future__ import annotations

import json
import os
import selectors
import socket
import struct
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from minidocker.codec.dns import MAX_UDP_BYTES, Rcode
from minidocker.network.resolver import PENDING_MAX, Resolver
from tests.linux.worlds import WAIT_S, World
from tests.unit.codec.test_dns import question

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="needs root: run the tests with sudo")


class Service:
    """A resolver, its loop, and a client."""

    def __init__(self, directory: Path, *, servers: tuple[str, ...] = ()) -> None:
        """Serve the names of one network."""
        self.watch = selectors.DefaultSelector()
        self.udp, self.tcp = socket.socket(type=socket.SOCK_DGRAM), socket.socket()
        self.udp.bind(("127.0.0.11", 0))
        self.tcp.bind(("127.0.0.11", 0))
        self.tcp.listen()
        self.addresses = self.udp.getsockname(), self.tcp.getsockname()
        self.table = directory / "n.json"
        self.write({"web": "172.18.0.2"})
        self.resolver = Resolver(self.watch, (self.udp, self.tcp), open_socket=lambda family, kind, _home: socket.socket(family, kind))
        self.resolver.configure(paths=[str(self.table)], links={"front": "web"}, servers=servers)

    def write(self, names: dict[str, str]) -> None:
        """Replace the table of names as the server does."""
        members = [{"names": [name], "addresses": [address]} for name, address in names.items()]
        new = self.table.with_suffix(".new")
        new.write_text(json.dumps({"network": "shop", "members": members}))
        os.replace(new, self.table)

    def run_until(self, is_done: Callable[[], bool]) -> None:
        """Turn the loop until *is_done*."""
        while not is_done():
            events = self.watch.select(WAIT_S)
            assert events, "nothing happened for a long time"
            for key, mask in events:
                if self.watch.get_map().get(key.fd) is key:
                    key.data(mask)

    def ask(self, message: bytes, client: socket.socket | None = None) -> bytes:
        """Send a datagram and return the answer."""
        with client or socket.socket(type=socket.SOCK_DGRAM) as sock:
            sock.setblocking(False)
            sock.sendto(message, self.addresses[0])
            found: list[bytes] = []

            def receive(_mask: int) -> None:
                found.append(sock.recv(65536))

            self.watch.register(sock, selectors.EVENT_READ, receive)
            self.run_until(lambda: bool(found))
            self.watch.unregister(sock)
        return found[0]


@pytest.fixture
def service(world: World, tmp_path: Path) -> Iterator[Service]:
    """Return a service that has two servers: one that refuses, and one that the test can play."""
    made = Service(tmp_path, servers=("127.0.0.52", "127.0.0.53"))
    yield made
    made.resolver.close()
    made.watch.close()


def upstream(kind: socket.SocketKind = socket.SOCK_DGRAM) -> socket.socket:
    """Return the server outside."""
    server = socket.socket(type=kind)
    server.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    server.bind(("127.0.0.53", 53))
    server.settimeout(WAIT_S)
    if kind == socket.SOCK_STREAM:
        server.listen()
    return server


def rcode(response: bytes) -> int:
    """Return how a response went."""
    return response[3] & 15


def test_neighbour_is_found_and_forgotten_when_it_goes(service: Service) -> None:
    """The table is read again when it is another file; nobody has to tell the service."""
    assert service.ask(question("web")).endswith(bytes((172, 18, 0, 2)))
    assert service.ask(question("front")).endswith(bytes((172, 18, 0, 2)))
    service.write({"web": "172.18.0.9"})
    assert service.ask(question("web")).endswith(bytes((172, 18, 0, 9)))


def test_other_names_are_asked_for_outside_and_come_back_as_they_are(service: Service) -> None:
    """A server that refuses is passed over; what the next one says is passed on to the byte."""
    with upstream() as server:

        def serve(_mask: int) -> None:
            data, peer = server.recvfrom(65536)
            server.sendto(data[:2] + b"\x81\x80 as the server says", peer)

        service.watch.register(server, selectors.EVENT_READ, serve)
        assert service.ask(question("example.com")) == b"\0\x07\x81\x80 as the server says"
        service.watch.unregister(server)


def test_nobody_outside_is_a_failure_not_silence(service: Service) -> None:
    """All servers refuse: the client hears it at once, instead of waiting five seconds for each."""
    assert rcode(service.ask(question("example.com"))) == Rcode.SERVFAIL


def test_question_that_is_asked_again_goes_to_the_next_server(world: World, tmp_path: Path) -> None:
    """There are no timers: a client that got no answer repeats itself with the same number."""
    service = Service(tmp_path, servers=("127.0.0.53", "127.0.0.54"))
    with upstream() as silent, socket.socket(type=socket.SOCK_DGRAM) as second, socket.socket(type=socket.SOCK_DGRAM) as client:
        second.bind(("127.0.0.54", 53))
        heard: list[bytes] = []
        for server in (silent, second):
            service.watch.register(server, selectors.EVENT_READ, lambda _mask, s=server: heard.append(s.recv(512)))
        for turn in (1, 2):
            client.sendto(question("example.com"), service.addresses[0])
            service.run_until(lambda turn=turn: len(heard) == turn)  # type: ignore[misc]  # a default argument
        assert heard == [question("example.com")] * 2
        for server in (silent, second):
            service.watch.unregister(server)
    service.resolver.close()
    service.watch.close()


def test_internal_network_asks_nobody(world: World, tmp_path: Path) -> None:
    """CVE-2024-29018: without servers no question leaves, and the answer is quick."""
    service = Service(tmp_path)
    assert rcode(service.ask(question("example.com"))) == Rcode.SERVFAIL
    assert rcode(service.ask(question("nobody"))) == Rcode.NXDOMAIN
    service.resolver.close()
    service.watch.close()


def test_answer_that_does_not_fit_a_datagram_comes_over_tcp(service: Service) -> None:
    """TC in the header: the client asks again on a connection, where each message has its length in front, in any pieces."""
    service.table.write_text(
        json.dumps({"network": "shop", "members": [{"names": ["many"], "addresses": [f"172.18.1.{n}" for n in range(1, 101)]}]})
    )
    cut = service.ask(question("many"))
    assert (len(cut) <= MAX_UDP_BYTES, cut[2] & 2) == (True, 2)
    with socket.create_connection(service.addresses[1]) as client:
        message = question("many")
        content = struct.pack(">H", len(message)) + message
        received = bytearray()
        service.watch.register(client, selectors.EVENT_READ, lambda _mask: received.extend(client.recv(65536)))
        for piece in (content[:1], content[1:9], content[9:]):
            client.sendall(piece)
            for key, mask in service.watch.select(0.05):
                key.data(mask)
        service.run_until(lambda: len(received) > 2 and len(received) == 2 + int.from_bytes(received[:2], "big"))
        assert struct.unpack(">H", received[8:10]) == (100,)
        service.watch.unregister(client)


def test_question_over_tcp_is_asked_over_tcp_outside(service: Service) -> None:
    """Whoever asks over TCP wants an answer that may be long."""
    with upstream(socket.SOCK_STREAM) as server, socket.create_connection(service.addresses[1]) as client:
        received = bytearray()

        def serve(_mask: int) -> None:
            connection, _ = server.accept()
            service.watch.register(connection, selectors.EVENT_READ, lambda _mask: answer(connection))

        def answer(connection: socket.socket) -> None:
            service.watch.unregister(connection)
            with connection:
                connection.sendall(struct.pack(">H", 6) + connection.recv(512)[2:4] + b"\x81\x80ok")

        service.watch.register(server, selectors.EVENT_READ, serve)
        service.watch.register(client, selectors.EVENT_READ, lambda _mask: received.extend(client.recv(512)))
        message = question("example.com")
        client.sendall(struct.pack(">H", len(message)) + message)
        service.run_until(lambda: len(received) == 8)
        assert received[2:] == b"\0\x07\x81\x80ok"
        for sock in (server, client):
            service.watch.unregister(sock)


@pytest.mark.parametrize("message", [b"", b"\0" * 11, b"\xff" * 600, question("a", flags=0x8180), b"\0\7\1\0\0\1\0\0\0\0\0\0\xc0\x0c\0\1\0\1"])
def test_hostile_datagrams_do_not_stop_the_service(service: Service, message: bytes) -> None:
    """What is no question gets "format error" or nothing; never an answer to an answer, which two servers would play for ever."""
    with socket.socket(type=socket.SOCK_DGRAM) as client:
        client.sendto(message, service.addresses[0])
        assert service.ask(question("web")).endswith(bytes((172, 18, 0, 2)))


def test_questions_without_an_answer_do_not_pile_up(world: World, tmp_path: Path) -> None:
    """A server that never answers and a client that never stops: the oldest questions are forgotten."""
    service = Service(tmp_path, servers=("127.0.0.53",))
    before = len(os.listdir("/proc/self/fd"))
    with upstream(), socket.socket(type=socket.SOCK_DGRAM) as client:
        for number in range(PENDING_MAX + 100):
            client.sendto(question("example.com", identity=number), service.addresses[0])
            for key, mask in service.watch.select(WAIT_S):
                key.data(mask)
        assert len(os.listdir("/proc/self/fd")) <= before + PENDING_MAX + 3
    service.resolver.close()
    assert len(os.listdir("/proc/self/fd")) <= before
    service.watch.close()
