"""Handlers of `/networks`: the three that always exist. See the Docker Engine API 1.50, "Networks". Chapter 12."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Final

from minidocker.api.request import Request, query_filters
from minidocker.api.response import Response, json_response
from minidocker.api.router import Route
from minidocker.engine.networks import list_networks, require_network
from minidocker.errors import Forbidden, InvalidParameter
from minidocker.network.record import NetworkRecord
from minidocker.spec.record import Json, render_record

if TYPE_CHECKING:
    from minidocker.engine.engine import Engine

__all__ = ["ROUTES"]

_FILTERS: Final[Mapping[str, Callable[[NetworkRecord, str], bool]]] = {
    "id": lambda network, value: network.id.startswith(value),
    "name": lambda network, value: value in network.name,
    "driver": lambda network, value: network.driver == value,
    "scope": lambda network, value: network.scope == value,
    "type": lambda network, value: value == "builtin",
    "label": lambda network, value: value.partition("=")[0] in network.labels,
    "dangling": lambda network, value: value.lower() not in ("true", "1"),
}
"""Docker's filters; several values of one filter are alternatives."""


def list_all(engine: Engine, request: Request) -> Response:
    """List networks."""
    filters = query_filters(request)
    for key in filters:
        if key not in _FILTERS:
            raise InvalidParameter(f"invalid filter '{key}'")
    return json_response([_render(network) for network in list_networks(engine) if _passes(network, filters)])


def _passes(network: NetworkRecord, filters: Mapping[str, tuple[str, ...]]) -> bool:
    return all(any(_FILTERS[key](network, value) for value in values) for key, values in filters.items() if values)


def _render(network: NetworkRecord) -> Json:
    """Return *network* without its containers: the list leaves them out."""
    document = render_record(network)
    return document | {"Containers": {}} if isinstance(document, dict) else document


def inspect(engine: Engine, request: Request) -> Response:
    """Show a network with its containers."""
    return json_response(render_record(require_network(engine, request.parameters["id"])))


def remove(engine: Engine, request: Request) -> Response:
    """Refuse to remove a network that always exists."""
    network = require_network(engine, request.parameters["id"])
    raise Forbidden(f"{network.name} is a pre-defined network and cannot be removed")


def prune(engine: Engine, request: Request) -> Response:
    """Remove unused networks: there are none but those that always exist."""
    query_filters(request)
    return json_response({"NetworksDeleted": None})


ROUTES: Final = (
    Route(method="GET", pattern="/networks", handler=list_all),
    Route(method="GET", pattern="/networks/{id}", handler=inspect),
    Route(method="DELETE", pattern="/networks/{id}", handler=remove),
    Route(method="POST", pattern="/networks/prune", handler=prune, since=(1, 25)),
)
