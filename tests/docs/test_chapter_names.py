"""The chapters that `run --explain` names are chapters of the table."""

from __future__ import annotations

import tomllib
from pathlib import Path

from minidocker.kernel import explain

CHECKOUT = Path(__file__).resolve().parents[2]


def test_explanations_name_chapters_of_the_table() -> None:
    """A reader who follows `[namespaces]` finds a chapter of that name; the number before it may change."""
    with open(CHECKOUT / "chapters" / "chapters.toml", "rb") as file:
        table = tomllib.load(file)
    names = {chapter["directory"].partition("-")[2] for chapter in table["chapter"]}
    assert {explain.NAMESPACES, explain.CGROUPS, explain.NETWORK, explain.SECURITY} <= names


def test_written_chapters_are_in_the_table() -> None:
    """A directory that is not in the table would be read by nobody, and its modules held to no order."""
    with open(CHECKOUT / "chapters" / "chapters.toml", "rb") as file:
        table = tomllib.load(file)
    written = {page.parent.name for page in (CHECKOUT / "chapters").glob("*/index.md")}
    assert written
    assert written <= {chapter["directory"] for chapter in table["chapter"]}
