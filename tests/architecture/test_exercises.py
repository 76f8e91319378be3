"""What can be said of every exercise without running it."""

from __future__ import annotations

from chapters.lint import find_faults
from chapters.manifest import read_exercises


def test_manifests_keep_their_promises() -> None:
    """An exercise whose test, mutant or function is missing would grade nothing, or the wrong thing, for a whole class."""
    assert not find_faults(read_exercises())
