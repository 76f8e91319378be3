"""Networks of this server: who holds which address and port, and the bridge that is made when the first one needs it.

Acting. `Networks` is the only owner of the server's bridge and of its table in the packet filter. What is in use follows
from the endpoints of running containers, which their records keep; nothing else is stored. A monitor performs the steps
of `minidocker.engine.endpoint` while init mounts. Any thread may call; one lock orders them, and no call waits for a
container.

Rule: the bridge costs a start of the first container two milliseconds, the server's start nothing; when the server
ends and no container is left, neither is the bridge. Chapter 18.
"""

from __future__ import annotations

import os
import socket
import threading
import time
from collections.abc import Iterable
from contextlib import ExitStack, closing, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from minidocker.container.record import ContainerRecord, NetworkEndpoint, PublishedPort
from minidocker.errors import HostError, NotFound
from minidocker.kernel.netlink import list_links, open_netfilter_socket, open_route_socket
from minidocker.network.apply import (
    FilterUnavailable,
    apply_table,
    find_bridge,
    list_taken_networks,
    read_host_resolv_conf,
    remove_stale_ports,
    setup_bridge,
    teardown_bridge,
    teardown_table,
)
from minidocker.network.bridge import Bridge, compute_bridge_name, plan_bridge
from minidocker.network.ipam import choose_address, compute_mac_address
from minidocker.network.listeners import BoundPort, bind_port, has_ipv6
from minidocker.network.names import HOST_GATEWAY, render_hostname, render_hosts, render_resolv_conf
from minidocker.network.ports import EPHEMERAL_PORTS, HostPort, PortUnavailable, plan_ports
from minidocker.network.record import BUILT_IN_NETWORKS, NetworkMember, NetworkRecord, compute_network_id, describe_network
from minidocker.network.rules import Forward, plan_table

if TYPE_CHECKING:
    from minidocker.engine.engine import Engine

__all__ = ["Networks", "list_networks", "network_of", "require_network", "write_name_files"]


@dataclass(frozen=True, slots=True, kw_only=True)
class _Member:
    """A running container on the bridge."""

    container_id: str
    container_name: str
    endpoint: NetworkEndpoint


def network_of(record: ContainerRecord) -> str:
    """Return the name of the container's network; empty when it shares another container's.

    Raises:
        NotFound: there is no such network.
    """
    mode = record.host_config.network_mode
    if mode.startswith("container:"):
        return ""
    if record.config.network_disabled:
        return "none"
    name = "bridge" if mode in ("", "default") else mode
    if name not in BUILT_IN_NETWORKS:
        raise NotFound(f"network {name} not found")
    return name


