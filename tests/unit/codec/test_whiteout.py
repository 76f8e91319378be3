"""Whiteouts: what a layer says is gone, and what a stack of layers shows."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from minidocker.codec.whiteout import Meaning, UnsafeEntry, compute_shown, parse_whiteout, render_whiteout

MEANINGS = {
    b"motd": (Meaning.ITSELF, b"motd"),
    b".whatever": (Meaning.ITSELF, b".whatever"),
    b".wh": (Meaning.ITSELF, b".wh"),
    b".wh.motd": (Meaning.GONE, b"motd"),
    b".wh..hidden": (Meaning.GONE, b".hidden"),
    b".wh.\xff": (Meaning.GONE, b"\xff"),
    b".wh..wh..opq": (Meaning.OPAQUE, b""),
    b".wh..wh.plnk": (Meaning.NOTHING, b""),
    b".wh..wh.aufs": (Meaning.NOTHING, b""),
}


@pytest.mark.parametrize("name", MEANINGS, ids=repr)
def test_name_of_a_file_says_what_it_stands_for(name: bytes) -> None:
    """A tar archive can only add files, so a layer has to spell a removal as a name; the prefix is aufs's, of Docker's first years."""
    assert parse_whiteout(name) == MEANINGS[name]


@pytest.mark.parametrize("name", [b".wh.", b".wh..", b".wh..."], ids=repr)
def test_whiteout_without_a_name_is_refused(name: bytes) -> None:
    """`.wh..` would remove the directory that it lies in, and `.wh...` the one above: no honest archive says so."""
    with pytest.raises(UnsafeEntry, match="names no file"):
        parse_whiteout(name)


@given(st.text(alphabet="ab.w", min_size=1).filter(lambda name: name not in (".", "..") and not name.startswith(".wh.")))
def test_rendered_whiteout_hides_what_it_was_made_for(name: str) -> None:
    """Writer and reader agree, and only the last name of a path changes."""
    path = render_whiteout(f"etc/{name}")
    assert path.startswith("etc/")
    assert parse_whiteout(path.removeprefix("etc/").encode()) == (Meaning.GONE, name.encode())


STACKS = {
    "one layer": ([[("a", False)]], {"a": 0}),
    "the higher one hides the lower": ([[("a", False)], [("a", False)]], {"a": 0}),
    "both contribute": ([[("a", False)], [("b", False)]], {"a": 0, "b": 1}),
    "gone": ([[("a", True)], [("a", False)]], {}),
    "gone for all layers below": ([[("a", True)], [], [("a", False)]], {}),
    "gone and there again": ([[("a", False)], [("a", True)], [("a", False)]], {"a": 0}),
    "never there": ([[("a", True)]], {}),
    "nothing": ([], {}),
}


@pytest.mark.parametrize("name", STACKS)
def test_highest_layer_that_knows_a_name_decides(name: str) -> None:
    """Going down the stack, the first layer that says anything about a name has the last word, be it a file or a whiteout."""
    layers, shown = STACKS[name]
    assert compute_shown(layers) == shown
