"""Tests that learners never see: a directory of the instructor's, `DIR/test_EXERCISE.py`, beside which the public tests still count.

Rule: a hidden test is written as a public one is (CONTRIBUTING, "Exercises"), and counts as one more objective. It may draw its cases
with `dice`, which fall by the student's name and a secret of the instructor's: to know the public repository is not enough then,
and neither is to know what a neighbour was asked. What is right, it takes from our own function, which only the grader has.
"""

from __future__ import annotations

import ast
from dataclasses import replace
from pathlib import Path

from chapters.desk import CommandError
from chapters.manifest import Exercise
from chapters.stub import find_functions

__all__ = ["HIDDEN_OBJECTIVE", "add_hidden_tests"]

HIDDEN_OBJECTIVE = "it holds for cases that were not in the tests you have"


def add_hidden_tests(exercise: Exercise, directory: Path | None) -> Exercise:
    """Return *exercise* with the tests that *directory* has for it, if any.

    Raises:
        CommandError: the directory or the file cannot be used, or a test has the name of a public one.
    """
    if directory is None:
        return exercise
    path = directory.absolute() / exercise.test_path.name
    if not directory.is_dir():
        raise CommandError(f"there is no directory `{directory}` of hidden tests")
    if not path.is_file():
        return exercise
    try:
        names = [name for name in find_functions(ast.parse(path.read_bytes())) if name.startswith("test_")]
    except (SyntaxError, ValueError) as error:
        raise CommandError(f"{path}: Python cannot read these hidden tests: {error}") from error
    if not names or set(names) & set(exercise.tests):
        raise CommandError(f"{path} must hold tests, with other names than the public ones")
    return replace(exercise, hidden_path=path, objectives={**exercise.objectives, HIDDEN_OBJECTIVE: tuple(names)})
