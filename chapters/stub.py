"""Take the bodies out of functions, or put other functions in their place, and touch nothing else.

Pure. Works on the bytes of a file with the places that `ast` gives, so comments, blank lines and line ends elsewhere stay as they
are. A stub keeps decorators, signature and docstring: they are the exercise's question.
"""

from __future__ import annotations

import ast
from collections.abc import Collection, Iterable, Mapping

__all__ = ["Function", "find_functions", "read_bodies", "replace_functions", "strip_functions"]

INDENT = 4

Function = ast.FunctionDef | ast.AsyncFunctionDef


def find_functions(tree: ast.Module) -> dict[str, Function]:
    """Return the functions of a module and the methods of its classes by qualified name; those inside functions are not reached."""
    found: dict[str, Function] = {}

    def visit(body: Iterable[ast.stmt], prefix: str) -> None:
        for node in body:
            if isinstance(node, Function):
                found[prefix + node.name] = node
            elif isinstance(node, ast.ClassDef):
                visit(node.body, f"{prefix}{node.name}.")

    visit(tree.body, "")
    return found


def strip_functions(source: bytes, names: Iterable[str], *, exercise: str) -> bytes:
    """Return *source* with each named function's body replaced by a refusal that says which exercise it is.

    Raises:
        LookupError: there is no function of that name.
    """
    refusal = f'raise NotImplementedError("exercise {exercise}: python3 -m chapters hint {exercise}")'.encode()
    functions = find_functions(ast.parse(source))
    return _rewrite(source, {name: b" " * (functions[name].col_offset + INDENT if name in functions else INDENT) + refusal for name in names})


def replace_functions(source: bytes, functions: bytes, *, only: Collection[str] | None = None) -> bytes:
    """Return *source* with the body of every function that *functions* defines (of those named in *only*) in the place of its own.

    Raises:
        LookupError: *source* has no such function.
        SyntaxError: *functions* is no Python.
    """
    bodies = read_bodies(functions)
    return _rewrite(source, {name: body for name, body in bodies.items() if only is None or name in only})


def read_bodies(source: bytes) -> dict[str, bytes]:
    """Return the body of each function of *source* by name, without docstring, with the source's own indentation."""
    lines = source.splitlines(keepends=True)
    bodies = {}
    for name, node in find_functions(ast.parse(source)).items():
        begin, column = _begin_of_body(node, lines)
        first, *rest = lines[begin - 1 : node.end_lineno]
        bodies[name] = b"".join([b" " * (node.col_offset + INDENT) + first[column:] if column else first, *rest])
    return bodies


def _rewrite(source: bytes, bodies: Mapping[str, bytes]) -> bytes:
    """Put *bodies*, whole lines, into the functions of these names."""
    functions = find_functions(ast.parse(source))
    for name in bodies:
        if name not in functions:
            raise LookupError(f"there is no function `{name}`")
    lines = source.splitlines(keepends=True)
    end = b"\r\n" if lines and lines[0].endswith(b"\r\n") else b"\n"
    for name in sorted(bodies, key=lambda name: -functions[name].lineno):  # from below, so that the places above stay right
        node = functions[name]
        begin, column = _begin_of_body(node, lines)
        last = lines[(node.end_lineno or 0) - 1]
        new = [line.rstrip(b"\r\n") + end for line in bodies[name].splitlines()]
        if not last.endswith(b"\n"):
            new[-1] = new[-1].rstrip(b"\r\n")
        head = [lines[begin - 1][:column].rstrip() + end] if column else []
        lines[begin - 1 : node.end_lineno] = head + new
    return b"".join(lines)


def _begin_of_body(node: Function, lines: list[bytes]) -> tuple[int, int]:
    """Return the line on which a body begins, after the docstring and with the comments before it; and the column if the line begins otherwise."""
    first = node.body[0]
    is_docstring = isinstance(first, ast.Expr) and isinstance(first.value, ast.Constant) and isinstance(first.value.value, str)
    if is_docstring and len(node.body) > 1:
        return (first.end_lineno or 0) + 1, 0
    if lines[first.lineno - 1][: first.col_offset].strip():  # `def f(): return 1`
        return first.lineno, first.col_offset
    begin = first.lineno
    while begin - 1 > node.lineno and lines[begin - 2].strip().startswith(b"#"):
        begin -= 1
    return begin, 0
