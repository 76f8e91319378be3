"""The learner's tool, as a learner uses it: every mistake gets one sentence, and nothing of theirs is lost."""

from __future__ import annotations

import io
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest

from chapters.commands import main
from chapters.manifest import require_exercise
from chapters.stub import replace_functions

CHECKOUT = Path(__file__).resolve().parents[2]
EXERCISE = require_exercise("chain-ids")
SOLUTION = EXERCISE.targets[0].path.read_bytes()
Tool = Callable[..., "Answer"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """What a command printed, and its exit status."""

    status: int
    text: str


@pytest.fixture
def work(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The learner's directory."""
    monkeypatch.setenv("MINIDOCKER_WORK", str(tmp_path / "work"))
    return tmp_path / "work"


@pytest.fixture
def tool(work: Path, capfd: pytest.CaptureFixture[str]) -> Tool:
    """Run a command: in this process, or in one of its own if it runs tests."""

    def run(*words: str, runs_tests: bool = True) -> Answer:
        if words[0] == "check" and runs_tests:
            result = subprocess.run([sys.executable, "-m", "chapters", *words], cwd=CHECKOUT, capture_output=True, text=True, check=False, timeout=120)
            return Answer(status=result.returncode, text=result.stdout + result.stderr)
        status = main(list(words))
        captured = capfd.readouterr()
        return Answer(status=status, text=captured.out + captured.err)

    return run


@pytest.fixture
def copy(tool: Tool, work: Path) -> Path:
    """The learner's copy of an exercise that was just begun."""
    tool("start", EXERCISE.id)
    return work / EXERCISE.id / "layer.py"


def mutate(name: str) -> bytes:
    """Return a wrong solution."""
    return replace_functions(SOLUTION, EXERCISE.mutant_path(name).read_bytes())


def test_begun_exercise_is_a_copy_without_the_answer(copy: Path) -> None:
    """The whole module is there to be read, with one body missing; our own source is never touched."""
    text = copy.read_text()
    assert "raise NotImplementedError" in text
    assert "def layer_name" in text
    assert "max depth exceeded" not in text
    assert EXERCISE.targets[0].path.read_bytes() == SOLUTION


def test_beginning_twice_keeps_what_was_written(tool: Tool, copy: Path) -> None:
    """`start` is safe to repeat."""
    copy.write_text("# my work\n")
    answer = tool("start", EXERCISE.id)
    assert answer.status == 0
    assert "stays as it is" in answer.text
    assert copy.read_text() == "# my work\n"


def test_empty_stub_fails_and_says_what_is_wanted(tool: Tool, copy: Path) -> None:
    """The first check shows the list of sentences that the function has to make true."""
    answer = tool("check")
    assert answer.status == 1
    assert "not written yet" in answer.text
    assert "0 of 6 tests pass, 0 of 10 points" in answer.text


def test_solution_passes_and_leads_on(tool: Tool, copy: Path, work: Path) -> None:
    """Exit status 0, the progress is kept, and the next exercise is named."""
    copy.write_bytes(SOLUTION)
    answer = tool("check", EXERCISE.id)
    assert answer.status == 0, answer.text
    assert "6 of 6 tests pass, 10 of 10 points" in answer.text
    assert "next: python3 -m chapters start" in answer.text
    assert json.loads((work / "progress.json").read_text())["exercises"][EXERCISE.id]["solved"]
    assert "solved  chain-ids" in tool("list").text


@pytest.mark.parametrize("mutant", EXERCISE.mutants, ids=lambda mutant: mutant.name)
def test_known_mistake_leads_to_the_hint_for_it(tool: Tool, copy: Path, mutant: object) -> None:
    """The tests that fail are the signature of a belief, and the hint is about the belief."""
    [known] = [m for m in EXERCISE.mutants if m is mutant]
    copy.write_bytes(mutate(known.name))
    checked = tool("check")
    assert checked.status == 1
    assert "well-known misunderstanding" in checked.text
    hint = tool("hint").text
    assert known.misconception.split()[0] in hint
    assert f"hint {known.hint} of 3" in hint


def test_hints_come_one_after_the_other(tool: Tool, copy: Path) -> None:
    """A nudge, a pointer, an example; the last one again after that, and any one by its number."""
    assert [tool("hint").text.splitlines()[0] for _ in range(4)] == [
        "hint 1 of 3 (nudge)", "hint 2 of 3 (pointer)", "hint 3 of 3 (example)", "hint 3 of 3 (example)",
    ]  # fmt: skip
    assert "hint 1 of 3" in tool("hint", EXERCISE.id, "1").text


def test_reset_keeps_the_old_version(tool: Tool, copy: Path) -> None:
    """Every version that was thrown away is still there, under a number."""
    stub = copy.read_bytes()
    for number in (1, 2):
        copy.write_text(f"# version {number}\n")
        assert f"layer.py.{number}.bak" in tool("reset").text
        assert copy.read_bytes() == stub
    assert [(copy.parent / f"layer.py.{n}.bak").read_text() for n in (1, 2)] == ["# version 1\n", "# version 2\n"]


BAD_FILES: dict[str, tuple[Callable[[bytes], bytes], str]] = {
    "empty": (lambda _: b"", "is empty"),
    "syntax error": (lambda s: s.replace(b"    chain_ids:", b"    chain_ids: list[str = []\n    x:"), "Python cannot read this"),
    "bad indentation": (lambda s: s.replace(b"    chain_ids:", b"   chain_ids:"), "Python cannot read this"),
    "deleted function": (lambda s: s.replace(b"def compute_chain_ids", b"def compute_names"), "no function `compute_chain_ids` any more"),
    "changed signature": (lambda s: s.replace(b"def compute_chain_ids(diff_ids: Sequence[str])", b"def compute_chain_ids(digests, base)"), "must stay `(diff_ids: Sequence[str])`"),
    "null bytes": (lambda s: s + b"\0", "Python cannot read this"),
    "too large": (lambda s: s + b"#" * (1 << 20), "more than a module of this book ever needs"),
    "brackets without end": (lambda _: b"x = " + b"(" * 5000 + b")" * 5000, "Python cannot read this"),
    "half-merged": (lambda s: s.replace(b"    chain_ids:", b"<<<<<<< yours\n    chain_ids:"), "Python cannot read this"),
}


@pytest.mark.parametrize("name", BAD_FILES)
def test_file_that_cannot_be_tested_gets_one_sentence(tool: Tool, copy: Path, name: str) -> None:
    """Status 2 means "could not run", which is not the same as "wrong": nothing was tried, and the sentence says what to do."""
    change, sentence = BAD_FILES[name]
    copy.write_bytes(change(SOLUTION))
    before = copy.read_bytes()
    answer = tool("check", runs_tests=False)
    assert answer.status == 2
    assert sentence in answer.text
    assert "layer.py" in answer.text
    assert "Traceback" not in answer.text
    assert len(answer.text.splitlines()) == 1
    assert copy.read_bytes() == before


BAD_CODE = {
    "endless loop": ("    while True: pass", "a loop that never ends?"),
    "early exit": ("    import os; os._exit(0)", "ended from within"),
    "its own error": ("    return undefined", "NameError: name 'undefined' is not defined"),
    "nothing returned": ("    pass", "assert None =="),
}


@pytest.mark.parametrize("name", BAD_CODE)
def test_code_that_breaks_fails_with_a_sentence(tool: Tool, copy: Path, name: str) -> None:
    """Status 1, and the sentence that helps; never a trace through our own machinery."""
    body, sentence = BAD_CODE[name]
    copy.write_bytes(replace_functions(SOLUTION, f"def compute_chain_ids(diff_ids):\n{body}\n".encode()))
    answer = tool("check")
    assert answer.status == 1
    assert sentence in answer.text
    assert "Traceback" not in answer.text
    assert "0 of 6 tests pass" in answer.text


def test_module_that_fails_on_import_says_where(tool: Tool, copy: Path) -> None:
    """A mistake outside of the functions keeps everything from being tried."""
    copy.write_bytes(SOLUTION + b"\nundefined\n")
    answer = tool("check")
    assert answer.status == 1
    assert f"layer.py, line {len(SOLUTION.splitlines()) + 2}: NameError" in answer.text
    assert "Traceback" not in answer.text


def test_windows_line_ends_are_fine(tool: Tool, copy: Path) -> None:
    """An editor may end lines with a carriage return; Python does not mind, and neither do we."""
    copy.write_bytes(SOLUTION.replace(b"\n", b"\r\n"))
    assert tool("check").status == 0


def test_renamed_file_is_recognised(tool: Tool, copy: Path) -> None:
    """The file is there under another name, and the sentence says which."""
    copy.rename(copy.with_name("my_layer.py"))
    answer = tool("check", runs_tests=False)
    assert answer.status == 2
    assert "layer.py is not there (is my_layer.py the one you renamed? give it its name back)" in answer.text


def test_deleted_file_can_be_had_again(tool: Tool, copy: Path) -> None:
    """`start` makes what is missing."""
    copy.unlink()
    assert "makes it again" in tool("check", runs_tests=False).text
    assert tool("start", EXERCISE.id).status == 0
    assert copy.exists()


def test_exercise_that_was_not_begun_says_how(tool: Tool) -> None:
    """Checking comes after starting."""
    answer = tool("check", EXERCISE.id, runs_tests=False)
    assert answer.status == 2
    assert f"python3 -m chapters start {EXERCISE.id}" in answer.text


def test_unknown_exercise_suggests_a_close_one(tool: Tool) -> None:
    """A typing error costs no look into the manual."""
    answer = tool("start", "chain-id")
    assert answer.status == 2
    assert "did you mean `chain-ids`?" in answer.text


def test_unwritable_directory_gets_one_sentence(tool: Tool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The checkout may lie on a medium that cannot be written, and `work/` elsewhere."""
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("MINIDOCKER_WORK", str(tmp_path / "file" / "work"))
    answer = tool("start", EXERCISE.id)
    assert answer.status == 2
    assert len(answer.text.splitlines()) == 1
    assert "Not a directory" in answer.text
    assert "Traceback" not in answer.text


def test_damaged_progress_is_moved_aside(tool: Tool, work: Path) -> None:
    """The file is the learner's too: counting begins afresh, and the old one is kept."""
    work.mkdir()
    (work / "progress.json").write_text('{"format_version": 1, "exer')
    answer = tool("start", EXERCISE.id)
    assert answer.status == 0
    assert "it is now progress.json.1" in answer.text
    assert (work / "progress.json.1").read_text() == '{"format_version": 1, "exer'


def test_results_can_be_had_as_json(tool: Tool, copy: Path, tmp_path: Path) -> None:
    """For editors and other programs: status, points, and every test with its rule."""
    copy.write_bytes(mutate("no-limit"))
    tool("check", "--json", str(tmp_path / "out.json"))
    [result] = json.loads((tmp_path / "out.json").read_text())["exercises"]
    assert (result["status"], result["max_points"]) == ("fail", 10)
    assert [test["test"] for test in result["tests"] if not test["passed"]] == ["test_one_layer_too_many_is_refused"]
    assert all(test["rule"] for test in result["tests"])


def test_doctor_says_what_can_be_solved_here(tool: Tool) -> None:
    """A laptop without Linux can do most of it, and is told the rest."""
    answer = tool("doctor")
    assert answer.status == 0
    assert "exercises here" in answer.text
    assert "pytest: there" in answer.text


def test_python_without_pytest_is_told_how_to_get_it(tmp_path: Path, work: Path) -> None:
    """Everything but `check` needs only Python, and `check` says in one sentence what it lacks."""
    copy_of_checkout = tmp_path / "checkout"
    shutil.copytree(CHECKOUT / "chapters", copy_of_checkout / "chapters", ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copytree(CHECKOUT / "minidocker", copy_of_checkout / "minidocker", ignore=shutil.ignore_patterns("__pycache__"))
    bare = [sys.executable, "-I", "-S", "-c", f"import sys; sys.path.insert(0, {str(copy_of_checkout)!r}); from chapters.commands import main; sys.exit(main(sys.argv[1:]))"]
    environment = {**os.environ, "MINIDOCKER_WORK": str(work)}
    assert subprocess.run([*bare, "start", EXERCISE.id], env=environment, capture_output=True, check=False).returncode == 0
    result = subprocess.run([*bare, "check"], env=environment, capture_output=True, text=True, check=False)
    assert result.returncode == 2
    assert "needs pytest: `python3 noxfile.py lint`" in result.stdout


def test_prediction_is_answered_with_the_reason_and_its_proof(tool: Tool, work: Path) -> None:
    """Right or wrong, what one believed is put beside what happens, and a test shows that it does."""
    wrong = tool("predict", "same-change-other-base", "--answer", "1")
    assert wrong.status == 1
    assert "no, it is 2" in wrong.text
    assert "chapters explain unit/image/layer/" in wrong.text
    assert tool("predict", "same-change-other-base", "--answer", "2").status == 0
    assert json.loads((work / "progress.json").read_text())["predictions"] == {"same-change-other-base": [1, 2]}


def test_question_without_anybody_to_answer_says_how(tool: Tool, monkeypatch: pytest.MonkeyPatch) -> None:
    """In a script there is no terminal: nothing is waited for, and nothing counted."""
    monkeypatch.setattr("sys.stdin", io.StringIO())
    answer = tool("predict", "4")
    assert answer.status == 2
    assert "--answer" in answer.text
    assert tool("predict", "nothing").status == 2


def test_watching_checks_again_after_every_change_until_it_passes(copy: Path) -> None:
    """One terminal to write in, one to look at."""
    command = [sys.executable, "-m", "chapters", "check", "--watch", EXERCISE.id]
    with subprocess.Popen(command, cwd=CHECKOUT, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout
        for sentence, content in (("not written yet", mutate("no-limit")), ("well-known misunderstanding", b""), ("is empty", SOLUTION)):
            for line in process.stdout:
                if "waiting" in line:
                    break
                sentence = "" if sentence in line else sentence
            assert not sentence
            copy.write_bytes(content)
        assert "solved" in process.stdout.read()
    assert process.returncode == 0


def test_what_the_code_prints_is_shown_and_input_is_empty(tool: Tool, copy: Path) -> None:
    """A print is the first tool of debugging; a call of `input()` must not swallow what the tests say."""
    copy.write_bytes(replace_functions(SOLUTION, b"def compute_chain_ids(diff_ids):\n    print('look:', len(diff_ids))\n    return input()\n"))
    answer = tool("check")
    assert "| look: 1" in answer.text
    assert "EOFError" in answer.text
