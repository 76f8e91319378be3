"""Tar archives: headers, dialects, damage. The standard library's `tarfile` is the oracle."""

from __future__ import annotations

import io
import tarfile
from contextlib import suppress

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from minidocker.codec.tar import END_OF_ARCHIVE, InvalidArchive, Kind, TarEntry, TarReader, render_header, render_padding


class Drip:
    """A source that gives *step* bytes at a time."""

    def __init__(self, content: bytes, step: int) -> None:
        self._content, self._step, self._place = content, step, 0

    def read(self, size: int, /) -> bytes:
        """Return the next few bytes."""
        piece = self._content[self._place : self._place + min(size, self._step)]
        self._place += len(piece)
        return piece


def read_all(content: bytes, step: int = 1 << 18) -> list[tuple[TarEntry, bytes]]:
    """Return every entry with its data."""
    reader = TarReader(Drip(content, step))
    return [(entry, b"".join(iter(lambda: reader.read_data(7777), b""))) for entry in reader]


def render(entries: list[tuple[TarEntry, bytes]]) -> bytes:
    """Return an archive."""
    pieces = [render_header(entry) + data + render_padding(len(data)) for entry, data in entries]
    return b"".join(pieces) + END_OF_ARCHIVE


COMPONENTS = st.binary(min_size=1, max_size=90).filter(lambda b: not set(b) & set(b"\0/") and b not in (b".", b".."))
NAMES = st.lists(COMPONENTS, min_size=1, max_size=4).map(b"/".join)
TEXTS = st.binary(max_size=40).filter(lambda b: b"\0" not in b)


@st.composite
def entries(draw: st.DrawFn) -> tuple[TarEntry, bytes]:
    """Any entry that the writer can write, with data that fits."""
    kind = draw(st.sampled_from(Kind))
    data = draw(st.binary(max_size=1500)) if kind is Kind.FILE else b""
    is_link, is_device = kind in (Kind.SYMLINK, Kind.HARD_LINK), kind in (Kind.CHARACTER_DEVICE, Kind.BLOCK_DEVICE)
    entry = TarEntry(
        name=draw(NAMES), kind=kind, mode=draw(st.integers(0, 0o7777)), uid=draw(st.integers(0, 2**32)),
        gid=draw(st.integers(0, 2**32)), size=len(data), mtime_ns=draw(st.integers(-(2**62), 2**62)),
        link_name=draw(NAMES) if is_link else b"", device_major=draw(st.integers(0, 4095)) if is_device else 0,
        device_minor=draw(st.integers(0, 255)) if is_device else 0, user=draw(TEXTS), group=draw(TEXTS),
        xattrs=draw(st.dictionaries(TEXTS.filter(lambda b: b and b"=" not in b), st.binary(max_size=30), max_size=2)),
    )  # fmt: skip
    return entry, data


@given(st.lists(entries(), max_size=3), st.sampled_from([1, 100, 511, 512, 1 << 18]))
def test_archive_written_and_read_is_the_same_under_any_chunking(content: list[tuple[TarEntry, bytes]], step: int) -> None:
    """Where a pipe happens to cut the bytes must not matter, and nothing an image needs may get lost."""
    assert read_all(render(content), step) == content


@given(entries())
def test_archive_that_we_write_is_what_tarfile_reads(content: tuple[TarEntry, bytes]) -> None:
    """Other engines must understand our layers; tarfile stands for them."""
    entry, data = content
    with tarfile.open(fileobj=io.BytesIO(render([content])), errors="surrogateescape", encoding="utf-8") as archive:
        (found,) = archive.getmembers()
        assert found.name.encode("utf-8", "surrogateescape") == entry.name
        assert (found.mode, found.uid, found.gid, found.size) == (entry.mode, entry.uid, entry.gid, len(data))
        assert found.type == entry.kind.value
        if entry.kind is Kind.FILE:
            extracted = archive.extractfile(found)
            assert extracted is not None
            assert extracted.read() == data


DIALECTS = {"ustar": tarfile.USTAR_FORMAT, "gnu": tarfile.GNU_FORMAT, "pax": tarfile.PAX_FORMAT}


