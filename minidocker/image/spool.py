"""Files on their way into the store, and blobs that are read while they still arrive.

Acting. A download writes a `Spool` in one thread, and the layer is unpacked from it in another: hashing, inflating and writing
overlap, and no more than a piece is in memory. See OCI image-spec, "Descriptors", for digest and size. Chapter 5.
"""

from __future__ import annotations

import errno
import hashlib
import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from minidocker.errors import HostError, InvalidParameter, MinidockerError, PeerError

__all__ = ["Spool", "SpoolReader", "SpooledFile", "explain_full_disk"]


@dataclass(frozen=True, slots=True, kw_only=True)
class SpooledFile:
    """A file on its way into the store."""

    path: Path
    digest: str
    size: int


class Spool:
    """A blob on its way in, of which digest and size are known before: it can be read while it is still being written.

    One thread writes, others read through `open_reader`. A reader sees the end only after digest and size were found right, so
    what was made of the bytes before that can be thrown away in time. A download that broke off goes on at `received`.
    """

    def __init__(self, path: Path, *, digest: str, size: int) -> None:
        """Make the file at *path*."""
        self.path, self.digest, self.size = path, digest, size
        self.received = 0
        """How many bytes are written."""
        self._hash = hashlib.sha256()
        self._changed = threading.Condition()
        self._is_complete = False
        self._failure: MinidockerError | None = None
        with explain_full_disk():
            self._file = path.open("x+b", buffering=0)

    def write(self, piece: bytes | memoryview) -> None:
        """Append *piece*.

        Raises:
            PeerError: it is more than the blob has.
            HostError: the disk is full.
        """
        if self.received + len(piece) > self.size:
            raise PeerError(f"receive blob `{self.digest}`: it is longer than the {self.size} bytes that its descriptor says")
        self._hash.update(piece)
        with explain_full_disk():
            rest = memoryview(piece)
            while rest:
                rest = rest[self._file.write(rest) :]
        with self._changed:
            self.received += len(piece)
            self._changed.notify_all()

    def finish(self) -> SpooledFile:
        """Check what was written; from here on readers see the end.

        Raises:
            PeerError: it is too short, or other bytes than the digest says.
        """
        if self.received != self.size:
            raise PeerError(f"receive blob `{self.digest}`: it has {self.received} bytes, its descriptor says {self.size}")
        found = f"sha256:{self._hash.hexdigest()}"
        if found != self.digest:
            raise PeerError(f"receive blob `{self.digest}`: filesystem layer verification failed: what came is `{found}`")
        with self._changed:
            self._is_complete = True
            self._changed.notify_all()
        return SpooledFile(path=self.path, digest=self.digest, size=self.size)

    def fail(self, error: MinidockerError) -> None:
        """Give up: every reader gets *error*."""
        with self._changed:
            self._failure = error
            self._changed.notify_all()

    def fileno(self) -> int:
        """Return the descriptor of the file, which outlives its name: a finished blob moves to its place."""
        return self._file.fileno()

    def close(self) -> None:
        """Give the descriptor back, when nobody reads any more."""
        self._file.close()

    def open_reader(self) -> SpoolReader:
        """Return a source that gives the bytes as they come, and waits for those that have not."""
        return SpoolReader(self)

    def wait_for(self, offset: int) -> bool:
        """Wait until there is something at *offset*; false at the end of a blob that was found right.

        Raises:
            MinidockerError: the writer gave up.
        """
        with self._changed:
            while self.received <= offset and not self._is_complete and self._failure is None:
                self._changed.wait()
            if self._failure is not None:
                raise self._failure
            return self.received > offset


class SpoolReader:
    """One reader of a spool."""

    def __init__(self, spool: Spool) -> None:
        """Begin at the first byte of *spool*."""
        self._spool, self._offset = spool, 0

    def read(self, size: int, /) -> bytes:
        """Return at least one and at most *size* bytes; none at the end."""
        if not self._spool.wait_for(self._offset):
            return b""
        piece = os.pread(self._spool.fileno(), min(size, self._spool.received - self._offset), self._offset)
        self._offset += len(piece)
        return piece

    @property
    def is_complete(self) -> bool:
        """Whether all bytes are there."""
        return self._spool.received == self._spool.size


@contextmanager
def explain_full_disk() -> Iterator[None]:
    """Turn the failures of a disk into sentences."""
    try:
        yield
    except OSError as error:
        hint = "free some space below the data root" if error.errno in (errno.ENOSPC, errno.EDQUOT) else ""
        raise HostError(f"store image: {error.strerror}", hint=hint) from error
    except RecursionError as error:
        raise InvalidParameter("store image: its directories are nested too deeply") from error
