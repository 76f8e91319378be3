"""Names of containers: given by people, or made up."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from minidocker.container.names import compose_name, parse_container_name
from minidocker.errors import InvalidParameter


@given(st.integers(min_value=0, max_value=2**32), st.integers(min_value=0, max_value=3))
def test_made_up_name_is_a_name(seed: int, retry: int) -> None:
    """An adjective and a person, the same for the same number; what is made up must be what may be given."""
    name = compose_name(seed, retry=retry)
    assert parse_container_name(name) == name == compose_name(seed, retry=retry)
    assert name.count("_") == 1


def test_slash_of_the_remote_api_is_no_part_of_the_name() -> None:
    """`docker inspect` shows `/web`; people paste that."""
    assert parse_container_name("/web") == "web"


@pytest.mark.parametrize("text", ["", "a", "-web", "a b", "ü1", "a/b", "//web"])
def test_name_with_other_characters_is_refused(text: str) -> None:
    """It becomes a host name and a word in URLs; Docker wants two characters at least."""
    with pytest.raises(InvalidParameter, match="only"):
        parse_container_name(text)
