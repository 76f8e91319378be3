"""Grade one hand-in where somebody else's system runs us: Gradescope's container, Classroom 50's runner.

`python3 -m chapters.handin gradescope /autograder` reads `submission/` and writes `results/results.json`; `… verdict DIR EXERCISE [N]`
prints what came of one exercise, or of its N-th objective, and exits with 0, 1 or 2 as `check` does. What runs lies in a directory that
`python3 -m chapters export` made: `assignment.json` there says which exercises, and which secret. A file that cannot be graded is a
row with a sentence, and a result file is there from the first moment: whatever ends us, the student sees something.
"""

from __future__ import annotations

import json
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from chapters.desk import COULD_NOT_RUN, FAILED, PASSED
from chapters.grade import ISOLATIONS, find_isolation, grade_student
from chapters.hidden import HIDDEN_OBJECTIVE, add_hidden_tests
from chapters.manifest import CHECKOUT, Exercise, require_exercise
from chapters.progress import write_atomically

__all__ = ["collect", "grade_for_gradescope", "render_rows"]

MAX_ROW_CHARACTERS = 8000


def collect(handed_in: Path, exercises: Sequence[Exercise], into: Path) -> None:
    """Lay out what was handed in as `work/` is: from `work/EXERCISE/M.py`, `EXERCISE/M.py`, or a bare `M.py` if just one exercise wants that name."""
    wanted = [name for exercise in exercises for name in exercise.files.values()]
    for exercise in exercises:
        for name in exercise.files.values():
            places = [handed_in / "work" / exercise.id / name, handed_in / exercise.id / name]
            places += [handed_in / name] if wanted.count(name) == 1 else []
            found = next((place for place in places if place.is_file() and not place.is_symlink()), None)
            if found:
                target = into / exercise.id / name
                target.parent.mkdir(parents=True, exist_ok=True)
                target.write_bytes(found.read_bytes())


def read_assignment(root: Path = CHECKOUT) -> tuple[list[Exercise], str]:
    """Return the exercises of this assignment, with their hidden tests, and the secret."""
    document = json.loads((root / "assignment.json").read_text(encoding="utf-8"))
    hidden = root / "hidden" if (root / "hidden").is_dir() else None
    return [add_hidden_tests(require_exercise(name), hidden) for name in document["exercises"]], str(document["secret"])


def grade_one(handed_in: Path, exercise: Exercise, others: Sequence[Exercise], *, isolation: str, secret: str, student: str) -> dict[str, Any]:
    """Return what `grade` says of one exercise of a hand-in."""
    with tempfile.TemporaryDirectory(prefix="minidocker-handin-") as name:
        folder = Path(name, student.replace("/", "_").strip(".") or "student")
        folder.mkdir()
        collect(handed_in, others, folder)
        [result] = grade_student(folder, [exercise], isolation, secret=secret)["exercises"]
    return dict(result)


def render_rows(exercise: Exercise, result: Mapping[str, Any], number: int) -> list[dict[str, Any]]:
    """Return Gradescope's rows of one exercise: an objective each, hidden ones shown when the grades are published."""
    parts = [round(exercise.points * place / len(exercise.objectives), 2) for place in range(len(exercise.objectives) + 1)]
    rows = []
    for place, (objective, names) in enumerate(exercise.objectives.items(), 1):
        worth = round(parts[place] - parts[place - 1], 2)  # so that the sum is what the exercise is worth, to the cent
        share = 0.0 if result["message"] else result["objectives"].get(objective, 0.0)
        failed = [test for test in result["tests"] if test["test"] in names and not test["passed"]]
        said = [f"{test['test'].removeprefix('test_').replace('_', ' ')}: {test['message']}\n{test['output']}".strip() for test in failed]
        rows.append(
            {
                "name": f"{exercise.id}: {objective}", "number": f"{number}.{place}", "score": round(worth * share, 2), "max_score": worth,
                "status": "passed" if share == 1 else "failed", "output": ("\n\n".join([*([result["message"]] if result["message"] else []), *said]))[:MAX_ROW_CHARACTERS],
                "visibility": "after_published" if objective == HIDDEN_OBJECTIVE else "visible",
            }
        )  # fmt: skip
    return rows


def grade_for_gradescope(root: Path) -> None:
    """Grade `ROOT/submission` into `ROOT/results/results.json`, which is rewritten after every exercise."""
    begin = time.monotonic()
    exercises, secret = read_assignment()
    isolation = find_isolation()
    failed: dict[str, Any] = {"tests": [], "objectives": {}, "message": "not graded: the time was over before"}
    rows = [render_rows(exercise, failed, number) for number, exercise in enumerate(exercises, 1)]

    def write() -> None:
        flat = [row for group in rows for row in group]
        document = {
            "score": round(sum(row["score"] for row in flat), 2), "execution_time": int(time.monotonic() - begin), "tests": flat,
            "output": f"Submissions ran in: {ISOLATIONS[isolation]}.", "visibility": "visible", "stdout_visibility": "hidden",
        }  # fmt: skip
        write_atomically(root / "results" / "results.json", json.dumps(document, indent=1).encode() + b"\n")

    write()
    student = read_student(root / "submission_metadata.json")
    for place, exercise in enumerate(exercises):
        result = grade_one(root / "submission", exercise, exercises, isolation=isolation, secret=secret, student=student)
        rows[place] = render_rows(exercise, result, place + 1)
        write()


def read_student(metadata: Path) -> str:
    """Return by what the system knows the student: the address of the first author, or nothing."""
    try:
        [first, *_] = json.loads(metadata.read_text(encoding="utf-8"))["users"]
        return str(first.get("email") or first["id"])
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return ""


def give_verdict(handed_in: Path, name: str, objective: int) -> int:
    """Print what came of an exercise, or of one of its objectives (from 1); return the exit status."""
    exercises, secret = read_assignment()
    exercise = next(exercise for exercise in exercises if exercise.id == name)
    isolation = find_isolation()
    result = grade_one(handed_in, exercise, exercises, isolation=isolation, secret=secret, student=handed_in.absolute().name)
    rows = render_rows(exercise, result, 1)
    for row in rows[objective - 1 : objective] if objective else rows:
        print(f"{row['status']}  {row['name']}  ({row['score']:g} of {row['max_score']:g})\n{row['output']}".rstrip())
    if result["status"] == "error":
        return COULD_NOT_RUN
    wanted = rows[objective - 1 : objective] if objective else rows
    return PASSED if all(row["status"] == "passed" for row in wanted) else FAILED


def main(arguments: list[str]) -> int:
    """Do what the command line says."""
    match arguments:
        case ["gradescope", root]:
            grade_for_gradescope(Path(root))
            return PASSED
        case ["verdict", directory, name]:
            return give_verdict(Path(directory), name, 0)
        case ["verdict", directory, name, objective]:
            return give_verdict(Path(directory), name, int(objective))
    print("usage: python3 -m chapters.handin gradescope ROOT | verdict DIR EXERCISE [OBJECTIVE]", file=sys.stderr)
    return COULD_NOT_RUN


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
