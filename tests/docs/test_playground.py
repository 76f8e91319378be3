"""What pages say to a text that a reader changes, without a browser; and that drawings hold what the code's tables hold."""

from __future__ import annotations

import re
import xml.etree.ElementTree as ElementTree

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chapters.manifest import read_exercises
from docs.web import classroom
from docs.web.diagrams import DRAWINGS, read_figures
from docs.web.playground import KINDS, show
from minidocker.container.record import TRANSITIONS


def cells(page: str) -> list[str]:
    """Return the text of every cell of the tables on *page*."""
    return re.findall(r"<td[^>]*>(.*?)</td>", page)


@pytest.mark.parametrize("kind", sorted(set(KINDS) - {"container"}))
@given(text=st.text(max_size=60))
def test_no_text_is_a_traceback(kind: str, text: str) -> None:
    """Whatever is typed, on the way to something sensible, gets an answer; what is shown of it is escaped."""
    page = show(kind, text)
    assert "<script" not in page.lower()


@pytest.mark.parametrize("words", ["--memory", "toolbox", "-v /a toolbox", "--nosuch toolbox", "'", ""], ids=str)
def test_unfinished_command_line_gets_the_error_of_a_terminal(words: str) -> None:
    """One is always in the middle of a word."""
    assert "<pre" in show("container", f"minidocker run {words}")


def test_markup_in_a_text_is_shown_as_it_is() -> None:
    """The page is built from what the reader wrote, who may write HTML."""
    assert "<b>" not in show("layers", "<b>base\n+ <b>") + show("dockerfile", "FROM <b>") + show("references", "<b>")


def test_change_of_a_file_moves_the_keys_from_its_copy_on() -> None:
    """As in the builder: a key holds the key before it, and the digests of what is read."""
    text = "# file app.py one\nFROM a\nRUN x\nCOPY app.py .\nRUN y\nFROM a\nRUN z\n"
    before, after = (cells(show("dockerfile", version)) for version in (text, text.replace("one", "two")))
    assert [b for a, b in zip(before, after, strict=True) if a != b] == [cell for cell in after if cell in after and cell not in before]
    steps = [after[place - 1] for place, (a, b) in enumerate(zip(before, after, strict=True)) if a != b]
    assert steps == ["COPY app.py .", "RUN y"]


def test_linked_copy_does_not_look_at_what_is_below() -> None:
    """`COPY --link` keeps its key when a step before it changes; the state after it changes all the same."""
    text = "FROM a\nRUN x\nCOPY --link f .\nRUN y\n"
    before, after = (cells(show("dockerfile", version)) for version in (text, text.replace("RUN x", "RUN other")))
    changed = [after[place - 1] for place, (a, b) in enumerate(zip(before, after, strict=True)) if a != b and re.fullmatch("[0-9a-f]{16}", b)]
    assert changed == ["RUN other", "RUN y"]


def test_argument_is_in_the_key_of_the_runs_that_see_it() -> None:
    """A build with another `--build-arg` runs again what has the argument in its environment."""
    text = "FROM a\nRUN x\nARG V=1\nRUN y\n"
    before, after = (cells(show("dockerfile", version)) for version in (text, text.replace("V=1", "V=2")))
    changed = [after[place - 1] for place, (a, b) in enumerate(zip(before, after, strict=True)) if a != b and re.fullmatch("[0-9a-f]{16}", b)]
    assert changed == ["RUN y"]


def test_stage_that_nobody_needs_is_skipped() -> None:
    """Only what the last stage reads from, directly or not, is built."""
    assert "skipped: nothing needs it" in show("dockerfile", "FROM a AS x\nFROM b\n")
    assert "skipped" not in show("dockerfile", "FROM a AS x\nFROM b\nCOPY --from=x /f /f\n")


def test_whiteout_hides_and_wastes() -> None:
    """The archive of the second layer holds a whiteout; the file below it still travels."""
    page = show("layers", "one\n+ a\n+ b\ntwo\n- a")
    assert cells(page)[-4:] == ["/.wh.a", "—", "/a", "/b"]
    assert "1 of the files in them are never seen again" in page


def test_rule_that_decided_is_named() -> None:
    """The last rule that fits wins, and one below an ignored directory has no say of its own."""
    assert cells(show("ignore", "*\n!a\n---\na\nb"))[1::3] == ["is sent", "stays here"]


def test_frames_come_out_as_they_went_in() -> None:
    """However the connection cuts them."""
    assert "stdout &#x27;a\\n&#x27;" in show("frames", "stdout a\nstderr b")


@pytest.mark.parametrize("name", DRAWINGS)
def test_drawing_is_well_formed_and_has_a_name(name: str) -> None:
    """SVG that a browser draws, and a sentence for who cannot see it."""
    root = ElementTree.fromstring(DRAWINGS[name]())
    assert root.get("role") == "img"
    assert len(root.get("aria-label") or "") > 20


def test_drawing_of_states_has_an_arrow_for_every_change() -> None:
    """Made from the table that `move_state` obeys; nothing is drawn by hand."""
    changes = sum(len(ends) for ends in TRANSITIONS.values())
    assert DRAWINGS["states"]().count('class="line"') == changes


def test_exercise_in_a_page_starts_with_the_question_alone() -> None:
    """Signature, docstring and the refusal: no line of the answer, and no module around it."""
    exercise = read_exercises()["chain-ids"]
    question = classroom.compute_question(exercise)
    assert question.startswith("def compute_chain_ids(")
    assert "raise NotImplementedError" in question
    assert "not written yet" in classroom.check("chain-ids", question)


MISTAKES = {
    "no-python": ("def compute_chain_ids(", "Python cannot read this"),
    "gone": ("x = 1", "there is no function `compute_chain_ids` any more"),
    "raises": ("def compute_chain_ids(diff_ids):\n    return 1 / 0\n", "0 of"),
}


@pytest.mark.parametrize(("text", "sentence"), MISTAKES.values(), ids=MISTAKES)
def test_mistake_in_an_answer_is_a_sentence(text: str, sentence: str) -> None:
    """As on the command line: never a traceback of ours."""
    page = classroom.check("chain-ids", text)
    assert sentence in page
    assert "Traceback" not in page


def test_figures_are_read_from_the_tables_of_their_page() -> None:
    """A drawing that somebody keeps by hand would be true for a day."""
    text = "## Start\n\n| | median | ours takes | aim |\n|---|---|---|---|\n| ours | 1 ms | | |\n| `runc` | 2 ms | 0.50 × | ≤ 1.00 × |\n"
    [figure] = read_figures(text)
    assert (figure.work, figure.against, figure.ratio, figure.aim, figure.is_ceiling) == ("Start", "runc", 0.5, 1.0, True)
    assert DRAWINGS["figures"]().count("<rect") >= 10
