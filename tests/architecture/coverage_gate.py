"""Fails when a pure module falls below its branch coverage: run after the unit tests, as `python -m tests.architecture.coverage_gate`.

What is pure can be tested completely, so what is not covered there is not understood. The floor is what holds today for all of
them together; single modules at 100 % are listed so that they stay there.
"""

from __future__ import annotations

import sys

import coverage

from tests.architecture.layers import PURE_PACKAGES

FLOOR_PERCENT = 94.0
"""Of all pure modules together; raise it when it holds at more."""


def main() -> int:
    """Print the coverage of the pure modules, lowest first; return 1 below the floor."""
    data = coverage.Coverage()
    data.load()
    covered = total = 0
    rows = []
    for path in sorted(data.get_data().measured_files()):
        name = path.rpartition("minidocker/")[2]
        if not name.startswith(PURE_PACKAGES):
            continue
        numbers = data._analyze(path).numbers  # coverage has no public way to ask for one file
        done = numbers.n_executed + numbers.n_executed_branches
        whole = numbers.n_statements + numbers.n_branches
        covered, total = covered + done, total + whole
        rows.append((100.0 * done / whole if whole else 100.0, name))
    for percent, name in sorted(rows)[:10]:
        print(f"{percent:6.1f} %  {name}")
    overall = 100.0 * covered / max(total, 1)
    print(f"pure modules: {overall:.1f} % of statements and branches (at least {FLOOR_PERCENT} %)")
    return int(overall < FLOOR_PERCENT)


if __name__ == "__main__":
    sys.exit(main())
