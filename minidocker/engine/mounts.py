"""The mounts a container asks for, resolved: volumes are made, the sources of bind mounts are there.

`minidocker.container.mounts` says what was asked for; here the host is looked at. `-v` makes a missing host directory, `--mount`
refuses it: so does Docker.
"""

from __future__ import annotations

import os
import posixpath
from collections.abc import Iterator
from dataclasses import replace

from minidocker.container.mounts import parse_bind, parse_mount_request, parse_tmpfs
from minidocker.container.record import MountPoint
from minidocker.engine.engine import Engine, now
from minidocker.errors import InvalidParameter
from minidocker.spec.container import ContainerConfig, HostConfig, MountRequest

__all__ = ["resolve_mounts"]


def resolve_mounts(engine: Engine, config: ContainerConfig, host: HostConfig) -> tuple[MountPoint, ...]:
    """Return every mount of a container; named volumes are made on the way.

    Raises:
        InvalidParameter: a malformed or doubled mount, in Docker's words.
    """
    mounts: dict[str, MountPoint] = {}
    for mount in _requested(engine, host):
        if mount.destination in mounts:
            raise InvalidParameter(f"Duplicate mount point: {mount.destination}")
        mounts[mount.destination] = mount
    for reference in host.volumes_from:
        for mount in _inherited(engine, reference):
            mounts.setdefault(mount.destination, mount)
    for destination in config.volumes:
        clean = posixpath.normpath(destination)
        if clean not in mounts:
            mounts[clean] = _resolve(engine, MountPoint(type="volume", source="", destination=clean, anonymous=True))
    return tuple(mounts.values())


def _requested(engine: Engine, host: HostConfig) -> Iterator[MountPoint]:
    for bind in host.binds:
        mount = parse_bind(bind)
        if mount.type == "bind":
            _make_source(mount.source, engine.ids.root)
        yield _resolve(engine, mount)
    for request in host.mounts:
        mount = parse_mount_request(request)
        if mount.type == "bind":
            _require_source(request)
        yield _resolve(engine, mount)
    for destination, options in host.tmpfs.items():
        yield parse_tmpfs(destination, options)


def _make_source(source: str, owner: tuple[int, int]) -> None:
    missing = source if not os.path.lexists(source) else ""
    try:
        os.makedirs(source, mode=0o755, exist_ok=True)
        if missing:
            os.chown(source, *owner)
    except FileExistsError:
        pass  # a file can be bound too
    except OSError as error:
        text = f"error while creating mount source path '{source}': mkdir {source}: {(error.strerror or '').lower()}"
        raise InvalidParameter(text) from error


def _require_source(request: MountRequest) -> None:
    if request.bind_options is not None and request.bind_options.create_mountpoint:
        os.makedirs(request.source, exist_ok=True)
    if not os.path.exists(request.source):
        raise InvalidParameter(f'invalid mount config for type "bind": bind source path does not exist: {request.source}')


def _resolve(engine: Engine, mount: MountPoint) -> MountPoint:
    """Fill in what only the host knows."""
    if mount.type == "bind":
        return replace(mount, options="" if os.path.isdir(mount.source) else "file")
    if mount.type == "volume":
        volume = engine.volumes.create(mount.name, created_at=now(), driver="", labels={}, options={})
        return replace(mount, source=volume.mountpoint, name=volume.name, driver=volume.driver)
    return mount


def _inherited(engine: Engine, reference: str) -> Iterator[MountPoint]:
    """Yield the mounts of another container (`--volumes-from NAME[:ro]`)."""
    name, _, mode = reference.partition(":")
    for mount in engine.containers.require(name).record.mounts:
        if mount.type != "tmpfs":
            read_write = mount.read_write and mode != "ro"
            yield MountPoint(
                type=mount.type, source=mount.source, destination=mount.destination, name=mount.name, driver=mount.driver,
                mode=mount.mode, read_write=read_write, propagation=mount.propagation, options=mount.options,
            )  # fmt: skip
