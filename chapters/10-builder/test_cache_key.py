"""The key of a step of a build."""

from __future__ import annotations

import pytest

from minidocker.build.key import KeyParts

PARTS = {
    "parent": "the state before", "instruction": "RUN make", "arguments": {"VERSION": "1", "DEBUG": "0"},
    "content": {"src": "digest of src"}, "options": {"network": "none"},
}  # fmt: skip


def _parts(**changes):
    return KeyParts(**{**PARTS, **changes})


def test_equal_parts_have_equal_keys(compute_key):
    """Whoever asks, and whenever: the clock and the machine are not among the parts."""
    key = compute_key(_parts())
    assert key == compute_key(_parts())
    assert len(key) == 64


@pytest.mark.parametrize("changes", [{"parent": "another"}, {"instruction": "RUN make all"}, {"content": {"src": "other"}}, {"options": {}}], ids=str)
def test_each_part_changes_the_key(compute_key, changes):
    """A part that does not count gives a result that belongs to another step."""
    assert compute_key(_parts(**changes)) != compute_key(_parts())


def test_arguments_change_the_key(compute_key):
    """RUN has every ARG in its environment, whether it looks or not."""
    assert compute_key(_parts(arguments={"VERSION": "2", "DEBUG": "0"})) != compute_key(_parts())


def test_order_of_arguments_does_not_matter(compute_key):
    """`--build-arg A --build-arg B` is the same build as the other way round."""
    assert compute_key(_parts(arguments={"DEBUG": "0", "VERSION": "1"})) == compute_key(_parts())


def test_a_word_means_something_else_in_another_part(compute_key):
    """An argument called `src` is no file called `src`."""
    first = compute_key(_parts(arguments={"src": "x"}, content={}))
    second = compute_key(_parts(arguments={}, content={"src": "x"}))
    assert first != second
