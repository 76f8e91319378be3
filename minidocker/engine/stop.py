"""`docker stop`, `kill`, `restart`, `pause`, `unpause`: signals, time limits, and the freezer."""

from __future__ import annotations

import select
import signal
import time
from dataclasses import replace
from pathlib import Path
from typing import Final

from minidocker.container.protocol import Kill
from minidocker.container.record import Status, move_state
from minidocker.container.signals import parse_signal
from minidocker.engine.engine import Engine, publish_container_event
from minidocker.engine.health import start_health, stop_health
from minidocker.engine.start import group_name, start_handle
from minidocker.engine.store import Handle
from minidocker.engine.wait import ExitResult, resolve_waiters, wait_container
from minidocker.errors import Conflict, HostError, InvalidParameter, NotModified

__all__ = [
    "freeze_handle", "kill_container", "kill_handle", "pause_container", "restart_container", "stop_container",
    "stop_handle", "unpause_container",
]  # fmt: skip

DEFAULT_STOP_TIMEOUT_S: Final = 10
"""How long a container may take to obey its stop signal."""
KILL_TIMEOUT_S: Final = 10
"""How long the kernel may take to end a process that was killed: it can hang in a device."""
FREEZE_TRIES: Final = 1000


def kill_container(engine: Engine, reference: str, *, signal: str) -> None:
    """Send a signal (empty: KILL) to a container's first process.

    Raises:
        Conflict: it does not run.
    """
    handle = engine.containers.require(reference)
    try:
        number = parse_signal(signal or "KILL")
    except InvalidParameter as error:
        raise InvalidParameter(f"cannot kill container: {reference}: {error.message}") from error
    with handle.lock:
        if not handle.record.state.running:
            raise Conflict(f"cannot kill container: {reference}: container {handle.record.id} is not running")
        kill_handle(engine, handle, number)
    if number == 9:
        _wait_until_stopped(engine, handle, KILL_TIMEOUT_S)


def kill_handle(engine: Engine, handle: Handle, number: int) -> None:
    """Send a signal to a running container whose lock is held; KILL thaws it, because a frozen process cannot die."""
    if number == signal.SIGKILL:
        _remember_manual_stop(handle)
    if handle.link is not None:
        handle.link.tell(Kill(signal=number))
    if number == signal.SIGKILL and handle.record.state.status is Status.PAUSED:
        freeze_handle(engine, handle, frozen=False)
    publish_container_event(engine, handle, "kill", signal=str(int(number)))


def _remember_manual_stop(handle: Handle) -> None:
    handle.save(replace(handle.record, state=replace(handle.record.state, manually_stopped=True)))


def stop_container(engine: Engine, reference: str, *, timeout_s: int | None, signal: str = "") -> None:
    """Ask a container to end, and after *timeout_s* (-1: never) make it.

    Raises:
        NotModified: it does not run.
    """
    handle = engine.containers.require(reference)
    with handle.lock:
        if handle.record.state.status is Status.RESTARTING:
            _cancel_restart(handle)
            return
        if not handle.record.state.running:
            raise NotModified(f"container {handle.record.id} is not running")
    stop_handle(engine, handle, timeout_s=timeout_s, signal_name=signal)
    publish_container_event(engine, handle, "stop")


def _cancel_restart(handle: Handle) -> None:
    if handle.restart_timer is not None:
        handle.restart_timer.cancel()
    handle.save(move_state(handle.record, Status.EXITED, manually_stopped=True))
    resolve_waiters(handle, ("next-exit", "not-running"), ExitResult(status_code=handle.record.state.exit_code))


