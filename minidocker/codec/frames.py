"""Stream frames: stdout and stderr of a process over one connection.

Grammar (Docker Engine API, "Attach to a container, stream format")::

    frame   = stream 0 0 0 length payload
    stream  = one byte: 0 stdin, 1 stdout, 2 stderr, 3 an error of the daemon
    length  = four bytes, big-endian

A terminal's output is not framed: there is one stream only. Pure. Chapter 12.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from enum import IntEnum
from typing import Final

__all__ = ["HEADER_BYTES", "MAX_PAYLOAD_BYTES", "Frame", "FrameDecoder", "FrameError", "Stream", "encode_frame"]

HEADER_BYTES: Final = 8
"""The length of a frame's header."""
MAX_PAYLOAD_BYTES: Final = 16 * 1024 * 1024
"""More than any engine sends at once (Docker: 32 KiB); a larger length means that the bytes are not frames at all."""
_HEADER: Final = struct.Struct(">BxxxI")


class FrameError(ValueError):
    """The bytes are not frames."""


class Stream(IntEnum):
    """Which of a process's streams a frame belongs to."""

    STDIN = 0
    """Shown as stdout by clients; no engine sends it any more."""
    STDOUT = 1
    STDERR = 2
    SYSTEM_ERROR = 3
    """The daemon's own failure: the client stops with this text."""


@dataclass(frozen=True, slots=True)
class Frame:
    """One piece of output."""

    stream: Stream
    payload: bytes


def encode_frame(stream: int, payload: bytes) -> bytes:
    """Return *payload* as one frame of *stream*."""
    return _HEADER.pack(stream, len(payload)) + payload


class FrameDecoder:
    """Turns bytes, however they are cut, into frames."""

    def __init__(self) -> None:
        """Start at the beginning of a frame."""
        self._buffer = bytearray()

    def feed(self, data: bytes) -> list[Frame]:
        """Return the frames that *data* completes; the beginning of the next one is kept.

        Raises:
            FrameError: an unknown stream, padding that is not zero, or an impossible length.
        """
        self._buffer += data
        frames: list[Frame] = []
        start = 0
        while len(self._buffer) - start >= HEADER_BYTES:
            stream, length = _parse_header(self._buffer, start)
            end = start + HEADER_BYTES + length
            if len(self._buffer) < end:
                break
            frames.append(Frame(stream, bytes(self._buffer[start + HEADER_BYTES : end])))
            start = end
        del self._buffer[:start]
        return frames

    @property
    def pending_bytes(self) -> int:
        """How many bytes of an unfinished frame are kept; 0 is a clean end."""
        return len(self._buffer)


def _parse_header(buffer: bytearray, start: int) -> tuple[Stream, int]:
    """Return stream and length of the header at *start*."""
    number, length = _HEADER.unpack_from(buffer, start)
    if number > Stream.SYSTEM_ERROR or any(buffer[start + 1 : start + 4]):
        raise FrameError(f"read stream frame: `{bytes(buffer[start : start + HEADER_BYTES]).hex()}` is no frame header")
    if length > MAX_PAYLOAD_BYTES:
        raise FrameError(f"read stream frame: its length of {length} bytes is over the limit of {MAX_PAYLOAD_BYTES}")
    return Stream(number), length
