"""The networks that somebody made, on disk: one file each, written whole. Acting; its owner orders the callers. Chapter 18."""

from __future__ import annotations

import json
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

from minidocker.errors import Conflict, InvalidParameter
from minidocker.kernel.durable import write_durably
from minidocker.network.record import NetworkRecord
from minidocker.spec.record import read_record, render_record

__all__ = ["NetworkStore"]


class NetworkStore:
    """The networks below one directory, which is made for the first of them."""

    def __init__(self, directory: Path) -> None:
        """Read what is there; a file that cannot be read is left alone and out."""
        self._directory = directory
        self._by_id: dict[str, NetworkRecord] = {}
        for path in sorted(directory.glob("*.json")):
            with suppress(OSError, ValueError, InvalidParameter):  # of another version: not ours to delete
                record = read_record(NetworkRecord, json.loads(path.read_bytes()))
                self._by_id[record.id] = record

    def all(self) -> tuple[NetworkRecord, ...]:
        """Return every network, oldest first."""
        return tuple(sorted(self._by_id.values(), key=lambda record: record.created))

    def find(self, network_id: str) -> NetworkRecord | None:
        """Return the network with this id."""
        return self._by_id.get(network_id)

    def add(self, record: NetworkRecord) -> None:
        """Keep a new network.

        Raises:
            Conflict: the name is taken.
        """
        if any(other.name == record.name for other in self._by_id.values()):
            raise Conflict(f"network with name {record.name} already exists")
        self._directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        content = json.dumps(render_record(replace(record, containers={})))
        write_durably(self._directory / f"{record.id}.json", content.encode())
        self._by_id[record.id] = record

    def remove(self, record: NetworkRecord) -> None:
        """Forget a network."""
        (self._directory / f"{record.id}.json").unlink(missing_ok=True)
        self._by_id.pop(record.id, None)
