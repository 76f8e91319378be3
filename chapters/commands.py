"""The commands of the learner's tool, and its exit statuses: 0 passed, 1 failed, 2 could not run, 3 the machine lacks the tier.

Rule: what goes wrong is one sentence that says what to do; the learner's files are copied aside before anything replaces them.
"""

from __future__ import annotations

import argparse
import ast
import sys
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

from chapters.desk import COULD_NOT_RUN, FAILED, PASSED, CommandError, Desk
from chapters.examine import is_stub
from chapters.manifest import CHECKOUT, HINT_LEVELS, ManifestError, read_exercises, require_exercise
from chapters.progress import find_work
from chapters.reading import explain, predict, tests
from chapters.screen import bold, dim, green, say, wrap
from chapters.stub import find_functions
from chapters.update import hand_out, set_aside, update_copy

__all__ = ["main"]

SYSTEM_NAMES = ("gradescope", "classroom50", "actions", "student")
TITLE_COLUMNS = 37
"""So that a line of the list fits on 80 columns."""

def list_exercises(desk: Desk, options: argparse.Namespace) -> int:
    """Show the exercises, chapter by chapter."""
    chapter = ""
    for exercise in read_exercises().values():
        if options.chapter is not None and exercise.number != options.chapter:
            continue
        if exercise.chapter != chapter:
            chapter = exercise.chapter
            say(f"\n{bold(chapter)}" if chapter else "")
        standing = desk.progress.standing(exercise.id)
        mark = green("solved ") if standing.solved else "started" if (desk.work / exercise.id).is_dir() else "       "
        title = exercise.title if len(exercise.title) <= TITLE_COLUMNS else exercise.title[: TITLE_COLUMNS - 1] + "…"
        say(f"  {mark} {exercise.id:<22} {title:<{TITLE_COLUMNS}} T{exercise.tier} {exercise.minutes:>3} min  {exercise.difficulty}/5")
    exercises = read_exercises().values()
    say(f"\n{sum(desk.progress.standing(e.id).solved for e in exercises)} of {len(exercises)} solved; next: {desk.next_step()}")
    return PASSED


def start(desk: Desk, options: argparse.Namespace) -> int:
    """Put a copy with empty functions into `work/`."""
    exercise = require_exercise(options.exercise)
    for first in map(require_exercise, exercise.requires):
        if any(is_stub(target.path.read_bytes(), target.qualname) for target in first.targets):
            say(f"{exercise.id} may need what you write in {first.id}, which comes before it: `python3 -m chapters start {first.id}`")
    paths = desk.paths(exercise)
    there = [path for path in paths.values() if path.exists()]
    for module, path in paths.items():
        if not path.exists():
            hand_out(exercise, module, path)
    desk.progress.current = exercise.id
    desk.progress.standing(exercise.id)
    desk.save()
    say(bold(f"{exercise.id}: {exercise.title}") + f"  (chapter {exercise.chapter}, about {exercise.minutes} minutes)")
    for path in there:
        say(f"{desk.show(path)} is there already and stays as it is; `python3 -m chapters reset {exercise.id}` begins afresh")
    what = "Repair" if exercise.kind == "fix" else "Write"
    for target in exercise.targets:
        say(f"{what} `{target.qualname}` in {desk.show(paths[target.module])}{find_line(paths[target.module], target.qualname)}")
    say("You will learn:")
    for objective in exercise.objectives:
        say(wrap(f"- {objective}", "  "))
    say(f"The tests say what is wanted: {desk.show(exercise.test_path)}")
    say(f"next: edit, then `python3 -m chapters check {exercise.id}`")
    return PASSED


def find_line(path: Path, qualname: str) -> str:
    """Return `, line N` for a function of a file that can be read."""
    with suppress(SyntaxError, ValueError, KeyError):  # a file that was there already may be anything
        return f", line {find_functions(ast.parse(path.read_bytes()))[qualname].lineno}"
    return ""


