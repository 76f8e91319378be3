"""Sizes, durations and moments."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from minidocker.cli.units import parse_timestamp, render_age, render_size

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
