"""The closure gate: what a chapter shows can be read, and run, with what the chapters before it have shown."""

from __future__ import annotations

import functools
import tomllib
from dataclasses import dataclass

import pytest

from tests.architecture.source import CHECKOUT, imports_of, product_modules

TIERS = ("T0", "T1", "T2")


@dataclass(frozen=True, slots=True, kw_only=True)
class Table:
    """`chapters/chapters.toml`."""

    titles: tuple[str, ...]
    """By number."""
    tiers: tuple[str, ...]
    chapter_of: dict[str, int]
    """Module, or package for everything below it that is not named itself → number."""
    named_twice: tuple[str, ...]
    exceptions: frozenset[tuple[str, str]]
    """(importer, imported), each with a reason in the file."""


@functools.cache
def read_table() -> Table:
    """Read the table of chapters; a wrong form of it is an error here and not in every test."""
    document = tomllib.loads((CHECKOUT / "chapters" / "chapters.toml").read_text(encoding="utf-8"))
    chapters = document["chapter"]
    assert [chapter["number"] for chapter in chapters] == list(range(len(chapters)))
    assert all(entry["why"] for entry in document["exception"])
    names = [name for chapter in chapters for name in chapter["modules"]]
    return Table(
        titles=tuple(chapter["title"] for chapter in chapters),
        tiers=tuple(chapter["tier"] for chapter in chapters),
        chapter_of={name: chapter["number"] for chapter in chapters for name in chapter["modules"]},
        named_twice=tuple(name for name in set(names) if names.count(name) > 1),
        exceptions=frozenset((entry["importer"], name) for entry in document["exception"] for name in entry["imported"]),
    )


def find_chapter(module: str) -> int | None:
    """Return the chapter of a module: its own, or that of the nearest package above it."""
    table, name = read_table().chapter_of, module
    while name not in table:
        if not name:
            return None
        name = name.rpartition(".")[0]
        if not name:  # the root package is itself, not everything below it
            return None
    return table[name]


def describe(number: int) -> str:
    """Return how a chapter is called."""
    return f"chapter {number}, {read_table().titles[number]}"


def test_table_names_only_what_exists() -> None:
    """A row for a module that was renamed would leave the new name to its package's chapter unseen."""
    table = read_table()
    assert set(table.chapter_of) <= set(product_modules())
    assert not table.named_twice
    assert set(table.tiers) <= set(TIERS)


@pytest.mark.parametrize("module", product_modules(), ids=lambda name: name or "minidocker")
def test_chapter_needs_nothing_that_comes_later(module: str) -> None:
    """A reader of chapter N has met everything that its code imports, and an exercise of N runs without what follows."""
    chapter = find_chapter(module)
    assert chapter is not None, f"`{module}` belongs to no chapter; give it a place in chapters/chapters.toml"
    for found in imports_of(product_modules()[module]):
        later = find_chapter(found.imported)
        if found.at_top and not found.for_types and later is not None and (module, found.imported) not in read_table().exceptions:
            assert later <= chapter, (
                f"line {found.line}: `{module}` ({describe(chapter)}) imports `{found.imported}` ({describe(later)})"
            )


def test_exceptions_of_the_closure_are_needed() -> None:
    """An exception that nobody uses any more is a hole."""
    used = {
        (found.importer, found.imported)
        for module in product_modules().values()
        for found in imports_of(module)
        if found.at_top and (find_chapter(found.imported) or 0) > (find_chapter(found.importer) or 0)
    }
    assert read_table().exceptions <= used


def test_chapter_directories_carry_their_number() -> None:
    """`chapters/16-namespaces` is chapter 16: directories sort in the order in which they are read."""
    directories = sorted(path.name for path in (CHECKOUT / "chapters").iterdir() if (path / "index.md").exists())
    assert directories
    for name in directories:
        number, _, slug = name.partition("-")
        assert len(number) == 2
        assert read_table().titles[int(number)].lower().replace(" ", "-").startswith(slug.partition("-")[0])
