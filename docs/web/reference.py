"""The reference of every public object, as one page of Markdown for each package.

Pure. Read from the source, not from imported modules: our docstrings are Markdown, as the pages are, and a string below a field is
the field's documentation. Public is what has no leading underscore.
"""

from __future__ import annotations

import ast
import itertools
import re
from collections.abc import Iterator
from pathlib import Path

__all__ = ["render_index", "render_package"]

SECTIONS = re.compile(r"^(Args|Returns|Raises|Yields):$")
ENTRY = re.compile(r"^    (\*{0,2}\w[\w.]*): (.*)")


def render_index(packages: list[str]) -> str:
    """Return the page that leads to all others."""
    return "\n".join(["# Reference of the code", "", "Every public object of every module, from the source.", "", "```{toctree}", ":maxdepth: 1", "", *packages, "```", ""])


def render_package(name: str, directory: Path) -> str:
    """Return the page of the package *name*, whose modules lie in *directory*."""
    lines = [f"# `{name}`", ""]
    for path in sorted(directory.glob("*.py")):
        tree = ast.parse(path.read_text(encoding="utf-8"))
        if path.stem == "__init__":
            lines += [_render_docstring(tree), ""]
            continue
        lines += [f"## `{name}.{path.stem}`", "", _render_docstring(tree), "", *_render_body(tree.body, f"{path.stem}.")]
    return "\n".join(lines)


def _render_body(body: list[ast.stmt], prefix: str) -> Iterator[str]:
    for node, following in itertools.zip_longest(body, body[1:]):
        match node:
            case ast.FunctionDef() | ast.AsyncFunctionDef() if not node.name.startswith("_"):
                yield from _render_object(f"def {node.name}({ast.unparse(node.args)})" + (f" -> {ast.unparse(node.returns)}" if node.returns else ""), node, prefix)
            case ast.ClassDef() if not node.name.startswith("_"):
                bases = ", ".join(ast.unparse(base) for base in node.bases)
                yield from _render_object(f"class {node.name}" + (f"({bases})" if bases else ""), node, prefix)
                yield from _render_fields(node.body)
                yield from _render_body([part for part in node.body if isinstance(part, ast.FunctionDef)], f"{prefix}{node.name}.")
            case ast.AnnAssign(target=ast.Name(id=name)) if not name.startswith("_") and prefix.count(".") == 1 and _text_of(following):
                yield from (f"**`{prefix}{name}`** — {_text_of(following)}", "")


def _render_object(signature: str, node: ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef, prefix: str) -> Iterator[str]:
    yield from (f"### `{prefix}{node.name}`", "", "```python", signature, "```", "", _render_docstring(node), "")


def _render_fields(body: list[ast.stmt]) -> Iterator[str]:
    """Yield the fields of a record as a list, each with the string below it."""
    for node, following in itertools.zip_longest(body, body[1:]):
        match node:
            case ast.AnnAssign(target=ast.Name(id=name)) if not name.startswith("_"):
                text = _text_of(following)
                yield f"- `{name}: {ast.unparse(node.annotation)}`" + (f" — {text}" if text else "")
    yield ""


def _text_of(node: ast.stmt | None) -> str:
    """Return the string that documents what stands before it."""
    found = isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant) and isinstance(node.value.value, str)
    return " ".join(str(node.value.value).split()) if found else ""  # type: ignore[union-attr]  # what was just found


def _render_docstring(node: ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef) -> str:
    """Return a docstring; the sections `Args` and `Raises` become lists."""
    lines, in_section = [], False
    for line in (ast.get_docstring(node) or "").replace("<", "&lt;").splitlines():
        if match := SECTIONS.match(line):
            in_section = True
            lines += [f"*{match[1]}*", ""]
        elif in_section and (match := ENTRY.match(line)):
            lines.append(f"- `{match[1]}`: {match[2]}")
        else:
            lines.append(line.strip() if in_section else line)
    return "\n".join(lines)