def stop_handle(engine: Engine, handle: Handle, *, timeout_s: int | None, signal_name: str = "") -> None:
    """Stop a running container; its lock is not held, because its end takes the lock."""
    config = handle.record.config
    number = parse_signal(signal_name or config.stop_signal or "TERM")
    if timeout_s is None:
        timeout_s = config.stop_timeout if config.stop_timeout is not None else DEFAULT_STOP_TIMEOUT_S
    with handle.lock:
        if handle.record.state.running:
            _remember_manual_stop(handle)
            kill_handle(engine, handle, number)
            if handle.record.state.status is Status.PAUSED:
                freeze_handle(engine, handle, frozen=False)
    if _wait_until_stopped(engine, handle, timeout_s):
        return
    with handle.lock:
        if handle.record.state.running:
            kill_handle(engine, handle, signal.SIGKILL)
    if not _wait_until_stopped(engine, handle, KILL_TIMEOUT_S):
        raise HostError(
            f"stop container `{handle.record.name}`: its process does not end even when killed",
            hint="it hangs in the kernel; look at `cat /proc/PID/stack`",
        )


def _wait_until_stopped(engine: Engine, handle: Handle, timeout_s: float) -> bool:
    """Return whether the container stopped in time; -1 waits for ever."""
    waiter = wait_container(engine, handle.record.id, "not-running")
    try:
        if waiter.result is None:
            poll = select.poll()
            poll.register(waiter, select.POLLIN)
            poll.poll(None if timeout_s < 0 else timeout_s * 1000)
        return waiter.result is not None
    finally:
        with handle.lock:
            if waiter in handle.waiters:
                handle.waiters.remove(waiter)
        waiter.close()


def restart_container(engine: Engine, reference: str, *, timeout_s: int | None, signal: str = "") -> None:
    """Stop a container if it runs, then start it; `--rm` does not remove it in between."""
    handle = engine.containers.require(reference)
    record = handle.record
    if record.state.running:
        with handle.lock:
            handle.record = replace(record, host_config=replace(record.host_config, auto_remove=False))
        try:
            stop_handle(engine, handle, timeout_s=timeout_s, signal_name=signal)
        finally:
            with handle.lock:
                handle.record = replace(handle.record, host_config=record.host_config)
    with handle.lock:
        if not handle.record.state.running:
            start_handle(engine, handle)
    publish_container_event(engine, handle, "restart")


def pause_container(engine: Engine, reference: str) -> None:
    """Freeze every process of a container.

    Raises:
        Conflict: it does not run, or is frozen already.
    """
    handle = engine.containers.require(reference)
    with handle.lock:
        if handle.record.state.status is Status.PAUSED:
            raise Conflict(f"Container {handle.record.id} is already paused")
        if not handle.record.state.running:
            raise Conflict(f"container {handle.record.id} is not running")
        freeze_handle(engine, handle, frozen=True)
        stop_health(handle)
        handle.save(move_state(handle.record, Status.PAUSED))
        publish_container_event(engine, handle, "pause")


def unpause_container(engine: Engine, reference: str) -> None:
    """Let a frozen container go on.

    Raises:
        Conflict: it is not frozen.
    """
    handle = engine.containers.require(reference)
    with handle.lock:
        if handle.record.state.status is not Status.PAUSED:
            raise Conflict(f"Container {handle.record.id} is not paused")
        freeze_handle(engine, handle, frozen=False)
        handle.save(move_state(handle.record, Status.RUNNING))
        start_health(engine, handle, resumed=True)
        publish_container_event(engine, handle, "unpause")


def freeze_handle(engine: Engine, handle: Handle, *, frozen: bool) -> None:
    """Write the freezer's file and wait until the kernel says it is done; see cgroups(7)."""
    layout, name = engine.layout, group_name(handle.record)
    if layout.version == 2:
        directory = Path(layout.hierarchies[0].mount_point, name)
        request, word = directory / "cgroup.freeze", str(int(frozen))
        report, done = directory / "cgroup.events", f"frozen {int(frozen)}"
    else:
        found = layout.directory("freezer", name)
        if found is None:
            raise HostError("pause: this kernel offers no `freezer` control group")
        request = report = Path(found, "freezer.state")
        word = done = "FROZEN" if frozen else "THAWED"
    request.write_text(word, encoding="ascii")
    for _ in range(FREEZE_TRIES):
        if done in report.read_text(encoding="ascii").splitlines():
            return
        time.sleep(0.001)
    raise HostError(f"{'pause' if frozen else 'unpause'}: the kernel does not finish; a process hangs in it")