class Networks:
    """The networks of the server with one data root."""

    def __init__(self, data_root: Path) -> None:
        """Touch nothing: the bridge waits for the first container that needs it."""
        self._data_root = str(data_root)
        self._bridge_name = compute_bridge_name(self._data_root)
        self._created = time.strftime("%Y-%m-%dT%H:%M:%S.000000000Z", time.gmtime())
        self._lock = threading.Lock()
        self._bridge: Bridge | None = None
        self._route: socket.socket | None = None
        self._netfilter: socket.socket | None = None
        self._has_filter = True
        self._members: dict[str, _Member] = {}
        self._fading: dict[str, str] = {}
        """Host links of containers that have ended, with their addresses: the kernel removes a link when the last process
        of its namespace is gone, which is later than the container's end or, with `container:X`, much later."""
        self._next_port = EPHEMERAL_PORTS[0]
        self._has_ipv6: bool | None = None
        self._warnings: list[str] = []

    @property
    def warnings(self) -> tuple[str, ...]:
        """What does not work on this host, one sentence each; filled when the bridge is made."""
        return tuple(self._warnings)

    # -- endpoints ---------------------------------------------------------------------------------------------------

    def allocate_endpoint(self, record: ContainerRecord) -> tuple[NetworkEndpoint | None, list[socket.socket]]:
        """Give a container that starts its place in its network.

        Returns the endpoint (None when it shares another container's) and a bound socket for each of its published
        ports except sctp, in the order of `endpoint.ports`. The caller owns the sockets and closes them when the
        monitor has its copies.

        Raises:
            NotFound: no such network.
            HostError: no address, no port or no bridge can be had; nothing was kept.
        """
        name = network_of(record)
        if not name:
            return None, []
        network_id, endpoint_id = compute_network_id(name, self._data_root), os.urandom(32).hex()
        if name != "bridge":
            return NetworkEndpoint(network=name, network_id=network_id, endpoint_id=endpoint_id), []
        with self._lock:
            bridge = self._ensure_bridge()
            in_use = {bridge.gateway, *(m.endpoint.address for m in self._members.values()), *self._fading_addresses()}
            address = choose_address(bridge.subnet, in_use)
            bound = self._bind_ports(record, endpoint_id, address)
            with ExitStack() as undo:
                listeners = [undo.enter_context(closing(b.listener)) for b in bound if b.listener is not None]
                endpoint = NetworkEndpoint(
                    network=name, network_id=network_id, endpoint_id=endpoint_id, gateway=bridge.gateway, address=address,
                    prefix_length=bridge.prefix_length, mac_address=_wanted_mac(record) or compute_mac_address(address),
                    host_link=f"veth{endpoint_id[:7]}", bridge=bridge.name, ports=tuple(_published(b) for b in bound),
                )  # fmt: skip
                self._join(record, endpoint)
                undo.pop_all()
        return endpoint, listeners

    def _join(self, record: ContainerRecord, endpoint: NetworkEndpoint) -> None:
        """Remember *endpoint* and publish its ports, or do neither."""
        self._members[endpoint.endpoint_id] = _Member(container_id=record.id, container_name=record.name, endpoint=endpoint)
        if endpoint.ports and self._has_filter:
            try:
                self._apply_rules()
            except FilterUnavailable:
                del self._members[endpoint.endpoint_id]
                raise

    def release_endpoint(self, endpoint: NetworkEndpoint) -> None:
        """Take back what `allocate_endpoint` gave; the kernel removes the veth pair with the container's namespace.

        Deleting the pair here would do the same, but hold up everybody who touches a link for 20 to 60 ms.
        """
        with self._lock:
            member = self._members.pop(endpoint.endpoint_id, None)
            if member is not None:
                self._fading[endpoint.host_link] = endpoint.address
            if member is None or not member.endpoint.ports or not self._has_filter or self._netfilter is None:
                return
            with suppress(FilterUnavailable):  # its rules lead nowhere now; the next change takes them away
                self._apply_rules()

    def restore(self, records: Iterable[ContainerRecord]) -> None:
        """Take over the endpoints of containers that still run, at server start; without any, remove leftovers.

        Raises:
            HostError: the bridge of running containers cannot be set up again.
        """
        running = [r for r in records if r.state.running and r.endpoint is not None and r.endpoint.network == "bridge"]
        with self._lock:
            for record in running:
                if record.endpoint is not None:
                    member = _Member(container_id=record.id, container_name=record.name, endpoint=record.endpoint)
                    self._members[record.endpoint.endpoint_id] = member
            if running:
                bridge = self._ensure_bridge()
                remove_stale_ports(self._routes(), bridge.name, keep={m.endpoint.host_link for m in self._members.values()})
            else:
                self._remove_bridge()

    def close(self) -> None:
        """Leave the networks of running containers as they are; if there are none, leave nothing behind."""
        with self._lock:
            if not self._members and self._bridge is not None:
                self._remove_bridge()
            for sock in (self._route, self._netfilter):
                if sock is not None:
                    sock.close()
            self._route = self._netfilter = self._bridge = None

    def _fading_addresses(self) -> Iterable[str]:
        """Return the addresses that a namespace still has whose container has ended."""
        if self._fading:
            present = {link.name for link in list_links(self._routes())}
            self._fading = {name: address for name, address in self._fading.items() if name in present}
        return self._fading.values()

    # -- the bridge --------------------------------------------------------------------------------------------------

    def _routes(self) -> socket.socket:
        """Return the socket for links and addresses."""
        if self._route is None:
            self._route = open_route_socket()
        return self._route

    def _plan_bridge(self) -> Bridge:
        """Return the bridge as it is, or as it would be made."""
        if self._bridge is not None:
            return self._bridge
        route = self._routes()
        return find_bridge(route, self._bridge_name) or plan_bridge(
            self._bridge_name, list_taken_networks(route, own=self._bridge_name)
        )

    def _ensure_bridge(self) -> Bridge:
        """Return the bridge, which then exists with its rules."""
        if self._bridge is not None:
            return self._bridge
        bridge = self._plan_bridge()
        self._warnings = list(setup_bridge(self._routes(), bridge, alias=f"minidocker {self._data_root}"))
        self._bridge = bridge
        try:
            self._apply_rules()
        except FilterUnavailable as error:
            self._has_filter = False
            self._warnings.append(
                f"{error.message}: containers reach no other hosts, and published ports go through the proxy only"
            )
        return bridge

    def _apply_rules(self) -> None:
        """Put the table for the present members into the kernel.

        Raises:
            FilterUnavailable: the kernel cannot do it.
        """
        assert self._bridge is not None
        if self._netfilter is None:
            try:
                self._netfilter = open_netfilter_socket()
            except OSError as error:
                raise FilterUnavailable(f"open the packet filter: {error.strerror}") from error
        forwards = (f for m in self._members.values() for f in _forwards(m.endpoint))
        apply_table(self._netfilter, plan_table(self._bridge.name, (self._bridge,), forwards))

    def _remove_bridge(self) -> None:
        """Remove bridge and table, if they are there; a server without the rights has never made them."""
        with suppress(HostError, OSError):
            if not teardown_bridge(self._routes(), self._bridge_name):
                return
            self._bridge = None
            with open_netfilter_socket() as netfilter:
                teardown_table(netfilter, self._bridge_name)

    # -- ports -------------------------------------------------------------------------------------------------------

    def _bind_ports(self, record: ContainerRecord, endpoint_id: str, address: str) -> tuple[BoundPort, ...]:
        """Bind every host port that the container publishes, or none.

        Raises:
            PortUnavailable: one is taken.
        """
        config = record.host_config
        requests = plan_ports(record.config.exposed_ports, config.port_bindings, publish_all=config.publish_all_ports)
        taken = {_host_port(p) for m in self._members.values() for p in m.endpoint.ports}
        if requests and self._has_ipv6 is None:
            self._has_ipv6 = has_ipv6()
        bound: list[BoundPort] = []
        with ExitStack() as undo:
            for request in requests:
                try:
                    new = bind_port(request, taken, start=self._next_port, ipv6=bool(self._has_ipv6), target_ip=address)
                except PortUnavailable as error:
                    where = f"on endpoint {record.name} ({endpoint_id})"
                    raise PortUnavailable(
                        f"driver failed programming external connectivity {where}: {error.message}", hint=error.hint
                    ) from error
                for port in new:
                    if port.listener is not None:
                        undo.enter_context(closing(port.listener))
                    taken.add(port.host)
                    bound.append(port)
                if not request.first_port:
                    self._next_port = new[0].host.port + 1
            undo.pop_all()
        return tuple(bound)

    # -- what people see ---------------------------------------------------------------------------------------------

    def gateway(self) -> str:
        """Return the host's address on the bridge, whether or not that exists yet."""
        with self._lock:
            return self._plan_bridge().gateway

    def list_networks(self) -> list[NetworkRecord]:
        """Return the three networks, with the containers that run in the bridge."""
        with self._lock:
            members = {m.container_id: _describe_member(m) for m in self._members.values()}
            try:
                bridge: Bridge | None = self._plan_bridge()
            except (OSError, HostError):
                bridge = None  # listing must work where nothing can be made
        return [
            describe_network(
                name, data_root=self._data_root, created=self._created, bridge=bridge if name == "bridge" else None,
                members=members if name == "bridge" else {},
            )
            for name in BUILT_IN_NETWORKS
        ]  # fmt: skip

    def require_network(self, reference: str) -> NetworkRecord:
        """Return the network with this name, id or unique start of an id.

        Raises:
            NotFound: there is none.
        """
        networks = self.list_networks()
        exact = [n for n in networks if reference in (n.name, n.id)]
        found = exact or [n for n in networks if reference and n.id.startswith(reference)]
        if len(found) != 1:
            raise NotFound(f"network {reference} not found")
        return found[0]


