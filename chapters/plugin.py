"""The pytest plugin behind an exercise's tests: fixtures that call the learner's code, and a list of what came of each test.

A test asks for a target by its name (`def test_…(compute_chain_ids)`), or for `learner`, which reaches everything else in the
worker; `dice` are random numbers that fall alike for one student and otherwise for the next. The same tests run once for every
*variant*: what the learner wrote, our own source, an empty stub, a mutant. A kernel exercise (tier 1 or 2) gets a fresh worker for
each test, since what it does to its process cannot be undone.
"""

from __future__ import annotations

import random
import types
from collections.abc import Callable, Generator, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from chapters.sandbox import PROCESS, Remote, Sandbox, SubmissionError
from chapters.variant import Variant

__all__ = ["Bench", "Learner", "TestResult"]

MAX_LOST_WORKERS = 3
"""An endless loop costs its time limit once for each test; then we stop trying."""
MAX_MESSAGE_LINES = 14


@dataclass(frozen=True, slots=True, kw_only=True)
class TestResult:
    """What came of one test."""

    __test__ = False  # not a class for pytest to look into

    exercise: str
    variant: str
    test: str
    """The function's name."""
    case: str
    """The id of the parameters; may be empty."""
    passed: bool
    message: str = ""
    rule: str = ""
    """The test's docstring: what it wanted, and why."""
    output: str = ""
    """What the learner's code printed."""


class Learner:
    """What a test holds of the process with the learner's code."""

    def __init__(self, sandbox: Sandbox) -> None:
        """Speak to *sandbox*."""
        self._sandbox = sandbox

    @property
    def pid(self) -> int:
        """The process number, for a look through `/proc`."""
        return self._sandbox.pid

    def find(self, name: str) -> Any:
        """Return `module:name` as the worker has it: a function or class to call, or a value."""
        return Remote(self._sandbox, name, name)


