"""How a command of the OCI run time and the init that it makes meet: fork, handshake, terminal, gate.

Who am I: the process of one command, single-threaded, in the caller's namespaces, running a sealed copy of the interpreter. I perform
the monitor's steps; my child performs init's. I end when the child waits at its gate, or has become its command; it stays, and the
caller (podman's conmon, containerd's shim) becomes its parent.

    create                       init                      start
      │ ── fork ────────────────▶  │
      │ ◀──────── NamespacesMade ─ │ mounts …
      │ ◀───────────────── Ready ─ │ first Synchronise: hooks
      │ ── Go ──────────────────▶  │ pivot, terminal …
      │ ◀───────────────── Ready ─ │ second Synchronise
      │ ── Go(wait) ────────────▶  │ accept(gate)              │
      ·                            │ ◀──────────── connect ──  │
                                   │ execve ── end of stream ▶ │

Chapter 16.
"""

from __future__ import annotations

import os
import signal
import socket
from collections.abc import Callable, Sequence
from contextlib import suppress

from minidocker.container.init import CANNOT_START, run_init
from minidocker.container.protocol import ConsoleMade, Failed, Go, HandedOver, NamespacesMade, Ready, receive_message, send_message
from minidocker.errors import HostError, MinidockerError
from minidocker.kernel.flags import Clone
from minidocker.kernel.namespaces import open_namespace, setns
from minidocker.kernel.perform import MonitorContext, open_joined, perform_monitor_step
from minidocker.kernel.process import set_child_subreaper
from minidocker.kernel.steps import ForkAgain, Step, Synchronise

__all__ = ["Birth", "StartFailed", "pass_gate", "send_console"]


_FOR_CHILDREN = (Clone.NEWPID,)
"""Namespaces that unshare(2) and setns(2) change for children only, and that setns(2) can take back."""


class StartFailed(MinidockerError):
    """Init could not become the command; `exit_code` is what a shell would say (126, 127)."""

    def __init__(self, text: str, exit_code: int) -> None:
        """Keep init's words."""
        super().__init__(text)
        self.exit_code = exit_code


def _nothing() -> None:
    """Call no hooks."""


class Birth:
    """One init on its way; a context in which its failure takes it away."""

    def __init__(
        self, steps: Sequence[Step], *, name: str, stdio: Sequence[int], gate: socket.socket | None = None,
        inside: tuple[Callable[[], None], Callable[[], None]] = (_nothing, _nothing),
    ) -> None:  # fmt: skip
        """Plan to perform *steps*; *stdio* is empty where the plan makes a terminal; *gate* where init waits at the end.

        *inside* is called in init: before it changes its root, and before it becomes the command.
        """
        self._steps, self._name, self._stdio, self._gate, self._inside = steps, name, stdio, gate, inside
        self._namespaces_made = self._ready = False
        self.console = -1
        """The master side of the terminal."""
        self.pid = 0

    def perform(self, on_pause: Callable[[int], None]) -> None:
        """Perform the monitor's steps up to the last `Synchronise`; call *on_pause* with the child's pid at each one before it.

        Raises:
            StartFailed: init could not go on.
            HostError: a step of ours failed.
        """
        context = MonitorContext(fork_init=self._fork, wait_namespaces=self._wait_namespaces, adopt_init=self._adopt)
        # What the plan makes for the next child is not meant for the hooks that we start after it.
        self._own = {flag: open_namespace("self", flag) for flag in _FOR_CHILDREN}
        pauses = sum(isinstance(step, Synchronise) for step in self._steps)
        try:
            for step in self._steps:
                if isinstance(step, Synchronise):
                    pauses -= 1
                    self._wait_ready()
                    if pauses:
                        on_pause(self.pid)
                        self._ready = False
                        send_message(self._connection, Go())
                else:
                    _perform(step, context)
        except BaseException:
            self.abandon()
            raise
        finally:
            context.close()

    def _fork(self) -> int:
        self._connection, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        pidfds = open_joined(self._steps)
        set_child_subreaper(any(isinstance(step, ForkAgain) for step in self._steps))
        self.pid = os.fork()
        if self.pid == 0:
            self._connection.close()
            run_init(
                self._steps, theirs, session=self._name, stdio=self._stdio, pidfds=pidfds, gate=self._gate,
                on_pause=self._inside[0], before_exec=self._inside[1],
            )  # fmt: skip
        theirs.close()
        for flag, fd in self._own.items():
            setns(fd, flag)
        for fd in (*pidfds.values(), *self._own.values()):
            os.close(fd)
        return self.pid

    def _wait_namespaces(self) -> None:
        while not self._namespaces_made:
            self._read_word()

    def _adopt(self) -> int:
        """Return the pid of the child that init handed over to; init itself has ended."""
        former = self.pid
        while self.pid == former:
            self._read_word()
        os.waitpid(former, 0)
        set_child_subreaper(False)
        return self.pid

    def _wait_ready(self) -> None:
        while not self._ready:
            self._read_word()

    def _read_word(self) -> None:
        message, fds = receive_message(self._connection)
        match message:
            case NamespacesMade():
                self._namespaces_made = True
            case HandedOver():
                self.pid = message.pid
            case ConsoleMade():
                self.console = fds[0]
            case Ready():
                self._ready = True
            case Failed():
                raise StartFailed(f"unable to start container process: {message.text}", message.exit_code)
            case _:
                raise StartFailed("unable to start container process: init was killed", CANNOT_START)

    def leave_at_gate(self) -> None:
        """Let init wait for `start`."""
        send_message(self._connection, Go(wait=True))
        self._connection.close()

    def release(self) -> None:
        """Let init become the command, and return when it has.

        Raises:
            StartFailed: it could not.
        """
        send_message(self._connection, Go())
        try:
            _wait_execve(self._connection)
        except StartFailed:
            self.abandon()
            raise

    def abandon(self) -> None:
        """Make an init that did not get through go away."""
        if self.pid:
            with suppress(ProcessLookupError, ChildProcessError):  # it may have ended by itself
                os.kill(self.pid, signal.SIGKILL)
            with suppress(ChildProcessError):
                os.waitpid(self.pid, 0)


def _perform(step: Step, context: MonitorContext) -> None:
    try:
        perform_monitor_step(step, context)
    except OSError as error:
        where = f" `{error.filename}`" if error.filename else ""
        raise HostError(f"{type(step).__name__} step{where}: {(error.strerror or str(error)).lower()}") from error


def _wait_execve(connection: socket.socket) -> None:
    """The end of the stream means execve."""
    with connection:
        message, _fds = receive_message(connection)
    if isinstance(message, Failed):
        raise StartFailed(f"unable to start container process: {message.text}", message.exit_code)


def pass_gate(path: str) -> None:
    """Let the init that waits at *path* become its command, and return when it has.

    Raises:
        StartFailed: it could not.
        HostError: nobody waits there.
    """
    connection = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    try:
        connection.connect(path)
    except OSError as error:
        connection.close()
        raise HostError(f"start container: nobody waits at `{path}`: {error.strerror}") from error
    _wait_execve(connection)


def send_console(master: int, path: str) -> None:
    """Hand a terminal's master side to whoever listens at *path*, with its name, as runc does; see its `docs/terminals.md`."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as connection:
        try:
            connection.connect(path)
            socket.send_fds(connection, [b"/dev/ptmx"], [master])
        except OSError as error:
            raise HostError(f"send the terminal to `{path}`: {error.strerror or error}") from error