def _wanted_mac(record: ContainerRecord) -> str:
    """Return the MAC address that was asked for; empty for none."""
    endpoints = record.networking.endpoints_config
    chosen = next((endpoints[name] for name in ("bridge", "default") if name in endpoints), None)
    return (chosen.mac_address if chosen else "") or record.config.mac_address


def _published(bound: BoundPort) -> PublishedPort:
    """Return *bound* as records keep it."""
    host = bound.host
    return PublishedPort(
        container_port=bound.container_port, protocol=host.protocol, host_ip=host.address, host_port=host.port
    )


def _host_port(port: PublishedPort) -> HostPort:
    """Return the host's side of *port*."""
    return HostPort(protocol=port.protocol, address=port.host_ip, port=port.host_port)


def _forwards(endpoint: NetworkEndpoint) -> Iterable[Forward]:
    """Yield what the packet filter is told of *endpoint*."""
    for port in endpoint.ports:
        yield Forward(
            protocol=port.protocol, host_ip=port.host_ip, host_port=port.host_port, container_ip=endpoint.address,
            container_port=port.container_port,
        )  # fmt: skip


def _describe_member(member: _Member) -> NetworkMember:
    """Return *member* as `docker network inspect` shows it."""
    endpoint = member.endpoint
    return NetworkMember(
        name=member.container_name, endpoint_id=endpoint.endpoint_id, mac_address=endpoint.mac_address,
        ipv4_address=f"{endpoint.address}/{endpoint.prefix_length}",
    )  # fmt: skip


