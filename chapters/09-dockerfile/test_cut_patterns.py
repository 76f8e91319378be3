"""`${name#pattern}` and its relatives: POSIX, "Parameter Expansion"."""

from __future__ import annotations

PATH = "/usr/lib/a.tar.gz"


def test_shortest_start_is_cut(trim):
    """One mark: as little as possible."""
    assert trim(PATH, "*/", end=False, greedy=False) == "usr/lib/a.tar.gz"


def test_longest_start_is_cut(trim):
    """Two marks: as much as possible. This is how a script takes the name of a file from its path."""
    assert trim(PATH, "*/", end=False, greedy=True) == "a.tar.gz"


def test_shortest_end_is_cut(trim):
    """`${name%.*}` takes off one suffix."""
    assert trim(PATH, ".*", end=True, greedy=False) == "/usr/lib/a.tar"


def test_longest_end_is_cut(trim):
    """`${name%%.*}` takes off all of them."""
    assert trim(PATH, ".*", end=True, greedy=True) == "/usr/lib/a"


def test_no_match_leaves_the_value(trim):
    """A pattern that does not fit is not an error. And it fits as a whole or not at all, letter by letter."""
    assert trim(PATH, "zg", end=True, greedy=False) == PATH
    assert trim("banana", "nb", end=False, greedy=True) == "banana"


def test_stars_in_the_value_are_letters(trim):
    """What a variable holds is data, never a pattern."""
    assert trim("a*b*c", "\\**", end=True, greedy=True) == "a"
    assert trim("a*b*c", "?", end=False, greedy=False) == "*b*c"
