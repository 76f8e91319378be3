"""`check`: look at the learner's files, run the tests against them, and say what to do next.

The files are examined before anything runs. pytest is the one thing here that Python does not bring along; where this interpreter
lacks it, the checkout's own environment does the work.
"""

from __future__ import annotations

import importlib.util
import json
import os
import subprocess
import sys
import tempfile
import time
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

from chapters.desk import COULD_NOT_RUN, FAILED, LACKS_TIER, PASSED, Desk
from chapters.examine import find_problem
from chapters.manifest import CHECKOUT, Exercise
from chapters.progress import write_atomically
from chapters.screen import bold, dim, green, red, say, sentence_of, wrap
from chapters.update import adopt, is_outdated

if TYPE_CHECKING:
    from chapters.judge import Report
    from chapters.plugin import TestResult

__all__ = ["check_exercises", "find_python"]

WATCH_PAUSE_S = 0.2


def find_python() -> str:
    """Return an interpreter that has pytest: this one, or that of `.venv`; nothing if there is none."""
    if importlib.util.find_spec("pytest"):
        return sys.executable
    own = CHECKOUT / ".venv" / ("Scripts/python.exe" if os.name == "nt" else "bin/python")
    return str(own) if own.exists() and not os.path.samefile(sys.prefix, CHECKOUT / ".venv") else ""


def check_exercises(desk: Desk, exercises: list[Exercise], *, verbose: bool, json_path: Path | None, watch: bool = False) -> int:
    """Check *exercises* and print what came of them; return the exit status: the worst of them."""
    python = find_python()
    if not python:
        say("chapters: check needs pytest: `python3 noxfile.py lint` makes an environment that has it, and is then used by itself")
        return COULD_NOT_RUN
    if python != sys.executable:
        command = [python, "-m", "chapters", "check", *(e.id for e in exercises), *(["-v"] if verbose else []), *(["-w"] if watch else [])]
        command += ["--json", str(json_path.absolute())] if json_path else []
        return subprocess.run(command, check=False, env={**os.environ, "PYTHONPATH": str(CHECKOUT)}).returncode
    if watch:
        return _watch(desk, exercises, verbose=verbose)
    reports, statuses = [], []
    for exercise in exercises:
        status, report = _check_one(desk, exercise, verbose=verbose)
        statuses.append(status)
        reports += [report] if report else []
    if json_path:
        write_atomically(json_path.absolute(), render_json(reports).encode())
    return max(statuses)


def _watch(desk: Desk, exercises: list[Exercise], *, verbose: bool) -> int:
    """Check whenever a file changes, until all pass."""
    seen: object = None
    while True:
        now = [path.read_bytes() if path.is_file() else b"" for exercise in exercises for path in desk.paths(exercise).values()]
        if now != seen:
            seen = now
            statuses = [_check_one(desk, exercise, verbose=verbose)[0] for exercise in exercises]
            if max(statuses) in (PASSED, LACKS_TIER):
                return max(statuses)
            say(dim("waiting for you to save the file; Ctrl-C ends"))
        time.sleep(WATCH_PAUSE_S)


def _check_one(desk: Desk, exercise: Exercise, *, verbose: bool) -> tuple[int, Report | None]:
    from chapters.judge import JudgeError, run_variants
    from chapters.variant import Variant

    if sentence := _find_obstacle(desk, exercise):
        say(f"chapters: {sentence}")
        return COULD_NOT_RUN, None
    if exercise.tier and (sentence := _lacks_tier(exercise)):
        say(f"chapters: {sentence}")
        return LACKS_TIER, None
    try:
        [report] = run_variants([Variant(exercise=exercise, name="yours", files=desk.paths(exercise))])
    except JudgeError as error:
        say(f"chapters: {exercise.test_path.name} cannot be run, which is not your fault: {str(error).splitlines()[-1]}")
        return COULD_NOT_RUN, None
    if any(is_outdated(exercise, module, path) for module, path in desk.paths(exercise).items()):
        say(dim(f"the book has changed since you began: `python3 -m chapters update {exercise.id}`"))
    standing = desk.progress.standing(exercise.id)
    standing.attempts += 1
    standing.solved, standing.misconception, desk.progress.current = report.passed, "", exercise.id
    standing.failed = list(dict.fromkeys(test.test for test in report.tests if not test.passed))
    _show(report, verbose=verbose)
    if not report.passed:
        standing.misconception = _recognise(report)
        _advise(exercise, standing.misconception)
    desk.save()
    if report.passed:
        adopt(desk, exercise)
        say(green("solved") + f"; next: {desk.next_step()}")
    return PASSED if report.passed else FAILED, report


