"""Tar archives, the form in which image layers travel: entries as values, and a streaming reader of them.

An archive is a row of 512-byte blocks: one header for each entry, then its data padded to whole blocks, two zero blocks at
the end. Three dialects are read: ustar (POSIX 1988), GNU (long names as entries of their own, sparse files, binary numbers)
and pax (POSIX 2001: an entry with `key=value` records before the entry they describe; `SCHILY.xattr.` holds extended
attributes). The writer writes ustar and adds pax records only where ustar cannot say it, so that equal entries give equal bytes.

Pure: the reader pulls bytes through `ByteSource.read` and holds one buffer whatever the size of the archive. Names are
bytes and as they stand in the archive: what a name may do is decided where it is used. Garbage raises `InvalidArchive` with
the offset of the block. See pax(1), section "ustar Interchange Format", and the GNU tar manual, "Tar Internals". Chapter 5.
"""

from __future__ import annotations

import functools
import zlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from enum import Enum
from typing import Any, Final, NamedTuple, Protocol

from minidocker.codec.tar_header import BLOCK_BYTES, END_OF_ARCHIVE, HEADER, XATTR_RECORD, render_blocks, render_padding
from minidocker.errors import InvalidParameter

__all__ = [
    "BLOCK_BYTES", "END_OF_ARCHIVE", "ByteSource", "InvalidArchive", "Kind", "TarEntry", "TarReader", "render_header",
    "render_padding",
]  # fmt: skip

MAX_METADATA_BYTES: Final = 1 << 20
"""The longest pax header or GNU long name, as in Go's archive/tar: metadata is held in memory."""
MAX_SPARSE_SEGMENTS: Final = 1 << 16
"""The most pieces of a sparse file; the map is held in memory."""

_READ_BYTES: Final = 1 << 18
_ZERO_BLOCK: Final = bytes(BLOCK_BYTES)

_TEXT_RECORDS: Final = ((b"path", "name"), (b"linkpath", "link_name"), (b"uname", "user"), (b"gname", "group"))
_NUMBER_RECORDS: Final = ((b"uid", "uid"), (b"gid", "gid"), (b"size", "size"))


class InvalidArchive(InvalidParameter):
    """The bytes are not the tar archive that they should be."""


class ByteSource(Protocol):
    """Where the bytes of an archive come from: a file, a decompressor, a connection."""

    def read(self, size: int, /) -> bytes:
        """Return at least one and at most *size* bytes; none at the end."""


class Kind(Enum):
    """What an entry is; the value is the type byte that the writer uses."""

    FILE = b"0"
    HARD_LINK = b"1"
    SYMLINK = b"2"
    CHARACTER_DEVICE = b"3"
    BLOCK_DEVICE = b"4"
    DIRECTORY = b"5"
    FIFO = b"6"


_KINDS: Final = {
    **{kind.value: kind for kind in Kind},
    b"\0": Kind.FILE, b"7": Kind.FILE, b"S": Kind.FILE, b"D": Kind.DIRECTORY,
}  # fmt: skip


@dataclass(frozen=True, slots=True, kw_only=True)
class TarEntry:
    """One entry of an archive, without its data."""

    name: bytes
    """As it stands in the archive; a directory's without the `/` at its end."""
    kind: Kind = Kind.FILE
    mode: int = 0o644
    """Permission bits with setuid, setgid and sticky."""
    uid: int = 0
    gid: int = 0
    size: int = 0
    """Bytes of the file once unpacked; 0 for everything that is no file."""
    mtime_ns: int = 0
    link_name: bytes = b""
    """What a symbolic link says, or the name of the entry that a hard link is a second name of."""
    device_major: int = 0
    device_minor: int = 0
    user: bytes = b""
    group: bytes = b""
    xattrs: Mapping[bytes, bytes] = field(default_factory=dict)
    """Extended attributes by their whole name, such as `security.capability`."""
    segments: tuple[tuple[int, int], ...] | None = None
    """The (offset, length) pieces of a sparse file that have data, in order; `None` for an ordinary one."""
    offset: int = field(default=0, compare=False)
    """Where the entry's header starts in the archive."""


