"""The commands of the learner's tool, and its exit statuses: 0 passed, 1 failed, 2 could not run, 3 the machine lacks the tier.

Rule: what goes wrong is one sentence that says what to do; the learner's files are copied aside before anything replaces them.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable
from pathlib import Path

from chapters.manifest import CHECKOUT, HINT_LEVELS, Exercise, ManifestError, read_exercises, require_exercise
from chapters.progress import find_work, read_progress, write_atomically, write_progress
from chapters.screen import bold, dim, green, say, wrap
from chapters.table import find_chapter
from chapters.variant import compute_source

__all__ = ["CommandError", "Desk", "main"]

PASSED, FAILED, COULD_NOT_RUN, LACKS_TIER = range(4)


class CommandError(Exception):
    """A command cannot do its work: one sentence."""


class Desk:
    """Where a learner works: the directory, and what has been done so far."""

    def __init__(self, work: Path) -> None:
        """Read the progress kept in *work*."""
        self.work = work
        self.progress, warning = read_progress(work)
        if warning:
            say(warning)

    def paths(self, exercise: Exercise) -> dict[str, Path]:
        """Return the learner's copies: module → path."""
        return {module: self.work / exercise.id / name for module, name in exercise.files.items()}

    def show(self, path: Path) -> str:
        """Return a path as one would type it from here."""
        try:
            return str(path.relative_to(Path.cwd()))
        except ValueError:
            return str(path)

    def current(self, name: str | None) -> Exercise:
        """Return the exercise called *name*, or the one that was last worked on."""
        if name or self.progress.current:
            return require_exercise(name or self.progress.current)
        raise CommandError("which exercise? `python3 -m chapters list` shows all, `start EXERCISE` begins one")

    def next_step(self) -> str:
        """Return what a learner may do now."""
        for exercise in read_exercises().values():
            if not self.progress.standing(exercise.id).solved:
                started = (self.work / exercise.id).is_dir()
                return f"python3 -m chapters {'check' if started else 'start'} {exercise.id}"
        return "nothing: you have solved every exercise in the book"

    def save(self) -> None:
        """Keep the progress."""
        write_progress(self.work, self.progress)


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
        say(f"  {mark}  {exercise.id:<24} {exercise.title:<48} T{exercise.tier} {exercise.minutes:>3} min {'*' * exercise.difficulty}")
    say(f"\nnext: {desk.next_step()}")
    return PASSED


def start(desk: Desk, options: argparse.Namespace) -> int:
    """Put a copy with empty functions into `work/`."""
    exercise = require_exercise(options.exercise)
    paths = desk.paths(exercise)
    there = [path for path in paths.values() if path.exists()]
    for module, path in paths.items():
        if not path.exists():
            write_atomically(path, compute_source(exercise, module, "start"))
    desk.progress.current = exercise.id
    desk.progress.standing(exercise.id)
    desk.save()
    say(bold(f"{exercise.id}: {exercise.title}") + f"  (chapter {exercise.chapter}, about {exercise.minutes} minutes)")
    for path in there:
        say(f"{desk.show(path)} is there already and stays as it is; `python3 -m chapters reset {exercise.id}` begins afresh")
    what = "Repair" if exercise.kind == "fix" else "Write"
    for target in exercise.targets:
        say(f"{what} `{target.qualname}` in {desk.show(paths[target.module])}")
    say("You will learn:")
    for objective in exercise.objectives:
        say(wrap(f"- {objective}", "  "))
    say(f"The tests say what is wanted: {desk.show(exercise.test_path)}")
    say(f"next: edit, then `python3 -m chapters check {exercise.id}`")
    return PASSED


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
        write_atomically(path, compute_source(exercise, module, "start"))
        say(f"{desk.show(path)} is as at the start")
    standing = desk.progress.standing(exercise.id)
    standing.solved, standing.misconception, desk.progress.current = False, "", exercise.id
    desk.save()
    return PASSED


def set_aside(path: Path) -> Path:
    """Copy a learner's file to the next free `NAME.N.bak` beside it; return that."""
    number = 1
    while (kept := path.with_name(f"{path.name}.{number}.bak")).exists():
        number += 1
    write_atomically(kept, path.read_bytes())
    return kept


