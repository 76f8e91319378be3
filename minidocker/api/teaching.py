"""Handlers that Docker does not have: plans (`run --explain`, `explain`), and the packet filter (`network rules`, `trace`). Chapter 16."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from minidocker.api.request import Request, query_text, read_json
from minidocker.api.response import Response, json_response
from minidocker.api.router import Route
from minidocker.codec.nftables import render_nft
from minidocker.engine.explain import explain_container, explain_request
from minidocker.engine.network_trace import trace_packet
from minidocker.errors import InvalidParameter
from minidocker.network.iptables import render_iptables
from minidocker.spec.container import read_create_request
from minidocker.spec.record import render_record

if TYPE_CHECKING:
    from minidocker.engine.engine import Engine

__all__ = ["ROUTES"]


def explain(engine: Engine, request: Request) -> Response:
    """Return the steps that a create request would become, without doing any."""
    steps = explain_request(engine, read_create_request(read_json(request)))
    return json_response([render_record(step) for step in steps])


def explain_existing(engine: Engine, request: Request) -> Response:
    """Return the steps of a container that exists."""
    steps = explain_container(engine, request.parameters["id"])
    return json_response([render_record(step) for step in steps])


def show_rules(engine: Engine, request: Request) -> Response:
    """Return what the packet filter is told, in the words of nft or of iptables."""
    table, words = engine.networks.table(), query_text(request, "format") or "nft"
    if words not in ("nft", "iptables"):
        raise InvalidParameter(f"invalid format `{words[:40]}`: there are `nft` and `iptables`")
    return json_response({"Text": render_nft(table) if words == "nft" else render_iptables(table)})


def trace(engine: Engine, request: Request) -> Response:
    """Return the way of one packet through the host's bridges and rules."""
    source, destination = query_text(request, "source"), query_text(request, "destination")
    return json_response({"Text": trace_packet(engine, source, destination, query_text(request, "protocol") or "tcp")})


ROUTES: Final = (
    Route(method="POST", pattern="/minidocker/explain", handler=explain),
    Route(method="GET", pattern="/minidocker/{id}/explain", handler=explain_existing),
    Route(method="GET", pattern="/minidocker/rules", handler=show_rules),
    Route(method="GET", pattern="/minidocker/trace", handler=trace),
)
