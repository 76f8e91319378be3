"""Every route of the Remote API, in one table: it grows by one line for each new endpoint.

Also what is refused on purpose: swarm paths answer as a Docker engine that belongs to no swarm, so that generic clients
go on; the rest of Docker's paths say that they are not served, which is not the same as not existing. Chapter 12.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from minidocker.api import build, container_streams, containers, disk_usage, distribution, exec, files, images, networks, system, teaching, volumes
from minidocker.api.request import Request
from minidocker.api.response import Response, json_response
from minidocker.api.router import Handler, Route
from minidocker.errors import NotFound, NotSupported, Unavailable

if TYPE_CHECKING:
    from minidocker.engine.engine import Engine

__all__ = ["ROUTES"]


def refuse_swarm(_engine: Engine, _request: Request) -> Response:
    """Say that this server is in no swarm."""
    raise Unavailable(
        'This node is not a swarm manager. Use "docker swarm init" or "docker swarm join" to connect this node to swarm '
        "and try again."
    )


def refuse(_engine: Engine, request: Request) -> Response:
    """Say that Docker has this, and this server has not."""
    raise NotSupported(f"minidocker does not serve `{request.method} {request.path}`")


def no_plugin(_engine: Engine, request: Request) -> Response:
    """Say that there is no such plugin: `docker inspect NAME` asks for one last, when nothing else has the name."""
    raise NotFound(f'plugin "{request.parameters["name"]}" not found')


def list_plugins(_engine: Engine, _request: Request) -> Response:
    """List plugins: there are none."""
    return json_response([])


_SWARM_PATHS: Final = (
    "GET /swarm", "POST /swarm/init", "POST /swarm/join", "POST /swarm/leave", "POST /swarm/update", "GET /swarm/unlockkey",
    "POST /swarm/unlock", "GET /nodes", "GET /nodes/{id}", "DELETE /nodes/{id}", "POST /nodes/{id}/update", "GET /services",
    "POST /services/create", "GET /services/{id}", "DELETE /services/{id}", "POST /services/{id}/update",
    "GET /services/{id}/logs", "GET /tasks", "GET /tasks/{id}", "GET /tasks/{id}/logs", "GET /secrets",
    "POST /secrets/create", "GET /secrets/{id}", "DELETE /secrets/{id}", "POST /secrets/{id}/update", "GET /configs",
    "POST /configs/create", "GET /configs/{id}", "DELETE /configs/{id}", "POST /configs/{id}/update",
)  # fmt: skip

_UNSERVED_PATHS: Final = (
    "GET /containers/{id}/attach/ws",
    "POST /session", "POST /grpc",
    "PUT /volumes/{name}", "GET /plugins/privileges", "POST /plugins/pull",
    "POST /plugins/create", "DELETE /plugins/{name...}",
)  # fmt: skip


def _refusals(lines: tuple[str, ...], handler: Handler) -> tuple[Route, ...]:
    pairs = (line.split(" ") for line in lines)
    return tuple(Route(method=method, pattern=pattern, handler=handler) for method, pattern in pairs)


ROUTES: Final = (
    *system.ROUTES,
    *disk_usage.ROUTES,
    *teaching.ROUTES,
    *containers.ROUTES,
    *container_streams.ROUTES,
    *exec.ROUTES,
    *files.ROUTES,
    *distribution.ROUTES,
    *images.ROUTES,
    *build.ROUTES,
    *volumes.ROUTES,
    *networks.ROUTES,
    Route(method="GET", pattern="/plugins", handler=list_plugins),
    Route(method="GET", pattern="/plugins/{name...}/json", handler=no_plugin),
    *_refusals(_SWARM_PATHS, refuse_swarm),
    *_refusals(_UNSERVED_PATHS, refuse),
)
"""All of it."""
