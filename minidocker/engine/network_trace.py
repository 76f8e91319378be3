"""`network trace`: the way of one packet through the host's bridges and rules, worked out on the simulator.

The machine is described to the model: its links, addresses and routes as netlink lists them, the rules that the packet filter is told,
and each running container by the very steps that connected it (`engine.packet_model`). Nothing is sent. Rules of other programs on the
host are not looked at; they may still drop what passes here. Chapter 18.
"""

from __future__ import annotations

from dataclasses import replace

from minidocker.engine.engine import Engine
from minidocker.engine.packet_model import Model, add_container, render_trace
from minidocker.kernel.netlink import list_addresses, list_links, list_routes, open_route_socket
from minidocker.simulator.machine import EXAMPLE_FACTS, boot

__all__ = ["trace_packet"]


def trace_packet(engine: Engine, source: str, destination: str, protocol: str) -> str:
    """Return the way of a packet from *source* to *destination* as text, and that of the answer.

    Args:
        engine: knows networks and containers.
        source: a container, `host`, or an address outside.
        destination: `CONTAINER:PORT`, `ADDRESS:PORT`, or `:PORT` of the host.
        protocol: `tcp` or `udp`.

    Raises:
        InvalidParameter: there is no such source, or the destination is not of this form.
    """
    model = _describe_host(engine)
    for handle in engine.containers.all():
        if handle.record.state.running and handle.record.endpoints:
            model = add_container(model, handle.record)
    return render_trace(model, source, destination, protocol)


def _describe_host(engine: Engine) -> Model:
    """Return the host without containers: the plugs of their cables are made again, step by step."""
    plugs = {e.host_link for handle in engine.containers.all() for e in handle.record.endpoints}
    with open_route_socket() as route:
        links = tuple(link for link in list_links(route) if link.name not in plugs)
        addresses, routes = list_addresses(route), list_routes(route)
    linux, pid = boot(replace(EXAMPLE_FACTS, links=links, addresses=addresses, routes=routes))
    number, net = linux.net_of(pid)
    return Model(linux=linux.with_namespace(number, replace(net, tables=(engine.networks.table(),))), monitor=pid)
