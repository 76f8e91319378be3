"""The project's own source as syntax trees: what the architecture tests look at.

Nothing is imported to be examined, so the tests run on any system, whatever the modules need.
"""

from __future__ import annotations

import ast
import functools
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

CHECKOUT = Path(__file__).resolve().parents[2]
PACKAGE = CHECKOUT / "minidocker"


@dataclass(frozen=True, slots=True, kw_only=True)
class Module:
    """One source file."""

    name: str
    """Dotted, without `minidocker.`: `container.plan`; a package is its `__init__`; the root package is empty."""
    path: Path
    text: str
    tree: ast.Module

    @property
    def package(self) -> str:
        """The first part of the name: `container`, or the module itself at the top."""
        return self.name.partition(".")[0]

    @property
    def lines(self) -> int:
        """How long the file is."""
        return len(self.text.splitlines())


@dataclass(frozen=True, slots=True, kw_only=True)
class Import:
    """One import of one of our modules by another."""

    importer: str
    imported: str
    line: int
    at_top: bool
    """Whether it happens when the importer is imported, rather than when a function is called."""
    for_types: bool
    """Whether only a type checker follows it."""


def read_module(path: Path, *, root: Path) -> Module:
    """Parse one file; its name is its path below *root*."""
    text = path.read_text(encoding="utf-8")
    parts = [*path.relative_to(root).with_suffix("").parts]
    name = ".".join(parts[:-1] if parts[-1] == "__init__" else parts)
    return Module(name=name, path=path, text=text, tree=ast.parse(text, str(path)))


@functools.cache
def product_modules() -> dict[str, Module]:
    """Return every module of the product by name."""
    modules = (read_module(path, root=PACKAGE) for path in sorted(PACKAGE.rglob("*.py")))
    return {module.name: module for module in modules}


def imports_of(module: Module) -> Iterator[Import]:
    """Yield the imports of our own modules in *module*, wherever they stand."""
    yield from _imports_below(module.tree, importer=module.name, at_top=True, for_types=False)


def _imports_below(node: ast.AST, *, importer: str, at_top: bool, for_types: bool) -> Iterator[Import]:
    for child in ast.iter_child_nodes(node):
        typed = for_types or (isinstance(child, ast.If) and "TYPE_CHECKING" in ast.dump(child.test))
        top = at_top and not isinstance(child, (ast.FunctionDef, ast.AsyncFunctionDef, ast.Lambda))
        for name in _imported_names(child):
            yield Import(importer=importer, imported=name, line=getattr(child, "lineno", 0), at_top=top, for_types=typed)
        yield from _imports_below(child, importer=importer, at_top=top, for_types=typed)


def _imported_names(node: ast.AST) -> Iterator[str]:
    """Yield the modules of ours that one statement imports; `from package import module` names the module."""
    if isinstance(node, ast.Import):
        yield from (alias.name.removeprefix("minidocker").lstrip(".") for alias in node.names if is_ours(alias.name))
    elif isinstance(node, ast.ImportFrom):
        assert node.level == 0, f"line {node.lineno}: imports are absolute, so that a file can be read by itself"
        if node.module and is_ours(node.module):
            base = node.module.removeprefix("minidocker").lstrip(".")
            for alias in node.names:
                below = f"{base}.{alias.name}".lstrip(".")
                yield below if below in product_modules() else base


def is_ours(name: str) -> bool:
    """Whether a dotted name is the product or below it."""
    return name == "minidocker" or name.startswith("minidocker.")
