"""`export gradescope|classroom50|actions|student DIR`: what other systems take, and what students get.

Rule: a grader brings its own tests and our own source, and takes from the student nothing but the files of the exercises. What goes to
students holds no answer: the functions that are asked for have no body, wrong solutions and their explanations stay at home, and there
is no history in which to look them up. Everything is made anew from the checkout; the same options give the same bytes.
"""

from __future__ import annotations

import argparse
import hashlib
import io
import json
import re
import zipfile
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Final

from chapters.desk import PASSED, CommandError, Desk
from chapters.hidden import add_hidden_tests
from chapters.manifest import BOOK, CHECKOUT, Exercise, read_exercises, require_exercise
from chapters.screen import say
from chapters.stub import strip_functions

__all__ = ["SYSTEMS", "choose_bug", "export", "split_points"]

MAX_TESTS: Final = 100
MAX_NAME_BYTES: Final = 100
"""Both are Classroom 50's limits."""

Files = dict[str, bytes]
"""Path below the exported directory → content."""


def export(_desk: Desk, options: argparse.Namespace) -> int:
    """Write what a grading system takes, or what students get, into a new directory."""
    if options.exercise:
        exercises = [require_exercise(name) for name in options.exercise]
    else:
        exercises = [e for e in read_exercises().values() if options.chapter in (None, e.number) and (e.tier == 0 or options.system == "student")]
    if not exercises:
        raise CommandError(f"chapter {options.chapter} has no exercises to export")
    if options.directory.exists() and (not options.directory.is_dir() or any(options.directory.iterdir())):
        raise CommandError(f"{options.directory} is there already: name a new or an empty directory")
    for exercise in exercises:
        add_hidden_tests(exercise, options.hidden)
    files = SYSTEMS[options.system](exercises, options)
    for name, content in sorted(files.items()):
        path = options.directory / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
        if content.startswith(b"#!"):
            path.chmod(0o755)
    say(f"{len(exercises)} exercises, {len(files)} files in {options.directory}")
    say(f"next: {NEXT[options.system]}")
    return PASSED


# -- graders -----------------------------------------------------------------------------------------------------------------


def collect_grader(exercises: Sequence[Exercise], hidden: Path | None, secret: str) -> Files:
    """Return a checkout that can grade *exercises*, and nothing else."""
    files = _read_tree(CHECKOUT / "minidocker", "minidocker") | _read_tree(BOOK, "chapters", deep=False)
    files["chapters/chapters.toml"] = (BOOK / "chapters.toml").read_bytes()
    for exercise in exercises:
        place = f"chapters/{exercise.chapter}"
        files[f"{place}/exercises.toml"] = (exercise.directory / "exercises.toml").read_bytes()
        files[f"{place}/{exercise.test_path.name}"] = exercise.test_path.read_bytes()
        path = add_hidden_tests(exercise, hidden).hidden_path
        if path:
            files[f"hidden/{path.name}"] = path.read_bytes()
    files["assignment.json"] = _to_json({"exercises": [exercise.id for exercise in exercises], "secret": secret})
    return files


def _export_gradescope(exercises: Sequence[Exercise], options: argparse.Namespace) -> Files:
    """Return the zip file that is uploaded as autograder: `setup.sh` and `run_autograder` at its root."""
    files = collect_grader(exercises, options.hidden, options.secret)
    return {"autograder.zip": _zip(files | {"setup.sh": SETUP_SH, "run_autograder": RUN_AUTOGRADER})}


def _export_classroom50(exercises: Sequence[Exercise], options: argparse.Namespace) -> Files:
    """Return the bundle of an assignment: `tests.json`, and the grader that its commands run."""
    tests = []
    for exercise in (add_hidden_tests(exercise, options.hidden) for exercise in exercises):
        points = split_points(exercise.points, len(exercise.objectives))
        for number, objective in enumerate(exercise.objectives, 1):
            name = f"{exercise.id} {number}: {objective}".encode()[:MAX_NAME_BYTES].decode(errors="ignore")
            run = f'python3 "$CLASSROOM50_BUNDLE_DIR/grade.py" {exercise.id} {number}'
            tests.append({"name": name, "type": "run", "setup": INSTALL, "run": run, "timeout": 120, "exit-code": 0, "points": points[number - 1]})
    if len(tests) > MAX_TESTS:
        raise CommandError(f"Classroom 50 takes {MAX_TESTS} tests for an assignment, and these are {len(tests)}: export fewer exercises (--chapter N)")
    return collect_grader(exercises, options.hidden, options.secret) | {"tests.json": _to_json({"schema": "classroom50/tests/v1", "tests": tests}), "grade.py": GRADE_PY}


