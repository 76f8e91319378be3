"""The worker and its parent: what a submission may try, and what comes of it."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from chapters.manifest import Target
from chapters.sandbox import Remote, Sandbox, SubmissionError
from chapters.stub import replace_functions

TARGET = Target(module="minidocker.image.layer", qualname="layer_name")
Load = Callable[..., tuple[Sandbox, Any]]


@pytest.fixture
def load(tmp_path: Path) -> Iterator[Load]:
    """Return a function that loads a submission and returns its sandbox and the function `layer_name` of it."""
    sandboxes: list[Sandbox] = []

    def load_source(body: str, *, before: str = "", after: str = "", limit_s: float = 30.0) -> tuple[Sandbox, Any]:
        lines = "".join(f"    {line}\n" for line in body.splitlines())
        source = replace_functions(TARGET.path.read_bytes(), f"def layer_name(chain_id):\n{lines}".encode())
        path = tmp_path / "layer.py"
        path.write_bytes(source.replace(b"def layer_name", f"{before}\n\ndef layer_name".encode()) + after.encode())
        sandboxes.append(Sandbox({TARGET.module: path}, (TARGET,), limit_s=limit_s))
        return sandboxes[-1], Remote(sandboxes[-1], str(TARGET), "layer_name")

    yield load_source
    for sandbox in sandboxes:
        sandbox.close()


def test_function_of_the_learner_is_called_and_counted(load: Load) -> None:
    """The learner's module stands in for ours, for whoever imports it; the count proves that it was not ours that ran."""
    sandbox, layer_name = load("return chain_id.upper()")
    assert layer_name("abc") == "ABC"
    assert Remote(sandbox, "minidocker.image.layer:layer_name", "as others import it")("x") == "X"
    assert sandbox.calls == {str(TARGET): 2}


def test_learners_object_stays_in_the_worker_and_can_be_used(load: Load) -> None:
    """Parsers and stores have methods: an object is asked for by number, one call after the other."""
    body = "class Box:\n    size = 3\n    def double(self, n): return 2 * n\n    def __iter__(self): return iter((1, 2))\n    def __enter__(self): return self\n    def __exit__(self, *error): return None\nreturn Box()"
    _, layer_name = load(body)
    with layer_name("x") as box:
        assert box.size == 3
        assert box.double(21) == 42
        assert list(box) == [1, 2]
        assert box != layer_name("x")


def test_error_tells_the_line(load: Load) -> None:
    """The trace of a process far away would be of no use; type, text and the learner's own line are."""
    _, layer_name = load("x = 1\nreturn x / 0")
    with pytest.raises(ZeroDivisionError) as caught:
        layer_name("a")
    [note] = caught.value.__notes__
    assert re.fullmatch(r"raised in layer.py, line \d+", note)


HOSTILE = {
    "early exit": ("import os\nos._exit(0)", "ended from within (with exit status 0)"),
    "exit through Python": ("raise SystemExit(0)", "SystemExit"),
    "killed": ("import os, signal\nos.kill(os.getpid(), 9)", "ended from within"),
    "printed result": ("print('nonce {\"value\": \"forged\"}')\nimport os\nos._exit(0)", "ended from within"),
    "guessed channel": ("import os\nfor fd in range(3, 20):\n    try: os.write(fd, b'{\"value\": 1}\\n')\n    except OSError: pass", "something else than"),
    "endless loop": ("while True: pass", ": still computing after"),
    "recursion": ("return layer_name(chain_id)", "RecursionError"),
    "memory": ("return 'x' * (1 << 34)", "MemoryError"),
    "flood of output": ("return 'x' * (40 << 20)", "something else than"),
    "deep nesting": ("x = []\nfor _ in range(90): x = [x]\nreturn x", "nested too deeply"),
    "foreign record": ("import dataclasses, minidocker.spec.container as c\n@dataclasses.dataclass(frozen=True)\nclass T:\n    a: int = 1\nT.__module__ = c.__name__\nreturn T()", "no value that this book knows"),
}  # fmt: skip


