"""Handlers of `/containers`: create, list, inspect, and what changes a container's state.

Each reads its request, calls one function of the engine, and renders the result; what streams is in `container_streams`.
See the Docker Engine API 1.50, "Containers". Chapter 12.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Final

from minidocker.api.render_container import render_container_details, render_container_summary
from minidocker.api.request import Request, query_filters, query_flag, query_int, query_text, read_json
from minidocker.api.response import NO_CONTENT, Response, json_response
from minidocker.api.router import Route
from minidocker.container.record import ContainerRecord
from minidocker.engine.containers import list_containers, require_container
from minidocker.engine.create import create_container
from minidocker.engine.remove import prune_containers, remove_container, rename_container
from minidocker.engine.start import start_container
from minidocker.engine.stop import kill_container, pause_container, restart_container, stop_container, unpause_container
from minidocker.engine.update import update_container
from minidocker.errors import InvalidParameter
from minidocker.spec.container import HostConfig, read_create_request
from minidocker.spec.record import read_record

if TYPE_CHECKING:
    from minidocker.engine.engine import Engine

__all__ = ["ROUTES"]


def create(engine: Engine, request: Request) -> Response:
    """Create a container."""
    body = read_json(request)
    if not isinstance(body, dict) or not body:
        raise InvalidParameter("config cannot be empty in order to create a container")
    wanted = read_create_request(body)
    if request.version < (1, 44) and len(wanted.networking_config.endpoints_config) > 1:
        raise InvalidParameter("Container cannot be created with multiple network endpoints")
    identifier, warnings = create_container(
        engine, wanted, name=query_text(request, "name"), platform=query_text(request, "platform")
    )
    return json_response({"Id": identifier, "Warnings": [*warnings]}, status=201)


def list_all(engine: Engine, request: Request) -> Response:
    """List containers."""
    records = list_containers(
        engine, all=query_flag(request, "all"), limit=query_int(request, "limit", 0), filters=query_filters(request)
    )
    now, with_sizes, network_ids = time.time(), query_flag(request, "size"), engine.networks.ids()
    return json_response(
        [
            render_container_summary(record, now=now, network_ids=network_ids, sizes=_sizes(engine, record) if with_sizes else None)
            for record in records
        ]
    )


def _sizes(engine: Engine, record: ContainerRecord) -> tuple[int, int]:
    """Return the bytes of the writable layer, and those with the image's layers."""
    from minidocker.engine.system import measure_container  # walks directories: only when somebody asks

    return measure_container(engine, record)


def inspect(engine: Engine, request: Request) -> Response:
    """Show everything about a container."""
    record = require_container(engine, request.parameters["id"])
    handle = engine.containers.require(record.id)
    return json_response(
        render_container_details(
            record,
            directory=str(handle.directory),
            layers_directory=str(engine.data_root / "layers"),
            network_ids=engine.networks.ids(),
            exec_ids=tuple(execution.id for execution in tuple(handle.execs.values()) if execution.running),
            sizes=_sizes(engine, record) if query_flag(request, "size") else None,
        )
    )


def start(engine: Engine, request: Request) -> Response:
    """Start a container."""
    start_container(engine, request.parameters["id"])
    return NO_CONTENT


def _timeout(request: Request) -> int | None:
    return query_int(request, "t", 0) if query_text(request, "t") else None


def stop(engine: Engine, request: Request) -> Response:
    """Stop a container."""
    stop_container(engine, request.parameters["id"], timeout_s=_timeout(request), signal=query_text(request, "signal"))
    return NO_CONTENT


def restart(engine: Engine, request: Request) -> Response:
    """Stop and start a container."""
    restart_container(engine, request.parameters["id"], timeout_s=_timeout(request), signal=query_text(request, "signal"))
    return NO_CONTENT


def kill(engine: Engine, request: Request) -> Response:
    """Send a signal to a container."""
    kill_container(engine, request.parameters["id"], signal=query_text(request, "signal", "SIGKILL"))
    return NO_CONTENT


def pause(engine: Engine, request: Request) -> Response:
    """Freeze a container's processes."""
    pause_container(engine, request.parameters["id"])
    return NO_CONTENT


def unpause(engine: Engine, request: Request) -> Response:
    """Thaw a container's processes."""
    unpause_container(engine, request.parameters["id"])
    return NO_CONTENT


def rename(engine: Engine, request: Request) -> Response:
    """Give a container another name."""
    rename_container(engine, request.parameters["id"], query_text(request, "name"))
    return NO_CONTENT


def update(engine: Engine, request: Request) -> Response:
    """Change the limits of a container."""
    warnings = update_container(engine, request.parameters["id"], read_record(HostConfig, read_json(request) or {}))
    return json_response({"Warnings": [*warnings] or None})


def remove(engine: Engine, request: Request) -> Response:
    """Remove a container."""
    if query_flag(request, "link"):
        raise InvalidParameter(f"remove link `{request.parameters['id']}`: links between containers are not supported")
    remove_container(engine, request.parameters["id"], force=query_flag(request, "force"), volumes=query_flag(request, "v"))
    return NO_CONTENT


def prune(engine: Engine, request: Request) -> Response:
    """Remove the containers that do not run."""
    removed, freed = prune_containers(engine, query_filters(request))
    return json_response({"ContainersDeleted": [*removed] or None, "SpaceReclaimed": freed})


def top(engine: Engine, request: Request) -> Response:
    """List the processes of a container."""
    from minidocker.engine.exec import top_container

    titles, processes = top_container(engine, request.parameters["id"], query_text(request, "ps_args", "-ef"))
    return json_response({"Processes": [[*process] for process in processes], "Titles": [*titles]})


ROUTES: Final = (
    Route(method="POST", pattern="/containers/create", handler=create),
    Route(method="GET", pattern="/containers/json", handler=list_all),
    Route(method="POST", pattern="/containers/prune", handler=prune, since=(1, 25)),
    Route(method="GET", pattern="/containers/{id}/json", handler=inspect),
    Route(method="GET", pattern="/containers/{id}/top", handler=top),
    Route(method="POST", pattern="/containers/{id}/start", handler=start),
    Route(method="POST", pattern="/containers/{id}/stop", handler=stop),
    Route(method="POST", pattern="/containers/{id}/restart", handler=restart),
    Route(method="POST", pattern="/containers/{id}/kill", handler=kill),
    Route(method="POST", pattern="/containers/{id}/pause", handler=pause),
    Route(method="POST", pattern="/containers/{id}/unpause", handler=unpause),
    Route(method="POST", pattern="/containers/{id}/rename", handler=rename),
    Route(method="POST", pattern="/containers/{id}/update", handler=update),
    Route(method="DELETE", pattern="/containers/{id}", handler=remove),
)
