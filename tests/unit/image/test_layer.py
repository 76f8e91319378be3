"""The identity of layers."""

from __future__ import annotations

import hashlib

import pytest

from minidocker.errors import InvalidParameter
from minidocker.image.layer import MAX_LAYERS, compute_chain_ids, layer_name

ONE, TWO = "sha256:" + "1" * 64, "sha256:" + "2" * 64


def test_chain_id_depends_on_everything_below() -> None:
    """The same changes on another base are another result, so they must not share a directory."""
    expected = "sha256:" + hashlib.sha256(f"{ONE} {TWO}".encode()).hexdigest()
    assert compute_chain_ids([ONE, TWO]) == (ONE, expected)
    assert compute_chain_ids([TWO, ONE])[1] != expected


def test_most_layers_and_one_more() -> None:
    """All directories must fit into one page of mount options; Docker's limit and text are the same."""
    assert len(compute_chain_ids([ONE] * MAX_LAYERS)) == MAX_LAYERS
    with pytest.raises(InvalidParameter, match="max depth exceeded"):
        compute_chain_ids([ONE] * (MAX_LAYERS + 1))


def test_options_of_the_tallest_stack_fit_into_a_page() -> None:
    """With relative names for all directories, whatever the data root is called."""
    container = "../containers/" + "f" * 64
    lower = ":".join(f"{layer_name(ONE)}/diff" for _ in range(MAX_LAYERS))
    assert len(f"lowerdir={lower},upperdir={container}/upper,workdir={container}/work") < 4096
