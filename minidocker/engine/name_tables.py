"""Tables of names: what the containers of each network call each other, in a file that their monitors read.

Acting. One file for each network that somebody made, replaced whole (temporary name, rename) whenever a container comes or
goes. Monitors look at it when they are asked, so that names work without the server, and go on as they were when it is
killed. Chapter 18.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterable
from pathlib import Path

from minidocker.container.record import NetworkEndpoint

__all__ = ["NameTables"]


class NameTables:
    """The tables below one directory, which is made for the first of them."""

    def __init__(self, directory: Path) -> None:
        """Touch nothing."""
        self._directory = directory

    def path(self, network_id: str) -> Path:
        """Return the file of a network."""
        return self._directory / f"{network_id}.json"

    def write(self, tables: Iterable[tuple[str, str, list[NetworkEndpoint]]]) -> None:
        """Replace the tables of networks, each with its id, its name and who is in it; an empty one goes."""
        for network_id, network, endpoints in tables:
            if not endpoints:
                self.forget(network_id)
                continue
            members = [{"names": e.dns_names, "addresses": [a for a in (e.address, e.address6) if a]} for e in endpoints]
            self._directory.mkdir(mode=0o700, parents=True, exist_ok=True)
            temporary = self._directory / f".{network_id}.new"
            temporary.write_text(json.dumps({"network": network, "members": members}), encoding="utf-8")
            os.replace(temporary, self.path(network_id))

    def forget(self, network_id: str) -> None:
        """Remove the table of a network."""
        self.path(network_id).unlink(missing_ok=True)
