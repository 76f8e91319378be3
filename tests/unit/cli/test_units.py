"""Sizes, durations and moments."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from minidocker.cli.units import parse_bytes, parse_duration_ns, parse_timestamp, render_age, render_size

SIZES = [("0", 0), ("512", 512), ("1k", 1024), ("1kb", 1024), ("64MiB", 64 << 20), ("64m", 64 << 20), ("1.5g", 3 << 29), ("1 gb", 1 << 30), ("2T", 2 << 40), ("7b", 7)]


@pytest.mark.parametrize(("text", "size"), SIZES, ids=[text for text, _ in SIZES])
def test_size_counts_in_1024(text: str, size: int) -> None:
    """What is typed means powers of two, with or without the `i`."""
    assert parse_bytes(text) == size


@pytest.mark.parametrize("text", ["", "m", "5x", "-1", "1.2.3k", "1kbb", "nan", "inf"])
def test_size_that_is_none_is_refused(text: str) -> None:
    """A limit that was misread would be worse than none."""
    with pytest.raises(ValueError, match="invalid"):
        parse_bytes(text)


DURATIONS = [("0", 0), ("5s", 5_000_000_000), ("1m30s", 90_000_000_000), ("100ms", 100_000_000), ("1.5h", 5_400_000_000_000), ("-2s", -2_000_000_000), ("7ns", 7), ("3us", 3000), ("3µs", 3000)]


@pytest.mark.parametrize(("text", "nanoseconds"), DURATIONS, ids=[text for text, _ in DURATIONS])
def test_duration_is_gos(text: str, nanoseconds: int) -> None:
    """Numbers with units, added up."""
    assert parse_duration_ns(text) == nanoseconds


@pytest.mark.parametrize("text", ["", "5", "s", "5x", "1..5s", "-", "5 s"])
def test_duration_that_is_none_is_refused(text: str) -> None:
    """A number needs its unit: `--health-interval 5` could mean anything."""
    with pytest.raises(ValueError, match="time: "):
        parse_duration_ns(text)


@given(hours=st.integers(0, 99), minutes=st.integers(0, 59), seconds=st.integers(0, 59))
def test_duration_adds_its_parts(hours: int, minutes: int, seconds: int) -> None:
    """`1h2m3s` is the sum of its parts."""
    assert parse_duration_ns(f"{hours}h{minutes}m{seconds}s") == (hours * 3600 + minutes * 60 + seconds) * 10**9


SHOWN = [(0, "0B"), (878, "878B"), (1000, "1kB"), (1236, "1.24kB"), (2976361, "2.98MB"), (67108864, "67.1MB"), (10**9, "1GB")]


@pytest.mark.parametrize(("size", "text"), SHOWN, ids=[text for _, text in SHOWN])
def test_size_is_shown_in_1000_with_three_digits(size: int, text: str) -> None:
    """What is shown counts in powers of ten: that is how Docker prints."""
    assert render_size(size) == text


AGES = [(0.2, "Less than a second"), (1, "1 second"), (59, "59 seconds"), (60, "About a minute"), (120, "2 minutes"), (3599, "59 minutes"), (3600, "About an hour"), (2 * 3600, "2 hours"), (48 * 3600, "2 days"), (14 * 86400, "2 weeks"), (60 * 86400, "2 months"), (3 * 365 * 86400, "3 years")]


@pytest.mark.parametrize(("seconds", "words"), AGES, ids=[words for _, words in AGES])
def test_age_is_rounded_for_people(seconds: float, words: str) -> None:
    """One unit is enough to know how old something is."""
    assert render_age(seconds) == words


@given(seconds=st.floats(0, 10**10))
def test_every_age_has_words(seconds: float) -> None:
    """No gap between the units."""
    assert render_age(seconds).split()[-1] in {"second", "seconds", "minute", "minutes", "hour", "hours", "days", "weeks", "months", "years"}


@pytest.mark.parametrize("text", ["1970-01-02T00:00:00Z", "1970-01-02T00:00:00.000000000Z", "1970-01-02T02:00:00+02:00"])
def test_timestamp_is_read_with_its_zone(text: str) -> None:
    """The API writes UTC with nanoseconds; other servers write offsets."""
    assert parse_timestamp(text) == 86400