@pytest.mark.parametrize("dialect", DIALECTS.values(), ids=DIALECTS)
@pytest.mark.parametrize("length", [1, 99, 100, 101, 150])
def test_dialects_of_tarfile_are_read_alike(dialect: int, length: int) -> None:
    """GNU writes long names as entries of their own, pax as records, ustar in two parts: all mean the same."""
    name = ("d" * 60 + "/" + "n" * length)[-length:] if length < 100 else "d" * 60 + "/" + "n" * (length - 61)
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w", format=dialect) as archive:
        info = tarfile.TarInfo(name)
        info.size, info.mtime, info.uid, info.gid = 3, 1_700_000_000, 1234, 77
        archive.addfile(info, io.BytesIO(b"abc"))
    ((entry, data),) = read_all(buffer.getvalue())
    assert (entry.name, entry.uid, entry.gid, entry.mtime_ns, data) == (name.encode(), 1234, 77, 1_700_000_000 * 10**9, b"abc")


def test_large_numbers_of_gnu_are_binary() -> None:
    """Eleven octal digits end at 8 GiB and seven at two million users; GNU then sets the highest bit and writes bytes."""
    info = tarfile.TarInfo("a")
    info.uid, info.mtime = 3_000_000, -5
    header = info.tobuf(tarfile.GNU_FORMAT)
    ((entry, _),) = read_all(header + END_OF_ARCHIVE)
    assert (entry.uid, entry.mtime_ns) == (3_000_000, -5 * 10**9)


def test_times_keep_their_nanoseconds() -> None:
    """A float of seconds cannot hold today's nanoseconds; builds that compare times would see changes."""
    entry = TarEntry(name=b"a", mtime_ns=1_700_000_000_123_456_789)
    assert read_all(render([(entry, b"")]))[0][0].mtime_ns == 1_700_000_000_123_456_789


def sparse_pax_1() -> bytes:
    """A file of 2,000 bytes with data at 0 and 1,000 in pax format 1.0: the map stands before the data."""
    records = {"GNU.sparse.major": "1", "GNU.sparse.minor": "0", "GNU.sparse.name": "s", "GNU.sparse.realsize": "2000"}
    sparse_map = b"2\n0\n3\n1000\n4\n"
    info = tarfile.TarInfo("GNUSparseFile.0/s")
    info.size, info.pax_headers = 512 + 7, records
    return info.tobuf(tarfile.PAX_FORMAT) + sparse_map.ljust(512, b"\0") + b"abcdefg".ljust(512, b"\0") + END_OF_ARCHIVE


def sparse_pax_0() -> bytes:
    """The same in format 0.1: the map is a record."""
    info = tarfile.TarInfo("s")
    info.size, info.pax_headers = 7, {"GNU.sparse.size": "2000", "GNU.sparse.map": "0,3,1000,4"}
    return info.tobuf(tarfile.PAX_FORMAT) + b"abcdefg".ljust(512, b"\0") + END_OF_ARCHIVE


def sparse_old() -> bytes:
    """The same in GNU's own form: the map is in the header."""
    block = bytearray(tarfile.TarInfo("s").tobuf(tarfile.GNU_FORMAT))
    block[124:136] = b"%011o\0" % 7
    block[156:157] = b"S"
    block[386:434] = b"".join(b"%011o\0" % number for number in (0, 3, 1000, 4))
    block[483:495] = b"%011o\0" % 2000
    block[148:156] = b" " * 8
    block[148:156] = b"%06o\0 " % sum(block)
    return bytes(block) + b"abcdefg".ljust(512, b"\0") + END_OF_ARCHIVE


@pytest.mark.parametrize("make", [sparse_pax_1, sparse_pax_0, sparse_old], ids=lambda make: make.__name__)
def test_sparse_file_keeps_its_holes(make: object) -> None:
    """A hole costs nothing in the archive and must cost nothing on disk: a small layer could fill it otherwise."""
    assert callable(make)
    reader = TarReader(Drip(make(), 100))
    for entry in reader:
        assert (entry.name, entry.size, entry.segments) == (b"s", 2000, ((0, 3), (1000, 4)))
        found: dict[int, int] = {}
        for offset, piece in reader.read_segments():
            found.update({offset + index: byte for index, byte in enumerate(piece)})
        assert bytes(found.values()) == b"abcdefg"
        assert sorted(found) == [0, 1, 2, 1000, 1001, 1002, 1003]


