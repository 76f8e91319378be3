"""Handlers for the files of a container: changes, export, commit.

See the Docker Engine API 1.50, "Containers" and `POST /commit`. Chapter 12.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from minidocker.api.request import Request, query_flag, query_text, read_json
from minidocker.api.response import Answer, Response, StreamResponse, json_response
from minidocker.api.router import Route
from minidocker.engine.changes import diff_container, export_container
from minidocker.engine.commit import CommitRequest, commit_container
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
    Route(method="GET", pattern="/containers/{id}/changes", handler=changes),
    Route(method="GET", pattern="/containers/{id}/export", handler=export),
    Route(method="POST", pattern="/commit", handler=commit),
)
