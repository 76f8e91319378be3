"""Handlers that Docker does not have: what a request would do or a container consists of, for `run --explain` and `explain`. Chapter 16."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from minidocker.api.request import Request, read_json
from minidocker.api.response import Response, json_response
from minidocker.api.router import Route
from minidocker.engine.explain import explain_container, explain_request
from minidocker.spec.container import read_create_request
from minidocker.spec.record import render_record

if TYPE_CHECKING:
    from minidocker.engine.engine import Engine

__all__ = ["ROUTES"]


def explain(engine: Engine, request: Request) -> Response:
    """Return the steps that a create request would become, without doing any."""
    steps = explain_request(engine, read_create_request(read_json(request)))
    return json_response([render_record(step) for step in steps])


def explain_existing(engine: Engine, request: Request) -> Response:
    """Return the steps of a container that exists."""
    steps = explain_container(engine, request.parameters["id"])
    return json_response([render_record(step) for step in steps])


ROUTES: Final = (
    Route(method="POST", pattern="/minidocker/explain", handler=explain),
    Route(method="GET", pattern="/minidocker/{id}/explain", handler=explain_existing),
)
