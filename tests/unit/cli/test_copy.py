"""`cp`, the half that decides and the half that touches local files."""

from __future__ import annotations

import io
import os
from pathlib import Path

import pytest

from minidocker.cli.copy import Place, plan_copy, split_container_path
from minidocker.client.local_files import pack, unpack
from minidocker.codec.tar import END_OF_ARCHIVE, Kind, TarEntry, TarReader, render_header, render_padding
from minidocker.errors import InvalidParameter, MinidockerError

PATHS = {
    "container": ("web:/etc/hosts", ("web", "/etc/hosts")),
    "relative in the container": ("web:etc", ("web", "etc")),
    "local": ("/tmp/x", ("", "/tmp/x")),
    "local with a colon": ("./a:b", ("", "./a:b")),
    "absolute with a colon": ("/a:b", ("", "/a:b")),
    "standard output": ("-", ("", "-")),
}


@pytest.mark.parametrize(("text", "expected"), PATHS.values(), ids=PATHS)
def test_container_path_is_told_from_a_local_one(text: str, expected: tuple[str, str]) -> None:
    """Docker's rule: what stands before the first colon is a container, unless the path is plainly local."""
    assert split_container_path(text) == expected


FILE, DIRECTORY = Place("/s/name", exists=True, is_directory=False), Place("/s/name", exists=True, is_directory=True)
PLANS = {
    "file into a directory": (FILE, Place("/d", exists=True, is_directory=True), ("/d", "")),
    "directory into a directory": (DIRECTORY, Place("/d", exists=True, is_directory=True), ("/d", "")),
    "file over a file": (FILE, Place("/d/f", exists=True, is_directory=False), ("/d", "f")),
    "file to a new name": (FILE, Place("/d/f", exists=False, is_directory=False), ("/d", "f")),
    "directory to a new name": (DIRECTORY, Place("/d/new/", exists=False, is_directory=False), ("/d", "new")),
    "relative new name": (FILE, Place("f", exists=False, is_directory=False), (".", "f")),
    "directory over a file": (DIRECTORY, Place("/d/f", exists=True, is_directory=False), InvalidParameter),
    "file into a directory that is not there": (FILE, Place("/d/", exists=False, is_directory=False), InvalidParameter),
}


@pytest.mark.parametrize(("source", "target", "expected"), PLANS.values(), ids=PLANS)
def test_copy_is_planned_like_cp(source: Place, target: Place, expected: tuple[str, str] | type[MinidockerError]) -> None:
    """The table of the documentation of `docker cp`, line by line."""
    if isinstance(expected, tuple):
        assert plan_copy(source, target) == expected
    else:
        with pytest.raises(expected):
            plan_copy(source, target)


def test_files_come_back_as_they_went(tmp_path: Path) -> None:
    """Packing and unpacking are inverse: content, modes, links, whole seconds."""
    source = tmp_path / "source"
    (source / "sub").mkdir(parents=True)
    (source / "sub/file").write_bytes(b"x" * 300_000)
    (source / "sub/file").chmod(0o640)
    os.utime(source / "sub/file", (7, 7))
    (source / "link").symlink_to("sub/file")
    os.link(source / "sub/file", source / "sub/second")
    (source / "sub").chmod(0o555)
    reader = TarReader(io.BytesIO(b"".join(pack(str(source), "source"))))
    unpack(reader, str(tmp_path), old_name="source", new_name="copy")
    copy = tmp_path / "copy"
    assert (copy / "sub/file").read_bytes() == b"x" * 300_000
    assert (copy / "sub/file").stat().st_mode & 0o7777 == 0o640
    assert (copy / "sub/file").stat().st_mtime == 7
    assert os.readlink(copy / "link") == "sub/file"
    assert os.path.samefile(copy / "sub/file", copy / "sub/second")
    assert (copy / "sub").stat().st_mode & 0o777 == 0o555
    for path in (source / "sub", copy / "sub"):
        path.chmod(0o755)


HOSTILE = {
    "parent": [TarEntry(name=b"../outside/secret", size=4)],
    "through a link of its own": [
        TarEntry(name=b"a/link", kind=Kind.SYMLINK, link_name=b"../../outside"), TarEntry(name=b"a/link/secret", size=4)
    ],
    "hard link outside": [TarEntry(name=b"a/x", kind=Kind.HARD_LINK, link_name=b"../outside/secret"), TarEntry(name=b"a/x", size=4)],
    "file over a directory": [TarEntry(name=b"a/sub", kind=Kind.DIRECTORY), TarEntry(name=b"a/sub", size=4)],
}  # fmt: skip


@pytest.mark.parametrize("entries", HOSTILE.values(), ids=HOSTILE)
def test_hostile_archive_writes_nothing_outside(tmp_path: Path, entries: list[TarEntry]) -> None:
    """The files of a container are its own business; on this machine they stay where the user asked for them."""
    (tmp_path / "outside").mkdir()
    (tmp_path / "outside/secret").write_text("mine")
    (tmp_path / "here").mkdir()
    content = b"".join(render_header(e) + b"evil"[: e.size] + render_padding(e.size) for e in entries) + END_OF_ARCHIVE
    with pytest.raises(MinidockerError):
        unpack(TarReader(io.BytesIO(content)), str(tmp_path / "here"), old_name="a", new_name="a")
    assert (tmp_path / "outside/secret").read_text() == "mine"
    assert os.listdir(tmp_path / "outside") == ["secret"]