def write_name_files(networks: Networks, record: ContainerRecord, directory: Path) -> None:
    """Write `hosts`, `hostname` and `resolv.conf` into the container's *directory*.

    A container that shares another's network shares its names as well: they are copied from the other's directory,
    which is named after the id in `container:ID`.

    Raises:
        InvalidParameter: an `--add-host` of the wrong form.
    """
    config, host_config, endpoint = record.config, record.host_config, record.endpoint
    is_host = host_config.network_mode == "host"
    shared = host_config.network_mode.partition("container:")[2]
    if shared:
        for name in ("hosts", "hostname", "resolv.conf"):
            with suppress(OSError):  # the other one has none: it is started without name files
                _write(directory / name, (directory.parent / shared / name).read_text())
        return
    gateway = endpoint.gateway if endpoint else ""
    if not gateway and any(HOST_GATEWAY in text for text in host_config.extra_hosts):
        gateway = networks.gateway()
    known = {"base": _read_text(Path("/etc/hosts"))} if is_host else {}
    hosts = render_hosts(
        hostname=config.hostname, domainname=config.domainname, address=endpoint.address if endpoint else "",
        extra_hosts=host_config.extra_hosts, gateway=gateway, **known,
    )  # fmt: skip
    servers = render_resolv_conf(
        read_host_resolv_conf(), dns=host_config.dns, search=host_config.dns_search, options=host_config.dns_options,
        bridged=not is_host,
    )  # fmt: skip
    for name, text in (("hosts", hosts), ("hostname", render_hostname(config.hostname)), ("resolv.conf", servers)):
        _write(directory / name, text)


def _write(path: Path, text: str) -> None:
    """Write a file that everybody in the container may read; it is made anew at each start, so it need not be durable."""
    path.write_text(text)
    path.chmod(0o644)


def _read_text(path: Path) -> str:
    """Return the content of *path*, empty if there is none."""
    try:
        return path.read_text(errors="replace")
    except OSError:
        return ""


def list_networks(engine: Engine) -> list[NetworkRecord]:
    """Return the networks of *engine*."""
    return engine.networks.list_networks()


def require_network(engine: Engine, reference: str) -> NetworkRecord:
    """Return one network of *engine*.

    Raises:
        NotFound: there is none with this name or id.
    """
    return engine.networks.require_network(reference)
