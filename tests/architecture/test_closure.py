"""A chapter needs nothing from later chapters: the book can be read in order, and its exercises solved with what came before."""

from __future__ import annotations

import ast
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
TABLE = tomllib.loads((ROOT / "chapters" / "chapters.toml").read_text())
CHAPTER_OF = {module: int(chapter["number"]) for chapter in TABLE["chapter"] for module in chapter["modules"]}
FOUNDATION = frozenset(TABLE["foundation"])


def _path_of(module: str) -> Path:
    return ROOT / "minidocker" / f"{module.replace('.', '/')}.py"


def _imports(module: str) -> set[str]:
    """Return the modules of ours that *module* imports when it runs, not only for its types."""
    found: set[str] = set()
    for node in ast.parse(_path_of(module).read_text()).body:
        if isinstance(node, ast.ImportFrom) and node.module and node.module.startswith("minidocker."):
            target = node.module.removeprefix("minidocker.")
            found |= {target} if "." in target or _path_of(target).exists() else {f"{target}.{a.name}" for a in node.names}
    return found


@pytest.mark.parametrize("module", CHAPTER_OF)
def test_module_of_a_chapter_exists(module: str) -> None:
    """A module that was renamed takes its chapter along."""
    assert _path_of(module).exists()


@pytest.mark.parametrize("module", CHAPTER_OF)
def test_chapter_imports_nothing_from_later_chapters(module: str) -> None:
    """What a module needs is foundation, or has been explained in this chapter or an earlier one."""
    for imported in _imports(module) - FOUNDATION:
        assert imported in CHAPTER_OF, f"{module} imports {imported}, which belongs to no chapter"
        assert CHAPTER_OF[imported] <= CHAPTER_OF[module], f"{module} (chapter {CHAPTER_OF[module]}) imports {imported}"


def test_each_module_belongs_to_one_chapter() -> None:
    """Twice explained is once wrong."""
    modules = [module for chapter in TABLE["chapter"] for module in chapter["modules"]]
    assert len(modules) == len(set(modules))
    assert not FOUNDATION & set(modules)


def test_chapters_that_are_written_are_in_the_table() -> None:
    """A directory is its number and its name, as `explain` prints it."""
    names = {f"{int(chapter['number']):02}-{chapter['name']}" for chapter in TABLE["chapter"]}
    written = {path.name for path in (ROOT / "chapters").iterdir() if (path / "index.md").exists()}
    assert written
    assert written <= names