ONE_FILE = render([(TarEntry(name=b"a/b", size=600), b"x" * 600)])


END_OF_DATA = 512 + 600


@given(st.integers(END_OF_DATA, 3 * 512))
def test_archive_may_end_where_only_padding_is_missing(length: int) -> None:
    """Go's writer, not closed, leaves out padding and end: `docker build -f -` sends such archives, and Go reads them."""
    assert read_all(ONE_FILE[:length])[0][1] == b"x" * 600


@given(st.integers(1, END_OF_DATA - 1))
def test_archive_that_is_cut_off_says_where(length: int) -> None:
    """Half a file must not pass for a file."""
    with pytest.raises(InvalidArchive, match=f"at byte {length}: the archive is cut off here"):
        read_all(ONE_FILE[:length])


@given(st.binary(max_size=2000))
@example(b"\x1f\x8b" + bytes(600))
@example(bytes(100))
def test_garbage_raises_only_the_own_error(content: bytes) -> None:
    """Whoever calls the reader handles one error."""
    with suppress(InvalidArchive):
        assert len(read_all(content)) <= len(content) // 512


@given(st.integers(0, 511), st.binary(min_size=1, max_size=12))
def test_header_with_changed_bytes_raises_only_the_own_error(place: int, change: bytes) -> None:
    """Fields are checked after the checksum too: who damages a header on purpose repairs that."""
    block = bytearray(ONE_FILE[:512])
    block[place : place + len(change)] = change[: 512 - place]
    block[148:156] = b" " * 8
    block[148:156] = b"%06o\0 " % sum(block)
    with suppress(InvalidArchive):
        assert len(read_all(bytes(block) + ONE_FILE[512:])) < 3


@pytest.mark.parametrize(
    ("records", "reason"),
    [
        (b"no length\n", "malformed pax record"),
        (b"99 path=x\n", "malformed pax record"),
        (b"10 path=x\0", "malformed pax record"),
        (b"11 path=a\0\n", "NUL byte"),
        (b"12 uid=12x4\n", "malformed number"),
        (b"15 mtime=1e300\n", "malformed time"),
        (b"5 a=b\n", "malformed pax record"),
    ],
    ids=["no length", "too long", "no newline", "nul", "number", "time", "wrong length"],
)
def test_damaged_pax_record_is_refused(records: bytes, reason: str) -> None:
    """A record that is skipped instead would leave a file under another name than the author of the archive meant."""
    header = bytearray(tarfile.TarInfo("x").tobuf(tarfile.USTAR_FORMAT))
    header[124:136], header[156:157], header[148:156] = b"%011o\0" % len(records), b"x", b" " * 8
    header[148:156] = b"%06o\0 " % sum(header)
    with pytest.raises(InvalidArchive, match=reason):
        read_all(bytes(header) + records + render_padding(len(records)) + ONE_FILE)


def test_metadata_larger_than_the_limit_is_refused() -> None:
    """Metadata is held in memory, so a pax header of gigabytes would be an attack."""
    header = bytearray(tarfile.TarInfo("x").tobuf(tarfile.USTAR_FORMAT))
    header[124:136], header[156:157], header[148:156] = b"%011o\0" % (1 << 30), b"x", b" " * 8
    header[148:156] = b"%06o\0 " % sum(header)
    with pytest.raises(InvalidArchive, match="bytes of metadata"):
        read_all(bytes(header))


def test_data_that_nobody_takes_is_skipped() -> None:
    """A listing needs the names only."""
    content = [(TarEntry(name=b"%d" % size, size=size), b"x" * size) for size in (0, 1, 511, 512, 513, 5000)]
    assert [entry.name for entry in TarReader(Drip(render(content), 333))] == [b"0", b"1", b"511", b"512", b"513", b"5000"]


def test_equal_entries_give_equal_bytes_whatever_the_order_of_attributes() -> None:
    """The digest of a layer is its identity, so nothing accidental may be in it."""
    one = TarEntry(name=b"a", xattrs={b"user.a": b"1", b"user.b": b"2"})
    other = TarEntry(name=b"a", xattrs={b"user.b": b"2", b"user.a": b"1"})
    assert render_header(one) == render_header(other)
