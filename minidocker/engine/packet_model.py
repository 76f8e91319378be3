"""A host and its containers as a model for packets, and the way of a packet through it as text.

Pure. Each container is connected by the very steps that connect it in truth. `engine.network_trace` describes the real host. Chapter 18.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Final

from minidocker.container.record import ContainerRecord
from minidocker.engine.endpoint import plan_endpoints
from minidocker.errors import InvalidParameter
from minidocker.kernel.flags import Clone
from minidocker.kernel.steps import Actor, ForkInit, SetLoopbackUp, Step, Unshare
from minidocker.simulator.linux import Linux
from minidocker.simulator.network import find_route
from minidocker.simulator.packets import Packet, Walk, answer_of, walk_packet
from minidocker.simulator.perform import simulate

__all__ = ["HOST", "Model", "add_container", "render_trace", "walk_there_and_back"]

HOST: Final = "host"
"""The word for the host's own programs as source or destination."""
_BIRTH: Final[tuple[Step, ...]] = (ForkInit(), Unshare(namespaces=Clone.NEWNET, actor=Actor.INIT), SetLoopbackUp())
EPHEMERAL_PORT: Final = 40000


@dataclass(frozen=True, slots=True, kw_only=True)
class Model:
    """A host and its containers, as far as packets care."""

    linux: Linux
    monitor: int
    """The process that stands for the host."""
    containers: Mapping[str, ContainerRecord] = field(default_factory=dict)
    pids: Mapping[str, int] = field(default_factory=dict)
    """The first process of each container, by name."""

    def namespace_of(self, name: str) -> int:
        """Return the network namespace of a container, or of the host."""
        return self.linux.net_of(self.pids.get(name, self.monitor))[0]

    def name_of(self, namespace: int) -> str:
        """Return whose a namespace is."""
        return next((name for name in self.pids if self.namespace_of(name) == namespace), HOST)


def add_container(model: Model, record: ContainerRecord) -> Model:
    """Return *model* with a container that is connected as its plan says."""
    steps = (*_BIRTH, *plan_endpoints(record.endpoints))
    done = simulate(model.linux, model.monitor, steps, lambda _step, _passwd, _group: (0, 0, ()))
    return replace(
        model, linux=done.linux, containers={**model.containers, record.name: record}, pids={**model.pids, record.name: done.init}
    )


def render_trace(model: Model, source: str, destination: str, protocol: str) -> str:
    """Return the ways of a packet and of its answer.

    Raises:
        InvalidParameter: there is no such source, or the destination is not of this form.
    """
    packet, there, back = walk_there_and_back(model, source, destination, protocol)
    lines = [str(packet), *_lines(model, there)]
    if back:
        lines += ["", f"the answer: {answer_of(there)}", *_lines(model, back)]
    return "".join(f"{line}\n" for line in lines)


def walk_there_and_back(model: Model, source: str, destination: str, protocol: str) -> tuple[Packet, Walk, Walk | None]:
    """Return a packet, its way, and that of the answer if it arrived.

    Raises:
        InvalidParameter: there is no such source, or the destination is not of this form.
    """
    if protocol not in ("tcp", "udp", "sctp"):
        raise InvalidParameter(f"trace a `{protocol[:20]}` packet: there are tcp, udp and sctp")
    namespace, packet = _compose_packet(model, source, destination, protocol)
    there = walk_packet(model.linux, namespace, packet)
    if there.fate != "delivered":
        return packet, there, None
    return packet, there, walk_packet(model.linux, there.namespace, answer_of(there), connections=there.connections)


