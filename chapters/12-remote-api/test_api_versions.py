"""The version in the path of a request: Docker Engine API, "Versioning"."""

from __future__ import annotations

import pytest

from minidocker.api.router import LATEST, OLDEST
from minidocker.errors import InvalidParameter


def test_prefix_is_split_from_the_path(split_version):
    """`/v1.44/info` asks for `/info` in the language of 1.44, whatever the server speaks besides."""
    assert split_version("/v1.44/containers/json") == ((1, 44), "/containers/json")
    assert split_version("/v1.24/info") == ((1, 24), "/info")


def test_path_without_a_prefix_stays_whole(split_version):
    """`curl` types less. And a container may have a name that looks like a version."""
    assert split_version("/containers/json") == (None, "/containers/json")
    assert split_version("/containers/v1.44/json") == (None, "/containers/v1.44/json")


@pytest.mark.parametrize("version", [OLDEST, (1, 30), LATEST], ids=str)
def test_range_of_versions_is_accepted(split_version, require_supported, version):
    """Old clients live long: a server speaks every version between its oldest and its newest."""
    found, _ = split_version(f"/v{version[0]}.{version[1]}/info")
    assert require_supported(found) is None


@pytest.mark.parametrize("version", [(1, 5), (1, 9), (1, 100)], ids=str)
def test_versions_are_compared_as_numbers(require_supported, version):
    """1.9 is older than 1.24, and 1.100 newer than 1.50; as texts it would be the other way round."""
    with pytest.raises(InvalidParameter, match="too old" if version < OLDEST else "too new"):
        require_supported(version)


def test_refusal_says_too_new_or_too_old(require_supported):
    """The words are Docker's: people search for them and scripts match them, and the number says what to do."""
    with pytest.raises(InvalidParameter, match=rf"client version 1\.99 is too new\. Maximum supported API version is {LATEST[0]}\.{LATEST[1]}"):
        require_supported((1, 99))
    with pytest.raises(InvalidParameter, match=rf"client version 1\.1 is too old\. Minimum supported API version is {OLDEST[0]}\.{OLDEST[1]}"):
        require_supported((1, 1))
