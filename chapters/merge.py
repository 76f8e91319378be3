"""Bring two changes of one text together: what the learner wrote, and what became of the book meanwhile.

Pure. Where only one side changed something, that side's lines are taken; where both did, and differently, there is no answer, and
none is guessed: a file with marks of a conflict in it would be a file that Python cannot read.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from difflib import SequenceMatcher

__all__ = ["merge_lines"]


def merge_lines(base: Sequence[bytes], mine: Sequence[bytes], new: Sequence[bytes]) -> list[bytes] | None:
    """Return *new* with the changes from *base* to *mine* in it; nothing if both changed the same lines in different ways."""
    merged: list[bytes] = []
    at_base = at_mine = at_new = 0
    for begin, length, in_mine, in_new in [*_common_runs(base, mine, new), (len(base), 0, len(mine), len(new))]:
        before, here, there = base[at_base:begin], mine[at_mine:in_mine], new[at_new:in_new]
        if here == there or there == before:
            merged += here
        elif here == before:
            merged += there
        else:
            return None
        merged += base[begin : begin + length]
        at_base, at_mine, at_new = begin + length, in_mine + length, in_new + length
    return merged


def _common_runs(base: Sequence[bytes], mine: Sequence[bytes], new: Sequence[bytes]) -> Iterator[tuple[int, int, int, int]]:
    """Yield the runs of lines that all three have: begin in *base*, length, begin in *mine*, begin in *new*."""
    ours, theirs = (SequenceMatcher(None, base, other, autojunk=False).get_matching_blocks() for other in (mine, new))
    first = second = 0
    while first < len(ours) and second < len(theirs):
        left, right = ours[first], theirs[second]
        begin, end = max(left.a, right.a), min(left.a + left.size, right.a + right.size)
        if begin < end:
            yield begin, end - begin, left.b + begin - left.a, right.b + begin - right.a
        if left.a + left.size < right.a + right.size:
            first += 1
        else:
            second += 1
