"""Init: from the fork to the container's command.

Who am I: the child of the monitor, born into the container's pid namespace, which becomes its PID 1 (or, for an exec, one
more process in it). It performs its steps one after another and ends in execve(2). It runs the interpreter's sealed copy,
is not dumpable, and after `PivotRoot` sees the container's files only: everything it needs is imported before the fork.

Failure is one `Failed` message to the monitor, in words for the person who typed the command. Chapter 16.
"""

from __future__ import annotations

import errno
import os
import signal
import socket
import stat
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from typing import NoReturn

from minidocker.codec.executable import HEAD_BYTES, find_exit_code, parse_shebang, render_exec_error
from minidocker.container.plan import DEFAULT_PATH
from minidocker.container.protocol import ConsoleMade, Failed, Go, HandedOver, NamespacesMade, Ready, receive_message, send_message
from minidocker.container.user import MAX_DATABASE_BYTES, resolve_user
from minidocker.errors import MinidockerError
from minidocker.kernel import process
from minidocker.kernel.mount import borrow_tree, open_in_root
from minidocker.kernel.perform import Identity, InitContext, perform_init_step
from minidocker.kernel.steps import Actor, Exec, LoadSeccomp, Mount, PivotRoot, SetUser, Step, Synchronise, actor_of

__all__ = ["run_init"]

CANNOT_START = 125
"""Exit code for failures before the command was looked at; Docker's word for "the engine failed"."""


class _CannotExecute(Exception):
    """The command itself is at fault: exit code 126 or 127."""

    def __init__(self, text: str, exit_code: int) -> None:
        super().__init__(text)
        self.exit_code = exit_code


class _MonitorChannel:
    """Init's end of the handshake; see `minidocker.container.protocol`."""

    def __init__(self, connection: socket.socket, gate: socket.socket | None, steps: Sequence[Step], on_pause: Callable[[], None]) -> None:
        self.connection, self._gate, self._steps, self._on_pause = connection, gate, steps, on_pause
        self._pauses = sum(isinstance(step, Synchronise) for step in steps)

    def announce_namespaces(self) -> None:
        send_message(self.connection, NamespacesMade())

    def hand_over(self, pid: int) -> None:
        send_message(self.connection, HandedOver(pid=pid))

    def send_console(self, master: int) -> None:
        send_message(self.connection, ConsoleMade(), fds=[master])

    def synchronise(self) -> None:
        self._pauses -= 1
        if self._gate is not None and not self._pauses:
            _look_up(self._steps[-1])  # `create` fails for a missing command, not `start`
        send_message(self.connection, Ready())
        message, _fds = receive_message(self.connection)
        if message is None:  # the monitor is gone, and nobody would collect our output
            process.exit_child(CANNOT_START)
        if isinstance(message, Go) and message.wait and self._gate is not None:
            self.connection.close()
            self.connection, _address = self._gate.accept()
        if self._pauses:
            self._on_pause()
            return
        command = self._steps[-1]
        assert isinstance(command, Exec)
        process.mark_close_on_exec(3 + command.preserve_fds)  # now, because a filter may forbid it


def _no_hooks() -> None:
    """Call nothing."""


def run_init(
    steps: Sequence[Step], connection: socket.socket, *, session: str, stdio: Sequence[int], pidfds: Mapping[int, int],
    gate: socket.socket | None = None, on_pause: Callable[[], None] = _no_hooks, before_exec: Callable[[], None] = _no_hooks,
) -> NoReturn:  # fmt: skip
    """Perform init's share of *steps* and become the command.

    Preconditions:
        Runs in the child, right after the fork.
        *stdio* are descriptors for 0, 1 and 2; empty when `MakeConsole` makes them.
        *pidfds* are open descriptors of the processes whose namespaces are joined, by host pid.
        *gate* is a listening socket where `Go(wait=True)` makes init wait.
        *on_pause* is called after each `Synchronise` but the last, *before_exec* as the container's user in its own files.
    """
    process.set_title("md:init")
    step: Step | None = None
    channel = _MonitorChannel(connection, gate, steps, on_pause)
    try:
        os.setsid()
        for number, fd in enumerate(stdio):
            os.dup2(fd, number)
        process.join_session_keyring(f"_ses.{session}")
        context = InitContext(
            channel=channel, find_identity=_find_identity, execute=lambda step, context: _execute(step, context, before_exec), pidfds=pidfds,
            steps=steps,
            borrowed={step: borrow_tree(pidfds[step.source_pid], step.source) for step in steps if isinstance(step, Mount) and step.source_pid},
            staging_root=next((step.root for step in steps if isinstance(step, PivotRoot)), ""),
        )  # fmt: skip
        for step, following in zip(steps, (*steps[1:], None), strict=True):
            if isinstance(step, LoadSeccomp) and isinstance(following, Exec):
                context.program = _prepare(following, context)  # while every call is allowed
            if actor_of(step) is Actor.INIT:
                perform_init_step(step, context)
        raise AssertionError("the last step of a plan is Exec")
    except _CannotExecute as error:
        failed = Failed(session=session, text=str(error), exit_code=error.exit_code)
    except MinidockerError as error:
        failed = Failed(session=session, text=str(error), exit_code=CANNOT_START)
    except BaseException as error:  # noqa: BLE001 - nothing may escape into the parent's code
        what = f"{type(step).__name__} step: " if step is not None else ""
        failed = Failed(session=session, text=f"{what}{_describe(error)}", exit_code=CANNOT_START)
    with suppress(OSError):  # without a monitor there is nobody to tell
        send_message(channel.connection, failed)
    process.exit_child(CANNOT_START)


