"""`docker attach`: connect a client's socket to a container's streams.

The server writes the HTTP header, then the socket itself goes to the monitor: the server is not in the data path, and an
attached terminal survives the server. A client that attaches before the start waits here.
"""

from __future__ import annotations

import os
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING

from minidocker.container.protocol import MAIN, Attach, Resize
from minidocker.container.record import Status
from minidocker.engine.engine import Engine, publish_container_event
from minidocker.errors import Conflict

if TYPE_CHECKING:
    from minidocker.engine.monitors import MonitorLink

__all__ = ["AttachOptions", "PendingAttach", "attach_container", "resize_container"]


@dataclass(frozen=True, slots=True, kw_only=True)
class AttachOptions:
    """What a client wants to be connected to."""

    stdin: bool = False
    stdout: bool = False
    stderr: bool = False
    stream: bool = False
    logs: bool = False
    detach_keys: str = ""


class PendingAttach:
    """A client that attached before the container was started."""

    def __init__(self, request: Attach, fd: int) -> None:
        """Keep *fd*, which is ours."""
        self._request, self._fd = request, fd

    def hand_over(self, link: MonitorLink) -> None:
        """Give the client to the monitor."""
        with suppress(OSError):  # the monitor ended already; the start will say so
            link.attach(self._request, self._fd)
        self.close()

    def close(self) -> None:
        """Let the client go."""
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1


def attach_container(engine: Engine, reference: str, options: AttachOptions, connection_fd: int) -> None:
    """Connect the client whose socket is *connection_fd*; a copy is taken, the caller closes its own.

    Raises:
        Conflict: the container is paused.
    """
    handle = engine.containers.require(reference)
    request = Attach(
        stdin=options.stdin and handle.record.config.open_stdin, stdout=options.stdout, stderr=options.stderr,
        stream=options.stream, logs=options.logs, detach_keys=options.detach_keys,
    )  # fmt: skip
    with handle.lock:
        status = handle.record.state.status
        if status is Status.PAUSED:
            raise Conflict(f"container {handle.record.id} is paused, unpause the container before attach")
        if status is Status.RESTARTING:
            raise Conflict(f"container {handle.record.id} is restarting, wait until the container is running")
        client = PendingAttach(request, os.dup(connection_fd))
        if handle.link is not None:
            client.hand_over(handle.link)
        elif options.stream:
            handle.pending.append(client)
        else:
            client.close()
        publish_container_event(engine, handle, "attach")


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
