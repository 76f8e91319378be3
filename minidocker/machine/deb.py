"""Read Debian packages: an `ar` archive with three members, of which `data.tar.*` holds the files.

Acting, but reads only; nothing is unpacked to disk and no package tool is needed. Members of an `ar` archive have a header of 60
characters, decimal numbers padded with blanks. See deb(5), ar(5). Chapter 20.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import IO, Final

from minidocker.codec.tar import ByteSource, InvalidArchive, Kind, TarReader
from minidocker.codec.compression import open_decompressed

__all__ = ["AR_MAGIC", "read_all", "read_files"]

AR_MAGIC: Final = b"!<arch>\n"
_HEADER_BYTES: Final = 60
_READ_BYTES: Final = 1 << 18


class _Member:
    """The content of one member, as a source of bytes."""

    def __init__(self, file: IO[bytes], size: int) -> None:
        self._file, self._left = file, size

    def read(self, size: int, /) -> bytes:
        piece = self._file.read(min(size, self._left))
        self._left -= len(piece)
        return piece


def read_files(path: Path) -> Iterator[tuple[str, ByteSource]]:
    """Yield (name without a leading `./`, content) of each regular file in the package at *path*, in its order.

    Each content must be read, or not, before the next step.

    Raises:
        InvalidArchive: it is no package, or cut off.
        NotSupported: its files are compressed with zstd.
    """
    with path.open("rb") as file:
        reader = TarReader(open_decompressed(_open_data(file, path)))
        for entry in reader:
            if entry.kind is Kind.FILE:
                yield entry.name.decode(errors="surrogateescape").removeprefix("./"), _Content(reader)
        reader.drain()  # what follows the last file shows whether the package is whole


class _Content:
    """The data of the entry at which a reader stands."""

    def __init__(self, reader: TarReader) -> None:
        self._reader = reader

    def read(self, size: int, /) -> bytes:
        return self._reader.read_data(size)


def _open_data(file: IO[bytes], path: Path) -> _Member:
    """Return the member that holds the files."""
    if file.read(len(AR_MAGIC)) != AR_MAGIC:
        raise InvalidArchive(f"read package `{path}`: this is no Debian package")
    while len(header := file.read(_HEADER_BYTES)) == _HEADER_BYTES:
        digits = header[48:58].strip()
        if header[58:] != b"`\n" or not digits.isdigit():
            raise InvalidArchive(f"read package `{path}`: damaged at byte {file.tell() - _HEADER_BYTES}")
        size = int(digits)
        if header[:9] == b"data.tar." or header[:16].rstrip(b" /") == b"data.tar":
            return _Member(file, size)
        file.seek(size + size % 2, 1)
    raise InvalidArchive(f"read package `{path}`: there are no files in it (no member `data.tar`)")


def read_all(source: ByteSource) -> bytes:
    """Return everything that *source* has."""
    return b"".join(iter(lambda: source.read(_READ_BYTES), b""))
