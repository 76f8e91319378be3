"""Connect our standard streams with a container's.

Acts. The main thread copies output, because signal handlers run there; a second thread copies input. Two threads and
not one poll loop: a container that writes while we write to it must never find both sides waiting, and standard input
may be a file, a console or a pipe, which no single poll covers on all systems.

Output of a container without a terminal comes in frames (Docker Engine API, "Stream format"):

    byte 0: 1 stdout, 2 stderr, 3 an error of the server · bytes 1-3: 0 · bytes 4-7: length, big-endian · payload
"""

from __future__ import annotations

import os
import sys

from minidocker.cli.client import CHUNK_BYTES
from minidocker.cli.terminal import DetachFilter, parse_detach_keys, raw_terminal
from minidocker.errors import InvalidParameter, PeerError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from minidocker.cli.client import Stream

__all__ = ["connect_streams", "copy_output", "split_frames"]

HEADER_BYTES = 8
SERVER_ERROR = 3


def split_frames(pieces: Iterable[bytes]) -> Iterator[tuple[int, bytes]]:
    """Yield (stream, payload) for the frames in *pieces*; a long frame comes in parts, as they arrive.

    Raises:
        PeerError: the server reports an error of its own in the stream.
    """
    header, stream, missing = b"", 0, 0
    for piece in pieces:
        rest = memoryview(piece)
        while rest:
            if missing:
                payload, rest = rest[:missing], rest[missing:]
                missing -= len(payload)
                if stream == SERVER_ERROR:
                    raise PeerError(f"error from daemon in stream: {bytes(payload).decode(errors='replace')}")
                yield stream, bytes(payload)
                continue
            taken = min(HEADER_BYTES - len(header), len(rest))
            header, rest = header + bytes(rest[:taken]), rest[taken:]
            if len(header) == HEADER_BYTES:
                stream, missing, header = header[0], int.from_bytes(header[4:], "big"), b""


def copy_output(pieces: Iterable[bytes], *, framed: bool) -> None:
    """Write *pieces* to standard output and error until they end."""
    sys.stdout.flush()
    for stream, payload in split_frames(pieces) if framed else ((1, piece) for piece in pieces):
        fd = 2 if stream == 2 else 1
        while payload:
            payload = payload[os.write(fd, payload) :]


class _Input:
    """The thread that copies standard input, and whether it met the keys that detach."""

    def __init__(self, stream: Stream, keys: bytes) -> None:
        self.detached = False
        self._stream = stream
        self._filter = DetachFilter(keys) if keys else None

    def copy(self) -> None:
        try:
            while typed := os.read(0, CHUNK_BYTES):
                if self._filter is not None:
                    typed, self.detached = self._filter.feed(typed)
                if typed:
                    self._stream.send(typed)
                if self.detached:
                    self._stream.abort()
                    return
            self._stream.half_close()
        except (OSError, ValueError):
            # The container ended first: there is nobody left to write to.
            return


def connect_streams(stream: Stream, *, terminal: bool, send_input: bool, detach_keys: str = "") -> bool:
    """Copy in both directions until the container's output ends; return whether the person detached instead.

    Args:
        stream: the connection; it is closed at the end.
        terminal: whether the container has a terminal: raw mode here, no frames, and keys that detach.
        send_input: whether standard input is copied.
        detach_keys: which keys, such as `ctrl-p,ctrl-q`.
    """
    try:
        keys = parse_detach_keys(detach_keys) if terminal else b""
    except ValueError as error:
        raise InvalidParameter(str(error)) from error
    source = _Input(stream, keys)
    try:
        with raw_terminal(0, wanted=terminal and send_input):
            if send_input:
                import threading

                threading.Thread(target=source.copy, daemon=True).start()
            copy_output(_receive(stream.receive), framed=not terminal)
    finally:
        stream.close()
    return source.detached


def _receive(receive: Callable[[], bytes]) -> Iterator[bytes]:
    while piece := receive():
        yield piece
