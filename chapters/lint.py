"""What a manifest promises and the files beside it must hold; see `find_faults`.

Rule: a fault is one sentence with the file in it. What can be seen without running anything is checked here; what must be run, by
`chapters.soundness`.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator, Mapping
from pathlib import Path

from chapters.catalogue import find_statements
from chapters.manifest import BOOK, Exercise, Question, read_questions
from chapters.stub import find_functions
from chapters.table import number_of_module

__all__ = ["find_faults"]

TAKEN_FIXTURES = frozenset({"learner", "dice", "request", "monkeypatch", "capsys", "capfd", "tmp_path", "caplog", "recwarn", "cache", "config"})
MIN_MUTANTS = 2


def find_faults(exercises: Mapping[str, Exercise]) -> list[str]:
    """Return everything that is wrong with *exercises*, seen together."""
    faults = [f"{e.chapter}: {e.id}: {fault}" for e in exercises.values() for fault in _faults_of(e, exercises)]
    faults += [f"{q.chapter}: {q.id}: {fault}" for q in read_questions().values() for fault in _question_faults(q)]
    return faults + [f"{path.relative_to(BOOK)}: belongs to no exercise" for path in _stray_files(exercises)]


def _question_faults(question: Question) -> Iterator[str]:
    if len(find_statements(question.shown_by)) != 1:
        yield f"`{question.shown_by}` is not the id of one test"
    page = BOOK / question.chapter / "index.md"
    if not page.is_file() or "% generated: questions\n" not in page.read_text(encoding="utf-8"):
        yield "index.md has no line `% generated: questions`"


def _faults_of(exercise: Exercise, exercises: Mapping[str, Exercise]) -> Iterator[str]:
    yield from _target_faults(exercise)
    yield from _test_faults(exercise)
    yield from _mutant_faults(exercise)
    for name in exercise.requires:
        if name not in exercises:
            yield f"requires `{name}`, which is no exercise"
        elif exercises[name].number > exercise.number:
            yield f"requires `{name}` of a later chapter"
        elif exercise.id in _needed_by(name, exercises):
            yield f"requires `{name}`, which requires it in turn"
    page = exercise.directory / "index.md"
    if not page.is_file() or "% generated: exercises\n" not in page.read_text(encoding="utf-8"):
        yield "index.md has no line `% generated: exercises`"


def _target_faults(exercise: Exercise) -> Iterator[str]:
    names = [target.fixture for target in exercise.targets]
    for target in exercise.targets:
        if not target.path.is_file():
            yield f"there is no module `{target.module}`"
        elif target.qualname not in find_functions(ast.parse(target.path.read_bytes())):
            yield f"there is no function `{target}`"
        if names.count(target.fixture) > 1 or target.fixture in TAKEN_FIXTURES:
            yield f"the name `{target.fixture}` of a target is taken"
        if number_of_module(target.module) > exercise.number:
            yield f"`{target.module}` belongs to a later chapter"


def _test_faults(exercise: Exercise) -> Iterator[str]:
    if not exercise.test_path.is_file():
        yield f"there is no {exercise.test_path.name}"
        return
    tree = ast.parse(exercise.test_path.read_bytes())
    if not ast.get_docstring(tree):
        yield f"{exercise.test_path.name} does not say what it is about"
    found = {name: node for name, node in find_functions(tree).items() if name.startswith("test_")}
    for name in sorted(found.keys() ^ set(exercise.tests)):
        yield f"no objective lists `{name}`" if name in found else f"there is no test `{name}`"
    for name, node in found.items():
        if not ast.get_docstring(node) or name.count("_") < 2:
            yield f"`{name}` must be a sentence and have a docstring with the reason"
    for statement in ast.walk(tree):
        if isinstance(statement, ast.ImportFrom) and statement.module and statement.module.startswith("minidocker"):
            for module in (statement.module, *(f"{statement.module}.{alias.name}" for alias in statement.names)):
                if number_of_module(module, default=0) > exercise.number:
                    yield f"{exercise.test_path.name} imports `{module}` of a later chapter"


def _mutant_faults(exercise: Exercise) -> Iterator[str]:
    names = [mutant.name for mutant in exercise.mutants]
    if len(set(names)) < max(MIN_MUTANTS, len(names)):
        yield f"at least {MIN_MUTANTS} mutants with names of their own, please"
    if exercise.start_from and exercise.start_from not in names:
        yield f"`start_from` names no mutant: {exercise.start_from}"
    wanted = {target.qualname for target in exercise.targets}
    for name in names:
        path = exercise.mutant_path(name)
        if not path.is_file():
            yield f"there is no mutants/{exercise.id}/{name}.py"
            continue
        tree = ast.parse(path.read_bytes())
        functions = set(find_functions(tree))
        if not functions or not functions <= wanted:
            yield f"mutants/{exercise.id}/{name}.py must define targets only, and at least one"
        if not all(isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)) for node in tree.body if not _is_docstring(node)):
            yield f"mutants/{exercise.id}/{name}.py holds more than functions, which would be lost"


def _is_docstring(node: ast.stmt) -> bool:
    return isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant)


def _needed_by(name: str, exercises: Mapping[str, Exercise]) -> set[str]:
    """Return *name* and everything it requires."""
    found: set[str] = set()
    waiting = [name]
    while waiting:
        if (current := waiting.pop()) not in found and current in exercises:
            found.add(current)
            waiting += exercises[current].requires
    return found


def _stray_files(exercises: Mapping[str, Exercise]) -> list[Path]:
    known = {e.test_path for e in exercises.values()} | {e.mutant_path(m.name) for e in exercises.values() for m in e.mutants}
    return [path for path in sorted(BOOK.glob("[0-9][0-9]-*/**/*.py")) if path not in known]
