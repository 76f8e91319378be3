"""Libraries of a program: all of them or none, each from the place where the loader would take it."""

from __future__ import annotations

from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st

from minidocker.builtin.libraries import LibrarySearch, compute_closure
from minidocker.codec.elf import MACHINE_NUMBERS, parse_elf
from tests.unit.codec.test_elf import make_library

NAMES = st.sampled_from("abcdefgh")


@given(st.lists(NAMES), st.dictionaries(NAMES, st.lists(NAMES)))
def test_closure_is_closed_and_smallest(start: list[str], needs: dict[str, list[str]]) -> None:
    """Nothing in it leads out of it, and nothing is in it that nobody asked for."""
    closure = compute_closure(start, needs)
    assert len(set(closure)) == len(closure)
    assert set(start) <= set(closure)
    assert {other for name in closure for other in needs.get(name, ())} <= set(closure)
    assert all(name in start or any(name in needs.get(other, ()) for other in closure) for name in closure)
    assert set(compute_closure(closure, needs)) == set(closure)


def needing(*names: str) -> bytes:
    """Return a library that is linked with *names*."""
    strings, tags = b"\0", [(5, 0)]
    for name in names:
        tags.append((1, len(strings)))
        strings += name.encode() + b"\0"
    return make_library(strings=strings, tags=tags)


def test_circle_with_something_missing_is_not_complete(tmp_path: Path) -> None:
    """Two libraries that need each other: what one of them lacks, both lack, and whoever needs either of them."""
    (tmp_path / "lib").mkdir()
    for name, needs in (("one", ("two",)), ("two", ("one", "lost")), ("alone", ())):
        (tmp_path / "lib" / name).write_bytes(needing(*needs))
    search = LibrarySearch(tmp_path, MACHINE_NUMBERS["x86_64"])
    assert not search.add_needed("bin/first", parse_elf(needing("one")))
    assert not search.add_needed("bin/second", parse_elf(needing("two")))
    assert search.add_needed("bin/third", parse_elf(needing("alone")))
    assert search.found["lib/alone"] == "lib/alone"
