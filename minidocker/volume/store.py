"""The store of volumes: make, find, list, remove. Acting; safe to use from several threads."""

from __future__ import annotations

import json
import os
import re
import secrets
import shutil
import threading
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from minidocker.errors import InvalidParameter, NotFound
from minidocker.kernel.durable import write_durably
from minidocker.spec.record import json_key, read_record, render_record

__all__ = ["VolumeRecord", "VolumeStore"]

_NAME = re.compile(r"[a-zA-Z0-9][a-zA-Z0-9_.-]+")


@dataclass(frozen=True, slots=True, kw_only=True)
class VolumeRecord:
    """One volume, as the Remote API shows it."""

    name: str
    driver: str = "local"
    mountpoint: str = ""
    created_at: str = ""
    labels: Mapping[str, str] = field(default_factory=dict)
    options: Mapping[str, str] = field(default_factory=dict)
    scope: str = "local"
    anonymous: bool = field(default=False, metadata=json_key(omit_empty=True))


class VolumeStore:
    """All volumes below one directory."""

    def __init__(self, directory: Path, *, owner: tuple[int, int] | None = None) -> None:
        """Open the store at *directory*, made if missing; new volumes belong to *owner*, the root of containers."""
        self._directory, self._owner, self._lock = directory, owner, threading.Lock()
        directory.mkdir(mode=0o711, parents=True, exist_ok=True)

    def create(
        self, name: str, *, created_at: str, driver: str = "", labels: Mapping[str, str], options: Mapping[str, str]
    ) -> VolumeRecord:
        """Return the volume *name*, made if it does not exist; an empty name makes an anonymous one.

        Raises:
            InvalidParameter: a name with other characters.
            NotFound: a driver other than `local`.
        """
        if driver not in ("", "local"):
            raise NotFound(f'create {name}: error looking up volume plugin {driver}: plugin "{driver}" not found')
        if name and not _NAME.fullmatch(name):
            raise InvalidParameter(
                f'create {name}: "{name}" includes invalid characters for a local volume name, only '
                '"[a-zA-Z0-9][a-zA-Z0-9_.-]" are allowed. If you intended to pass a host directory, use absolute path'
            )
        anonymous, name = not name, name or secrets.token_hex(32)
        with self._lock:
            existing = self._read(name)
            if existing is not None:
                return existing
            data = self._directory / name / "_data"
            data.mkdir(mode=0o755, parents=True, exist_ok=True)
            if self._owner is not None:
                os.chown(data, *self._owner)
            record = VolumeRecord(
                name=name, mountpoint=str(data), created_at=created_at, labels=labels, options=options, anonymous=anonymous
            )
            write_durably(self._directory / name / "volume.json", json.dumps(render_record(record)).encode())
            return record

    def _read(self, name: str) -> VolumeRecord | None:
        try:
            return read_record(VolumeRecord, json.loads((self._directory / name / "volume.json").read_bytes()))
        except (OSError, ValueError):
            return None

    def require(self, name: str) -> VolumeRecord:
        """Return the volume *name*.

        Raises:
            NotFound: there is none.
        """
        record = self._read(name) if _NAME.fullmatch(name) else None
        if record is None:
            raise NotFound(f"get {name}: no such volume")
        return record

    def list(self) -> tuple[VolumeRecord, ...]:
        """Return all volumes by name."""
        records = (self._read(name) for name in sorted(os.listdir(self._directory)))
        return tuple(record for record in records if record is not None)

    def remove(self, name: str) -> None:
        """Remove the volume *name* and everything in it: first its name, then its files."""
        record = self.require(name)
        with self._lock:
            doomed = self._directory / f".removing-{secrets.token_hex(4)}"
            os.rename(Path(record.mountpoint).parent, doomed)
        shutil.rmtree(doomed)

    def sweep(self) -> None:
        """Finish removals that a crash interrupted."""
        for path in self._directory.glob(".removing-*"):
            shutil.rmtree(path)
