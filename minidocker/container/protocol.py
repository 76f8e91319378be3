"""What server, launcher, monitor and init say to each other: typed messages over SEQPACKET sockets.

One datagram is one message: a JSON record, with descriptors beside it. A message too large for a datagram travels as a
memory file whose descriptor comes first; descriptors beyond what a datagram holds come in datagrams before it.

| from     | to       | messages                                                        |
|----------|----------|-----------------------------------------------------------------|
| server   | launcher | `Launch` + listening socket                                      |
| server   | monitor  | `Start`, `Attach` + client, `RunExec` + client, `Resize`, `Kill`, |
|          |          | `Rewire` + listening sockets                                    |
| monitor  | server   | `Welcome`, `Started`, `Failed`, `ExecExited`, `Exited`           |
| init     | monitor  | `HandedOver`, `NamespacesMade`, `ConsoleMade` + terminal, `Ready`, `Failed` |
| monitor  | init     | `Go`                                                            |

Init says nothing when it has become the command: execve closes its end, and the end of the stream is the news. Chapter 16.
"""

from __future__ import annotations

import array
import json
import os
import socket
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import ClassVar, Final

from minidocker.kernel.steps import Step
from minidocker.spec.record import read_record, render_record

__all__ = [
    "MAIN", "Attach", "ConsoleMade", "ExecExited", "Exited", "Failed", "Go", "HandedOver", "Kill", "Launch", "Message", "NameService",
    "NamespacesMade", "Ready", "Resize", "Rewire", "RunExec", "Start", "Started", "Welcome", "receive_message", "send_message",
]  # fmt: skip

MAIN: Final = ""
"""The session of the container's own command; an exec's session is its id."""

_MAX_DATAGRAM_BYTES: Final = 64 * 1024
"""Below the default socket buffer (208 KiB), so that a datagram never waits for the administrator's limits."""
_INLINE, _IN_FILE, _MORE_FDS = b"\0", b"\1", b"\2"
_MAX_FDS: Final = 250
"""A little less than `SCM_MAX_FD`: a container can publish a thousand ports."""


@dataclass(frozen=True, slots=True, kw_only=True)
class NameService:
    """What a container's name service needs to answer."""

    tables: tuple[str, ...] = ()
    """Files with the names of each network that it is in."""
    links: Mapping[str, str] = field(default_factory=dict)
    """Names that only this container knows, and the names that they stand for."""
    servers: tuple[str, ...] = ()
    """Who is asked for everything else; none for a container that reaches nobody outside."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Launch:
    """Everything a monitor needs for its whole life."""

    TAGGED: ClassVar[bool] = True
    id: str
    steps: tuple[Step, ...]
    tty: bool = False
    open_stdin: bool = False
    stdin_once: bool = False
    log_path: str = ""
    """Where the json-file log goes; empty for `--log-driver none`."""
    log_max_bytes: int = 0
    """Rotate at this size; 0 never."""
    log_max_files: int = 1
    exit_path: str = ""
    """Where the exit status is kept for a server that is away."""
    cgroups: tuple[str, ...] = ()
    """Control group directories to remove at the end."""
    oom_path: str = ""
    """File with an `oom_kill N` line; empty where memory is not controlled."""
    proxies: tuple[str, ...] = ()
    """`address:port` behind each published port; the listening sockets come with the message."""
    names: NameService | None = None
    """None for a container on the default bridge, which has no name service."""
    network: str = ""
    """File that stands for the network namespace of the bridges, which the monitor moves to; empty: it is there."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Rewire:
    """Perform network steps on the running container: it joined a network, left one or was renamed.

    New listening sockets come along if it publishes ports from now on.
    """

    TAGGED: ClassVar[bool] = True
    steps: tuple[Step, ...] = ()
    proxies: tuple[str, ...] = ()
    """`address:port` behind each published port, in the same order as ever."""
    names: NameService | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Start:
    """Perform the steps."""

    TAGGED: ClassVar[bool] = True


@dataclass(frozen=True, slots=True, kw_only=True)
class Attach:
    """Connect the client whose socket comes along to the main session."""

    TAGGED: ClassVar[bool] = True
    stdin: bool = False
    stdout: bool = False
    stderr: bool = False
    stream: bool = True
    logs: bool = False
    """Whether the log so far is sent first."""
    detach_keys: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class RunExec:
    """Run another command in the container, for the client whose socket comes along, if any."""

    TAGGED: ClassVar[bool] = True
    id: str
    steps: tuple[Step, ...]
    tty: bool = False
    stdin: bool = False
    stdout: bool = False
    stderr: bool = False
    framed: bool = True
    """Whether the client expects frames: what it said when it started the exec, whatever there is a terminal or not."""
    detach_keys: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Resize:
    """Set the window size of a session's terminal."""

    TAGGED: ClassVar[bool] = True
    session: str
    rows: int
    columns: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Kill:
    """Send a signal to the container's first process; its parent can do so without hitting a reused pid."""

    TAGGED: ClassVar[bool] = True
    signal: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Welcome:
    """First word to every server that connects: is the command running, and which execs are?"""

    TAGGED: ClassVar[bool] = True
    pid: int = 0
    execs: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Started:
    """The session's command runs."""

    TAGGED: ClassVar[bool] = True
    session: str
    pid: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Failed:
    """The session's command could not be started; nothing of it is left."""

    TAGGED: ClassVar[bool] = True
    session: str
    text: str
    exit_code: int


