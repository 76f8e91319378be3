"""Bridges: name, subnets, the host's own addresses.

Pure. The name says whose it is: a server with the usual data root has `minidocker0` as its default bridge (not `docker0`,
which may belong to a real Docker on the same host), any other server a name made from its data root; a network that
somebody made is `br-` and the beginning of its id. So two servers never share a bridge or a table of rules, and one that
starts after a crash recognises what its predecessor left. Chapter 18.
"""

from __future__ import annotations

import hashlib
import ipaddress
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

__all__ = ["DEFAULT_BRIDGE_NAME", "DEFAULT_DATA_ROOT", "DEFAULT_MTU", "Bridge", "adopt_bridge", "compute_bridge_name"]

DEFAULT_BRIDGE_NAME: Final = "minidocker0"
DEFAULT_DATA_ROOT: Final = "/var/lib/minidocker"
DEFAULT_MTU: Final = 1500


@dataclass(frozen=True, slots=True, kw_only=True)
class Bridge:
    """A bridge as it shall be."""

    name: str
    subnet: str
    """Such as `172.17.0.0/16`; empty on a network that is IPv6 only."""
    gateway: str
    """The host's own address on the bridge, usually the subnet's first."""
    subnet6: str = ""
    gateway6: str = ""
    mtu: int = DEFAULT_MTU
    internal: bool = False
    """Whether it reaches nobody but its own containers."""
    icc: bool = True
    """Whether its containers reach each other ("inter-container communication")."""
    masquerade: bool = True
    """Whether what leaves it carries the host's address."""

    @property
    def addresses(self) -> Iterable[str]:
        """The gateways with their prefix lengths, such as `172.17.0.1/16`."""
        pairs = ((self.gateway, self.subnet), (self.gateway6, self.subnet6))
        return tuple(f"{gateway}/{subnet.partition('/')[2]}" for gateway, subnet in pairs if gateway)


def compute_bridge_name(data_root: str) -> str:
    """Return the name of the default bridge of the server of *data_root*."""
    if data_root.rstrip("/") == DEFAULT_DATA_ROOT:
        return DEFAULT_BRIDGE_NAME
    return f"md-{hashlib.sha256(data_root.rstrip('/').encode()).hexdigest()[:8]}"


def adopt_bridge(name: str, address: str) -> Bridge:
    """Return the bridge called *name* whose own address and prefix length is *address*; of a subnet, its first address."""
    interface = ipaddress.IPv4Interface(address)
    first = interface.network.network_address
    return Bridge(name=name, subnet=str(interface.network), gateway=str(first + 1 if interface.ip == first else interface.ip))
