"""The server over real sockets, with small applications of its own instead of an engine."""

from __future__ import annotations

import os
import socket
import stat
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from minidocker.api.application import Application
from minidocker.api.listener import open_listener
from minidocker.api.request import Body
from minidocker.api.response import Answer, Hijack, Response, StreamResponse
from minidocker.api.server import Server
from minidocker.api.streams import progress_response, render_log_chunks, wait_for_client, wait_until_read
from minidocker.codec import http1
from minidocker.errors import Conflict, Forbidden, HostError, InvalidParameter, NotFound
from minidocker.spec.record import Json

Connect = Callable[[Application], socket.socket]
GET = b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n"
UPGRADE = b"POST /attach HTTP/1.1\r\nHost: localhost\r\nConnection: Upgrade\r\nUpgrade: tcp\r\n\r\n"


@pytest.fixture
def connect(tmp_path: Path) -> Iterator[Connect]:
    """Return a function that starts a server for an application and connects to it; all of it ends with the test."""
    with ExitStack() as stack:

        def start(application: Application) -> socket.socket:
            server = Server([open_listener(f"unix://{tmp_path}/s")], application)
            thread = threading.Thread(target=server.run)
            thread.start()
            stack.callback(thread.join)
            stack.callback(server.stop)
            client = stack.enter_context(socket.socket(socket.AF_UNIX))
            client.settimeout(20)
            client.connect(f"{tmp_path}/s")
            return client

        yield start


def read_answer(client: socket.socket, *, method: str = "GET") -> tuple[http1.Response, bytes]:
    """Read one answer with its body."""
    parser = http1.ResponseParser(method)
    head, body = None, b""
    while True:
        while (event := parser.next_event()) is None:
            parser.feed(client.recv(1))  # the next answer stays in the socket
        if isinstance(event, http1.Response) and event.status >= 200:
            head = event
        elif isinstance(event, http1.Data):
            body += event.data
        elif isinstance(event, http1.EndOfMessage):
            assert head is not None
            return head, body


def read_to_end(client: socket.socket) -> bytes:
    """Read until the server ends its side."""
    return b"".join(iter(lambda: client.recv(4096), b""))


def echo(_head: http1.Request, body: Body, _fd: int) -> Answer:
    """Answer with the body of the request."""
    return Response(body=body.read(), content_type="text/plain")


