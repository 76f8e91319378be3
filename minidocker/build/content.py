"""The digest of files as a build sees them: names, types, modes, owners, attributes, content. Not times, not their order.

Acting. COPY's key must change when a file does, and must not when only a clock did: `git clone` gives every file the time of the
clone. A directory's digest is made of its children's, sorted by name, so equal trees have equal digests wherever they are. Files
are read once for each build: `Digests` keeps what it knows by inode. Chapter 10.
"""

from __future__ import annotations

import hashlib
import os
import stat
from collections.abc import Callable, Sequence
from typing import Final

from minidocker.build.tree import Tree
from minidocker.kernel.overlay import Node, list_stack, open_stack

__all__ = ["Digests", "describe_node"]

_CHUNK_BYTES: Final = 1 << 18
_IGNORED_XATTRS: Final = ("trusted.overlay.", "user.overlay.", "security.selinux", "security.ima", "security.evm")
Excluded = Callable[[tuple[str, ...]], bool]


def describe_node(name: str, status: os.stat_result, payload: str, xattrs: Sequence[tuple[str, bytes]] = ()) -> bytes:
    """Return the line for one file: what of it counts."""
    kind = stat.S_IFMT(status.st_mode)
    device = status.st_rdev if kind in (stat.S_IFCHR, stat.S_IFBLK) else 0
    words = [name, f"{status.st_mode:o}", str(status.st_uid), str(status.st_gid), str(device), payload]
    words += [f"{key}={value.hex()}" for key, value in sorted(xattrs)]
    return "\0".join(words).encode("utf-8", "surrogateescape") + b"\0\0"


class Digests:
    """The digests of files of one build."""

    def __init__(self) -> None:
        """Know nothing yet."""
        self._known: dict[tuple[int, int, int], str] = {}

    def compute(self, tree: Tree, names: tuple[str, ...], *, excluded: Excluded | None = None) -> str:
        """Return the digest of what is at a path in *tree*; *excluded* speaks of paths below it."""
        total = hashlib.sha256()
        if not names:
            self._add_directory(total, tree.fds, (), excluded)
            return total.hexdigest()
        with tree.open_node(names) as node:
            if node is not None:
                self._add(total, node, node.name, () if stat.S_ISDIR(node.status.st_mode) else (node.name,), excluded)
        return total.hexdigest()

    def _add(self, total: hashlib._Hash, node: Node, name: str, path: tuple[str, ...], excluded: Excluded | None) -> None:
        mode = node.status.st_mode
        payload = ""
        if stat.S_ISREG(mode):
            payload = self._read(node)
        elif stat.S_ISLNK(mode):
            payload = os.readlink(node.name, dir_fd=node.fds[0])
        total.update(describe_node(name, node.status, payload, _read_xattrs(node)))
        if stat.S_ISDIR(mode):
            with open_stack(node) as fds:
                self._add_directory(total, fds, path, excluded)
            total.update(b"\0\0\0")  # what follows is no child of it

    def _add_directory(self, total: hashlib._Hash, fds: Sequence[int], path: tuple[str, ...], excluded: Excluded | None) -> None:
        for name, node in sorted(list_stack(fds).items()):
            if excluded is None or not excluded((*path, name)):
                self._add(total, node, name, (*path, name), excluded)

    def _read(self, node: Node) -> str:
        status = node.status
        key = (status.st_dev, status.st_ino, status.st_mtime_ns)
        if key not in self._known:
            fd = os.open(node.name, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=node.fds[0])
            try:
                if status.st_size <= _CHUNK_BYTES:
                    self._known[key] = hashlib.sha256(os.read(fd, _CHUNK_BYTES)).hexdigest()
                else:
                    with open(fd, "rb", buffering=0, closefd=False) as file:
                        self._known[key] = hashlib.file_digest(file, "sha256").hexdigest()
            finally:
                os.close(fd)
        return self._known[key]


def _read_xattrs(node: Node) -> list[tuple[str, bytes]]:
    path = f"/proc/self/fd/{node.fds[0]}/{node.name}"
    try:
        keys = [key for key in os.listxattr(path, follow_symlinks=False) if not key.startswith(_IGNORED_XATTRS)]
    except OSError:  # a file system without them
        return []
    return [(key, os.getxattr(path, key, follow_symlinks=False)) for key in keys]
