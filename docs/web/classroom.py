"""Exercises in the reader's browser: hand out the question, run its tests against what was written, and tell what came of it.

The tests, the mutants and the judge are those of `python3 -m chapters check`. Only the worker is not a process of its own: a
browser has none, and nobody else is there to be deceived, so tests and answer share one interpreter. Before each run every module
of ours is forgotten, and imported again with the learner's in its place. A loop without end is the page's to stop.
"""

from __future__ import annotations

import html
import json
import sys
import tempfile
import traceback
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType
from typing import Any, Final

from chapters.judge import JudgeError, Report, find_misconception, run_variants
from chapters.manifest import Exercise, Target, require_exercise
from chapters.sandbox import Sandbox, SubmissionError
from chapters.screen import sentence_of
from chapters.stub import find_functions, replace_functions
from chapters.variant import Variant, compute_source, write_variant
from chapters.worker import LearnerFinder, Worker

__all__ = ["answer", "can_be_solved_here", "check", "compute_question"]


TOO_DEEP: Final = frozenset({"exec-or-shell"})
"""Exercises with a test that nests deeper than a browser's stack."""


def can_be_solved_here(exercise: Exercise) -> bool:
    """Whether a browser is enough: no kernel, one module to write in, and room on the stack."""
    return exercise.tier == 0 and len(exercise.files) == 1 and exercise.id not in TOO_DEEP


def compute_question(exercise: Exercise) -> str:
    """Return what the reader starts from: the functions to write, as `start` hands them out, without the module around them."""
    import ast

    [module] = exercise.files
    source = compute_source(exercise, module, "start").decode()
    functions, lines = find_functions(ast.parse(source)), source.splitlines(keepends=True)
    parts = []
    for name in exercise.targets_in(module):
        node = functions[name]
        first = min([node.lineno, *(decorator.lineno for decorator in node.decorator_list)])
        owner = name.rpartition(".")[0]
        parts.append((f"class {owner}:\n" if owner else "") + "".join(lines[first - 1 : node.end_lineno]).rstrip() + "\n")
    return "\n\n".join(parts)


def check(exercise_id: str, text: str) -> str:
    """Run the tests of an exercise against *text*, and return what came of them as HTML."""
    exercise = require_exercise(exercise_id)
    with tempfile.TemporaryDirectory() as name:
        try:
            variant = _write_answer(exercise, text, Path(name))
            report = _run(variant)
        except SubmissionError as error:
            return f'<p class="play-problem">{html.escape(str(error))}</p>'
        except JudgeError as error:
            return f'<p class="play-problem">The tests cannot run here, which is not your fault: {html.escape(str(error)[-300:])}</p>'
        return _render(exercise, report, "" if report.passed else _recognise(exercise, report, Path(name)))


def _write_answer(exercise: Exercise, text: str, directory: Path) -> Variant:
    """Put what was written into a copy of the module.

    Raises:
        SubmissionError: it is no Python, or a function is gone.
    """
    [(module, file_name)] = exercise.files.items()
    wanted = exercise.targets_in(module)
    try:
        source = replace_functions(compute_source(exercise, module, "start"), text.encode(), only=wanted)
        missing = [name for name in wanted if f"def {name.rpartition('.')[2]}(" not in text]
    except SyntaxError as error:
        raise SubmissionError(f"line {error.lineno or 1}: Python cannot read this: {error.msg}") from None
    except LookupError as error:
        raise SubmissionError(str(error)) from None
    if missing:
        raise SubmissionError(f"there is no function `{missing[0]}` any more: “Start again” brings it back")
    path = directory / file_name
    path.write_bytes(source)
    return Variant(exercise=exercise, name="yours", files={module: path})


