"""Whose numbers the users of containers get: the words of `--userns-remap`, and the files they are looked up in."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest

from minidocker.codec.idmap import IdRange
from minidocker.errors import InvalidParameter

if sys.platform == "win32":
    pytest.skip("there is no passwd(5)", allow_module_level=True)
from minidocker.engine.remap import find_id_map

ROOT_NAME = "root"


def test_default_reserves_a_range_once(tmp_path: Path) -> None:
    """Docker makes a user for it; the reservation is what matters, and it stays: files on the disk belong to these numbers."""
    (tmp_path / "subuid").write_text("alice:100000:65536")
    first, second = find_id_map("default", etc=tmp_path), find_id_map("default", etc=tmp_path)
    assert first == second
    assert first.uids == (IdRange(0, 165536, 65536),)
    assert first.gids == (IdRange(0, 100000, 65536),), "the two files know nothing of each other"
    assert (tmp_path / "subuid").read_text() == "alice:100000:65536\ndockremap:165536:65536\n"


@pytest.mark.parametrize(
    ("word", "message"),
    [
        ("no-such-user-here", "username lookup"),
        ("4000000001", "has no entry in /etc/passwd"),
        ("0:0", "root cannot be remapped with itself"),
        (ROOT_NAME, "root cannot be remapped with itself"),
    ],
)
def test_word_that_is_nobody_is_refused(tmp_path: Path, word: str, message: str) -> None:
    """A server that silently gave no user namespace would promise a safety that is not there."""
    with pytest.raises(InvalidParameter, match=message):
        find_id_map(word, etc=tmp_path)


@pytest.mark.skipif(not Path("/etc/passwd").exists(), reason="needs a passwd(5)")
def test_user_who_was_lent_nothing_is_told_how(tmp_path: Path) -> None:
    """The hint is the line that is missing; by name or by number, with the group's own range if it has one."""
    import grp
    import pwd

    nobody = next((u for u in pwd.getpwall() if u.pw_uid), None)
    group = next((g for g in grp.getgrall() if g.gr_gid), None)
    if nobody is None or group is None:
        pytest.skip("needs a user and a group besides root")
    word = f"{nobody.pw_uid}:{group.gr_name}"
    with pytest.raises(InvalidParameter, match="no subuid ranges found") as error:
        find_id_map(word, etc=tmp_path)
    assert f"{nobody.pw_name}:100000:65536" in error.value.hint
    (tmp_path / "subuid").write_text(f"{nobody.pw_name}:5000:10\n")
    (tmp_path / "subgid").write_text(f"{group.gr_gid}:7000:10{os.linesep}")
    assert find_id_map(word, etc=tmp_path).root == (5000, 7000)
