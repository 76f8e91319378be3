"""Handlers of `/volumes`. See the Docker Engine API 1.50, "Volumes". Chapter 12."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from minidocker.api.render_volume import render_volume
from minidocker.api.request import Request, query_filters, query_flag, read_json
from minidocker.api.response import NO_CONTENT, Response, json_response
from minidocker.api.router import Route
from minidocker.engine.volumes import create_volume, list_volumes, prune_volumes, remove_volume, require_volume
from minidocker.spec.record import read_record

if TYPE_CHECKING:
    from collections.abc import Mapping

    from minidocker.engine.engine import Engine

__all__ = ["ROUTES"]


@dataclass(frozen=True, slots=True, kw_only=True)
class VolumeRequest:
    """The body of `POST /volumes/create`."""

    name: str = ""
    driver: str = ""
    driver_opts: dict[str, str] = field(default_factory=dict)
    labels: dict[str, str] = field(default_factory=dict)


def list_all(engine: Engine, request: Request) -> Response:
    """List volumes."""
    volumes = list_volumes(engine, query_filters(request))
    return json_response({"Volumes": [render_volume(volume) for volume in volumes], "Warnings": None})


def create(engine: Engine, request: Request) -> Response:
    """Create a volume, or return the one with this name."""
    wanted = read_record(VolumeRequest, read_json(request, optional=True) or {})
    made = create_volume(engine, wanted.name, wanted.driver, wanted.driver_opts, wanted.labels)
    return json_response(render_volume(made), status=201)


def inspect(engine: Engine, request: Request) -> Response:
    """Show a volume."""
    return json_response(render_volume(require_volume(engine, request.parameters["name"])))


def remove(engine: Engine, request: Request) -> Response:
    """Remove a volume."""
    remove_volume(engine, request.parameters["name"], force=query_flag(request, "force"))
    return NO_CONTENT


def prune(engine: Engine, request: Request) -> Response:
    """Remove unused volumes; since API 1.42 only the anonymous ones, unless `all` is set."""
    filters: Mapping[str, tuple[str, ...]] = query_filters(request)
    if request.version < (1, 42):
        filters = {"all": ("true",), **filters}
    removed, freed = prune_volumes(engine, filters)
    return json_response({"VolumesDeleted": [*removed], "SpaceReclaimed": freed})


ROUTES: Final = (
    Route(method="GET", pattern="/volumes", handler=list_all),
    Route(method="POST", pattern="/volumes/create", handler=create),
    Route(method="POST", pattern="/volumes/prune", handler=prune, since=(1, 25)),
    Route(method="GET", pattern="/volumes/{name}", handler=inspect),
    Route(method="DELETE", pattern="/volumes/{name}", handler=remove),
)