def hint(desk: Desk, options: argparse.Namespace) -> int:
    """Give the next hint; after a check that looked like a known mistake, the one for that mistake."""
    exercise = desk.current(options.exercise)
    standing = desk.progress.standing(exercise.id)
    mutant = next((m for m in exercise.mutants if m.name == standing.misconception), None)
    if options.level:
        level = options.level
    elif mutant:
        say(wrap(f"Your last check looks like this belief: {mutant.misconception}"))
        level = mutant.hint
    else:
        level = min(standing.hints + 1, len(HINT_LEVELS))
    standing.hints, standing.misconception = max(standing.hints, level), ""
    desk.save()
    say(bold(f"hint {level} of {len(HINT_LEVELS)} ({HINT_LEVELS[level - 1]})"))
    say(wrap(exercise.hints[level - 1]))
    if level < len(HINT_LEVELS):
        say(dim(f"more: `python3 -m chapters hint {exercise.id}`"))
    return PASSED


def reset(desk: Desk, options: argparse.Namespace) -> int:
    """Begin an exercise afresh; what was there is kept beside it."""
    exercise = desk.current(options.exercise)
    for module, path in desk.paths(exercise).items():
        if path.exists():
            say(f"your version is kept as {desk.show(set_aside(path))}")
        hand_out(exercise, module, path)
        say(f"{desk.show(path)} is as at the start")
    standing = desk.progress.standing(exercise.id)
    standing.solved, standing.misconception, desk.progress.current = False, "", exercise.id
    desk.save()
    return PASSED


def update(desk: Desk, options: argparse.Namespace) -> int:
    """Bring your copies to the book as it is now; what you wrote stays, and is copied aside first."""
    chosen = [require_exercise(options.exercise)] if options.exercise else [e for e in read_exercises().values() if (desk.work / e.id).is_dir()]
    outcomes = [update_copy(desk, exercise, module, path) for exercise in chosen for module, path in desk.paths(exercise).items()]
    say("everything is up to date" if all(outcomes) else "the others are up to date")
    return PASSED if all(outcomes) else FAILED


def check(desk: Desk, options: argparse.Namespace) -> int:
    """Run the tests of an exercise against what you wrote."""
    from chapters.check import check_exercises

    if options.chapter is not None:
        chosen = [e for e in read_exercises().values() if e.number == options.chapter and (desk.work / e.id).is_dir()]
        if not chosen:
            raise CommandError(f"you have started no exercise of chapter {options.chapter}: `python3 -m chapters list --chapter {options.chapter}`")
    else:
        chosen = [require_exercise(name) for name in options.exercise] or [desk.current(None)]
    return check_exercises(desk, chosen, verbose=options.verbose, json_path=options.json, watch=options.watch)


def doctor(desk: Desk, _options: argparse.Namespace) -> int:
    """Say what this machine is good for, and what would help."""
    from chapters.check import find_python

    from minidocker.kernel.probe import compute_tier, probe_features

    tier, advice = compute_tier(probe_features())
    by_tier = [sum(e.tier == number for e in read_exercises().values()) for number in range(3)]
    say(f"Python {sys.version.partition(' ')[0]} on {sys.platform}")
    say(f"pytest: {'there' if find_python() else 'missing: `python3 noxfile.py lint` makes an environment that has it (once, online)'}")
    say(f"your files: {desk.work}")
    say(f"tier {tier}: you can solve {sum(by_tier[: int(tier[1]) + 1])} of {sum(by_tier)} exercises here")
    if advice:
        say(wrap(f"more would be possible: {advice}"))
    say(f"next: {desk.next_step()}")
    return PASSED


def grade(desk: Desk, options: argparse.Namespace) -> int:
    """Check a class of submissions, `DIR/STUDENT/EXERCISE/MODULE.py`, and write the results."""
    from chapters.check import find_python
    from chapters.grade import grade as grade_class

    if find_python() != sys.executable:
        raise CommandError("grading needs pytest in this interpreter: use `.venv/bin/python -m chapters grade …`, made by `python3 noxfile.py lint`")
    return grade_class(desk, options)


def export(desk: Desk, options: argparse.Namespace) -> int:
    """Write what a grading system takes, or what students get, into a new directory."""
    from chapters.export import export as write

    return write(desk, options)


