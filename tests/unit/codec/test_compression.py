"""Streams that may be compressed."""

from __future__ import annotations

import bz2
import gzip
import io
import lzma
import sys
import types
from collections.abc import Callable
from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from minidocker.codec.tar import InvalidArchive
from minidocker.errors import NotSupported
from minidocker.codec.compression import open_decompressed

COMPRESSORS: dict[str, Callable[[bytes], bytes]] = {"plain": bytes, "gzip": gzip.compress, "bzip2": bz2.compress, "xz": lzma.compress}
CONTENT = b"".join(b"%d " % number for number in range(20_000))


def read_all(content: bytes, size: int = 1000) -> bytes:
    """Return what *content* unpacks to."""
    source = open_decompressed(io.BytesIO(content))
    return b"".join(iter(lambda: source.read(size), b""))


@pytest.mark.parametrize("compress", COMPRESSORS.values(), ids=COMPRESSORS)
@pytest.mark.parametrize("content", [b"", b"a", CONTENT, bytes(500_000)], ids=["empty", "tiny", "text", "zeros"])
def test_compression_is_found_out_from_the_first_bytes(compress: Callable[[bytes], bytes], content: bytes) -> None:
    """`docker load` and `import` take any of them, whatever the file is called."""
    assert read_all(compress(content)) == content


def test_several_streams_in_a_row_are_one() -> None:
    """`cat a.gz b.gz` is a valid gzip file, and parallel compressors write such files."""
    assert read_all(gzip.compress(b"one") + gzip.compress(b"two")) == b"onetwo"


@pytest.mark.parametrize("kind", ["gzip", "bzip2", "xz"])
def test_stream_that_is_cut_off_is_refused(kind: str) -> None:
    """A download that broke off must not pass for a whole layer."""
    with pytest.raises(InvalidArchive, match=f"the {kind} data is cut off"):
        read_all(COMPRESSORS[kind](CONTENT)[:-20])


@given(st.sampled_from(["gzip", "bzip2", "xz"]), st.integers(10, 200), st.integers(0, 255))
def test_damaged_stream_raises_only_the_own_error(kind: str, place: int, value: int) -> None:
    """Three libraries, three kinds of exception; whoever reads gets one."""
    content = bytearray(COMPRESSORS[kind](CONTENT[:3000]))
    content[place] = value
    with suppress(InvalidArchive):
        assert read_all(bytes(content)) is not None


def test_zstd_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    """Python learns it in 3.14; until then the sentence says what to do."""
    monkeypatch.setitem(sys.modules, "compression.zstd", None)
    with pytest.raises(NotSupported, match=r"zstd.*gzip"):
        read_all(b"\x28\xb5\x2f\xfd" + bytes(20))


def test_zstd_is_read_where_python_brings_it(monkeypatch: pytest.MonkeyPatch) -> None:
    """Its decompressor has the interface of the others; bzip2's stands in for it here."""
    package, module = types.ModuleType("compression"), types.ModuleType("compression.zstd")
    module.ZstdDecompressor = _StandIn  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "compression", package)
    monkeypatch.setitem(sys.modules, "compression.zstd", module)
    assert read_all(b"\x28\xb5\x2f\xfd" + bz2.compress(b"content")) == b"content"


class _StandIn:
    """A decompressor of a stream that is bzip2 behind four bytes."""

    def __init__(self) -> None:
        self._inner, self._head = bz2.BZ2Decompressor(), 4

    def __getattr__(self, name: str) -> object:
        return getattr(self._inner, name)

    def decompress(self, data: bytes, max_length: int) -> bytes:
        """Leave out the magic number."""
        data, self._head = data[self._head :], 0
        return self._inner.decompress(data, max_length)


def test_bomb_is_unpacked_piece_by_piece() -> None:
    """A megabyte can unpack to a gigabyte: no read gives more than was asked for."""
    source = open_decompressed(io.BytesIO(gzip.compress(bytes(5_000_000))))
    assert max(len(piece) for piece in iter(lambda: source.read(4096), b"")) <= 4096
