"""Paths and files: how the kernel walks a path, and what may be made at its end.

Pure. A path is walked name by name; see path_resolution(7). Three rules make containers possible: `..` stops at the *process's*
root; an absolute symbolic link starts there again; and after each name the walk crosses into whatever is mounted on it. Chapter 16.
"""

from __future__ import annotations

import errno
import posixpath
from collections.abc import Mapping
from dataclasses import replace
from typing import Final

from minidocker.kernel.flags import Ms
from minidocker.simulator.linux import DIRECTORY, Linux, Mount, Node, NodeKind, Place, fail

__all__ = ["absolute", "exists", "is_under", "make_directories", "make_file", "make_node", "put_node", "read_file", "resolve", "rise", "top_of"]

MAX_LINKS: Final = 40
"""More symbolic links than this in one path are taken for a circle: ELOOP."""


def resolve(linux: Linux, root: Place, path: str, *, start: Place | None = None, follow: bool = True) -> Place:
    """Return where *path* leads for a process whose root is *root*, from *start* if it is relative.

    Raises:
        OSError: ENOENT, ENOTDIR or ELOOP.
    """
    here = root if path.startswith("/") or start is None else start
    names = [name for name in path.split("/") if name not in ("", ".")][::-1]
    links = 0
    while names:
        name = names.pop()
        if linux.node_at(here).kind != NodeKind.DIRECTORY:
            raise fail(errno.ENOTDIR, "not a directory", path)
        if name == "..":
            here = _parent_of(linux, root, here)
            continue
        below = Place(mount=here.mount, path=posixpath.join(here.path, name))
        node = linux.file_system_at(below).files.get(below.path)
        if node is None:
            raise fail(errno.ENOENT, "no such file or directory", path)
        if node.kind == NodeKind.SYMLINK and (names or follow):
            links += 1
            if links > MAX_LINKS:
                raise fail(errno.ELOOP, "too many symbolic links", path)
            names += [part for part in node.content.split("/") if part not in ("", ".")][::-1]
            here = root if node.content.startswith("/") else here
            continue
        here = top_of(linux, below)
    return here


def top_of(linux: Linux, place: Place) -> Place:
    """Return what is seen at *place*: the root of the mount on it, and of the mount on that, and so on."""
    while (mount := mount_at(linux, place)) is not None:
        place = Place(mount=mount.id, path=mount.root)
    return place


def mount_at(linux: Linux, place: Place) -> Mount | None:
    """Return the mount whose mount point *place* is; there is at most one, others are stacked on its root."""
    return next(
        (m for m in linux.mounts.values() if m.parent == place.mount and m.id != m.parent and m.mount_point == place.path), None
    )


def _parent_of(linux: Linux, root: Place, place: Place) -> Place:
    """Walk `..`: not above the process's root, and at the root of a mount out to where it is mounted."""
    while place != root and place.path == linux.mounts[place.mount].root and linux.mounts[place.mount].parent != place.mount:
        place = rise(linux, place)
    if place == root or place.path == linux.mounts[place.mount].root:
        return place
    return top_of(linux, replace(place, path=posixpath.dirname(place.path)))


def rise(linux: Linux, place: Place) -> Place:
    """Return the mount point of the mount that *place* is in."""
    mount = linux.mounts[place.mount]
    return Place(mount=mount.parent, path=mount.mount_point)


def absolute(path: str) -> str:
    """Return *path* from the root, without `.`, `..` and doubled slashes; normpath(3) would keep two at the beginning."""
    return posixpath.normpath("/" + path.lstrip("/"))


def is_under(path: str, directory: str) -> bool:
    """Return whether *path* is *directory* or lies in it."""
    return path == directory or path.startswith(directory.rstrip("/") + "/")


def exists(linux: Linux, root: Place, path: str) -> bool:
    """Return whether *path* leads anywhere."""
    try:
        resolve(linux, root, path)
    except OSError:
        return False
    return True


def read_file(linux: Linux, root: Place, path: str) -> str:
    """Return the text of a file; nothing where there is none."""
    try:
        return linux.node_at(resolve(linux, root, path)).content
    except OSError:
        return ""


def make_directories(linux: Linux, root: Place, path: str) -> Linux:
    """Make *path* and its missing parents, as `mkdir -p` does.

    Raises:
        OSError: EROFS, or ENOTDIR where a file is in the way.
    """
    parts = [part for part in path.split("/") if part]
    for depth in range(len(parts)):
        here = "/" + "/".join(parts[: depth + 1])
        if not exists(linux, root, here):
            linux = make_node(linux, root, here, DIRECTORY)
        elif linux.node_at(resolve(linux, root, here)).kind != NodeKind.DIRECTORY:
            raise fail(errno.ENOTDIR, "a file is in the way", here)
    return linux


def make_file(linux: Linux, root: Place, path: str) -> Linux:
    """Make an empty file, with missing parents, unless something is there."""
    if exists(linux, root, path):
        return linux
    return make_node(make_directories(linux, root, posixpath.dirname(path)), root, path, Node())


def make_node(linux: Linux, root: Place, path: str, node: Node) -> Linux:
    """Make *node* at *path*; see mknod(2), mkdir(2), symlink(2).

    Raises:
        OSError: ENOENT without a parent, EEXIST, EROFS.
    """
    parent = resolve(linux, root, posixpath.dirname(path.rstrip("/")) or "/")
    place = replace(parent, path=posixpath.join(parent.path, posixpath.basename(path.rstrip("/"))))
    if place.path in linux.file_system_at(place).files:
        raise fail(errno.EEXIST, "something is there already", path)
    require_writable(linux, place, path)
    return put_node(linux, linux.file_system_at(place).id, {place.path: node})


def require_writable(linux: Linux, place: Place, path: str) -> None:
    """Raise EROFS where the mount or the file system is read-only: either is enough."""
    if linux.mounts[place.mount].flags & Ms.RDONLY or linux.file_system_at(place).readonly:
        raise fail(errno.EROFS, "read-only file system", path)


def put_node(linux: Linux, file_system: int, nodes: Mapping[str, Node]) -> Linux:
    """Return *linux* with *nodes* put into a file system, whatever was there."""
    old = linux.file_systems[file_system]
    return linux.with_file_system(replace(old, files={**old.files, **nodes}))