def _find_obstacle(desk: Desk, exercise: Exercise) -> str:
    """Return why the learner's files cannot be tested, or nothing."""
    for module, path in desk.paths(exercise).items():
        name = desk.show(path)
        if not path.is_file():
            if not path.parent.is_dir():
                return f"you have not begun this one yet: `python3 -m chapters start {exercise.id}`"
            others = [other.name for other in path.parent.glob("*.py")]
            renamed = f" (is {others[0]} the one you renamed? give it its name back)" if others else ""
            return f"{name} is not there{renamed or f': `python3 -m chapters start {exercise.id}` makes it again'}"
        ours = next(target for target in exercise.targets if target.module == module).path.read_bytes()
        if problem := find_problem(exercise, module, name=name, ours=ours, theirs=path.read_bytes()):
            return problem
    return ""


def _lacks_tier(exercise: Exercise) -> str:
    """Return what this machine lacks for an exercise, or nothing."""
    from minidocker.kernel.probe import compute_tier, probe_features

    tier, advice = compute_tier(probe_features())
    return f"{exercise.id} needs tier T{exercise.tier}, this machine has {tier}: {advice}" if int(tier[1]) < exercise.tier else ""


def _show(report: Report, *, verbose: bool) -> None:
    say(bold(f"{report.exercise.id}: {report.exercise.title}"))
    shown = 0
    for result in report.tests:
        title = sentence_of(result.test) + (f" [{result.case}]" if result.case else "")
        say(f"  {green('passed') if result.passed else red('failed')}  {title}")
        if verbose and result.rule:
            say(dim(wrap(result.rule, "          ")))
        if not result.passed and (verbose or not shown):
            _show_failure(result, with_rule=not verbose)
            shown += 1
    if report.problem:
        say(red(f"  {report.problem}"))
    done = sum(result.passed for result in report.tests)
    say(f"{done} of {len(report.tests)} tests pass, {report.points:g} of {report.exercise.points} points")


def _show_failure(result: TestResult, *, with_rule: bool) -> None:
    if with_rule and result.rule:
        say(dim(wrap(result.rule, "          ")))
    for line in result.message.splitlines():
        say(f"          {line}")
    if result.output.strip():
        say("          your code printed:")
        for line in result.output.rstrip().splitlines()[-10:]:
            say(f"          | {line}")


def _recognise(report: Report) -> str:
    """Return the known mistake that fails just these tests, found by making each of them."""
    from chapters.judge import find_misconception, run_variants
    from chapters.variant import write_variant

    if all(not test.passed and test.message == "not written yet" for test in report.tests):
        return ""
    known = [mutant.name for mutant in report.exercise.mutants if report.exercise.mutant_path(mutant.name).is_file()]  # students may not have them
    with tempfile.TemporaryDirectory(prefix="minidocker-mutants-") as name:
        variants = [write_variant(report.exercise, mutant, Path(name)) for mutant in known]
        return find_misconception(report, run_variants(variants))


def _advise(exercise: Exercise, misconception: str) -> None:
    if misconception:
        say(f"That is what a well-known misunderstanding leads to: `python3 -m chapters hint {exercise.id}` is about it")
    else:
        say(f"next: edit and check again, or `python3 -m chapters hint {exercise.id}`; `check -v` shows every failure in full")


def render_json(reports: list[Report]) -> str:
    """Return results for programs."""
    exercises = [
        {
            "id": report.exercise.id, "status": "pass" if report.passed else "fail", "message": report.problem,
            "points": report.points, "max_points": report.exercise.points, "tests": [asdict(test) for test in report.tests],
        }
        for report in reports
    ]  # fmt: skip
    return json.dumps({"version": 1, "exercises": exercises}, indent=2) + "\n"
