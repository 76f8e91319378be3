"""The tests as a book: every test is a sentence with a reason, in the chapter whose code it is about.

Rule: nothing is imported and nothing run; names and docstrings say all. A file's chapter is the one that it names itself
(`pytestmark = pytest.mark.chapter(16)`), else that of the module whose name it bears, else the last one of the modules it imports.
"""

from __future__ import annotations

import ast
import functools
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from chapters.manifest import BOOK, CHECKOUT, read_exercises
from chapters.screen import sentence_of
from chapters.stub import find_functions
from chapters.table import number_of_module, read_chapters

__all__ = ["Statement", "TestFile", "find_statements", "number_of_file", "read_files", "render_markdown"]

TESTS = CHECKOUT / "tests"


@dataclass(frozen=True, slots=True, kw_only=True)
class Statement:
    """What one test says."""

    name: str
    """`test_chain_id_depends_on_everything_below`"""
    reason: str
    """Its docstring: the rule, and why it is so."""
    path: Path
    line: int

    @property
    def sentence(self) -> str:
        """The name, read as what it is."""
        return sentence_of(self.name)

    def read_code(self) -> str:
        """Return the test itself, with what its cases are made of, without the docstring that was told already."""
        source = self.path.read_text(encoding="utf-8")
        node = find_functions(ast.parse(source))[self.name]
        first = min([node.lineno, *(decorator.lineno for decorator in node.decorator_list)])
        lines = source.splitlines()
        docstring = node.body[0]
        return "\n".join([*lines[first - 1 : docstring.lineno - 1], *lines[docstring.end_lineno or 0 : node.end_lineno]])

    @property
    def id(self) -> str:
        """Short and unique: `unit/image/layer/chain_id_depends_on_everything_below`."""
        root = TESTS if self.path.is_relative_to(TESTS) else BOOK
        folder = self.path.relative_to(root).parent.as_posix()
        return f"{folder}/{self.path.stem.removeprefix('test_')}/{self.name.removeprefix('test_')}"


@dataclass(frozen=True, slots=True, kw_only=True)
class TestFile:
    """One file of tests."""

    __test__ = False  # not a class for pytest to look into

    path: Path
    about: str
    """What its docstring says."""
    chapter: int
    """0 for what belongs to the whole."""
    statements: tuple[Statement, ...]

    @property
    def tier(self) -> str:
        """What its tests need: `T0` any system, `T1+` Linux, `peers` other programs."""
        parts = self.path.parts
        if exercise := next((e for e in read_exercises().values() if e.test_path == self.path), None):
            return f"exercise, T{exercise.tier}"
        return "T1+" if "linux" in parts else "peers" if "compat" in parts else "T0"


@functools.cache
def read_files() -> tuple[TestFile, ...]:
    """Return all tests of the project and of the exercises, in the order of the book."""
    paths = [*TESTS.rglob("test_*.py"), *BOOK.glob("[0-9][0-9]-*/test_*.py")]
    files = [_read_file(path) for path in sorted(paths)]
    return tuple(sorted(files, key=lambda file: (file.chapter or 1000, file.tier, str(file.path))))


def _read_file(path: Path) -> TestFile:
    tree = ast.parse(path.read_bytes())
    statements = [
        Statement(name=name, reason=ast.get_docstring(node) or "", path=path, line=node.lineno)
        for name, node in find_functions(tree).items()
        if name.startswith("test_")
    ]
    about = (ast.get_docstring(tree) or "").partition("\n\n")[0].replace("\n", " ")
    return TestFile(path=path, about=about, chapter=_number_of(path, tree), statements=tuple(statements))


def number_of_file(path: Path) -> int:
    """Return the chapter of a file of tests; 0 if it is about the whole."""
    return next((file.chapter for file in read_files() if file.path == path), 0)


def _number_of(path: Path, tree: ast.Module) -> int:
    if not path.is_relative_to(TESTS):
        return int(path.parent.name.partition("-")[0])
    for node in ast.walk(tree):
        if isinstance(node, ast.Call) and ast.unparse(node.func) == "pytest.mark.chapter":
            return int(ast.literal_eval(node.args[0]))
    kind, *packages = path.relative_to(TESTS).parent.parts or ("",)
    if kind not in ("unit", "linux", "compat"):
        return 0
    words = path.stem.removeprefix("test_").split("_")
    for length in range(len(words), 0, -1) if packages else ():
        module = ".".join(["minidocker", *packages, "_".join(words[:length])])
        if number := number_of_module(module, default=0):
            return number
    return max([number_of_module(module, default=0) for module in _imported(tree)], default=0)


def _imported(tree: ast.Module) -> Iterator[str]:
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("minidocker"):
            yield from (f"{node.module}.{alias.name}" for alias in node.names)
            yield str(node.module)
        elif isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names if alias.name.startswith("minidocker"))


def find_statements(words: str) -> list[Statement]:
    """Return the tests whose id ends in *words* or, if there are none, those that hold all of them."""
    wanted = words.strip().replace("::", "/").removesuffix("/")
    name = wanted.rpartition("/")[2].partition("[")[0].removeprefix("test_")
    everything = [statement for file in read_files() for statement in file.statements]
    exact = [s for s in everything if s.name.removeprefix("test_") == name or s.id == wanted]
    if exact:
        return exact
    parts = wanted.lower().replace("_", " ").split()
    return [s for s in everything if all(part in f"{s.id.replace('_', ' ')} {s.sentence}".lower() for part in parts)]


def render_markdown() -> str:
    """Return the whole catalogue as a page."""
    titles = {chapter.number: f"{chapter.number}. {chapter.title}" for chapter in read_chapters()} | {0: "The whole"}
    parts: list[str] = []
    shown: int | None = None
    for file in read_files():
        if not file.statements:
            continue
        if file.chapter != shown:
            shown = file.chapter
            parts.append(f"\n## {titles[file.chapter]}\n")
        parts.append(f"\n**{_escape(file.about)}** `{file.path.relative_to(CHECKOUT).as_posix()}` ({file.tier})\n")
        for statement in file.statements:
            reason = " ".join(statement.reason.split())
            parts.append(f"- *{_escape(statement.sentence)}*: {_escape(reason)}")
    count = sum(len(file.statements) for file in read_files())
    return f"{count} sentences in {len(read_files())} files.\n" + "\n".join(parts)


def _escape(text: str) -> str:
    """Keep Markdown from reading anything into a docstring but its code."""
    inside = False
    shown = []
    for character in text:
        inside ^= character == "`"
        shown.append("\\" + character if not inside and character in "*_<>[]{}#|$" else character)
    return "".join(shown) + ("`" if inside else "")
