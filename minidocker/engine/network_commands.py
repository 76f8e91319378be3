"""`docker network`: create, rm, ls, inspect, prune, connect, disconnect.

A container that does not run has only wishes, which connecting and disconnecting change; a running one's monitor performs
the steps, and its name service, its files and its published ports follow. Chapter 18.
"""

from __future__ import annotations

import socket
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import replace
from typing import Final

from minidocker.container.protocol import Failed, Rewire
from minidocker.container.record import ContainerRecord, NetworkEndpoint, Status
from minidocker.engine.endpoint import assign_ways_out, plan_endpoint, plan_endpoints, plan_ways_out
from minidocker.engine.engine import Engine, now, publish_network_event
from minidocker.engine.images import parse_created, parse_moment
from minidocker.engine.name_files import compose_name_service, update_name_files
from minidocker.engine.remove import has_label
from minidocker.engine.start import proxy_targets
from minidocker.engine.store import Handle
from minidocker.errors import Conflict, Forbidden, HostError, InvalidParameter, MinidockerError, NotFound
from minidocker.kernel.steps import RemoveLink, ServeNames, Step
from minidocker.network.record import NetworkRecord, NetworkRequest
from minidocker.network.wishes import check_wish
from minidocker.spec.container import EndpointConfig, NetworkingConfig

__all__ = [
    "connect_container", "create_network", "disconnect_container", "list_networks", "prune_networks", "remove_network",
    "require_network",
]  # fmt: skip

_SHARED: Final = "container sharing network namespace with another container or host cannot be connected to any other network"
_HOST: Final = "container cannot be disconnected from host network or connected to host network"
_NONE: Final = "container cannot be connected to multiple networks with one of the networks in private (none) mode"


def create_network(engine: Engine, request: NetworkRequest) -> tuple[NetworkRecord, str]:
    """Make a network; return it and a warning, or nothing.

    Raises:
        InvalidParameter, NotFound, Forbidden, Conflict, HostError: it cannot be.
    """
    record = engine.networks.create(request, created=now())
    publish_network_event(engine, "create", record)
    return record, ""


def remove_network(engine: Engine, reference: str) -> None:
    """Remove a network that nobody is in.

    Raises:
        NotFound: there is none.
        Forbidden: it always exists, or containers are in it.
    """
    publish_network_event(engine, "destroy", engine.networks.remove(reference))


def require_network(engine: Engine, reference: str) -> NetworkRecord:
    """Return one network.

    Raises:
        NotFound: there is none with this name or id.
    """
    return engine.networks.require(reference)


_FILTERS: Final[Mapping[str, Callable[[NetworkRecord, str], bool]]] = {
    "id": lambda network, value: network.id.startswith(value),
    "name": lambda network, value: value in network.name,
    "driver": lambda network, value: network.driver == value,
    "scope": lambda network, value: network.scope == value,
    "type": lambda network, value: (value == "builtin") == network.is_built_in,
    "label": lambda network, value: has_label(network.labels, value),
}
"""Docker's filters; several values of one filter are alternatives, but for labels."""


def list_networks(engine: Engine, filters: Mapping[str, tuple[str, ...]]) -> list[NetworkRecord]:
    """Return the networks that pass *filters*, in the order in which they were made.

    Raises:
        InvalidParameter: a filter, or a value of one, that Docker does not know.
    """
    for key in filters:
        if key not in (*_FILTERS, "dangling"):
            raise InvalidParameter(f"invalid filter '{key}'")
    for value in filters.get("type", ()):
        if value not in ("builtin", "custom"):
            raise InvalidParameter(f"invalid filter: 'type'='{value}'")
    dangling = [_read_flag(value) for value in filters.get("dangling", ())]
    used = _networks_in_use(engine)
    return [
        network
        for network in engine.networks.all()
        if all(
            (all if key == "label" else any)(_FILTERS[key](network, value) for value in values)
            for key, values in filters.items()
            if values and key != "dangling"
        )
        and all((not network.is_built_in and network.name not in used) == wanted for wanted in dangling)
    ]  # fmt: skip


def _read_flag(value: str) -> bool:
    if value.lower() not in ("true", "1", "false", "0"):
        raise InvalidParameter(f"invalid filter 'dangling={value}'")
    return value.lower() in ("true", "1")


def _networks_in_use(engine: Engine) -> set[str]:
    """Return the names of the networks that running containers are in."""
    return {endpoint.network for handle in engine.containers.all() for endpoint in handle.record.endpoints}


def prune_networks(engine: Engine, filters: Mapping[str, tuple[str, ...]]) -> list[str]:
    """Remove the networks that nobody is in, and return their names.

    Raises:
        InvalidParameter: a filter that Docker does not know here.
    """
    unknown = set(filters) - {"until", "label", "label!"}
    if unknown:
        raise InvalidParameter(f"invalid filter '{min(unknown)}'")
    before = [parse_moment(value) for value in filters.get("until", ())]
    removed = []
    for network in engine.networks.all():
        is_wanted = all(has_label(network.labels, word) for word in filters.get("label", ())) and not any(
            has_label(network.labels, word) for word in filters.get("label!", ())
        )
        if network.is_built_in or not is_wanted or any(parse_created(network.created) >= limit for limit in before):
            continue
        with suppress(NotFound, Forbidden):  # gone, or somebody is in it
            remove_network(engine, network.id)
            removed.append(network.name)
    return removed


