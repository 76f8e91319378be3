"""The kinds of answers: a whole body, a file, a body that grows, and a connection that stops being HTTP.

Pure. `Response` is known before it is sent. `FileResponse` is a file of any size. `StreamResponse` sends its head at once and each piece as it comes: progress,
logs, events, and `wait`, whose head a client must see before it starts the container. `Hijack` gives the client's socket
away: to the monitor of a container, for attach and exec.

Every answer carries `Api-Version`, `Ostype` and `Server`; an error's content type is exactly `application/json`, because
clients compare it. Chapter 12.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Final

from minidocker import API_VERSION, VERSION
from minidocker.spec.record import Json

__all__ = [
    "COMMON_HEADERS", "JSON_TYPE", "MULTIPLEXED_TYPE", "NO_CONTENT", "RAW_TYPE", "Answer", "FileResponse", "Hijack", "Response",
    "StreamResponse", "error_response", "json_response", "render_json", "stream_type", "text_response",
]  # fmt: skip

JSON_TYPE: Final = "application/json"
RAW_TYPE: Final = "application/vnd.docker.raw-stream"
MULTIPLEXED_TYPE: Final = "application/vnd.docker.multiplexed-stream"

COMMON_HEADERS: Final = (("Api-Version", API_VERSION), ("Ostype", "linux"), ("Server", f"Docker/{VERSION} (linux)"))
"""What every answer says about the server."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Response:
    """An answer whose body is known."""

    status: int = 200
    body: bytes = b""
    content_type: str = ""
    headers: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class StreamResponse:
    """An answer whose body grows."""

    chunks: Iterable[bytes]
    """A generator is closed when the body ends or the client has gone."""
    on_end: Callable[[], None] | None = None
    """Called once after that, even if no chunk was ever asked for: gives descriptors back."""
    status: int = 200
    content_type: str = JSON_TYPE
    headers: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Hijack:
    """The end of HTTP on this connection: after the head, *take* gets the client's socket.

    It takes a copy of the descriptor; the server closes its own. What it raises comes too late for a status: the client
    gets the text as output.
    """

    take: Callable[[int], None]
    content_type: str = RAW_TYPE
    is_terminal: bool = False
    """Whether output is bare, not in frames."""


@dataclass(frozen=True, slots=True, kw_only=True)
class FileResponse:
    """A piece of a file, which the kernel copies to the socket by itself (see sendfile(2))."""

    path: str
    offset: int
    size: int
    status: int = 200
    headers: tuple[tuple[str, str], ...] = ()


Answer = Response | StreamResponse | FileResponse | Hijack

NO_CONTENT: Final = Response(status=204)
"""Done, and nothing to say."""

_encode: Final = json.JSONEncoder(separators=(",", ":")).encode


def render_json(document: Json) -> bytes:
    """Return *document* as JSON on one line, ended by a newline as Go's encoder does."""
    return _encode(document).encode("ascii") + b"\n"


def json_response(document: Json, *, status: int = 200) -> Response:
    """Return *document* as an answer."""
    return Response(status=status, body=render_json(document), content_type=JSON_TYPE)


def text_response(text: str) -> Response:
    """Return plain text as an answer."""
    return Response(body=text.encode(), content_type="text/plain; charset=utf-8")


def error_response(status: int, message: str, *, hint: str = "") -> Response:
    """Return an error in Docker's form; "not modified" has no body.

    The next step travels beside the message: Docker's clients print the one, ours both.
    """
    if status == 304:
        return Response(status=304)
    return json_response({"message": message, **({"hint": hint} if hint else {})}, status=status)


def stream_type(*, tty: bool, version: tuple[int, int]) -> str:
    """Return the content type of a process's output: frames have a name of their own since API 1.42."""
    return RAW_TYPE if tty or version < (1, 42) else MULTIPLEXED_TYPE
