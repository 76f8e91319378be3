"""The HTTP that is spoken with a server."""

from __future__ import annotations

import socket
import threading
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from minidocker.client.transport import DaemonError, Transport, render_target
from minidocker.errors import PeerError


def test_target_escapes_names_and_values() -> None:
    """A name cannot smuggle a query, a value cannot smuggle a key."""
    assert render_target("/images/a/b:1/json", {"x": "a&b=c d", "names": ["1", "2"]}) == "/images/a/b:1/json?x=a%26b%3Dc%20d&names=1&names=2"
    assert render_target("/containers/a?b#c\r\n/json") == "/containers/a%3Fb%23c%0D%0A/json"


def answering(wire: bytes) -> tuple[Transport, Callable[[], bytes]]:
    """Return a client whose server sends *wire* whatever it is asked, and what it was asked."""
    ours, theirs = socket.socketpair()
    asked: list[bytes] = []

    def serve() -> None:
        with theirs:
            asked.append(theirs.recv(65536))
            theirs.sendall(wire)

    thread = threading.Thread(target=serve)
    thread.start()

    client = Transport(lambda: ours)

    def finish() -> bytes:
        thread.join()
        client.close()
        ours.close()
        return asked[0]

    return client, finish


@given(pieces=st.lists(st.binary(min_size=1, max_size=30), max_size=5))
def test_chunked_body_is_put_together(pieces: list[bytes]) -> None:
    """Streams come in chunks; their borders mean nothing."""
    chunks = b"".join(b"%x\r\n%b\r\n" % (len(piece), piece) for piece in pieces)
    client, finish = answering(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n" + chunks + b"0\r\n\r\n")
    response = client.open("GET", "/x")
    body = response.read()
    response.close()
    finish()
    assert body == b"".join(pieces)


def test_refusal_has_the_servers_words() -> None:
    """The message is in the JSON; the status decides what the caller makes of it."""
    client, finish = answering(b'HTTP/1.1 404 Not Found\r\nContent-Length: 34\r\n\r\n{"message":"No such container: x"}')
    with pytest.raises(DaemonError) as caught:
        client.get("/containers/x/json")
    assert b"GET /containers/x/json HTTP/1.1\r\n" in finish()
    assert (caught.value.message, caught.value.http_status) == ("Error response from daemon: No such container: x", 404)


def test_answer_that_is_not_http_is_said() -> None:
    """Somebody else listens at that address."""
    client, finish = answering(b"SSH-2.0-OpenSSH_9.2\r\n")
    with pytest.raises(PeerError, match="not HTTP"):
        client.get("/version")
    finish()


def test_bytes_behind_the_header_of_a_stream_are_not_lost() -> None:
    """A fast container writes before the client has read the header."""
    client, finish = answering(b"HTTP/1.1 101 UPGRADED\r\nConnection: Upgrade\r\nUpgrade: tcp\r\n\r\nhello")
    stream = client.hijack("/containers/x/attach", {"stream": "1"})
    assert stream.receive() == b"hello"
    assert stream.receive() == b""
    stream.close()
    assert b"Upgrade: tcp\r\n" in finish()
