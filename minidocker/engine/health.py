"""Health checks: one thread for each running container that has a test.

Acting. A test is an exec like any other, whose output goes to us. The thread sleeps until the next test is due; `stop_health` wakes
it for good. What it learns is in the container's record; on disk only when the status changes, because a test each second must not
mean a write each second. Chapter 11.
"""

from __future__ import annotations

import os
import select
import signal
import socket
import threading
import time
from contextlib import suppress
from dataclasses import replace
from typing import TYPE_CHECKING, Final

from minidocker.codec.frames import FrameDecoder
from minidocker.container.health import (
    MAX_OUTPUT_BYTES,
    Health,
    Probe,
    compute_pause_ns,
    compute_timeout_ns,
    find_test,
    judge_probe,
)
from minidocker.container.logs import format_time
from minidocker.engine.engine import publish_container_event
from minidocker.errors import MinidockerError

if TYPE_CHECKING:
    from minidocker.engine.engine import Engine
    from minidocker.engine.store import Handle
    from minidocker.spec.container import HealthConfig

__all__ = ["start_health", "stop_health"]

_READ_BYTES: Final = 65536
_NEWS_LIMIT_S: Final = 5.0
"""How long the news of an exit may take after the end of the output: both come from the monitor, on two sockets."""
_NEWS_PAUSE_S: Final = 0.002


def start_health(engine: Engine, handle: Handle, *, resumed: bool = False) -> None:
    """Begin to test a container that runs, if it has a test; its lock is held.

    With *resumed* it ran before, under another server or until it was paused: what is known of it stays.
    """
    config = handle.record.config.healthcheck
    if config is None or not find_test(config, handle.record.config.shell):
        return
    stop_health(handle)
    if not resumed or handle.record.state.health is None:
        handle.save(replace(handle.record, state=replace(handle.record.state, health=Health())))
    stopped = handle.health_stopped = threading.Event()
    threading.Thread(target=_watch, args=(engine, handle, config, stopped), name="md:health", daemon=True).start()


def stop_health(handle: Handle) -> None:
    """Test a container no more; its lock is held."""
    if handle.health_stopped is not None:
        handle.health_stopped.set()
        handle.health_stopped = None


def _watch(engine: Engine, handle: Handle, config: HealthConfig, stopped: threading.Event) -> None:
    began_ns = time.monotonic_ns()
    while True:
        health = handle.record.state.health or Health()
        if stopped.wait(compute_pause_ns(config, health, time.monotonic_ns() - began_ns) / 1e9):
            return
        age_ns = time.monotonic_ns() - began_ns
        probe = _probe(engine, handle, config)
        with handle.lock:
            if stopped.is_set():
                return  # what was tested has ended meanwhile
            _note(engine, handle, judge_probe(config, handle.record.state.health or Health(), probe, age_ns))


def _note(engine: Engine, handle: Handle, health: Health) -> None:
    before = handle.record.state.health
    record = replace(handle.record, state=replace(handle.record.state, health=health))
    if before is not None and before.status is health.status:
        handle.record = record
        return
    with suppress(OSError):  # a full disk must not end the tests
        handle.save(record)
    handle.record = record
    publish_container_event(engine, handle, f"health_status: {health.status}")


def _probe(engine: Engine, handle: Handle, config: HealthConfig) -> Probe:
    """Make one test and return how it went."""
    from minidocker.engine.exec import ExecRequest, create_exec, require_exec, start_exec  # exec starts with `start`, as we do

    start = format_time(time.time_ns())
    timeout_ns = compute_timeout_ns(config)
    request = ExecRequest(cmd=find_test(config, handle.record.config.shell), attach_stdout=True, attach_stderr=True)
    ours, theirs = socket.socketpair()
    with ours, theirs:
        try:
            exec_id = create_exec(engine, handle.record.id, request)
            start_exec(engine, exec_id, detach=False, tty=False, rows=0, columns=0, connection_fd=theirs.fileno())
        except MinidockerError as error:
            return Probe(start=start, end=format_time(time.time_ns()), exit_code=-1, output=error.message)
        theirs.close()
        output = _read_output(ours, time.monotonic_ns() + timeout_ns)
    if output is None:
        with suppress(ProcessLookupError):  # it ended this very moment
            os.kill(require_exec(engine, exec_id).pid, signal.SIGKILL)
    exit_code = _wait_exit_code(engine, handle, exec_id)
    if output is None:
        exit_code, output = -1, f"Health check exceeded timeout ({timeout_ns / 1e9:g}s)".encode()
    return Probe(start=start, end=format_time(time.time_ns()), exit_code=exit_code, output=output.decode(errors="replace"))


def _wait_exit_code(engine: Engine, handle: Handle, exec_id: str) -> int:
    """Return the exit status of a test whose output has ended, and forget the exec."""
    from minidocker.engine.exec import require_exec

    deadline = time.monotonic() + _NEWS_LIMIT_S
    while (code := require_exec(engine, exec_id).exit_code) is None and time.monotonic() < deadline:
        time.sleep(_NEWS_PAUSE_S)
    with handle.lock:
        handle.execs.pop(exec_id, None)
    return -1 if code is None else code


def _read_output(connection: socket.socket, deadline_ns: int) -> bytes | None:
    """Return the first bytes that a test writes, once it has ended; None if it does not end in time."""
    decoder, kept = FrameDecoder(), bytearray()
    poll = select.poll()
    poll.register(connection, select.POLLIN)
    while (left_ns := deadline_ns - time.monotonic_ns()) > 0:
        if poll.poll(left_ns / 1e6):
            data = connection.recv(_READ_BYTES)
            if not data:
                return bytes(kept[:MAX_OUTPUT_BYTES])
            for frame in decoder.feed(data):
                kept += frame.payload[: MAX_OUTPUT_BYTES - len(kept)] if len(kept) < MAX_OUTPUT_BYTES else b""
    return None