def _describe(error: BaseException) -> str:
    if isinstance(error, OSError) and error.strerror:
        return f"{error.strerror.lower()}{f': `{error.filename}`' if error.filename else ''}"
    return f"{type(error).__name__}: {error}"


def _find_identity(step: SetUser, root_fd: int) -> Identity:
    """Look the user up in the container's own files."""
    passwd, group = _read_database(root_fd, "/etc/passwd"), _read_database(root_fd, "/etc/group")
    user = resolve_user(step.user, passwd, group, step.extra_groups)
    return Identity(uid=user.uid, gid=user.gid, groups=user.groups, home=user.home)


def _read_database(root_fd: int, path: str) -> bytes:
    """Return the head of a regular file, and nothing for what is missing or no file (a FIFO would block for ever)."""
    try:
        fd = open_in_root(root_fd, path, flags=os.O_RDONLY | os.O_NONBLOCK)
    except OSError:
        return b""
    try:
        return os.pread(fd, MAX_DATABASE_BYTES + 1, 0) if stat.S_ISREG(os.fstat(fd).st_mode) else b""  # one more: too long
    finally:
        os.close(fd)


def _execute(step: Exec, context: InitContext, before_exec: Callable[[], None]) -> NoReturn:
    """Become the command."""
    path = context.program or _prepare(step, context)
    env = _environment(step, context)
    before_exec()
    if step.init:
        _stay_as_init(path, step.argv, env)
    _execve(path, step.argv, env, detached=step.detached)


def _environment(step: Exec, context: InitContext) -> dict[str, str]:
    env = dict(word.partition("=")[::2] for word in step.env)
    env.setdefault("HOME", context.identity.home)
    return env


def _prepare(step: Exec, context: InitContext) -> str:
    """Stand where the command is to begin and return its path."""
    try:
        os.chdir(step.cwd or "/")
    except OSError as error:
        text = f'chdir to cwd ("{step.cwd}") set in config.json failed: {(error.strerror or "").lower()}'
        raise _CannotExecute(text, 126 if error.errno == errno.EACCES else CANNOT_START) from error
    if not os.getcwd().startswith("/"):  # a directory that is not below our root: CVE-2024-21626
        raise OSError(f"working directory `{step.cwd}` is outside of the container")
    path = _find_program(step.argv[0], _environment(step, context).get("PATH") or DEFAULT_PATH)
    _refuse_magic_links(path)
    return path


def _execve(path: str, argv: Sequence[str], env: dict[str, str], *, detached: bool = False) -> NoReturn:
    process.reset_signals()
    if not detached:
        process.set_parent_death_signal(signal.SIGKILL)  # late, because changing the user id clears it
    try:
        os.execve(path, list(argv), env)
    except OSError as error:
        raise _CannotExecute(*_explain(argv[0], path, error)) from error


def _look_up(step: Step) -> None:
    """Refuse a command that is not there, or cannot be executed, while the one who asked for it still listens."""
    assert isinstance(step, Exec)
    path = next((word.partition("=")[2] for word in step.env if word.startswith("PATH=")), DEFAULT_PATH)
    program = _find_program(step.argv[0], path)
    _refuse_magic_links(program)
    if not os.access(program, os.X_OK) or os.path.isdir(program):
        number = errno.EACCES if os.path.exists(program) else errno.ENOENT
        raise _CannotExecute(*_explain(step.argv[0], program, OSError(number, os.strerror(number), program)))


