"""Cpio archives: what the kernel, and the program `cpio`, read back."""

from __future__ import annotations

import shutil
import stat
import subprocess
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from minidocker.machine.cpio import END_OF_ARCHIVE, render_member

NAMES = st.text(st.characters(codec="utf-8", exclude_characters="\0/"), min_size=1, max_size=60)
TREES = st.dictionaries(NAMES.map(str.encode), st.binary(max_size=200), max_size=6)


def parse_members(archive: bytes) -> list[tuple[bytes, int, bytes]]:
    """Read an archive as the kernel does: (name, mode, content) until the trailer."""
    members: list[tuple[bytes, int, bytes]] = []
    place = 0
    while True:
        assert archive[place : place + 6] == b"070701"
        numbers = [int(archive[place + 6 + 8 * n : place + 14 + 8 * n], 16) for n in range(13)]
        start = place + 110
        name = archive[start : start + numbers[11] - 1]
        assert archive[start + numbers[11] - 1] == 0
        data = start + numbers[11] + -(110 + numbers[11]) % 4
        content = archive[data : data + numbers[6]]
        place = data + numbers[6] + -numbers[6] % 4
        if name == b"TRAILER!!!":
            assert not archive[place:].strip(b"\0")
            return members
        members.append((name, numbers[1], content))


@given(TREES)
def test_archive_reads_back_as_it_was_written(tree: dict[bytes, bytes]) -> None:
    """Whatever names and contents: each is padded to four bytes, and none runs into the next."""
    archive = b"".join(render_member(name, inode=n, mode=stat.S_IFREG | 0o644, content=data) for n, (name, data) in enumerate(tree.items()))
    assert parse_members(archive + END_OF_ARCHIVE) == [(name, stat.S_IFREG | 0o644, data) for name, data in tree.items()]


@given(TREES)
def test_archives_can_follow_each_other(tree: dict[bytes, bytes]) -> None:
    """The kernel looks for the next archive at a multiple of four bytes; ours end at a whole block."""
    archive = b"".join(render_member(name, inode=1, mode=stat.S_IFREG, content=data) for name, data in tree.items())
    assert len(archive) % 4 == 0
    assert len(END_OF_ARCHIVE) % 512 == 0


@pytest.mark.parametrize("name", [b"", b"a\0b"], ids=["empty", "with-nul"])
def test_name_that_the_format_cannot_hold_is_refused(name: bytes) -> None:
    """A name ends at its NUL: with one inside, a reader would see another name."""
    with pytest.raises(ValueError, match="named"):
        render_member(name, inode=1, mode=stat.S_IFREG)


@pytest.mark.requires("cpio")
def test_program_cpio_unpacks_what_we_write(tmp_path: Path) -> None:
    """Nobody here wrote that program: files, directories and links are what it says they are."""
    archive = b"".join(
        (
            render_member(b"d", inode=1, mode=stat.S_IFDIR | 0o750), render_member(b"d/f", inode=2, mode=stat.S_IFREG | 0o640, content=b"text"),
            render_member(b"d/l", inode=3, mode=stat.S_IFLNK | 0o777, content=b"f"), END_OF_ARCHIVE,
        )
    )  # fmt: skip
    program = shutil.which("cpio")
    assert program is not None
    done = subprocess.run([program, "-id", "--quiet", "--no-absolute-filenames"], input=archive, cwd=tmp_path, capture_output=True, check=False)
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "d/l").readlink() == Path("f")
    assert (tmp_path / "d/l").read_bytes() == b"text"
    assert stat.S_IMODE((tmp_path / "d").stat().st_mode) == 0o750
