"""What is known of a container between two commands: one state file, and what `/proc` says.

Acting. The file is written once a `create` has succeeded and removed by `delete`; whether the container still waits, runs or has
stopped is never written down, because it can be seen: the gate's socket is there until `start` has gone through it, and a process is
the same only if it began at the same tick. See "State" of the OCI runtime specification, and proc(5). Chapter 16.
"""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path

from minidocker.errors import Conflict, HostError, InvalidParameter, NotFound
from minidocker.kernel.durable import write_durably
from minidocker.oci.bundle import OCI_VERSION, Spec, read_bundle
from minidocker.spec.record import Json, read_record, render_record

__all__ = ["GATE", "ContainerState", "StateStore", "Status", "compute_status", "read_start_ticks", "render_state"]

GATE = "start.sock"
"""Where init waits until somebody connects."""
_NAME = re.compile(r"[\w+.-]+")


class Status(StrEnum):
    """The specification's words, and runc's for a frozen one."""

    CREATED = "created"
    RUNNING = "running"
    PAUSED = "paused"
    STOPPED = "stopped"


@dataclass(frozen=True, slots=True, kw_only=True)
class ContainerState:
    """One container."""

    id: str
    pid: int
    start_ticks: int
    """When the process began, in clock ticks after boot: a number that the kernel gave to another process is not it."""
    bundle: str
    created: str
    cgroups: tuple[str, ...] = ()
    """Directories of its control groups."""
    freezer: str = ""
    annotations: Mapping[str, str] = field(default_factory=dict)


def read_start_ticks(pid: int) -> int:
    """Return when a process began; 0 if there is none, or only its exit status is left."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return 0
    fields = stat[stat.rindex(")") + 2 :].split()
    return 0 if fields[0] in ("Z", "X") else int(fields[19])


def compute_status(state: ContainerState, *, start_ticks: int, at_gate: bool, frozen: bool) -> Status:
    """Return where a container is in its life."""
    if start_ticks == 0 or start_ticks != state.start_ticks:
        return Status.STOPPED
    if at_gate:
        return Status.CREATED
    return Status.PAUSED if frozen else Status.RUNNING


def render_state(state: ContainerState, status: Status) -> dict[str, Json]:
    """Return what hooks and `state` show; a container that has stopped has no process."""
    document: dict[str, Json] = {
        "ociVersion": OCI_VERSION, "id": state.id, "pid": 0 if status is Status.STOPPED else state.pid, "status": status.value,
        "bundle": state.bundle,
    }  # fmt: skip
    return document | ({"annotations": dict(state.annotations)} if state.annotations else {})


class StateStore:
    """The state files below one directory."""

    def __init__(self, root: Path) -> None:
        """Use *root*, which is made when something is kept."""
        self.root = root

    def directory(self, container_id: str) -> Path:
        """Return the directory of a container.

        Raises:
            InvalidParameter: the id cannot be a directory's name.
        """
        if not _NAME.fullmatch(container_id) or container_id in (".", ".."):
            raise InvalidParameter(f"invalid id format: `{container_id}`", hint="letters, digits, and `_+-.`")
        return self.root / container_id

    def reserve(self, container_id: str) -> Path:
        """Make a container's directory; nobody else can have the id from here on.

        Raises:
            Conflict: somebody has it.
        """
        directory = self.directory(container_id)
        self.root.mkdir(mode=0o700, parents=True, exist_ok=True)
        try:
            directory.mkdir(mode=0o711)
        except FileExistsError:
            raise Conflict(f"container with id exists: `{container_id}`", hint="delete it, or take another id") from None
        return directory

    def save(self, state: ContainerState) -> None:
        """Keep *state*."""
        write_durably(self.directory(state.id) / "state.json", json.dumps(render_record(state)).encode())

    def spec(self, container_id: str) -> Spec:
        """Return the configuration that a container was made from."""
        return read_bundle(self.directory(container_id))

    def require(self, container_id: str) -> ContainerState:
        """Return a container's state.

        Raises:
            NotFound: there is none.
            HostError: its file cannot be read.
        """
        path = self.directory(container_id) / "state.json"
        try:
            return read_record(ContainerState, json.loads(path.read_bytes()))
        except FileNotFoundError:
            raise NotFound(f"container `{container_id}` does not exist") from None
        except (OSError, ValueError) as error:
            raise HostError(f"read `{path}`: {error}") from error

    def status(self, state: ContainerState) -> Status:
        """Return where a container is in its life, by looking."""
        frozen = False
        with suppress(OSError):  # its control group is gone with it
            frozen = bool(state.freezer) and Path(state.freezer).read_text(encoding="ascii").strip() in ("FROZEN", "1")
        at_gate = (self.directory(state.id) / GATE).exists()
        return compute_status(state, start_ticks=read_start_ticks(state.pid), at_gate=at_gate, frozen=frozen)

    def all(self) -> list[ContainerState]:
        """Return every container."""
        names = sorted(path.name for path in self.root.iterdir()) if self.root.is_dir() else []
        found = []
        for name in names:
            with suppress(NotFound, InvalidParameter):  # being made, or not ours
                found.append(self.require(name))
        return found

    def forget(self, container_id: str) -> None:
        """Remove a container's directory."""
        shutil.rmtree(self.directory(container_id), ignore_errors=True)
