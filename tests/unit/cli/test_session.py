"""Where the server is, and the HTTP that is spoken with it."""

from __future__ import annotations

import io
import socket
import threading
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from minidocker.cli.autostart import why_not_here
from minidocker.cli.client import Client, DaemonError, render_target
from minidocker.cli.events import render_event
from minidocker.cli.image_name import name_with_tag, split_image_name
from minidocker.cli.logs import parse_moment
from minidocker.cli.pull import read_progress, show_progress
from minidocker.cli.session import Session, parse_address
from minidocker.engine.places import default_data_root, default_pidfile, default_socket
from minidocker.errors import InvalidParameter, PeerError
from minidocker.reference.reference import InvalidReference, parse_reference

ADDRESSES = [
    ("unix:///run/x.sock", ("unix", "/run/x.sock", 0)),
    ("tcp://127.0.0.1:2375", ("tcp", "127.0.0.1", 2375)),
    ("tcp://[::1]:2376", ("tcp", "::1", 2376)),
    ("tcp://host", ("tcp", "host", 2375)),
    ("host:1234", ("tcp", "host", 1234)),
]


@pytest.mark.parametrize(("text", "address"), ADDRESSES, ids=[text for text, _ in ADDRESSES])
def test_address_is_read(text: str, address: tuple[str, str, int]) -> None:
    """The forms of `DOCKER_HOST`."""
    assert parse_address(text) == address


@pytest.mark.parametrize("text", ["ssh://host", "fd://", "tcp://host:x", "tcp://host:99999"])
def test_unknown_address_is_refused(text: str) -> None:
    """Said at once, with what can be used instead."""
    with pytest.raises(InvalidParameter, match="unable to parse docker host"):
        parse_address(text)