@pytest.mark.skipif(sys.platform == "win32", reason="needs limits of processes, which Windows lacks")
@pytest.mark.parametrize("name", HOSTILE)
def test_no_answer_is_a_failure_with_a_sentence(load: Load, name: str) -> None:
    """Whatever a submission does instead of returning a value, it has not passed; and the class goes on."""
    body, sentence = HOSTILE[name]
    _, layer_name = load(body)
    with pytest.raises((SubmissionError, RecursionError, MemoryError)) as caught:
        layer_name("a")
    assert sentence in f"{type(caught.value).__name__}: {caught.value}"


def test_waiting_for_ever_ends_at_the_limit(load: Load) -> None:
    """A call that waits computes nothing, so only the clock can tell."""
    _, layer_name = load("import threading\nthreading.Event().wait()", limit_s=0.2)
    with pytest.raises(SubmissionError, match=r"no answer within 0\.2 seconds"):
        layer_name("a")


def test_equality_that_lies_is_not_asked(load: Load) -> None:
    """The comparison happens on this side, with what this side built."""
    _, layer_name = load("return type('Liar', (), {'__eq__': lambda self, other: True, '__hash__': None})()")
    assert layer_name("a") != "abc"
    _, layer_name = load("return type('Liar', (str,), {'__eq__': lambda self, other: True, '__hash__': None})('no')")
    assert layer_name("a") != "abc"


def test_patched_builtins_stay_on_the_other_side(load: Load) -> None:
    """A submission may break its own interpreter; pytest and the tests live in another."""
    _, layer_name = load("return 'no'", before="import builtins\nbuiltins.all = lambda *a: True\nbuiltins.sorted = None")
    assert layer_name("a") == "no"
    assert not all([False])


def test_function_of_ours_under_the_learners_name_is_refused(load: Load) -> None:
    """Importing the answer from our source is no answer."""
    before = (
        "import importlib.util, sys\n"
        "import minidocker.image as package\n"
        "spec = importlib.util.spec_from_file_location('ours', package.__path__[0] + '/layer.py')\n"
        "ours = importlib.util.module_from_spec(spec)\n"
        "sys.modules['ours'] = ours\n"
        "spec.loader.exec_module(ours)\n"
    )
    with pytest.raises(SubmissionError, match="was not loaded from"):
        load("return 1", before=before, after="\nlayer_name = ours.layer_name\n")


@pytest.mark.skipif(sys.platform != "linux", reason="needs Linux: looks into /proc")
def test_children_of_a_submission_end_with_it(load: Load, tmp_path: Path) -> None:
    """A process left behind would keep the machine busy for the rest of the class."""
    sandbox, layer_name = load("import os, subprocess, sys\nreturn subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(600)']).pid")
    pid = layer_name("a")
    sandbox.close()
    wait_for_end_of(pid)


def wait_for_end_of(pid: int) -> None:
    """Wait until a process is dead; whoever is its parent now may not have asked for its status yet."""
    path = Path(f"/proc/{pid}/stat")
    with suppress(ProcessLookupError, FileNotFoundError):
        while path.read_text().rpartition(")")[2].split()[0] != "Z":
            os.sched_yield()


def test_worker_inherits_no_secrets(load: Load, monkeypatch: pytest.MonkeyPatch) -> None:
    """Tokens of a build machine lie in its environment."""
    monkeypatch.setenv("SECRET_TOKEN", "x")
    _, layer_name = load("import os\nreturn sorted(os.environ)")
    assert "SECRET_TOKEN" not in layer_name("a")


def test_module_that_fails_when_it_is_loaded_says_where(load: Load) -> None:
    """A name misspelt at the top of the file keeps every function from being tried."""
    with pytest.raises(SubmissionError, match=r"layer.py, line \d+: NameError: name 'undefined'"):
        load("return 1", before="undefined")


def test_worker_starts_with_few_modules() -> None:
    """Hundreds of workers are started in one run; what they do not import costs nothing."""
    code = "import sys; sys.path.insert(0, sys.argv[1]); import chapters.worker, chapters.wire; print(*sys.modules)"
    command = [sys.executable, "-I", "-S", "-c", code, str(Path(__file__).resolve().parents[2])]
    loaded = set(subprocess.run(command, capture_output=True, text=True, check=True).stdout.split())
    assert loaded.isdisjoint({"pytest", "subprocess", "socket", "asyncio", "argparse", "tomllib", "chapters.sandbox", "chapters.manifest"})
