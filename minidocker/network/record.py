"""What `GET /networks` says about a network.

Pure. Field names and JSON are those of the Docker Engine API 1.50. Three networks always exist: `bridge`, `host` (the
host's own namespace) and `none` (only `lo`). Chapter 18.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

from minidocker.network.bridge import Bridge
from minidocker.spec.record import json_key

__all__ = ["BUILT_IN_NETWORKS", "Ipam", "IpamConfig", "NetworkMember", "NetworkRecord", "compute_network_id", "describe_network"]

BUILT_IN_NETWORKS: Final[Mapping[str, str]] = {"bridge": "bridge", "host": "host", "none": "null"}
"""Name and driver."""


@dataclass(frozen=True, slots=True, kw_only=True)
class IpamConfig:
    """One subnet."""

    subnet: str = field(default="", metadata=json_key(omit_empty=True))
    gateway: str = field(default="", metadata=json_key(omit_empty=True))


@dataclass(frozen=True, slots=True, kw_only=True)
class Ipam:
    """Who gives out addresses, and from where."""

    driver: str = "default"
    options: Mapping[str, str] | None = None
    config: tuple[IpamConfig, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class NetworkMember:
    """A running container in a network."""

    name: str
    endpoint_id: str = field(metadata=json_key("EndpointID"))
    mac_address: str = ""
    ipv4_address: str = field(default="", metadata=json_key("IPv4Address"))
    """With its prefix length."""
    ipv6_address: str = field(default="", metadata=json_key("IPv6Address"))


@dataclass(frozen=True, slots=True, kw_only=True)
class ConfigFrom:
    """Where a network's settings come from; always empty here."""

    network: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class NetworkRecord:
    """One network."""

    name: str
    id: str = field(metadata=json_key("Id"))
    created: str = ""
    scope: str = "local"
    driver: str = ""
    enable_ipv4: bool = field(default=True, metadata=json_key("EnableIPv4"))
    enable_ipv6: bool = field(default=False, metadata=json_key("EnableIPv6"))
    ipam: Ipam = field(default_factory=Ipam, metadata=json_key("IPAM"))
    internal: bool = False
    attachable: bool = False
    ingress: bool = False
    config_from: ConfigFrom = field(default_factory=ConfigFrom)
    config_only: bool = False
    containers: Mapping[str, NetworkMember] = field(default_factory=dict)
    """By container id."""
    options: Mapping[str, str] = field(default_factory=dict)
    labels: Mapping[str, str] = field(default_factory=dict)


def compute_network_id(name: str, data_root: str) -> str:
    """Return the id of a built-in network: the same after every start, so it needs no file."""
    return hashlib.sha256(f"network {name} of {data_root}".encode()).hexdigest()


def describe_network(
    name: str, *, data_root: str, created: str, bridge: Bridge | None, members: Mapping[str, NetworkMember]
) -> NetworkRecord:
    """Return the record of a built-in network; *bridge* is None for `host` and `none`."""
    config = (IpamConfig(subnet=bridge.subnet, gateway=bridge.gateway),) if bridge else ()
    options = (
        {
            "com.docker.network.bridge.default_bridge": "true",
            "com.docker.network.bridge.enable_icc": "true",
            "com.docker.network.bridge.enable_ip_masquerade": "true",
            "com.docker.network.bridge.host_binding_ipv4": "0.0.0.0",
            "com.docker.network.bridge.name": bridge.name,
            "com.docker.network.driver.mtu": str(bridge.mtu),
        }
        if bridge
        else {}
    )
    return NetworkRecord(
        name=name, id=compute_network_id(name, data_root), created=created, driver=BUILT_IN_NETWORKS[name],
        ipam=Ipam(config=config), containers=members, options=options,
    )  # fmt: skip
