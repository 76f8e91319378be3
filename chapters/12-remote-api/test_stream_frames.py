"""Frames for stdout and stderr: Docker Engine API, "Attach to a container", stream format."""

from __future__ import annotations

import pytest

from minidocker.codec.frames import Frame, FrameError, Stream


@pytest.fixture
def decoder(learner):
    """A decoder at the beginning of a stream; it lives in the learner's process."""
    return learner.find("minidocker.codec.frames:FrameDecoder")()


def test_frame_begins_with_stream_and_length(encode_frame):
    """Eight bytes, then the output itself. The length is in network order, as nearly all protocols have it."""
    assert encode_frame(Stream.STDERR, b"oh\n") == b"\x02\0\0\0" + b"\0\0\0\x03" + b"oh\n"
    assert encode_frame(Stream.STDOUT, b"x" * 300)[:8] == b"\x01\0\0\0" + b"\0\0\x01\x2c"


def test_frame_is_read_as_it_was_written(encode_frame, decoder):
    """Also an empty one: a program may write nothing."""
    assert decoder.feed(encode_frame(Stream.STDOUT, b"hello")) == [Frame(Stream.STDOUT, b"hello")]
    assert decoder.feed(encode_frame(Stream.STDERR, b"")) == [Frame(Stream.STDERR, b"")]


def test_several_frames_in_one_read_are_all_given(decoder):
    """The kernel joins what was written quickly, so one read may hold a whole conversation."""
    data = b"\x01\0\0\0\0\0\0\x02a\n" + b"\x02\0\0\0\0\0\0\x02b\n" + b"\x01\0\0\0\0\0\0\x02c\n"
    assert decoder.feed(data) == [Frame(Stream.STDOUT, b"a\n"), Frame(Stream.STDERR, b"b\n"), Frame(Stream.STDOUT, b"c\n")]


def test_frame_in_pieces_is_given_once_it_is_whole(decoder):
    """It also cuts where it likes, inside of a header too."""
    data = b"\x01\0\0\0\0\0\0\x05hello"
    pieces = [decoder.feed(data[i : i + 1]) for i in range(len(data))]
    assert pieces == [[]] * (len(data) - 1) + [[Frame(Stream.STDOUT, b"hello")]]


def test_rest_is_kept_for_the_next_read(decoder):
    """A frame and the beginning of the next: one is given, the other waits, and its bytes are counted."""
    assert decoder.feed(b"\x01\0\0\0\0\0\0\x01a" + b"\x02\0\0\0\0\0\0\x03oh") == [Frame(Stream.STDOUT, b"a")]
    assert decoder.pending_bytes == 10
    assert decoder.feed(b"!") == [Frame(Stream.STDERR, b"oh!")]


def test_text_is_no_frame(decoder):
    """`Erro` read as a length would be a gigabyte to wait for; the reader says at once that these are no frames."""
    with pytest.raises(FrameError):
        decoder.feed(b"Error: no such container")
