"""COPY and ADD: files from one or several trees become the upper directory of a new layer.

Acting, below open directories on both sides; see `minidocker.build.tree` for why no path can leave them. Nothing is mounted: what
the layers below show is looked up, and a directory of theirs that gets something new is made here with their attributes, as
overlayfs itself would ("copy up").

The rules of COPY: a directory is its content, never itself; a file goes into a destination that ends with `/` or is a directory,
else that is its new name; attributes of a directory that exists already stay, of those within it they change; a directory cannot
take the place of a file, nor the other way round. Symbolic links within what is copied stay links; in the path of the destination
they are followed, except under `--link`, which looks at nothing below. See the Dockerfile reference, "COPY". Chapter 10.
"""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from typing import Final

from minidocker.build.tree import Tree, find_node
from minidocker.errors import InvalidParameter
from minidocker.kernel.overlay import OPEN_DIRECTORY, Node, list_stack, open_stack

__all__ = ["LayerWriter", "Source", "Treatment"]

_CHUNK_BYTES: Final = 1 << 24
_CREATE: Final = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC


@dataclass(frozen=True, slots=True, kw_only=True)
class Treatment:
    """What COPY's flags make of every file."""

    owner: tuple[int, int] | None = None
    """uid and gid; None: as they are."""
    root: tuple[int, int] = (0, 0)
    """Who new directories belong to without an *owner*."""
    change_mode: Callable[[int, bool], int] = lambda mode, _is_directory: mode
    excluded: Callable[[tuple[str, ...]], bool] | None = None
    """Of a path below what is copied; of a file, its name."""
    epoch: int | None = None
    """The time of directories that are made on the way; None: now."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Source:
    """One thing to copy."""

    tree: Tree
    names: tuple[str, ...]
    """Where it is in its tree, without links."""
    name: str = ""
    """What it is called in a directory: the name of the link that led to it, where one did."""
    parents: tuple[str, ...] = ()
    """`--parents`: the names that it keeps, its own the last."""
    unpack: Callable[[int, int, Sequence[int]], None] | None = None
    """An archive: unpack the open file into an open directory over the layers below."""


@dataclass(frozen=True, slots=True)
class _Target:
    """An open directory of the new layer, and what is below it."""

    fd: int
    lower: tuple[int, ...]

    @property
    def stack(self) -> tuple[int, ...]:
        return (self.fd, *self.lower)


class LayerWriter:
    """Fills the upper directory of one layer."""

    def __init__(self, upper_fd: int, lower_fds: Sequence[int], treatment: Treatment) -> None:
        """Write to *upper_fd* over *lower_fds* (highest first); all stay the caller's."""
        self._root = _Target(upper_fd, tuple(lower_fds))
        self._treatment = treatment
        self._links: dict[tuple[int, int], tuple[int, str]] = {}
        self._own = ExitStack()

    def __enter__(self) -> LayerWriter:
        """Begin."""
        return self

    def __exit__(self, *_exception: object) -> None:
        """Give the descriptors of hard links back."""
        self._own.close()

    def make_directory(self, path: str) -> None:
        """Make a directory with its parents, if it is not there."""
        with self._open(Tree(self._root.stack).resolve(path)):
            pass

    def copy(self, sources: Sequence[Source], destination: str) -> None:
        """Copy all *sources* to *destination*, an absolute path.

        Raises:
            InvalidParameter: what is there and what comes do not go together.
        """
        view = Tree(self._root.stack)
        names = view.resolve(destination)
        status = view.find(names)
        is_directory = destination.endswith("/") or (status is not None and stat.S_ISDIR(status.st_mode))
        for source in sources:
            self._links.clear()  # names of one file stay so within a source, not from one to the next
            found = source.tree.find(source.names)
            if found is None:
                raise InvalidParameter(f"copy `{'/'.join(source.names)}`: it is gone")
            if source.parents:
                self._copy_with_parents(source, names)
            elif stat.S_ISDIR(found.st_mode):
                self._copy_contents(source, names)
            elif source.unpack is not None:
                self._unpack(source, names if is_directory or status is None else names[:-1])
            else:
                self._copy_file(source, (*names, source.name or source.names[-1]) if is_directory else names)

    def _copy_file(self, source: Source, names: tuple[str, ...]) -> None:
        with self._open(names[:-1]) as target, source.tree.open_node(source.names) as node:
            excluded = self._treatment.excluded
            if node is not None and names and not (excluded is not None and excluded((node.name,))):
                self._copy_node(node, target, names[-1], (node.name,), source.tree.may_link)

    def _copy_contents(self, source: Source, names: tuple[str, ...]) -> None:
        """Copy what is in a directory; its own mode and owner stay behind, as in BuildKit."""
        with self._open(names) as target, source.tree.open_directory(source.names) as fds:
            self._copy_children(fds, target, (), source.tree.may_link)

    def _copy_with_parents(self, source: Source, names: tuple[str, ...]) -> None:
        """Copy to `destination/path/of/source`, each directory on the way as it is in the source."""
        start = len(source.names) - len(source.parents)
        for depth in range(start, len(source.names)):
            inner = source.names[start:depth]
            if not inner:
                continue
            if Tree(self._root.stack).find((*names, *inner)) is None:
                with self._open((*names, *inner)) as target, source.tree.open_directory(source.names[:depth]) as fds:
                    if fds:
                        self._set_attributes(fds[0], target.fd, os.fstat(fds[0]))
        with self._open((*names, *source.names[start:-1])) as target, source.tree.open_node(source.names) as node:
            if node is not None:
                self._copy_node(node, target, source.names[-1], source.parents, source.tree.may_link)

    def _unpack(self, source: Source, names: tuple[str, ...]) -> None:
        with self._open(names) as target, source.tree.open_node(source.names) as node:
            assert node is not None
            assert source.unpack is not None
            fd = os.open(node.name, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=node.fds[0])
            try:
                source.unpack(fd, target.fd, target.lower)
            finally:
                os.close(fd)

    @contextmanager
    def _open(self, names: Sequence[str]) -> Iterator[_Target]:
        """Open a directory of the new layer, made with its parents; those below keep their times."""
        with ExitStack() as stack:
            target = self._root
            for depth, name in enumerate(names):
                target = self._enter(stack, target, name, "/" + "/".join(names[: depth + 1]))
            yield target

    def _enter(self, stack: ExitStack, parent: _Target, name: str, path: str) -> _Target:
        """Open one directory: this layer's own, a copy of one below, or a new one."""
        existing = find_node(parent.stack, name)
        if existing is not None and not stat.S_ISDIR(existing.status.st_mode):
            raise InvalidParameter(f"cannot copy to `{path}`: not a directory")
        below = find_node(parent.lower, name)
        lower = stack.enter_context(open_stack(below)) if below is not None and stat.S_ISDIR(below.status.st_mode) else ()
        if existing is None or existing.fds[0] != parent.fd:
            os.mkdir(name, 0o755, dir_fd=parent.fd)
        fd = os.open(name, OPEN_DIRECTORY, dir_fd=parent.fd)
        stack.callback(os.close, fd)
        if existing is None:
            os.fchmod(fd, 0o755)
            os.fchown(fd, *(self._treatment.owner or self._treatment.root))
            if self._treatment.epoch is not None:
                stack.callback(os.utime, fd, (self._treatment.epoch, self._treatment.epoch))
        elif existing.fds[0] != parent.fd:
            _copy_attributes(lower[0], fd)
            stack.callback(os.utime, fd, ns=(existing.status.st_atime_ns, existing.status.st_mtime_ns))
        return _Target(fd, lower)

    def _copy_children(self, fds: Sequence[int], target: _Target, path: tuple[str, ...], may_link: bool) -> None:
        excluded = self._treatment.excluded
        for name, node in sorted(list_stack(fds).items()):
            if excluded is not None and excluded((*path, name)):
                if stat.S_ISDIR(node.status.st_mode):  # a later `!` may want something in it
                    self._copy_wanted(node, target, (*path, name), may_link)
                continue
            self._copy_node(node, target, name, (*path, name), may_link)

    def _copy_wanted(self, node: Node, target: _Target, path: tuple[str, ...], may_link: bool) -> None:
        """Copy out of an excluded directory what a later pattern takes back."""
        assert self._treatment.excluded is not None
        with open_stack(node) as fds:
            for name, child in sorted(list_stack(fds).items()):
                is_directory = stat.S_ISDIR(child.status.st_mode)
                if not self._treatment.excluded((*path, name)):
                    with ExitStack() as stack:
                        inner = self._enter(stack, target, node.name, node.name)
                        self._copy_node(child, inner, name, (*path, name), may_link)
                elif is_directory and self._has_wanted(child, (*path, name)):
                    with ExitStack() as stack:
                        self._copy_wanted(child, self._enter(stack, target, node.name, node.name), (*path, name), may_link)

    def _has_wanted(self, node: Node, path: tuple[str, ...]) -> bool:
        assert self._treatment.excluded is not None
        with open_stack(node) as fds:
            return any(
                not self._treatment.excluded((*path, name))
                or (stat.S_ISDIR(child.status.st_mode) and self._has_wanted(child, (*path, name)))
                for name, child in list_stack(fds).items()
            )

    def _copy_node(self, node: Node, target: _Target, name: str, path: tuple[str, ...], may_link: bool) -> None:
        existing = find_node(target.stack, name)
        exists_as_directory = existing is not None and stat.S_ISDIR(existing.status.st_mode)
        if stat.S_ISDIR(node.status.st_mode):
            with ExitStack() as stack:
                inner = self._enter(stack, target, name, "/".join(path))
                fds = stack.enter_context(open_stack(node))
                self._copy_children(fds, inner, path, may_link)
                stack.pop_all().close()  # times of what was copied up come first
                fd = os.open(name, OPEN_DIRECTORY, dir_fd=target.fd)
                try:
                    self._set_directory(node, fd)
                finally:
                    os.close(fd)
            return
        if exists_as_directory:
            raise InvalidParameter(f"cannot copy `{'/'.join(path)}`: `{name}` is a directory at the destination")
        if existing is not None and existing.fds[0] == target.fd:
            os.unlink(name, dir_fd=target.fd)
        self._copy_leaf(node, target.fd, name, may_link)

    def _set_directory(self, node: Node, fd: int) -> None:
        source = os.open(node.name, OPEN_DIRECTORY, dir_fd=node.fds[0])
        try:
            self._set_attributes(source, fd, node.status)
        finally:
            os.close(source)

    def _copy_leaf(self, node: Node, target_fd: int, name: str, may_link: bool) -> None:
        status = node.status
        key = (status.st_dev, status.st_ino)
        first = self._links.get(key) if status.st_nlink > 1 and not may_link else None
        if first is not None:
            os.link(first[1], name, src_dir_fd=first[0], dst_dir_fd=target_fd, follow_symlinks=False)
            return
        if stat.S_ISREG(status.st_mode):
            self._copy_regular(node, target_fd, name, may_link)
        else:
            if stat.S_ISLNK(status.st_mode):
                os.symlink(os.readlink(node.name, dir_fd=node.fds[0]), name, dir_fd=target_fd)
            elif not stat.S_ISSOCK(status.st_mode):
                os.mknod(name, status.st_mode, status.st_rdev, dir_fd=target_fd)
            else:
                return
            uid, gid = self._treatment.owner or (status.st_uid, status.st_gid)
            os.chown(name, uid, gid, dir_fd=target_fd, follow_symlinks=False)
            os.utime(name, ns=(status.st_atime_ns, status.st_mtime_ns), dir_fd=target_fd, follow_symlinks=False)
        if status.st_nlink > 1:
            self._links[key] = (os.dup(target_fd), name)
            self._own.callback(os.close, self._links[key][0])

    def _copy_regular(self, node: Node, target_fd: int, name: str, may_link: bool) -> None:
        status, treatment = node.status, self._treatment
        mode = stat.S_IMODE(status.st_mode)
        is_as_wanted = treatment.change_mode(mode, False) == mode and treatment.owner in (None, (status.st_uid, status.st_gid))
        if may_link and is_as_wanted:  # nobody else will ever write to it: one more name is a copy
            try:
                os.link(node.name, name, src_dir_fd=node.fds[0], dst_dir_fd=target_fd, follow_symlinks=False)
            except OSError as error:
                if error.errno not in (errno.EXDEV, errno.EMLINK, errno.EPERM):
                    raise
            else:
                return
        source = os.open(node.name, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=node.fds[0])
        target = -1
        try:
            target = os.open(name, _CREATE, 0o600, dir_fd=target_fd)
            while os.sendfile(target, source, None, _CHUNK_BYTES):
                pass
            self._set_attributes(source, target, status)
        finally:
            os.close(source)
            if target >= 0:
                os.close(target)

    def _set_attributes(self, source: int, target: int, status: os.stat_result) -> None:
        """Owner before mode, because chown(2) clears setuid; times last, because everything else changes them."""
        _copy_xattrs(source, target)
        os.fchown(target, *(self._treatment.owner or (status.st_uid, status.st_gid)))
        os.fchmod(target, self._treatment.change_mode(stat.S_IMODE(status.st_mode), stat.S_ISDIR(status.st_mode)))
        os.utime(target, ns=(status.st_atime_ns, status.st_mtime_ns))


def _copy_attributes(source: int, target: int) -> None:
    status = os.fstat(source)
    _copy_xattrs(source, target)
    os.fchown(target, status.st_uid, status.st_gid)
    os.fchmod(target, stat.S_IMODE(status.st_mode))


def _copy_xattrs(source: int, target: int) -> None:
    for key in os.listxattr(source):
        if not key.startswith(("trusted.overlay.", "user.overlay.")):
            with suppress(OSError):  # the file system below the data root may not take every attribute
                os.setxattr(target, key, os.getxattr(source, key))
