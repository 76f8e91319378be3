"""The maps of user namespaces: who a number is outside, and who lends the numbers."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from minidocker.codec.idmap import (
    IDENTITY, OVERFLOW_ID, IdMap, IdRange, disown_capabilities, find_free_start, find_inside, find_outside, make_ranges, own_capabilities,
    parse_id_map, parse_subids, render_id_map,
)  # fmt: skip
from minidocker.errors import InvalidParameter

LENT = st.lists(st.tuples(st.integers(1, 1000), st.integers(0, 1000)), min_size=1, max_size=5)
SUBUID = "alice:100000:65536\nbob:165536:1000\nalice:300000:10\n1001:400000:65536\n\n# nobody\nbroken:x:1\n"


def ranges_of(sizes: list[tuple[int, int]]) -> tuple[IdRange, ...]:
    """Lay ranges (size, gap before it) out so that none meets another."""
    lent, start = [], 1000
    for count, gap in sizes:
        start += gap
        lent.append((start, count))
        start += count
    return make_ranges(lent)


@given(LENT, st.integers(0, 6000))
def test_who_has_a_number_outside_is_the_same_inside_again(sizes: list[tuple[int, int]], number: int) -> None:
    """A map is one to one: two users of a container never become one outside, or files would change hands."""
    ranges = ranges_of(sizes)
    outside = find_outside(ranges, number)
    assert (outside is None) == (number >= sum(count for count, _ in sizes))
    if outside is not None:
        assert find_inside(ranges, outside) == number
        assert find_outside(ranges, number + 1) != outside


@given(LENT)
def test_what_the_kernel_is_told_is_what_it_shows(sizes: list[tuple[int, int]]) -> None:
    """`/proc/PID/uid_map` is written and read in one form."""
    ranges = ranges_of(sizes)
    assert parse_id_map(render_id_map(ranges)) == ranges


def test_kernel_lines_up_its_columns() -> None:
    """What is read back has spaces in front."""
    assert parse_id_map("         0     100000      65536\n") == (IdRange(0, 100000, 65536),)


def test_ranges_are_laid_one_after_the_other_the_lowest_first() -> None:
    """A user who was lent two ranges has one long row of numbers."""
    assert make_ranges([(300000, 10), (100000, 65536)]) == (IdRange(0, 100000, 65536), IdRange(65536, 300000, 10))
    assert make_ranges([(100000, 5)], first=1) == (IdRange(1, 100000, 5),)


@pytest.mark.parametrize(
    ("owners", "lent"),
    [
        (("alice", "1000"), ((100000, 65536), (300000, 10))),
        (("carol", "1001"), ((400000, 65536),)),
        (("bob", "1001"), ((165536, 1000),)),
        (("broken",), ()),
        (("nobody",), ()),
    ],
)
def test_numbers_are_lent_to_a_name_or_else_to_a_number(owners: tuple[str, ...], lent: tuple[tuple[int, int], ...]) -> None:
    """subuid(5): the first field is a login name or a uid; a line that is none hurts nobody."""
    assert parse_subids(SUBUID, owners) == lent


def test_next_range_begins_behind_all_others() -> None:
    """Two users who share numbers would own each other's containers."""
    assert find_free_start("") == 100000
    assert find_free_start(SUBUID) == 400000 + 65536


def test_owner_without_a_place_is_refused_or_made_roots() -> None:
    """A file cannot be given to nobody; where only one number can be had at all, everything is root's."""
    narrow = IdMap(uids=(IdRange(0, 100000, 10),), gids=(IdRange(0, 200000, 10),))
    assert narrow.root == (100000, 200000)
    assert narrow.outside(9, 3) == (100009, 200003)
    with pytest.raises(InvalidParameter, match="owner 10:0 has no number on the host"):
        narrow.outside(10, 0)
    assert IdMap(uids=narrow.uids, gids=narrow.gids, collapses=True).outside(10, 3) == (100000, 200003)


def test_owner_from_elsewhere_is_nobody_inside() -> None:
    """A bind mount shows the files of the host's users, but not who they are."""
    narrow = IdMap(uids=(IdRange(0, 100000, 10),), gids=(IdRange(0, 200000, 10),))
    assert narrow.inside(100003, 200001) == (3, 1)
    assert narrow.inside(0, 0) == (OVERFLOW_ID, OVERFLOW_ID)
    assert IDENTITY.inside(4294967294, 0) == IDENTITY.outside(4294967294, 0) == (4294967294, 0)


@given(st.binary(min_size=16, max_size=16), st.integers(1, 2**32 - 2), st.booleans())
def test_privilege_of_a_program_belongs_to_one_root_and_to_any_in_an_archive(sets: bytes, root: int, effective: bool) -> None:
    """Version 2 counts for the machine's root, version 3 for the root whose number it carries: neither may become the other unseen."""
    archived = (0x02000000 | effective).to_bytes(4, "little") + sets
    owned = own_capabilities(archived, root)
    assert owned == (0x03000000 | effective).to_bytes(4, "little") + sets + root.to_bytes(4, "little")
    assert disown_capabilities(owned) == archived == disown_capabilities(archived)
    assert own_capabilities(b"odd", root) == disown_capabilities(b"odd") == b"odd"