class _Metadata(NamedTuple):
    """What the special entries before an entry say about it."""

    records: dict[bytes, bytes]
    sparse_numbers: list[int]
    """`GNU.sparse.offset` and `.numbytes`, the only pax keys that repeat (format 0.0)."""


class TarReader:
    """Reads an archive front to back: iterate for the entries, and after each take its data or not.

    Typical sequence: `for entry in reader: data = reader.read_data(65536)` until it is empty, or `read_segments` for
    sparse files. Data that nobody takes is skipped. After the last entry `drain` reads what is left of the source.
    """

    def __init__(self, source: ByteSource) -> None:
        """Read from *source*, nothing before the first iteration."""
        self._source = source
        self._buffer = b""
        self._position = 0
        self._buffer_offset = 0
        self._data_left = 0
        self._padding = 0
        self._segments: tuple[tuple[int, int], ...] = ()
        self._globals: dict[bytes, bytes] = {}

    @property
    def offset(self) -> int:
        """How many bytes of the archive are consumed."""
        return self._buffer_offset + self._position

    def __iter__(self) -> Iterator[TarEntry]:
        """Yield the entries in their order.

        Raises:
            InvalidArchive: a header with a wrong checksum, a field out of range, an end in the middle of something.
        """
        metadata = _Metadata({}, [])
        while True:
            self._skip_data()
            offset = self.offset
            block = self._read_block()
            if block is None:
                break
            fields = HEADER.unpack(block)
            if not _has_valid_checksum(block, fields[6]):
                if block == _ZERO_BLOCK:
                    break
                raise self._invalid(offset, "header has a wrong checksum" if offset else "this is not a tar archive")
            kind = fields[7]
            if kind in b"xXLKgV":
                metadata = self._read_special(kind, fields, metadata, offset)
                continue
            yield self._make_entry(block, fields, metadata, offset)
            metadata = _Metadata({}, [])
        if metadata.records:
            raise self._invalid(self.offset, "archive ends after a header that describes the next entry")

    def read_data(self, size: int) -> bytes:
        """Return up to *size* bytes of the present entry's data, none at its end.

        Raises:
            InvalidArchive: the archive ends before the data does.
        """
        size = min(size, self._data_left)
        if not size:
            return b""
        if self._position >= len(self._buffer) and not self._fill():
            raise self._truncated()
        piece = self._buffer[self._position : self._position + size]
        self._position += len(piece)
        self._data_left -= len(piece)
        return piece

    def read_segments(self) -> Iterator[tuple[int, bytes]]:
        """Yield the present entry's data as (offset in the file, bytes), leaving out the holes of a sparse file."""
        for start, length in self._segments:
            done = 0
            while done < length:
                piece = self.read_data(length - done)
                yield start + done, piece
                done += len(piece)

    def drain(self) -> None:
        """Read and drop what follows the end of the archive, so that the source is read to its end."""
        while self._fill():
            pass

    def _fill(self) -> bool:
        """Replace the used-up buffer; return whether there was more."""
        self._buffer_offset += len(self._buffer)
        self._position = 0
        self._buffer = self._source.read(_READ_BYTES)
        return bool(self._buffer)

    def _read_block(self) -> bytes | None:
        """Return the next block, `None` where the source ends between two blocks."""
        start = self._position
        block = self._buffer[start : start + BLOCK_BYTES]
        self._position = start + len(block)
        while len(block) < BLOCK_BYTES:
            if not self._fill():
                if block:
                    raise self._truncated()
                return None
            more = self._buffer[: BLOCK_BYTES - len(block)]
            self._position = len(more)
            block += more
        return block

    def _skip_data(self) -> None:
        """Go to the next header; an archive may end where only padding is missing: docker's client sends such with `-f -`."""
        padding = self._padding
        left = self._data_left + padding
        self._data_left = self._padding = 0
        while left > len(self._buffer) - self._position:
            left -= len(self._buffer) - self._position
            self._position = len(self._buffer)
            if not self._fill():
                if left <= padding:
                    return
                raise self._truncated()
        self._position += left

    def _start_data(self, size: int) -> None:
        self._data_left, self._padding = size, -size % BLOCK_BYTES

    def _read_special(self, kind: bytes, fields: tuple[bytes, ...], metadata: _Metadata, offset: int) -> _Metadata:
        """Return *metadata* with what the entry at *offset* adds to it: an entry that describes another."""
        size = self._number(fields[4], offset, "size")
        if size > MAX_METADATA_BYTES:
            raise self._invalid(offset, f"{size} bytes of metadata, more than {MAX_METADATA_BYTES}")
        self._start_data(size)
        content = b"".join(iter(lambda: self.read_data(size), b""))
        if kind == b"V":
            return metadata
        if kind in b"LK":
            key = b"path" if kind == b"L" else b"linkpath"
            return metadata._replace(records={**metadata.records, key: content.split(b"\0", 1)[0]})
        records, numbers = self._parse_records(content, offset)
        if kind == b"g":
            self._globals.update(records)
            return metadata
        return _Metadata({**metadata.records, **records}, metadata.sparse_numbers + numbers)

    def _parse_records(self, content: bytes, offset: int) -> tuple[dict[bytes, bytes], list[int]]:
        r"""Parse pax records: `LENGTH KEY=VALUE\n`, where the length counts the whole record."""
        records: dict[bytes, bytes] = {}
        numbers: list[int] = []
        place = 0
        while place < len(content):
            length, blank, _ = content[place : place + 20].partition(b" ")
            end = place + (int(length) if length.isdigit() else 0)
            key, equals, value = content[place + len(length) + 1 : end - 1].partition(b"=")
            if not (blank and equals and key) or end > len(content) or content[end - 1 : end] != b"\n":
                raise self._invalid(offset, "malformed pax record")
            if key in (b"path", b"linkpath", b"uname", b"gname") and b"\0" in value:
                raise self._invalid(offset, "NUL byte in a name")
            if key in (b"GNU.sparse.offset", b"GNU.sparse.numbytes"):
                numbers.append(self._decimal(value, offset))
            records[key] = value
            place = end
        return records, numbers

    def _make_entry(self, block: bytes, fields: tuple[bytes, ...], metadata: _Metadata, offset: int) -> TarEntry:
        """Return the entry that a header block and the *metadata* before it describe, and be ready for its data."""
        (name, mode, uid, gid, size, mtime, _, flag, link, magic, user, group, major, minor, prefix) = fields
        kind = _KINDS.get(flag)
        if kind is None:
            raise self._invalid(offset, f"entry of unknown type {flag!r}")
        name = name.split(b"\0", 1)[0]
        if prefix[0] and magic == b"ustar\x0000":  # GNU tar keeps other things there, and says so in the magic
            name = prefix.split(b"\0", 1)[0] + b"/" + name
        number = self._number
        is_device = kind is Kind.CHARACTER_DEVICE or kind is Kind.BLOCK_DEVICE
        entry = TarEntry(
            name=name, kind=kind, mode=number(mode, offset, "mode") & 0o7777, uid=number(uid, offset, "uid"),
            gid=number(gid, offset, "gid"), size=number(size, offset, "size") if kind is Kind.FILE else 0,
            mtime_ns=number(mtime, offset, "mtime", signed=True) * 1_000_000_000, link_name=link.split(b"\0", 1)[0],
            device_major=number(major, offset, "device") if is_device else 0,
            device_minor=number(minor, offset, "device") if is_device else 0,
            user=user.split(b"\0", 1)[0], group=group.split(b"\0", 1)[0], offset=offset,
        )  # fmt: skip
        records = {**self._globals, **metadata.records} if self._globals else metadata.records
        if records:
            entry = replace(entry, **self._apply_records(records, kind, offset))
        self._start_data(entry.size)
        self._segments = ((0, entry.size),)
        if flag == b"S" or b"GNU.sparse.major" in records or b"GNU.sparse.size" in records:
            entry = replace(entry, **self._read_sparse_map(block, flag, records, metadata.sparse_numbers, offset))
        if flag == b"\0" and entry.name.endswith(b"/"):  # before ustar, a slash was how a directory was known
            self._start_data(0)
            entry = replace(entry, kind=Kind.DIRECTORY, size=0)
        if entry.kind is Kind.DIRECTORY:
            entry = replace(entry, name=entry.name.rstrip(b"/") or b".")
        return entry

    def _apply_records(self, records: Mapping[bytes, bytes], kind: Kind, offset: int) -> dict[str, Any]:
        """Return the fields that pax *records* override."""
        values: dict[str, Any] = {}
        for key, field_name in _TEXT_RECORDS:
            if key in records:
                values[field_name] = records[key]
        for key, field_name in _NUMBER_RECORDS:
            if key in records and (kind is Kind.FILE or field_name != "size"):
                values[field_name] = self._decimal(records[key], offset)
        if b"mtime" in records:
            values["mtime_ns"] = self._parse_time(records[b"mtime"], offset)
        xattrs = {key[len(XATTR_RECORD) :]: value for key, value in records.items() if key.startswith(XATTR_RECORD)}
        if xattrs:
            values["xattrs"] = xattrs
        return values

    def _read_sparse_map(
        self, block: bytes, flag: bytes, records: Mapping[bytes, bytes], pairs: list[int], offset: int
    ) -> dict[str, Any]:
        """Return name, size and segments of a sparse file, in any of GNU's four ways to store them."""
        values: dict[str, Any] = {}
        if flag == b"S":
            numbers, real_size = self._read_old_sparse_map(block, offset)
        else:
            real_size = self._decimal(records.get(b"GNU.sparse.realsize") or records.get(b"GNU.sparse.size", b""), offset)
            if b"GNU.sparse.name" in records:
                values["name"] = records[b"GNU.sparse.name"]
            if b"GNU.sparse.major" in records:
                numbers = self._read_sparse_lines(offset)
            elif b"GNU.sparse.map" in records:
                numbers = [self._decimal(word, offset) for word in records[b"GNU.sparse.map"].split(b",") if word]
            else:
                numbers = pairs
        segments = tuple(zip(numbers[::2], numbers[1::2], strict=False))
        ends = [start + length for start, length in segments]
        in_order = all(start >= end for (start, _), end in zip(segments[1:], ends, strict=False))
        if len(numbers) % 2 or not in_order or (ends and ends[-1] > real_size) or len(segments) > MAX_SPARSE_SEGMENTS:
            raise self._invalid(offset, "malformed map of a sparse file")
        if sum(length for _, length in segments) != self._data_left:
            raise self._invalid(offset, "the map of a sparse file does not fit its data")
        self._segments = segments
        return {**values, "size": real_size, "segments": segments}

    def _read_old_sparse_map(self, block: bytes, offset: int) -> tuple[list[int], int]:
        """Read GNU's own form: four pairs in the header, then blocks of 21 pairs while a flag says so."""
        real_size = self._number(block[483:495], offset, "size")
        words = [block[place : place + 12] for place in range(386, 482, 12)]
        more = block[482]
        while more:
            extension = self._read_block()
            if extension is None:
                raise self._truncated()
            words += [extension[place : place + 12] for place in range(0, 504, 12)]
            more = extension[504]
            if len(words) > 2 * MAX_SPARSE_SEGMENTS:
                raise self._invalid(offset, "malformed map of a sparse file")
        used = [word for word in words if word[0]]
        return [self._number(word, offset, "sparse map") for word in used], real_size

    def _read_sparse_lines(self, offset: int) -> list[int]:
        """Read pax format 1.0: before the data, decimal lines (how many pairs, then the pairs) in whole blocks."""
        lines: list[bytes] = []
        text = b""
        wanted = 1
        while len(lines) < wanted:
            if self._data_left < BLOCK_BYTES or wanted > 2 * MAX_SPARSE_SEGMENTS + 1:
                raise self._invalid(offset, "malformed map of a sparse file")
            block = b""
            while len(block) < BLOCK_BYTES:
                block += self.read_data(BLOCK_BYTES - len(block))
            *complete, text = (text + block).split(b"\n")
            lines += complete
            if lines:
                wanted = 1 + 2 * self._decimal(lines[0], offset)
        return [self._decimal(line, offset) for line in lines[1:wanted]]

    def _number(self, raw: bytes, offset: int, name: str, *, signed: bool = False) -> int:
        """Return a header's number."""
        try:
            value = _parse_number(raw)
        except ValueError:
            raise self._invalid(offset, f"{name} is not an octal number") from None
        if value.bit_length() > 63 or (value < 0 and not signed):
            raise self._invalid(offset, f"{name} is out of range")
        return value

    def _decimal(self, text: bytes, offset: int) -> int:
        if not text.isdigit() or len(text) > 19:
            raise self._invalid(offset, "malformed number in a pax record")
        return int(text)

    def _parse_time(self, text: bytes, offset: int) -> int:
        """Return seconds with any number of decimals as nanoseconds; a binary float could not hold them."""
        whole, _, fraction = text.partition(b".")
        digits = whole.removeprefix(b"-")
        if not digits.isdigit() or len(digits) > 18 or not (fraction or b"0").isdigit():
            raise self._invalid(offset, "malformed time in a pax record")
        nanoseconds = int(digits) * 1_000_000_000 + int(fraction[:9].ljust(9, b"0"))
        return -nanoseconds if whole.startswith(b"-") else nanoseconds

    def _invalid(self, offset: int, reason: str) -> InvalidArchive:
        return InvalidArchive(f"read tar archive: at byte {offset}: {reason}")

    def _truncated(self) -> InvalidArchive:
        return self._invalid(self.offset, "the archive is cut off here")


