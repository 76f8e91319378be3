"""Frames, detaching keys and exit statuses: what lies between a container and a terminal."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from minidocker.cli.run import start_failure_status
from minidocker.client.frames import split_frames
from minidocker.cli.terminal import DetachFilter, parse_detach_keys
from minidocker.errors import PeerError

FRAMES = st.lists(st.tuples(st.sampled_from([1, 2]), st.binary(max_size=40)), max_size=8)


def cut(content: bytes, data: st.DataObject) -> list[bytes]:
    places = sorted(data.draw(st.lists(st.integers(0, len(content)), max_size=6)))
    return [content[start:end] for start, end in zip([0, *places], [*places, len(content)], strict=True)]


@given(frames=FRAMES, data=st.data())
def test_frames_arrive_whole_however_they_are_cut(frames: list[tuple[int, bytes]], data: st.DataObject) -> None:
    """A socket keeps no borders: a header may come in two reads, a payload in ten."""
    wire = b"".join(bytes([stream, 0, 0, 0]) + len(payload).to_bytes(4, "big") + payload for stream, payload in frames)
    got = {1: b"", 2: b""}
    for stream, payload in split_frames(cut(wire, data)):
        got[stream] += payload
    assert got == {stream: b"".join(payload for other, payload in frames if other == stream) for stream in (1, 2)}


def test_error_of_the_server_in_the_stream_is_raised() -> None:
    """Stream 3 is the server itself speaking: it gave up after the header was sent."""
    with pytest.raises(PeerError, match="broken"):
        list(split_frames([b"\x03\0\0\0\0\0\0\x06broken"]))


@given(typed=st.binary(max_size=60).filter(lambda typed: b"\x10\x11" not in typed), data=st.data())
def test_typing_without_the_keys_passes_unchanged(typed: bytes, data: st.DataObject) -> None:
    """A Ctrl-P alone belongs to the program: it is held back until the next key tells."""
    keys = DetachFilter(b"\x10\x11")
    passed = b""
    for piece in cut(typed, data):
        more, detached = keys.feed(piece)
        passed += more
        assert not detached
    assert passed == (typed[:-1] if typed.endswith(b"\x10") else typed)


@given(before=st.binary(max_size=20).filter(lambda typed: b"\x10" not in typed), data=st.data())
def test_keys_detach_however_slowly_they_are_typed(before: bytes, data: st.DataObject) -> None:
    """What was typed before them still arrives, they themselves do not."""
    keys = DetachFilter(parse_detach_keys(""))
    passed, detached = b"", False
    for piece in cut(before + b"\x10\x11", data):
        assert not detached or not piece
        more, now = keys.feed(piece)
        passed, detached = passed + more, detached or now
    assert (passed, detached) == (before, True)


@pytest.mark.parametrize(
    ("text", "keys"), [("", b"\x10\x11"), ("ctrl-a", b"\x01"), ("a,b", b"ab"), ("ctrl-@,x", b"\x00x"), ("ctrl-[", b"\x1b"), ("ctrl-\\", b"\x1c"), ("CTRL-Z", b"\x1a")], ids=str
)
def test_detach_keys_are_read(text: str, keys: bytes) -> None:
    """Control characters are written as on the keyboard."""
    assert parse_detach_keys(text) == keys


@pytest.mark.parametrize("text", ["ab", "ctrl-", "ctrl-1", ","])
def test_unknown_detach_keys_are_refused(text: str) -> None:
    """Keys that nobody can type would be a way in without a way out."""
    with pytest.raises(ValueError, match="invalid detach keys"):
        parse_detach_keys(text)


@pytest.mark.parametrize(
    ("message", "status"),
    [
        ('exec: "x": executable file not found in $PATH', 127),
        ('exec: "/x": stat /x: no such file or directory', 127),
        ('exec: "/etc/passwd": permission denied', 126),
        ('exec: "/etc": is a directory', 126),
        ("Conflict. The container name is already in use", 125),
    ],
)
def test_reason_decides_the_exit_status(message: str, status: int) -> None:
    """As in a shell: 127 is not there, 126 cannot be run; 125 is Docker's own."""
    assert start_failure_status(message) == status
