"""`docker top`: the processes of a container, read from the host's `/proc`; see proc(5).

Docker runs the host's `ps`; we need no program for it. `COLUMNS` is the part of ps(1) that people use: the forms `-ef` (the default)
and `aux`, and columns chosen with `-o`.
"""

from __future__ import annotations

import os
import pwd
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from minidocker.container.record import ContainerRecord
from minidocker.engine.engine import Engine
from minidocker.engine.start import group_name
from minidocker.errors import HostError, InvalidParameter

__all__ = ["list_processes", "parse_ps_columns"]


@dataclass(frozen=True, slots=True, kw_only=True)
class _Process:
    """What `/proc/PID` says of one process; times in seconds."""

    pid: int
    ppid: int
    uid: int
    name: str
    command: str
    state: str
    terminal: int
    cpu_s: float
    age_s: float
    started: float
    nice: int
    virtual_kb: int
    resident_kb: int


def _user(process: _Process) -> str:
    with suppress(KeyError):  # a user that only the container knows: its number
        return pwd.getpwuid(process.uid).pw_name
    return str(process.uid)


def _clock(seconds: float) -> str:
    whole = int(seconds)
    return f"{whole // 3600:02}:{whole // 60 % 60:02}:{whole % 60:02}"


def _age(process: _Process) -> str:
    return _clock(process.age_s).removeprefix("00:")


def _percent(process: _Process) -> float:
    return 100 * process.cpu_s / process.age_s if process.age_s > 0 else 0.0


def _memory_percent(process: _Process) -> str:
    total_kb = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") // 1024
    return f"{100 * process.resident_kb / total_kb:.1f}"


_Column = tuple[str, Callable[[_Process], str]]
COLUMNS: Final[Mapping[str, _Column]] = {
    "pid": ("PID", lambda p: str(p.pid)),
    "ppid": ("PPID", lambda p: str(p.ppid)),
    "user": ("USER", _user),
    "euser": ("EUSER", _user),
    "uid": ("UID", lambda p: str(p.uid)),
    "comm": ("COMMAND", lambda p: p.name),
    "ucmd": ("CMD", lambda p: p.name),
    "args": ("COMMAND", lambda p: p.command),
    "command": ("COMMAND", lambda p: p.command),
    "cmd": ("CMD", lambda p: p.command),
    "stat": ("STAT", lambda p: p.state),
    "state": ("S", lambda p: p.state),
    "s": ("S", lambda p: p.state),
    "tty": ("TT", lambda p: f"pts/{os.minor(p.terminal)}" if p.terminal else "?"),
    "tname": ("TTY", lambda p: f"pts/{os.minor(p.terminal)}" if p.terminal else "?"),
    "time": ("TIME", lambda p: _clock(p.cpu_s)),
    "etime": ("ELAPSED", _age),
    "etimes": ("ELAPSED", lambda p: str(int(p.age_s))),
    "stime": ("STIME", lambda p: time.strftime("%H:%M", time.localtime(p.started))),
    "start": ("STARTED", lambda p: time.strftime("%H:%M:%S", time.localtime(p.started))),
    "c": ("C", lambda p: str(int(_percent(p)))),
    "pcpu": ("%CPU", lambda p: f"{_percent(p):.1f}"),
    "%cpu": ("%CPU", lambda p: f"{_percent(p):.1f}"),
    "pmem": ("%MEM", _memory_percent),
    "%mem": ("%MEM", _memory_percent),
    "ni": ("NI", lambda p: str(p.nice)),
    "vsz": ("VSZ", lambda p: str(p.virtual_kb)),
    "rss": ("RSS", lambda p: str(p.resident_kb)),
}
"""Column of `ps -o` → its title and what stands in it."""
_FULL: Final = (("UID", "user"), ("PID", "pid"), ("PPID", "ppid"), ("C", "c"), ("STIME", "stime"), ("TTY", "tname"), ("TIME", "time"), ("CMD", "args"))
_BSD: Final = (
    ("USER", "user"), ("PID", "pid"), ("%CPU", "pcpu"), ("%MEM", "pmem"), ("VSZ", "vsz"), ("RSS", "rss"), ("TTY", "tname"),
    ("STAT", "stat"), ("START", "stime"), ("TIME", "time"), ("COMMAND", "args"),
)  # fmt: skip


def parse_ps_columns(ps_args: str) -> tuple[tuple[str, str], ...]:
    """Return (title, column) for the arguments of ps(1); a column may be renamed: `pid=NUMBER`.

    Raises:
        InvalidParameter: a column that is not in `COLUMNS`, or a list without the pid, which Docker needs as well.
    """
    words = ps_args.replace("-eo", "-o").replace("-axo", "-o").split()
    chosen: list[tuple[str, str]] = []
    for index, word in enumerate(words):
        if word in ("-o", "o", "--format") and index + 1 < len(words):
            chosen += _parse_list(words[index + 1])
        elif word.startswith("-o") and len(word) > 2:
            chosen += _parse_list(word[2:])
    if not chosen:
        return _BSD if "aux" in ps_args else _FULL
    if all(column != "pid" for _, column in chosen):
        raise InvalidParameter("Couldn't find PID field in ps output")
    return tuple(chosen)


def _parse_list(text: str) -> Iterator[tuple[str, str]]:
    for item in text.split(","):
        column, equals, title = item.partition("=")
        if column.lower() not in COLUMNS:
            raise InvalidParameter(f"error running ps: unknown user-defined format specifier `{column}`", hint=f"there are {', '.join(COLUMNS)}")
        yield (title if equals else COLUMNS[column.lower()][0]), column.lower()


def list_processes(engine: Engine, record: ContainerRecord, ps_args: str) -> tuple[list[str], list[list[str]]]:
    """Return titles and rows, as *ps_args* ask for.

    Raises:
        InvalidParameter: columns that are not known here.
        HostError: without control groups nobody knows which processes are the container's.
    """
    if not engine.layout.hierarchies:
        raise HostError("list processes: this machine mounts no control groups")
    columns = parse_ps_columns(ps_args)
    tree = engine.layout.find("pids") or engine.layout.hierarchies[0]
    procs = Path(tree.mount_point, group_name(record), "cgroup.procs").read_text(encoding="ascii")
    processes = [process for pid in sorted(map(int, procs.split())) if (process := _read_process(pid))]
    return [title for title, _ in columns], [[COLUMNS[column][1](p) for _, column in columns] for p in processes]


def _read_process(pid: int) -> _Process | None:
    try:
        stat = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace")
        command = Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace").strip()
        uid = os.stat(f"/proc/{pid}").st_uid
        up = float(Path("/proc/uptime").read_text(encoding="ascii").split()[0])
    except OSError:  # it ended while we looked
        return None
    name, fields = stat[stat.index("(") + 1 : stat.rindex(")")], stat[stat.rindex(")") + 2 :].split()
    ticks = os.sysconf("SC_CLK_TCK")
    age = up - int(fields[19]) / ticks
    return _Process(
        pid=pid, ppid=int(fields[1]), uid=uid, name=name, command=command or f"[{name}]", state=fields[0],
        terminal=int(fields[4]), cpu_s=(int(fields[11]) + int(fields[12])) / ticks, age_s=age, started=time.time() - age,
        nice=int(fields[16]), virtual_kb=int(fields[20]) // 1024, resident_kb=int(fields[21]) * os.sysconf("SC_PAGE_SIZE") // 1024,
    )  # fmt: skip
