"""Make one plain tree out of stacked layers, for hosts that cannot stack overlays (Docker's `vfs` driver).

Acting. Rule: what a container sees is the same as through overlayfs. Layers are copied lowest first; in each, what it hides goes
before what it brings: a character device 0:0 removes a name, an opaque directory empties the one below it. Names are used
below open directories only, as in `extract`. See overlayfs.rst. Chapter 5.
"""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Sequence
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import Final

from minidocker.errors import HostError
from minidocker.image.extract import OPAQUE_XATTR, remove_tree

__all__ = ["copy_layers"]

_CHUNK_BYTES: Final = 1 << 24
_OPEN: Final = os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC
_OPEN_DIRECTORY: Final = _OPEN | os.O_DIRECTORY
_CREATE: Final = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC


def copy_layers(layers_directory: Path, layers: Sequence[str], target: Path) -> None:
    """Fill the empty directory *target* with what the stack of *layers* (lowest first) shows.

    Raises:
        HostError: the file system is full, or refuses something.
    """
    try:
        with ExitStack() as stack:
            target_fd = os.open(target, _OPEN_DIRECTORY)
            stack.callback(os.close, target_fd)
            for layer in layers:
                source_fd = os.open(layers_directory / layer, _OPEN_DIRECTORY)
                stack.callback(os.close, source_fd)
                _copy_directory(source_fd, target_fd, {})
    except OSError as error:
        hint = "free some space below the data root" if error.errno in (errno.ENOSPC, errno.EDQUOT) else ""
        raise HostError(f"copy the image's layers to `{target}`: {error.strerror}", hint=hint) from error


def _copy_directory(source_fd: int, target_fd: int, links: dict[int, str]) -> None:
    """Apply one directory of a layer; *links* remembers where in the target files with several names are."""
    for name in os.listdir(source_fd):
        status = os.stat(name, dir_fd=source_fd, follow_symlinks=False)
        if stat.S_ISDIR(status.st_mode):
            _enter_directory(name, source_fd, target_fd, links)
            continue
        _remove(name, target_fd)
        is_whiteout = stat.S_ISCHR(status.st_mode) and status.st_rdev == 0
        if not is_whiteout:
            _copy_node(name, status, source_fd, target_fd, links)
    _copy_attributes(source_fd, target_fd)


def _enter_directory(name: str, source_fd: int, target_fd: int, links: dict[int, str]) -> None:
    with ExitStack() as stack:
        source = os.open(name, _OPEN_DIRECTORY, dir_fd=source_fd)
        stack.callback(os.close, source)
        if _is_opaque(source) or not _is_directory(name, target_fd):
            _remove(name, target_fd)
            os.mkdir(name, 0o700, dir_fd=target_fd)
        target = os.open(name, _OPEN_DIRECTORY, dir_fd=target_fd)
        stack.callback(os.close, target)
        _copy_directory(source, target, links)


def _is_directory(name: str, target_fd: int) -> bool:
    try:
        return stat.S_ISDIR(os.stat(name, dir_fd=target_fd, follow_symlinks=False).st_mode)
    except FileNotFoundError:
        return False


def _is_opaque(fd: int) -> bool:
    try:
        return os.getxattr(fd, OPAQUE_XATTR) == b"y"
    except OSError:
        return False


def _remove(name: str, target_fd: int) -> None:
    with suppress(FileNotFoundError):  # most names are new
        try:
            os.unlink(name, dir_fd=target_fd)
        except IsADirectoryError:
            remove_tree(target_fd, os.fsencode(name))


def _copy_node(name: str, status: os.stat_result, source_fd: int, target_fd: int, links: dict[int, str]) -> None:
    """Copy everything that is no directory; *name* is free in the target."""
    if status.st_nlink > 1 and _link_to_earlier(name, status, target_fd, links):
        return
    if stat.S_ISREG(status.st_mode):
        _copy_file(name, source_fd, target_fd, status.st_size)
    else:
        if stat.S_ISLNK(status.st_mode):
            os.symlink(os.readlink(name, dir_fd=source_fd), name, dir_fd=target_fd)
        else:
            os.mknod(name, status.st_mode, status.st_rdev, dir_fd=target_fd)
        os.chown(name, status.st_uid, status.st_gid, dir_fd=target_fd, follow_symlinks=False)
        if not stat.S_ISLNK(status.st_mode):
            os.chmod(name, stat.S_IMODE(status.st_mode), dir_fd=target_fd)  # new, and no link
        os.utime(name, ns=(status.st_atime_ns, status.st_mtime_ns), dir_fd=target_fd, follow_symlinks=False)
    if status.st_nlink > 1:
        links[status.st_ino] = os.readlink(f"/proc/self/fd/{target_fd}") + "/" + name


def _link_to_earlier(name: str, status: os.stat_result, target_fd: int, links: dict[int, str]) -> bool:
    """Give a file that was copied already its next name."""
    earlier = links.get(status.st_ino)
    if earlier is None:
        return False
    try:
        os.link(earlier, name, dst_dir_fd=target_fd, follow_symlinks=False)
    except OSError as error:
        if error.errno == errno.EMLINK:
            return False
        raise
    return True


def _copy_file(name: str, source_fd: int, target_fd: int, size: int) -> None:
    with ExitStack() as stack:
        source = os.open(name, _OPEN, dir_fd=source_fd)
        stack.callback(os.close, source)
        target = os.open(name, _CREATE, 0o600, dir_fd=target_fd)
        stack.callback(os.close, target)
        while os.sendfile(target, source, None, _CHUNK_BYTES):
            continue
        _copy_attributes(source, target)


def _copy_attributes(source: int, target: int) -> None:
    """Owner before mode, because chown clears setuid; times last, because everything else changes them."""
    status = os.fstat(source)
    os.fchown(target, status.st_uid, status.st_gid)
    os.fchmod(target, stat.S_IMODE(status.st_mode))
    for key in os.listxattr(source):
        if not key.startswith("trusted.overlay."):
            with suppress(OSError):  # the target's file system may not know this attribute
                os.setxattr(target, key, os.getxattr(source, key))
    os.utime(target, ns=(status.st_atime_ns, status.st_mtime_ns))
