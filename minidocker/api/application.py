"""The application: from the head of a request to an answer, and from every failure to Docker's error form.

The whole of HTTP is behind (`connection`), the whole of Docker ahead (the handlers): this is the seam between the two.
An error of `minidocker.errors` knows its status; anything else is a defect, answered with 500 and reported. Chapter 12.
"""

from __future__ import annotations

from collections.abc import Callable
from errno import ENOSPC
from functools import partial
from typing import TYPE_CHECKING
from urllib.parse import parse_qsl

from minidocker.api.request import Body, Request
from minidocker.api.response import Answer, Response, error_response
from minidocker.api.router import LATEST, Router, require_supported, split_version
from minidocker.codec import http1
from minidocker.errors import MinidockerError

if TYPE_CHECKING:
    from minidocker.engine.engine import Engine

__all__ = ["Application", "make_application"]

Application = Callable[[http1.Request, Body, int], Answer]
"""Answers a request: its head, its body, and the client's socket."""


def make_application(engine: Engine, *, on_defect: Callable[[Exception], None]) -> Application:
    """Return the application that serves *engine*; *on_defect* hears of failures that nobody expected."""
    from minidocker.api.routes import ROUTES  # with every handler, and through them the engine

    return partial(answer_request, engine, Router(ROUTES), on_defect)


def answer_request(
    engine: Engine, router: Router, on_defect: Callable[[Exception], None], head: http1.Request, body: Body, client_fd: int
) -> Answer:
    """Return the answer to one request; an error is an answer too."""
    try:
        if head.method == "OPTIONS":
            return Response()
        return _dispatch(engine, router, head, body, client_fd)
    except MinidockerError as error:
        return error_response(error.http_status, error.message, hint=error.hint)
    except http1.HttpError:
        raise  # in the body: the connection is beyond repair
    except OSError as error:
        return error_response(500, _describe_refusal(head, error))
    except Exception as error:  # noqa: BLE001 - the outermost frame of a request: one client's defect must not end others
        on_defect(error)
        return error_response(500, f"{type(error).__name__}: {error}")


def _describe_refusal(head: http1.Request, error: OSError) -> str:
    """Return a sentence for what this machine refused: a full disk above all."""
    where = f" `{error.filename}`" if error.filename else ""
    text = f"{head.method} {_path_of(head.target.partition('?')[0])}:{where} {(error.strerror or str(error)).lower()}"
    return f"{text} (free some space: `system df` shows who has it)" if error.errno == ENOSPC else text


def _dispatch(engine: Engine, router: Router, head: http1.Request, body: Body, client_fd: int) -> Answer:
    target, _, query = head.target.partition("?")
    asked_version, path = split_version(_path_of(target))
    match = router.find(head.method, path, asked_version or LATEST)
    if asked_version is not None:
        require_supported(asked_version)
    request = Request(
        method=head.method, path=path, body=body, client_fd=client_fd, version=asked_version or LATEST, headers=head.headers,
        query=parse_query(query), parameters=match.parameters,
    )  # fmt: skip
    return match.route.handler(engine, request)


def _path_of(target: str) -> str:
    """Return the path of *target*, which proxies send with the scheme and the host before it."""
    if target.startswith("/"):
        return target
    _, _, after_scheme = target.partition("://")
    return "/" + after_scheme.partition("/")[2]


def parse_query(query: str) -> dict[str, tuple[str, ...]]:
    """Return the query as name to values, in their order."""
    if not query:
        return {}
    values: dict[str, tuple[str, ...]] = {}
    for name, value in parse_qsl(query, keep_blank_values=True):
        values[name] = (*values.get(name, ()), value)
    return values
