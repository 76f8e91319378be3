"""What ustar has no room for stands in pax records: pax(1), "pax Extended Header"."""

from __future__ import annotations

import pytest


def test_record_begins_with_the_length_of_all_of_it(render_record):
    """Length, blank, key, equals sign, value and newline: who reads it knows where the next record begins."""
    assert render_record(b"path", b"etc/motd") == b"17 path=etc/motd\n"
    assert render_record(b"uid", b"2097152") == b"15 uid=2097152\n"


@pytest.mark.parametrize("size", [*range(12), *range(88, 100), *range(985, 1000)])
def test_length_is_right_where_it_gets_a_digit_more(render_record, size):
    """With one digit too few counted, the reader cuts off the newline, and takes the archive for damaged; for a few lengths only."""
    record = render_record(b"k", b"v" * size)
    assert int(record.split(b" ")[0]) == len(record)


def test_length_counts_bytes_of_any_kind(render_record):
    """Twenty letters may be forty bytes, and a name on Linux need not be text at all."""
    assert render_record(b"path", "größe".encode()) == b"16 path=gr\xc3\xb6\xc3\x9fe\n"


@pytest.mark.parametrize("value", [b"", b"a=b", b"a\nb", b"\xff\xfe\x00"], ids=repr)
def test_value_is_not_touched(render_record, value):
    """Extended attributes are binary: since the length is known, neither a newline nor a zero byte ends the value."""
    assert render_record(b"key", value).split(b" ", 1)[1] == b"key=" + value + b"\n"


@pytest.mark.parametrize(("size", "missing"), [(1, 511), (511, 1), (513, 511), (1000, 24)])
def test_padding_completes_the_block(render_padding, size, missing):
    """Headers stand at multiples of 512. The padding is zero bytes, for what lay in memory there would be another digest each time."""
    assert render_padding(size) == bytes(missing)


@pytest.mark.parametrize("size", [0, 512, 1024, 1 << 40])
def test_full_block_needs_no_padding(render_padding, size):
    """A block of zero bytes between two entries would look like the end of the archive, and what follows would be lost."""
    assert render_padding(size) == b""
