"""The monitor: the parent of one container, for all of its life.

Who am I: a fork of the launcher, in the host's namespaces, with one thread and one event loop. I perform the monitor's
steps, own the command's stdio, log and exit code, and answer whatever server connects to my socket. The server may die and
come back; I do not need it. When the command ends I remove the control groups, keep the exit status in a file, tell every
server, and end once the attached clients have everything.

    server                     monitor                         init
      │ ── Attach + client ──▶   │                              ·
      │ ── Start ────────────▶   │ ── fork ──────────────────▶  │
      │                          │ ◀──────── NamespacesMade ──  │ mounts …
      │                          │ (network steps)              │
      │                          │ ◀───────────────── Ready ──  │
      │                          │ ── Go ────────────────────▶  │ execve
      │ ◀───────── Started ───   │ ◀─────────── end of stream   ·
      │ ◀────────── Exited ───   │ (pidfd: the command ended)

Chapter 16.
"""

from __future__ import annotations

import gc
import json
import os
import selectors
import signal
import socket
import time
import traceback
from collections.abc import Sequence
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Final, NoReturn

from minidocker.container.init import CANNOT_START, run_init
from minidocker.container.logs import LogWriter, format_time, read_entries
from minidocker.container.protocol import (
    MAIN, Attach, ConsoleMade, ExecExited, Exited, Failed, Go, HandedOver, Kill, Launch, Message, NameService, NamespacesMade, Ready, Resize,
    Rewire, RunExec, Start, Started, Welcome, receive_message, send_message,
)  # fmt: skip
from minidocker.container.session import Client, Session
from minidocker.kernel import process
from minidocker.kernel.flags import Clone
from minidocker.kernel.namespaces import enter_network, open_namespace, open_socket_in
from minidocker.kernel.perform import MonitorContext, open_joined, perform_monitor_step
from minidocker.kernel.steps import ForkAgain, Step, Synchronise
from minidocker.network.proxy import PortProxy
from minidocker.network.resolver import Resolver
from minidocker.spec.record import render_record

__all__ = ["run_monitor"]

CLIENT_FLUSH_S: Final = 10.0
"""How long a client that does not read may keep a finished monitor alive."""
CGROUP_REMOVE_TRIES: Final = 50
"""A control group is busy until the kernel has buried its last process; then wait a little longer each time."""


class _StartFailed(Exception):
    """Init could not become the command; carries what to tell the server."""

    def __init__(self, text: str, exit_code: int) -> None:
        super().__init__(text)
        self.exit_code = exit_code


class _Birth:
    """One run of the handshake with a new init, main or exec."""

    def __init__(self, session: Session, steps: Sequence[Step], *, wants_stdin: bool) -> None:
        self.session, self._steps, self._wants_stdin = session, steps, wants_stdin
        self.master = -1
        self._inputs: list[int] = []
        self._child_ends: list[int] = []
        self._outputs: dict[int, int] = {}
        self._input_fd = -1
        self._namespaces_made = False
        self.ready = False

    def fork(self) -> int:
        """Make the streams, fork init, keep our ends."""
        stdio = [] if self.session.tty else self._make_pipes()
        self._connection, child_connection = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        joined = open_joined(self._steps)
        process.set_child_subreaper(any(isinstance(step, ForkAgain) for step in self._steps))
        self.pid = os.fork()
        if self.pid == 0:
            self._connection.close()
            run_init(self._steps, child_connection, session=self.session.name, stdio=stdio, pidfds=joined)
        child_connection.close()
        for fd in (*self._child_ends, *joined.values()):
            os.close(fd)
        return self.pid

    def _make_pipes(self) -> list[int]:
        out_read, out_write = os.pipe2(os.O_CLOEXEC)
        err_read, err_write = os.pipe2(os.O_CLOEXEC)
        if self._wants_stdin:
            stdin, self._input_fd = os.pipe2(os.O_CLOEXEC)
        else:
            stdin = os.open("/dev/null", os.O_RDONLY | os.O_CLOEXEC)
        self._outputs = {out_read: 1, err_read: 2}
        self._child_ends = [stdin, out_write, err_write]
        return self._child_ends

    def wait_namespaces(self) -> None:
        """Return once init has unshared its namespaces."""
        while not self._namespaces_made:
            self._read_word()

    def adopt(self) -> int:
        """Return the pid of the child that init handed over to; init itself has ended."""
        former = self.pid
        while self.pid == former:
            self._read_word()
        os.waitpid(former, 0)
        process.set_child_subreaper(False)
        return self.pid

    def wait_ready(self) -> None:
        """Return once init has prepared everything."""
        while not self.ready:
            self._read_word()

    def go(self) -> None:
        """Let init execute the command; return once it is the command, with the streams connected to the session."""
        if self.ready:
            send_message(self._connection, Go())
        self._wait_execve()
        self._connection.close()
        if self.session.tty:
            self._outputs, self._input_fd = {self.master: 1}, os.dup(self.master)
            os.set_inheritable(self._input_fd, False)
        self.session.pid = self.pid
        self.session.connect(input_fd=self._input_fd, outputs=self._outputs)

    def _wait_execve(self) -> None:
        """The end of the stream means execve, or that init was killed on the way."""
        while self._read_word(end_is_news=False):
            pass

    def _read_word(self, *, end_is_news: bool = True) -> bool:
        """Take one message of init; return False at the end of the stream.

        Raises:
            _StartFailed: init said so, or ended before its time.
        """
        message, fds = receive_message(self._connection)
        match message:
            case NamespacesMade():
                self._namespaces_made = True
            case HandedOver():
                self.pid = message.pid
            case ConsoleMade():
                self.master = fds[0]
            case Ready():
                self.ready = True
            case Failed():
                raise _StartFailed(message.text, message.exit_code)
            case None:
                if end_is_news:
                    raise _StartFailed("init ended before it was ready: it was killed", CANNOT_START)
                return False
            case _:
                raise AssertionError(f"init does not say {message}")
        return True

    def abandon(self) -> None:
        """Make an init that did not get through go away, and everything of ours with it."""
        with suppress(ProcessLookupError, ChildProcessError):  # it may have ended by itself
            os.kill(self.pid, signal.SIGKILL)
        with suppress(ChildProcessError):
            os.waitpid(self.pid, 0)
        self._connection.close()
        for fd in {self.master, self._input_fd, *self._outputs} - {-1}:
            os.close(fd)


