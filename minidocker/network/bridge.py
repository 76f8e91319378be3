"""The default bridge: its name, its subnet, its first address.

Pure. The name says whose it is: a server with the usual data root has `minidocker0` (not `docker0`, which may belong to
a real Docker on the same host), any other server a name made from its data root. So two servers never share a bridge or
a table of rules, and one that starts after a crash recognises what its predecessor left. Chapter 18.
"""

from __future__ import annotations

import hashlib
import ipaddress
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

from minidocker.errors import HostError

__all__ = [
    "ADDRESS_POOLS", "DEFAULT_BRIDGE_NAME", "DEFAULT_DATA_ROOT", "Bridge", "adopt_bridge", "choose_subnet",
    "compute_bridge_name", "plan_bridge",
]  # fmt: skip

DEFAULT_BRIDGE_NAME: Final = "minidocker0"
DEFAULT_DATA_ROOT: Final = "/var/lib/minidocker"

ADDRESS_POOLS: Final = (*(f"172.{n}.0.0/16" for n in range(17, 32)), *(f"192.168.{n}.0/20" for n in range(0, 256, 16)))
"""Docker's own pools, in the order in which it tries them."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Bridge:
    """A bridge as it shall be."""

    name: str
    subnet: str
    """Such as `172.17.0.0/16`."""
    gateway: str
    """The host's own address on the bridge: the subnet's first."""
    mtu: int = 1500
    internal: bool = False
    """Whether it reaches nobody but its own containers."""
    icc: bool = True
    """Whether its containers reach each other ("inter-container communication")."""
    masquerade: bool = True
    """Whether what leaves it carries the host's address."""

    @property
    def prefix_length(self) -> int:
        """How many bits of an address name the subnet."""
        return int(self.subnet.partition("/")[2])

    @property
    def address(self) -> str:
        """The gateway with its prefix length, such as `172.17.0.1/16`."""
        return f"{self.gateway}/{self.prefix_length}"


def compute_bridge_name(data_root: str) -> str:
    """Return the name that belongs to the server of *data_root*."""
    if data_root.rstrip("/") == DEFAULT_DATA_ROOT:
        return DEFAULT_BRIDGE_NAME
    return f"md-{hashlib.sha256(data_root.rstrip('/').encode()).hexdigest()[:8]}"


def choose_subnet(taken: Iterable[str], *, pools: Iterable[str] = ADDRESS_POOLS) -> str:
    """Return the first of *pools* that overlaps nothing in *taken* (addresses and routes of the host).

    The default route overlaps everything and is left out.

    Raises:
        HostError: all are in use.
    """
    networks = [ipaddress.ip_network(text, strict=False) for text in taken]
    used = [network for network in networks if isinstance(network, ipaddress.IPv4Network) and network.prefixlen > 0]
    for pool in pools:
        candidate = ipaddress.IPv4Network(pool)
        if not any(candidate.overlaps(network) for network in used):
            return pool
    raise HostError(
        "choose a subnet for the bridge: every pool overlaps an address or route of this host",
        hint="remove a route that is not needed, or run with `--network host`",
    )


def plan_bridge(name: str, taken: Iterable[str]) -> Bridge:
    """Return the bridge to make on a host where *taken* is in use."""
    return adopt_bridge(name, choose_subnet(taken))


def adopt_bridge(name: str, subnet: str) -> Bridge:
    """Return the bridge called *name* that owns *subnet*."""
    network = ipaddress.IPv4Network(subnet, strict=False)
    return Bridge(name=name, subnet=str(network), gateway=str(network.network_address + 1))
