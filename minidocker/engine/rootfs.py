"""The root file system of a container as an open directory, with its volumes, whether it runs or not.

Acting. A running container has it already: `/proc/PID/root`, with everything that is mounted there. One that does not run gets its
mounts for the time that somebody works in it (`minidocker.kernel.mount_thread`); for reading, under a scratch layer, so that not
even the mount points it lacks are made in it. Every mount point is found with the container's root as `/` and mounted on through
its descriptor, because a volume may be shared with a container that swaps its directories for links just now
(CVE-2018-15664, CVE-2026-41568, CVE-2026-42306). Chapter 16.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING

from minidocker.engine.changes import layer_paths
from minidocker.errors import Conflict
from minidocker.kernel.flags import Ms
from minidocker.kernel.mount import fd_path, make_directories, make_file, mount, open_in_root
from minidocker.kernel.mount_thread import mounted_apart

if TYPE_CHECKING:
    from minidocker.container.record import ContainerRecord
    from minidocker.engine.engine import Engine
    from minidocker.engine.store import Handle

__all__ = ["open_rootfs"]

_NAME_FILES = ("resolv.conf", "hostname", "hosts")
_OPEN_ROOT = os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC


@contextmanager
def open_rootfs(engine: Engine, handle: Handle, *, write: bool) -> Iterator[int]:
    """Yield a descriptor of a container's root directory.

    A container that does not run cannot be started while somebody writes to it.

    Raises:
        OSError: something cannot be mounted or opened.
        Conflict: it ended just now.
    """
    with handle.lock:
        if handle.record.state.running:
            fd = _open_running(engine, handle.record)
        elif write:
            with _assembled(engine, handle.record, write=True) as fd:
                yield fd
            return
        else:
            fd = -1
    if fd == -1:
        with _assembled(engine, handle.record, write=False) as fd:
            yield fd
        return
    try:
        yield fd
    finally:
        os.close(fd)


def _open_running(engine: Engine, record: ContainerRecord) -> int:
    """Open the root of the first process; who has its number must be in its control group, as numbers are used again."""
    pid = record.state.pid
    try:
        fd = os.open(f"/proc/{pid}/root", _OPEN_ROOT)
        groups = Path(f"/proc/{pid}/cgroup").read_text(encoding="ascii", errors="replace")
    except (FileNotFoundError, ProcessLookupError):
        raise Conflict(f"container {record.id} is not running") from None
    if engine.layout.version and record.id not in groups:
        os.close(fd)
        raise Conflict(f"container {record.id} is not running")
    return fd


@contextmanager
def _assembled(engine: Engine, record: ContainerRecord, *, write: bool) -> Iterator[int]:
    directory = engine.containers.directory / record.id
    is_overlay = record.driver == "overlay2"
    merged = str(directory / ("merged" if is_overlay else "rootfs"))

    def build() -> int:
        root = _mount_overlay(engine, record, directory, merged, write=write) if is_overlay else _bind(merged)
        fd = os.open(root, _OPEN_ROOT)
        for source, target in _mounts_of(record, directory):
            with suppress(OSError):  # a source that is gone, a place that cannot be made: then it is not there
                _attach(fd, source, target)
        return fd

    with mounted_apart(build, mount_point=merged) as fd:
        yield fd


def _mount_overlay(engine: Engine, record: ContainerRecord, directory: Path, merged: str, *, write: bool) -> str:
    """Stack the layers of a container; return where."""
    os.chdir(engine.images.content.layers)  # of this thread alone; names from here are short enough for all to fit in one page
    own = os.path.relpath(directory)
    lower = ":".join(str(path.relative_to(engine.images.content.layers)) for path in layer_paths(engine, record))
    if write:
        upper, work, root = f"{own}/upper", f"{own}/work", merged
    else:
        mount("tmpfs", merged, fstype="tmpfs", flags=Ms.NOSUID | Ms.NODEV, data="mode=700")
        for name in ("u", "w", "r"):
            os.mkdir(f"{merged}/{name}")
        upper, work, root = f"{own}/merged/u", f"{own}/merged/w", f"{merged}/r"
        lower = f"{own}/upper:{lower}"
    data = f"lowerdir={lower},upperdir={upper},workdir={work},{engine.overlay_options}"
    mount("overlay", root, fstype="overlay", flags=Ms.NODEV, data=data)
    return root


def _bind(rootfs: str) -> str:
    mount(rootfs, rootfs, flags=Ms.BIND | Ms.NODEV)
    return rootfs


def _mounts_of(record: ContainerRecord, directory: Path) -> Iterator[tuple[str, str]]:
    """Yield (host path, container path) of what is bound into a container, a parent before what lies in it."""
    for name in _NAME_FILES:
        if (directory / name).exists():
            yield str(directory / name), f"/etc/{name}"
    for point in sorted(record.mounts, key=lambda point: point.destination.count("/")):
        if point.type != "tmpfs":
            yield point.source, point.destination


def _attach(root_fd: int, source: str, target: str) -> None:
    (make_directories if os.path.isdir(source) else make_file)(root_fd, target)
    fd = open_in_root(root_fd, target)
    try:
        mount(source, fd_path(fd), flags=Ms.BIND | Ms.REC)
    finally:
        os.close(fd)
