"""Bodies that grow: progress, logs, events, and an answer that waits.

Rules of the form (Docker Engine API, "Stream format" and `POST /images/create`): progress is one JSON object a line, ended
by CR LF, each sent as its own chunk; a failure before the first object is a status, after it an object with both `error`
and `errorDetail`, because one client reads the one and another the other. Chapter 13.
"""

from __future__ import annotations

import fcntl
import select
import struct
import termios
import time
from collections.abc import Generator, Iterable, Iterator
from itertools import chain
from typing import Final

from minidocker.api.response import StreamResponse, render_json
from minidocker.codec.frames import encode_frame
from minidocker.errors import MinidockerError
from minidocker.spec.record import Json

__all__ = [
    "LOG_BATCH_BYTES", "error_line", "is_gone", "json_line", "progress_response", "render_log_chunks", "wait_for_client", "wait_until_read",
]  # fmt: skip

HEAD_READ_TIMEOUT_S: Final = 0.5
"""How long the output of a process is held back for a client that has not read the head of the answer yet."""
LOG_BATCH_BYTES: Final = 32 * 1024
"""How much of a log that is not followed goes out in one write."""
_INT: Final = struct.Struct("i")


def json_line(document: Json) -> bytes:
    """Return one object of a progress stream."""
    return render_json(document)[:-1] + b"\r\n"


def error_line(message: str, *, code: int = 0, hint: str = "") -> bytes:
    """Return the object with which a progress stream fails."""
    detail: dict[str, Json] = {"code": code, "message": message} if code else {"message": message}
    return json_line({"errorDetail": detail, "error": message, **({"hint": hint} if hint else {})})


def progress_response(objects: Iterable[Json]) -> StreamResponse:
    """Return the answer that streams *objects*; the first one is awaited, so that its failure becomes a status.

    Raises:
        MinidockerError: what *objects* raises before its first object.
    """
    iterator = iter(objects)
    first = list(_take_first(iterator))
    return StreamResponse(chunks=_progress_chunks(chain(first, iterator), iterator))


def _take_first(iterator: Iterator[Json]) -> Iterator[Json]:
    for item in iterator:
        yield item
        return


def _progress_chunks(objects: Iterator[Json], source: Iterator[Json]) -> Iterator[bytes]:
    try:
        for item in objects:
            yield json_line(item)
    except MinidockerError as error:
        code = getattr(error, "code", 0)  # an exit status; a registry's errors have a word there
        yield error_line(error.message, code=code if isinstance(code, int) else 0, hint=error.hint)
    except OSError as error:
        yield error_line(f"the stream broke off: {error}")
    finally:
        _close(source)


def render_log_chunks(entries: Iterable[tuple[int, bytes]], *, tty: bool, batch_bytes: int = 0) -> Iterator[bytes]:
    """Yield each (stream, text) as a frame, or bare for a terminal.

    Entries that come without waiting may be gathered to *batch_bytes*: one write for hundreds of lines. A log that is
    followed must not be, because its next line may take hours.
    """
    waiting: list[bytes] = []
    size = 0
    try:
        for stream, text in entries:
            waiting.append(text if tty else encode_frame(stream, text))
            size += len(text)
            if size >= batch_bytes:
                yield b"".join(waiting)
                waiting, size = [], 0
        if waiting:
            yield b"".join(waiting)
    finally:
        _close(entries)


def _close(source: object) -> None:
    """End a generator now, so that it gives its descriptors back while its client is still known."""
    if isinstance(source, Generator):
        source.close()


def wait_for_client(ready_fd: int, client_fd: int) -> bool:
    """Wait until *ready_fd* is readable; false if the client went away first."""
    poll = select.poll()
    poll.register(ready_fd, select.POLLIN)
    if client_fd >= 0:
        poll.register(client_fd, select.POLLRDHUP)
    return any(fd == ready_fd for fd, _ in poll.poll())


def is_gone(client_fd: int) -> bool:
    """Whether the client has closed its end: nobody will read what comes."""
    poll = select.poll()
    if client_fd >= 0:
        poll.register(client_fd, select.POLLRDHUP)
    return bool(poll.poll(0))


def wait_until_read(fd: int, *, timeout_s: float = HEAD_READ_TIMEOUT_S) -> bool:
    """Wait until the peer of socket *fd* has read everything sent to it; whether it did.

    docker-py reads the head of an answer through a buffer and then reads the socket directly: what came with the head is
    lost to it. So the head must have been read before output may follow. The kernel tells nobody when that happens; the
    count of unread bytes (SIOCOUTQ, see unix(7); on TCP, of bytes not acknowledged, see tcp(7)) is looked at again and again.
    """
    deadline = time.monotonic() + timeout_s
    pause_s = 0.00005
    while _INT.unpack(fcntl.ioctl(fd, termios.TIOCOUTQ, bytes(_INT.size)))[0]:
        if time.monotonic() > deadline:
            return False
        time.sleep(pause_s)
        pause_s = min(pause_s * 2, 0.005)
    return True
