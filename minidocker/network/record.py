"""What is known about a network, as it is stored and shown, and what somebody who makes one can ask for.

Pure. Field names and JSON are those of the Docker Engine API 1.50. Three networks always exist: `bridge`, `host` (the
host's own namespace) and `none` (only `lo`). `plan_network` turns a request into a record; `plan_bridge` a record into the
bridge that it is in the kernel. Chapter 18.
"""

from __future__ import annotations

import hashlib
import ipaddress
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Final

from minidocker.errors import Forbidden, InvalidParameter, NotFound, NotSupported, Unavailable
from minidocker.network.bridge import DEFAULT_MTU, Bridge
from minidocker.network.ipam import DEFAULT_POOLS, AddressPool, check_overlap, choose_subnet, parse_subnet
from minidocker.spec.record import json_key

__all__ = [
    "BUILT_IN_NETWORKS", "Ipam", "IpamConfig", "NetworkMember", "NetworkRecord", "NetworkRequest", "compute_network_id",
    "describe_network", "plan_bridge", "plan_network",
]  # fmt: skip

BUILT_IN_NETWORKS: Final[Mapping[str, str]] = {"bridge": "bridge", "host": "host", "none": "null"}
"""Name and driver."""

_BRIDGE: Final = "com.docker.network.bridge."
_MTU: Final = "com.docker.network.driver.mtu"
_LINK_NAME_MAX: Final = 15


@dataclass(frozen=True, slots=True, kw_only=True)
class IpamConfig:
    """One subnet."""

    subnet: str = field(default="", metadata=json_key(omit_empty=True))
    ip_range: str = field(default="", metadata=json_key("IPRange", omit_empty=True))
    """The part of it that containers get addresses from; the rest is for those who ask by name."""
    gateway: str = field(default="", metadata=json_key(omit_empty=True))
    auxiliary_addresses: Mapping[str, str] = field(default_factory=dict, metadata=json_key(omit_empty=True))
    """Addresses that other machines have, by name: never given away."""


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

    @property
    def is_built_in(self) -> bool:
        """Whether nobody made it and nobody can remove it."""
        return self.name in BUILT_IN_NETWORKS

    def config(self, version: int) -> IpamConfig | None:
        """Return the subnet of one IP version."""
        return next((c for c in self.ipam.config if c.subnet and parse_subnet(c.subnet).version == version), None)


@dataclass(frozen=True, slots=True, kw_only=True)
class NetworkRequest:
    """The body of `POST /networks/create`."""

    name: str = ""
    check_duplicate: bool = False
    """Old clients send it; names have been unique for long."""
    driver: str = ""
    scope: str = ""
    enable_ipv4: bool | None = field(default=None, metadata=json_key("EnableIPv4"))
    enable_ipv6: bool | None = field(default=None, metadata=json_key("EnableIPv6"))
    ipam: Ipam | None = field(default=None, metadata=json_key("IPAM"))
    internal: bool = False
    attachable: bool = False
    ingress: bool = False
    config_only: bool = False
    config_from: ConfigFrom | None = None
    options: Mapping[str, str] = field(default_factory=dict)
    labels: Mapping[str, str] = field(default_factory=dict)


def compute_network_id(name: str, data_root: str) -> str:
    """Return the id of a built-in network: the same after every start, so it needs no file."""
    return hashlib.sha256(f"network {name} of {data_root}".encode()).hexdigest()


