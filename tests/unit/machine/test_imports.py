"""Which modules a program can import, found by reading it."""

from __future__ import annotations

from pathlib import Path

import pytest

from minidocker.machine.imports import compute_names, find_closure

SOURCES = {
    "plain": ("import a.b", "p", {"a.b"}),
    "from": ("from a import b", "p", {"a", "a.b"}),
    "star": ("from a import *", "p", {"a"}),
    "in-a-function": ("def f():\n    import late", "p", {"late"}),
    "relative": ("from . import sibling", "p.q", {"p.q", "p.q.sibling"}),
    "two-levels": ("from ..x import y", "p.q", {"p.x", "p.x.y"}),
    "broken": ("import (", "p", set()),
}


@pytest.mark.parametrize(("source", "package", "expected"), SOURCES.values(), ids=SOURCES)
def test_names_of_a_source(source: str, package: str, expected: set[str]) -> None:
    """`from a import b` may mean a module; whether it does shows on the disk."""
    assert set(compute_names(source.encode(), package=package)) == expected


def test_closure_follows_imports_through_files(tmp_path: Path) -> None:
    """A package comes with its `__init__`, and what no file holds is left out."""
    files = {"start.py": "import pack.deep, sys, nowhere", "pack/__init__.py": "", "pack/deep.py": "from . import other", "pack/other.py": "", "unused.py": ""}
    for name, text in files.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(text)
    assert list(find_closure(["start"], [tmp_path])) == ["pack", "pack.deep", "pack.other", "start"]
