"""Grading a class: points for what is right, a sentence for what is not, and nothing for tricks."""

from __future__ import annotations

import csv
import io
import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest

from chapters import grade
from chapters.manifest import require_exercise
from chapters.report import RENDERERS, find_weak_spots
from chapters.sandbox import CONTAINER, Remote, Sandbox, SubmissionError
from chapters.stub import replace_functions
from chapters.variant import compute_source

CHECKOUT = Path(__file__).resolve().parents[2]
EXERCISE = require_exercise("chain-ids")
TARGET = EXERCISE.targets[0]
SOLUTION = TARGET.path.read_bytes()


def answer(body: str, before: str = "") -> bytes:
    """Return a submission with this body."""
    source = replace_functions(SOLUTION, f"def compute_chain_ids(diff_ids):\n{body}\n".encode())
    return source.replace(b"def compute_chain_ids", f"{before}\n\ndef compute_chain_ids".encode())


READ_TESTS = "    import pathlib\n    import minidocker\n    root = pathlib.Path(minidocker.__file__).parents[1]\n    return [str(p) for p in root.rglob('test_*.py')] or 'no tests'"
CLASS: dict[str, tuple[bytes | None, str, float, str]] = {
    "able": (SOLUTION, "pass", 10, ""),
    "early-exit": (answer("    import os; os._exit(0)"), "fail", 0, "ended from within"),
    "empty": (b"", "error", 0, "is empty"),
    "forger": (answer("    print('6 passed'); import sys; sys.exit(0)"), "fail", 0, "SystemExit"),
    "half": (compute_source(EXERCISE, TARGET.module, "no-limit"), "fail", 6.67, "DID NOT RAISE"),
    "import-error": (answer("    return ()", before="import nothing_like_this"), "fail", 0, "ModuleNotFoundError"),
    "liar": (answer("    return type('L', (tuple,), {'__eq__': lambda s, o: True, '__hash__': tuple.__hash__})()"), "fail", 0, "assert ()"),
    "missing": (None, "error", 0, "was not handed in"),
    "patcher": (answer("    import builtins; builtins.len = lambda x: 3; return ()"), "fail", 0, "assert () == ("),
    "reader": (answer(READ_TESTS), "fail", 0, "assert 'no tests' =="),
    "renamed": (SOLUTION.replace(b"def compute_chain_ids", b"def compute_names"), "error", 0, "no function"),
    "syntax": (SOLUTION + b"def (", "error", 0, "Python cannot read this"),
    "thief": (answer("    import minidocker, pathlib\n    exec(next(pathlib.Path(minidocker.__file__).parent.glob('image/layer.py')).read_text(), scope := {})\n    return scope['compute_chain_ids'](diff_ids)"), "fail", 0, "KeyError"),
}  # fmt: skip
"""Student → (submission, status, points, part of the message)."""


@pytest.fixture(scope="module")
def graded(tmp_path_factory: pytest.TempPathFactory) -> tuple[dict[str, Any], Path]:
    """Grade the class once; return the results and where they were written."""
    place = tmp_path_factory.mktemp("class")
    for student, (content, *_) in CLASS.items():
        folder = place / "students" / student / EXERCISE.id
        folder.mkdir(parents=True)
        if content is not None:
            (folder / "layer.py").write_bytes(content)
    outs = [word for suffix in RENDERERS for word in ("--out", str(place / f"results{suffix}"))]
    command = [sys.executable, "-m", "chapters", "grade", str(place / "students"), EXERCISE.id, *outs]
    done = subprocess.run(command, cwd=CHECKOUT, capture_output=True, text=True, timeout=600, check=False)
    assert done.returncode == 0, done.stderr
    assert f"{len(CLASS)}/{len(CLASS)}" in done.stdout
    return json.loads((place / "results.json").read_text()), place


@pytest.mark.parametrize("student", CLASS)
def test_submission_gets_what_it_deserves(graded: tuple[dict[str, Any], Path], student: str) -> None:
    """Honest or not, each one ends in points and a sentence; what it does to its own interpreter helps nobody."""
    document, _ = graded
    _, status, points, message = CLASS[student]
    if student in ("reader", "thief") and document["isolation"] != grade.ISOLATIONS[CONTAINER]:
        pytest.skip("needs namespaces: a restricted process can read files, and the results say so")
    [result] = next(one["exercises"] for one in document["students"] if one["student"] == student)
    assert (result["status"], result["points"]) == (status, points)
    assert message in "\n".join([result["message"], *(test["message"] for test in result["tests"])])


def test_objectives_are_worth_their_share(graded: tuple[dict[str, Any], Path]) -> None:
    """Partial credit says what somebody has understood, not how many lines of the tests passed."""
    document, _ = graded
    [result] = next(one["exercises"] for one in document["students"] if one["student"] == "half")
    assert sorted(result["objectives"].values()) == [0, 1, 1]