def _lines(model: Model, walk: Walk) -> Iterator[str]:
    for event in walk.events:
        where = f"{event.chain.partition(' ')[2]}: " if event.chain else ""
        yield f"  {model.name_of(event.namespace):16} {event.hook:12} {where}{event.what}"
    end = {"sent": "sent to the outside", "unreachable": "goes nowhere: nobody has the address"}
    yield f"  => {end.get(walk.fate, walk.fate)}{f' in {model.name_of(walk.namespace)}' if walk.fate in ('delivered', 'dropped') else ''}"
    if walk.fate == "delivered" and model.name_of(walk.namespace) == HOST:
        for name, record in model.containers.items():
            ports = [p for e in record.endpoints for p in e.ports if (p.host_port, p.protocol) == (walk.packet.destination_port, walk.packet.protocol)]
            yield from (f"     the proxy of `{name}` listens there and passes it to port {p.container_port}" for p in ports[:1])


def _compose_packet(model: Model, source: str, destination: str, protocol: str) -> tuple[int, Packet]:
    """Return where a packet begins, and its head."""
    host, _, port = destination.rpartition(":")
    if not (port.isascii() and port.isdigit() and 0 < int(port) < 65536):
        raise InvalidParameter(f"invalid destination `{destination[:80]}`: it is CONTAINER:PORT, ADDRESS:PORT, or :PORT of the host")
    address = source.strip("[]")
    outside = _is_address(address)
    owner = next((n for n, r in model.containers.items() if source in (n, r.id) or (len(source) >= 4 and r.id.startswith(source))), "")
    owner = owner or next((n for n, r in model.containers.items() if any(address in (e.address, e.address6) for e in r.endpoints)), "")
    if not (owner or outside or source == HOST):
        raise InvalidParameter(f"invalid source `{source[:80]}`: no running container is called so; `{HOST}` and addresses are possible, too")
    namespace = model.namespace_of(owner)
    net = model.linux.net_of(model.pids.get(owner, model.monitor))[1]
    in_link = ""
    if outside and not owner:
        route = find_route(net, address)
        in_link = next((link.name for link in net.links if route is not None and link.index == route.link_index), "")
        if not in_link:
            raise InvalidParameter(f"invalid source `{address}`: no link of this host leads there")
    target = _find_target(model, owner, host.strip("[]"), in_link)
    if not outside or owner:
        address = _source_address(model, owner, target)
    return namespace, Packet(
        protocol=protocol, source=address, source_port=EPHEMERAL_PORT, destination=target, destination_port=int(port), in_link=in_link
    )


def _is_address(text: str) -> bool:
    try:
        ipaddress.ip_address(text)
    except ValueError:
        return False
    return True


def _find_target(model: Model, owner: str, host: str, in_link: str) -> str:
    """Return the address that *host* means for the source."""
    if _is_address(host):
        return host
    if host in ("", HOST):
        net = model.linux.net_of(model.monitor)[1]
        if owner:
            return next((e.gateway for e in model.containers[owner].endpoints if e.is_way_out), "127.0.0.1")
        index = next((link.index for link in net.links if link.name == in_link), 1)
        return next((a.address.partition("/")[0] for a in net.addresses if a.link_index == index and ":" not in a.address), "127.0.0.1")
    record = next((r for n, r in model.containers.items() if host in (n, r.id) or (len(host) >= 4 and r.id.startswith(host))), None)
    if record is None:
        raise InvalidParameter(f"invalid destination `{host[:80]}`: neither an address nor a running container with a network")
    shared = {e.network_id for e in model.containers[owner].endpoints} if owner else set()
    best = next((e for e in record.endpoints if e.network_id in shared), record.endpoints[0])
    return best.address or best.address6


def _source_address(model: Model, owner: str, target: str) -> str:
    """Return the address that a program would send from: one of the link that the route leads over, in the target's family."""
    net = model.linux.net_of(model.pids.get(owner, model.monitor))[1]
    route = find_route(net, target)
    index = route.link_index if route is not None else 0
    fitting = [a for a in net.addresses if (":" in a.address) == (":" in target)]
    best = sorted(fitting, key=lambda a: (a.link_index != index, a.address.startswith(("127.", "::1"))))
    return best[0].address.partition("/")[0] if best else target