def check(desk: Desk, options: argparse.Namespace) -> int:
    """Run the tests of an exercise against what you wrote."""
    from chapters.check import check_exercises

    if options.chapter is not None:
        chosen = [e for e in read_exercises().values() if e.number == options.chapter and (desk.work / e.id).is_dir()]
        if not chosen:
            raise CommandError(f"you have started no exercise of chapter {options.chapter}: `python3 -m chapters list --chapter {options.chapter}`")
    else:
        chosen = [require_exercise(name) for name in options.exercise] or [desk.current(None)]
    return check_exercises(desk, chosen, verbose=options.verbose, json_path=options.json)


def tests(_desk: Desk, options: argparse.Namespace) -> int:
    """Read the tests as a book: every one a sentence, with the reason under -v."""
    from chapters.catalogue import find_statements, read_files

    chosen = set(find_statements(" ".join(options.words))) if options.words else None
    count = 0
    for file in read_files():
        statements = [s for s in file.statements if chosen is None or s in chosen]
        if not statements or (options.chapter is not None and file.chapter != options.chapter):
            continue
        chapter = find_chapter(file.chapter)
        say(f"\n{bold(wrap(file.about))}")
        say(dim(f"{file.path.relative_to(CHECKOUT).as_posix()}  {file.tier}  {f'chapter {chapter.number}, {chapter.title}' if chapter else ''}"))
        for statement in statements:
            say(f"  {statement.sentence}")
            if options.verbose:
                say(dim(wrap(statement.reason, "      ")))
        count += len(statements)
    say(f"\n{count} sentences" + ("" if count else ": no test is about that") + ("" if options.verbose else "; -v gives the reasons"))
    return PASSED


def explain(desk: Desk, options: argparse.Namespace) -> int:
    """Say what a test wants and why Docker behaves so; without a name, the first that failed in the last check."""
    from chapters.catalogue import find_statements, read_files

    failed = desk.progress.standing(desk.progress.current).failed if desk.progress.current else []
    name = options.test or next(iter(failed), "")
    if not name:
        raise CommandError("which test? Name one, or a few words of it: `python3 -m chapters tests` shows all")
    found = find_statements(name)
    if desk.progress.current and len(found) > 1:  # the one at hand before others of the same name
        own = [s for s in found if s.path == require_exercise(desk.progress.current).test_path]
        found = own or found
    if not found:
        raise CommandError(f"there is no test like `{name}`: `python3 -m chapters tests WORDS` searches")
    if len(found) > 1:
        say(f"{len(found)} tests fit `{name}`; name one of them:")
        for statement in found[:20]:
            say(f"  {statement.id}")
        return FAILED
    [statement] = found
    file = next(file for file in read_files() if statement in file.statements)
    chapter = find_chapter(file.chapter)
    say(bold(statement.sentence))
    say(wrap(statement.reason, "  "))
    for exercise in read_exercises().values():
        if exercise.test_path == statement.path:
            for objective in (text for text, names in exercise.objectives.items() if statement.name in names):
                say(wrap(f"It shows that {objective}.", "  "))
    say(f"\n{desk.show(statement.path)}, line {statement.line}:\n")
    say(statement.read_code())
    if chapter:
        page = CHECKOUT / "chapters" / chapter.directory / "index.md"
        say(f"more about it: chapter {chapter.number}, {chapter.title}" + (f" ({desk.show(page)})" if page.exists() else ""))
    return PASSED


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
    checking.add_argument("--json", type=Path, metavar="FILE", help="write the results for programs")
    hinting = add("hint", hint)
    hinting.add_argument("exercise", nargs="?")
    hinting.add_argument("level", nargs="?", type=int, choices=range(1, len(HINT_LEVELS) + 1), help="the next one, without")
    add("reset", reset).add_argument("exercise", nargs="?")
    reading = add("tests", tests)
    reading.add_argument("words", nargs="*", help="only those that hold these words")
    reading.add_argument("--chapter", type=int, metavar="N", help="only those of one chapter")
    reading.add_argument("-v", "--verbose", action="store_true", help="with reasons")
    add("explain", explain).add_argument("test", nargs="?", help="a name, an id, or words of it")
    add("doctor", doctor)
    return parser


def main(arguments: list[str]) -> int:
    """Run one command and return its exit status."""
    options = _build_parser().parse_args(arguments)
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
