"""How an archive says that a file is gone: OCI image specification, "Whiteouts"."""

from __future__ import annotations

import pytest

from minidocker.codec.whiteout import Meaning, UnsafeEntry


@pytest.mark.parametrize("name", [b"motd", b".profile", b".wh", b"wh.motd", b"a.wh.b"], ids=repr)
def test_ordinary_name_stands_for_itself(parse_whiteout, name):
    """Nearly all files of a layer are what they seem; only the beginning of a name can make it a sign."""
    assert parse_whiteout(name) == (Meaning.ITSELF, name)


@pytest.mark.parametrize("hidden", [b"motd", b".hidden", b"white.wh.out", b"\xff\xfe"], ids=repr)
def test_prefixed_name_hides_the_name_behind_it(parse_whiteout, hidden):
    """`.wh.motd` says that `motd` is not there any more. Names are bytes: Linux does not ask for UTF-8, and neither may we."""
    assert parse_whiteout(b".wh." + hidden) == (Meaning.GONE, hidden)


def test_opaque_marker_is_about_the_whole_directory(parse_whiteout):
    """`RUN rm -r /var/cache && mkdir /var/cache` empties a directory of a thousand files: one sign instead of a thousand."""
    assert parse_whiteout(b".wh..wh..opq") == (Meaning.OPAQUE, b"")


@pytest.mark.parametrize("name", [b".wh..wh.plnk", b".wh..wh.aufs", b".wh..wh..opqx"], ids=repr)
def test_bookkeeping_of_older_systems_means_nothing(parse_whiteout, name):
    """aufs, on which Docker began, left such files in its layers; old images still carry them, and they hide nothing."""
    assert parse_whiteout(name) == (Meaning.NOTHING, b"")


@pytest.mark.parametrize("name", [b".wh.", b".wh..", b".wh..."], ids=repr)
def test_whiteout_of_no_file_is_refused(parse_whiteout, name):
    """`.wh..` would remove the directory it lies in and `.wh...` the one above: somebody is trying to delete your files."""
    with pytest.raises(UnsafeEntry):
        parse_whiteout(name)


def test_mark_goes_to_the_last_name_of_a_path(render_whiteout):
    """The sign lies in the directory of the file that it hides."""
    assert render_whiteout("motd") == ".wh.motd"
    assert render_whiteout("etc/apt/sources.list") == "etc/apt/.wh.sources.list"


@pytest.mark.parametrize("path", ["motd", "etc/motd", "a/b/.c"])
def test_what_is_written_is_read_again(parse_whiteout, render_whiteout, path):
    """A layer is written by one engine and read by another; if they differ, deleted secrets come back."""
    written = render_whiteout(path).rpartition("/")[2]
    assert parse_whiteout(written.encode()) == (Meaning.GONE, path.rpartition("/")[2].encode())
