"""A new edition of the book under a half-written answer: both come together, or the answer stays as it is."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chapters import update
from chapters.commands import main
from chapters.manifest import require_exercise
from chapters.merge import merge_lines
from chapters.update import compute_update
from chapters.variant import compute_source

LINES = st.lists(st.sampled_from([b"a\n", b"b\n", b"c\n", b"d\n"]), max_size=8)

START = b"import os\n\n\ndef asked(a):\n    '''Question.'''\n    raise NotImplementedError\n\n\ndef other():\n    return 1\n"
ANSWER = START.replace(b"    raise NotImplementedError\n", b"    # mine\n    return a\n")
NEW = START.replace(b"import os\n", b"import os\nimport sys\n").replace(b"Question.", b"A better question.")


@given(LINES, LINES)
def test_change_on_one_side_is_taken(base: list[bytes], changed: list[bytes]) -> None:
    """Who changed nothing wants what the other one changed; the same change on both sides is one change."""
    assert merge_lines(base, changed, base) == changed
    assert merge_lines(base, base, changed) == changed
    assert merge_lines(base, changed, changed) == changed


@given(LINES, LINES, LINES)
def test_sides_are_of_equal_right(base: list[bytes], left: list[bytes], right: list[bytes]) -> None:
    """Which one is called mine matters for nothing."""
    assert merge_lines(base, left, right) == merge_lines(base, right, left)


def test_changes_at_different_places_come_together() -> None:
    """An import at the top and a function at the end have nothing to do with each other."""
    base = [b"1\n", b"2\n", b"3\n", b"4\n"]
    assert merge_lines(base, [b"0\n", *base], [*base, b"5\n"]) == [b"0\n", *base, b"5\n"]
    assert merge_lines(base, [b"x\n", *base[1:]], [b"y\n", *base[1:]]) is None


def test_answer_is_carried_into_the_new_edition() -> None:
    """The usual case: only the body was written, and it goes wherever the function is now."""
    assert compute_update(START, ANSWER, NEW, ("asked",)) == NEW.replace(b"    raise NotImplementedError\n", b"    # mine\n    return a\n")
    moved = NEW.replace(b"def other", b"def asked").replace(b"def asked(a)", b"def other2(a)")
    assert b"# mine\n" in (compute_update(START, ANSWER, moved, ("asked",)) or b"")


def test_what_was_written_around_the_answer_is_kept() -> None:
    """A helper and an import of the learner's own are part of the answer."""
    mine = ANSWER + b"\n\ndef helper():\n    return 2\n"
    merged = compute_update(START, mine, START.replace(b"import os\n", b"import os\nimport sys\n"), ("asked",))
    assert merged == mine.replace(b"import os\n", b"import os\nimport sys\n")


CONFLICTS = {
    "both changed one line": (ANSWER.replace(b"return 1", b"return 2"), NEW.replace(b"return 1", b"return 3")),
    "learner's file cannot be read": (ANSWER + b"def (\n", NEW),
    "function is gone from the book": (ANSWER, NEW.replace(b"def asked", b"def wanted")),
}


@pytest.mark.parametrize("name", CONFLICTS)
def test_conflict_is_never_guessed(name: str) -> None:
    """A wrong merge is worse than none."""
    mine, new = CONFLICTS[name]
    assert compute_update(START, mine, new, ("asked",)) is None


@pytest.fixture
def copy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An exercise that was begun, and whose module has changed since."""
    monkeypatch.setenv("MINIDOCKER_WORK", str(tmp_path / "work"))
    assert main(["start", "chain-ids"]) == 0
    exercise = require_exercise("chain-ids")
    source = compute_source(exercise, "minidocker.image.layer", "start")
    changed = source.replace(b"MAX_LAYERS: Final = 127", b"MAX_LAYERS: Final = 128")
    assert changed != source
    monkeypatch.setattr(update, "compute_source", lambda *_: changed)
    return tmp_path / "work/chain-ids/layer.py"


def test_update_keeps_the_answer_and_the_old_version(copy: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Nothing is lost whatever becomes of it: the file as it was lies beside."""
    mine = copy.read_bytes().replace(b"    raise NotImplementedError", b"    return ()  #")
    copy.write_bytes(mine)
    assert main(["update"]) == 0
    assert b"MAX_LAYERS: Final = 128" in copy.read_bytes()
    assert b"    return ()  #" in copy.read_bytes()
    assert copy.with_name("layer.py.1.bak").read_bytes() == mine
    assert "is up to date" in capsys.readouterr().out
    assert main(["update", "chain-ids"]) == 0
    assert not copy.with_name("layer.py.2.bak").exists()


def test_update_that_cannot_be_made_changes_nothing(copy: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Both files are there, and a sentence says which is which."""
    mine = copy.read_bytes().replace(b"MAX_LAYERS: Final = 127", b"MAX_LAYERS: Final = 2")
    copy.write_bytes(mine)
    assert main(["update"]) == 1
    assert copy.read_bytes() == mine
    assert b"Final = 128" in copy.with_name("layer.py.new").read_bytes()
    assert "your file stays" in capsys.readouterr().out
