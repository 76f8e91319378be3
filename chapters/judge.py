"""Run the tests of exercises against variants of their code, and say what came of it.

pytest runs in this process, the code in workers (`chapters.sandbox`). A run counts only if every test of the manifest ran, and if
the calls of the targets were counted: a submission cannot pass by making tests disappear.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

from chapters.manifest import CHECKOUT, Exercise
from chapters.plugin import Bench, TestResult
from chapters.sandbox import PROCESS, Sandbox
from chapters.variant import Variant

__all__ = ["JudgeError", "Report", "find_misconception", "run_variants"]


class JudgeError(Exception):
    """The tests themselves could not run."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """What came of one variant."""

    exercise: Exercise
    variant: str
    tests: tuple[TestResult, ...]
    calls: dict[str, int]
    """Target → how often it was called."""
    problem: str = ""
    """Why the run does not count, although no test failed."""

    @property
    def passed(self) -> bool:
        """Whether everything is as it should be."""
        return not self.problem and all(test.passed for test in self.tests)

    @property
    def failures(self) -> frozenset[tuple[str, str]]:
        """The failed tests: by what one misconception differs from another."""
        return frozenset((test.test, test.case) for test in self.tests if not test.passed)

    @property
    def points(self) -> float:
        """What it is worth: every objective the same, each by the share of its tests that pass."""
        return 0.0 if self.problem else round(self.exercise.points * sum(self.shares.values()) / len(self.shares), 2)

    @property
    def shares(self) -> dict[str, float]:
        """Objective → the share of its tests that pass."""
        shares = {}
        for objective, names in self.exercise.objectives.items():
            own = [test.passed for test in self.tests if test.test in names]
            shares[objective] = sum(own) / len(own) if own else 0.0
        return shares


def run_variants(
    variants: list[Variant], *, cache: Path | None = None, isolation: str = PROCESS, seed: str = "", sandbox: Callable[..., Sandbox] = Sandbox
) -> list[Report]:
    """Run the tests of each variant's exercise against it, all in one go of pytest; *seed* is what `dice` begin with, *sandbox* makes the workers.

    Raises:
        JudgeError: a test file is damaged.
    """
    import pytest

    if not variants:  # pytest without paths would look for tests everywhere
        return []
    bench = Bench(variants, cache=cache, isolation=isolation, seed=seed, sandbox=sandbox)
    paths = dict.fromkeys(str(path) for variant in variants for path in variant.exercise.test_paths)
    options = ["-c", os.devnull, f"--rootdir={CHECKOUT}", "--noconftest", "--import-mode=importlib", "-p", "no:terminal", "-p", "no:cacheprovider"]
    kept = {name: os.environ.pop(name, None) for name in ("PYTEST_ADDOPTS", "PYTEST_PLUGINS")}
    os.environ["PYTEST_DISABLE_PLUGIN_AUTOLOAD"] = "1"
    try:
        status = pytest.main([*options, *paths], plugins=[bench])
    finally:
        del os.environ["PYTEST_DISABLE_PLUGIN_AUTOLOAD"]
        os.environ.update({name: value for name, value in kept.items() if value is not None})
    if bench.errors or status not in (pytest.ExitCode.OK, pytest.ExitCode.TESTS_FAILED):
        raise JudgeError(bench.errors[0] if bench.errors else f"pytest could not run the tests (status {int(status)})")
    return [_report(variant, bench) for variant in variants]


def _report(variant: Variant, bench: Bench) -> Report:
    exercise = variant.exercise
    tests = tuple(result for result in bench.results if (result.exercise, result.variant) == (exercise.id, variant.name))
    calls = bench.calls.get((exercise.id, variant.name), {})
    problem = ""
    if missing := sorted(set(exercise.tests) - {test.test for test in tests}):
        problem = f"the test `{missing[0]}` did not run"
    elif all(test.passed for test in tests):
        idle = [target.qualname for target in exercise.targets if target.module in variant.files and not calls.get(str(target))]
        problem = f"`{idle[0]}` was never called: the tests saw other code than yours" if idle else ""
    return Report(exercise=exercise, variant=variant.name, tests=tests, calls=calls, problem=problem)


def find_misconception(failed: Report, others: Iterable[Report]) -> str:
    """Return the mutant that fails just as *failed* does, or nothing."""
    return next((other.variant for other in others if other.failures and other.failures == failed.failures), "")
