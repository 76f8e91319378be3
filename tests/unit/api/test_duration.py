"""Durations in Docker's words."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from minidocker.api.duration import human_duration

MINUTE, HOUR, DAY = 60, 3600, 86400

DURATIONS = [
    (0, "Less than a second"),
    (0.9, "Less than a second"),
    (-5, "Less than a second"),
    (1, "1 second"),
    (1.9, "1 second"),
    (45, "45 seconds"),
    (MINUTE, "About a minute"),
    (2 * MINUTE - 1, "About a minute"),
    (3 * MINUTE, "3 minutes"),
    (59 * MINUTE + 59, "59 minutes"),
    (HOUR, "About an hour"),
    (HOUR + 29 * MINUTE, "About an hour"),
    (HOUR + 30 * MINUTE, "2 hours"),
    (47 * HOUR, "47 hours"),
    (2 * DAY, "2 days"),
    (13 * DAY, "13 days"),
    (14 * DAY, "2 weeks"),
    (59 * DAY, "8 weeks"),
    (60 * DAY, "2 months"),
    (729 * DAY, "24 months"),
    (730 * DAY, "2 years"),
    (10 * 365 * DAY, "10 years"),
]


@pytest.mark.parametrize(("seconds", "words"), DURATIONS, ids=[words for _, words in DURATIONS])
def test_duration_is_worded_as_docker_words_it(seconds: float, words: str) -> None:
    """Scripts read the STATUS column; each unit goes on until there are about two of the next."""
    assert human_duration(seconds) == words


@given(st.floats(0, 1e10, allow_nan=False))
def test_duration_is_never_a_number_alone(seconds: float) -> None:
    """There is always a unit, and never one of something in the plural but "1 second"."""
    words = human_duration(seconds)
    assert words.rsplit(" ", 1)[1].rstrip("s") in {"second", "minute", "hour", "day", "week", "month", "year"}
    assert words == "1 second" or not words.startswith("1 ")
