"""What people leave out of a name: where the image lives, and whose it is."""

from __future__ import annotations

from collections.abc import Callable

import pytest

Split = Callable[[str], tuple[str, str]]


def test_single_word_is_an_official_image(split_domain: Split) -> None:
    """Docker Hub keeps them below `library`. A tag has a colon too, and makes no machine of the word."""
    assert split_domain("alpine") == ("docker.io", "library/alpine")
    assert split_domain("alpine:3.19") == ("docker.io", "library/alpine:3.19")


def test_two_words_are_somebodys_image_on_docker_hub(split_domain: Split) -> None:
    """`team` is no machine: a machine in your network of this name never gets to see the request."""
    assert split_domain("team/app") == ("docker.io", "team/app")
    assert split_domain("team/sub/app") == ("docker.io", "team/sub/app")


def test_dot_behind_the_slash_says_nothing(split_domain: Split) -> None:
    """Versions have dots, and tags have colons."""
    assert split_domain("team/app:1.4") == ("docker.io", "team/app:1.4")


@pytest.mark.parametrize("domain", ["team.example", "team:5000", "192.0.2.1:5000", "[::1]:5000", "localhost", "Team"])
def test_word_that_can_be_no_owner_is_a_machine(split_domain: Split, domain: str) -> None:
    """A dot, a colon, `localhost`, or capital letters: no account on Docker Hub has these."""
    assert split_domain(f"{domain}/app") == (domain, "app")


def test_docker_hub_may_be_written_out(split_domain: Split) -> None:
    """The long form means the same as the short one, or one image would have two names."""
    assert split_domain("docker.io/alpine") == ("docker.io", "library/alpine")
    assert split_domain("docker.io/team/app") == ("docker.io", "team/app")


def test_first_name_of_docker_hub_means_it_still(split_domain: Split) -> None:
    """Old scripts have it."""
    assert split_domain("index.docker.io/alpine") == ("docker.io", "library/alpine")
    assert split_domain("index.docker.io/team/app") == ("docker.io", "team/app")
