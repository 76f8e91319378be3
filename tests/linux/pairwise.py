"""Pairwise tests: few rows in which every two values of different factors meet.

Most faults need one or two options together. With ten factors of three values all combinations are 59,049 rows; all pairs fit into
about twenty.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from itertools import combinations

Row = dict[str, str]


def choose_rows(factors: Mapping[str, Sequence[str]], is_possible: Callable[[Row], bool]) -> list[Row]:
    """Return rows that hold every pair of values which *is_possible* allows; the same rows each time.

    Greedy: a row begins with the first pair that is missing and takes, factor by factor, the value that covers most of the rest.
    """
    missing = {
        pair: None
        for (a, values_a), (b, values_b) in combinations(factors.items(), 2)
        for pair in [((a, x), (b, y)) for x in values_a for y in values_b]
        if is_possible(dict(pair))
    }
    rows = []
    while missing:
        row = dict(next(iter(missing)))
        for factor, values in factors.items():
            if factor not in row:
                allowed = [value for value in values if is_possible({**row, factor: value})]
                row[factor] = max(allowed, key=lambda value: _count(missing, {**row, factor: value}, factor))
        rows.append({factor: row[factor] for factor in factors})
        covered = [pair for pair in missing if all(row[f] == v for f, v in pair)]
        for pair in covered:
            del missing[pair]
    return rows


def _count(missing: Mapping[tuple[tuple[str, str], tuple[str, str]], None], row: Row, factor: str) -> int:
    """Return how many missing pairs *row* covers through *factor*."""
    return sum(1 for pair in missing if factor in dict(pair) and all(row.get(f) == v for f, v in pair))
