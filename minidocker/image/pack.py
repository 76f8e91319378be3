"""Files become a tar archive: a layer from changes, an export from all that a stack of layers shows.

The other direction of `extract`, under the same rule: one name below an open directory, never a path. The same files always give
the same bytes: names in order, no user names, no access times, whiteouts without a date, and pax records only where they are
needed. *latest_ns* replaces younger times (`SOURCE_DATE_EPOCH`, reproducible-builds.org).

A file that has several names is stored under the first and linked under the others. A file that shrinks while it is read is
filled up with zero bytes, one that grows is cut at the size that its header announced: a running container may write. Sparse files are
written whole, because OCI image-spec `layer.md` advises against the sparse forms. Acting, streaming. Chapter 5.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Final

from minidocker.codec.idmap import FILE_CAPABILITIES, IDENTITY, IdMap, disown_capabilities
from minidocker.codec.tar import END_OF_ARCHIVE, Kind, TarEntry, render_header, render_padding
from minidocker.codec.whiteout import render_whiteout
from minidocker.image.diff import ChangeKind, Found, read_xattrs
from minidocker.kernel.overlay import Node, list_stack, open_stack

__all__ = ["Packer", "gather", "pack_changes", "pack_stack"]

_CHUNK_BYTES: Final = 1 << 18
_OPEN_FILE: Final = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
"""Not blocking, in case a pipe took the file's place."""
_KINDS: Final = {
    stat.S_IFREG: Kind.FILE, stat.S_IFDIR: Kind.DIRECTORY, stat.S_IFLNK: Kind.SYMLINK, stat.S_IFCHR: Kind.CHARACTER_DEVICE,
    stat.S_IFBLK: Kind.BLOCK_DEVICE, stat.S_IFIFO: Kind.FIFO,
}  # fmt: skip


def pack_changes(changes: Iterator[Found], *, latest_ns: int | None = None, ids: IdMap = IDENTITY) -> Iterator[bytes]:
    """Yield the layer that makes *changes*, with the owners that *ids* shows; nothing at all if there are none.

    Raises:
        OSError: a file cannot be read.
    """
    packer = Packer(latest_ns=latest_ns, ids=ids)
    is_empty = True
    for found in changes:
        is_empty = False
        name = found.change.path.lstrip("/")
        if found.change.kind is ChangeKind.DELETED or found.node is None:
            yield render_header(TarEntry(name=os.fsencode(render_whiteout(name)), mode=0o600))
        else:
            yield from packer.pack(found.node, name)
    if not is_empty:
        yield END_OF_ARCHIVE


def pack_stack(fds: Sequence[int], *, prefix: str = "", ids: IdMap = IDENTITY) -> Iterator[bytes]:
    """Yield an archive of everything that a stack of directories (highest first) shows; *prefix* stands before each name.

    Raises:
        OSError: a file cannot be read.
    """
    yield from Packer(ids=ids).pack_directory(fds, prefix)
    yield END_OF_ARCHIVE


class Packer:
    """One archive in the making: remembers which files with several names it holds already."""

    def __init__(
        self, *, latest_ns: int | None = None, devices: frozenset[int] | None = None, step_ns: int = 1, ids: IdMap = IDENTITY
    ) -> None:  # fmt: skip
        """Cut times to whole *step_ns* and to *latest_ns*, enter no directory on other file systems than *devices*, show owners by *ids*."""
        self._ids = ids
        self._latest_ns, self._devices, self._step_ns = latest_ns, devices, step_ns
        self._first_names: dict[tuple[int, int], bytes] = {}

    def pack_directory(self, fds: Sequence[int], prefix: str) -> Iterator[bytes]:
        """Yield the entries of all that is in a directory, without itself."""
        for _, node in sorted(list_stack(fds).items()):
            name = f"{prefix}{node.name}"
            yield from self.pack(node, name)
            if stat.S_ISDIR(node.status.st_mode) and (self._devices is None or node.status.st_dev in self._devices):
                with open_stack(node) as below:
                    yield from self.pack_directory(below, f"{name}/")

    def pack(self, node: Node, name: str) -> Iterator[bytes]:
        """Yield the entry of one file under *name*; nothing for a socket, which no archive can hold."""
        status = node.status
        kind = _KINDS.get(stat.S_IFMT(status.st_mode))
        if kind is None:
            return
        uid, gid = (status.st_uid, status.st_gid) if self._ids is IDENTITY else self._ids.inside(status.st_uid, status.st_gid)
        entry = TarEntry(
            name=os.fsencode(name), kind=kind, mode=stat.S_IMODE(status.st_mode), uid=uid, gid=gid,
            mtime_ns=self._clamp(status.st_mtime_ns),
            xattrs={os.fsencode(key): disown_capabilities(value) if key == FILE_CAPABILITIES else value for key, value in read_xattrs(node).items()},
        )  # fmt: skip
        if kind is not Kind.DIRECTORY and status.st_nlink > 1:
            first = self._first_names.setdefault((status.st_dev, status.st_ino), entry.name)
            if first != entry.name:
                yield render_header(replace(entry, kind=Kind.HARD_LINK, link_name=first, xattrs={}))
                return
        if kind is Kind.FILE:
            yield from _pack_file(node, entry)
            return
        if kind is Kind.SYMLINK:
            entry = replace(entry, link_name=os.fsencode(os.readlink(node.name, dir_fd=node.fds[0])))
        elif kind in (Kind.CHARACTER_DEVICE, Kind.BLOCK_DEVICE):
            entry = replace(entry, device_major=os.major(status.st_rdev), device_minor=os.minor(status.st_rdev))
        yield render_header(entry)


    def _clamp(self, time_ns: int) -> int:
        return (time_ns if self._latest_ns is None else min(time_ns, self._latest_ns)) // self._step_ns * self._step_ns


def gather(pieces: Iterator[bytes]) -> Iterator[bytes]:
    """Yield the same bytes in fewer pieces: a header alone is too little for one write."""
    waiting: list[bytes] = []
    size = 0
    for piece in pieces:
        waiting.append(piece)
        size += len(piece)
        if size >= _CHUNK_BYTES:
            yield b"".join(waiting)
            waiting, size = [], 0
    yield b"".join(waiting)


def _pack_file(node: Node, entry: TarEntry) -> Iterator[bytes]:
    """Yield header and content of a file that may change meanwhile: exactly as many bytes as the header says."""
    try:
        fd = os.open(node.name, _OPEN_FILE, dir_fd=node.fds[0])
    except FileNotFoundError:  # a running container removed it
        return
    try:
        status = os.fstat(fd)
        size = left = status.st_size if stat.S_ISREG(status.st_mode) else 0
        head = render_header(replace(entry, size=size))
        if size <= _CHUNK_BYTES:  # most files: one piece
            content = os.read(fd, size) if size else b""
            yield head + content.ljust(size, b"\0") + render_padding(size)
            return
        yield head
        while left:
            piece = os.read(fd, min(left, _CHUNK_BYTES)) or bytes(min(left, _CHUNK_BYTES))
            left -= len(piece)
            yield piece
        yield render_padding(size)
    finally:
        os.close(fd)
