"""What may stand in an address."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from minidocker.registry.names import is_digest, is_repository, is_tag, require_digest, require_repository
from minidocker.registry.protocol import RegistryError

REPOSITORIES = {
    "app": True, "team/app": True, "a/b/c/d": True, "a.b": True, "a__b": True, "a---b": True, "0": True, "x" * 255: True,
    "": False, "/a": False, "a/": False, "a//b": False, "A": False, "a..b": False, "a___b": False, ".a": False, "-a": False, "_a": False,
    "a/_tags/x": False, "../x": False, "a/../b": False, "a\n": False, "x" * 256: False, "ä": False,
}  # fmt: skip


@pytest.mark.parametrize(("text", "valid"), REPOSITORIES.items(), ids=repr)
def test_repository_is_a_path_of_components(text: str, valid: bool) -> None:
    """It becomes a directory: nothing that climbs, hides or collides with our own names in it may pass."""
    assert is_repository(text) is valid


@pytest.mark.parametrize(("text", "valid"), {"latest": True, "v1.0-x_y": True, "_a": True, "1" * 128: True, "": False, ".a": False,
                                             "-a": False, "a/b": False, "a:b": False, "1" * 129: False, "a\n": False}.items(), ids=repr)  # fmt: skip
def test_tag_is_a_file_name(text: str, valid: bool) -> None:
    """It never begins with a dot: that is how our unfinished files are called."""
    assert is_tag(text) is valid


@pytest.mark.parametrize(
    "text", ["sha256:../../x", "sha256:" + "a" * 63, "sha256:" + "A" * 64, "sha512:" + "a" * 64, "md5:" + "a" * 32, "a" * 64, "sha256:" + "a" * 64 + "\n"],
)  # fmt: skip
def test_digest_that_could_be_a_path_is_none(text: str) -> None:
    """CVE-2024-3727: digests became names of files without having been looked at."""
    assert not is_digest(text)
    with pytest.raises(RegistryError) as caught:
        require_digest(text)
    assert (caught.value.code, caught.value.status) == ("DIGEST_INVALID", 400)


@given(st.text())
def test_name_that_passes_stays_below_its_directory(text: str) -> None:
    """Whatever is typed, a valid name has no component that means something else to a file system."""
    if is_repository(text):
        assert all(part not in ("", ".", "..") and part[0] not in "._-" for part in text.split("/"))
    else:
        with pytest.raises(RegistryError, match="invalid repository name"):
            require_repository(text)
