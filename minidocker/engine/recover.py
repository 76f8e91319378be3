"""Bring an engine in line with the world after its server came up: what runs, what ended meanwhile, what nobody owns.

A record says what was true when it was written. A monitor that still answers proves that its container runs; one that does
not has left an exit file, or nothing (it was killed, or the machine went down). Whatever belongs to no container then goes:
monitor directories, control groups, half-removed files, the bridge when nobody uses it.
"""

from __future__ import annotations

import os
import shutil
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

from minidocker.container.record import Status
from minidocker.engine.engine import Engine
from minidocker.engine.health import start_health
from minidocker.engine.monitors import connect_monitor
from minidocker.engine.start import link_monitor, settle_exit, start_handle
from minidocker.engine.store import Handle
from minidocker.errors import MinidockerError

__all__ = ["recover", "remove_empty_groups"]


def recover(engine: Engine) -> None:
    """Reconnect to every container that runs, settle the others, remove what nobody owns."""
    handles = engine.containers.all()
    alive = [handle for handle in handles if _recover_container(engine, handle)]
    engine.networks.restore([handle.record for handle in alive])
    _sweep(engine, {handle.record.id for handle in alive})
    for handle in handles:
        _restart_as_told(engine, handle)


def _recover_container(engine: Engine, handle: Handle) -> bool:
    """Bring one record up to date; return whether the container runs."""
    with handle.lock:
        record = handle.record
        if record.state.status is Status.REMOVING:
            engine.containers.remove(handle)
            return False
        if record.state.running:
            connected = connect_monitor(engine.monitor_directory(record.id))
            if connected is not None:
                handle.link = link_monitor(engine, handle, connected[0])
                if record.state.status is Status.RUNNING:
                    start_health(engine, handle, resumed=True)
                return True
            settle_exit(engine, handle, None)
        elif record.state.status is Status.RESTARTING:
            handle.save(replace(record, state=replace(record.state, status=Status.EXITED)))
        return False


def _restart_as_told(engine: Engine, handle: Handle) -> None:
    """Start what `always` and `unless-stopped` want to run whenever a server does."""
    with handle.lock:
        record = handle.record
        policy, state = record.host_config.restart_policy.name, record.state
        wanted = policy == "always" or (policy == "unless-stopped" and not state.manually_stopped)
        if wanted and state.status is Status.EXITED:
            with suppress(MinidockerError):  # the reason is in its state, for `inspect`
                start_handle(engine, handle)


def _sweep(engine: Engine, alive: set[str]) -> None:
    for directory in engine.exec_root.iterdir():
        if len(directory.name) == 64 and directory.name not in alive:
            shutil.rmtree(directory, ignore_errors=True)
    engine.volumes.sweep()
    engine.images.sweep()
    known = {handle.record.id for handle in engine.containers.all()} - alive
    for tree in engine.layout.hierarchies:
        for container_id in known:
            with suppress(OSError):  # there is none, or something still runs in it
                os.rmdir(Path(tree.mount_point, "minidocker", container_id))


def remove_empty_groups(engine: Engine) -> None:
    """Remove the control group above all containers where no container is left in it."""
    for tree in engine.layout.hierarchies:
        with suppress(OSError):  # containers run in it, ours or another server's
            os.rmdir(Path(tree.mount_point, "minidocker"))