def test_table_has_a_line_for_each_student(graded: tuple[dict[str, Any], Path]) -> None:
    """What a spreadsheet wants."""
    rows = list(csv.DictReader(io.StringIO((graded[1] / "results.csv").read_text())))
    assert {row["student"]: float(row["points"]) for row in rows} == {name: points for name, (_, _, points, _) in CLASS.items()}


def test_junit_file_has_a_suite_for_each_student(graded: tuple[dict[str, Any], Path]) -> None:
    """What a build server wants: tests, failures, and an error where nothing could be run."""
    suites = {suite.get("name"): suite for suite in ElementTree.parse(graded[1] / "results.xml").getroot()}
    assert suites.keys() == CLASS.keys()
    assert (suites["able"].get("failures"), suites["half"].get("failures"), suites["syntax"].get("errors")) == ("0", "1", "1")


def test_page_shows_the_weak_spots_and_needs_nothing_else(graded: tuple[dict[str, Any], Path]) -> None:
    """What the instructor wants to see before the next lecture; one file, without scripts or addresses."""
    page = (graded[1] / "results.html").read_text()
    assert "one layer too many is refused" in page
    assert "http" not in page
    assert "<script" not in page
    exercise, test, failed, tried = find_weak_spots(graded[0])[0]
    assert (exercise, test, failed, tried) == ("chain-ids", "test_one_layer_too_many_is_refused", 9, 10) or failed <= tried


def test_names_of_students_are_only_text() -> None:
    """A directory may be called anything: a formula in a spreadsheet, or a script on a page."""
    student = {"student": "=1+<b>", "points": 0, "max_points": 1, "message": "\x00\ud800", "exercises": []}
    document = {"version": 1, "isolation": "x", "exercises": [], "students": [student]}
    assert "'=1+<b>" in RENDERERS[".csv"](document | {"students": [student | {"message": ""}]})
    assert "&lt;b&gt;" in RENDERERS[".html"](document)
    ElementTree.fromstring(RENDERERS[".xml"](document))


@pytest.fixture
def confined(tmp_path: Path) -> Any:
    """Return a function that loads a submission in a container and returns its function."""
    if sys.platform != "linux" or grade.find_isolation() != CONTAINER:
        pytest.skip("needs namespaces")
    sandboxes: list[Sandbox] = []

    def load(body: str) -> Any:
        path = tmp_path / "layer.py"
        path.write_bytes(answer(body))
        sandboxes.append(Sandbox({TARGET.module: path}, (TARGET,), isolation=CONTAINER, limit_s=30))
        return Remote(sandboxes[-1], str(TARGET), "compute_chain_ids")

    yield load
    for sandbox in sandboxes:
        sandbox.close()


ESCAPES: dict[str, tuple[str, Callable[[Any], bool]]] = {
    "network": ("import socket; s = socket.socket(); s.settimeout(2); return s.connect_ex(('127.0.0.1', 22)), [i[1] for i in socket.if_nameindex()]", lambda r: r[0] != 0 and r[1] == ["lo"]),
    "other processes": ("import os; return [int(p) for p in os.listdir('/proc') if p.isdigit()]", lambda r: r == [1]),
    "its parent": ("import os; return os.getppid()", lambda r: r == 0),
    "files of the host": ("import os; return [os.path.exists(p) for p in ('/etc/passwd', '/home', '/checkout/chapters/manifest.py', '/work')]", lambda r: not any(r)),
    "our own source": ("return open('/checkout/minidocker/image/layer.py').read()", lambda r: r == ""),
    "writing": ("import os\nfound = []\nfor p in ('/x', '/usr/x', '/checkout/minidocker/x'):\n    try: open(p, 'w')\n    except OSError as e: found.append(e.errno in (13, 30))\nreturn found", lambda r: r == [True] * 3),
    "disk": ("try:\n    with open('/tmp/x', 'wb') as f:\n        for _ in range(64): f.write(b'x' * (1 << 20))\nexcept OSError as e: return e.errno", lambda r: r in (27, 28)),
    "rights": ("import os; return os.getuid()", lambda r: r != 0),
    "processes without end": ("import os, signal\nsignal.signal(signal.SIGCHLD, signal.SIG_DFL)\nmade = 0\ntry:\n    while made < 1000:\n        if os.fork() == 0: signal.pause()\n        made += 1\nexcept OSError: pass\nreturn made", lambda r: r <= 16),
}  # fmt: skip


@pytest.mark.parametrize("name", ESCAPES)
def test_container_of_a_submission_keeps_it_in(confined: Any, name: str) -> None:
    """Each is an attempt of a submission to reach something; what it gets back is the proof that it could not."""
    body, is_kept = ESCAPES[name]
    load = confined("\n".join(f"    {line}" for line in body.splitlines()))
    try:
        result = load(["sha256:1"])
    except SubmissionError as error:
        raise AssertionError(f"no answer: {error}") from error
    assert is_kept(result), result
