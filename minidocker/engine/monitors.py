"""The server's link to a monitor: one connection, requests with their answers, and a thread that hears the news.

A link is made when a container starts and again by every server that finds the monitor alive. Answers (`Started`, `Failed`)
go to the thread that asked; `ExecExited` and `Exited` go to the callbacks. When the connection ends without `Exited`, the
monitor is gone, and what it left in the exit file is the truth.
"""

from __future__ import annotations

import json
import os
import queue
import signal
import socket
import threading
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path

from minidocker.container.protocol import (
    Attach, ExecExited, Exited, Failed, Kill, Message, Resize, Rewire, RunExec, Start, Started, Welcome, receive_message, send_message,
)  # fmt: skip
from minidocker.errors import HostError
from minidocker.spec.record import read_record

__all__ = ["MonitorLink", "bind_monitor_socket", "connect_monitor", "kill_monitor", "read_exit_file"]

SOCKET_NAME = "monitor.sock"
ANSWER_TIMEOUT_S = 60.0
"""A monitor that does not answer for this long hangs; starting takes milliseconds, on an emulated machine a second."""


def _short_path(directory: Path, fd: int) -> str:
    """Return a path to the socket that fits the 108 bytes of `sockaddr_un`, however long the directory's name is."""
    path = str(directory / SOCKET_NAME)
    return path if len(os.fsencode(path)) < 108 else f"/proc/self/fd/{fd}/{SOCKET_NAME}"


def bind_monitor_socket(directory: Path) -> socket.socket:
    """Return a socket listening in *directory*, which is made if missing."""
    directory.mkdir(mode=0o700, parents=True, exist_ok=True)
    (directory / SOCKET_NAME).unlink(missing_ok=True)
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    fd = os.open(directory, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        listener.bind(_short_path(directory, fd))
        listener.listen(8)
    except OSError:
        listener.close()
        raise
    finally:
        os.close(fd)
    return listener


def connect_monitor(directory: Path) -> tuple[socket.socket, Welcome] | None:
    """Return a connection to the monitor whose socket is in *directory*, or None if it does not live."""
    connection = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    connection.settimeout(ANSWER_TIMEOUT_S)
    try:
        fd = os.open(directory, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            connection.connect(_short_path(directory, fd))
        finally:
            os.close(fd)
        welcome, _fds = receive_message(connection)
    except OSError:
        welcome = None
    if not isinstance(welcome, Welcome):
        connection.close()
        return None
    connection.settimeout(None)
    return connection, welcome


def kill_monitor(directory: Path) -> None:
    """End the container whose monitor listens in *directory*, if one does, and wait for it."""
    connected = connect_monitor(directory)
    if connected is None:
        return
    connection = connected[0]
    with connection, suppress(OSError):  # it may end by itself just now
        connection.settimeout(ANSWER_TIMEOUT_S)
        send_message(connection, Kill(signal=signal.SIGKILL))
        while receive_message(connection)[0] is not None:
            pass


def read_exit_file(path: Path) -> Exited | None:
    """Return what a monitor left behind, or None."""
    try:
        return read_record(Exited, json.loads(path.read_bytes()))
    except (OSError, ValueError):
        return None


class MonitorLink:
    """A live monitor, seen from the server."""

    def __init__(
        self, connection: socket.socket, *, on_exec_exit: Callable[[str, int], None], on_exit: Callable[[Exited | None], None]
    ) -> None:
        """Listen on *connection* in a thread of its own; the callbacks run there."""
        self._connection = connection
        self._on_exec_exit, self._on_exit = on_exec_exit, on_exit
        self._answers: dict[str, queue.SimpleQueue[Started | Failed | None]] = {}
        self._lock = threading.Lock()
        self._thread = threading.Thread(target=self._listen, name="monitor", daemon=True)
        self._thread.start()

    def _listen(self) -> None:
        exited: Exited | None = None
        while exited is None:
            try:
                message, _fds = receive_message(self._connection)
            except OSError:
                message = None
            match message:
                case Started() | Failed():
                    self._answer(message.session, message)
                case ExecExited():
                    self._on_exec_exit(message.session, message.exit_code)
                case Exited():
                    exited = message
                case _:
                    break
        with self._lock:
            waiting, self._answers = self._answers, {}
        for answers in waiting.values():
            answers.put(None)
        self._connection.close()
        self._on_exit(exited)

    def _answer(self, session: str, message: Started | Failed) -> None:
        with self._lock:
            answers = self._answers.pop(session, None)
        if answers is not None:
            answers.put(message)

    def _ask(self, session: str, message: Message, fds: Sequence[int]) -> Started | Failed:
        """Send a request and return its answer.

        Raises:
            HostError: the monitor went away or hangs.
        """
        answers: queue.SimpleQueue[Started | Failed | None] = queue.SimpleQueue()
        with self._lock:
            self._answers[session] = answers
        try:
            send_message(self._connection, message, fds=fds)
            answer = answers.get(timeout=ANSWER_TIMEOUT_S)
        except (OSError, queue.Empty) as error:
            raise HostError("start a process: the container's monitor does not answer", hint="see the server's log") from error
        if answer is None:
            raise HostError("start a process: the container's monitor ended", hint="see the server's log")
        return answer

    def start(self) -> Started | Failed:
        """Let the monitor perform its plan."""
        return self._ask("", Start(), ())

    def run_exec(self, request: RunExec, fds: Sequence[int]) -> Started | Failed:
        """Run another command; *fds* is at most one client's socket."""
        return self._ask(request.id, request, fds)

    def rewire(self, request: Rewire, fds: Sequence[int] = ()) -> Started | Failed:
        """Change the container's network; *fds* are new listening sockets."""
        return self._ask("", request, fds)

    def attach(self, request: Attach, fd: int) -> None:
        """Hand a client's socket over."""
        send_message(self._connection, request, fds=[fd])

    def tell(self, message: Resize | Kill) -> None:
        """Send a request that has no answer; a monitor that is just ending does not need it."""
        with suppress(OSError):
            send_message(self._connection, message)