def _find_program(name: str, search_path: str) -> str:
    """Return the path of *name*, looked for in *search_path* unless it has a slash, as execvp(3) does."""
    if "/" in name:
        return name
    denied: OSError | None = None
    for directory in search_path.split(":"):
        path = f"{directory or '.'}/{name}"
        if os.path.isdir(path):
            continue
        if os.access(path, os.X_OK):
            return path
        if os.path.exists(path):
            denied = PermissionError(13, "permission denied", path)
    raise _CannotExecute(*_explain(name, name, denied or FileNotFoundError(2, "", name), in_path=denied is None))


def _refuse_magic_links(path: str) -> None:
    """Refuse `/proc/self/exe` and its like as program and as interpreter: they lead to files of the host.

    The sealed copy protects the host's interpreter; this keeps a container from running the copy at all.
    """
    root = os.open("/", os.O_PATH | os.O_CLOEXEC)
    try:
        here = path if path.startswith("/") else f"{os.getcwd()}/{path}"
        head = _read_head(root, here, path)
        shebang = parse_shebang(head)
        if shebang is not None:
            _read_head(root, shebang[0], path)
    finally:
        os.close(root)


def _read_head(root: int, path: str, command: str) -> bytes:
    try:
        fd = open_in_root(root, path, flags=os.O_RDONLY | os.O_NONBLOCK)
    except OSError as error:
        if error.errno == errno.ELOOP and os.path.exists(path):  # openat2 met a magic link, by whatever name
            text = f'exec: "{command}": permission denied: `{path}` leads to a file of the host, not of the container'
            raise _CannotExecute(text, 126) from error
        if error.errno not in (errno.EPERM, errno.ENOSYS):
            return b""  # execve says it better
        fd = _open_under_filter(path, command)
        if fd < 0:
            return b""
    try:
        return os.read(fd, HEAD_BYTES) if stat.S_ISREG(os.fstat(fd).st_mode) else b""
    finally:
        os.close(fd)


def _open_under_filter(path: str, command: str) -> int:
    """Open *path* where a filter from before openat2(2) is in force already; refuse our own program. -1: execve says it better."""
    try:
        fd = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError:
        return -1
    if os.path.samestat(os.fstat(fd), os.stat("/proc/self/exe")):
        raise _CannotExecute(f'exec: "{command}": permission denied: `{path}` leads to a file of the host, not of the container', 126)
    return fd


def _explain(command: str, path: str, error: OSError, *, in_path: bool = False) -> tuple[str, int]:
    """Return the sentence and the exit code for a command that could not be executed."""
    head = b""
    with suppress(OSError):
        fd = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
        head = os.read(fd, HEAD_BYTES) if stat.S_ISREG(os.fstat(fd).st_mode) else b""
        os.close(fd)
    name = "EISDIR" if os.path.isdir(path) else errno.errorcode.get(error.errno or 0, "EIO")
    text = render_exec_error(
        command, errno_name=name, in_path=in_path, head=head, machine=os.uname().machine, interpreter_exists=os.path.exists
    )
    return text, find_exit_code(text)


def _stay_as_init(path: str, argv: Sequence[str], env: dict[str, str]) -> NoReturn:
    """Be PID 1 for the command (`--init`): forward signals, reap orphans, end with its exit code."""
    process.set_title("docker-init")
    every = signal.valid_signals() - {signal.SIGKILL, signal.SIGSTOP}
    signal.pthread_sigmask(signal.SIG_BLOCK, every)
    child = os.fork()
    if child == 0:
        os.setpgid(0, 0)
        with suppress(OSError):  # no terminal to be in front of
            signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTTOU})
            os.tcsetpgrp(0, os.getpgrp())
        _execve(path, argv, env)
    os.closerange(3, 65536)
    while True:
        number = signal.sigwaitinfo(every).si_signo
        if number != signal.SIGCHLD:
            with suppress(ProcessLookupError):
                os.kill(child, number)
            continue
        with suppress(ChildProcessError):
            while (reaped := os.waitpid(-1, os.WNOHANG))[0]:
                if reaped[0] == child:
                    status = os.waitstatus_to_exitcode(reaped[1])
                    process.exit_child(status if status >= 0 else 128 - status)
