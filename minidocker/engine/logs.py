"""`docker logs`: the container's log file, from a line or a time on, and as it grows."""

from __future__ import annotations

import os
import select
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

from minidocker.container.logs import LogEntry, find_tail_offset, format_time, read_entries
from minidocker.engine.engine import Engine
from minidocker.engine.wait import wait_container
from minidocker.errors import InvalidParameter, NotSupported
from minidocker.kernel.inotify import watch_file

__all__ = ["LogOptions", "read_logs"]


@dataclass(frozen=True, slots=True, kw_only=True)
class LogOptions:
    """Which lines."""

    stdout: bool = False
    stderr: bool = False
    follow: bool = False
    timestamps: bool = False
    details: bool = False
    tail: int | None = None
    """How many lines from the end; None is all."""
    since_ns: int | None = None
    until_ns: int | None = None


def read_logs(engine: Engine, reference: str, options: LogOptions, *, disconnect_fd: int) -> Iterator[tuple[int, bytes]]:
    """Return (stream, line) for each line that *options* select; following ends with the container or the client.

    Raises:
        InvalidParameter: neither stream was asked for.
        NotSupported: the container's log driver keeps nothing.
    """
    handle = engine.containers.require(reference)
    if not (options.stdout or options.stderr):
        raise InvalidParameter("Bad parameters: you must choose at least one stream")
    if handle.record.host_config.log_config.type == "none":
        raise NotSupported("configured logging driver does not support reading")
    prefix = _details(handle.record.host_config.log_config.config) if options.details else b""
    return _lines(engine, handle.record.id, handle.log_path, options, prefix, disconnect_fd)


def _details(config: object) -> bytes:
    pairs = sorted(config.items()) if isinstance(config, dict) else []
    return ",".join(f"{k}={v}" for k, v in pairs).encode() + b" "


def _lines(
    engine: Engine, container_id: str, path: Path, options: LogOptions, prefix: bytes, disconnect_fd: int
) -> Iterator[tuple[int, bytes]]:
    since = format_time(options.since_ns) if options.since_ns is not None else ""
    until = format_time(options.until_ns) if options.until_ns is not None else "9999"
    streams = {n for n, wanted in ((1, options.stdout), (2, options.stderr)) if wanted}
    for entry in _entries(engine, container_id, path, options, disconnect_fd):
        if entry.time > until:
            return
        if entry.stream in streams and entry.time >= since:
            stamp = entry.time.encode() + b" " if options.timestamps else b""
            yield entry.stream, stamp + prefix + entry.text


def _entries(engine: Engine, container_id: str, path: Path, options: LogOptions, disconnect_fd: int) -> Iterator[LogEntry]:
    """Yield entries to the end of the file and, following, to the end of the container."""
    with ExitStack() as stack:
        waiter = wait_container(engine, container_id, "not-running") if options.follow else None
        if waiter is not None:
            stack.callback(waiter.close)
        try:
            fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        except FileNotFoundError:  # never started
            return
        offset = 0 if options.tail is None else find_tail_offset(fd, lines=options.tail)
        changes = watch_file(str(path)) if waiter is not None else -1
        try:
            while True:
                ended = waiter is None or waiter.result is not None  # looked at before reading, so that nothing is missed
                for entry, end in read_entries(fd, offset=offset):
                    offset = end
                    yield entry
                if ended or waiter is None:
                    return
                ready = _wait_for(waiter.fileno(), changes, disconnect_fd)
                if disconnect_fd in ready:
                    return
                if changes in ready:
                    os.read(changes, 4096)
                    fd, offset, changes = _follow_rotation(path, fd, offset, changes)
        finally:
            os.close(fd)
            if changes >= 0:
                os.close(changes)


def _wait_for(waiter: int, changes: int, client: int) -> set[int]:
    """Return which of the three has news; the client's is only that it went away."""
    poll = select.poll()
    poll.register(waiter, select.POLLIN)
    poll.register(changes, select.POLLIN)
    poll.register(client, select.POLLRDHUP)
    return {fd for fd, _mask in poll.poll()}


def _follow_rotation(path: Path, fd: int, offset: int, changes: int) -> tuple[int, int, int]:
    """Return where to go on reading: the same file, or the new one after a rotation."""
    try:
        current = os.stat(path)
    except FileNotFoundError:
        return fd, offset, changes
    opened = os.fstat(fd)
    if os.path.samestat(current, opened):
        return fd, 0 if opened.st_size < offset else offset, changes
    os.close(changes)
    new_changes = watch_file(str(path))
    os.close(fd)
    return os.open(path, os.O_RDONLY | os.O_CLOEXEC), 0, new_changes
