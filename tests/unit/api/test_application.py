"""From the head of a request to an answer: errors become Docker's, and defects do not end the server."""

from __future__ import annotations

import io
import json
from typing import TYPE_CHECKING, cast

import pytest

from minidocker.api.application import answer_request
from minidocker.api.response import Answer, Response, error_response, json_response, stream_type, text_response
from minidocker.api.router import Route, Router
from minidocker.codec import http1
from minidocker.errors import Conflict, NotFound, NotModified, NotSupported, Unavailable

if TYPE_CHECKING:
    from minidocker.api.request import Request
    from minidocker.engine.engine import Engine

RAISED = {
    "missing": NotFound("No such container: x"),
    "taken": Conflict("the name is taken"),
    "already": NotModified("it runs"),
    "elsewhere": NotSupported("not here", hint="use another"),
    "later": Unavailable("no swarm"),
    "defect": ZeroDivisionError("division by zero"),
    "protocol": http1.HttpError("bad chunk"),
}


def fail(_engine: Engine, request: Request) -> Answer:
    """Raise what the path names."""
    raise RAISED[request.parameters["kind"]]


def echo(_engine: Engine, request: Request) -> Answer:
    """Show what the application made of the request."""
    return json_response({"path": request.path, "version": list(request.version), "query": {k: list(v) for k, v in request.query.items()}})


ROUTER = Router(
    [Route(method="GET", pattern="/fail/{kind}", handler=fail), Route(method="GET", pattern="/echo", handler=echo)]
)


def ask(target: str, *, method: str = "GET", defects: list[Exception] | None = None) -> Response:
    """Return the answer to a request without a body."""
    heard: list[Exception] = [] if defects is None else defects
    head = http1.Request(method, target, {})
    answer = answer_request(cast("Engine", None), ROUTER, heard.append, head, io.BytesIO(), -1)
    assert isinstance(answer, Response)
    return answer


ERRORS = [("missing", 404, "No such container: x"), ("taken", 409, "the name is taken"),
          ("elsewhere", 501, "not here"), ("later", 503, "no swarm")]  # fmt: skip


@pytest.mark.parametrize(("kind", "status", "text"), ERRORS, ids=[kind for kind, *_ in ERRORS])
def test_error_becomes_its_status_and_a_message(kind: str, status: int, text: str) -> None:
    """Go's client compares the content type for equality: a charset would make it print raw JSON."""
    answer = ask(f"/fail/{kind}")
    assert (answer.status, answer.content_type) == (status, "application/json")
    assert json.loads(answer.body)["message"] == text
    assert json.loads(answer.body).get("hint", "") == RAISED[kind].hint  # type: ignore[attr-defined]  # these are ours


def test_not_modified_has_no_body() -> None:
    """Starting what runs is 304, which HTTP forbids a body."""
    assert ask("/fail/already") == Response(status=304)


def test_defect_is_answered_and_reported() -> None:
    """One request fails; the server tells its log and goes on."""
    defects: list[Exception] = []
    assert ask("/fail/defect", defects=defects).status == 500
    assert defects == [RAISED["defect"]]


def test_broken_body_ends_the_connection_instead_of_being_answered_here() -> None:
    """Nobody knows where the next request begins; the connection answers and closes."""
    with pytest.raises(http1.HttpError):
        ask("/fail/protocol")


@pytest.mark.parametrize("target", ["/echo?a=1", "/v1.50/echo?a=1", "http://docker/echo?a=1", "http://docker/v1.50/echo?a=1"])
def test_path_is_the_same_with_version_and_host_before_it(target: str) -> None:
    """Without a version the newest is meant; a proxy sends the whole address."""
    assert json.loads(ask(target).body) == {"path": "/echo", "version": [1, 50], "query": {"a": ["1"]}}


def test_version_that_is_not_spoken_is_400_but_an_unknown_path_404_first() -> None:
    """As with dockerd, where the version belongs to the route."""
    assert ask("/v1.99/echo").status == 400
    assert ask("/v1.99/nope").status == 404


def test_options_is_answered_on_any_path() -> None:
    """Docker does; it is how some tools look whether anybody is there."""
    assert ask("/nope", method="OPTIONS").status == 200


def test_answers_have_their_content_types() -> None:
    """Streams are named by what is in them, since API 1.42."""
    assert text_response("OK").content_type == "text/plain; charset=utf-8"
    assert error_response(400, "no").status == 400
    assert stream_type(tty=True, version=(1, 50)) == "application/vnd.docker.raw-stream"
    assert stream_type(tty=False, version=(1, 50)) == "application/vnd.docker.multiplexed-stream"
    assert stream_type(tty=False, version=(1, 41)) == "application/vnd.docker.raw-stream"
