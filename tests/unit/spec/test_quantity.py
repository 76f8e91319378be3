"""Sizes and durations, as people type them."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from minidocker.spec.quantity import parse_bytes, parse_duration_ns

SIZES = [("0", 0), ("512", 512), ("1k", 1024), ("1kb", 1024), ("64MiB", 64 << 20), ("64m", 64 << 20), ("1.5g", 3 << 29), ("1 gb", 1 << 30), ("2T", 2 << 40), ("7b", 7)]


@pytest.mark.parametrize(("text", "size"), SIZES, ids=[text for text, _ in SIZES])
def test_size_counts_in_1024(text: str, size: int) -> None:
    """What is typed means powers of two, with or without the `i`."""
    assert parse_bytes(text) == size


@pytest.mark.parametrize("text", ["", "m", "5x", "-1", "1.2.3k", "1kbb", "nan", "inf", "9" * 400, "9" * 30 + "g"], ids=lambda text: text[:9])
def test_size_that_is_none_is_refused(text: str) -> None:
    """A limit that was misread would be worse than none."""
    with pytest.raises(ValueError, match="invalid"):
        parse_bytes(text)


DURATIONS = [("0", 0), ("5s", 5_000_000_000), ("1m30s", 90_000_000_000), ("100ms", 100_000_000), ("1.5h", 5_400_000_000_000), ("-2s", -2_000_000_000), ("7ns", 7), ("3us", 3000), ("3µs", 3000)]


@pytest.mark.parametrize(("text", "nanoseconds"), DURATIONS, ids=[text for text, _ in DURATIONS])
def test_duration_is_gos(text: str, nanoseconds: int) -> None:
    """Numbers with units, added up."""
    assert parse_duration_ns(text) == nanoseconds


@pytest.mark.parametrize("text", ["", "5", "s", "5x", "1..5s", "-", "5 s", "9" * 400 + "s"], ids=lambda text: text[:9])
def test_duration_that_is_none_is_refused(text: str) -> None:
    """A number needs its unit: `--health-interval 5` could mean anything."""
    with pytest.raises(ValueError, match="time: "):
        parse_duration_ns(text)


@given(hours=st.integers(0, 99), minutes=st.integers(0, 59), seconds=st.integers(0, 59))
def test_duration_adds_its_parts(hours: int, minutes: int, seconds: int) -> None:
    """`1h2m3s` is the sum of its parts."""
    assert parse_duration_ns(f"{hours}h{minutes}m{seconds}s") == (hours * 3600 + minutes * 60 + seconds) * 10**9
