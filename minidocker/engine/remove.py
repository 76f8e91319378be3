"""`docker rm`, `rename`, `container prune`: the end of a record, and of everything only it used."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

from minidocker.container.names import parse_container_name
from minidocker.container.record import Status, move_state
from minidocker.engine.engine import Engine, publish_container_event
from minidocker.engine.images import parse_created, parse_moment
from minidocker.engine.stop import stop_handle
from minidocker.engine.store import Handle
from minidocker.engine.wait import ExitResult, resolve_waiters
from minidocker.errors import Conflict, InvalidParameter, NotFound

__all__ = ["has_label", "prune_containers", "remove_container", "remove_handle", "rename_container"]


def remove_container(engine: Engine, reference: str, *, force: bool, volumes: bool) -> None:
    """Remove a container, with *force* even while it runs, with *volumes* also its anonymous volumes.

    Raises:
        Conflict: it runs.
    """
    handle = engine.containers.require(reference)
    state = handle.record.state
    if state.running or state.status is Status.RESTARTING:
        if not force:
            how = "paused and must be unpaused first" if state.status is Status.PAUSED else "running: stop the container before removing or force remove"
            raise Conflict(f'cannot remove container "/{handle.record.name}": container is {how}')
        _stop_for_removal(engine, handle)
    with handle.lock, suppress(NotFound):  # `--rm` may have been quicker
        engine.containers.require(handle.record.id)
        remove_handle(engine, handle, volumes=volumes)


def _stop_for_removal(engine: Engine, handle: Handle) -> None:
    with handle.lock:
        if handle.restart_timer is not None:
            handle.restart_timer.cancel()
        if handle.record.state.status is Status.RESTARTING:
            handle.record = move_state(handle.record, Status.EXITED)
    stop_handle(engine, handle, timeout_s=0, signal_name="KILL")


def remove_handle(engine: Engine, handle: Handle, *, volumes: bool) -> None:
    """Remove a container that does not run, whose lock is held."""
    exit_code = handle.record.state.exit_code
    handle.record = move_state(handle.record, Status.REMOVING)
    pending, handle.pending = handle.pending, []
    for client in pending:
        client.close()
    engine.containers.remove(handle)
    for mount in handle.record.mounts if volumes else ():
        if mount.anonymous and not _is_used(engine, mount.name):
            with suppress(NotFound):
                engine.volumes.remove(mount.name)
    publish_container_event(engine, handle, "destroy")
    resolve_waiters(handle, ("removed", "next-exit", "not-running"), ExitResult(status_code=exit_code))


def _is_used(engine: Engine, volume: str) -> bool:
    return any(mount.name == volume for handle in engine.containers.all() for mount in handle.record.mounts)


def prune_containers(engine: Engine, filters: Mapping[str, tuple[str, ...]]) -> tuple[list[str], int]:
    """Remove all containers that do not run; return their ids and the bytes that became free.

    Raises:
        InvalidParameter: a filter that Docker does not know here.
    """
    unknown = set(filters) - {"until", "label", "label!"}
    if unknown:
        raise InvalidParameter(f"invalid filter '{min(unknown)}'")
    removed, freed = [], 0
    moments = [parse_moment(text) for text in filters.get("until", ())]
    for handle in engine.containers.all():
        with handle.lock:
            labels = handle.record.config.labels
            if handle.record.state.running or handle.record.state.status is Status.RESTARTING:
                continue
            if not all(has_label(labels, word) for word in filters.get("label", ())):
                continue
            if any(has_label(labels, word) for word in filters.get("label!", ())):
                continue
            if any(parse_created(handle.record.created) >= moment for moment in moments):
                continue
            freed += _size_of(handle.directory)
            remove_handle(engine, handle, volumes=False)
            removed.append(handle.record.id)
    return removed, freed


def has_label(labels: Mapping[str, str], word: str) -> bool:
    """Whether `name` or `name=value` is among *labels*."""
    name, equals, value = word.partition("=")
    return name in labels and (not equals or labels[name] == value)


def _size_of(directory: Path) -> int:
    return sum(path.lstat().st_size for path in directory.rglob("*") if path.is_file() and not path.is_symlink())


def rename_container(engine: Engine, reference: str, new_name: str) -> None:
    """Give a container another name.

    Raises:
        Conflict: the name is taken.
        InvalidParameter: no name, or one with other characters.
    """
    handle = engine.containers.require(reference)
    if not new_name.removeprefix("/"):
        raise InvalidParameter("Neither old nor new names may be empty")
    name = parse_container_name(new_name.removeprefix("/"))
    with handle.lock:
        old = handle.record.name
        if old == name:
            raise InvalidParameter("Renaming a container with the same name as its current name")
        engine.containers.rename(handle, replace(handle.record, name=name))
        if handle.record.endpoints:
            handle.save(replace(handle.record, endpoints=engine.networks.rename(handle.record, old)))
        publish_container_event(engine, handle, "rename", oldName=f"/{old}")
