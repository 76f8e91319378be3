"""Which names in an archive are taken, and as what: the first of the two guards of `minidocker.image.extract`."""

from __future__ import annotations

import pytest

from minidocker.image.extract import MAX_DEPTH, InvalidArchive, UnsafeEntry


@pytest.mark.parametrize("name", [b"motd", b"etc/motd", b"usr/share/doc/x", b"\xff\xfe/a"], ids=repr)
def test_plain_name_stays_as_it_is(clean, name):
    """Nearly all names are as they should be, and are bytes: Linux does not ask for UTF-8, and neither may we."""
    assert clean(name) == name


@pytest.mark.parametrize("name", [b"./etc/motd", b"etc//motd", b"etc/./motd", b"etc/motd/", b".//./etc/motd/."], ids=repr)
def test_components_that_say_nothing_are_dropped(clean, name):
    """`tar -c .` writes `./` in front of every name. All spellings must be one file, or a whiteout for it would miss."""
    assert clean(name) == b"etc/motd"


@pytest.mark.parametrize("name", [b"/etc/motd", b"///etc/motd"], ids=repr)
def test_absolute_name_begins_at_the_archives_root(clean, name):
    """Some builders write absolute names. They mean the image's root, and must never mean the host's."""
    assert clean(name) == b"etc/motd"


@pytest.mark.parametrize("name", [b"", b".", b"/", b"./", b"/./."], ids=repr)
def test_root_itself_is_the_empty_name(clean, name):
    """A layer may set mode and owner of `/`: the one entry that has no name."""
    assert clean(name) == b""


@pytest.mark.parametrize("name", [b"..", b"../etc/passwd", b"/../etc", b"a/../../etc", b"a/..", b"a/../b", b"./../x"], ids=repr)
def test_name_with_a_way_up_is_refused(clean, name):
    """Even `a/../b`: if `a` is a link, its `..` is not where it seems to be. No honest archive of a tree has such a name."""
    with pytest.raises(UnsafeEntry, match="climbs out"):
        clean(name)


@pytest.mark.parametrize("name", [b"..data", b"a..b", b"...", b"etc/..hidden/x", b"v1.."], ids=repr)
def test_dots_inside_a_name_are_harmless(clean, name):
    """Only a component that is `..` and nothing else goes up; Kubernetes writes `..data` into every volume of settings."""
    assert clean(name) == name


def test_name_of_too_many_levels_is_refused(clean):
    """A directory is opened for every level; an archive may not decide how many. What says nothing does not count."""
    assert clean(b"./" * MAX_DEPTH + b"/".join([b"a"] * MAX_DEPTH)) == b"/".join([b"a"] * MAX_DEPTH)
    with pytest.raises(InvalidArchive, match="levels"):
        clean(b"/".join([b"a"] * (MAX_DEPTH + 1)))
