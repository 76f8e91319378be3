"""What a container is given when it starts, and what the server remembers of it while it runs. Chapter 18."""

from __future__ import annotations

import socket
from dataclasses import dataclass

from minidocker.container.record import NetworkEndpoint

__all__ = ["Allocation", "Member"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Member:
    """A running container in a network."""

    container_id: str
    container_name: str
    endpoint: NetworkEndpoint


@dataclass(frozen=True, slots=True, kw_only=True)
class Allocation:
    """What a container that starts was given."""

    endpoints: tuple[NetworkEndpoint, ...] = ()
    listeners: tuple[socket.socket, ...] = ()
    """A bound socket for each published port except sctp, in the order of the ports. The caller owns them."""

    def close(self) -> None:
        """Close the listeners: the monitor has its copies, or the start failed."""
        for listener in self.listeners:
            listener.close()
