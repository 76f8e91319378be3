"""Handlers for the files of a container: changes, export, commit, and archives in and out.

See the Docker Engine API 1.50, "Containers" and `POST /commit`. Chapter 12.
"""

from __future__ import annotations

import base64
import json
from typing import TYPE_CHECKING, Final

from minidocker.api.request import Request, query_flag, query_text, read_json
from minidocker.api.response import Answer, Response, StreamResponse, json_response
from minidocker.api.router import Route
from minidocker.container.logs import format_time
from minidocker.engine.archive import PathStat, get_archive, put_archive, stat_path
from minidocker.engine.changes import diff_container, export_container
from minidocker.engine.commit import CommitRequest, commit_container
from minidocker.errors import InvalidParameter
from minidocker.spec.container import ContainerConfig
from minidocker.spec.record import read_record

if TYPE_CHECKING:
    from minidocker.engine.engine import Engine

__all__ = ["ROUTES"]


def changes(engine: Engine, request: Request) -> Response:
    """List what a container changed in the files of its image."""
    found = diff_container(engine, request.parameters["id"])
    return json_response([{"Path": change.path, "Kind": int(change.kind)} for change in found] or None)


def export(engine: Engine, request: Request) -> Answer:
    """Send an archive of all files of a container."""
    return StreamResponse(chunks=export_container(engine, request.parameters["id"]), content_type="application/octet-stream")


def stat_archive(engine: Engine, request: Request) -> Response:
    """Say what is at a path in a container."""
    return Response(headers=(_stat_header(stat_path(engine, request.parameters["id"], _path_of(request))),))


def get(engine: Engine, request: Request) -> Answer:
    """Send an archive of what is at a path in a container."""
    archive = get_archive(engine, request.parameters["id"], _path_of(request))
    return StreamResponse(
        chunks=archive.pieces, on_end=archive.close, content_type="application/x-tar", headers=(_stat_header(archive.status),)
    )


def put(engine: Engine, request: Request) -> Response:
    """Unpack an archive in a directory of a container."""
    put_archive(
        engine, request.parameters["id"], _path_of(request), request.body,
        keep_directories=query_flag(request, "noOverwriteDirNonDir"), as_user=query_flag(request, "copyUIDGID"),
    )  # fmt: skip
    return Response()


def _path_of(request: Request) -> str:
    path = query_text(request, "path")
    if not path or "\0" in path:
        raise InvalidParameter("bad parameter: path cannot be empty")
    return "/" + path.lstrip("/")


def _stat_header(status: PathStat) -> tuple[str, str]:
    document = {
        "name": status.name, "size": status.size, "mode": status.mode, "mtime": format_time(status.mtime_ns),
        "linkTarget": status.link_target,
    }  # fmt: skip
    return "X-Docker-Container-Path-Stat", base64.b64encode(json.dumps(document, separators=(",", ":")).encode()).decode("ascii")


def commit(engine: Engine, request: Request) -> Response:
    """Make an image of a container."""
    body = read_json(request, optional=True)
    wanted = CommitRequest(
        repository=query_text(request, "repo"), tag=query_text(request, "tag"), author=query_text(request, "author"),
        comment=query_text(request, "comment"), changes=request.query.get("changes", ()),
        config=read_record(ContainerConfig, body) if body else None, pause=query_flag(request, "pause", default=True),
    )  # fmt: skip
    image = commit_container(engine, query_text(request, "container"), wanted)
    return json_response({"Id": image.id}, status=201)


ROUTES: Final = (
    Route(method="HEAD", pattern="/containers/{id}/archive", handler=stat_archive),
    Route(method="GET", pattern="/containers/{id}/archive", handler=get),
    Route(method="PUT", pattern="/containers/{id}/archive", handler=put),
    Route(method="GET", pattern="/containers/{id}/changes", handler=changes),
    Route(method="GET", pattern="/containers/{id}/export", handler=export),
    Route(method="POST", pattern="/commit", handler=commit),
)
