"""Endpoints: which of a container's networks is its way out, the steps that connect it, what others see of it.

Pure, so that a plan can be shown on any system; `minidocker.engine.networks` decides what the endpoints are. Chapter 18.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Final

from minidocker.container.record import ContainerRecord, NetworkEndpoint, PublishedPort
from minidocker.ids import short_id
from minidocker.kernel.steps import AddAddress, AddRoute, CreateVeth, ServeNames, SetLinkUp, Step
from minidocker.network.ports import HostPort
from minidocker.network.record import NetworkMember
from minidocker.network.rules import Forward
from minidocker.spec.container import EndpointConfig

__all__ = [
    "EXAMPLE_ENDPOINT", "assign_ways_out", "compose_dns_names", "describe_member", "forwards_of", "host_port_of", "plan_endpoint",
    "plan_endpoints", "plan_ways_out",
]  # fmt: skip

EXAMPLE_ENDPOINT: Final = NetworkEndpoint(
    network="bridge", network_id="", endpoint_id="", gateway="172.17.0.1", address="172.17.0.2", prefix_length=16,
    mac_address="02:42:ac:11:00:02", host_link="veth0123456", bridge="minidocker0", is_way_out=True,
)  # fmt: skip
"""The first container's place on the default bridge: what `--dry-run` assumes."""


def assign_ways_out(endpoints: Sequence[NetworkEndpoint], priorities: Mapping[str, int]) -> tuple[NetworkEndpoint, ...]:
    """Return *endpoints* with the way out marked for IPv4 and for IPv6.

    It is the network with the highest of *priorities* (by name); of equals the first by name. Internal networks have no
    gateway and lead nowhere.
    """

    def best(candidates: list[NetworkEndpoint]) -> str:
        ordered = sorted(candidates, key=lambda e: (-priorities.get(e.network, 0), e.network))
        return ordered[0].endpoint_id if ordered else ""

    four, six = best([e for e in endpoints if e.gateway]), best([e for e in endpoints if e.gateway6])
    return tuple(replace(e, is_way_out=e.endpoint_id == four, is_way_out6=e.endpoint_id == six) for e in endpoints)


def plan_endpoints(endpoints: Sequence[NetworkEndpoint]) -> tuple[Step, ...]:
    """Return the monitor's steps that connect a container that starts; none for `host` and `none`."""
    return (*(step for endpoint in endpoints for step in plan_endpoint(endpoint)), *_plan_names(endpoints))


def _plan_names(endpoints: Sequence[NetworkEndpoint]) -> tuple[Step, ...]:
    if not any(endpoint.dns_names for endpoint in endpoints):
        return ()
    return (ServeNames(why="a name service of its own, which knows its neighbours; on an address that only it can reach"),)


def plan_endpoint(endpoint: NetworkEndpoint) -> tuple[Step, ...]:
    """Return the steps for one network."""
    if not endpoint.bridge:
        return ()
    cable = CreateVeth(
        host_name=endpoint.host_link, container_name=endpoint.link, bridge=endpoint.bridge, mac_address=endpoint.mac_address,
        mtu=endpoint.mtu, isolated=endpoint.isolated,
        why="a cable: one plug in the host's bridge, the other made right inside the container",
    )  # fmt: skip
    pairs = ((endpoint.address, endpoint.prefix_length), (endpoint.address6, endpoint.prefix_length6))
    addresses = tuple(
        AddAddress(
            link=endpoint.link, address=f"{address}/{length}",
            why="its own address; the prefix length says who is a neighbour on the bridge",
        )
        for address, length in pairs
        if address
    )  # fmt: skip
    on = SetLinkUp(link=endpoint.link, ipv6=bool(endpoint.address6), why="a new card is off; a route needs it on")
    return (cable, *addresses, on, *plan_ways_out((endpoint,)))


def plan_ways_out(endpoints: Sequence[NetworkEndpoint]) -> tuple[Step, ...]:
    """Return the steps that add the default routes."""
    gateways = (g for e in endpoints for g, is_out in ((e.gateway, e.is_way_out), (e.gateway6, e.is_way_out6)) if g and is_out)
    return tuple(AddRoute(gateway=gateway, why="everybody else is reached through the host") for gateway in gateways)


def compose_dns_names(record: ContainerRecord, wish: EndpointConfig) -> tuple[str, ...]:
    """Return what neighbours call a container: its name, its aliases, its short id, the host name that it chose."""
    hostname = record.config.hostname
    return tuple(dict.fromkeys((record.name, *wish.aliases, short_id(record.id), *((hostname,) if hostname else ()))))


def host_port_of(port: PublishedPort) -> HostPort:
    """Return the host's side of *port*."""
    return HostPort(protocol=port.protocol, address=port.host_ip, port=port.host_port)


def forwards_of(endpoint: NetworkEndpoint) -> Iterable[Forward]:
    """Yield what the packet filter is told of *endpoint*."""
    for port in endpoint.ports:
        version6 = ":" in port.host_ip and endpoint.address6
        yield Forward(
            protocol=port.protocol, host_ip=port.host_ip, host_port=port.host_port,
            container_ip=endpoint.address6 if version6 else endpoint.address, container_port=port.container_port,
        )  # fmt: skip


def describe_member(name: str, endpoint: NetworkEndpoint) -> NetworkMember:
    """Return the container called *name* as `docker network inspect` shows it."""
    return NetworkMember(
        name=name, endpoint_id=endpoint.endpoint_id, mac_address=endpoint.mac_address,
        ipv4_address=f"{endpoint.address}/{endpoint.prefix_length}" if endpoint.address else "",
        ipv6_address=f"{endpoint.address6}/{endpoint.prefix_length6}" if endpoint.address6 else "",
    )  # fmt: skip
