"""Networks of this server: which there are, who is in them, and who holds which address and port.

Acting. `Networks` keeps the records of networks that somebody made, and from the endpoints of running containers, which
their records keep, knows what is in use. What is to be in the kernel goes to `minidocker.network.fabric`, what neighbours
call each other to `minidocker.engine.name_tables`. A monitor performs the steps of `minidocker.engine.endpoint` while init
mounts. Any thread may call; one lock orders them, and no call waits for a container.

Rule: a bridge costs the first container on it two milliseconds, the server's start nothing; when the server ends and no
container is left, neither is a bridge. Chapter 18.
"""

from __future__ import annotations

import os
import socket
import threading
import time
from collections.abc import Collection, Iterable, Iterator
from contextlib import ExitStack, closing, suppress
from dataclasses import replace
from pathlib import Path

from minidocker.codec.nftables import Table
from minidocker.container.record import ContainerRecord, NetworkEndpoint, PublishedPort
from minidocker.engine.allocation import Allocation, Member
from minidocker.engine.endpoint import assign_ways_out, compose_dns_names, describe_member, forwards_of, host_port_of
from minidocker.engine.name_tables import NameTables
from minidocker.errors import Forbidden, HostError, InvalidParameter, NotFound
from minidocker.ids import short_id
from minidocker.network.apply import find_bridge, list_taken_networks
from minidocker.network.bridge import Bridge, adopt_bridge, compute_bridge_name
from minidocker.network.fabric import Fabric
from minidocker.network.ipam import choose_address, choose_subnet, compute_ipv6_pool, compute_mac_address, parse_subnet, require_address
from minidocker.network.listeners import BoundPort, bind_port, find_holder, has_ipv6
from minidocker.network.ports import EPHEMERAL_PORTS, PortUnavailable, TakenPorts, plan_ports
from minidocker.network.record import (
    BUILT_IN_NETWORKS, NetworkRecord, NetworkRequest, compute_network_id, describe_network, plan_bridge, plan_network,
)  # fmt: skip
from minidocker.network.settings import NetworkSettings
from minidocker.network.store import NetworkStore
from minidocker.network.wishes import Wishes, check_wish, complete_wishes
from minidocker.spec.container import EndpointAddresses, EndpointConfig

__all__ = ["Networks"]

_HOST_BINDING = "com.docker.network.bridge.host_binding_ipv4"
_LINK_PREFIX = "com.docker.network.container_iface_prefix"