@dataclass(frozen=True, slots=True, kw_only=True)
class ExecExited:
    """An exec ended."""

    TAGGED: ClassVar[bool] = True
    session: str
    exit_code: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Exited:
    """The container's command ended; also the content of the exit file."""

    TAGGED: ClassVar[bool] = True
    exit_code: int
    oom_killed: bool
    finished_at: str


@dataclass(frozen=True, slots=True, kw_only=True)
class NamespacesMade:
    """Init is in its namespaces: the network can be configured."""

    TAGGED: ClassVar[bool] = True


@dataclass(frozen=True, slots=True, kw_only=True)
class HandedOver:
    """Init's child goes on in init's place."""

    TAGGED: ClassVar[bool] = True
    pid: int


@dataclass(frozen=True, slots=True, kw_only=True)
class ConsoleMade:
    """The master side of the terminal comes along."""

    TAGGED: ClassVar[bool] = True


@dataclass(frozen=True, slots=True, kw_only=True)
class Ready:
    """Init has done everything that can fail for reasons of the host, and waits."""

    TAGGED: ClassVar[bool] = True


@dataclass(frozen=True, slots=True, kw_only=True)
class Go:
    """The monitor is ready too."""

    TAGGED: ClassVar[bool] = True
    wait: bool = False
    """Whether init then waits at its gate until somebody else connects and lets it go: OCI's `create` and `start`."""


Message = (
    Launch | Start | Rewire | Attach | RunExec | Resize | Kill | Welcome | Started | Failed | ExecExited | Exited | NamespacesMade
    | HandedOver | ConsoleMade | Ready | Go
)  # fmt: skip
"""Any message."""


def send_message(connection: socket.socket, message: Message, *, fds: Sequence[int] = ()) -> None:
    """Send *message* with copies of *fds*.

    Raises:
        OSError: nobody is at the other end.
    """
    content = json.dumps(render_record(message)).encode()
    while len(fds) >= _MAX_FDS:
        _send(connection, _MORE_FDS, fds[:_MAX_FDS])
        fds = fds[_MAX_FDS:]
    if len(content) < _MAX_DATAGRAM_BYTES:
        _send(connection, _INLINE + content, fds)
        return
    file = os.memfd_create("message", os.MFD_CLOEXEC)
    try:
        os.write(file, content)
        os.lseek(file, 0, os.SEEK_SET)
        _send(connection, _IN_FILE, [file, *fds])
    finally:
        os.close(file)


def _send(connection: socket.socket, datagram: bytes, fds: Sequence[int]) -> None:
    ancillary = [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", fds))] if fds else []
    connection.sendmsg([datagram], ancillary, socket.MSG_NOSIGNAL)


def receive_message(connection: socket.socket) -> tuple[Message | None, list[int]]:
    """Return the next message and its descriptors (close-on-exec, the caller's to close); None at the end."""
    received: list[int] = []
    kind = _MORE_FDS
    while kind == _MORE_FDS:
        datagram, fds = _receive(connection)
        kind, content = datagram[:1], datagram[1:]
        if kind == _IN_FILE:
            with os.fdopen(fds.pop(0), "rb") as file:
                content = file.read()
        received += fds
    if not kind:
        for fd in received:
            os.close(fd)
        return None, []
    message: Message = read_record(Message, json.loads(content))  # type: ignore[arg-type]  # a union stands for its members
    return message, received


def _receive(connection: socket.socket) -> tuple[bytes, list[int]]:
    """Return one datagram, empty at the end, and the descriptors beside it."""
    space = socket.CMSG_SPACE(_MAX_FDS * array.array("i").itemsize)
    try:
        datagram, ancillary, _flags, _address = connection.recvmsg(_MAX_DATAGRAM_BYTES + 1, space, socket.MSG_CMSG_CLOEXEC)
    except ConnectionResetError:
        return b"", []
    fds = array.array("i")
    for _level, _kind, data in ancillary:
        fds.frombytes(data[: len(data) - len(data) % fds.itemsize])
    return datagram, list(fds)
