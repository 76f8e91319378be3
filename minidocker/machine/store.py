"""Machines that stay: a directory for each, with its settings, its disk, its certificates and the files it is booted from.

Acting. A machine is made whole or not at all: everything is put together under another name, which then becomes its own. Whether it
runs is asked of the kernel: whoever supervises a machine holds a lock on its directory. Chapter 20.
"""

from __future__ import annotations

import fcntl
import json
import os
import re
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from minidocker.errors import Conflict, HostError, InvalidParameter, NotFound
from minidocker.spec.record import read_record, render_record

__all__ = ["DEFAULT_NAME", "MachineRecord", "create_machine", "hold_lock", "is_running", "list_machines", "read_machine", "remove_machine"]

DEFAULT_NAME: Final = "default"
MIN_MEMORY_MIB: Final = 256
MIN_DISK_MIB: Final = 64
_NAME: Final = re.compile(r"[a-zA-Z0-9][a-zA-Z0-9_.-]{0,62}")
_RECORD: Final = "machine.json"


@dataclass(frozen=True, slots=True, kw_only=True)
class MachineRecord:
    """What a machine was created with."""

    name: str
    machine: str
    """The processor, as uname(2) names it."""
    kernel: str = ""
    """The version that its kernel says of itself."""
    processors: int = 1
    memory_mib: int = 1024
    disk_mib: int = 10_240
    port: int = 2376
    """Of the host, on loopback: where its server is reached."""
    shares: tuple[str, ...] = ()


def check_record(record: MachineRecord) -> None:
    """Refuse what cannot be a machine.

    Raises:
        InvalidParameter: says which value, and what it may be.
    """
    if not _NAME.fullmatch(record.name):
        raise InvalidParameter(f"create machine `{record.name}`: a name has letters, digits, `_`, `.` and `-`")
    limits = (("memory", record.memory_mib, MIN_MEMORY_MIB, "MiB"), ("disk", record.disk_mib, MIN_DISK_MIB, "MiB"), ("cpus", record.processors, 1, ""))
    for what, value, least, unit in limits:
        if value < least:
            raise InvalidParameter(f"create machine `{record.name}`: --{what} is at least {least} {unit}".rstrip())
    if not 1 <= record.port <= 65535:
        raise InvalidParameter(f"create machine `{record.name}`: `{record.port}` is no port")
    for share in record.shares:
        if not Path(share).is_dir():
            raise InvalidParameter(f"create machine `{record.name}`: share `{share}`: there is no such directory")


@contextmanager
def create_machine(root: Path, record: MachineRecord) -> Iterator[Path]:
    """Yield a directory to be filled with what machine *record* is booted from; afterwards the machine is there.

    Raises:
        Conflict: there is one of that name.
    """
    check_record(record)
    if (root / record.name).exists():
        raise Conflict(f"create machine `{record.name}`: there is one already", hint=f"minidocker machine rm {record.name}")
    try:
        root.mkdir(parents=True, exist_ok=True, mode=0o700)
        partial = Path(tempfile.mkdtemp(dir=root, prefix=".partial-"))
    except OSError as error:
        raise HostError(f"create machine `{record.name}`: {error.strerror}: `{error.filename}`") from error
    try:
        yield partial
        (partial / _RECORD).write_text(json.dumps(render_record(record), indent=2) + "\n", encoding="utf-8")
        (partial / "disk").touch()
        os.truncate(partial / "disk", record.disk_mib << 20)  # a sparse file: it grows with what is in it
        os.rename(partial, root / record.name)
    except OSError as error:
        raise HostError(f"create machine `{record.name}`: {error.strerror}: `{error.filename}`") from error
    finally:
        shutil.rmtree(partial, ignore_errors=True)


def read_machine(root: Path, name: str) -> MachineRecord:
    """Return the record of machine *name*.

    Raises:
        NotFound: there is none.
        InvalidParameter: its record is damaged.
    """
    try:
        text = (root / name / _RECORD).read_text(encoding="utf-8")
    except OSError as error:
        raise NotFound(f"no such machine: `{name}`", hint=f"minidocker machine create {name}") from error
    try:
        return read_record(MachineRecord, json.loads(text), where=name)
    except ValueError as error:
        raise InvalidParameter(f"read machine `{name}`: its record is damaged: {error}", hint=f"minidocker machine rm {name}") from error


def list_machines(root: Path) -> list[str]:
    """Return the names of all machines."""
    return sorted(path.parent.name for path in root.glob(f"*/{_RECORD}") if not path.parent.name.startswith("."))


@contextmanager
def hold_lock(directory: Path, *, wait: bool = False) -> Iterator[int]:
    """Hold the machine in *directory*: only one may run it. The lock ends with the process that has it, however that ends.

    Raises:
        Conflict: somebody else does.
    """
    with open(directory / "lock", "a", encoding="ascii") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
        except BlockingIOError as error:
            raise Conflict(f"machine `{directory.name}` is running already") from error
        yield file.fileno()


def is_running(directory: Path) -> bool:
    """Whether somebody runs the machine in *directory*."""
    try:
        with hold_lock(directory):
            return False
    except Conflict:
        return True


def remove_machine(root: Path, name: str) -> None:
    """Remove a machine that does not run, with all that is on its disk.

    Raises:
        NotFound: there is none.
        Conflict: it runs.
    """
    directory = root / name
    if not _NAME.fullmatch(name) or not directory.is_dir():
        raise NotFound(f"no such machine: `{name}`")
    if is_running(directory):
        raise Conflict(f"remove machine `{name}`: it is running", hint=f"minidocker machine stop {name}, or rm --force")
    grave = Path(tempfile.mkdtemp(dir=root, prefix=".partial-"))
    os.rename(directory, grave / name)  # gone at once, whatever happens to the rest
    shutil.rmtree(grave, ignore_errors=True)
