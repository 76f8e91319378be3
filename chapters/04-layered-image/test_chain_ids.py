"""The name of a stack of layers: OCI image specification, "Layer ChainID"."""

from __future__ import annotations

import hashlib

import pytest

from minidocker.errors import InvalidParameter

ONE, TWO, THREE = ("sha256:" + digit * 64 for digit in "123")


def _digest(text):
    return "sha256:" + hashlib.sha256(text.encode()).hexdigest()


def test_lowest_layer_is_named_by_its_own_digest(compute_chain_ids):
    """Nothing lies below the first layer, so its digest says it all; an image of one layer shares it with every other."""
    assert compute_chain_ids([ONE]) == (ONE,)


def test_every_layer_gets_a_name(compute_chain_ids):
    """Not only the whole stack has a name: two images with a common base share the directories of that base."""
    assert compute_chain_ids([]) == ()
    assert len(compute_chain_ids([ONE, TWO, THREE])) == 3


def test_name_joins_the_name_below_and_the_digest_with_a_space(compute_chain_ids):
    """The specification fixes the bytes that are hashed, for two engines must come to the same name."""
    assert compute_chain_ids([ONE, TWO]) == (ONE, _digest(f"{ONE} {TWO}"))


def test_third_name_grows_from_the_second_name(compute_chain_ids):
    """Each name contains the one below, and so everything below: three layers need no list of three digests."""
    assert compute_chain_ids([ONE, TWO, THREE])[2] == _digest(_digest(f"{ONE} {TWO}") + f" {THREE}")


def test_equal_tops_on_different_bases_have_different_names(compute_chain_ids):
    """Deleting `/etc/motd` is the same change everywhere, and another result on another base: it must not be shared."""
    assert compute_chain_ids([ONE, TWO, THREE])[2] != compute_chain_ids([TWO, ONE, THREE])[2]


def test_one_layer_too_many_is_refused(compute_chain_ids):
    """mount(2) takes one page of options, and overlayfs wants the names of all layers in it: 127 fit, 128 do not."""
    assert len(compute_chain_ids([ONE] * 127)) == 127
    with pytest.raises(InvalidParameter, match="max depth exceeded"):
        compute_chain_ids([ONE] * 128)
