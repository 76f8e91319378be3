"""`update`: bring the learner's copies to the book as it is now, with nothing of theirs lost.

`start` keeps what it handed out in `work/EXERCISE/.start/`. From that, from what the learner wrote and from what would be handed
out today a third version is made. First the old one is copied aside. Where both changed the same lines, the learner's file stays as it is
and the new one is laid beside it.
"""

from __future__ import annotations

import ast
from pathlib import Path

from chapters.desk import Desk
from chapters.examine import is_stub
from chapters.manifest import Exercise
from chapters.merge import merge_lines
from chapters.progress import write_atomically
from chapters.screen import say
from chapters.stub import find_functions, replace_functions
from chapters.variant import compute_source

__all__ = ["adopt", "hand_out", "is_outdated", "path_of_start", "set_aside", "update_copy"]


def path_of_start(path: Path) -> Path:
    """Return where the version is kept that was handed out as *path*."""
    return path.parent / ".start" / path.name


def hand_out(exercise: Exercise, module: str, path: Path) -> None:
    """Write the copy of *module* that a learner begins with, and remember it."""
    source = compute_source(exercise, module, "start")
    write_atomically(path_of_start(path), source)
    write_atomically(path, source)


def set_aside(path: Path) -> Path:
    """Copy a learner's file to the next free `NAME.N.bak` beside it; return that."""
    number = 1
    while (kept := path.with_name(f"{path.name}.{number}.bak")).exists():
        number += 1
    write_atomically(kept, path.read_bytes())
    return kept


def is_outdated(exercise: Exercise, module: str, path: Path) -> bool:
    """Whether the book has changed since the learner began."""
    start = path_of_start(path)
    return start.is_file() and start.read_bytes() != compute_source(exercise, module, "start")


def update_copy(desk: Desk, exercise: Exercise, module: str, path: Path) -> bool:
    """Bring one file up to date; return whether it is now."""
    start, new = path_of_start(path), compute_source(exercise, module, "start")
    if not path.is_file() or not is_outdated(exercise, module, path):
        return True
    mine = path.read_bytes()
    merged = compute_update(start.read_bytes(), mine, new, exercise.targets_in(module))
    if merged is None:
        beside = path.with_name(f"{path.name}.new")
        write_atomically(beside, new)
        say(f"{desk.show(path)} and the book changed the same lines: your file stays, the book's is {desk.show(beside)}; compare them, and `reset` if in doubt")
        return False
    say(f"{desk.show(path)} is up to date; as it was before: {desk.show(set_aside(path))}")
    write_atomically(path, merged)
    write_atomically(start, new)
    return True


def adopt(desk: Desk, exercise: Exercise) -> None:
    """Put a solution into our own source where that lacks the function: a student's copy of the book becomes whole bit by bit.

    In a checkout of the project nothing is lacking, and nothing changes.
    """
    for module, path in desk.paths(exercise).items():
        place = next(target.path for target in exercise.targets if target.module == module)
        ours, names = place.read_bytes(), exercise.targets_in(module)
        if all(is_stub(ours, name) for name in names):
            write_atomically(place, replace_functions(ours, path.read_bytes(), only=names))
            say(f"your {' and '.join(f'`{name}`' for name in names)} is now part of {desk.show(place)}")


def compute_update(start: bytes, mine: bytes, new: bytes, targets: tuple[str, ...]) -> bytes | None:
    """Return *new* with what the learner changed since *start*; nothing if that cannot be told apart.

    Most change nothing but the bodies of the targets, and these can be carried over wherever the functions are now.
    """
    if mine in (start, new):
        return new
    try:
        if _is_all_but_bodies_equal(start, mine, targets):
            return replace_functions(new, mine, only=targets)
        lines = merge_lines(*(source.splitlines(keepends=True) for source in (start, mine, new)))
        merged = None if lines is None else b"".join(lines)
        functions = find_functions(ast.parse(merged)) if merged is not None else {}
    except (SyntaxError, ValueError, LookupError):
        return None
    return merged if set(targets) <= functions.keys() else None


def _is_all_but_bodies_equal(start: bytes, mine: bytes, targets: tuple[str, ...]) -> bool:
    return replace_functions(mine, start, only=targets) == start