def _build_parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python3 -m chapters", description="Exercises for the book: begin one, check it, get a hint.")
    commands = parser.add_subparsers(dest="command", metavar="COMMAND", required=True)

    def add(name: str, function: Callable[[Desk, argparse.Namespace], int]) -> argparse.ArgumentParser:
        text = (function.__doc__ or "").partition("\n")[0]
        command = commands.add_parser(name, help=text, description=text)
        command.set_defaults(function=function)
        return command

    add("list", list_exercises).add_argument("--chapter", type=int, metavar="N", help="only those of one chapter")
    add("start", start).add_argument("exercise")
    checking = add("check", check)
    checking.add_argument("exercise", nargs="*", help="the last one that was started, without")
    checking.add_argument("--chapter", type=int, metavar="N", help="all of a chapter that were started")
    checking.add_argument("-v", "--verbose", action="store_true", help="every failure in full, and the reason for every test")
    checking.add_argument("-w", "--watch", action="store_true", help="again whenever the file changes, until it passes")
    checking.add_argument("--json", type=Path, metavar="FILE", help="write the results for programs")
    hinting = add("hint", hint)
    hinting.add_argument("exercise", nargs="?")
    hinting.add_argument("level", nargs="?", type=int, choices=range(1, len(HINT_LEVELS) + 1), help="the next one, without")
    add("reset", reset).add_argument("exercise", nargs="?")
    add("update", update).add_argument("exercise", nargs="?", help="all that were started, without")
    predicting = add("predict", predict)
    predicting.add_argument("question", nargs="?", help="a name, or the number of a chapter")
    predicting.add_argument("--answer", type=int, metavar="N", help="without being asked")
    reading = add("tests", tests)
    reading.add_argument("words", nargs="*", help="only those that hold these words")
    reading.add_argument("--chapter", type=int, metavar="N", help="only those of one chapter")
    reading.add_argument("-v", "--verbose", action="store_true", help="with reasons")
    add("explain", explain).add_argument("test", nargs="?", help="a name, an id, or words of it")
    grading = add("grade", grade)
    grading.add_argument("directory", type=Path, metavar="DIR", help="one directory for each student, laid out as `work/`")
    grading.add_argument("exercise", nargs="*", help="all that need no Linux, without")
    grading.add_argument("--chapter", type=int, metavar="N", help="those of one chapter")
    grading.add_argument("--out", type=Path, metavar="FILE", action="append", required=True, help=".json, .xml (JUnit), .csv or .html; several times")
    grading.add_argument("--hidden", type=Path, metavar="DIR", help="more tests, that the students do not have: DIR/test_EXERCISE.py")
    grading.add_argument("--secret", default="", metavar="WORD", help="with the student's name it decides what hidden tests draw")
    grading.add_argument("--jobs", type=int, metavar="N", help="how many students at a time; as many as there are processors, without")
    exporting = add("export", export)
    exporting.add_argument("system", choices=list(SYSTEM_NAMES), help="for whom")
    exporting.add_argument("directory", type=Path, metavar="DIR", help="a new or an empty directory")
    exporting.add_argument("exercise", nargs="*", help="all that need no Linux, without; for students, all")
    exporting.add_argument("--chapter", type=int, metavar="N", help="those of one chapter")
    exporting.add_argument("--hidden", type=Path, metavar="DIR", help="more tests, that the students do not have: DIR/test_EXERCISE.py")
    exporting.add_argument("--secret", default="", metavar="WORD", help="with the student's name it decides what hidden tests draw, and who repairs what")
    exporting.add_argument("--student", default="", metavar="NAME", help="for one student: bugs of their own to find")
    add("doctor", doctor)
    return parser


def main(arguments: list[str]) -> int:
    """Run one command and return its exit status."""
    options = _build_parser().parse_args(arguments or ["list"])
    try:
        desk = Desk(find_work())
        return int(options.function(desk, options))
    except (CommandError, ManifestError) as error:
        print(f"chapters: {error}", file=sys.stderr)
    except BrokenPipeError:
        sys.stderr.close()
    except OSError as error:
        advice = "make it writable, or set MINIDOCKER_WORK to another directory" if isinstance(error, PermissionError) else "free some space, or look at the disk"
        print(f"chapters: {error.strerror or error}: `{error.filename or CHECKOUT}` ({advice})", file=sys.stderr)
    except KeyboardInterrupt:
        print("chapters: stopped", file=sys.stderr)
    return COULD_NOT_RUN
