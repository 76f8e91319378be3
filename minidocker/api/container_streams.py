"""Handlers of `/containers` whose answers take time: wait, attach, logs, and the size of a terminal.

Two orders matter to real clients. The head of `wait` goes out before the container has ended, indeed before it was
started: `docker run` sends the start only when it has seen it. And everything that can be refused with a status is
checked before a connection is hijacked, because after that there is only output. Chapter 12.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Final

from minidocker.api.render_stats import render_stats
from minidocker.api.request import Request, query_flag, query_int, query_text, query_time_ns
from minidocker.api.response import Answer, Hijack, Response, StreamResponse, render_json, stream_type
from minidocker.api.router import Route
from minidocker.api.streams import LOG_BATCH_BYTES, render_log_chunks, wait_for_client
from minidocker.engine.attach import AttachOptions, reserve_attach, resize_container
from minidocker.engine.containers import require_container
from minidocker.engine.logs import LogOptions, read_logs
from minidocker.engine.stats import follow_stats
from minidocker.engine.wait import Waiter, wait_container
from minidocker.spec.record import Json

if TYPE_CHECKING:
    from minidocker.engine.engine import Engine

__all__ = ["ROUTES"]


def wait(engine: Engine, request: Request) -> Answer:
    """Wait until a container ends, and say how it did."""
    waiter = wait_container(engine, request.parameters["id"], query_text(request, "condition"))
    return StreamResponse(chunks=_wait_chunks(waiter, request.client_fd), on_end=waiter.close)


def _wait_chunks(waiter: Waiter, client_fd: int) -> Iterator[bytes]:
    if waiter.result is None and not wait_for_client(waiter.fileno(), client_fd):
        return
    if (result := waiter.result) is not None:
        document: dict[str, Json] = {"StatusCode": result.status_code}
        if result.error:
            document["Error"] = {"Message": result.error}
        yield render_json(document)


def attach(engine: Engine, request: Request) -> Answer:
    """Connect the client to a container's streams."""
    record = require_container(engine, request.parameters["id"])
    options = AttachOptions(
        stdin=query_flag(request, "stdin"), stdout=query_flag(request, "stdout"), stderr=query_flag(request, "stderr"),
        stream=query_flag(request, "stream"), logs=query_flag(request, "logs"), detach_keys=query_text(request, "detachKeys"),
    )  # fmt: skip
    return Hijack(
        take=reserve_attach(engine, record.id, options).arrive,
        content_type=stream_type(tty=record.config.tty, version=request.version),
        is_terminal=record.config.tty,
    )


def resize(engine: Engine, request: Request) -> Response:
    """Set the window size of a container's terminal."""
    resize_container(
        engine, request.parameters["id"], rows=query_int(request, "h", 0), columns=query_int(request, "w", 0)
    )
    return Response()


def logs(engine: Engine, request: Request) -> Answer:
    """Send what a container has written, and with `follow` what it writes."""
    record = require_container(engine, request.parameters["id"])
    options = LogOptions(
        stdout=query_flag(request, "stdout"), stderr=query_flag(request, "stderr"), follow=query_flag(request, "follow"),
        timestamps=query_flag(request, "timestamps"), details=query_flag(request, "details"), tail=_tail(request),
        since_ns=query_time_ns(request, "since"), until_ns=query_time_ns(request, "until"),
    )  # fmt: skip
    entries = read_logs(engine, record.id, options, disconnect_fd=request.client_fd)
    return StreamResponse(
        chunks=render_log_chunks(entries, tty=record.config.tty, batch_bytes=0 if options.follow else LOG_BATCH_BYTES),
        content_type=stream_type(tty=record.config.tty, version=request.version),
    )


def stats(engine: Engine, request: Request) -> Answer:
    """Send what a container uses, each second or once."""
    stream = query_flag(request, "stream", default=True)
    looks = follow_stats(
        engine, request.parameters["id"], stream=stream, one_shot=query_flag(request, "one-shot"), disconnect_fd=request.client_fd
    )
    return StreamResponse(
        chunks=(
            render_json(render_stats(handle.record, look, before, cgroup_version=engine.layout.version))
            for handle, look, before in looks
        )
    )


def _tail(request: Request) -> int | None:
    """Return how many lines; anything that is no number means all of them, as in Docker."""
    text = query_text(request, "tail", "all")
    return int(text) if text.isdecimal() else None


ROUTES: Final = (
    Route(method="POST", pattern="/containers/{id}/wait", handler=wait),
    Route(method="POST", pattern="/containers/{id}/attach", handler=attach),
    Route(method="POST", pattern="/containers/{id}/resize", handler=resize),
    Route(method="GET", pattern="/containers/{id}/logs", handler=logs),
    Route(method="GET", pattern="/containers/{id}/stats", handler=stats),
)
