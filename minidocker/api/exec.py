"""Handlers of exec: note a command, run it for a client, look at it.

Two requests, because the first gives the client an id before it gives its connection away. See the Docker Engine API 1.50,
"Exec". Chapter 12.
"""

from __future__ import annotations

import os
import time
from typing import TYPE_CHECKING, Final

from minidocker.api.render_exec import render_exec
from minidocker.api.request import Request, query_int, read_json
from minidocker.api.response import Answer, Hijack, Response, json_response, stream_type
from minidocker.api.router import Route
from minidocker.container.record import Status
from minidocker.engine.containers import require_container
from minidocker.engine.exec import ExecRecord, ExecRequest, create_exec, require_exec, resize_exec, start_exec
from minidocker.errors import Conflict, InvalidParameter
from minidocker.spec.record import Json, read_record

if TYPE_CHECKING:
    from minidocker.engine.engine import Engine

__all__ = ["ROUTES"]

NEWS_TIMEOUT_S: Final = 1.0
"""How long the end of a process may be known to its monitor and not yet to the server."""


def create(engine: Engine, request: Request) -> Response:
    """Note a command to run in a container."""
    wanted = read_record(ExecRequest, read_json(request))
    return json_response({"Id": create_exec(engine, request.parameters["id"], wanted)}, status=201)


def start(engine: Engine, request: Request) -> Answer:
    """Run the command, for the client or for nobody."""
    body = read_json(request, optional=True)
    options = body if isinstance(body, dict) else {}
    record = require_exec(engine, request.parameters["id"])
    _require_startable(engine, record)
    rows, columns = _console_size(options)
    tty = options.get("Tty") is True  # of the start, not of the exec: the client says here what it will read
    if options.get("Detach"):
        start_exec(engine, record.id, detach=True, tty=tty, rows=rows, columns=columns, connection_fd=None)
        return Response()

    def take(connection_fd: int) -> None:
        start_exec(engine, record.id, detach=False, tty=tty, rows=rows, columns=columns, connection_fd=connection_fd)

    return Hijack(take=take, content_type=stream_type(tty=tty, version=request.version), is_terminal=tty)


def _require_startable(engine: Engine, record: ExecRecord) -> None:
    """Refuse while a status can still be sent; the engine checks again under its lock.

    Raises:
        Conflict: the command ran already, or the container does not run.
    """
    if record.running or record.exit_code is not None:
        raise Conflict(f"Error: Exec command {record.id} has already run")
    container = require_container(engine, record.container_id)
    if container.state.status is Status.PAUSED:
        raise Conflict(f"Container {container.id} is paused, unpause the container before exec")
    if not container.state.running:
        raise Conflict(f"container {container.id} is not running")


def _console_size(options: dict[str, Json]) -> tuple[int, int]:
    """Return rows and columns of the client's window; zeros if it has none."""
    size = options.get("ConsoleSize")
    if size is None:
        return 0, 0
    match size:
        case [int() as rows, int() as columns]:
            return rows, columns
    raise InvalidParameter("invalid JSON: `ConsoleSize` must be a list of two numbers")


def inspect(engine: Engine, request: Request) -> Response:
    """Show an exec, with its exit code when it has ended."""
    return json_response(render_exec(_settle(engine, request.parameters["id"])))


def _settle(engine: Engine, exec_id: str) -> ExecRecord:
    """Return the record of an exec as soon as it tells the truth.

    `docker exec` asks for the exit code the moment its output ends. The monitor has sent it by then, but the thread that
    notes it here may come second; a process that is gone and yet noted as running means: wait for that thread.
    """
    deadline = time.monotonic() + NEWS_TIMEOUT_S
    while True:
        record = require_exec(engine, exec_id)
        if not record.running or (record.pid and os.path.exists(f"/proc/{record.pid}")) or time.monotonic() > deadline:
            return record
        time.sleep(0.0005)


def resize(engine: Engine, request: Request) -> Response:
    """Set the window size of an exec's terminal."""
    resize_exec(engine, request.parameters["id"], rows=query_int(request, "h", 0), columns=query_int(request, "w", 0))
    return Response()


ROUTES: Final = (
    Route(method="POST", pattern="/containers/{id}/exec", handler=create),
    Route(method="POST", pattern="/exec/{id}/start", handler=start),
    Route(method="POST", pattern="/exec/{id}/resize", handler=resize),
    Route(method="GET", pattern="/exec/{id}/json", handler=inspect),
)