class _Here(Sandbox):
    """The same questions and answers as between two processes, within one."""

    def __init__(self, files: Mapping[str, Path], targets: tuple[Target, ...], *, limit_s: float = 10.0, **_options: Any) -> None:
        """Load *files*; nothing is started."""
        self._limit_s, self.calls, self._printed = limit_s, {}, ""
        self._worker = Worker({module: str(path) for module, path in files.items()})
        try:
            self._worker.load([str(target) for target in targets])
        except Exception as error:  # noqa: BLE001  # whatever the learner's module does when it is imported
            where = self._worker.locate(error)
            raise SubmissionError(f"{f'line {where[1]} of the module: ' if where else ''}{type(error).__name__}: {error}") from None
        self._answer: dict[str, Any] = {}

    @property
    def is_alive(self) -> bool:
        """It cannot die alone."""
        return True

    def _send(self, message: Mapping[str, Any]) -> None:
        self._answer = json.loads(json.dumps(self._worker.answer(json.loads(json.dumps(message)))))

    def _receive(self, limit_s: float) -> dict[str, Any]:
        return self._answer

    def read_output(self) -> str:
        """What was printed is pytest's to show."""
        return ""

    def close(self) -> None:
        """Nothing is left open."""


@contextmanager
def _in_place_of_ours(files: Mapping[str, Path]) -> Iterator[None]:
    """Have every module of minidocker, and the tests, imported anew, with *files* among them; afterwards ours again."""
    kept = _forget()
    finder = LearnerFinder({module: str(path) for module, path in files.items()})
    sys.meta_path.insert(0, finder)
    try:
        yield
    finally:
        sys.meta_path.remove(finder)
        _forget()
        sys.modules.update(kept)


def _forget() -> dict[str, ModuleType]:
    names = [name for name in sys.modules if name.partition(".")[0] == "minidocker" or name.rpartition(".")[2].startswith("test_")]
    return {name: sys.modules.pop(name) for name in names}


def _run(variant: Variant) -> Report:
    with _in_place_of_ours(variant.files):
        [report] = run_variants([variant], sandbox=_Here)
    return report


def _recognise(exercise: Exercise, report: Report, directory: Path) -> str:
    """Return the hint for the known mistake that fails the same tests, or nothing."""
    if all(test.message == "not written yet" for test in report.tests):
        return ""
    runs = [_run(write_variant(exercise, mutant.name, directory)) for mutant in exercise.mutants]
    name = find_misconception(report, runs)
    return next((exercise.hints[mutant.hint - 1] for mutant in exercise.mutants if mutant.name == name), "")


def _render(exercise: Exercise, report: Report, hint: str) -> str:
    rows = []
    for test in report.tests:
        title = sentence_of(test.test) + (f" [{test.case}]" if test.case else "")
        css, word = ("play-pass", "passed") if test.passed else ("play-fail", "failed")
        rows.append(f'<li class="{css}"><strong>{word}</strong> {html.escape(title)}')
        if not test.passed:
            rows.append(f"<p>{html.escape(test.rule)}</p><pre>{html.escape(test.message)}</pre>")
        rows.append("</li>")
    done = sum(test.passed for test in report.tests)
    end = "Solved." if report.passed else f"{done} of {len(report.tests)} tests pass."
    told = f"<p>{html.escape(report.problem)}</p>" if report.problem else ""
    told += f'<div class="play-hint"><strong>A well-known misunderstanding leads here.</strong><pre>{html.escape(hint)}</pre></div>' if hint else ""
    return f'<p class="{"play-pass" if report.passed else "play-fail"}"><strong>{end}</strong></p><ul>{"".join(rows)}</ul>{told}'


# -- what the page calls ---------------------------------------------------------------------------------------------------


def answer(request_text: str) -> str:
    """Do what the page asks: `{"do": "show" | "check", …}`; every failure of ours is an answer, too."""
    request = json.loads(request_text)
    try:
        if request["do"] == "check":
            return check(request["id"], request["text"])
        from docs.web.playground import show

        return show(request["kind"], request["text"])
    except Exception:  # noqa: BLE001  # the page must not fall silent
        return f'<pre class="play-problem">{html.escape(traceback.format_exc()[-1500:])}</pre>'
