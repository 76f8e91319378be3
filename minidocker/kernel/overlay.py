"""What overlayfs shows, read from its layers without mounting anything; and how to walk below an open directory.

A stack is a tuple of open directories, the highest layer first; one directory alone is a stack of one. The rules are those
of overlayfs.rst: a name in a higher layer hides the same name below, directories merge, a character device 0:0 (*whiteout*)
says that a name is gone, and an *opaque* directory hides what lower layers have in it. So the files of a container can be
read while it runs and while it does not, on hosts without overlayfs as well.

Acting. Rule: the kernel is given one name below an open directory and never a path, and no symbolic link is followed, so that
a tree which changes meanwhile cannot lead outside. See openat(2). Chapter 4.
"""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from typing import Final

from minidocker.codec.whiteout import compute_shown

__all__ = [
    "OPAQUE_XATTRS", "OPEN_DIRECTORY", "Node", "is_opaque", "is_whiteout", "list_directory", "list_stack", "open_below",
    "open_stack", "open_trees", "remove_tree",
]  # fmt: skip

OPAQUE_XATTRS: Final = ("trusted.overlay.opaque", "user.overlay.opaque")
"""Marks of a directory that hides what is below it: root's, and that of mounts with `userxattr`."""

OPEN_DIRECTORY: Final = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_NO_DIRECTORY: Final = (errno.ENOTDIR, errno.ELOOP)


@dataclass(frozen=True, slots=True)
class Node:
    """One name in a stack of directories."""

    name: str
    status: os.stat_result
    fds: tuple[int, ...]
    """The directories that may contribute to it, highest first; the file itself is in the first."""


def is_whiteout(status: os.stat_result) -> bool:
    """Whether a file in a layer says that its name is gone."""
    return stat.S_ISCHR(status.st_mode) and status.st_rdev == 0


def is_opaque(fd: int) -> bool:
    """Whether a directory in a layer hides what the layers below have in it."""
    for key in OPAQUE_XATTRS:
        with suppress(OSError):  # no such attribute, or none at all on this file system
            if os.getxattr(fd, key) == b"y":
                return True
    return False


def list_stack(fds: Sequence[int]) -> dict[str, Node]:
    """Return what a stack of directories shows, by name."""
    layers = [list_directory(fd) for fd in fds]
    shown = compute_shown([(name, is_whiteout(status)) for name, status in layer.items()] for layer in layers)
    return {name: Node(name, layers[depth][name], tuple(fds[depth:])) for name, depth in shown.items()}


def list_directory(fd: int) -> dict[str, os.stat_result]:
    """Return what lies in a directory, by name."""
    found = {}
    for name in os.listdir(fd):
        with suppress(FileNotFoundError):  # removed since the directory was read
            found[name] = os.stat(name, dir_fd=fd, follow_symlinks=False)
    return found


@contextmanager
def open_stack(node: Node) -> Iterator[tuple[int, ...]]:
    """Open the directory that *node* is, in every layer that contributes to it."""
    with ExitStack() as stack:
        found: list[int] = []
        for fd in node.fds:
            try:
                child = os.open(node.name, OPEN_DIRECTORY, dir_fd=fd)
            except FileNotFoundError:
                continue
            except OSError as error:
                if error.errno in _NO_DIRECTORY:  # a whiteout or a file: nothing below it counts
                    break
                raise
            stack.callback(os.close, child)
            found.append(child)
            if is_opaque(child):
                break
        yield tuple(found)


@contextmanager
def open_trees(paths: Sequence[str | os.PathLike[str]]) -> Iterator[tuple[int, ...]]:
    """Open the root directories of layers, which are given as the host's own paths."""
    with ExitStack() as stack:
        fds: list[int] = []
        for path in paths:
            fds.append(os.open(path, OPEN_DIRECTORY))
            stack.callback(os.close, fds[-1])
        yield tuple(fds)


def open_below(root_fd: int, names: Sequence[str | bytes]) -> int:
    """Open a directory below *root_fd*, one name after the other, through no symbolic link."""
    with ExitStack() as stack:
        fd = os.dup(root_fd)
        for name in names:
            stack.callback(os.close, fd)
            fd = os.open(name, OPEN_DIRECTORY, dir_fd=fd)
        return fd


def remove_tree(parent_fd: int, name: str | bytes) -> None:
    """Remove a directory and everything in it, following nothing."""
    fd = os.open(name, OPEN_DIRECTORY, dir_fd=parent_fd)
    try:
        for child in os.listdir(fd):
            try:
                os.unlink(child, dir_fd=fd)
            except IsADirectoryError:
                remove_tree(fd, child)
    finally:
        os.close(fd)
    with suppress(FileNotFoundError):
        os.rmdir(name, dir_fd=parent_fd)
