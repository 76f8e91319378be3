"""The server: accepts connections and gives each a thread, until it is told to stop.

Acting. Theory of operation: `serve` runs in the thread that calls it and waits on all listeners and on one eventfd, through
which `stop` (from a signal handler or another thread) wakes it. Then nobody is accepted any more, the socket files go, and
open connections are shut down: handlers that wait for events or logs see their client leave. Connections given to a
monitor are not ours any more and live on. A thread costs 0.1 ms and some kilobytes; docker opens a few connections for
a command, so that a pool would only add a queue to understand. Chapter 13.
"""

from __future__ import annotations

import os
import selectors
import socket
import threading
import time
from collections.abc import Iterable, Sequence
from contextlib import suppress
from typing import Final

from minidocker.api.application import Application
from minidocker.api.connection import serve_connection
from minidocker.api.listener import Listener, close_listener
from minidocker.api.response import COMMON_HEADERS

__all__ = ["Server", "serve"]

TLS_HANDSHAKE_TIMEOUT_S: Final = 10.0
"""As in Go's server; a client that is silent for longer holds a thread for nothing."""
STOP_TIMEOUT_S: Final = 5.0
"""How long requests under way may take to end."""


class Server:
    """A running server; `run` it in one thread, `stop` it from any."""

    def __init__(
        self, listeners: Sequence[Listener], application: Application, *, headers: Iterable[tuple[str, str]] = COMMON_HEADERS
    ) -> None:
        """Take ownership of *listeners*; requests go to *application*, and every answer carries *headers*."""
        self._listeners, self._application, self._headers = tuple(listeners), application, tuple(headers)
        self._wake = os.eventfd(0, os.EFD_CLOEXEC | os.EFD_NONBLOCK)
        self._lock = threading.Lock()
        self._clients: dict[socket.socket, threading.Thread] = {}
        self._idle_since = time.monotonic()

    @property
    def idle_s(self) -> float:
        """Seconds since the last connection ended; 0 while there are any."""
        with self._lock:
            return 0.0 if self._clients else time.monotonic() - self._idle_since

    def stop(self) -> None:
        """Ask `run` to return; safe in a signal handler."""
        os.eventfd_write(self._wake, 1)

    def run(self) -> None:
        """Accept connections until `stop`; then end them and return."""
        with selectors.DefaultSelector() as selector:
            selector.register(self._wake, selectors.EVENT_READ)
            for listener in self._listeners:
                listener.socket.setblocking(False)
                selector.register(listener.socket, selectors.EVENT_READ, listener)
            ready = selector.select()
            while all(key.fd != self._wake for key, _ in ready):
                for key, _ in ready:
                    self._accept(key.data)
                ready = selector.select()
        for listener in self._listeners:
            close_listener(listener)
        self._end_clients()

    def _accept(self, listener: Listener) -> None:
        try:
            client, _ = listener.socket.accept()
        except BlockingIOError:  # it left before we came
            return
        except OSError:  # out of descriptors, or the peer reset: the next connection may fare better
            time.sleep(0.01)
            return
        client.settimeout(listener.idle_timeout_s)
        thread = threading.Thread(target=self._serve, args=(client, listener), name="md:connection", daemon=True)
        with self._lock:
            self._clients[client] = thread
        thread.start()

    def _serve(self, client: socket.socket, listener: Listener) -> None:
        """Serve one client; runs in its own thread."""
        current = client
        try:
            if listener.tls is not None:
                client.settimeout(TLS_HANDSHAKE_TIMEOUT_S)
                current = listener.tls.wrap_socket(client, server_side=True)
                current.settimeout(listener.idle_timeout_s)
                with self._lock:
                    self._clients[current] = self._clients.pop(client)
            serve_connection(current, listener, self._application, self._headers)
        except OSError:  # the handshake failed, or the connection broke: its client knows better than we do
            pass
        finally:
            with self._lock:
                self._clients.pop(client, None)
                self._clients.pop(current, None)
                self._idle_since = time.monotonic()
            current.close()

    def _end_clients(self) -> None:
        """End the connections that are left, and wait for their threads for a while."""
        with self._lock:
            clients = dict(self._clients)
        for client in clients:
            with suppress(OSError):  # it ended by itself
                socket.socket.shutdown(client, socket.SHUT_RD)  # a TLS socket's own would go on in plain text
        deadline = time.monotonic() + STOP_TIMEOUT_S
        for thread in clients.values():
            thread.join(max(0.0, deadline - time.monotonic()))


def serve(listeners: Sequence[Listener], application: Application) -> None:
    """Serve until the process ends; for programs that need no `stop`."""
    Server(listeners, application).run()
