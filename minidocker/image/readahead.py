"""Read a source in another thread, a few pieces ahead: inflating and hashing a layer overlap with writing its files.

Acting. zlib and hashlib let other threads run while they work on a large piece, so two processors are used; one finds the pieces
waiting. No more than `_DEPTH` pieces are in memory. Chapter 5.
"""

from __future__ import annotations

import queue
import threading
import time
from contextlib import suppress
from types import TracebackType
from typing import Final

from minidocker.codec.tar import ByteSource

__all__ = ["ReadAhead"]

_READ_BYTES: Final = 1 << 18
_DEPTH: Final = 8
_STOP_LIMIT_S: Final = 1.0


class ReadAhead:
    """A source that is read before anybody asks; a context manager that ends its thread."""

    def __init__(self, source: ByteSource) -> None:
        """Begin to read *source*, which belongs to the thread from now on."""
        self._source = source
        self._pieces: queue.Queue[bytes | BaseException] = queue.Queue(_DEPTH)
        self._rest = b""
        self._is_closed = self._has_ended = False
        self._thread = threading.Thread(target=self._run, name="md:readahead", daemon=True)
        self._thread.start()

    def __enter__(self) -> ReadAhead:
        """Begin."""
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        """Stop reading, wherever it is; a thread that waits for a stalled source ends when that does."""
        self._is_closed = True
        deadline = time.monotonic() + _STOP_LIMIT_S
        while self._thread.is_alive() and time.monotonic() < deadline:
            with suppress(queue.Empty):
                self._pieces.get(timeout=0.05)  # make room for the piece that the thread may be waiting with

    def _run(self) -> None:
        piece: bytes | BaseException = b" "
        while piece and not self._is_closed:
            try:
                piece = self._source.read(_READ_BYTES)
            except BaseException as error:  # noqa: BLE001 - whoever reads shall have it, whatever it is
                self._put(error)
                return
            self._put(piece)

    def _put(self, piece: bytes | BaseException) -> None:
        while not self._is_closed:
            with suppress(queue.Full):
                self._pieces.put(piece, timeout=0.5)
                return

    def read(self, size: int, /) -> bytes:
        """Return up to *size* bytes; raise what the source raised."""
        if not self._rest and not self._has_ended:
            piece = self._pieces.get()
            if isinstance(piece, BaseException):
                self._has_ended = True
                raise piece
            self._rest, self._has_ended = piece, not piece
        piece, self._rest = self._rest[:size], self._rest[size:]
        return piece
