"""The launcher: the single-threaded process that monitors are forked from.

Who am I: spawned once by the server at its start, running a sealed in-memory copy of the interpreter, not dumpable, with
every module imported that a monitor or init will need. The server is threaded and must never fork itself; I never have a
second thread, so that fork(2) and unshare(2) are safe here. I hold no state: one message, one fork. I end with the server.

Started as `python -I -S -c "…run_launcher(FD)"`; see `spawn_launcher`. Chapter 16.
"""

from __future__ import annotations

import codecs
import gc
import os
import signal
import socket
import sys
import threading
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Final, NoReturn

from minidocker.container.protocol import Launch, Message, receive_message, send_message
from minidocker.errors import HostError
from minidocker.kernel import process

__all__ = ["Launcher", "run_launcher"]

ENCODINGS: Final = ("ascii", "utf-8", "latin-1")
"""Encodings that a container is set up with, by the names that the code calls them."""

_PROGRAM: Final = "import sys; sys.path.insert(0, sys.argv[2]); from minidocker.container.launcher import run_launcher; run_launcher(int(sys.argv[1]))"


class Launcher:
    """The server's end: spawns the launcher when needed and hands it work. Safe to use from several threads."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._copy = process.make_sealed_copy(sys.executable)
        self._connection: socket.socket | None = None
        self._pid = 0

    def launch(self, launch: Launch, sockets: Sequence[socket.socket]) -> None:
        """Have a monitor forked that owns copies of *sockets*: its listening socket first, then the port proxies'.

        Raises:
            HostError: the launcher cannot be started.
        """
        fds = [s.fileno() for s in sockets]
        with self._lock:
            for attempt in (1, 2):
                connection = self._connection or self._spawn()
                try:
                    send_message(connection, launch, fds=fds)
                    return
                except OSError as error:  # the launcher died; it is stateless, so a new one is as good
                    self._forget()
                    if attempt == 2:
                        raise HostError(f"start container: the launcher process does not live: {error}") from error

    def start(self) -> None:
        """Spawn the launcher now, so that the first container does not wait for it."""
        with self._lock:
            if self._connection is None:
                self._spawn()

    def _spawn(self) -> socket.socket:
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        theirs.set_inheritable(True)
        root = str(Path(__file__).resolve().parents[2])
        argv = [sys.executable, "-I", "-S", "-c", _PROGRAM, str(theirs.fileno()), root]
        try:
            self._pid = os.posix_spawn(f"/proc/self/fd/{self._copy}", argv, {"PATH": os.defpath, "LC_ALL": "C.UTF-8"})
        except OSError as error:
            raise HostError(f"start the launcher: {error.strerror}", hint="the server's log has more") from error
        finally:
            theirs.close()
        self._connection = ours
        return ours

    def _forget(self) -> None:
        if self._connection is not None:
            self._connection.close()
            self._connection = None
        with suppress(ChildProcessError):  # collected already
            os.waitpid(self._pid, os.WNOHANG)

    def close(self) -> None:
        """Let the launcher end; the monitors it forked go on."""
        with self._lock:
            if self._connection is not None:
                self._connection.close()
                self._connection = None
                with suppress(ChildProcessError):
                    os.waitpid(self._pid, 0)


def run_launcher(channel_fd: int) -> NoReturn:
    """Fork a monitor for each `Launch` that arrives, until the server is gone."""
    process.set_not_dumpable()
    process.set_title("md:launcher")
    os.setsid()
    os.umask(0o022)
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # monitors are nobody's to wait for
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    from minidocker.container.monitor import run_monitor  # the server's end of this module needs none of it

    load_codecs()

    channel = socket.socket(fileno=channel_fd)
    os.set_inheritable(channel_fd, False)
    gc.collect()
    gc.freeze()  # no collection touches the pages shared with every monitor
    gc.disable()
    while True:
        message, fds = receive_message(channel)
        if message is None:
            process.exit_child(0)
        _fork_monitor(message, fds, channel, run_monitor)


def load_codecs() -> None:
    """Load every encoding that is used after the root has changed: Python imports an encoding when it is first used, from files."""
    for encoding in ENCODINGS:
        codecs.lookup(encoding)


def _fork_monitor(message: Message, fds: list[int], channel: socket.socket, run_monitor: object) -> None:
    assert isinstance(message, Launch)
    with suppress(OSError):  # no process to be had: closing the listening socket tells the server
        if os.fork() == 0:
            channel.close()
            run_monitor(message, fds)  # type: ignore[operator]  # never returns
    for fd in fds:
        os.close(fd)