class _Monitor:
    """The event loop and what it knows."""

    def __init__(self, launch: Launch, listener: socket.socket, proxy_sockets: Sequence[socket.socket]) -> None:
        self._launch, self._listener = launch, listener
        self._watch = selectors.DefaultSelector()
        self._servers: list[socket.socket] = []
        log = (
            LogWriter(launch.log_path, max_bytes=launch.log_max_bytes, max_files=launch.log_max_files)
            if launch.log_path
            else None
        )
        self._main = Session(MAIN, self._watch, tty=launch.tty, log=log, close_input_on_eof=launch.stdin_once)
        self._sessions: dict[str, Session] = {MAIN: self._main}
        self._proxies = self._make_proxies(proxy_sockets, launch.proxies)
        self._resolver: Resolver | None = None
        self._finished = False
        listener.setblocking(False)
        self._watch.register(listener, selectors.EVENT_READ, self._accept)

    def _make_proxies(self, listeners: Sequence[socket.socket], targets: Sequence[str]) -> list[PortProxy]:
        return [
            PortProxy(self._watch, listener=listener, target=_parse_address(target))
            for listener, target in zip(listeners, targets, strict=True)
        ]

    def run(self) -> None:
        """Serve until the command has ended and every client has its output."""
        while not self._finished:
            self._turn(None)
        deadline = time.monotonic() + CLIENT_FLUSH_S
        while any(not c.idle for s in self._sessions.values() for c in s.clients) and time.monotonic() < deadline:
            self._turn(0.5)

    def _turn(self, timeout_s: float | None) -> None:
        for key, mask in self._watch.select(timeout_s):
            # A callback before it may have closed this one; its number may even be somebody else's by now.
            current = self._watch.get_map().get(key.fd)
            if current is None or current.fileobj is not key.fileobj:
                continue
            try:
                key.data(mask)
            except Exception as error:  # noqa: BLE001 - a defect around one client must not cost the container its parent
                traceback.print_exception(error)
                self._watch.unregister(key.fd)

    def _accept(self, _mask: int) -> None:
        with suppress(BlockingIOError):
            server, _address = self._listener.accept()
            self._servers.append(server)
            running = tuple(name for name in self._sessions if name != MAIN)
            self._tell(server, Welcome(pid=self._main.pid, execs=running))
            self._watch.register(server, selectors.EVENT_READ, partial(self._on_server, server))

    def _tell(self, server: socket.socket, message: Message) -> None:
        with suppress(OSError):  # a server that died reads the exit file when it comes back
            send_message(server, message)

    def _tell_all(self, message: Message) -> None:
        for server in self._servers:
            self._tell(server, message)

    def _on_server(self, server: socket.socket, _mask: int) -> None:
        message, fds = receive_message(server)
        match message:
            case Start():
                self._start(server)
            case Rewire():
                self._rewire(server, message, fds)
            case Attach():
                self._attach(message, fds[0])
            case RunExec():
                self._run_exec(server, message, fds)
            case Resize():
                if message.session in self._sessions:
                    self._sessions[message.session].resize(rows=message.rows, columns=message.columns)
            case Kill():
                with suppress(ProcessLookupError):  # it ended; the news is on its way
                    os.kill(self._main.pid, message.signal)
            case _:
                self._watch.unregister(server)
                self._servers.remove(server)
                server.close()

    def _start(self, server: socket.socket) -> None:
        birth = _Birth(self._main, self._launch.steps, wants_stdin=self._launch.open_stdin)
        try:
            self._bear(birth, self._launch.steps, names=self._launch.names)
        except (_StartFailed, OSError) as error:
            exit_code = error.exit_code if isinstance(error, _StartFailed) else CANNOT_START
            for client in list(self._main.clients):
                client.end()
            self._remove_cgroups()
            self._tell(server, Failed(session=MAIN, text=str(error), exit_code=exit_code))
            self._finished = True
            return
        self._watch_exit(birth.pid, self._main_exited)
        self._tell(server, Started(session=MAIN, pid=birth.pid))

    def _bear(self, birth: _Birth, steps: Sequence[Step], *, names: NameService | None = None) -> None:
        """Perform the monitor's steps beside init's, and meet it at `Synchronise`."""
        context = MonitorContext(fork_init=birth.fork, wait_namespaces=birth.wait_namespaces, adopt_init=birth.adopt)
        try:
            for step in steps:
                if isinstance(step, Synchronise):
                    if names is not None:
                        self._serve_names(context, names)
                    birth.wait_ready()
                else:
                    _perform(step, context)
            birth.go()
        except BaseException:
            if context.init_pid:
                birth.abandon()
            raise
        finally:
            context.close()

    def _serve_names(self, context: MonitorContext, names: NameService | None) -> None:
        """Answer on the sockets that `ServeNames` bound, or answer differently from now on."""
        if context.name_sockets:
            sockets, context.name_sockets = context.name_sockets, []
            netns = open_namespace(context.init_pid, Clone.NEWNET)
            self._resolver = Resolver(self._watch, sockets, open_socket=partial(open_socket_in, netns))
        if self._resolver is not None:
            names = names or NameService()
            self._resolver.configure(paths=names.tables, links=dict(names.links), servers=names.servers)

    def _rewire(self, server: socket.socket, message: Rewire, fds: list[int]) -> None:
        """Change the network of the running container."""
        listeners = [socket.socket(fileno=fd) for fd in fds]
        context = MonitorContext(fork_init=lambda: 0, wait_namespaces=lambda: None, init_pid=self._main.pid)
        try:
            for step in message.steps:
                _perform(step, context)
            self._serve_names(context, message.names)
        except (_StartFailed, OSError) as error:
            for listener in listeners:
                listener.close()
            self._tell(server, Failed(session=MAIN, text=str(error), exit_code=CANNOT_START))
            return
        finally:
            context.close()
        if listeners or not message.proxies:
            for proxy in self._proxies:
                proxy.close()
            self._proxies = self._make_proxies(listeners, message.proxies)
        for proxy, target in zip(self._proxies, message.proxies, strict=True):
            proxy.retarget(_parse_address(target))
        self._tell(server, Started(session=MAIN, pid=self._main.pid))

    def _watch_exit(self, pid: int, action: partial[None] | object) -> None:
        pidfd = os.pidfd_open(pid)

        def on_exit(_mask: int) -> None:
            self._watch.unregister(pidfd)
            os.close(pidfd)
            _pid, status = os.waitpid(pid, 0)
            code = os.waitstatus_to_exitcode(status)
            action(code if code >= 0 else 128 - code)  # type: ignore[operator]  # a function of the exit code

        self._watch.register(pidfd, selectors.EVENT_READ, on_exit)

    def _attach(self, message: Attach, fd: int) -> None:
        streams = {1} if self._main.tty else {n for n, wanted in ((1, message.stdout), (2, message.stderr)) if wanted}
        client = Client(
            fd, self._watch, session=self._main, stdin=message.stdin and message.stream, streams=streams, keys=message.detach_keys,
            framed=not self._main.tty,
        )
        if message.logs and self._launch.log_path:
            self._replay(client)
        if message.stream and not self._finished:
            self._main.clients.append(client)
        else:
            client.end()

    def _replay(self, client: Client) -> None:
        with suppress(FileNotFoundError), open(self._launch.log_path, "rb") as file:
            for entry, _offset in read_entries(file.fileno()):
                client.send(entry.stream, entry.text)

    def _run_exec(self, server: socket.socket, message: RunExec, fds: list[int]) -> None:
        session = Session(message.id, self._watch, tty=message.tty, log=None, close_input_on_eof=True)
        birth = _Birth(session, message.steps, wants_stdin=message.stdin)
        try:
            self._bear(birth, message.steps)
        except (_StartFailed, OSError) as error:
            for fd in fds:
                os.close(fd)
            exit_code = error.exit_code if isinstance(error, _StartFailed) else CANNOT_START
            self._tell(server, Failed(session=message.id, text=str(error), exit_code=exit_code))
            return
        self._sessions[message.id] = session
        streams = {1} if message.tty else {n for n, wanted in ((1, message.stdout), (2, message.stderr)) if wanted}
        for fd in fds:
            session.clients.append(
                Client(
                    fd, self._watch, session=session, stdin=message.stdin, streams=streams, keys=message.detach_keys,
                    framed=message.framed,
                )
            )
        self._watch_exit(birth.pid, partial(self._exec_exited, session))
        self._tell(server, Started(session=message.id, pid=birth.pid))

    def _exec_exited(self, session: Session, exit_code: int) -> None:
        del self._sessions[session.name]
        # The news goes first: a client that has seen the end of its output asks for the exit code next.
        self._tell_all(ExecExited(session=session.name, exit_code=exit_code))
        session.finish()

    def _main_exited(self, exit_code: int) -> None:
        oom_killed = self._read_oom_kills() > 0
        self._main.finish()
        for session in list(self._sessions.values()):
            if session is not self._main:
                session.finish()
        exited = Exited(exit_code=exit_code, oom_killed=oom_killed, finished_at=format_time(time.time_ns()))
        self._keep(exited)
        self._remove_cgroups()
        for proxy in self._proxies:  # before the news, because a restart binds the same ports
            proxy.close()
        if self._resolver is not None:
            self._resolver.close()
        self._tell_all(exited)
        self._finished = True

    def _read_oom_kills(self) -> int:
        """Return the kernel's count of out-of-memory kills in this container's group, which began at zero."""
        with suppress(OSError):
            for line in Path(self._launch.oom_path).read_text(encoding="ascii").splitlines() if self._launch.oom_path else ():
                name, _, count = line.partition(" ")
                if name == "oom_kill":
                    return int(count)
        return 0

    def _keep(self, exited: Exited) -> None:
        """Write the exit file, if there is to be one: temporary name, synced, renamed."""
        if not self._launch.exit_path:  # a step of a build: without its server it has no meaning
            return
        with suppress(OSError):  # a full disk: the server that is listening still gets the message
            temporary = self._launch.exit_path + ".new"
            with open(temporary, "w", encoding="utf-8") as file:
                json.dump(render_record(exited), file)
                file.flush()
                os.fsync(file.fileno())
            os.replace(temporary, self._launch.exit_path)

    def _remove_cgroups(self) -> None:
        """Kill what is left in the control groups (a shared pid namespace does not die with us) and remove them."""
        for directory in self._launch.cgroups:
            for attempt in range(CGROUP_REMOVE_TRIES):
                try:
                    os.rmdir(directory)
                except FileNotFoundError:
                    break
                except OSError:
                    _kill_all(directory)
                    time.sleep(0.001 * attempt)
                else:
                    break