class Networks:
    """The networks of the server with one data root."""

    def __init__(self, data_root: Path, names: Path | None = None, settings: NetworkSettings | None = None) -> None:
        """Read the records and touch nothing else; *names* is where the tables of names go."""
        self._data_root, self.settings = str(data_root), settings or NetworkSettings()
        bridge_name = compute_bridge_name(self._data_root)
        self._fabric = Fabric(bridge_name, alias=f"minidocker {self._data_root}")
        self._store = NetworkStore(data_root / "networks")
        self._names = NameTables(names or data_root / "names")
        self._created = time.strftime("%Y-%m-%dT%H:%M:%S.000000000Z", time.gmtime())
        self._lock = threading.RLock()
        self._default: Bridge | None = None
        self._members: dict[str, Member] = {}
        self._fading: dict[str, Member] = {}
        """Endpoints of containers that have ended, by host link: the kernel removes a link when the last process of its
        namespace is gone, which is later than the container's end or, with `container:X`, much later."""
        self._taken_ports = TakenPorts()
        self._next_port = EPHEMERAL_PORTS[0]
        self._has_ipv6: bool | None = None

    @property
    def warnings(self) -> tuple[str, ...]:
        """What does not work on this host, one sentence each; filled when a bridge is made."""
        return tuple(self._fabric.warnings)

    # -- networks ----------------------------------------------------------------------------------------------------

    def create(self, request: NetworkRequest, *, created: str) -> NetworkRecord:
        """Make a network; its bridge waits for the first container.

        Raises:
            InvalidParameter, NotFound, Forbidden, Conflict, HostError: it cannot be.
        """
        with self._lock:
            others, taken = self._subnets(), self._taken()
            record = plan_network(
                request, network_id=os.urandom(32).hex(), created=created, networks=others, taken=taken, pools=self.settings.pools,
                pool6=compute_ipv6_pool(self._data_root),
            )  # fmt: skip
            bridge = plan_bridge(record, mtu=self.settings.mtu)
            with suppress(OSError):  # no rights to look: making the bridge will say so
                if self._fabric.has_link(bridge.name):
                    raise Forbidden(f"cannot create network {record.name} ({bridge.name}): a link of that name exists already")
            self._store.add(record)
        return record

    def remove(self, reference: str) -> NetworkRecord:
        """Remove a network that nobody is in.

        Raises:
            NotFound: there is none.
            Forbidden: it always exists, or containers are in it.
        """
        with self._lock:
            network = self.require(reference)
            if network.is_built_in:
                raise Forbidden(f"{network.name} is a pre-defined network and cannot be removed")
            members = [m for m in self._members.values() if m.endpoint.network_id == network.id]
            if members:
                who = " ".join(f'name:"{m.container_name}" id:"{short_id(m.endpoint.endpoint_id)}"' for m in members)
                raise Forbidden(f"error while removing network: network {network.name} has active endpoints ({who})")
            self._store.remove(network)
            self._names.forget(network.id)
            with suppress(OSError):  # no rights: the bridge was never made
                self._fabric.close_bridge(plan_bridge(network).name)
        return network

    def all(self) -> list[NetworkRecord]:
        """Return every network with the containers that run in it."""
        with self._lock:
            return [self._describe(network_id) for network_id in self.ids().values()]

    def require(self, reference: str) -> NetworkRecord:
        """Return the network with this name, id or unique start of an id.

        Raises:
            NotFound: there is none.
            InvalidParameter: the start fits several.
        """
        with self._lock:
            return self._describe(self._find(reference)[1])

    def _find(self, reference: str) -> tuple[str, str]:
        """Return name and id of the network that *reference* names."""
        pairs = self.ids().items()
        exact = [p for p in pairs if reference == p[1]] or [p for p in pairs if reference == p[0]]
        found = exact or [p for p in pairs if reference and p[1].startswith(reference)]
        if len(found) > 1:
            raise InvalidParameter(f"network {reference} is ambiguous ({len(found)} matches found based on ID prefix)")
        if not found:
            raise NotFound(f"network {reference} not found")
        return found[0]

    def _describe(self, network_id: str) -> NetworkRecord:
        members = {m.container_id: describe_member(m.container_name, m.endpoint) for m in self._members.values() if m.endpoint.network_id == network_id}
        stored = self._store.find(network_id)
        if stored is not None:
            return replace(stored, containers=members)
        name = next(n for n in BUILT_IN_NETWORKS if compute_network_id(n, self._data_root) == network_id)
        default: Bridge | None = None
        with suppress(OSError, HostError):  # showing must work where nothing can be made
            default = self._plan_default() if name == "bridge" else None
        return describe_network(
            name, data_root=self._data_root, created=self._created, bridge=default, members=members, host_binding=self.settings.host_ip
        )

    def ids(self) -> dict[str, str]:
        """Return the id of each network by its name."""
        with self._lock:
            built_in = {name: compute_network_id(name, self._data_root) for name in BUILT_IN_NETWORKS}
            return built_in | {record.name: record.id for record in self._store.all()}

    def resolve(self, reference: str) -> str:
        """Return the name of a network; one that does not exist keeps the name that somebody gave it."""
        try:
            return self._find(reference)[0]
        except NotFound:
            return reference

    def _subnets(self) -> list[str]:
        """Return the subnets of all networks, the default bridge's as it is or would be."""
        default: list[str] = []
        with suppress(OSError, HostError):  # no rights, or no pool is left for it
            bridge = self._plan_default()
            default = [bridge.subnet, bridge.subnet6]
        return [s for s in default if s] + self._stored_subnets()

    def _stored_subnets(self) -> list[str]:
        return [c.subnet for record in self._store.all() for c in record.ipam.config]

    def _taken(self) -> tuple[str, ...]:
        """Return addresses and routes of the host that are not ours."""
        own = {self._fabric.name, *(plan_bridge(record).name for record in self._store.all())}
        try:
            return list_taken_networks(self._fabric.route, own=own)
        except OSError:
            return ()

    def _plan_default(self) -> Bridge:
        """Return the default bridge as it is, or as it would be made."""
        if self._default is not None:
            return self._default
        settings, name = self.settings, self._fabric.name
        found = find_bridge(self._fabric.route, name)
        if found is None or settings.bridge_address:
            subnet = settings.bridge_address or choose_subnet((*self._taken(), *self._stored_subnets()), pools=settings.pools)
            found = adopt_bridge(name, subnet)
        subnet6 = str(parse_subnet(settings.bridge_subnet6)) if settings.bridge_subnet6 else ""
        gateway6 = str(parse_subnet(subnet6).network_address + 1) if subnet6 else ""
        return replace(found, mtu=settings.mtu, icc=settings.icc, subnet6=subnet6, gateway6=gateway6)

    def _bridge_of(self, network: NetworkRecord) -> Bridge:
        """Return the bridge of a network; it need not exist yet."""
        if network.name == "bridge":
            self._default = self._plan_default()
            return self._default
        return plan_bridge(network, mtu=self.settings.mtu)

    def table(self) -> Table:
        """Return what the packet filter is told, whether or not there is one."""
        with self._lock:
            return self._fabric.table()

    # -- endpoints ---------------------------------------------------------------------------------------------------

    def wishes_of(self, record: ContainerRecord) -> Wishes:
        """Return the networks that a container wants to be in, by name, that of its mode first.

        What it was made with was completed then, and connecting changed it since; without any, it is its mode that counts.
        """
        mode = "none" if record.config.network_disabled else record.host_config.network_mode
        known = {name: wish or EndpointConfig() for name, wish in record.networking.endpoints_config.items()}
        first = self.resolve(mode)
        if not known:
            return complete_wishes(mode, record.networking, mac_address=record.config.mac_address, resolve=self.resolve)
        return dict(sorted(known.items(), key=lambda item: item[0] != first))

    def allocate(self, record: ContainerRecord) -> Allocation:
        """Give a container that starts its place in each of its networks; none when it shares another container's.

        Raises:
            NotFound: no such network.
            HostError: no address, no port or no bridge can be had; nothing was kept.
        """
        with self._lock, ExitStack() as undo:
            self._reclaim(record.id)
            endpoints: list[NetworkEndpoint] = []
            wishes = self.wishes_of(record)
            for name, wish in wishes.items():
                endpoint = self._place(record, name, wish, links=[e.link for e in endpoints])
                undo.callback(self._members.pop, endpoint.endpoint_id, None)
                endpoints.append(endpoint)
            placed = assign_ways_out(endpoints, {name: wish.gw_priority for name, wish in wishes.items()})
            placed, listeners = self._publish(record, placed)
            for endpoint in placed:
                self._remember(record, endpoint)
            self._names.write(self._tables({e.network_id for e in placed if e.dns_names}))
            undo.pop_all()
        return Allocation(endpoints=placed, listeners=listeners)

    def attach(self, record: ContainerRecord, name: str, wish: EndpointConfig) -> NetworkEndpoint:
        """Give a container that runs a place in one more network; its way out stays where it is.

        Raises:
            NotFound, HostError: as `allocate`.
        """
        with self._lock:
            endpoint = self._place(record, name, wish, links=[e.link for e in record.endpoints])
            self._names.write(self._tables({endpoint.network_id} if endpoint.dns_names else ()))
        return endpoint

    def _place(self, record: ContainerRecord, name: str, wish: EndpointConfig, *, links: Collection[str]) -> NetworkEndpoint:
        """Choose addresses in one network and make its bridge."""
        network, endpoint_id = self.require(name), os.urandom(32).hex()
        check_wish(network.name, wish, network)
        endpoint = NetworkEndpoint(network=network.name, network_id=network.id, endpoint_id=endpoint_id)
        if network.driver != "bridge":
            self._remember(record, endpoint)
            return endpoint
        bridge, asked = self._bridge_of(network), wish.ipam_config or EndpointAddresses()
        self._fabric.open_bridges((bridge,))
        address = self._choose(network, bridge.subnet, asked.ipv4_address, version=4)
        address6 = self._choose(network, bridge.subnet6, asked.ipv6_address, version=6)
        prefix = network.options.get(_LINK_PREFIX) or "eth"
        endpoint = replace(
            endpoint, link=next(link for n in range(len(links) + 1) if (link := f"{prefix}{n}") not in links),
            gateway="" if bridge.internal else bridge.gateway, address=address, prefix_length=_prefix_length(bridge.subnet),
            gateway6="" if bridge.internal else bridge.gateway6, address6=address6, prefix_length6=_prefix_length(bridge.subnet6),
            mac_address=wish.mac_address.lower().replace("-", ":") or compute_mac_address(address or address6),
            host_link=f"veth{endpoint_id[:7]}", bridge=bridge.name, mtu=bridge.mtu, isolated=not bridge.icc,
            dns_names=() if network.is_built_in else compose_dns_names(record, wish),
        )  # fmt: skip
        self._remember(record, endpoint)
        return endpoint

    def _remember(self, record: ContainerRecord, endpoint: NetworkEndpoint) -> None:
        self._members[endpoint.endpoint_id] = Member(container_id=record.id, container_name=record.name, endpoint=endpoint)
        for port in endpoint.ports:
            self._taken_ports.add(host_port_of(port), record.name)

    def _choose(self, network: NetworkRecord, subnet: str, wanted: str, *, version: int) -> str:
        """Return a free address of *subnet*; none where the network has no such version of IP."""
        config = network.config(version)
        if not subnet or config is None:
            return ""
        holders = [m.endpoint for m in self._members.values() if m.endpoint.network_id == network.id]
        holders += [m.endpoint for m in self._fading_members() if m.endpoint.network_id == network.id]
        in_use = {config.gateway, *config.auxiliary_addresses.values(), *(e.address if version == 4 else e.address6 for e in holders)}
        if wanted:
            return require_address(subnet, wanted, in_use)
        return choose_address(subnet, in_use, ip_range=config.ip_range, name=f"{network.name} ({network.id})")

    def _fading_members(self) -> Iterable[Member]:
        """Return those whose namespace still has its card, although the container has ended."""
        self._fading = {name: member for name, member in self._fading.items() if self._fabric.has_link(name)}
        return self._fading.values()

    def _reclaim(self, container_id: str) -> None:
        """Cut the cables that a container left when it ended, so that it gets its addresses again when it restarts."""
        for name, member in tuple(self._fading.items()):
            if member.container_id == container_id:
                self._fabric.remove_link(name)
                del self._fading[name]

    def release(self, endpoints: Iterable[NetworkEndpoint]) -> None:
        """Take back what was given; the kernel removes the veth pairs with the container's namespace.

        Deleting a pair here would do the same, but hold up everybody who touches a link for 20 to 60 ms.
        """
        with self._lock:
            tables: set[str] = set()
            for endpoint in endpoints:
                member = self._members.pop(endpoint.endpoint_id, None)
                if member is not None and endpoint.host_link:
                    self._fading[endpoint.host_link] = member
                    tables |= {endpoint.network_id} if endpoint.dns_names else set()
                self._fabric.withdraw(forwards_of(endpoint))
                for port in endpoint.ports:
                    self._taken_ports.remove(host_port_of(port))
            self._names.write(self._tables(tables))

    def rename(self, record: ContainerRecord, old_name: str) -> tuple[NetworkEndpoint, ...]:
        """Call a container by its new name from now on; return its endpoints as they are then."""
        with self._lock:
            endpoints = tuple(
                replace(e, dns_names=tuple(record.name if n == old_name else n for n in e.dns_names)) for e in record.endpoints
            )
            for endpoint in endpoints:
                self._remember(record, endpoint)
            self._names.write(self._tables({e.network_id for e in endpoints if e.dns_names}))
        return endpoints

    def restore(self, records: Iterable[ContainerRecord]) -> None:
        """Take over the endpoints of containers that still run, at server start; without any, remove leftovers.

        Raises:
            HostError: the bridge of running containers cannot be set up again.
        """
        with self._lock:
            for record in records:
                for endpoint in record.endpoints if record.state.running else ():
                    self._remember(record, endpoint)
            endpoints = [m.endpoint for m in self._members.values()]
            used = {e.network_id for e in endpoints if e.bridge}
            if used:
                bridges = [self._bridge_of(n) for n in self.all() if n.id in used]
                self._fabric.open_bridges(bridges, forwards=[f for e in endpoints for f in forwards_of(e)])
            self._names.write(self._tables({e.network_id for e in endpoints if e.dns_names}))
            with suppress(OSError):  # no rights: nothing was made either
                self._fabric.sweep(links={e.host_link for e in endpoints})

    def close(self) -> None:
        """Leave the networks of running containers as they are; if there are none, leave nothing behind."""
        with self._lock:
            if not any(m.endpoint.bridge for m in self._members.values()):
                for name in tuple(self._fabric.bridges):
                    self._fabric.close_bridge(name)
            self._fabric.close()
            self._default = None

    def gateway(self) -> str:
        """Return what `host-gateway` stands for: an address of the host that containers reach."""
        with self._lock:
            return self.settings.host_gateway or self._plan_default().gateway

    def table_path(self, network_id: str) -> str:
        """Return the file with the names of a network."""
        return str(self._names.path(network_id))

    def _tables(self, network_ids: Collection[str]) -> Iterator[tuple[str, str, list[NetworkEndpoint]]]:
        """Yield id, name and endpoints of networks whose names changed."""
        for network_id in network_ids:
            members = [m.endpoint for m in self._members.values() if m.endpoint.network_id == network_id]
            yield network_id, members[0].network if members else "", members

    # -- ports -------------------------------------------------------------------------------------------------------

    def _publish(
        self, record: ContainerRecord, endpoints: tuple[NetworkEndpoint, ...]
    ) -> tuple[tuple[NetworkEndpoint, ...], tuple[socket.socket, ...]]:
        """Bind the container's ports and send them on to its way out, or do neither.

        Raises:
            PortUnavailable: one is taken.
            FilterUnavailable: the kernel refuses the rules.
        """
        out = next((e for e in endpoints if e.is_way_out), None) or next((e for e in endpoints if e.is_way_out6), None)
        if out is None:
            return endpoints, ()
        bound = self._bind_ports(record, out)
        with ExitStack() as undo:
            listeners = tuple(undo.enter_context(closing(b.listener)) for b in bound if b.listener is not None)
            for b in bound:
                undo.callback(self._taken_ports.remove, b.host)
            published = replace(out, ports=tuple(_published(b) for b in bound))
            self._fabric.publish(forwards_of(published))
            undo.pop_all()
        return tuple(published if e is out else e for e in endpoints), listeners

    def publish(
        self, record: ContainerRecord, endpoints: tuple[NetworkEndpoint, ...]
    ) -> tuple[tuple[NetworkEndpoint, ...], tuple[socket.socket, ...]]:
        """Publish the ports of a container that runs and was on no network that leads out until now.

        Raises:
            PortUnavailable, FilterUnavailable: it cannot be; nothing was changed.
        """
        with self._lock:
            endpoints, listeners = self._publish(record, endpoints)
            for endpoint in endpoints:
                self._remember(record, endpoint)
        return endpoints, listeners

    def move_ports(self, record: ContainerRecord, old: NetworkEndpoint | None, endpoints: tuple[NetworkEndpoint, ...]) -> None:
        """Send published ports to where *endpoints* now have them, instead of to *old*."""
        with self._lock:
            if old is not None:
                self._fabric.withdraw(forwards_of(old))
            for endpoint in endpoints:
                self._fabric.publish(forwards_of(endpoint))
                self._remember(record, endpoint)

    def _bind_ports(self, record: ContainerRecord, endpoint: NetworkEndpoint) -> tuple[BoundPort, ...]:
        """Bind every host port that the container publishes, or none.

        Raises:
            PortUnavailable: one is taken.
        """
        config = record.host_config
        requests = plan_ports(record.config.exposed_ports, config.port_bindings, publish_all=config.publish_all_ports)
        if not requests:
            return ()
        if self._has_ipv6 is None:
            self._has_ipv6 = has_ipv6()
        default_ip = self.require(endpoint.network).options.get(_HOST_BINDING) or self.settings.host_ip
        bound: list[BoundPort] = []
        with ExitStack() as undo:
            for request in requests:
                try:
                    new = bind_port(
                        request, self._taken_ports, start=self._next_port, ipv6=bool(self._has_ipv6), default_ip=default_ip,
                        target_ip=endpoint.address or endpoint.address6,
                    )  # fmt: skip
                except PortUnavailable as error:
                    where = f"on endpoint {record.name} ({endpoint.endpoint_id})"
                    raise PortUnavailable(
                        f"driver failed programming external connectivity {where}: {error.message}", hint=find_holder(error, self._taken_ports)
                    ) from error
                for port in new:
                    if port.listener is not None:
                        undo.enter_context(closing(port.listener))
                    self._taken_ports.add(port.host, record.name)
                    undo.callback(self._taken_ports.remove, port.host)
                    bound.append(port)
                if not request.first_port:
                    self._next_port = new[0].host.port + 1
            undo.pop_all()
        return tuple(bound)


def _prefix_length(subnet: str) -> int:
    return int(subnet.partition("/")[2] or 0)


def _published(bound: BoundPort) -> PublishedPort:
    """Return *bound* as records keep it."""
    host = bound.host
    return PublishedPort(
        container_port=bound.container_port, protocol=host.protocol, host_ip=host.address, host_port=host.port
    )
