"""What a store holds: blobs by digest in an OCI layout, and layers unpacked from them.

Acting; safe to use from several threads. Layout below the data root::

    oci-layout                 {"imageLayoutVersion": "1.0.0"}
    index.json                 which manifests there are, and their names (see `store`)
    blobs/sha256/DIGEST        manifests, configurations, layers
    layers/NAME/diff           an unpacked layer; NAME is the beginning of its ChainID
    layers/NAME/layer.json     what it is (`LayerRecord`)
    tmp/                       what is being written; emptied at start

Rule: a thing appears under its name only when it is complete and checked, by rename(2) from `tmp`; it goes the other way
when it is removed. So a crash at any instant leaves nothing half-done under a name. While something new is being put together
nothing refers to it yet: its parts are *pinned*, so that a removal in another thread does not take them for garbage. Chapter 4.
"""

from __future__ import annotations

import json
import os
import secrets
import shutil
import threading
from collections import Counter
from collections.abc import Collection, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from minidocker.codec.idmap import IDENTITY, IdMap
from minidocker.errors import HostError, InvalidParameter
from minidocker.ids import parse_digest
from minidocker.image.layer import LayerRecord, layer_name
from minidocker.kernel.durable import write_durably
from minidocker.kernel.overlay import OPAQUE_XATTRS
from minidocker.spec.record import read_record

__all__ = ["MAX_DOCUMENT_BYTES", "Content", "remove_path"]

MAX_DOCUMENT_BYTES = 4 << 20
"""The largest manifest, index or configuration: they are held in memory. Registries have the same limit (CVE-2017-11468)."""


class Content:
    """The blobs and layers below one directory."""

    def __init__(self, root: Path, *, ids: IdMap = IDENTITY, opaque_xattr: str = OPAQUE_XATTRS[0]) -> None:
        """Open the content at *root*, made if missing; what a crash left unfinished goes.

        Args:
            root: where it is.
            ids: who the owners that images name are on this machine.
            opaque_xattr: the mark of an opaque directory in unpacked layers.
        """
        self.root, self.ids, self.opaque_xattr = root, ids, opaque_xattr
        self.blobs, self.layers, self._temporary = root / "blobs" / "sha256", root / "layers", root / "tmp"
        self.lock = threading.RLock()
        self._pins: Counter[str] = Counter()
        self._doomed: list[Path] = []
        self._depth = 0
        for directory in (self.blobs, self.layers, self._temporary):
            directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        for leftover in self._temporary.iterdir():
            remove_path(leftover)
        layout = root / "oci-layout"
        if not layout.exists():
            write_durably(layout, json.dumps({"imageLayoutVersion": "1.0.0"}).encode())

    @contextmanager
    def exclusive(self) -> Iterator[None]:
        """Let nobody else change what is stored; files that are removed meanwhile are unlinked once others may go on."""
        with self.lock:
            self._depth += 1
            try:
                yield
            finally:
                self._depth -= 1
                doomed: list[Path] = []
                if not self._depth:
                    doomed, self._doomed = self._doomed, []
        for path in doomed:
            remove_path(path)

    def new_temporary(self) -> Path:
        """Return a path for something unfinished; nothing is there yet."""
        return self._temporary / secrets.token_hex(12)

    def blob_path(self, digest: str) -> Path:
        """Return where the blob with *digest* is, or would be.

        Raises:
            InvalidParameter: not a digest; anything else could be a path (CVE-2024-3727).
        """
        return self.blobs / parse_digest(digest).hex

    def read_document(self, digest: str) -> bytes:
        """Return the content of a small blob: a manifest or a configuration.

        Raises:
            HostError: it is missing from the store.
            InvalidParameter: it is larger than any document should be.
        """
        try:
            with self.blob_path(digest).open("rb") as file:
                content = file.read(MAX_DOCUMENT_BYTES + 1)
        except OSError as error:
            raise HostError(f"read blob `{digest}`: {error.strerror}", hint="load or pull the image again") from error
        if len(content) > MAX_DOCUMENT_BYTES:
            raise InvalidParameter(f"read blob `{digest}`: more than {MAX_DOCUMENT_BYTES} bytes for a JSON document")
        return content

    def find_layer(self, chain_id: str) -> LayerRecord | None:
        """Return the record of an unpacked layer.

        Raises:
            HostError: another layer has the same short name.
        """
        try:
            content = (self.layers / layer_name(chain_id) / "layer.json").read_bytes()
        except FileNotFoundError:
            return None
        record = read_record(LayerRecord, json.loads(content))
        if record.chain_id != chain_id:
            raise HostError(f"find layer `{chain_id}`: layer `{record.chain_id}` has the same beginning", hint="remove its image")
        return record

    def pin(self, key: str) -> None:
        """Protect a blob (by digest) or a layer (by directory name) from being removed."""
        with self.lock:
            self._pins[key] += 1

    def unpin(self, keys: Collection[str]) -> None:
        """Take back one protection of each key."""
        with self.lock:
            self._pins.subtract(keys)
            for key in keys:
                if self._pins[key] <= 0:
                    del self._pins[key]

    def is_pinned(self, key: str) -> bool:
        """Whether a blob or a layer would not be removed now."""
        return key in self._pins

    def publish_blob(self, path: Path, digest: str) -> bool:
        """Move a finished, synced file to its place; return whether it is new here. The digest must be pinned."""
        target = self.blob_path(digest)
        with self.lock:
            if target.exists():
                path.unlink()
                return False
            path.rename(target)
            return True

    def publish_layer(self, path: Path, chain_id: str) -> None:
        """Move a finished directory to its place, unless the layer is there by now. Its name must be pinned."""
        with self.lock:
            if self.find_layer(chain_id) is None:
                path.rename(self.layers / layer_name(chain_id))
                return
        remove_path(path)

    def remove(self, *, digests: Collection[str], layers: Collection[str]) -> int:
        """Remove blobs and layers unless they are pinned; return the bytes of the blobs."""
        freed = 0
        with self.exclusive():
            for path in [
                *(self.blob_path(digest) for digest in digests if digest not in self._pins),
                *(self.layers / name for name in layers if name not in self._pins),
            ]:
                with suppress(FileNotFoundError):  # gone already is as good
                    doomed = path.rename(self.new_temporary())
                    freed += 0 if doomed.is_dir() else doomed.lstat().st_size
                    self._doomed.append(doomed)
        return freed

    def list_digests(self) -> set[str]:
        """Return the digests of all blobs."""
        return {f"sha256:{name}" for name in os.listdir(self.blobs)}

    def list_layers(self) -> set[str]:
        """Return the directory names of all layers."""
        return set(os.listdir(self.layers))


def remove_path(path: Path) -> None:
    """Remove a file or a directory with all that is in it; nothing is followed."""
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path, ignore_errors=True)
    else:
        path.unlink(missing_ok=True)
