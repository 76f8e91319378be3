"""Copy a tree between two directory descriptors: names, types, modes, owners, times, links, extended attributes.

Acting, and deaf to paths: every name is opened below a directory that is already open, never through a symbolic link, so
that a tree which changes while it is copied cannot lead outside. Hard links inside the tree stay hard links. Chapter 16.
"""

from __future__ import annotations

import os
import stat
from contextlib import suppress

__all__ = ["copy_tree_contents"]

_CHUNK_BYTES = 1 << 20
_OPEN = os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC


def copy_tree_contents(source_fd: int, target_fd: int) -> None:
    """Copy everything below *source_fd* into the directory *target_fd*, then give the target the source's own metadata."""
    links: dict[tuple[int, int], tuple[int, str]] = {}
    try:
        _copy_directory(source_fd, target_fd, links)
    finally:
        for directory_fd, _name in links.values():
            os.close(directory_fd)


def _copy_directory(source_fd: int, target_fd: int, links: dict[tuple[int, int], tuple[int, str]]) -> None:
    for name in sorted(os.listdir(source_fd)):
        status = os.stat(name, dir_fd=source_fd, follow_symlinks=False)
        if stat.S_ISDIR(status.st_mode):
            os.mkdir(name, 0o700, dir_fd=target_fd)
            child_source = os.open(name, _OPEN | os.O_DIRECTORY, dir_fd=source_fd)
            child_target = os.open(name, _OPEN | os.O_DIRECTORY, dir_fd=target_fd)
            try:
                _copy_directory(child_source, child_target, links)
            finally:
                os.close(child_source)
                os.close(child_target)
        else:
            _copy_leaf(name, status, source_fd, target_fd, links)
    _copy_metadata(source_fd, target_fd)


def _copy_leaf(
    name: str, status: os.stat_result, source_fd: int, target_fd: int, links: dict[tuple[int, int], tuple[int, str]]
) -> None:
    key = (status.st_dev, status.st_ino)
    if status.st_nlink > 1 and key in links:
        first_fd, first_name = links[key]
        os.link(first_name, name, src_dir_fd=first_fd, dst_dir_fd=target_fd, follow_symlinks=False)
        return
    if stat.S_ISLNK(status.st_mode):
        os.symlink(os.readlink(name, dir_fd=source_fd), name, dir_fd=target_fd)
        os.chown(name, status.st_uid, status.st_gid, dir_fd=target_fd, follow_symlinks=False)
        os.utime(name, ns=(status.st_atime_ns, status.st_mtime_ns), dir_fd=target_fd, follow_symlinks=False)
    elif stat.S_ISREG(status.st_mode):
        _copy_file(name, source_fd, target_fd)
    else:
        os.mknod(name, status.st_mode, status.st_rdev, dir_fd=target_fd)
        os.chown(name, status.st_uid, status.st_gid, dir_fd=target_fd, follow_symlinks=False)
    if status.st_nlink > 1:
        links[key] = (os.dup(target_fd), name)


def _copy_file(name: str, source_fd: int, target_fd: int) -> None:
    source = os.open(name, _OPEN, dir_fd=source_fd)
    target = os.open(name, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600, dir_fd=target_fd)
    try:
        while os.sendfile(target, source, None, _CHUNK_BYTES):
            pass
        _copy_metadata(source, target)
    finally:
        os.close(source)
        os.close(target)


def _copy_metadata(source: int, target: int) -> None:
    """Owner before mode, because chown clears setuid bits; times last, because everything else changes them."""
    status = os.fstat(source)
    for attribute in os.listxattr(source):
        with suppress(OSError):  # another file system may not take every attribute
            os.setxattr(target, attribute, os.getxattr(source, attribute))
    os.fchown(target, status.st_uid, status.st_gid)
    os.fchmod(target, stat.S_IMODE(status.st_mode))
    os.utime(target, ns=(status.st_atime_ns, status.st_mtime_ns))
