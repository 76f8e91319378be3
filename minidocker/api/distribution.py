"""Handlers of `/auth`, `/distribution`, `/images/search` and of push: what concerns registries.

Credentials come with each request, in `X-Registry-Auth`; the server keeps none. See the Docker Engine API 1.50. Chapter 8.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from minidocker.api.request import Request, query_filters, query_int, query_text, read_json
from minidocker.api.response import Answer, Response, json_response
from minidocker.api.router import Route
from minidocker.api.streams import is_gone, progress_response
from minidocker.engine.push import push_image
from minidocker.engine.registries import describe_distribution, log_in, search_hub
from minidocker.errors import InvalidParameter
from minidocker.registry.challenge import Credentials, parse_registry_auth, read_credentials

if TYPE_CHECKING:
    from minidocker.engine.engine import Engine

__all__ = ["ROUTES", "credentials_of"]


def credentials_of(request: Request) -> Credentials:
    """Return what the client sent along for the registry."""
    return parse_registry_auth(request.headers.get("x-registry-auth", ""))


def log_in_there(engine: Engine, request: Request) -> Response:
    """Try a name and a password at a registry."""
    document = read_json(request)
    if not isinstance(document, dict):
        raise InvalidParameter("invalid JSON: expected an object")
    return json_response({**log_in(engine, str(document.get("serveraddress") or ""), read_credentials(document))})


def push(engine: Engine, request: Request) -> Answer:
    """Push an image."""
    name, tag = request.parameters["name"], query_text(request, "tag")
    fd = request.client_fd
    return progress_response(push_image(engine, name, tag=tag, credentials=credentials_of(request), is_gone=lambda: is_gone(fd)))


def distribution(engine: Engine, request: Request) -> Response:
    """Show what a registry has under a name."""
    return json_response(describe_distribution(engine, request.parameters["name"], credentials_of(request)))


def search(engine: Engine, request: Request) -> Response:
    """Search Docker Hub."""
    found = search_hub(
        engine, query_text(request, "term"), limit=query_int(request, "limit", 25), filters=query_filters(request),
        credentials=credentials_of(request),
    )  # fmt: skip
    return json_response([*found])


ROUTES = (
    Route(method="POST", pattern="/auth", handler=log_in_there),
    Route(method="GET", pattern="/images/search", handler=search),
    Route(method="POST", pattern="/images/{name...}/push", handler=push),
    Route(method="GET", pattern="/distribution/{name...}/json", handler=distribution, since=(1, 30)),
)