def connect_container(engine: Engine, reference: str, container: str, wish: EndpointConfig) -> None:
    """Put a container into one more network, now if it runs and whenever it starts.

    Raises:
        NotFound: there is no such network or container.
        Forbidden, Conflict, InvalidParameter: they do not go together.
        HostError: the kernel refuses; nothing was changed.
    """
    network, handle = engine.networks.require(reference), engine.containers.require(container)
    with handle.lock:
        record = handle.record
        _check_connection(record, network)
        check_wish(network.name, wish, network)
        if record.state.status in (Status.REMOVING, Status.DEAD):
            raise Conflict(f"container {record.id} is marked for removal and cannot be connected or disconnected to the network")
        wishes = dict(engine.networks.wishes_of(record))
        if network.name in (wishes if not record.state.running else {e.network for e in record.endpoints}):
            raise Forbidden(f"endpoint with name {record.name} already exists in network {network.name}")
        if set(wishes) == {"none"}:
            wishes = {}
            record = replace(record, host_config=replace(record.host_config, network_mode=network.name))
        wished = replace(record, networking=NetworkingConfig(endpoints_config={**wishes, network.name: wish}))
        if not record.state.running:
            handle.save(wished)
            return
        endpoint = engine.networks.attach(wished, network.name, wish)
        try:
            _wire(engine, handle, replace(wished, endpoints=(*record.endpoints, endpoint)), plan=plan_endpoint(endpoint))
        except MinidockerError:
            engine.networks.release((endpoint,))
            raise
        publish_network_event(engine, "connect", network, container=record.id)


def _check_connection(record: ContainerRecord, network: NetworkRecord) -> None:
    """Refuse what excludes each other, in Docker's words."""
    mode = record.host_config.network_mode
    if mode.startswith("container:"):
        raise Forbidden(_SHARED)
    if network.name == "host" or mode == "host":
        raise Forbidden(_HOST)
    if network.name == "none" or (mode == "none" and record.state.running):
        raise Forbidden(_NONE)


def disconnect_container(engine: Engine, reference: str, container: str, *, force: bool) -> None:
    """Take a container out of a network.

    Raises:
        NotFound: there is no such network or container.
        Forbidden: the container is not in it, or lives in the host's.
    """
    network = engine.networks.require(reference)
    try:
        handle = engine.containers.require(container)
    except NotFound:
        if force:
            return  # what is gone is disconnected
        raise
    with handle.lock:
        record = handle.record
        if network.name == "host" or record.host_config.network_mode == "host":
            raise Forbidden(_HOST)
        wishes = dict(engine.networks.wishes_of(record))
        endpoint = next((e for e in record.endpoints if e.network_id == network.id), None)
        if wishes.pop(network.name, None) is None and endpoint is None:
            raise Forbidden(f"container {record.id} is not connected to network {network.name}")
        left = replace(record, networking=NetworkingConfig(endpoints_config=wishes))
        if endpoint is None:
            handle.save(left)
            return
        rest = tuple(e for e in record.endpoints if e is not endpoint)
        _wire(engine, handle, replace(left, endpoints=rest), gone=endpoint)
        engine.networks.release((replace(endpoint, ports=()),))
        publish_network_event(engine, "disconnect", network, container=record.id)


def _wire(
    engine: Engine, handle: Handle, record: ContainerRecord, *, plan: tuple[Step, ...] = (), gone: NetworkEndpoint | None = None
) -> None:
    """Make a running container's cards, routes, ports, names and record those of *record*.

    Raises:
        HostError: the monitor could not; the record is the old one.
    """
    before = handle.record
    priorities = {name: wish.gw_priority for name, wish in engine.networks.wishes_of(record).items()}
    endpoints = assign_ways_out(record.endpoints, priorities)
    listeners: tuple[socket.socket, ...] = ()
    ports = before.ports
    if ports:
        old = next(e for e in before.endpoints if e.ports)
        out = next((e for e in endpoints if e.is_way_out), None) or next((e for e in endpoints if e.is_way_out6), None)
        endpoints = tuple(replace(e, ports=ports if e is out else ()) for e in endpoints)
        if out is None or out.endpoint_id != old.endpoint_id:
            engine.networks.move_ports(record, old, endpoints)
    else:
        endpoints, listeners = engine.networks.publish(record, endpoints)
    wired = replace(record, endpoints=endpoints)
    try:
        steps = (*_plan_change(before.endpoints, endpoints, plan, gone), *_plan_service(before, wired))
        message = Rewire(steps=steps, proxies=proxy_targets(wired), names=compose_name_service(engine.networks, wired))
        assert handle.link is not None
        answer = handle.link.rewire(message, [listener.fileno() for listener in listeners])
    finally:
        for listener in listeners:
            listener.close()
    if isinstance(answer, Failed):
        raise HostError(f"connect container `{record.name}`: {answer.text}")
    update_name_files(engine.networks, before, wired, handle.directory)
    handle.save(wired)


def _plan_change(
    before: tuple[NetworkEndpoint, ...], after: tuple[NetworkEndpoint, ...], plan: tuple[Step, ...], gone: NetworkEndpoint | None
) -> tuple[Step, ...]:
    """Return the steps from one set of endpoints to another: cards go, cards come, the way out moves."""
    removal = (RemoveLink(link=gone.host_link, why="the cable: both plugs go with it, and every route over them"),) if gone else ()
    ways = {e.endpoint_id: (e.is_way_out, e.is_way_out6) for e in before}
    moved = tuple(e for e in after if ways.get(e.endpoint_id, (False, False)) != (e.is_way_out, e.is_way_out6))
    return (*removal, *plan, *(plan_ways_out(moved)))


def _plan_service(before: ContainerRecord, after: ContainerRecord) -> tuple[Step, ...]:
    """Return the step that starts a name service in the first network that has one."""
    had = any(e.dns_names for e in before.endpoints)
    return () if had else tuple(step for step in plan_endpoints(after.endpoints) if isinstance(step, ServeNames))
