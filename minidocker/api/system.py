"""Handlers about the server itself: is it there, what is it, what happens in it.

`/_ping` comes first with every client: its headers say which API version to speak, and that there is no BuildKit here.
See the Docker Engine API 1.50, "System". Chapter 12.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Final

from minidocker.api.render_event import render_event
from minidocker.api.request import Request, query_filters, query_text, query_time_ns
from minidocker.api.response import Answer, Response, StreamResponse, json_response, render_json
from minidocker.api.router import Route
from minidocker.engine.events import FILTER_KEYS, Subscription, subscribe
from minidocker.errors import InvalidParameter

if TYPE_CHECKING:
    from minidocker.engine.engine import Engine

__all__ = ["ROUTES"]

_PING_HEADERS: Final = (
    ("Cache-Control", "no-cache, no-store, must-revalidate"), ("Pragma", "no-cache"), ("Builder-Version", "1"),
    ("Docker-Experimental", "false"), ("Swarm", "inactive"),
)  # fmt: skip
"""`Builder-Version: 1` sends builds to `POST /build`; 2 would make clients ask for a BuildKit session."""
_PLAIN_TEXT: Final = "text/plain; charset=utf-8"


def ping(_engine: Engine, request: Request) -> Response:
    """Say that the server is there."""
    body = b"" if request.method == "HEAD" else b"OK"
    return Response(body=body, content_type=_PLAIN_TEXT, headers=_PING_HEADERS)


def version(engine: Engine, _request: Request) -> Response:
    """Show the versions of the server and of the API."""
    from minidocker.engine.system import system_version

    return json_response(system_version(engine))


def info(engine: Engine, _request: Request) -> Response:
    """Show what the server is, on what machine."""
    from minidocker.engine.system import system_info

    return json_response(system_info(engine))


def events(engine: Engine, request: Request) -> Answer:
    """Send what happens, as it happens."""
    filters = query_filters(request)
    for key in filters:
        if key not in FILTER_KEYS:
            raise InvalidParameter(f"invalid filter '{key}'")
    since_ns, until_ns = query_time_ns(request, "since"), query_time_ns(request, "until")
    if since_ns is None and query_text(request, "since"):  # `0` is the beginning of time, and everything that is kept
        since_ns = 0
    if since_ns is not None and until_ns is not None and until_ns < since_ns:
        since, until = since_ns // 10**9, until_ns // 10**9
        raise InvalidParameter(f"`since` time ({since}) cannot be after `until` time ({until})")
    subscription = subscribe(
        engine, since_ns=since_ns, until_ns=until_ns, filters=filters, disconnect_fd=request.client_fd
    )
    return StreamResponse(chunks=_event_chunks(subscription), on_end=subscription.close)


def _event_chunks(subscription: Subscription) -> Iterator[bytes]:
    for event in subscription:
        yield render_json(render_event(event))


ROUTES: Final = (
    Route(method="HEAD", pattern="/_ping", handler=ping),
    Route(method="GET", pattern="/_ping", handler=ping),
    Route(method="GET", pattern="/version", handler=version),
    Route(method="GET", pattern="/info", handler=info),
    Route(method="GET", pattern="/events", handler=events),
)
