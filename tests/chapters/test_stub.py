"""Stubs and mutants: other bodies for some functions, and not a byte changed elsewhere."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

from chapters.stub import find_functions, replace_functions, strip_functions

CHECKOUT = Path(__file__).resolve().parents[2]
SOURCES = sorted((CHECKOUT / "minidocker").rglob("*.py"))

SOURCE = b'''# before
import os  # stays


@decorated
def wanted(
    a: int,  # the first
    *, b: str = "x",
) -> str:
    """What it does.

    And why.
    """
    # how it does it
    return b * a  # done


class Holder:
    def method(self): return 1

    def other(self) -> int:
        return 2  # untouched
'''

STUB = b'''# before
import os  # stays


@decorated
def wanted(
    a: int,  # the first
    *, b: str = "x",
) -> str:
    """What it does.

    And why.
    """
    raise NotImplementedError("exercise x: python3 -m chapters hint x")


class Holder:
    def method(self):
        raise NotImplementedError("exercise x: python3 -m chapters hint x")

    def other(self) -> int:
        return 2  # untouched
'''


def test_stub_keeps_the_question_and_drops_the_answer() -> None:
    """Signature, docstring and decorators say what is asked for; the comments inside a body belong to the answer."""
    assert strip_functions(SOURCE, ["wanted", "Holder.method"], exercise="x") == STUB


def test_line_ends_of_windows_stay() -> None:
    """An editor that finds two kinds of line ends in one file changes all of them, and every comparison with them."""
    windows = SOURCE.replace(b"\n", b"\r\n")
    assert strip_functions(windows, ["wanted", "Holder.method"], exercise="x") == STUB.replace(b"\n", b"\r\n")


def test_file_without_a_last_line_end_is_left_without() -> None:
    """Nothing is changed that was not asked for."""
    assert strip_functions(b"def f():\n    return 1", ["f"], exercise="x").endswith(b'hint x")')


def test_stub_of_a_stub_is_the_same() -> None:
    """`reset` of an exercise that was never touched changes nothing."""
    assert strip_functions(STUB, ["wanted", "Holder.method"], exercise="x") == STUB


def test_function_that_is_gone_is_named() -> None:
    """A target that was renamed in the source must not silently leave the answer in the stub."""
    with pytest.raises(LookupError, match="`gone`"):
        strip_functions(SOURCE, ["gone"], exercise="x")


def test_other_body_comes_under_our_own_docstring() -> None:
    """A mutant is a body; what the learner reads above it is the question, as always."""
    mutated = replace_functions(SOURCE, b'def wanted(a, *, b="x"):\n    """Ignored."""\n    # wrong\n    return a\n')
    assert mutated == SOURCE.replace(b"    # how it does it\n    return b * a  # done\n", b"    # wrong\n    return a\n")


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: str(path.relative_to(CHECKOUT)))
def test_every_function_of_the_project_can_be_taken_out_and_put_back(path: Path) -> None:
    """Any function may become an exercise: the stub can be read, all others are as before, and the answer fits back in."""
    source = path.read_bytes()
    names = [name for name, node in find_functions(ast.parse(source)).items() if not is_overload(node)]
    stub = strip_functions(source, names, exercise="x")
    functions = find_functions(ast.parse(stub))
    assert functions.keys() == find_functions(ast.parse(source)).keys()
    assert all("exercise x" in ast.unparse(functions[name].body[-1]) for name in names)
    assert ast.dump(ast.parse(replace_functions(stub, source))) == ast.dump(ast.parse(source))


def is_overload(node: ast.FunctionDef | ast.AsyncFunctionDef) -> bool:
    """Whether a function shares its name with others: stubs are made by name."""
    return any(word in ast.unparse(decorator) for decorator in node.decorator_list for word in ("overload", ".setter"))
