"""The pump: bytes between a client and a container where the socket itself cannot be handed over.

One thread, both directions, each with its own end: the client's half-close ends the container's input, not its output.
Both sockets are non-blocking; a TLS connection asks to read before it can write and the other way round, and holds bytes
that poll(2) does not see, so it is read until it has none. Acting. Chapter 13.
"""

from __future__ import annotations

import select
import socket
import ssl
from contextlib import suppress
from typing import Final

__all__ = ["pump"]

PUMP_BYTES: Final = 64 * 1024


class _Flow:
    """One direction: what was read and not yet written."""

    def __init__(self, source: socket.socket, sink: socket.socket, waiting: bytes = b"") -> None:
        self.source, self.sink, self.waiting = source, sink, waiting
        self.ended = False
        """Nothing more will be read."""
        self.done = False
        """Everything is written, and the sink knows that no more comes."""

    def run(self) -> None:
        """Move bytes until either side would block."""
        try:
            while not self.done:
                if self.waiting:
                    self.waiting = self.waiting[self.sink.send(self.waiting) :]
                elif self.ended:
                    self._finish()
                else:
                    self.waiting = self.source.recv(PUMP_BYTES)
                    self.ended = not self.waiting
        except (BlockingIOError, ssl.SSLWantReadError, ssl.SSLWantWriteError):
            return
        except OSError:  # one side is gone: nothing can arrive any more
            self._finish()

    def _finish(self) -> None:
        self.done = True
        with suppress(OSError):  # it may be gone already, or, with TLS, has not said goodbye yet
            if isinstance(self.sink, ssl.SSLSocket):
                self.sink.unwrap()
            else:
                self.sink.shutdown(socket.SHUT_WR)


def pump(client: socket.socket, container: socket.socket, *, first: bytes = b"") -> None:
    """Copy between *client* and *container* until the container has no more output; *first* goes in before anything else."""
    client.setblocking(False)
    container.setblocking(False)
    inward, outward = _Flow(client, container, first), _Flow(container, client)
    while True:
        inward.run()
        outward.run()
        if outward.done:
            return
        _wait(inward, outward)


def _wait(inward: _Flow, outward: _Flow) -> None:
    """Wait until one of the two can go on."""
    poll = select.poll()
    wanted: dict[int, int] = {}
    for flow in (inward, outward):
        if flow.done:
            continue
        stuck, event = (flow.sink, select.POLLOUT) if flow.waiting else (flow.source, select.POLLIN)
        wanted[stuck.fileno()] = wanted.get(stuck.fileno(), 0) | event
    for fd, events in wanted.items():
        poll.register(fd, events)
    poll.poll()
