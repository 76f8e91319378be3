"""Stream frames: stdout and stderr over one connection."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from minidocker.codec.frames import MAX_PAYLOAD_BYTES, Frame, FrameDecoder, FrameError, Stream, encode_frame

FRAMES = st.lists(st.builds(Frame, st.sampled_from(Stream), st.binary(max_size=40)), max_size=6)


def test_frame_has_stream_three_zeros_and_big_endian_length() -> None:
    """The form in the Engine API's documentation, byte by byte."""
    assert encode_frame(Stream.STDERR, b"oh\n") == b"\x02\0\0\0\0\0\0\x03oh\n"


@given(FRAMES, st.integers(1, 7))
def test_decoder_given_any_chunking_gives_the_frames_back(frames: list[Frame], size: int) -> None:
    """A read ends anywhere, also inside a header."""
    data = b"".join(encode_frame(frame.stream, frame.payload) for frame in frames)
    decoder = FrameDecoder()
    found = [frame for start in range(0, len(data), size) for frame in decoder.feed(data[start : start + size])]
    assert found == frames
    assert decoder.pending_bytes == 0


BAD = {
    "unknown stream": b"\x04\0\0\0\0\0\0\x01a",
    "padding": b"\x01\0\1\0\0\0\0\x01a",
    "text": b"Error: something",
    "too long": b"\x01\0\0\0" + (MAX_PAYLOAD_BYTES + 1).to_bytes(4, "big"),
}


@pytest.mark.parametrize("data", BAD.values(), ids=BAD.keys())
def test_decoder_given_something_else_raises(data: bytes) -> None:
    """Output of a terminal taken for frames must not be waited for as gigabytes."""
    with pytest.raises(FrameError):
        FrameDecoder().feed(data)


@given(st.binary(max_size=64))
def test_decoder_given_garbage_raises_only_its_own_error(garbage: bytes) -> None:
    """Either frames, or this error."""
    try:
        frames = FrameDecoder().feed(garbage)
    except FrameError:
        return
    assert all(isinstance(frame, Frame) for frame in frames)


def test_decoder_keeps_an_unfinished_frame() -> None:
    """`pending_bytes` tells a stream that broke off from one that ended."""
    decoder = FrameDecoder()
    assert decoder.feed(b"\x01\0\0\0\0\0\0\x05he") == []
    assert decoder.pending_bytes == 10
    assert decoder.feed(b"llo") == [Frame(Stream.STDOUT, b"hello")]