class Bench:
    """The plugin: which variants there are, the worker of the one that is being tested, and the results."""

    def __init__(
        self, variants: list[Variant], *, cache: Path | None = None, isolation: str = PROCESS, seed: str = "", sandbox: Callable[..., Sandbox] = Sandbox
    ) -> None:
        """Test every one of *variants*; *cache* may hold compiled modules between workers; *isolation* is how each worker is kept in.

        *sandbox* makes a worker; the book's pages have one that is no process.
        """
        self._make_sandbox, self._isolation, self._seed = sandbox, isolation, seed
        self._variants = variants
        self._by_path = {path: variant.exercise for variant in variants for path in variant.exercise.test_paths}
        self._cache = cache
        self._current: Variant | None = None
        self._sandbox: Sandbox | None = None
        self._broken = ""
        self._lost = 0
        self.results: list[TestResult] = []
        self.calls: dict[tuple[str, str], dict[str, int]] = {}
        self.errors: list[str] = []

    # -- fixtures ----------------------------------------------------------------------------------------------------------

    def pytest_configure(self, config: pytest.Config) -> None:
        """Make a fixture for the name of every target."""
        holder = types.ModuleType("exercise_fixtures")
        for name in {target.fixture for variant in self._variants for target in variant.exercise.targets}:
            setattr(holder, name, pytest.fixture(name=name)(self._target_fixture(name)))
        holder.learner = pytest.fixture(name="learner")(self._learner_fixture())  # type: ignore[attr-defined]  # a module made by hand
        holder.dice = pytest.fixture(name="dice")(self._dice_fixture())  # type: ignore[attr-defined]
        config.pluginmanager.register(holder, "exercise_fixtures")

    def _learner_fixture(self) -> Callable[..., Iterator[Learner]]:
        def learner(request: pytest.FixtureRequest) -> Iterator[Learner]:
            variant: Variant = request.param
            sandbox = self._require_sandbox(variant)
            yield Learner(sandbox)
            counts = self.calls.setdefault((variant.exercise.id, variant.name), {})
            for key, count in sandbox.calls.items():
                counts[key] = max(counts.get(key, 0), count)
            if variant.exercise.tier:
                self._close()

        return learner

    def _dice_fixture(self) -> Callable[..., random.Random]:
        def dice(request: pytest.FixtureRequest) -> random.Random:
            return random.Random(f"{self._seed}/{self._by_path[request.path].id}/{request.function.__name__}")

        return dice

    def _target_fixture(self, name: str) -> Callable[..., Remote]:
        def target(learner: Learner, request: pytest.FixtureRequest) -> Remote:
            exercise = self._by_path[request.path]
            found = next((target for target in exercise.targets if target.fixture == name), None)
            assert found, f"`{name}` is no target of {exercise.id}"
            return Remote(learner._sandbox, str(found), name)

        return target

    def _require_sandbox(self, variant: Variant) -> Sandbox:
        if self._current is not variant:
            self._close()
            self._current, self._broken, self._lost = variant, "", 0
        if self._sandbox and not self._sandbox.is_alive:
            self._close()
            self._lost += 1
        if self._lost >= MAX_LOST_WORKERS:
            raise SubmissionError("not tried, because the program has been lost too often before")
        if self._broken:
            raise SubmissionError(self._broken)
        if not self._sandbox:
            exercise = variant.exercise
            try:
                self._sandbox = self._make_sandbox(
                    variant.files, exercise.targets, limit_s=exercise.limit_s, namespaces=exercise.tier > 0, cache=self._cache,
                    isolation=self._isolation,
                )  # fmt: skip
            except SubmissionError as error:
                self._broken = str(error)
                raise
        return self._sandbox

    def _close(self) -> None:
        if self._sandbox:
            self._sandbox.close()
        self._sandbox = None

    # -- which tests, in which order ---------------------------------------------------------------------------------------

    def pytest_generate_tests(self, metafunc: pytest.Metafunc) -> None:
        """Run each test once for every variant of its exercise."""
        path = Path(metafunc.module.__file__ or "")
        variants = [variant for variant in self._variants if path in variant.exercise.test_paths]
        if "learner" in metafunc.fixturenames:
            metafunc.parametrize("learner", variants, ids=[_mark(variant) for variant in variants], indirect=True)

    def pytest_collection_modifyitems(self, items: list[pytest.Item]) -> None:
        """Keep the tests of one variant together, so that they share a worker."""
        places = {id(variant): number for number, variant in enumerate(self._variants)}
        items.sort(key=lambda item: places.get(id(_variant_of(item)), -1))

    # -- what came of them -------------------------------------------------------------------------------------------------

    def pytest_collectreport(self, report: pytest.CollectReport) -> None:
        """A test file that cannot be read is our own fault, and must not look like a success."""
        if report.failed:
            self.errors.append(str(report.longrepr))

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_makereport(self, item: pytest.Item, call: pytest.CallInfo[None]) -> Generator[None, pytest.TestReport, pytest.TestReport]:
        """Note the outcome of a test: of its call, or of the preparation if that failed."""
        report = yield
        variant = _variant_of(item)
        error = call.excinfo.value if call.excinfo else None
        if variant and (report.when == "call" or (report.when == "setup" and not report.passed)):
            function = item if isinstance(item, pytest.Function) else None
            case = function.callspec.id.replace(_mark(variant), "").strip("-") if function else ""
            self.results.append(
                TestResult(
                    exercise=variant.exercise.id, variant=variant.name, test=function.originalname if function else item.name, case=case,
                    passed=report.passed, message=describe_failure(error) if error else "",
                    rule=(function.function.__doc__ or "").strip() if function else "", output="" if report.passed else self._output(),
                )
            )  # fmt: skip
        return report

    def _output(self) -> str:
        return self._sandbox.read_output() if self._sandbox else ""

    def pytest_unconfigure(self) -> None:
        """End the last worker."""
        self._close()


def _variant_of(item: pytest.Item) -> Variant | None:
    callspec = getattr(item, "callspec", None)
    return callspec.params.get("learner") if callspec else None


def _mark(variant: Variant) -> str:
    """Return the variant's part of a test's id, to be taken out again."""
    return f"@{variant.name}@"


def describe_failure(error: BaseException) -> str:
    """Return what a learner needs to know of a failed test, in few lines."""
    if isinstance(error, NotImplementedError) and str(error).startswith("exercise "):
        return "not written yet"
    text = str(error)
    if not isinstance(error, (AssertionError, SubmissionError, pytest.fail.Exception)):
        text = f"{type(error).__name__}: {text}"
    lines = [line for line in text.splitlines() if line.strip() and "Use -v to get" not in line]
    lines += [note for note in getattr(error, "__notes__", ()) if note not in lines]
    cut = [] if len(lines) <= MAX_MESSAGE_LINES else ["…"]
    return "\n".join(lines[:MAX_MESSAGE_LINES] + cut)
