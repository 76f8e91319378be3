"""The closure gate: a chapter's modules need nothing that a later chapter explains.

`chapters/chapters.toml` gives every module its place. Two places are no chapters: the foundation, which everybody uses, and the
composition, which uses everybody and is read last.
"""

from __future__ import annotations

import re
import tomllib
from dataclasses import dataclass

import pytest

from tests.architecture.source import CHECKOUT, Import, imports_of, product_modules

TABLE = tomllib.loads((CHECKOUT / "chapters" / "chapters.toml").read_text(encoding="utf-8"))
FOUNDATION, COMPOSITION = 0, 1000
DOORS = {(door["from"], door["to"]) for door in TABLE["door"] if door["reason"]}


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """One name of the table."""

    name: str
    number: int
    """Of the chapter; `FOUNDATION` and `COMPOSITION` come before and after all of them."""
    alone: bool
    """Whether it stands for a package's `__init__` only."""


def read_places() -> list[Place]:
    """Return the table in its order."""
    sections = [(FOUNDATION, TABLE["foundation"]), (COMPOSITION, TABLE["composition"])]
    sections += [(int(chapter["directory"].partition("-")[0]), chapter) for chapter in TABLE["chapter"]]
    return [
        Place(name=name, number=number, alone=name == "" or name in section.get("only_packages", ()))
        for number, section in sections
        for name in section["modules"]
    ]


PLACES = read_places()
CHAPTERS = {place.number for place in PLACES} - {FOUNDATION, COMPOSITION}


def find_place(module: str) -> Place | None:
    """Return the longest name that stands for *module*."""
    covering = [p for p in PLACES if p.name == module or (not p.alone and module.startswith(f"{p.name}."))]
    return max(covering, key=lambda place: len(place.name), default=None)


def number_of(module: str) -> int:
    """Return where a module is explained."""
    place = find_place(module)
    assert place is not None, f"chapters/chapters.toml gives `{module}` no place"
    return place.number


def product_imports(module: str) -> list[Import]:
    """Return what a module imports of ours when it runs; what only a type checker follows needs no understanding yet."""
    return [edge for edge in imports_of(product_modules()[module]) if not edge.for_types and edge.imported]


@pytest.mark.parametrize("module", sorted(product_modules()), ids=lambda name: name or "minidocker")
def test_module_imports_nothing_of_a_later_chapter(module: str) -> None:
    """A reader who came as far as this chapter has been told of everything that its code uses."""
    here = number_of(module)
    edges = [e for e in product_imports(module) if e.at_top or (module, e.imported) not in DOORS]
    later = [f"line {e.line}: {e.imported} (chapter {number_of(e.imported)})" for e in edges if number_of(e.imported) > here]
    assert not later, f"minidocker.{module} (chapter {here}) imports " + ", ".join(later)


@pytest.mark.parametrize(("importer", "imported"), sorted(DOORS), ids="->".join)
def test_door_is_a_late_import_that_is_still_there(importer: str, imported: str) -> None:
    """An exception that nobody uses any more is a hole; and only into the composition, so that chapters stay closed."""
    assert [e for e in product_imports(importer) if e.imported == imported and not e.at_top]
    assert number_of(imported) == COMPOSITION


def test_every_place_has_a_module() -> None:
    """A name that stands for nothing was renamed, or misspelt."""
    modules = product_modules()
    idle = [p.name for p in PLACES if p.name not in modules or not any(find_place(name) is p for name in modules)]
    assert not idle
    assert len({p.name for p in PLACES}) == len(PLACES)


def test_chapters_stand_in_reading_order() -> None:
    """Artefacts first, protocol second, the kernel last: two thirds of the course need neither root nor Linux."""
    directories = [chapter["directory"] for chapter in TABLE["chapter"]]
    assert directories == sorted(directories)
    numbers = [number_of(module) for module in ("image.layer", "api.router", "kernel.namespaces")]
    assert numbers == sorted(numbers)


def test_chapter_in_prose_is_a_chapter_of_the_table() -> None:
    """The book and the table name the same chapters."""
    written = {path.name for path in (CHECKOUT / "chapters").iterdir() if re.match(r"\d\d-", path.name)}
    assert written <= {chapter["directory"] for chapter in TABLE["chapter"]}


@pytest.mark.parametrize("module", sorted(product_modules()), ids=lambda name: name or "minidocker")
def test_charter_names_the_chapter_of_the_table(module: str) -> None:
    """A charter that sends its reader to a chapter sends them to the right one."""
    source = product_modules()[module]
    charter = source.text.split('"""')[1] if source.text.startswith('"""') else ""
    named = {int(number) for number in re.findall(r"\bChapter (\d+)\b", charter)}
    assert named <= CHAPTERS, f"there is no chapter {named - CHAPTERS}"
    assert named <= {number_of(module)} or number_of(module) in (FOUNDATION, COMPOSITION)
