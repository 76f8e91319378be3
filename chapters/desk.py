"""Where a learner works, for all commands: the directory, what has been done so far, and what a command may end with."""

from __future__ import annotations

from pathlib import Path

from chapters.manifest import Exercise, read_exercises, require_exercise
from chapters.progress import read_progress, write_progress
from chapters.screen import say

__all__ = ["COULD_NOT_RUN", "FAILED", "LACKS_TIER", "PASSED", "CommandError", "Desk"]

PASSED, FAILED, COULD_NOT_RUN, LACKS_TIER = range(4)
"""The exit statuses of the tool."""


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
