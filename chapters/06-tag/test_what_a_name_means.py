"""Which image is meant: a name means one today and may mean another tomorrow, an id always means the same."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping

import pytest

from minidocker.errors import InvalidParameter
from minidocker.reference.reference import InvalidReference

Resolve = Callable[[str, Mapping[str, str], Collection[str]], str]

OLD, NEW, CAFE = "sha256:" + "1" * 64, "sha256:" + "12" * 32, "sha256:cafe" + "0" * 60
IDS = (OLD, NEW, CAFE)
MANIFEST = "sha256:" + "e" * 64


def test_name_means_what_it_was_given_to_last(resolve_name: Resolve) -> None:
    """One table, one entry: whoever writes last decides, and nobody sees that it ever was different."""
    assert resolve_name("shop:stable", {"docker.io/library/shop:stable": OLD}, IDS) == OLD
    assert resolve_name("shop:stable", {"docker.io/library/shop:stable": NEW}, IDS) == NEW


def test_latest_is_a_name_like_any_other(resolve_name: Resolve) -> None:
    """It means what somebody gave it to, and nothing if nobody did: however new the others are."""
    names = {"docker.io/library/shop:1": OLD, "docker.io/library/shop:2": NEW}
    assert resolve_name("shop", {**names, "docker.io/library/shop:latest": OLD}, IDS) == OLD
    assert resolve_name("shop", names, IDS) == ""


def test_name_is_looked_up_in_its_complete_form(resolve_name: Resolve) -> None:
    """There are many ways to write a name, and one entry."""
    names = {"docker.io/library/shop:latest": NEW}
    assert [resolve_name(text, names, IDS) for text in ("shop", "docker.io/shop", "index.docker.io/library/shop:latest")] == [NEW] * 3
    assert resolve_name("team.example/shop", names, IDS) == ""


def test_digest_says_more_than_a_tag(resolve_name: Resolve) -> None:
    """`shop:1@sha256:…` stays what it was when `shop:1` has moved on. The tag is there for people."""
    names = {"docker.io/library/shop:1": NEW, f"docker.io/library/shop@{MANIFEST}": OLD}
    assert resolve_name(f"shop:1@{MANIFEST}", names, IDS) == OLD
    assert resolve_name(f"shop@{MANIFEST}", names, IDS) == OLD


def test_beginning_of_an_id_is_enough(resolve_name: Resolve) -> None:
    """If only one image has it. Nobody types 64 digits."""
    assert resolve_name("11", {}, IDS) == OLD
    assert resolve_name("sha256:12", {}, IDS) == NEW
    assert resolve_name("3", {}, IDS) == ""


def test_beginning_of_two_ids_is_refused(resolve_name: Resolve) -> None:
    """With `rmi 1`, a guess could take the wrong image away."""
    with pytest.raises(InvalidParameter, match="multiple IDs"):
        resolve_name("1", {}, IDS)


def test_name_comes_before_the_beginning_of_an_id(resolve_name: Resolve) -> None:
    """Otherwise `cafe` would mean something else as soon as somebody builds an unlucky image."""
    assert resolve_name("cafe", {"docker.io/library/cafe:latest": NEW}, IDS) == NEW
    assert resolve_name("cafe", {}, IDS) == CAFE


def test_what_can_only_be_an_id_is_one(resolve_name: Resolve) -> None:
    """`sha256:cafe` could be the tag `cafe` of a repository `sha256`; 64 digits are no name at all."""
    assert resolve_name("sha256:cafe", {"docker.io/library/sha256:cafe": NEW}, IDS) == CAFE
    assert resolve_name("1" * 64, {}, IDS) == OLD


def test_what_is_neither_is_refused(resolve_name: Resolve) -> None:
    """Not the same as "there is none": no pull can help."""
    with pytest.raises(InvalidReference):
        resolve_name("shop:", {}, IDS)
