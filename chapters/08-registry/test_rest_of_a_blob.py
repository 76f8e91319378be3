"""Which part of a blob a client wants: RFC 9110, section 14."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from minidocker.registry.protocol import RegistryError

Parse = Callable[[str, int], tuple[int, int] | None]


def test_closed_range_is_what_it_says(parse_byte_range: Parse) -> None:
    """Both ends belong to it: `0-0` is one byte."""
    assert parse_byte_range("bytes=500-599", 1000) == (500, 599)
    assert parse_byte_range("bytes=0-0", 1000) == (0, 0)


def test_end_behind_the_end_is_the_end(parse_byte_range: Parse) -> None:
    """A client need not know how long a blob is."""
    assert parse_byte_range("bytes=900-5000", 1000) == (900, 999)


def test_open_range_is_the_rest(parse_byte_range: Parse) -> None:
    """What a client sends that has 600 bytes already."""
    assert parse_byte_range("bytes=600-", 1000) == (600, 999)


def test_suffix_is_the_end(parse_byte_range: Parse) -> None:
    """The last bytes; of a blob that is shorter, all."""
    assert parse_byte_range("bytes=-300", 1000) == (700, 999)
    assert parse_byte_range("bytes=-3000", 1000) == (0, 999)


@pytest.mark.parametrize("header", ["bytes=1000-", "bytes=2000-3000", "bytes=500-400", "bytes=-0"])
def test_range_outside_is_refused(parse_byte_range: Parse, header: str) -> None:
    """416 tells a client that resumes a finished download that there is nothing more."""
    with pytest.raises(RegistryError) as caught:
        parse_byte_range(header, 1000)
    assert caught.value.status == 416


@pytest.mark.parametrize("header", ["", "lines=1-2", "bytes=1-2,5-6", "bytes=-", "bytes=a-b"])
def test_what_is_not_understood_is_ignored(parse_byte_range: Parse, header: str) -> None:
    """The whole blob is always a right answer."""
    assert parse_byte_range(header, 1000) is None