def plan_network(
    request: NetworkRequest, *, network_id: str, created: str, networks: Sequence[str], taken: Iterable[str],
    pools: Sequence[AddressPool] = DEFAULT_POOLS, pool6: AddressPool,
) -> NetworkRecord:  # fmt: skip
    """Return the record of a new network.

    *networks* are the subnets of the others, which it must not overlap; *taken* are addresses and routes of the host, which
    only a subnet that we choose keeps away from.

    Raises:
        InvalidParameter, NotFound, Forbidden: what was asked for cannot be.
        HostError: no subnet is left.
    """
    _check_request(request)
    asked = request.ipam or Ipam()
    version4, version6 = request.enable_ipv4 is not False, bool(request.enable_ipv6)
    if not (version4 or version6):
        raise InvalidParameter("IPv4 or IPv6 must be enabled")
    configs = [_complete_config(config, networks) for config in asked.config if config != IpamConfig()]
    for version, enabled in ((4, version4), (6, version6)):
        found = [c for c in configs if parse_subnet(c.subnet).version == version]
        if len(found) > 1:
            raise InvalidParameter(f"bridge driver supports one IPv{version} subnet, {len(found)} were given")
        if enabled and not found:
            subnet = choose_subnet((*networks, *taken), pools=pools if version == 4 else (pool6,))
            configs.append(_complete_config(IpamConfig(subnet=subnet), ()))
        if not enabled and found:
            if version == 4:
                raise InvalidParameter("IPv4 is disabled, but an IPv4 subnet was given")
            configs.remove(found[0])
    return NetworkRecord(
        name=request.name, id=network_id, created=created, driver="bridge", enable_ipv4=version4, enable_ipv6=version6,
        ipam=Ipam(driver=asked.driver or "default", options=asked.options or {}, config=tuple(configs)),
        internal=request.internal, attachable=request.attachable, options=request.options, labels=request.labels,
    )  # fmt: skip


def _check_request(request: NetworkRequest) -> None:
    """Refuse what no network can be, in Docker's words."""
    name = request.name
    if not name.strip():
        raise InvalidParameter("invalid network name: name is empty")
    if name in (*BUILT_IN_NETWORKS, "default"):
        raise Forbidden(f"operation is not permitted on predefined {name} network")
    if "/" in name or not name.isprintable():
        raise InvalidParameter(f"invalid network name {name[:80]!r}: slashes and control characters are not allowed")
    if request.driver in ("host", "null", "none"):
        raise Forbidden(f'only one instance of "{request.driver}" network is allowed')
    if request.driver == "overlay" or request.ingress or request.scope == "swarm":
        raise Unavailable('This node is not a swarm manager. Use "docker swarm init" or "docker swarm join" to connect this node to swarm and try again.')
    if request.driver not in ("", "bridge", "default"):
        raise NotFound(f'could not find plugin {request.driver} in v1 plugin registry: plugin "{request.driver}" not found')
    if request.config_only or (request.config_from and request.config_from.network):
        raise NotSupported("networks that only hold settings for others are not supported", hint="give the settings to each network")
    if request.ipam and request.ipam.driver not in ("", "default"):
        raise NotFound(f'ipam driver "{request.ipam.driver}" not found')
    for key, value in request.options.items():
        _check_option(key, value)


def _check_option(key: str, value: str) -> None:
    """Refuse the setting of a bridge that cannot be."""
    switches = tuple(_BRIDGE + word for word in ("enable_icc", "enable_ip_masquerade"))
    if key in switches and value.lower() not in ("", "true", "false", "1", "0"):
        raise InvalidParameter(f'invalid value for {key}: "{value[:40]}" is not true or false')
    if key == _MTU and not (value.isdecimal() and 68 <= int(value) <= 65535):
        raise InvalidParameter(f'invalid value for {key}: "{value[:40]}" is not a number from 68 to 65535')
    if key == _BRIDGE + "name" and not 0 < len(value.encode()) <= _LINK_NAME_MAX:
        raise InvalidParameter(f'invalid value for {key}: "{value[:40]}" has not 1 to {_LINK_NAME_MAX} bytes, as names of links must')
    if key.startswith(_BRIDGE + "gateway_mode_ipv") and value not in ("", "nat"):
        raise NotSupported(f'{key}: "{value[:40]}" is not supported', hint='there is "nat" only')


