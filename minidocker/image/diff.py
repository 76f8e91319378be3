"""What changed between a stack of layers and what was made of it: the content of a new layer, and of `docker diff`.

Two situations, one answer. Over overlayfs everything that changed is in the *upper* directory: copies of files that were
touched, and whiteouts. Without it there is only a whole tree, which is compared name by name. Both give the same changes: added,
modified, deleted. A deletion is always told name by name, never as an opaque directory, which the specification asks of those
who write layers and which makes the two ways equal.

`Change` is the pure record. `Found` is a change while the walk stands at it: with open directories, so that its content can be
read on the spot. Directories come before what is in them, names in order. A directory counts as modified when its owner or mode
changed or something in it did; its time alone says only that a name came and went. See OCI image-spec `layer.md`, "Change
Types"; moby, `GET /containers/{id}/changes`. Acting. Chapter 4.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Collection, Iterator, Sequence
from contextlib import AbstractContextManager, nullcontext, suppress
from dataclasses import dataclass
from enum import IntEnum
from typing import Final

from minidocker.kernel.overlay import Node, is_opaque, is_whiteout, list_stack, open_stack

__all__ = ["Change", "ChangeKind", "Found", "differs", "list_changes", "read_xattrs", "walk_tree_changes", "walk_upper_changes"]

HOST_XATTRS: Final = ("trusted.overlay.", "user.overlay.", "security.selinux", "security.ima", "security.evm")
"""Attributes that speak about this host's mounts and policy, and are no part of an image."""


class ChangeKind(IntEnum):
    """What happened to a name; the numbers of the Docker Engine API."""

    MODIFIED = 0
    ADDED = 1
    DELETED = 2


@dataclass(frozen=True, slots=True, order=True)
class Change:
    """One name that is not as it was."""

    path: str
    """Absolute."""
    kind: ChangeKind


@dataclass(frozen=True, slots=True)
class Found:
    """A change at which a walk stands just now; its descriptors are open until the next one is asked for."""

    change: Change
    node: Node | None
    """The new file, `None` for one that was deleted."""


def walk_upper_changes(upper_fd: int, lower_fds: Sequence[int], *, ignored: Collection[str] = ()) -> Iterator[Found]:
    """Yield what the upper directory of an overlay changes in the layers *lower_fds* (highest first).

    Args:
        upper_fd: stays open, and is the caller's.
        lower_fds: likewise.
        ignored: paths that are no change as long as they are new and empty: what was mounted on.
    """
    return _Walk(is_upper=True, ignored=ignored).walk(upper_fd, lower_fds, "")


def walk_tree_changes(tree_fd: int, lower_fds: Sequence[int], *, ignored: Collection[str] = ()) -> Iterator[Found]:
    """Yield in what the tree *tree_fd* differs from what *lower_fds* show; arguments as above.

    Files are compared by type, owner, mode, size, time and attributes; their content is not read.
    """
    return _Walk(is_upper=False, ignored=ignored).walk(tree_fd, lower_fds, "")


def list_changes(found: Iterator[Found]) -> list[Change]:
    """Return the changes that a walk finds, by path."""
    return sorted(item.change for item in found)


class _Walk:
    def __init__(self, *, is_upper: bool, ignored: Collection[str]) -> None:
        self._is_upper, self._ignored = is_upper, ignored
        self._pending: list[Found] = []
        """Directories above the present one that are themselves as they were: told once something in them is not."""

    def walk(self, new_fd: int, old_fds: Sequence[int], path: str) -> Iterator[Found]:
        new = {name: _stat(name, new_fd) for name in os.listdir(new_fd)}
        old = list_stack(old_fds)
        tells_all = not self._is_upper or is_opaque(new_fd)  # else a name that is not there did not change
        for name in sorted({*new, *old} if tells_all else new):
            status, before = new.get(name), old.get(name)
            if status is None or (self._is_upper and is_whiteout(status)):
                if before is not None:
                    yield from self._tell(Found(Change(f"{path}/{name}", ChangeKind.DELETED), None))
            elif not stat.S_ISSOCK(status.st_mode):  # an archive cannot hold a socket, which is dead without its process anyway
                yield from self._visit(Node(name, status, (new_fd,)), before, f"{path}/{name}")

    def _visit(self, node: Node, before: Node | None, path: str) -> Iterator[Found]:
        is_directory = stat.S_ISDIR(node.status.st_mode)
        is_stub = before is None and path in self._ignored and (is_directory or not node.status.st_size)
        found = Found(Change(path, ChangeKind.ADDED if before is None else ChangeKind.MODIFIED), node)
        if not is_directory:
            is_changed = before is None or self._is_upper or differs(node, before)
            yield from self._tell(found) if is_changed and not is_stub else ()
            return
        if is_stub or (before is not None and not differs(node, before)):
            self._pending.append(found)
        else:
            yield from self._tell(found)
        with open_stack(node) as new_fds, _open_old(before) as old_fds:
            for new_fd in new_fds:  # one, or none if it was removed meanwhile
                yield from self.walk(new_fd, old_fds, path)
        if self._pending and self._pending[-1] is found:
            self._pending.pop()

    def _tell(self, found: Found) -> Iterator[Found]:
        pending, self._pending = self._pending, []
        yield from pending
        yield found


def _stat(name: str, fd: int) -> os.stat_result | None:
    with suppress(FileNotFoundError):  # a running container removed it since the directory was read
        return os.stat(name, dir_fd=fd, follow_symlinks=False)
    return None


def _open_old(before: Node | None) -> AbstractContextManager[tuple[int, ...]]:
    """Open what was there before, as an empty stack if that was no directory."""
    return open_stack(before) if before is not None and stat.S_ISDIR(before.status.st_mode) else nullcontext(())


def differs(node: Node, before: Node) -> bool:
    """Whether two files differ in what an archive says about them; of directories, times and sizes do not count."""
    new, old = node.status, before.status
    if (new.st_mode, new.st_uid, new.st_gid) != (old.st_mode, old.st_uid, old.st_gid):
        return True
    if not stat.S_ISDIR(new.st_mode) and (new.st_size, new.st_mtime_ns, new.st_rdev) != (old.st_size, old.st_mtime_ns, old.st_rdev):
        return True
    return read_xattrs(node) != read_xattrs(before)


def read_xattrs(node: Node) -> dict[str, bytes]:
    """Return the extended attributes of a file that belong to an image."""
    path = f"/proc/self/fd/{node.fds[0]}/{node.name}"
    try:
        keys = os.listxattr(path, follow_symlinks=False)
    except OSError:  # a file system without them
        return {}
    found = {}
    for key in keys:
        if not key.startswith(HOST_XATTRS):
            with suppress(OSError):  # removed meanwhile
                found[key] = os.getxattr(path, key, follow_symlinks=False)
    return found
