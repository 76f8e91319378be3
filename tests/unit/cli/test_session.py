"""Which server a run of the program means, and what it prints of its answers."""

from __future__ import annotations

import io

import pytest

from minidocker.cli.autostart import why_not_here
from minidocker.cli.events import render_event
from minidocker.client.image_name import name_with_tag, split_image_name
from minidocker.cli.logs import parse_moment
from minidocker.cli.pull import show_progress
from minidocker.cli.session import Session
from minidocker.client.progress import read_progress
from minidocker.engine.places import default_data_root, default_pidfile, default_socket
from minidocker.errors import InvalidParameter
from minidocker.reference.reference import InvalidReference, parse_reference

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
    assert default_socket(1000, {"HOME": "/home/me"}) == "/home/me/.local/share/minidocker/run/minidocker.sock", "no login session has made one"
    assert default_pidfile(1000, {"XDG_RUNTIME_DIR": "/r"}) == "/r/minidocker.pid"
    assert default_data_root(1000, {"HOME": "/home/me"}) == "/home/me/.local/share/minidocker"


@pytest.mark.parametrize(("platform", "word"), [("darwin", "Linux kernel"), ("linux", None)])
def test_server_is_started_only_where_it_can_run(platform: str, word: str | None) -> None:
    """The reason comes before the attempt; whether a user may run one without root, the kernel says."""
    refusal = why_not_here(platform)
    assert (refusal is None) if word is None else (refusal is not None and word in refusal.message)


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


def test_event_is_a_line_with_sorted_attributes(monkeypatch: pytest.MonkeyPatch) -> None:
    """Moment with nanoseconds, type, action, id, attributes."""
    monkeypatch.setattr("time.localtime", __import__("time").gmtime)
    event: dict[str, object] = {"Type": "container", "Action": "die", "Actor": {"ID": "abc", "Attributes": {"name": "x", "exitCode": "0"}}, "timeNano": 1_000_000_005}
    assert render_event(event) == "1970-01-01T00:00:01.000000005Z container die abc (exitCode=0, name=x)"  # type: ignore[arg-type]  # JSON built by hand