def _complete_config(config: IpamConfig, networks: Sequence[str]) -> IpamConfig:
    """Check the subnet in *config* and give it a gateway, its first free address."""
    if not config.subnet:
        raise InvalidParameter("invalid network config:\nIPAM configuration without a subnet", hint="a gateway or range needs --subnet")
    subnet = parse_subnet(config.subnet)
    check_overlap(str(subnet), networks)
    if subnet.version == 4 and subnet.prefixlen > 30:
        raise InvalidParameter(f"invalid network config:\nsubnet {subnet} is too small: it has no room for a gateway and a container")
    pool = parse_subnet(config.ip_range) if config.ip_range else subnet
    if pool.version != subnet.version or not pool.subnet_of(subnet):  # type: ignore[arg-type]  # same version
        raise InvalidParameter(f"invalid network config:\ninvalid ip-range {config.ip_range}: parent subnet is {subnet}")
    named = {"gateway": config.gateway, **{f"auxiliary address {k}": v for k, v in config.auxiliary_addresses.items()}}
    for what, text in named.items():
        if text:
            _check_member(subnet, what, text)
    aux = {str(ipaddress.ip_address(text)) for text in config.auxiliary_addresses.values()}
    first = int(pool.network_address if pool.network_address != subnet.network_address else subnet.network_address + 1)
    gateway = config.gateway or next(str(a) for n in range(len(aux) + 1) if str(a := type(subnet.network_address)(first + n)) not in aux)
    return replace(config, subnet=str(subnet), gateway=str(ipaddress.ip_address(gateway)), ip_range=str(pool) if config.ip_range else "")


def _check_member(subnet: ipaddress.IPv4Network | ipaddress.IPv6Network, what: str, text: str) -> None:
    try:
        address = ipaddress.ip_address(text)
    except ValueError as error:
        raise InvalidParameter(f"invalid network config:\ninvalid {what} {text[:60]}: {error}") from error
    if address not in subnet:
        raise InvalidParameter(f"invalid network config:\ninvalid {what} {text}: parent subnet is {subnet}")


def plan_bridge(record: NetworkRecord, *, mtu: int = DEFAULT_MTU) -> Bridge:
    """Return the bridge of a network that somebody made."""
    four, six = record.config(4), record.config(6)
    options = record.options
    return Bridge(
        name=options.get(_BRIDGE + "name") or f"br-{record.id[:12]}", subnet=four.subnet if four else "",
        gateway=four.gateway if four else "", subnet6=six.subnet if six else "", gateway6=six.gateway if six else "",
        mtu=int(options.get(_MTU, mtu)), internal=record.internal, icc=_is_on(options.get(_BRIDGE + "enable_icc")),
        masquerade=_is_on(options.get(_BRIDGE + "enable_ip_masquerade")),
    )  # fmt: skip


def _is_on(value: str | None) -> bool:
    return (value or "true").lower() in ("true", "1")


def describe_network(
    name: str, *, data_root: str, created: str, bridge: Bridge | None, members: Mapping[str, NetworkMember], host_binding: str = "0.0.0.0"
) -> NetworkRecord:
    """Return the record of a built-in network; *bridge* is None for `host` and `none`."""
    pairs = ((bridge.subnet, bridge.gateway), (bridge.subnet6, bridge.gateway6)) if bridge else ()
    options = (
        {
            _BRIDGE + "default_bridge": "true",
            _BRIDGE + "enable_icc": str(bridge.icc).lower(),
            _BRIDGE + "enable_ip_masquerade": "true",
            _BRIDGE + "host_binding_ipv4": host_binding,
            _BRIDGE + "name": bridge.name,
            _MTU: str(bridge.mtu),
        }
        if bridge
        else {}
    )
    return NetworkRecord(
        name=name, id=compute_network_id(name, data_root), created=created, driver=BUILT_IN_NETWORKS[name],
        enable_ipv6=bool(bridge and bridge.subnet6),
        ipam=Ipam(config=tuple(IpamConfig(subnet=subnet, gateway=gateway) for subnet, gateway in pairs if subnet)),
        containers=members, options=options,
    )  # fmt: skip
