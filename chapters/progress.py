"""What a learner has done: one readable JSON file, `work/progress.json`.

Rule: nothing is overwritten in place. A file that cannot be read is moved aside, never thrown away.
"""

from __future__ import annotations

import json
import os
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Final

from chapters.manifest import CHECKOUT

__all__ = ["Progress", "Standing", "find_work", "read_progress", "write_atomically", "write_progress"]

FORMAT_VERSION: Final = 1


@dataclass(kw_only=True)
class Standing:
    """How far one exercise is."""

    attempts: int = 0
    """Checks that ran."""
    hints: int = 0
    """Levels of hints that were shown."""
    solved: bool = False
    misconception: str = ""
    """The mutant that the last check looked like."""
    failed: list[str] = field(default_factory=list)
    """The tests that failed in the last check."""


@dataclass(kw_only=True)
class Progress:
    """How far all are."""

    current: str = ""
    """The exercise that was last worked on."""
    exercises: dict[str, Standing] = field(default_factory=dict)
    predictions: dict[str, list[int]] = field(default_factory=dict)
    """Question → the choices made so far."""

    def standing(self, exercise: str) -> Standing:
        """Return the standing of an exercise, a new one for one that was never touched."""
        return self.exercises.setdefault(exercise, Standing())


def find_work() -> Path:
    """Return the directory of the learner's files: `work/` in the checkout, or what `MINIDOCKER_WORK` says."""
    return Path(os.environ.get("MINIDOCKER_WORK") or CHECKOUT / "work").absolute()


def read_progress(work: Path) -> tuple[Progress, str]:
    """Return what is known, and a sentence if the file was damaged and has been moved aside."""
    path = work / "progress.json"
    try:
        document = json.loads(path.read_text(encoding="utf-8"))
        if document["format_version"] != FORMAT_VERSION:
            raise ValueError(f"format_version {document['format_version']}")
        known = {name: Standing(**fields) for name, fields in document["exercises"].items()}
        predictions = {str(name): [int(choice) for choice in made] for name, made in document.get("predictions", {}).items()}
        return Progress(current=str(document["current"]), exercises=known, predictions=predictions), ""
    except FileNotFoundError:
        return Progress(), ""
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        aside = _free_name(path)
        os.replace(path, aside)
        return Progress(), f"{path.name} cannot be read ({error}); it is now {aside.name}, and counting begins afresh. Your exercises are untouched"


def write_progress(work: Path, progress: Progress) -> None:
    """Keep *progress*."""
    exercises = {name: asdict(standing) for name, standing in progress.exercises.items()}
    document = {"format_version": FORMAT_VERSION, "current": progress.current, "exercises": exercises, "predictions": progress.predictions}
    write_atomically(work / "progress.json", json.dumps(document, indent=2).encode() + b"\n")


def write_atomically(path: Path, content: bytes) -> None:
    """Write a file so that either the old or the new content is there, whatever happens."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.new")
    temporary.write_bytes(content)
    os.replace(temporary, path)


def _free_name(path: Path) -> Path:
    number = 1
    while (aside := path.with_name(f"{path.name}.{number}")).exists():
        number += 1
    return aside
