"""The build cache: results of steps, by key.

Acting; safe to use from several threads. One file of lines below the data root, appended to; a line that a crash cut off is
passed over, and a result whose layer is gone counts as none, so nothing here needs a sync: losing it costs time, never
correctness. The records refer to blobs and unpacked layers of the image store, which asks for `references` before it removes any.

Chapter 10.
"""

from __future__ import annotations

import json
import os
import threading
from collections.abc import Collection
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path

from minidocker.build.key import KeyParts, compute_key
from minidocker.errors import InvalidParameter
from minidocker.spec.image import Descriptor
from minidocker.spec.record import read_record, render_record

__all__ = ["BuildCache", "CacheRecord", "Layer"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Layer:
    """What a step added to the files."""

    diff_id: str
    blob: Descriptor
    size: int = 0
    """Bytes of its files."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CacheRecord:
    """One step that was carried out."""

    key: str
    parts: KeyParts
    created: str
    layer: Layer | None = None
    """None: it changed no file."""
    chain_id: str = ""
    """Under which its layer is unpacked."""
    last_used_ns: int = 0
    uses: int = 0


class BuildCache:
    """All results of one data root."""

    def __init__(self, directory: Path) -> None:
        """Open the cache in *directory*, made if missing."""
        directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._path = directory / "cache.jsonl"
        self._lock = threading.RLock()
        self._records: dict[str, CacheRecord] = {}
        lines = self._path.read_bytes().splitlines() if self._path.exists() else []
        for line in lines:
            with suppress(ValueError, InvalidParameter):  # cut off by a crash, or another version's
                record = read_record(CacheRecord, json.loads(line))
                if compute_key(record.parts) == record.key:
                    self._records[record.key] = record
        if len(lines) > 2 * len(self._records) + 100:
            self._rewrite()

    def find(self, key: str, *, now_ns: int) -> CacheRecord | None:
        """Return the result with *key*, and note that it was used."""
        with self._lock:
            record = self._records.get(key)
            if record is not None:
                record = self._records[key] = replace(record, last_used_ns=now_ns, uses=record.uses + 1)
            return record

    def add(self, record: CacheRecord) -> None:
        """Keep a result; its layer must be protected until this returns."""
        line = json.dumps(render_record(record), separators=(",", ":")).encode() + b"\n"
        with self._lock:
            self._records[record.key] = record
            with suppress(OSError):  # a full disk: the build itself will say so
                fd = os.open(self._path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o600)
                try:
                    os.write(fd, line)
                finally:
                    os.close(fd)

    def all(self) -> tuple[CacheRecord, ...]:
        """Return every result, least recently used first."""
        with self._lock:
            return tuple(sorted(self._records.values(), key=lambda record: record.last_used_ns))

    def remove(self, keys: Collection[str]) -> None:
        """Forget results."""
        with self._lock:
            for key in keys:
                self._records.pop(key, None)
            self._rewrite()

    def references(self) -> tuple[set[str], set[str]]:
        """Return the digests of blobs and the ChainIDs of layers that results need."""
        with self._lock:
            found = [record for record in self._records.values() if record.layer is not None]
        return {r.layer.blob.digest for r in found if r.layer is not None}, {r.chain_id for r in found}

    def _rewrite(self) -> None:
        temporary = self._path.with_suffix(".new")
        with suppress(OSError), temporary.open("wb") as file:
            for record in self._records.values():
                file.write(json.dumps(render_record(record), separators=(",", ":")).encode() + b"\n")
            os.replace(temporary, self._path)
