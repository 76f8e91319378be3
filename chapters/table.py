"""The table of chapters, `chapters/chapters.toml`: which module is explained where."""

from __future__ import annotations

import functools
import tomllib
from dataclasses import dataclass

from chapters.manifest import BOOK, CHECKOUT

__all__ = ["Chapter", "find_chapter", "number_of_module", "read_chapters"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Chapter:
    """One chapter, whether it is written or not."""

    directory: str
    title: str
    modules: tuple[str, ...]
    """Names below `minidocker`; each stands for all that is below it."""
    alone: tuple[str, ...] = ()
    """Those that stand for themselves only."""

    @property
    def number(self) -> int:
        """Its place in the book."""
        return int(self.directory.partition("-")[0])


@functools.cache
def read_chapters() -> tuple[Chapter, ...]:
    """Return all chapters in reading order."""
    table = tomllib.loads((BOOK / "chapters.toml").read_text(encoding="utf-8"))
    return tuple(
        Chapter(directory=c["directory"], title=c["title"], modules=tuple(c["modules"]), alone=tuple(c.get("only_packages", ())))
        for c in table["chapter"]
    )


def find_chapter(number: int) -> Chapter | None:
    """Return the chapter with this number."""
    return next((chapter for chapter in read_chapters() if chapter.number == number), None)


@functools.cache
def number_of_module(module: str, *, default: int = 0) -> int:
    """Return the number of the chapter that explains *module*; 0 for what all use or what composes, *default* for no module."""
    name = module.removeprefix("minidocker").lstrip(".")
    below = CHECKOUT.joinpath("minidocker", *name.split("."))
    if not below.is_dir() and not below.with_suffix(".py").is_file():
        return default
    covering = [(len(place), 0) for place in _foundation_and_composition() if name == place]
    covering += [
        (len(place), chapter.number)
        for chapter in read_chapters()
        for place in chapter.modules
        if name == place or (place not in chapter.alone and name.startswith(f"{place}."))
    ]
    return max(covering, default=(0, 0))[1]


@functools.cache
def _foundation_and_composition() -> frozenset[str]:
    table = tomllib.loads((BOOK / "chapters.toml").read_text(encoding="utf-8"))
    return frozenset(table["foundation"]["modules"]) | frozenset(table["composition"]["modules"])