def split_points(points: int, parts: int) -> list[int]:
    """Return *points* in whole numbers, as equal as can be: Classroom 50 knows no halves."""
    return [points // parts + (place < points % parts) for place in range(parts)]


def _export_actions(exercises: Sequence[Exercise], _options: argparse.Namespace) -> Files:
    """Return a workflow of GitHub Actions that checks what a student has pushed: a step for each exercise."""
    steps = "".join(STEP.format(id=exercise.id) for exercise in exercises)
    return {".github/workflows/exercises.yml": (WORKFLOW + steps + LAST_STEP).encode()}


# -- students ----------------------------------------------------------------------------------------------------------------


def _export_student(exercises: Sequence[Exercise], options: argparse.Namespace) -> Files:
    """Return the book for students: the learner's tool, the chapters, and `minidocker` without the functions that are asked for."""
    files = _read_tree(CHECKOUT / "minidocker", "minidocker") | _read_tree(BOOK, "chapters", deep=False) | _read_tree(CHECKOUT / "tests" / "unit", "tests/unit")
    files |= {"chapters/chapters.toml": (BOOK / "chapters.toml").read_bytes(), "LICENSE": (CHECKOUT / "LICENSE").read_bytes(), "README.md": _render_readme(exercises)}
    for page in sorted(BOOK.glob("[0-9][0-9]-*/index.md")):
        files[page.relative_to(CHECKOUT).as_posix()] = page.read_bytes()
    bugs = {exercise.id: choose_bug(exercise, options.student, options.secret) for exercise in exercises if exercise.start_from}
    for exercise in exercises:
        place = f"chapters/{exercise.chapter}"
        manifest = (exercise.directory / "exercises.toml").read_text(encoding="utf-8")
        files[f"{place}/exercises.toml"] = withhold_mutants(manifest, [e.id for e in exercises]).encode()
        files[f"{place}/{exercise.test_path.name}"] = exercise.test_path.read_bytes()
        if exercise.id in bugs:
            files[f"{place}/mutants/{exercise.id}/bug.py"] = exercise.mutant_path(bugs[exercise.id]).read_bytes()
        for target in exercise.targets:
            name = target.path.relative_to(CHECKOUT).as_posix()
            files[name] = strip_functions(files[name], [target.qualname], exercise=exercise.id)
    return files


def choose_bug(exercise: Exercise, student: str, secret: str) -> str:
    """Return the mutant that *student* is given to repair: without a name the book's own, with one any of them."""
    if not student:
        return exercise.start_from
    names = [mutant.name for mutant in exercise.mutants]
    digest = hashlib.sha256(f"{secret}/{student}/{exercise.id}".encode()).digest()
    return names[int.from_bytes(digest[:8], "big") % len(names)]


def withhold_mutants(manifest: str, exercises: Sequence[str]) -> str:
    """Return a manifest with *exercises* only, and without its wrong solutions; what is to be repaired is called `bug`."""
    parts = re.split(r"(?m)^(?=\[\[)", manifest)
    kept = []
    for part in parts:
        if part.startswith("[[exercise.mutant]]"):
            continue
        found = re.search(r'(?m)^id = "([^"]+)"', part) if part.startswith("[[exercise]]") else None
        if found and found[1] not in exercises:
            continue
        repaired, count = re.subn(r'(?m)^start_from = ".*"$', 'start_from = "bug"', part)
        kept.append(repaired + ('[[exercise.mutant]]\nname = "bug"\nmisconception = "This is for you to find."\nhint = 1\n\n' if count else ""))
    return "".join(kept)


def _render_readme(exercises: Sequence[Exercise]) -> bytes:
    lines = [f"- `{e.id}`: {e.title} (chapter {e.number}, about {e.minutes} minutes, {e.points} points)" for e in exercises]
    return (README + "\n".join(lines) + "\n").encode()


# -- files -------------------------------------------------------------------------------------------------------------------


def _read_tree(folder: Path, name: str, *, deep: bool = True) -> Files:
    """Return the Python files of a folder, and of those below it."""
    paths = folder.rglob("*.py") if deep else folder.glob("*.py")
    return {f"{name}/{path.relative_to(folder).as_posix()}": path.read_bytes() for path in sorted(paths)}


def _to_json(document: Mapping[str, object]) -> bytes:
    return json.dumps(document, indent=2, ensure_ascii=False).encode() + b"\n"


def _zip(files: Files) -> bytes:
    """Return a zip file, the same for the same files."""
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in sorted(files.items()):
            entry = zipfile.ZipInfo(name, (1980, 1, 1, 0, 0, 0))
            entry.compress_type = zipfile.ZIP_DEFLATED
            entry.external_attr = (0o100755 if content.startswith(b"#!") else 0o100644) << 16
            archive.writestr(entry, content)
    return out.getvalue()


INSTALL: Final = "python3 -m pip install --quiet pytest"

SETUP_SH: Final = rb"""#!/bin/sh
# Runs once, when Gradescope builds the image: Python 3.11 or newer with pytest, found or installed; `python` says where.
set -eu
cd "$(dirname "$0")"

find_python() {
    for name in python3 python3.14 python3.13 python3.12 python3.11; do
        if command -v "$name" >/dev/null && "$name" -c 'import sys; sys.exit(sys.version_info < (3, 11))'; then
            command -v "$name"
            return
        fi
    done
    return 1
}

python=$(find_python) || {
    apt-get update
    apt-get install -y --no-install-recommends python3.11 python3.11-venv
    python=$(find_python)
}
if ! "$python" -c 'import pytest' 2>/dev/null; then
    "$python" -m venv --clear venv || {
        apt-get update
        apt-get install -y --no-install-recommends "$(basename "$python")-venv"
        "$python" -m venv --clear venv
    }
    python=$PWD/venv/bin/python
    "$python" -m pip install --quiet pytest
fi
printf '%s\n' "$python" >python
"""

RUN_AUTOGRADER: Final = rb"""#!/bin/sh
# Runs for every submission, as root. The tests, our own source and the results are nobody else's to read or write.
set -eu
chmod 700 /autograder/source /autograder/results
cd /autograder/source
exec "$(cat python)" -m chapters.handin gradescope /autograder
"""

GRADE_PY: Final = b'''#!/usr/bin/env python3
"""Grade one objective of what lies in the current directory: `grade.py EXERCISE N`. Exit status 0 is a pass."""

import sys
from pathlib import Path

sys.dont_write_bytecode = True
sys.path.insert(0, str(Path(__file__).resolve().parent))

from chapters.handin import main

sys.exit(main(["verdict", ".", *sys.argv[1:]]))
'''

WORKFLOW: Final = """# Checks the exercises in work/ after every push. A student can change this file: marks come from `python3 -m chapters grade`.
name: exercises
on:
  push:
  workflow_dispatch:
permissions:
  contents: read
jobs:
  check:
    runs-on: ubuntu-latest
    timeout-minutes: 30
    steps:
      - uses: actions/checkout@v4
      - uses: actions/setup-python@v5
        with:
          python-version: "3.12"
      - name: install pytest
        run: python3 -m pip install --quiet pytest
"""
STEP: Final = """      - name: {id}
        if: ${{{{ !cancelled() }}}}
        run: python3 -m chapters check {id} --json "results/{id}.json"
"""
LAST_STEP: Final = """      - name: keep the results
        if: ${{ !cancelled() }}
        uses: actions/upload-artifact@v4
        with:
          name: results
          path: results
"""

README: Final = """# The exercises

Python 3.11 or newer is all you need, and pytest for checking (`python3 -m pip install pytest`). Begin with

    python3 -m chapters doctor
    python3 -m chapters list
    python3 -m chapters start EXERCISE

What you write lies in `work/`; that is also what you hand in. The chapters are the `index.md` files below `chapters/`.
The functions that you are asked for have no body in this copy of `minidocker`.

"""

SYSTEMS: Final[Mapping[str, Callable[[Sequence[Exercise], argparse.Namespace], Files]]] = {
    "gradescope": _export_gradescope, "classroom50": _export_classroom50, "actions": _export_actions, "student": _export_student,
}  # fmt: skip
"""Name → what is written for it."""

NEXT: Final = {
    "gradescope": "upload autograder.zip as the assignment's autograder; students hand in their `work/` directory, or its files",
    "classroom50": "commit the directory as CLASSROOM/autograders/ASSIGNMENT/ of the private classroom50 repository",
    "actions": "commit .github/ in the repository that students copy",
    "student": "publish the directory as the repository that students copy",
}