@pytest.mark.parametrize(
    ("environ", "address", "explicit"),
    [
        ({"MINIDOCKER_HOST": "tcp://a", "DOCKER_HOST": "tcp://b"}, "tcp://a", True),
        ({"DOCKER_HOST": "tcp://b"}, "tcp://b", True),
        ({"XDG_RUNTIME_DIR": "/run/user/7"}, None, False),
    ],
)
def test_environment_names_the_server(environ: dict[str, str], address: str | None, explicit: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    """Ours before Docker's, and only without either may a server be started."""
    for name in ("MINIDOCKER_HOST", "DOCKER_HOST"):
        monkeypatch.delenv(name, raising=False)
    for name, value in environ.items():
        monkeypatch.setenv(name, value)
    session = Session()
    assert session.explicit is explicit
    assert address is None or session.address == address


def test_places_of_root_and_others_do_not_meet() -> None:
    """Two people on one machine have two servers."""
    assert default_socket(0, {}) == "/run/minidocker.sock"
    assert default_socket(1000, {}) == "/run/user/1000/minidocker.sock"
    assert default_pidfile(1000, {"XDG_RUNTIME_DIR": "/r"}) == "/r/minidocker.pid"
    assert default_data_root(1000, {"HOME": "/home/me"}) == "/home/me/.local/share/minidocker"


@pytest.mark.parametrize(("platform", "uid", "word"), [("darwin", 0, "Linux kernel"), ("linux", 1000, "root"), ("linux", 0, None)])
def test_server_is_started_only_where_it_can_run(platform: str, uid: int, word: str | None) -> None:
    """The reason comes before the attempt."""
    refusal = why_not_here(platform, uid)
    assert (refusal is None) if word is None else (refusal is not None and word in refusal.message)


def test_target_escapes_names_and_values() -> None:
    """A name cannot smuggle a query, a value cannot smuggle a key."""
    assert render_target("/images/a/b:1/json", {"x": "a&b=c d", "names": ["1", "2"]}) == "/images/a/b:1/json?x=a%26b%3Dc%20d&names=1&names=2"
    assert render_target("/containers/a?b#c\r\n/json") == "/containers/a%3Fb%23c%0D%0A/json"


def answering(wire: bytes) -> tuple[Client, Callable[[], bytes]]:
    """Return a client whose server sends *wire* whatever it is asked, and what it was asked."""
    ours, theirs = socket.socketpair()
    asked: list[bytes] = []

    def serve() -> None:
        with theirs:
            asked.append(theirs.recv(65536))
            theirs.sendall(wire)

    thread = threading.Thread(target=serve)
    thread.start()

    client = Client(lambda: ours)

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


IMAGES = [
    ("busybox", ("busybox", "")),
    ("busybox:1", ("busybox", "1")),
    ("localhost:5000/a/b", ("localhost:5000/a/b", "")),
    ("localhost:5000/a/b:c", ("localhost:5000/a/b", "c")),
    ("a@sha256:" + "0" * 64, ("a", "sha256:" + "0" * 64)),
]


@pytest.mark.parametrize(("text", "parts"), IMAGES, ids=[text[:30] for text, _ in IMAGES])
def test_image_name_ends_where_its_tag_begins(text: str, parts: tuple[str, str]) -> None:
    """A colon before a slash is a port."""
    assert split_image_name(text) == parts


@pytest.mark.parametrize(("text", "hint"), [
    ("a%b", "character 2, `%`, cannot stand there"), ("x.example/aB", "character 12, `B`, cannot stand there"),
    ("a:", "something is missing after character 2, `:`"), ("a/", "something is missing after character 2, `/`"), ("", "the name is empty"),
])  # fmt: skip
def test_client_points_at_the_character_as_the_server_does(text: str, hint: str) -> None:
    """What the client refuses never reaches the server, whose grammar gives the same position."""
    with pytest.raises(InvalidParameter) as caught:
        split_image_name(text)
    assert caught.value.hint == hint
    with pytest.raises(InvalidReference) as refused:
        parse_reference(text)
    assert refused.value.hint == hint


def test_latest_is_the_tag_of_a_name_without_one() -> None:
    """It is only a name: nothing makes it the newest."""
    assert name_with_tag("a") == "a:latest"
    assert name_with_tag("a:1") == "a:1"


@pytest.mark.parametrize(("text", "moment"), [("12", "12"), ("12.5", "12.5"), ("10s", "90.000000000"), ("1970-01-01T00:01:00Z", "60.000000000")])
def test_moment_is_a_number_an_age_or_a_date(text: str, moment: str) -> None:
    """The server wants seconds since 1970."""
    assert parse_moment(text, 100.0) == moment


def test_moment_that_is_none_is_refused() -> None:
    """Not silently "everything"."""
    with pytest.raises(InvalidParameter, match="failed to parse value"):
        parse_moment("yesterday", 100.0)


def test_progress_is_one_line_per_change_without_a_terminal() -> None:
    """Percentages would fill a log."""
    lines = [b'{"status":"Pulling","id":"a"}\r', b'{"status":"Downloading","id":"a","progressDetail":{"current":1,"total":2}}', b'{"status":"Done"}', b""]
    out = io.StringIO()
    show_progress(read_progress(lines), out)
    assert out.getvalue() == "a: Pulling\nDone\n"


def test_failure_in_the_progress_is_raised() -> None:
    """The status line said 200 long before."""
    with pytest.raises(PeerError, match="disk full"):
        list(read_progress([b'{"errorDetail":{"message":"disk full"},"error":"disk full"}']))


def test_event_is_a_line_with_sorted_attributes(monkeypatch: pytest.MonkeyPatch) -> None:
    """Moment with nanoseconds, type, action, id, attributes."""
    monkeypatch.setattr("time.localtime", __import__("time").gmtime)
    event: dict[str, object] = {"Type": "container", "Action": "die", "Actor": {"ID": "abc", "Attributes": {"name": "x", "exitCode": "0"}}, "timeNano": 1_000_000_005}
    assert render_event(event) == "1970-01-01T00:00:01.000000005Z container die abc (exitCode=0, name=x)"  # type: ignore[arg-type]  # JSON built by hand
