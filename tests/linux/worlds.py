"""Hosts made of network namespaces: the world outside, a host, containers.

    outside 192.0.2.2 ── veth ── 192.0.2.1 host 172.17.0.1 ── bridge ── 172.17.0.2 container

The test's process moves between the namespaces; the machine's own network is never touched.
"""

from __future__ import annotations

import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from minidocker.container.record import ContainerRecord, NetworkEndpoint
from minidocker.engine.endpoint import plan_endpoint
from minidocker.engine.networks import Networks
from minidocker.kernel import netlink
from minidocker.kernel.flags import Clone
from minidocker.kernel.namespaces import setns, unshare
from minidocker.kernel.steps import AddAddress, AddRoute, CreateVeth, SetLinkUp
from minidocker.network.bridge import compute_bridge_name
from minidocker.network.record import Ipam, IpamConfig
from minidocker.spec.container import ContainerConfig, HostConfig

WAIT_S = 10
OUTSIDE, HOST = "192.0.2.2", "192.0.2.1"
OUTSIDE6, HOST6 = "2001:db8::2", "2001:db8::1"
SUBNET = Ipam(config=(IpamConfig(subnet="10.7.0.0/24"),))
DATA_ROOT = Path("/nowhere/minidocker-test")
BRIDGE_NAME = compute_bridge_name(str(DATA_ROOT))


@dataclass(frozen=True, slots=True, kw_only=True)
class World:
    """Descriptors of the namespaces."""

    host: int
    outside: int


def new_namespace() -> int:
    """Make a network namespace with `lo` up, stand in it and return its descriptor."""
    unshare(Clone.NEWNET)
    with netlink.open_route_socket() as route:
        netlink.set_loopback_up(route)
    return os.open("/proc/thread-self/ns/net", os.O_RDONLY | os.O_CLOEXEC)


@contextmanager
def make_world() -> Iterator[World]:
    """Stand in a host of its own that has a neighbour outside, until the end."""
    home = os.open("/proc/thread-self/ns/net", os.O_RDONLY | os.O_CLOEXEC)
    outside = new_namespace()
    try:
        host = new_namespace()
        with netlink.open_route_socket() as route:
            netlink.create_veth(route, host_name="up0", container_name="eth0", container_netns_fd=outside)
            netlink.add_address(route, "up0", f"{HOST}/24")
            netlink.add_address(route, "up0", f"{HOST6}/64")
        with inside(outside), netlink.open_route_socket() as route:
            netlink.add_address(route, "eth0", f"{OUTSIDE}/24")
            netlink.add_address(route, "eth0", f"{OUTSIDE6}/64")
            netlink.set_link_up(route, "eth0")
        yield World(host=host, outside=outside)
        os.close(host)
    finally:
        setns(home, Clone.NEWNET)
        os.close(home)
        os.close(outside)


@contextmanager
def inside(namespace: int) -> Iterator[None]:
    """Stand in another network namespace for a while; sockets opened there stay there."""
    home = os.open("/proc/thread-self/ns/net", os.O_RDONLY | os.O_CLOEXEC)
    try:
        setns(namespace, Clone.NEWNET)
        yield
    finally:
        setns(home, Clone.NEWNET)
        os.close(home)


def record_of(number: int, **host_config: object) -> ContainerRecord:
    """Return a container that wants the default network."""
    return ContainerRecord(
        id=f"{number:064x}", name=f"c{number}", created="", image_id="", config=ContainerConfig(),
        host_config=HostConfig(**host_config),  # type: ignore[arg-type]  # checked by HostConfig
    )  # fmt: skip


def place(networks: Networks, record: ContainerRecord) -> tuple[NetworkEndpoint | None, list[socket.socket]]:
    """Give a container its place in its only network, and the sockets of its ports."""
    allocation = networks.allocate(record)
    return (allocation.endpoints or (None,))[0], list(allocation.listeners)


def connect_container(endpoint: NetworkEndpoint) -> int:
    """Do what a monitor does with the steps of *endpoint*; return the container's namespace."""
    home = os.open("/proc/thread-self/ns/net", os.O_RDONLY | os.O_CLOEXEC)
    namespace = new_namespace()
    setns(home, Clone.NEWNET)
    os.close(home)
    with inside(namespace):
        container_route = netlink.open_route_socket()
    with netlink.open_route_socket() as host_route, container_route:
        for step in plan_endpoint(endpoint):
            match step:
                case CreateVeth():
                    netlink.create_veth(
                        host_route, host_name=step.host_name, container_name=step.container_name,
                        container_netns_fd=namespace, mac_address=step.mac_address,
                        bridge_index=netlink.require_link(host_route, step.bridge).index,
                    )  # fmt: skip
                    if step.isolated:
                        netlink.isolate_port(host_route, step.host_name)
                case AddAddress():
                    netlink.add_address(container_route, step.link, step.address)
                case SetLinkUp():
                    netlink.set_link_up(container_route, step.link, ipv6=step.ipv6)
                case AddRoute():
                    netlink.add_route(container_route, step.gateway, destination=step.destination)
                case _:
                    raise AssertionError(f"a step that is no network step: {step}")
    return namespace


def bound(namespace: int, address: str, port: int, kind: socket.SocketKind = socket.SOCK_STREAM) -> socket.socket:
    """Return a server socket inside *namespace*."""
    with inside(namespace):
        server = socket.socket(socket.AF_INET6 if ":" in address else socket.AF_INET, kind)
    server.bind((address, port))
    if kind == socket.SOCK_STREAM:
        server.listen()
    server.settimeout(WAIT_S)
    return server


def connected(namespace: int, address: str, port: int) -> socket.socket:
    """Return a connection made from inside *namespace*."""
    with inside(namespace):
        return socket.create_connection((address, port), WAIT_S)
