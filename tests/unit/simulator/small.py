"""A machine small enough to see whole: a root with a few directories, and one process with all privileges."""

from __future__ import annotations

from minidocker.kernel.flags import Ms
from minidocker.simulator.files import make_directories
from minidocker.simulator.linux import Linux
from minidocker.simulator.machine import EXAMPLE_FACTS, boot
from minidocker.simulator.mounts import mount
from minidocker.simulator.views import list_mounts

DIRECTORIES = ("/a", "/b", "/c", "/a/x", "/b/x", "/new", "/new/old")


def start() -> tuple[Linux, int]:
    """Return the example machine with directories to mount on; its mounts are all private."""
    linux, pid = boot(EXAMPLE_FACTS)
    for path in DIRECTORIES:
        linux = make_directories(linux, linux.processes[pid].root, path)
    return mount(linux, pid, source="", target="/", flags=Ms.PRIVATE | Ms.REC), pid


def tmpfs(linux: Linux, pid: int, target: str, *directories: str) -> Linux:
    """Mount a tmpfs, with directories in it."""
    linux = mount(linux, pid, source="tmpfs", target=target, fstype="tmpfs")
    for name in directories:
        linux = make_directories(linux, linux.processes[pid].root, f"{target}/{name}")
    return linux


def bind(linux: Linux, pid: int, source: str, target: str, *, recursive: bool = False) -> Linux:
    """Bind *source* on *target*."""
    return mount(linux, pid, source=source, target=target, flags=Ms.BIND | (Ms.REC if recursive else Ms(0)))


def change(linux: Linux, pid: int, target: str, kind: Ms) -> Linux:
    """Change the propagation of one mount."""
    return mount(linux, pid, source="", target=target, flags=kind)


def points(linux: Linux, pid: int) -> list[str]:
    """Return where something is mounted, among the directories of this page."""
    return sorted(m.mount_point for m in list_mounts(linux, pid) if m.mount_point.startswith(("/a", "/b", "/c", "/new")))