def _perform(step: Step, context: MonitorContext) -> None:
    try:
        perform_monitor_step(step, context)
    except OSError as error:
        name = f" `{error.filename}`" if error.filename else ""
        raise _StartFailed(f"{type(step).__name__} step{name}: {(error.strerror or str(error)).lower()}", CANNOT_START) from error


def _kill_all(cgroup: str) -> None:
    with suppress(OSError, ValueError):  # processes come and go while we look
        for line in Path(cgroup, "cgroup.procs").read_text(encoding="ascii").split():
            with suppress(ProcessLookupError):
                os.kill(int(line), signal.SIGKILL)
    with suppress(ChildProcessError):
        while os.waitpid(-1, os.WNOHANG)[0]:
            pass


def _parse_address(text: str) -> tuple[str, int]:
    host, _, port = text.rpartition(":")
    return host, int(port)


def run_monitor(launch: Launch, fds: Sequence[int]) -> NoReturn:
    """Be the monitor that *launch* describes.

    Preconditions:
        Runs in the child, right after the launcher's fork.
        *fds* are the listening socket and one bound socket for each proxy; ours now.
    """
    os.setsid()
    process.set_title("md:monitor")
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    try:
        if launch.network:
            enter_network(launch.network)
        sockets = [socket.socket(fileno=fd) for fd in fds]
        _Monitor(launch, sockets[0], sockets[1:]).run()
    finally:
        gc.disable()
        process.exit_child(0)
