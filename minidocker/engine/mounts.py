"""The mounts a container asks for, resolved: `-v`, `--mount`, `--tmpfs` and the image's volumes become mount points.

A source that is an absolute path is a bind, anything else names a volume. `-v` makes a missing host directory, `--mount`
refuses it: so does Docker.
"""

from __future__ import annotations

import os
import posixpath
from collections.abc import Iterator
from dataclasses import replace
from typing import Final

from minidocker.container.record import MountPoint
from minidocker.engine.engine import Engine, now
from minidocker.errors import InvalidParameter
from minidocker.spec.container import ContainerConfig, HostConfig, MountRequest

__all__ = ["resolve_mounts"]

_PROPAGATIONS: Final = ("private", "rprivate", "slave", "rslave", "shared", "rshared")
_MODES: Final = ("", "rw", "ro", "z", "Z", "nocopy", "cached", "delegated", "consistent", *_PROPAGATIONS)


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
            mounts[clean] = _volume(engine, "", clean, mode="", read_write=True)
    return tuple(mounts.values())


def _requested(engine: Engine, host: HostConfig) -> Iterator[MountPoint]:
    for bind in host.binds:
        yield _parse_bind(engine, bind)
    for request in host.mounts:
        yield _resolve_request(engine, request)
    for destination, options in host.tmpfs.items():
        words = [word for word in options.split(",") if word and word not in ("ro", "rw", "noexec", "nosuid", "nodev")]
        yield MountPoint(
            type="tmpfs", source="", destination=_clean(destination, destination), options=",".join(words),
            read_write="ro" not in options.split(","),
        )  # fmt: skip


def _clean(destination: str, spec: str) -> str:
    """Return the container path without `..` and doubled slashes."""
    if not destination.startswith("/"):
        raise InvalidParameter(f"invalid volume specification: '{spec}': invalid mount path: '{destination}' mount path must be absolute")
    clean = posixpath.normpath("/" + destination.lstrip("/"))
    if clean == "/":
        raise InvalidParameter(f"invalid volume specification: '{spec}': invalid mount config: destination can't be '/'")
    return clean


def _parse_bind(engine: Engine, spec: str) -> MountPoint:
    """Resolve `SOURCE:DESTINATION[:MODE]`, or `DESTINATION` alone for an anonymous volume."""
    parts = spec.split(":")
    if len(parts) > 3 or not all(parts):
        raise InvalidParameter(f"invalid volume specification: '{spec}'")
    source, destination, mode = ("", parts[0], "") if len(parts) == 1 else (parts[0], parts[1], parts[2] if parts[2:] else "")
    words = mode.split(",")
    if any(word not in _MODES for word in words) or ("ro" in words and "rw" in words):
        raise InvalidParameter(f"invalid mode: {mode}")
    clean, read_write = _clean(destination, spec), "ro" not in words
    if not source.startswith("/"):
        return _volume(engine, source, clean, mode=mode or "z", read_write=read_write)
    try:
        os.makedirs(source, mode=0o755, exist_ok=True)
    except FileExistsError:
        pass  # a file can be bound too
    except OSError as error:
        text = f"error while creating mount source path '{source}': mkdir {source}: {(error.strerror or '').lower()}"
        raise InvalidParameter(text) from error
    return _bind(source, clean, mode=mode, read_write=read_write, propagation=next((w for w in words if w in _PROPAGATIONS), ""))


def _bind(source: str, destination: str, *, mode: str, read_write: bool, propagation: str) -> MountPoint:
    return MountPoint(
        type="bind", source=source, destination=destination, mode=mode, read_write=read_write,
        propagation=propagation or "rprivate", options="" if os.path.isdir(source) else "file",
    )  # fmt: skip


def _volume(engine: Engine, name: str, destination: str, *, mode: str, read_write: bool, driver: str = "") -> MountPoint:
    volume = engine.volumes.create(name, created_at=now(), driver=driver, labels={}, options={})
    return MountPoint(
        type="volume", source=volume.mountpoint, destination=destination, name=volume.name, driver=volume.driver, mode=mode,
        read_write=read_write, anonymous=not name,
    )  # fmt: skip


def _resolve_request(engine: Engine, request: MountRequest) -> MountPoint:
    clean = _clean(request.target, request.target)
    if request.type == "bind":
        if not request.source.startswith("/"):
            raise InvalidParameter(f'invalid mount config for type "bind": invalid mount path: \'{request.source}\' mount path must be absolute')
        options = request.bind_options
        if options is not None and options.create_mountpoint:
            os.makedirs(request.source, exist_ok=True)
        if not os.path.exists(request.source):
            raise InvalidParameter(f'invalid mount config for type "bind": bind source path does not exist: {request.source}')
        return _bind(
            request.source, clean, mode="nonrecursive" if options is not None and options.non_recursive else "",
            read_write=not request.read_only, propagation=options.propagation if options is not None else "",
        )  # fmt: skip
    if request.type == "volume":
        volume = request.volume_options
        mode = "nocopy" if volume is not None and volume.no_copy else "z"
        mounted = _volume(engine, request.source, clean, mode=mode, read_write=not request.read_only)
        subpath = volume.subpath if volume is not None else ""
        if subpath.startswith("/") or ".." in subpath.split("/"):
            raise InvalidParameter(f"invalid mount config for type \"volume\": subpath must be a relative path within the volume: '{subpath}'")
        return replace(mounted, subpath=subpath)
    if request.type == "tmpfs":
        tmpfs = request.tmpfs_options
        size = f"size={tmpfs.size_bytes}" if tmpfs is not None and tmpfs.size_bytes else ""
        mode = f"mode={tmpfs.mode:o}" if tmpfs is not None and tmpfs.mode else ""
        return MountPoint(
            type="tmpfs", source="", destination=clean, options=",".join(filter(None, (size, mode))), read_write=not request.read_only
        )
    raise InvalidParameter(f'invalid mount config: mount type unknown: "{request.type}"')


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