@functools.lru_cache(maxsize=1024)
def _parse_number(raw: bytes) -> int:
    """Return what octal digits, or GNU's binary form (marked by the highest bit) say; owners, modes and times repeat.

    Raises:
        ValueError: neither; nothing at all counts as 0.
    """
    if raw[0] & 0x80:
        if raw[0] == 0xFF:
            return int.from_bytes(raw, "big", signed=True)
        return int.from_bytes(raw, "big") & ((1 << (8 * len(raw) - 1)) - 1)
    digits = raw.split(b"\0", 1)[0].strip(b" ")
    if digits and not digits.isdigit():
        raise ValueError
    return int(digits or b"0", 8)


def _sum_of(half: bytes) -> int:
    """Return the sum of up to 256 bytes: the lower word of Adler-32 is that sum and 1, and is made by a loop in C."""
    return (zlib.adler32(half) & 0xFFFF) - 1


def _has_valid_checksum(block: bytes, stored: bytes) -> bool:
    """Whether the checksum field holds the sum of all bytes, itself counted as eight blanks."""
    digits = stored.split(b"\0", 1)[0].strip(b" ")
    if not digits.isdigit() or b"8" in digits or b"9" in digits:
        return False
    expected = int(digits, 8)
    total = _sum_of(block[:256]) + _sum_of(block[256:]) - sum(stored) + 256
    if total == expected:
        return True
    # Some old archivers added the bytes as signed characters.
    high = sum(1 for byte in block[:148] + block[156:] if byte > 127)
    return total - 256 * high == expected


def render_header(entry: TarEntry) -> bytes:
    """Return the blocks that stand before the data of *entry*: its header, and a pax header first where it needs one.

    Raises:
        InvalidParameter: the entry is sparse; it must be written with its holes.
    """
    if entry.segments is not None:
        raise InvalidParameter(f"write tar archive: sparse file `{entry.name.decode(errors='replace')}` has no ustar form")
    return render_blocks(
        entry.name, entry.kind.value, mode=entry.mode, uid=entry.uid, gid=entry.gid, size=entry.size, mtime_ns=entry.mtime_ns,
        link_name=entry.link_name, major=entry.device_major, minor=entry.device_minor, user=entry.user, group=entry.group,
        xattrs=entry.xattrs,
    )  # fmt: skip
