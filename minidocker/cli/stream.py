"""Connect our standard streams with a container's.

Acts. The main thread copies output, because signal handlers run there; a second thread copies input. Two threads and
not one poll loop: a container that writes while we write to it must never find both sides waiting, and standard input
may be a file, a console or a pipe, which no single poll covers on all systems.
"""

from __future__ import annotations

import os
import sys

from minidocker.cli.terminal import DetachFilter, parse_detach_keys, raw_terminal
from minidocker.client.frames import split_frames
from minidocker.client.transport import CHUNK_BYTES
from minidocker.errors import InvalidParameter

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from minidocker.client.transport import Stream

__all__ = ["connect_streams", "copy_output"]


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
