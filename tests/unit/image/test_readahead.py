"""Reading ahead changes when bytes are read, and nothing else."""

from __future__ import annotations

import io
import threading

import pytest
from hypothesis import given
from hypothesis import strategies as st

from minidocker.image.readahead import ReadAhead


@given(data=st.binary(max_size=3000), sizes=st.lists(st.integers(1, 700), min_size=1, max_size=5))
def test_bytes_come_as_they_are(data: bytes, sizes: list[int]) -> None:
    """Whatever the sizes of the pieces, the sum of them is the source."""
    got, turn = b"", 0
    with ReadAhead(io.BytesIO(data)) as ahead:
        while piece := ahead.read(sizes[turn % len(sizes)]):
            assert len(piece) <= sizes[turn % len(sizes)]
            got, turn = got + piece, turn + 1
        assert ahead.read(10) == b"", "the end stays the end"
    assert got == data


class Broken:
    """A source that fails after its first piece."""

    def __init__(self) -> None:
        self.reads = 0

    def read(self, size: int, /) -> bytes:
        """Give something once."""
        self.reads += 1
        if self.reads > 1:
            raise ConnectionResetError("gone")
        return b"first"


def test_failure_of_the_source_reaches_who_reads() -> None:
    """An error in the other thread must not be lost, nor look like the end."""
    with ReadAhead(Broken()) as ahead:
        assert ahead.read(100) == b"first"
        with pytest.raises(ConnectionResetError):
            ahead.read(100)
        assert ahead.read(100) == b""


class Endless:
    """A source without an end."""

    def read(self, size: int, /) -> bytes:
        """Give as much as asked for."""
        return b"x" * size


def test_thread_ends_when_nobody_reads_on() -> None:
    """A damaged archive is left in the middle; what read ahead of it must not stay behind."""
    before = threading.active_count()
    with ReadAhead(Endless()) as ahead:
        ahead.read(1)
    assert threading.active_count() == before
