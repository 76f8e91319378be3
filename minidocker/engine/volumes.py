"""`docker volume`: create, list, inspect, remove, prune."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from minidocker.engine.engine import Engine, now
from minidocker.engine.remove import has_label
from minidocker.errors import Conflict, InvalidParameter
from minidocker.volume.store import VolumeRecord

__all__ = ["create_volume", "list_volumes", "prune_volumes", "remove_volume", "require_volume", "volume_users"]


def create_volume(
    engine: Engine, name: str, driver: str, options: Mapping[str, str], labels: Mapping[str, str]
) -> VolumeRecord:
    """Return the volume *name*, made if missing."""
    return engine.volumes.create(name, created_at=now(), driver=driver, labels=labels, options=options)


def list_volumes(engine: Engine, filters: Mapping[str, tuple[str, ...]]) -> list[VolumeRecord]:
    """Return the volumes that pass *filters* (`name`, `label`, `dangling`, `driver`).

    Raises:
        InvalidParameter: another filter.
    """
    unknown = set(filters) - {"name", "label", "dangling", "driver"}
    if unknown:
        raise InvalidParameter(f"invalid filter '{min(unknown)}'")
    used = volume_users(engine)
    dangling = [value.lower() in ("true", "1") for value in filters.get("dangling", ())]
    return [
        volume
        for volume in engine.volumes.list()
        if any(word in volume.name for word in filters.get("name", ("",)))
        and all(has_label(volume.labels, word) for word in filters.get("label", ()))
        and volume.driver in filters.get("driver", (volume.driver,))
        and (not dangling or (volume.name not in used) in dangling)
    ]


def volume_users(engine: Engine) -> dict[str, list[str]]:
    """Return which containers use which volume."""
    users: dict[str, list[str]] = {}
    for handle in engine.containers.all():
        for mount in handle.record.mounts:
            if mount.type == "volume":
                users.setdefault(mount.name, []).append(handle.record.id)
    return users


def require_volume(engine: Engine, name: str) -> VolumeRecord:
    """Return the volume *name*.

    Raises:
        NotFound: there is none.
    """
    return engine.volumes.require(name)


def remove_volume(engine: Engine, name: str, *, force: bool) -> None:
    """Remove a volume that no container uses.

    Raises:
        Conflict: a container uses it, running or not.
        NotFound: there is none, unless *force*.
    """
    users = volume_users(engine).get(name)
    if users:
        raise Conflict(f"remove {name}: volume is in use - [{', '.join(users)}]")
    if force and name not in {volume.name for volume in engine.volumes.list()}:
        return
    engine.volumes.remove(name)


def prune_volumes(engine: Engine, filters: Mapping[str, tuple[str, ...]]) -> tuple[list[str], int]:
    """Remove the unused anonymous volumes, or with `all=true` every unused one; return names and freed bytes.

    Raises:
        InvalidParameter: a filter that Docker does not know here.
    """
    unknown = set(filters) - {"all", "label", "label!"}
    if unknown:
        raise InvalidParameter(f"invalid filter '{min(unknown)}'")
    every = any(value.lower() in ("true", "1") for value in filters.get("all", ()))
    used, removed, freed = volume_users(engine), [], 0
    for volume in engine.volumes.list():
        labelled = all(has_label(volume.labels, word) for word in filters.get("label", ()))
        labelled &= not any(has_label(volume.labels, word) for word in filters.get("label!", ()))
        if volume.name not in used and (every or volume.anonymous) and labelled:
            freed += sum(p.lstat().st_size for p in Path(volume.mountpoint).rglob("*") if p.is_file() and not p.is_symlink())
            engine.volumes.remove(volume.name)
            removed.append(volume.name)
    return removed, freed
