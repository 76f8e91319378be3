"""`docker top`: the processes of a container, read from the host's `/proc`; see proc(5).

Docker runs the host's `ps`; we need no program for it, and offer the columns of `ps -ef` (the default) and of `ps aux`.
"""

from __future__ import annotations

import os
import time
from pathlib import Path

from minidocker.container.record import ContainerRecord
from minidocker.engine.engine import Engine
from minidocker.engine.start import group_name
from minidocker.errors import HostError

__all__ = ["list_processes"]


def list_processes(engine: Engine, record: ContainerRecord, ps_args: str) -> tuple[list[str], list[list[str]]]:
    """Return titles and rows; *ps_args* of `aux` changes the columns."""
    if not engine.layout.hierarchies:
        raise HostError("list processes: this machine mounts no control groups")
    tree = engine.layout.find("pids") or engine.layout.hierarchies[0]
    procs = Path(tree.mount_point, group_name(record), "cgroup.procs").read_text(encoding="ascii")
    rows = [row for pid in sorted(map(int, procs.split())) if (row := _read_process(pid))]
    if "aux" in ps_args:
        titles = ["USER", "PID", "%CPU", "%MEM", "VSZ", "RSS", "TTY", "STAT", "START", "TIME", "COMMAND"]
        keys = ["uid", "pid", "c", "mem", "vsz", "rss", "tty", "stat", "stime", "time", "cmd"]
    else:
        titles = ["UID", "PID", "PPID", "C", "STIME", "TTY", "TIME", "CMD"]
        keys = ["uid", "pid", "ppid", "c", "stime", "tty", "time", "cmd"]
    return titles, [[row[key] for key in keys] for row in rows]


def _read_process(pid: int) -> dict[str, str] | None:
    try:
        stat = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace")
        command = Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace").strip()
        uid = os.stat(f"/proc/{pid}").st_uid
        boot = float(Path("/proc/uptime").read_text(encoding="ascii").split()[0])
    except OSError:  # it ended while we looked
        return None
    name, fields = stat[stat.index("(") + 1 : stat.rindex(")")], stat[stat.rindex(")") + 2 :].split()
    ticks = os.sysconf("SC_CLK_TCK")
    seconds = (int(fields[11]) + int(fields[12])) // ticks
    started = time.time() - boot + int(fields[19]) / ticks
    terminal = int(fields[4])
    return {
        "uid": "root" if uid == 0 else str(uid), "pid": str(pid), "ppid": fields[1], "c": "0", "mem": "0.0",
        "vsz": str(int(fields[20]) // 1024), "rss": str(int(fields[21]) * os.sysconf("SC_PAGE_SIZE") // 1024),
        "stat": fields[0], "stime": time.strftime("%H:%M", time.localtime(started)),
        "tty": f"pts/{os.minor(terminal)}" if terminal else "?",
        "time": f"{seconds // 3600:02}:{seconds // 60 % 60:02}:{seconds % 60:02}", "cmd": command or f"[{name}]",
    }  # fmt: skip