def test_connection_carries_one_request_after_the_other(connect: Connect) -> None:
    """A new connection costs more than a request: docker-py keeps its own for all of them."""
    client = connect(echo)
    for text in (b"one", b"two"):
        client.sendall(b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\n" + text)
        assert read_answer(client)[1] == text


def test_requests_sent_together_are_answered_in_order(connect: Connect) -> None:
    """HTTP/1.1 allows a client not to wait; what follows the first body is the second request."""
    client = connect(echo)
    client.sendall(b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\none" * 2)
    assert read_answer(client)[1] == b"one"
    assert read_answer(client)[1] == b"one"


def test_chunked_body_is_read_in_exactly_the_sizes_asked_for(connect: Connect) -> None:
    """An archive is read by its own block size, not by the pieces of the network."""

    def application(_head: http1.Request, body: Body, _fd: int) -> Answer:
        return Response(body=b"|".join((body.read(4), body.read(4), body.read(4), body.read(4))))

    client = connect(application)
    client.sendall(b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n7\r\ndefghij\r\n0\r\n\r\n")
    assert read_answer(client)[1] == b"abcd|efgh|ij|"


def test_body_that_the_handler_left_is_skipped(connect: Connect) -> None:
    """An early answer (no such container) must not make the body look like the next request."""
    client = connect(lambda head, body, fd: Response(body=head.target.encode()))
    hidden = b"GET /evil HTTP/1.1\r\nHost: a\r\n\r\n"
    client.sendall(b"POST /1 HTTP/1.1\r\nHost: a\r\nContent-Length: %d\r\n\r\n" % len(hidden) + hidden)
    assert read_answer(client)[1] == b"/1"
    client.sendall(b"GET /2 HTTP/1.1\r\nHost: a\r\n\r\n")
    assert read_answer(client)[1] == b"/2"


def test_client_that_expects_100_sends_its_body_after_it(connect: Connect) -> None:
    """A client asks before it uploads; the permission goes out when the handler reads."""
    client = connect(echo)
    client.sendall(b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\nExpect: 100-continue\r\n\r\n")
    assert client.recv(4096) == http1.CONTINUE
    client.sendall(b"hi")
    assert read_answer(client)[1] == b"hi"


def test_client_that_expects_100_is_refused_without_its_body(connect: Connect) -> None:
    """The answer comes instead of the permission, and the connection ends: the body may come or not."""
    client = connect(lambda head, body, fd: Response(status=404))
    client.sendall(b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\nExpect: 100-continue\r\n\r\n")
    head, _ = read_answer(client)
    assert (head.status, head.headers["connection"]) == (404, "close")
    assert client.recv(1) == b""


def test_answer_to_head_has_the_length_but_no_body(connect: Connect) -> None:
    """Docker's ping is a HEAD."""
    client = connect(lambda head, body, fd: Response(body=b"OK"))
    client.sendall(GET.replace(b"GET", b"HEAD") + GET)
    head, body = read_answer(client, method="HEAD")
    assert (head.headers["content-length"], body) == ("2", b"")
    assert read_answer(client)[1] == b"OK"


def test_garbage_is_answered_with_400_and_the_end_of_the_connection(connect: Connect) -> None:
    """Nothing after garbage can be trusted."""
    client = connect(echo)
    client.sendall(b"EHLO mail.example\r\n\r\n")
    head, body = read_answer(client)
    assert (head.status, head.headers["content-type"]) == (400, "application/json")
    assert body.startswith(b'{"message":"')
    assert client.recv(1) == b""


def test_request_from_a_web_page_is_refused(connect: Connect) -> None:
    """A browser sends `Origin`; a page that its owner visits must not start containers (CVE-2025-9074)."""
    client = connect(echo)
    client.sendall(b"POST / HTTP/1.1\r\nHost: a\r\nOrigin: https://evil.example\r\nContent-Length: 0\r\n\r\n")
    assert read_answer(client)[0].status == 403


def test_head_of_a_stream_comes_before_its_first_piece(connect: Connect) -> None:
    """`docker run` starts the container only when the head of `wait` is there: waiting for each other would be for ever."""
    seen = threading.Event()

    def application(_head: http1.Request, _body: Body, _fd: int) -> Answer:
        def chunks() -> Iterator[bytes]:
            assert seen.wait(20)
            yield b"done"

        return StreamResponse(chunks=chunks())

    client = connect(application)
    client.sendall(GET)
    head = client.recv(4096)
    assert head.endswith(b"\r\n\r\n")
    assert b"Transfer-Encoding: chunked" in head
    seen.set()
    assert client.recv(4096) == b"4\r\ndone\r\n0\r\n\r\n" or client.recv(4096) == http1.LAST_CHUNK


def test_stream_for_http_1_0_ends_with_the_connection(connect: Connect) -> None:
    """HTTP/1.0 has no chunks."""
    client = connect(lambda head, body, fd: StreamResponse(chunks=[b"a", b"b"]))
    client.sendall(b"GET / HTTP/1.0\r\n\r\n")
    assert read_to_end(client).endswith(b"\r\n\r\nab")


def test_stream_whose_client_left_gives_everything_back(connect: Connect) -> None:
    """`docker run -d` asks to wait and goes away; the thread must notice and end."""
    ended = threading.Event()

    def application(_head: http1.Request, _body: Body, fd: int) -> Answer:
        never, unused = socket.socketpair()

        def chunks() -> Iterator[bytes]:
            with never, unused:
                if wait_for_client(never.fileno(), fd):
                    yield b"the other end spoke"

        return StreamResponse(chunks=chunks(), on_end=ended.set)

    client = connect(application)
    client.sendall(GET)
    client.recv(4096)
    client.close()
    assert ended.wait(20)


def test_progress_that_fails_at_once_is_a_status_and_later_a_line() -> None:
    """Before the first byte the status is free; after it, an object with both keys that clients look for."""

    def fails(after: int) -> Iterator[Json]:
        for _ in range(after):
            yield {"status": "working"}
        raise NotFound("no such thing")

    with pytest.raises(NotFound):
        progress_response(fails(0))
    assert b"".join(progress_response(fails(1)).chunks) == (
        b'{"status":"working"}\r\n{"errorDetail":{"message":"no such thing"},"error":"no such thing"}\r\n'
    )


def test_log_goes_out_in_batches_unless_it_is_followed() -> None:
    """One write for each of 200,000 lines takes longer than reading them; a followed line must not wait for the next."""
    lines = [(1, b"one\n"), (2, b"two\n"), (1, b"three\n")]
    followed = [*render_log_chunks(lines, tty=False)]
    assert followed[0] == b"\x01\0\0\0\0\0\0\x04one\n"
    assert len(followed) == len(lines)
    assert [*render_log_chunks(lines, tty=False, batch_bytes=1000)] == [b"".join(followed)]
    assert [*render_log_chunks(lines, tty=True, batch_bytes=5)] == [b"one\ntwo\n", b"three\n"]


def take_and_greet(fd: int) -> None:
    """Stand for a monitor: answer in capitals what comes in, until the client's half-close, then end."""
    connection = socket.socket(fileno=os.dup(fd))

    def run() -> None:
        with connection:
            connection.sendall(b"ready\n")
            connection.sendall(read_to_end(connection).upper())

    threading.Thread(target=run, daemon=True).start()


@pytest.mark.parametrize("early", [b"", b"early "], ids=["input after the head", "input with the request"])
def test_hijacked_connection_carries_bytes_both_ways_with_a_half_close(connect: Connect, early: bytes) -> None:
    """Input that came with the request was read by the server already, and still reaches the container."""
    client = connect(lambda head, body, fd: Hijack(take=take_and_greet))
    client.sendall(UPGRADE + early)
    head = b""
    while not head.endswith(b"\r\n\r\nready\n"):
        head += client.recv(4096)
    assert head.startswith(b"HTTP/1.1 101 UPGRADED\r\nContent-Type: application/vnd.docker.raw-stream\r\n")
    client.sendall(b"late")
    client.shutdown(socket.SHUT_WR)
    assert read_to_end(client) == early.upper() + b"LATE"


def test_hijack_without_upgrade_answers_200_and_raw_bytes(connect: Connect) -> None:
    """Old clients do not ask for an upgrade; there is no length and no chunking, the connection just goes on."""
    client = connect(lambda head, body, fd: Hijack(take=take_and_greet))
    client.sendall(b"POST /attach HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\n\r\n")
    client.shutdown(socket.SHUT_WR)
    answer = read_to_end(client)
    assert answer.startswith(b"HTTP/1.1 200 OK\r\n")
    assert b"Transfer-Encoding" not in answer
    assert b"Content-Length" not in answer
    assert answer.endswith(b"\r\n\r\nready\n")


@pytest.mark.parametrize(
    ("is_terminal", "output"),
    [(True, b"no such program\r\n"), (False, b"\x01\0\0\0\0\0\0\x11no such program\r\n")],
    ids=["terminal", "frames"],
)
def test_hijack_that_fails_shows_its_text_as_output(connect: Connect, is_terminal: bool, output: bytes) -> None:
    """The head has gone out: `docker exec` shows the text and takes the exit code from another request."""

    def fail(_fd: int) -> None:
        raise InvalidParameter("no such program")

    client = connect(lambda head, body, fd: Hijack(take=fail, is_terminal=is_terminal))
    client.sendall(UPGRADE)
    assert read_to_end(client).partition(b"\r\n\r\n")[2] == output


def test_output_waits_until_the_client_has_read_the_head() -> None:
    """docker-py loses what comes together with the head; the kernel says how much is unread."""
    ours, theirs = socket.socketpair()
    with ours, theirs:
        assert wait_until_read(ours.fileno())
        ours.sendall(b"head")
        assert not wait_until_read(ours.fileno(), timeout_s=0.01)
        theirs.recv(4)
        assert wait_until_read(ours.fileno())


def test_unix_socket_belongs_to_its_owner_and_group_only(tmp_path: Path) -> None:
    """Who may connect is root on this host."""
    listener = open_listener(f"unix://{tmp_path}/s")
    with listener.socket:
        assert stat.S_IMODE((tmp_path / "s").stat().st_mode) == 0o660


def test_stale_socket_is_replaced_and_a_live_one_is_not(tmp_path: Path) -> None:
    """After kill -9 the file is still there; a second server on one address would take the first one's clients."""
    address = f"unix://{tmp_path}/s"
    open_listener(address).socket.close()
    listener = open_listener(address)
    with listener.socket, pytest.raises(Conflict, match="answers there already"):
        open_listener(address)


def test_file_that_is_no_socket_is_not_removed(tmp_path: Path) -> None:
    """A mistyped -H must not delete somebody's file."""
    path = tmp_path / "precious"
    path.write_text("data")
    with pytest.raises(HostError):
        open_listener(f"unix://{path}")
    assert path.read_text() == "data"


@pytest.mark.parametrize("address", ["tcp://0.0.0.0:0", "tcp://:0", "tcp://[::]:0"])
def test_tcp_without_tls_is_refused_beyond_the_loopback(address: str) -> None:
    """Whoever reaches the API is root on the host: over a network, that takes a certificate or an explicit word."""
    with pytest.raises(Forbidden, match="without TLS"):
        open_listener(address)


@pytest.mark.parametrize("address", ["", "/run/x.sock", "http://a", "unix://", "tcp://127.0.0.1:x", "tcp://127.0.0.1:1/p"])
def test_address_in_another_form_is_refused(address: str) -> None:
    """Two forms, named in the error."""
    with pytest.raises(InvalidParameter, match="listen on"):
        open_listener(address, allow_plain_tcp=True)


def test_plain_tcp_server_serves_only_requests_to_an_address(tmp_path: Path) -> None:
    """A web page can make a name of its own point to 127.0.0.1; its requests carry that name (DNS rebinding)."""
    listener = open_listener("tcp://127.0.0.1:0")
    server = Server([listener], echo)
    thread = threading.Thread(target=server.run)
    address = listener.socket.getsockname()
    thread.start()
    try:
        for host, status in ((b"127.0.0.1:2375", 200), (b"localhost", 200), (b"[::1]:2375", 200), (b"evil.example:2375", 403)):
            with socket.create_connection(address, timeout=20) as client:
                client.sendall(b"GET / HTTP/1.1\r\nHost: " + host + b"\r\n\r\n")
                assert read_answer(client)[0].status == status
    finally:
        server.stop()
        thread.join()


def test_stopped_server_ends_idle_connections_and_removes_its_socket(tmp_path: Path) -> None:
    """SIGTERM: a client that waits for nothing must not hold the server up."""
    server = Server([open_listener(f"unix://{tmp_path}/s")], echo)
    thread = threading.Thread(target=server.run)
    thread.start()
    with socket.socket(socket.AF_UNIX) as client:
        client.settimeout(20)
        client.connect(f"{tmp_path}/s")
        client.sendall(GET)
        assert read_answer(client)[0].status == 200
        assert server.idle_s == 0.0
        server.stop()
        assert client.recv(1) == b""
    thread.join(20)
    assert not thread.is_alive()
    assert not (tmp_path / "s").exists()
