"""`grade DIR --out FILE`: check a class of submissions, side by side, and trust none of them.

DIR has one directory for each student, laid out as the student's own `work/`: `STUDENT/EXERCISE/MODULE.py`. Each student is graded by a
process of its own, which runs the tests; the submissions run in workers below it, each in a container (`chapters.confine`) where this
machine can make one, else as a user of its own, else in a restricted process; the results say which. A student whose grading breaks or takes too long gets a
sentence instead of points, and the class goes on.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from contextlib import suppress
from dataclasses import asdict
from pathlib import Path
from typing import Any

from chapters.desk import CommandError, Desk
from chapters.examine import find_problem
from chapters.hidden import add_hidden_tests
from chapters.manifest import CHECKOUT, Exercise, read_exercises, require_exercise
from chapters.report import RENDERERS
from chapters.sandbox import CONTAINER, PROCESS, USER, Sandbox, SubmissionError
from chapters.screen import say
from chapters.variant import Variant, write_variant

__all__ = ["ISOLATIONS", "find_isolation", "grade", "grade_student"]

STUDENT_LIMIT_S = 600
ISOLATIONS = {
    CONTAINER: "container",
    USER: "a user of its own (weaker than a container: a submission could use the network, and read what everybody may read)",
    PROCESS: "process (weaker: a submission could read files and use the network)",
}
"""Way to keep a submission in → what the results say of it."""


def grade(_desk: Desk, options: argparse.Namespace) -> int:
    """Check a class of submissions, `DIR/STUDENT/EXERCISE/MODULE.py`, and write the results."""
    formats = [path.suffix for path in options.out]
    if unknown := [suffix for suffix in formats if suffix not in RENDERERS]:
        raise CommandError(f"write results as `{unknown[0]}`: there are {', '.join(RENDERERS)}")
    students = sorted(path for path in options.directory.iterdir() if path.is_dir() and not path.name.startswith("."))
    exercises = choose_exercises(options.exercise, options.chapter)
    for exercise in exercises:  # what is wrong with hidden tests is said once, and not under every student
        add_hidden_tests(exercise, options.hidden)
    if not students or not exercises:
        raise CommandError(f"{options.directory} has {len(students)} directories of students, and {len(exercises)} exercises are to be graded: nothing to do")
    isolation = find_isolation()
    say(f"{len(students)} students, {len(exercises)} exercises; isolation: {ISOLATIONS[isolation]}")
    task = {
        "exercises": [exercise.id for exercise in exercises], "isolation": isolation, "secret": options.secret,
        "hidden": str(options.hidden.absolute()) if options.hidden else "",
    }  # fmt: skip
    results = []
    with ThreadPoolExecutor(max_workers=options.jobs or os.cpu_count() or 1) as pool:
        waiting = {pool.submit(_grade_apart, student, exercises, task): student for student in students}
        for done, future in enumerate(as_completed(waiting), 1):
            results.append(future.result())
            say(f"{done}/{len(students)}  {results[-1]['student']}  {results[-1]['points']:g} of {results[-1]['max_points']}  {results[-1]['message']}".rstrip())
    document = {
        "version": 1, "isolation": ISOLATIONS[isolation], "exercises": [_describe(exercise) for exercise in exercises],
        "students": sorted(results, key=lambda result: str(result["student"])),
    }  # fmt: skip
    for path in options.out:
        path.write_text(RENDERERS[path.suffix](document), encoding="utf-8")
        say(f"results: {path}")
    return 0


def choose_exercises(names: Sequence[str], chapter: int | None) -> list[Exercise]:
    """Return the exercises to be graded; those about the kernel only if they are named, because they need rights on this machine."""
    if names:
        return [require_exercise(name) for name in names]
    return [e for e in read_exercises().values() if e.tier == 0 and chapter in (None, e.number)]


def find_isolation() -> str:
    """Return how a submission can be kept in here, found out by doing it: the first of `ISOLATIONS` that works."""
    exercise = next(iter(read_exercises().values()))
    with tempfile.TemporaryDirectory(prefix="minidocker-grade-") as name:
        variant = write_variant(exercise, "solution", Path(name))
        for isolation in (CONTAINER, USER) if hasattr(os, "fork") else ():
            with suppress(SubmissionError):  # then the next one
                Sandbox(variant.files, exercise.targets, isolation=isolation).close()
                return isolation
    return PROCESS


def _describe(exercise: Exercise) -> dict[str, Any]:
    return {"id": exercise.id, "title": exercise.title, "chapter": exercise.chapter, "points": exercise.points, "objectives": {k: list(v) for k, v in exercise.objectives.items()}}


def _grade_apart(student: Path, exercises: Sequence[Exercise], task: dict[str, Any]) -> dict[str, Any]:
    """Grade one student in a process of its own."""
    command = [sys.executable, "-m", "chapters.grade", json.dumps(task | {"student": str(student.absolute())})]
    failed = {"student": student.name, "points": 0, "max_points": sum(e.points for e in exercises), "exercises": []}
    try:
        done = subprocess.run(command, cwd=CHECKOUT, capture_output=True, text=True, timeout=STUDENT_LIMIT_S, check=False)
        return dict(json.loads(done.stdout))
    except subprocess.TimeoutExpired:
        return failed | {"message": f"not graded: took more than {STUDENT_LIMIT_S} seconds"}
    except ValueError:
        return failed | {"message": f"not graded: {(done.stderr.strip().splitlines() or ['no result'])[-1]}"}


def grade_student(student: Path, exercises: Sequence[Exercise], isolation: str, *, secret: str = "") -> dict[str, Any]:
    """Return the results of one student; *secret* and the student's name decide what hidden tests draw."""
    from chapters.judge import run_variants

    seed = f"{secret}/{student.name}"

    obstacles = {exercise.id: _find_obstacle(student, exercise) for exercise in exercises}
    variants = [
        Variant(exercise=e, name="submission", files={m: student / e.id / name for m, name in e.files.items()}) for e in exercises if not obstacles[e.id]
    ]
    confined = [variant for variant in variants if not variant.exercise.tier]
    others = [variant for variant in variants if variant.exercise.tier]  # they need what a container would take from them
    ran = run_variants(confined, isolation=isolation, seed=seed) + run_variants(others, seed=seed)
    reports = {report.exercise.id: report for report in ran}
    graded = []
    for exercise in exercises:
        report = reports.get(exercise.id)
        graded.append(
            {
                "id": exercise.id, "status": "error" if report is None else "pass" if report.passed else "fail",
                "message": obstacles[exercise.id] if report is None else report.problem,
                "points": 0 if report is None else report.points, "max_points": exercise.points,
                "objectives": {} if report is None else report.shares, "tests": [] if report is None else [asdict(test) for test in report.tests],
            }
        )  # fmt: skip
    points = round(sum(float(str(one["points"])) for one in graded), 2)
    return {"student": student.name, "points": points, "max_points": sum(e.points for e in exercises), "message": "", "exercises": graded}


def _find_obstacle(student: Path, exercise: Exercise) -> str:
    for module, name in exercise.files.items():
        path = student / exercise.id / name
        if path.is_symlink() or not path.is_file():
            return f"{exercise.id}/{name} was not handed in"
        ours = next(target for target in exercise.targets if target.module == module).path.read_bytes()
        if problem := find_problem(exercise, module, name=f"{exercise.id}/{name}", ours=ours, theirs=path.read_bytes()):
            return problem.partition(": `python3 -m chapters reset")[0]
    return ""


if __name__ == "__main__":
    channel = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)
    asked = json.loads(sys.argv[1])
    chosen = [add_hidden_tests(require_exercise(name), Path(asked["hidden"]) if asked["hidden"] else None) for name in asked["exercises"]]
    channel.write(json.dumps(grade_student(Path(asked["student"]), chosen, asked["isolation"], secret=asked["secret"])))
    channel.close()
