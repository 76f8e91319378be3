"""How new content enters the store: written under a temporary name, checked, renamed; or nothing at all.

Acting. An `Ingest` is one attempt to bring in an image, such as one `docker load`. What it adds is pinned until it ends. Then
whatever became part of an image stays, and the rest, after a failure all of it, goes.

Typical sequence: `spool` or `add_bytes` for every blob, `keep` for those that are wanted, `unpack` for the layers from the
lowest up, and `ImageStore.commit`. Chapter 5.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from pathlib import Path
from types import TracebackType
from typing import Final

from minidocker.codec.tar import ByteSource, InvalidArchive, TarReader
from minidocker.codec.compression import open_decompressed
from minidocker.image.content import Content, remove_path
from minidocker.image.extract import extract_layer
from minidocker.image.layer import LayerRecord, compute_chain_ids, layer_name
from minidocker.image.readahead import ReadAhead
from minidocker.image.spool import Spool, SpooledFile, explain_full_disk
from minidocker.kernel.durable import write_durably
from minidocker.spec.image import OCI_LAYER, Descriptor
from minidocker.spec.record import render_record

__all__ = ["ChunkSource", "HashingSource", "Ingest", "SpooledFile", "describe_layer"]

_CHUNK_BYTES: Final = 1 << 20


class HashingSource:
    """A source that computes the digest of what passes through it."""

    def __init__(self, source: ByteSource) -> None:
        """Pass on what *source* gives."""
        self._source, self._hash = source, hashlib.sha256()
        self.size = 0

    def read(self, size: int, /) -> bytes:
        """Return up to *size* bytes of the source."""
        piece = self._source.read(size)
        self._hash.update(piece)
        self.size += len(piece)
        return piece

    @property
    def digest(self) -> str:
        """The digest of all that was read."""
        return f"sha256:{self._hash.hexdigest()}"


def describe_layer(layer: SpooledFile) -> Descriptor:
    """Return the descriptor of a layer that is not compressed."""
    return Descriptor(media_type=OCI_LAYER, digest=layer.digest, size=layer.size)


class ChunkSource:
    """An iterator of pieces as a source that is read."""

    def __init__(self, pieces: Iterator[bytes]) -> None:
        """Give out *pieces* as they come."""
        self._pieces, self._rest = pieces, b""

    def read(self, size: int, /) -> bytes:
        """Return up to *size* bytes."""
        while not self._rest:
            try:
                self._rest = next(self._pieces)
            except StopIteration:
                return b""
        piece, self._rest = self._rest[:size], self._rest[size:]
        return piece


class Ingest:
    """One attempt to bring in an image; a context manager that leaves nothing behind unless the image was committed."""

    def __init__(self, content: Content, release: Callable[[set[str], set[str]], None]) -> None:
        """Work on *content*; at the end call *release* with the digests and layers that may have become garbage."""
        self._content, self._release = content, release
        self._temporary: list[Path] = []
        self._spools: list[Spool] = []
        self._pinned: list[str] = []
        self._digests: set[str] = set()
        self._layers: set[str] = set()

    def __enter__(self) -> Ingest:
        """Begin."""
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        """Remove what is unfinished, and what no image refers to."""
        for spool in self._spools:
            spool.close()
        for path in self._temporary:
            remove_path(path)
        self._content.unpin(self._pinned)
        self._release(self._digests, self._layers)

    def new_temporary(self) -> Path:
        """Return a path for something unfinished that goes away at the end."""
        path = self._content.new_temporary()
        self._temporary.append(path)
        return path

    def spool(self, source: ByteSource) -> SpooledFile:
        """Write all that *source* gives to a temporary file.

        Raises:
            HostError: the disk is full.
        """
        hashing = HashingSource(source)
        path = self.new_temporary()
        with explain_full_disk(), path.open("xb") as file:
            while piece := hashing.read(_CHUNK_BYTES):
                file.write(piece)
        return SpooledFile(path=path, digest=hashing.digest, size=hashing.size)

    def expect(self, *, digest: str, size: int) -> Spool:
        """Return a spool for a blob of which digest and size are known.

        Raises:
            HostError: the disk is full.
        """
        spool = Spool(self.new_temporary(), digest=digest, size=size)
        self._spools.append(spool)
        return spool

    def claim(self, digest: str) -> bool:
        """Protect the blob *digest* until the end; whether it is there."""
        path = self._content.blob_path(digest)
        self._pin(digest)
        self._digests.add(digest)
        return path.exists()

    def keep(self, spooled: SpooledFile, *, sync: bool = True) -> None:
        """Make a spooled file a blob; only now does it have to survive a crash, so only what is wanted costs a write to the disk.

        Without *sync* the caller waits for the disk with `settle`, before an image has the blob.
        """
        self._pin(spooled.digest)
        if sync:
            self._sync(spooled.path)
        if self._content.publish_blob(spooled.path, spooled.digest):
            self._digests.add(spooled.digest)

    def settle(self, digest: str) -> None:
        """Wait until a blob is on the disk."""
        self._sync(self._content.blob_path(digest))

    def _sync(self, path: Path) -> None:
        with explain_full_disk(), path.open("rb") as file:
            os.fsync(file.fileno())

    def add_bytes(self, document: bytes) -> str:
        """Make *document* a blob; return its digest."""
        path = self.new_temporary()
        with explain_full_disk(), path.open("xb") as file:
            file.write(document)
        digest = f"sha256:{hashlib.sha256(document).hexdigest()}"
        self.keep(SpooledFile(path=path, digest=digest, size=len(document)))
        return digest

    def unpack(self, diff_ids: Sequence[str], digest: str, source: ByteSource | None = None) -> LayerRecord:
        """Unpack the topmost of the layers with *diff_ids* from the blob *digest*; the ones below must be there.

        The bytes come from *source* where the blob is still on its way.

        Raises:
            InvalidArchive: the archive is damaged, or is not the one that the image configuration names.
            HostError: the disk is full.
        """
        *lower, chain_id = compute_chain_ids(diff_ids)
        self._pin(layer_name(chain_id))
        self._layers.add(layer_name(chain_id))  # if its image goes meanwhile, it goes at the end
        existing = self._content.find_layer(chain_id)
        if existing is not None:
            return existing
        directory = self.new_temporary()
        with explain_full_disk():
            (directory / "diff").mkdir(mode=0o755, parents=True)
            size = self._extract(digest, diff_ids[-1], directory / "diff", lower, source)
            record = LayerRecord(chain_id=chain_id, diff_id=diff_ids[-1], size=size)
            write_durably(directory / "layer.json", json.dumps(render_record(record)).encode())
            self._content.publish_layer(directory, chain_id)
        return record

    def adopt(self, directory: Path, diff_ids: Sequence[str], *, size: int) -> LayerRecord:
        """Take *directory*, in whose `diff` is what the topmost layer would unpack to: nothing need be written a second time."""
        chain_id = compute_chain_ids(diff_ids)[-1]
        self._pin(layer_name(chain_id))
        self._layers.add(layer_name(chain_id))
        record = LayerRecord(chain_id=chain_id, diff_id=diff_ids[-1], size=size)
        with explain_full_disk():
            (directory / "layer.json").write_bytes(json.dumps(render_record(record)).encode())
            self._content.publish_layer(directory, chain_id)
        return record

    def _extract(
        self, digest: str, diff_id: str, target: Path, lower_chain_ids: Sequence[str], source: ByteSource | None
    ) -> int:
        """Unpack a blob and compare what came out with *diff_id*; return the size of the files."""
        with ExitStack() as stack:
            blob = source or stack.enter_context(self._content.blob_path(digest).open("rb", buffering=0))
            fds = [
                _open_directory(stack, path)
                for path in (target, *(self._content.layers / layer_name(c) / "diff" for c in reversed(lower_chain_ids)))
            ]
            # A blob that is not compressed has been hashed when it came in: its digest is the diff_id.
            hashing = None if digest == diff_id else HashingSource(open_decompressed(blob))
            reader = TarReader(blob if hashing is None else stack.enter_context(ReadAhead(hashing)))
            size = extract_layer(
                reader, fds[0], lower_fds=fds[1:], opaque_xattr=self._content.opaque_xattr, ids=self._content.ids
            )  # fmt: skip
            reader.drain()
            while blob.read(_CHUNK_BYTES):  # behind the compressed stream: the end of a blob on its way is its check
                pass
            if hashing is not None and hashing.digest != diff_id:
                raise InvalidArchive(f"unpack layer: its content is `{hashing.digest}`, the image says `{diff_id}`")
            return size

    def _pin(self, key: str) -> None:
        self._content.pin(key)
        self._pinned.append(key)


def _open_directory(stack: ExitStack, path: Path) -> int:
    fd = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
    stack.callback(os.close, fd)
    return fd
