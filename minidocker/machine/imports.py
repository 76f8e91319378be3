"""Find every module that a Python program can import, by reading it.

A whole standard library has 40 MB, and what a program imports of it a tenth of that. `find_closure` starts from the names of a few
modules and follows each `import` in their sources, those inside functions too; what a program imports by a name that it makes up
while it runs must be named. Acting, but reads only. See the import system in Python's reference. Chapter 20.
"""

from __future__ import annotations

import ast
import importlib.machinery
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Final

__all__ = ["ALWAYS", "compute_names", "find_closure"]

ALWAYS: Final = (
    "site", "os", "io", "codecs", "runpy", "warnings", "traceback", "linecache", "locale", "encodings.utf_8", "encodings.ascii", "encodings.latin_1",
    "encodings.idna", "encodings.aliases", "encodings.utf_8_sig", "encodings.unicode_escape", "encodings.raw_unicode_escape", "encodings.cp437",
    "encodings.hex_codec", "encodings.utf_16", "encodings.utf_32",
)  # fmt: skip
"""What the interpreter loads by itself, and encodings, which are imported by their names."""

_EXTENSIONS: Final = tuple(importlib.machinery.EXTENSION_SUFFIXES)


LEFT_OUT: Final = frozenset({"tkinter", "turtle", "idlelib", "test", "lib2to3", "ensurepip", "distutils", "setuptools", "pip", "sphinx"})
"""Large packages that something imports in a corner that no machine comes to: windows, installers, documentation."""


def find_closure(names: Iterable[str], search_path: Sequence[Path]) -> Mapping[str, Path]:
    """Return module → file for *names* and everything they import that lies below *search_path*, sorted by name.

    A name that is nowhere there is left out: it is built into the interpreter, or the program does without it.
    """
    found: dict[str, Path] = {}
    pending, seen = [*names], set[str]()
    while pending:
        name = pending.pop()
        if name in seen or name in sys.builtin_module_names or name.partition(".")[0] in LEFT_OUT:
            continue
        seen.add(name)
        parent = name.rpartition(".")[0]
        if parent:
            pending.append(parent)
        path = _find_module(name, search_path)
        if path is not None:
            found[name] = path
            if path.suffix == ".py":
                package = name if path.name == "__init__.py" else parent
                pending += compute_names(path.read_bytes(), package=package, path=str(path))
    return dict(sorted(found.items()))


def compute_names(source: bytes, *, package: str, path: str = "<source>") -> Iterator[str]:
    """Yield the names that *source*, a module in *package*, may import; `from a import b` may mean the module `a.b`."""
    try:
        tree = ast.parse(source, path)
    except SyntaxError:
        return  # for another version of Python; importing it would fail as well
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = node.module or ""
            if node.level:
                above = package.split(".")[: len(package.split(".")) - node.level + 1]
                base = ".".join([*above, base] if base else above)
            if base:
                yield base
                yield from (f"{base}.{alias.name}" for alias in node.names if alias.name != "*")


def _find_module(name: str, search_path: Sequence[Path]) -> Path | None:
    """Return the file of the module *name*: a package, a source file or an extension, in the order of Python's own finder."""
    place = name.replace(".", "/")
    for directory in search_path:
        endings = ("/__init__.py", *_EXTENSIONS, ".py")
        for path in (directory / f"{place}{ending}" for ending in endings):
            if path.is_file():
                return path
    return None
