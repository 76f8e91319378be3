"""The mounts that a container asks for: `-v`, `--mount` and `--tmpfs` as mount points.

Pure: what is not known without looking stays open. A bind whose source is a file, and where a volume's data is, is filled in by
`minidocker.engine.mounts`, which also makes what is missing. A source that is an absolute path is a bind, anything else names a
volume. Chapter 16.
"""

from __future__ import annotations

import posixpath
from typing import Final

from minidocker.container.record import MountPoint
from minidocker.errors import InvalidParameter
from minidocker.spec.container import MountRequest

__all__ = ["parse_bind", "parse_mount_request", "parse_tmpfs"]

_PROPAGATIONS: Final = ("private", "rprivate", "slave", "rslave", "shared", "rshared")
_MODES: Final = ("", "rw", "ro", "z", "Z", "nocopy", "cached", "delegated", "consistent", *_PROPAGATIONS)


def parse_bind(spec: str) -> MountPoint:
    """Return what `SOURCE:DESTINATION[:MODE]` asks for, or `DESTINATION` alone for an anonymous volume.

    Raises:
        InvalidParameter: in Docker's words.
    """
    parts = spec.split(":")
    if len(parts) > 3 or not all(parts):
        raise InvalidParameter(f"invalid volume specification: '{spec}'")
    source, destination, mode = ("", parts[0], "") if len(parts) == 1 else (parts[0], parts[1], parts[2] if parts[2:] else "")
    words = mode.split(",")
    if any(word not in _MODES for word in words) or ("ro" in words and "rw" in words):
        raise InvalidParameter(f"invalid mode: {mode}")
    clean, read_write = _clean(destination, spec), "ro" not in words
    if not source.startswith("/"):
        return _volume(source, clean, mode=mode or "z", read_write=read_write)
    return _bind(source, clean, mode=mode, read_write=read_write, propagation=next((w for w in words if w in _PROPAGATIONS), ""))


def parse_tmpfs(destination: str, options: str) -> MountPoint:
    """Return what `--tmpfs DESTINATION:OPTIONS` asks for.

    Raises:
        InvalidParameter: a destination that is not absolute.
    """
    words = [word for word in options.split(",") if word and word not in ("ro", "rw", "noexec", "nosuid", "nodev")]
    return MountPoint(
        type="tmpfs", source="", destination=_clean(destination, destination), options=",".join(words),
        read_write="ro" not in options.split(","),
    )  # fmt: skip


def parse_mount_request(request: MountRequest) -> MountPoint:
    """Return what one `--mount` asks for.

    Raises:
        InvalidParameter: in Docker's words.
    """
    clean = _clean(request.target, request.target)
    if request.type == "bind":
        if not request.source.startswith("/"):
            raise InvalidParameter(f'invalid mount config for type "bind": invalid mount path: \'{request.source}\' mount path must be absolute')
        options = request.bind_options
        return _bind(
            request.source, clean, mode="nonrecursive" if options is not None and options.non_recursive else "",
            read_write=not request.read_only, propagation=options.propagation if options is not None else "",
        )  # fmt: skip
    if request.type == "volume":
        volume = request.volume_options
        subpath = volume.subpath if volume is not None else ""
        if subpath.startswith("/") or ".." in subpath.split("/"):
            raise InvalidParameter(f"invalid mount config for type \"volume\": subpath must be a relative path within the volume: '{subpath}'")
        mode = "nocopy" if volume is not None and volume.no_copy else "z"
        return _volume(request.source, clean, mode=mode, read_write=not request.read_only, subpath=subpath)
    if request.type == "tmpfs":
        tmpfs = request.tmpfs_options
        size = f"size={tmpfs.size_bytes}" if tmpfs is not None and tmpfs.size_bytes else ""
        mode = f"mode={tmpfs.mode:o}" if tmpfs is not None and tmpfs.mode else ""
        return MountPoint(
            type="tmpfs", source="", destination=clean, options=",".join(filter(None, (size, mode))), read_write=not request.read_only
        )
    raise InvalidParameter(f'invalid mount config: mount type unknown: "{request.type}"')


def _clean(destination: str, spec: str) -> str:
    """Return the container path without `..` and doubled slashes."""
    if not destination.startswith("/"):
        raise InvalidParameter(f"invalid volume specification: '{spec}': invalid mount path: '{destination}' mount path must be absolute")
    clean = posixpath.normpath("/" + destination.lstrip("/"))
    if clean == "/":
        raise InvalidParameter(f"invalid volume specification: '{spec}': invalid mount config: destination can't be '/'")
    return clean


def _bind(source: str, destination: str, *, mode: str, read_write: bool, propagation: str) -> MountPoint:
    return MountPoint(
        type="bind", source=source, destination=destination, mode=mode, read_write=read_write, propagation=propagation or "rprivate"
    )


def _volume(name: str, destination: str, *, mode: str, read_write: bool, subpath: str = "") -> MountPoint:
    return MountPoint(
        type="volume", source="", destination=destination, name=name, mode=mode, read_write=read_write, anonymous=not name, subpath=subpath
    )
