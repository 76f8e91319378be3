"""The containers of one engine: their records on disk, their live halves in memory.

A `Handle` is one container: its record (a value, replaced on every change and written whole), the lock that orders changes,
and what exists only while the server runs: the link to the monitor, waiters, clients that attached before the start.
"""

from __future__ import annotations

import json
import os
import secrets
import shutil
import threading
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

from minidocker.container.record import ContainerRecord
from minidocker.errors import Conflict, InvalidParameter, NotFound
from minidocker.ids import short_id
from minidocker.kernel.durable import write_durably
from minidocker.spec.record import read_record, render_record

if TYPE_CHECKING:
    from minidocker.engine.attach import AttachingClient
    from minidocker.engine.exec import ExecRecord
    from minidocker.engine.monitors import MonitorLink
    from minidocker.engine.wait import Waiter

__all__ = ["ContainerStore", "Handle"]


class Handle:
    """One container of this engine."""

    def __init__(self, record: ContainerRecord, directory: Path) -> None:
        """Hold *record*, whose files are in *directory*."""
        self.record, self.directory = record, directory
        self.lock = threading.RLock()
        self.link: MonitorLink | None = None
        self.waiters: list[Waiter] = []
        self.pending: list[AttachingClient] = []
        self.execs: dict[str, ExecRecord] = {}
        self.restart_timer: threading.Timer | None = None
        self.health_stopped: threading.Event | None = None

    def save(self, record: ContainerRecord) -> None:
        """Make *record* the present one, on disk first."""
        write_durably(self.directory / "config.json", json.dumps(render_record(record)).encode())
        self.record = record

    @property
    def log_path(self) -> Path:
        """The container's json-file log."""
        return self.directory / f"{self.record.id}-json.log"


class ContainerStore:
    """All containers, found by id, name or unique prefix."""

    def __init__(self, directory: Path) -> None:
        """Open the store at *directory*; records that cannot be read are left alone and out."""
        self.directory = directory
        self._lock = threading.RLock()
        self._by_id: dict[str, Handle] = {}
        self._by_name: dict[str, Handle] = {}
        directory.mkdir(mode=0o710, parents=True, exist_ok=True)
        for path in sorted(directory.iterdir()):
            self._load(path)

    def _load(self, path: Path) -> None:
        if path.name.startswith(".removing-"):
            shutil.rmtree(path)
            return
        try:
            content = (path / "config.json").read_bytes()
        except FileNotFoundError:
            shutil.rmtree(path)  # a creation that a crash interrupted: nobody has heard of it
            return
        with suppress(ValueError, InvalidParameter):  # a record of another version: not ours to delete
            self._index(Handle(read_record(ContainerRecord, json.loads(content)), path))

    def _index(self, handle: Handle) -> None:
        self._by_id[handle.record.id] = handle
        self._by_name[handle.record.name] = handle

    def add(self, record: ContainerRecord) -> Handle:
        """Keep a new container, whose directory exists already.

        Raises:
            Conflict: the name is taken.
        """
        with self._lock:
            self._require_free(record.name)
            handle = Handle(record, self.directory / record.id)
            handle.save(record)
            self._index(handle)
            return handle

    def _require_free(self, name: str) -> None:
        holder = self._by_name.get(name)
        if holder is not None:
            raise Conflict(
                f'Conflict. The container name "/{name}" is already in use by container "{holder.record.id}". '
                "You have to remove (or rename) that container to be able to reuse that name."
            )

    def rename(self, handle: Handle, record: ContainerRecord) -> None:
        """Give a container the name in *record*."""
        with self._lock:
            self._require_free(record.name)
            del self._by_name[handle.record.name]
            handle.save(record)
            self._by_name[record.name] = handle

    def is_free(self, name: str) -> bool:
        """Whether no container has *name*."""
        with self._lock:
            return name not in self._by_name

    def remove(self, handle: Handle) -> None:
        """Forget a container: its name goes first, so that a crash leaves no half of it, then its files."""
        with self._lock:
            self._by_id.pop(handle.record.id, None)
            if self._by_name.get(handle.record.name) is handle:
                del self._by_name[handle.record.name]
            doomed = self.directory / f".removing-{secrets.token_hex(8)}"
            with suppress(FileNotFoundError):
                os.rename(handle.directory, doomed)
        shutil.rmtree(doomed, ignore_errors=True)

    def holds(self, handle: Handle) -> bool:
        """Whether *handle* has not been removed."""
        with self._lock:
            return self._by_id.get(handle.record.id) is handle

    def all(self) -> tuple[Handle, ...]:
        """Return every container, newest first."""
        with self._lock:
            return tuple(sorted(self._by_id.values(), key=lambda h: h.record.created, reverse=True))

    def require(self, reference: str) -> Handle:
        """Return the container with this id, name (with or without `/`) or unique prefix of its id.

        Raises:
            NotFound: there is none.
            InvalidParameter: the prefix fits several.
        """
        with self._lock:
            handle = self._by_id.get(reference) or self._by_name.get(reference.removeprefix("/"))
            if handle is not None:
                return handle
            matches = [h for i, h in self._by_id.items() if reference and i.startswith(reference)]
        if len(matches) > 1:
            raise InvalidParameter(f"Multiple IDs found with provided prefix: {reference}: {short_id(matches[0].record.id)}, …")
        if not matches:
            raise NotFound(f"No such container: {reference}")
        return matches[0]
