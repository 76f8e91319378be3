"""The key of a step: what it depends on, and what it must not."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from minidocker.build.key import KeyParts, compute_key, explain_miss, follow_key

WORDS = st.dictionaries(st.text(max_size=5), st.text(max_size=5), max_size=4)
PARTS = KeyParts(
    parent="p", instruction="RUN make", arguments={"A": "1", "B": "2"}, content={"src": "c1"}, options={"epoch": "0"}
)


@given(arguments=WORDS, content=WORDS)
def test_key_is_the_same_whatever_the_order_of_its_parts(arguments: dict[str, str], content: dict[str, str]) -> None:
    """`--build-arg` may come in any order, and directories list their files in any order."""
    parts = KeyParts(parent="p", instruction="i", arguments=arguments, content=content)
    turned = replace(
        parts, arguments=dict(reversed(arguments.items())), content=dict(reversed(content.items()))
    )
    assert compute_key(turned) == compute_key(parts)


@pytest.mark.parametrize(
    "changes",
    [
        {"parent": "q"}, {"instruction": "RUN make all"}, {"arguments": {"A": "1", "B": "3"}}, {"arguments": {"A": "1"}},
        {"content": {"src": "c2"}}, {"options": {}}, {"arguments": {"A": "1", "B": "2", "src": "c1"}, "content": {}},
    ],
    ids=str,
)  # fmt: skip
def test_key_changes_with_each_part(changes: dict[str, object]) -> None:
    """A part that the key ignores is a result that belongs to another step; nor may a word wander from one part to the next."""
    assert compute_key(replace(PARTS, **changes)) != compute_key(PARTS)  # type: ignore[arg-type]  # a table of fields


def test_key_of_a_state_shows_every_change_before_it() -> None:
    """Each state is named by the one before it, so one change busts all that follows."""
    first, second = follow_key("", "image a"), follow_key("", "image b")
    assert follow_key(first, "step") != follow_key(second, "step")


@pytest.mark.parametrize(
    ("known", "reason"),
    [
        ([], "nothing like it was built before"),
        ([replace(PARTS, parent="q")], "a step before it changed"),
        ([replace(PARTS, content={"src": "c0"})], "content of `src` changed"),
        ([replace(PARTS, arguments={"A": "1"})], "argument `B` is new"),
        ([replace(PARTS, options={})], "option `epoch` is new"),
        ([replace(PARTS, instruction="RUN make it")], "the instruction changed: it was `RUN make it`"),
        ([PARTS], "its result is gone"),
        ([replace(PARTS, parent="q", content={"src": "c0"}), replace(PARTS, content={"src": "c9"})], "content of `src` changed"),
    ],
    ids=[
        "first build", "parent", "content", "argument", "option", "instruction", "pruned", "the nearest of two",
    ],
)  # fmt: skip
def test_explain_miss_names_what_differs_from_the_nearest_step(known: list[KeyParts], reason: str) -> None:
    """"Why did it build that again?" is the question that people ask of a cache."""
    assert explain_miss(PARTS, known) == reason
