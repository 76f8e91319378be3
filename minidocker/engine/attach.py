"""`docker attach`: connect a client's socket to a container's streams.

The server writes the HTTP header, then the socket itself goes to the monitor: the server is not in the data path, and an
attached terminal survives the server. That takes two moves, because `docker run` starts the container as soon as it has seen the
header: `reserve_attach` before the header makes sure that a start waits for this client, `AttachingClient.arrive` brings the
socket after it.
"""

from __future__ import annotations

import os
import threading
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

from minidocker.codec.frames import encode_frame
from minidocker.container.logs import read_entries
from minidocker.container.protocol import MAIN, Attach, Resize
from minidocker.container.record import Status
from minidocker.engine.engine import Engine, publish_container_event
from minidocker.errors import Conflict, NotFound

if TYPE_CHECKING:
    from minidocker.engine.monitors import MonitorLink

__all__ = ["AttachOptions", "AttachingClient", "reserve_attach", "resize_container"]

ARRIVAL_LIMIT_S: Final = 2.0
"""How long a start waits for a client that has reserved its place; the header's way takes well under a millisecond."""


@dataclass(frozen=True, slots=True, kw_only=True)
class AttachOptions:
    """What a client wants to be connected to."""

    stdin: bool = False
    stdout: bool = False
    stderr: bool = False
    stream: bool = False
    logs: bool = False
    detach_keys: str = ""


class AttachingClient:
    """A client between its request and the monitor."""

    def __init__(self, request: Attach) -> None:
        """Wait for both: the client's socket, and a monitor to give it to."""
        self._request = request
        self._lock = threading.Lock()
        self._arrived = threading.Event()
        self._link: MonitorLink | None = None
        self._fd = -1
        self._closed = False

    def arrive(self, fd: int) -> None:
        """The client's socket is *fd*; a copy is taken, the caller closes its own."""
        with self._lock:
            if not self._closed:
                self._fd = os.dup(fd)
                self._give_away()
        self._arrived.set()

    def hand_over(self, link: MonitorLink, *, wait_s: float = 0.0) -> None:
        """Give the client to the monitor behind *link*, now or when it arrives; wait up to *wait_s* for it."""
        self._arrived.wait(wait_s)
        with self._lock:
            self._link = link
            self._give_away()

    def _give_away(self) -> None:
        if self._link is not None and self._fd >= 0:
            with suppress(OSError):  # the monitor ended already: the client sees the end of its connection
                self._link.attach(self._request, self._fd)
            self._close_fd()

    def _close_fd(self) -> None:
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1

    def close(self) -> None:
        """Let the client go."""
        with self._lock:
            self._closed = True
            self._close_fd()


class _LogReader(AttachingClient):
    """A client that only wants what a container has written so far."""

    def __init__(self, path: Path, streams: frozenset[int], *, tty: bool) -> None:
        super().__init__(Attach())
        self._path, self._streams, self._tty = path, streams, tty

    def arrive(self, fd: int) -> None:
        with suppress(FileNotFoundError, BrokenPipeError), open(self._path, "rb") as log, os.fdopen(os.dup(fd), "wb") as client:
            for entry, _offset in read_entries(log.fileno()):
                if self._tty or entry.stream in self._streams:
                    client.write(entry.text if self._tty else encode_frame(entry.stream, entry.text))


def reserve_attach(engine: Engine, reference: str, options: AttachOptions) -> AttachingClient:
    """Return the place of a client that is about to arrive; a container that does not run waits for it at its start.

    Raises:
        Conflict: the container is paused or about to be restarted.
    """
    handle = engine.containers.require(reference)
    config = handle.record.config
    with handle.lock:
        status = handle.record.state.status
        if status is Status.PAUSED:
            raise Conflict(f"container {handle.record.id} is paused, unpause the container before attach")
        if status is Status.REMOVING:
            raise NotFound(f"No such container: {reference}")
        if status is Status.RESTARTING:
            raise Conflict(f"container {handle.record.id} is restarting, wait until the container is running")
        publish_container_event(engine, handle, "attach")
        if handle.link is None and not options.stream:
            streams = frozenset(n for n, wanted in ((1, options.stdout), (2, options.stderr)) if wanted and options.logs)
            return _LogReader(handle.log_path, streams, tty=config.tty)
        client = AttachingClient(
            Attach(
                stdin=options.stdin and config.open_stdin, stdout=options.stdout, stderr=options.stderr, stream=options.stream,
                logs=options.logs, detach_keys=options.detach_keys,
            )
        )  # fmt: skip
        if handle.link is not None:
            client.hand_over(handle.link)
        else:
            handle.pending.append(client)
        return client


def resize_container(engine: Engine, reference: str, *, rows: int, columns: int) -> None:
    """Set the window size of a container's terminal.

    Raises:
        Conflict: it does not run.
    """
    handle = engine.containers.require(reference)
    with handle.lock:
        if handle.link is None:
            raise Conflict(f"cannot resize a stopped container: {handle.record.id}")
        handle.link.tell(Resize(session=MAIN, rows=rows, columns=columns))
        publish_container_event(engine, handle, "resize", height=str(rows), width=str(columns))
