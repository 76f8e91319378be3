"""The client's side of `cp`: local files become an archive, and an archive local files. Acts; on any system.

What a server sends is not trusted: a name never climbs out of the directory, and nothing is written through a link that the
archive itself brought. As with Docker, owners stay behind, modes and times (in whole seconds) travel. Chapter 14.
"""

from __future__ import annotations

import os
import stat

from minidocker.codec.tar import END_OF_ARCHIVE, Kind, TarEntry, TarReader, render_header, render_padding
from minidocker.errors import HostError, InvalidParameter

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

__all__ = ["PieceReader", "pack", "unpack"]

CHUNK_BYTES = 1 << 18
_KINDS = {stat.S_IFREG: Kind.FILE, stat.S_IFDIR: Kind.DIRECTORY, stat.S_IFLNK: Kind.SYMLINK, stat.S_IFIFO: Kind.FIFO}


class PieceReader:
    """Pieces as a source that is read, and how many bytes they were."""

    def __init__(self, pieces: Iterable[bytes]) -> None:
        """Read what *pieces* give."""
        self._pieces, self._rest, self.size = iter(pieces), b"", 0

    def read(self, size: int, /) -> bytes:
        """Return up to *size* bytes."""
        if not self._rest:
            self._rest = next(self, b"")
        piece, self._rest = self._rest[:size], self._rest[size:]
        return piece

    def __iter__(self) -> Iterator[bytes]:
        """Give what is left, as it comes."""
        return self

    def __next__(self) -> bytes:
        """Return the next piece."""
        piece = next(self._pieces)
        self.size += len(piece)
        return piece


def pack(path: str, name: str) -> Iterator[bytes]:
    """Yield an archive of the file or directory at *path*, which is called *name* in it."""
    yield from _pack(path, name, {})
    yield END_OF_ARCHIVE


def _pack(path: str, name: str, first_names: dict[tuple[int, int], bytes]) -> Iterator[bytes]:
    status = os.lstat(path)
    kind = _KINDS.get(stat.S_IFMT(status.st_mode))
    if kind is None:  # a device or a socket
        return
    is_file = kind is Kind.FILE
    entry = TarEntry(
        name=os.fsencode(name), kind=kind, mode=stat.S_IMODE(status.st_mode), uid=status.st_uid, gid=status.st_gid,
        size=status.st_size if is_file else 0, mtime_ns=int(status.st_mtime) * 1_000_000_000,
        link_name=os.fsencode(os.readlink(path)) if kind is Kind.SYMLINK else b"",
    )  # fmt: skip
    if is_file and status.st_nlink > 1:
        first = first_names.setdefault((status.st_dev, status.st_ino), entry.name)
        if first != entry.name:
            yield render_header(TarEntry(name=entry.name, kind=Kind.HARD_LINK, link_name=first, mode=entry.mode))
            return
    yield render_header(entry)
    if is_file:
        with open(path, "rb") as file:
            left = entry.size
            while left:
                piece = file.read(min(left, CHUNK_BYTES)) or bytes(min(left, CHUNK_BYTES))  # it may shrink meanwhile
                left -= len(piece)
                yield piece
        yield render_padding(entry.size)
    elif kind is Kind.DIRECTORY:
        for child in sorted(os.listdir(path)):
            yield from _pack(os.path.join(path, child), f"{name}/{child}", first_names)


def unpack(reader: TarReader, directory: str, *, old_name: str, new_name: str) -> None:
    """Unpack an archive below *directory*; *old_name*, with which every name begins, becomes *new_name*.

    Raises:
        InvalidParameter: a name leads outside, or a directory and a file would take each other's place.
        HostError: the system refuses to write something.
    """
    modes: list[tuple[str, TarEntry]] = []
    for entry in reader:
        path = _place(entry.name, directory, old_name, new_name)
        try:
            _make(entry, reader, path, lambda name: _place(name, directory, old_name, new_name))
        except OSError as error:
            raise HostError(f"write `{path}`: {error.strerror}") from error
        if entry.kind is Kind.DIRECTORY:
            modes.append((path, entry))
    for path, entry in reversed(modes):  # at the end, because a directory must stay writable and its time unchanged
        os.chmod(path, entry.mode)
        os.utime(path, ns=(entry.mtime_ns, entry.mtime_ns))


def _place(name: bytes, directory: str, old_name: str, new_name: str) -> str:
    """Return where an entry goes; the directories in its path are real ones."""
    parts = [part for part in os.fsdecode(name).split("/") if part not in ("", ".")]
    if ".." in parts or any(os.sep in part or (os.altsep or os.sep) in part for part in parts):
        raise InvalidParameter(f"unpack `{os.fsdecode(name)}`: the name leads out of `{directory}`")
    if new_name != old_name:
        parts[: 0 if old_name in (".", "/") else 1] = [new_name]
    path = directory
    for part in parts[:-1]:
        path = os.path.join(path, part)
        if os.path.islink(path):
            raise InvalidParameter(f"unpack `{os.fsdecode(name)}`: `{path}` is a symbolic link")
        os.makedirs(path, exist_ok=True)
    return os.path.join(path, *parts[-1:])


def _make(entry: TarEntry, reader: TarReader, path: str, place: Callable[[bytes], str]) -> None:
    is_directory = os.path.isdir(path) and not os.path.islink(path)
    if entry.kind is Kind.DIRECTORY:
        if os.path.lexists(path) and not os.path.isdir(path):
            raise InvalidParameter(f'cannot overwrite non-directory "{path}" with directory "{path}"')
        os.makedirs(path, exist_ok=True)
        return
    if is_directory:
        raise InvalidParameter(f'cannot overwrite directory "{path}" with non-directory "{path}"')
    if os.path.lexists(path):
        os.unlink(path)
    if entry.kind is Kind.FILE:
        with open(path, "xb") as file:
            for offset, piece in reader.read_segments():
                file.seek(offset)
                file.write(piece)
            file.truncate(entry.size)
        os.chmod(path, entry.mode)
        os.utime(path, ns=(entry.mtime_ns, entry.mtime_ns))
    elif entry.kind is Kind.SYMLINK:
        os.symlink(os.fsdecode(entry.link_name), path)
    elif entry.kind is Kind.HARD_LINK:
        os.link(place(entry.link_name), path, follow_symlinks=False)
    elif entry.kind is Kind.FIFO and hasattr(os, "mkfifo"):
        os.mkfifo(path, entry.mode)
    else:
        raise InvalidParameter(f"write `{path}`: a device cannot be copied")
