"""Handlers of `/networks`. See the Docker Engine API 1.50, "Networks". Chapter 12."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Final

from minidocker.api.request import Request, query_filters, read_json
from minidocker.api.response import NO_CONTENT, Response, json_response
from minidocker.api.router import Route
from minidocker.engine.network_commands import (
    connect_container, create_network, disconnect_container, list_networks, prune_networks, remove_network, require_network,
)  # fmt: skip
from minidocker.network.record import NetworkRequest
from minidocker.spec.container import EndpointConfig
from minidocker.spec.record import read_record, render_record

if TYPE_CHECKING:
    from minidocker.engine.engine import Engine

__all__ = ["ROUTES"]


@dataclass(frozen=True, slots=True, kw_only=True)
class ConnectRequest:
    """The body of `POST /networks/{id}/connect` and `disconnect`."""

    container: str = ""
    endpoint_config: EndpointConfig | None = None
    force: bool = False


def list_all(engine: Engine, request: Request) -> Response:
    """List networks, without their containers."""
    found = list_networks(engine, query_filters(request))
    return json_response([render_record(replace(network, containers={})) for network in found])


def inspect(engine: Engine, request: Request) -> Response:
    """Show a network with its containers."""
    return json_response(render_record(require_network(engine, request.parameters["id"])))


def create(engine: Engine, request: Request) -> Response:
    """Make a network."""
    record, warning = create_network(engine, read_record(NetworkRequest, read_json(request)))
    return json_response({"Id": record.id, "Warning": warning}, status=201)


def remove(engine: Engine, request: Request) -> Response:
    """Remove a network."""
    remove_network(engine, request.parameters["id"])
    return NO_CONTENT


def connect(engine: Engine, request: Request) -> Response:
    """Connect a container to a network."""
    wanted = read_record(ConnectRequest, read_json(request))
    connect_container(engine, request.parameters["id"], wanted.container, wanted.endpoint_config or EndpointConfig())
    return Response()


def disconnect(engine: Engine, request: Request) -> Response:
    """Disconnect a container from a network."""
    wanted = read_record(ConnectRequest, read_json(request))
    disconnect_container(engine, request.parameters["id"], wanted.container, force=wanted.force)
    return Response()


def prune(engine: Engine, request: Request) -> Response:
    """Remove unused networks."""
    return json_response({"NetworksDeleted": [*prune_networks(engine, query_filters(request))] or None})


ROUTES: Final = (
    Route(method="GET", pattern="/networks", handler=list_all),
    Route(method="POST", pattern="/networks/create", handler=create),
    Route(method="POST", pattern="/networks/prune", handler=prune, since=(1, 25)),
    Route(method="GET", pattern="/networks/{id}", handler=inspect),
    Route(method="DELETE", pattern="/networks/{id}", handler=remove),
    Route(method="POST", pattern="/networks/{id}/connect", handler=connect),
    Route(method="POST", pattern="/networks/{id}/disconnect", handler=disconnect),
)
