"""Take the bodies out of functions, or put other functions in their place, and touch nothing else.

Pure. Works on the bytes of a file with the places that `ast` gives, so comments, blank lines and line ends elsewhere stay as they
are. A stub keeps decorators, signature and docstring: they are the exercise's question.
"""

from __future__ import annotations

import ast
from collections.abc import Callable, Iterable, Mapping

__all__ = ["Function", "find_functions", "replace_functions", "strip_functions"]

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
    end = _line_end(source)

    def stub(node: Function, lines: list[bytes]) -> bytes:
        first = node.body[0]
        has_docstring = isinstance(first, ast.Expr) and isinstance(first.value, ast.Constant) and isinstance(first.value.value, str)
        last_kept = first if has_docstring else None
        kept = b"".join(lines[_first_line(node) - 1 : (last_kept.end_lineno or 0) if last_kept else _header_end(node, lines)])
        if not last_kept and first.lineno <= _header_end(node, lines):  # a body on the line of the signature
            line = lines[first.lineno - 1]
            kept = b"".join(lines[_first_line(node) - 1 : first.lineno - 1]) + line[: first.col_offset].rstrip() + end
        indent = b" " * (node.col_offset + 4)
        message = f"exercise {exercise}: python3 -m chapters hint {exercise}"
        return kept.rstrip(b"\r\n") + end + indent + f'raise NotImplementedError("{message}")'.encode() + end

    return _rewrite(source, dict.fromkeys(names, stub))


def replace_functions(source: bytes, functions: bytes) -> bytes:
    """Return *source* with every function that *functions* defines in the place of the one of the same name.

    Raises:
        LookupError: *source* has no such function.
        SyntaxError: *functions* is no Python.
    """
    given = functions.splitlines(keepends=True)
    end = _line_end(source)
    texts = {
        name: end.join(line.rstrip(b"\r\n") for line in given[_first_line(node) - 1 : node.end_lineno]) + end
        for name, node in find_functions(ast.parse(functions)).items()
    }
    return _rewrite(source, {name: _constant(text) for name, text in texts.items()})


def _constant(text: bytes) -> Callable[[Function, list[bytes]], bytes]:
    return lambda _node, _lines: text


def _rewrite(source: bytes, changes: Mapping[str, Callable[[Function, list[bytes]], bytes]]) -> bytes:
    functions = find_functions(ast.parse(source))
    for name in changes:
        if name not in functions:
            raise LookupError(f"there is no function `{name}`")
    lines = source.splitlines(keepends=True)
    for name in sorted(changes, key=lambda name: -functions[name].lineno):  # from below, so that the places above stay right
        node = functions[name]
        new = changes[name](node, lines)
        lines[_first_line(node) - 1 : node.end_lineno] = [new if lines[(node.end_lineno or 0) - 1].endswith(b"\n") else new.rstrip(b"\r\n")]
        lines = b"".join(lines).splitlines(keepends=True)
    return b"".join(lines)


def _first_line(node: Function) -> int:
    return min([node.lineno, *(decorator.lineno for decorator in node.decorator_list)])


def _header_end(node: Function, lines: list[bytes]) -> int:
    """Return the number of the line on which the signature's colon stands."""
    places = [child.end_lineno or 0 for child in ast.walk(node.args) if isinstance(child, (ast.arg, ast.expr))]
    number = max([node.lineno, *places, (node.returns.end_lineno or 0) if node.returns else 0])
    while number < node.body[0].lineno and not lines[number - 1].split(b"#")[0].rstrip().endswith(b":"):
        number += 1
    return number


def _line_end(source: bytes) -> bytes:
    return b"\r\n" if b"\r\n" in source.partition(b"\n")[0] + b"\n" else b"\n"
