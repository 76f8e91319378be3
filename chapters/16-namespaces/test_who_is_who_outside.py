"""The map of a user namespace: which number inside is which one outside, user_namespaces(7)."""

from __future__ import annotations

import pytest

from minidocker.codec.idmap import IdRange

ONE = (IdRange(0, 100000, 65536),)
TWO = (IdRange(0, 1000, 1), IdRange(1, 100000, 65535))
"""What a user without root gets: root is himself, the others are numbers that were lent to him."""


def test_root_is_the_first_number_that_was_lent(find_outside):
    """`--userns-remap`: the root of a container is user 100000, who owns nothing on the host."""
    assert find_outside(ONE, 0) == 100000
    assert find_outside(ONE, 1000) == 101000


def test_second_range_begins_where_the_first_ends(find_outside):
    """The first line is about one number only; the next number is the first of the second line."""
    assert [find_outside(TWO, number) for number in (0, 1, 2)] == [1000, 100000, 100001]


@pytest.mark.parametrize("number", [65536, 65537, 4294967294])
def test_number_behind_the_last_is_nobody(find_outside, number):
    """*count* counts: 65536 numbers from 0 on end with 65535. chown(2) to any other says EINVAL."""
    assert find_outside(ONE, 65535) == 165535
    assert find_outside(ONE, number) is None
    assert find_outside(TWO, number) is None


@pytest.mark.parametrize("number", [0, 1, 999, 1001, 99999, 165536])
def test_owner_from_elsewhere_is_not_seen(find_inside, number):
    """A file of the host's root has no owner inside; the kernel shows 65534 for it, and nobody inside may change it."""
    assert find_inside(ONE, number) is None
    assert find_inside(TWO, number) is None


def test_every_number_comes_back_as_itself(find_outside, find_inside):
    """What a container writes it reads back: the two directions are one map."""
    for ranges in (ONE, TWO):
        assert [find_inside(ranges, find_outside(ranges, number)) for number in (0, 1, 2, 1000, 65535)] == [0, 1, 2, 1000, 65535]


def test_ranges_are_numbered_from_the_lowest_lender(make_ranges):
    """Two lines of /etc/subuid for one user make one row of numbers, whatever their order in the file: files on the disk depend on it."""
    assert make_ranges([(300000, 10), (100000, 5)]) == (IdRange(0, 100000, 5), IdRange(5, 300000, 10))


def test_map_may_begin_behind_a_number_that_is_taken(make_ranges):
    """Without root number 0 is the user; what was lent follows, end to end."""
    assert make_ranges([(100000, 5), (200000, 7), (300000, 1)], first=1) == (IdRange(1, 100000, 5), IdRange(6, 200000, 7), IdRange(13, 300000, 1))
