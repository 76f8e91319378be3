"""The files that an exercise's tests can be run against: our own source, the stub, a mutant, what the learner wrote.

Rule: all are made from the shipped source, so there is no second copy of an answer that could grow old.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from chapters.manifest import Exercise
from chapters.stub import replace_functions, strip_functions

__all__ = ["Variant", "compute_source", "write_variant"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Variant:
    """One set of files to run an exercise's tests against."""

    exercise: Exercise
    name: str
    files: Mapping[str, Path]
    """Module → file."""


def write_variant(exercise: Exercise, name: str, directory: Path) -> Variant:
    """Write a variant's files below *directory*: `solution` (our own source), `stub`, or the name of a mutant."""
    folder = directory / exercise.id / name
    folder.mkdir(parents=True, exist_ok=True)
    files = {}
    for module, file_name in exercise.files.items():
        files[module] = folder / file_name
        files[module].write_bytes(compute_source(exercise, module, name))
    return Variant(exercise=exercise, name=name, files=files)


def compute_source(exercise: Exercise, module: str, variant: str) -> bytes:
    """Return the source of *module* in a variant; what `start` hands out is called `start`."""
    source = next(target for target in exercise.targets if target.module == module).path.read_bytes()
    if variant == "start":
        variant = exercise.start_from or "stub"
    if variant == "solution":
        return source
    if variant == "stub":
        return strip_functions(source, exercise.targets_in(module), exercise=exercise.id)
    return replace_functions(source, exercise.mutant_path(variant).read_bytes(), only=exercise.targets_in(module))
