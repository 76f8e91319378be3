"""Uploads to our own registry: bytes that arrive in one piece or many, and become a blob when their digest is right.

Acting. What is on disk decides, so an upload goes on after the server was killed: `uploads/ID` holds the bytes, `uploads/ID.name` the
repository. The hash goes along in memory while chunks follow each other; if it is lost the file is read again. One request at a
time works on an upload. Chapter 8.
"""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Final, Protocol

from minidocker.errors import HostError
from minidocker.registry.names import ALGORITHMS
from minidocker.registry.protocol import RegistryError

if TYPE_CHECKING:
    from hashlib import _Hash

    from minidocker.registry.storage import Storage

__all__ = ["STALE_S", "Source", "Uploads"]

CHUNK_BYTES: Final = 1 << 18
STALE_S: Final = 7 * 24 * 3600
"""Seconds after which an upload that nobody went on with is thrown away."""


class Source(Protocol):
    """The body of a request."""

    def read(self, size: int = -1, /) -> bytes:
        """Return up to *size* bytes, none at the end."""


class _Progress:
    """What is known of an upload besides its file: the hashes of what was written, for the algorithm that the client has."""

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.hashes: dict[str, _Hash] = {}
        self.hashed = 0


class Uploads:
    """Every upload under way."""

    def __init__(self, storage: Storage) -> None:
        """Go on with the uploads in *storage*; stale ones go."""
        self._storage = storage
        self._lock = threading.Lock()
        self._progress: dict[str, _Progress] = {}
        for path in storage.uploads.iterdir():
            if path.stat().st_mtime < time.time() - STALE_S:
                path.unlink(missing_ok=True)

    def start(self, repository: str) -> str:
        """Begin an upload to *repository*; return its name."""
        name = self._storage.new_upload()
        (self._storage.uploads / f"{name}.name").write_text(repository)
        (self._storage.uploads / name).touch(mode=0o600)
        return name

    def size(self, name: str, repository: str) -> int:
        """Return how many bytes of an upload are there.

        Raises:
            RegistryError: there is no such upload to *repository*.
        """
        return self._require(name, repository).stat().st_size

    def cancel(self, name: str, repository: str) -> None:
        """Throw an upload away.

        Raises:
            RegistryError: there is no such upload.
        """
        with self._held(name, repository):
            self._forget(name)

    def append(self, name: str, repository: str, body: Source, *, start: int | None, length: int | None = None) -> int:
        """Add *body*, which must begin at *start* if that is known; return how many bytes there are now.

        Raises:
            RegistryError: there is no such upload, the chunk is not the next one, or not as long as it says.
            HostError: the disk is full; what is there stays, so that the client can go on.
        """
        with self._held(name, repository) as (path, progress):
            return self._append(path, progress, body, start=start, length=length)

    def finish(
        self, name: str, repository: str, digest: str, body: Source, *, start: int | None, length: int | None = None
    ) -> None:
        """Add the last piece, compare with *digest*, and make it a blob of *repository*.

        Raises:
            RegistryError: as `append`; or the digest is another one, and the upload is gone.
        """
        with self._held(name, repository) as (path, progress):
            algorithm = digest.partition(":")[0]
            self._append(path, progress, body, start=start, length=length, algorithm=algorithm)
            found = f"{algorithm}:{self._hash(path, progress, algorithm).hexdigest()}"
            if found != digest:
                self._forget(name)
                raise RegistryError("DIGEST_INVALID", f"provided digest `{digest}` did not match uploaded content `{found}`")
            self._storage.add_blob(repository, path, digest)
            self._forget(name)

    def _append(
        self, path: Path, progress: _Progress, body: Source, *, start: int | None, length: int | None, algorithm: str = "sha256"
    ) -> int:
        with path.open("ab", buffering=0) as file:
            size = file.seek(0, os.SEEK_END)
            if start is not None and start != size:
                raise RegistryError("BLOB_UPLOAD_INVALID", f"chunk starts at {start}, and {size} bytes are there", status=416)
            if not size:
                progress.hashes, progress.hashed = {algorithm: ALGORITHMS[algorithm]()}, 0
            first = size
            while piece := body.read(CHUNK_BYTES):
                if progress.hashed == size:
                    for known in progress.hashes.values():
                        known.update(piece)
                    progress.hashed += len(piece)
                size += _write(file.fileno(), piece)
            if length is not None and size - first != length:
                os.ftruncate(file.fileno(), first)
                progress.hashes, progress.hashed = {}, -1
                raise RegistryError("SIZE_INVALID", f"chunk has {size - first} bytes, its range says {length}")
            return size

    def _hash(self, path: Path, progress: _Progress, algorithm: str) -> _Hash:
        """Return the hash of the whole file: the one that went along, or one made now."""
        if algorithm in progress.hashes and progress.hashed == path.stat().st_size:
            return progress.hashes[algorithm]
        made = ALGORITHMS[algorithm]()
        with path.open("rb", buffering=0) as file:
            while piece := file.read(CHUNK_BYTES):
                made.update(piece)
        return made

    def _require(self, name: str, repository: str) -> Path:
        path = self._storage.uploads / name
        try:
            known = path.with_name(f"{name}.name").read_text() if name.isalnum() else ""
        except OSError:
            known = ""
        if known != repository:
            raise RegistryError("BLOB_UPLOAD_UNKNOWN", "blob upload unknown to registry")
        return path

    @contextmanager
    def _held(self, name: str, repository: str) -> Iterator[tuple[Path, _Progress]]:
        """Work on an upload alone."""
        self._require(name, repository)
        with self._lock:
            progress = self._progress.setdefault(name, _Progress())
        with progress.lock:
            yield self._require(name, repository), progress

    def _forget(self, name: str) -> None:
        for suffix in (".name", ""):
            (self._storage.uploads / f"{name}{suffix}").unlink(missing_ok=True)
        with self._lock:
            self._progress.pop(name, None)


def _write(fd: int, piece: bytes) -> int:
    """Write all of *piece*."""
    view = memoryview(piece)
    try:
        while view:
            view = view[os.write(fd, view) :]
    except OSError as error:
        raise HostError(f"receive blob: {error.strerror}", hint="free some space below the registry's root") from error
    return len(piece)
