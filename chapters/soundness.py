"""Prove exercises: `python3 -m chapters.soundness [EXERCISE …] [--json FILE]`.

An exercise is sound when our own source passes its tests, the stub fails every one of them, each mutant fails some, in a way that
leads to the hint written for it, and the code that was called is the variant's own. All variants of all exercises run in one go.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
from collections.abc import Iterable, Mapping
from pathlib import Path

from chapters.judge import JudgeError, Report, find_misconception, run_variants
from chapters.manifest import Exercise, ManifestError, read_exercises, require_exercise
from chapters.variant import write_variant

__all__ = ["find_faults", "main", "prove"]


def prove(exercises: Iterable[Exercise]) -> Mapping[str, list[str]]:
    """Run every variant of *exercises*; return what is wrong with each.

    Raises:
        JudgeError: a test file is damaged.
    """
    exercises = list(exercises)
    with tempfile.TemporaryDirectory(prefix="minidocker-soundness-") as name:
        directory = Path(name)
        variants = [
            write_variant(exercise, variant, directory)
            for exercise in exercises
            for variant in ("solution", "stub", *(mutant.name for mutant in exercise.mutants))
        ]
        reports = run_variants(variants, cache=directory / "cache")
    return {e.id: find_faults(e, {r.variant: r for r in reports if r.exercise is e}) for e in exercises}


def find_faults(exercise: Exercise, reports: Mapping[str, Report]) -> list[str]:
    """Return why an exercise is not sound, given what came of its variants."""
    solution, stub = reports["solution"], reports["stub"]
    faults = [f"the solution fails {test.test} {test.case}: {test.message}" for test in solution.tests if not test.passed]
    if solution.problem:
        faults.append(f"the solution: {solution.problem}")
    faults += [f"the stub passes {test.test} {test.case}" for test in stub.tests if test.passed]
    faults += [f"the stub: {stub.problem}"] if stub.problem else []
    unlisted = {test.test for test in solution.tests} - set(exercise.tests)
    faults += [f"no objective names {name}" for name in sorted(unlisted)]
    mutants = [reports[mutant.name] for mutant in exercise.mutants]
    for mutant, report in zip(exercise.mutants, mutants, strict=True):
        if not report.failures:
            faults.append(f"the mutant {mutant.name} {report.problem or 'passes all tests'}")
            continue
        taken_for = find_misconception(report, mutants)
        hint = next(other.hint for other in exercise.mutants if other.name == taken_for)
        if taken_for != mutant.name:
            faults.append(f"the mutant {mutant.name} fails the same tests as {taken_for}, so its hint ({mutant.hint}, not {hint}) is never given")
    return faults


def main(arguments: list[str] | None = None) -> int:
    """Prove the named exercises, or all; print what is wrong, and exit with 1 if anything is."""
    parser = argparse.ArgumentParser(prog="python3 -m chapters.soundness", description="Prove that exercises are sound.")
    parser.add_argument("exercise", nargs="*", help="ids; all exercises without")
    parser.add_argument("--json", metavar="FILE", type=Path, help="write what is wrong with each exercise")
    parser.add_argument("--part", metavar="N/OF", default="1/1", help="every OF-th exercise, beginning with the N-th")
    parser.add_argument("--tier", metavar="N", type=int, default=2, help="no exercise that needs more of the machine")
    options = parser.parse_args(arguments)
    try:
        chosen = [require_exercise(name) for name in options.exercise] or list(read_exercises().values())
        number, of = (int(text) for text in options.part.split("/"))
        chosen = [exercise for exercise in chosen[number - 1 :: of] if exercise.tier <= options.tier]
        faults = prove(chosen)
    except (ManifestError, JudgeError) as error:
        print(error, file=sys.stderr)
        return 2
    if options.json:
        options.json.write_text(json.dumps(faults), encoding="utf-8")
    for name, found in faults.items():
        print(f"{name}: {'sound' if not found else f'{len(found)} faults'}", *found, sep="\n  ")
    return int(any(faults.values()))


if __name__ == "__main__":
    sys.exit(main())
