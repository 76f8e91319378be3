"""The architecture, held by tests: imports point down, pure modules are pure, and every exception has a reason."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.architecture.layers import (
    BANS, EXCEPTIONS, FORBIDDEN_NAMES, IMPURE_MODULES, LEVELS, LONG_FUNCTIONS, LONG_MODULES, MAX_FUNCTION_LINES,
    MAX_MODULE_LINES, PURE_PACKAGES, WORLD_CALLS,
)  # fmt: skip

ROOT = Path(__file__).resolve().parents[2]
PACKAGE = ROOT / "minidocker"
SOURCES = sorted(PACKAGE.rglob("*.py"))
TESTS = sorted((ROOT / "tests").rglob("test_*.py"))


def _name(path: Path) -> str:
    """Return the dotted name below `minidocker`; a package is its `__init__`."""
    parts = path.relative_to(PACKAGE).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" and len(parts) > 1 else parts)


def _imports(path: Path) -> Iterator[str]:
    """Yield every module that *path* imports, except for type checking only."""
    tree = ast.parse(path.read_text())
    skipped = {
        id(inner)
        for node in ast.walk(tree)
        if isinstance(node, ast.If) and isinstance(node.test, ast.Name) and node.test.id == "TYPE_CHECKING"
        for inner in ast.walk(node)
    }
    for node in ast.walk(tree):
        if id(node) in skipped:
            continue
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            yield from (f"{node.module}.{alias.name}" if node.module == "minidocker" else node.module for alias in node.names)


def _is_listed(module: str, places: frozenset[str]) -> bool:
    return any(module == place or module.startswith(place + ".") for place in places)


@pytest.mark.parametrize("path", SOURCES, ids=_name)
def test_imports_point_down(path: Path) -> None:
    """A package imports the levels below it, and concepts are strangers to each other: that is why one can be read alone."""
    module = _name(path)
    package = module.partition(".")[0]
    if module == "__init__":
        return
    for imported in _imports(path):
        head, _, rest = imported.partition(".")
        target = rest.partition(".")[0]
        if head != "minidocker" or not target or target == package or target.isupper():
            continue
        excepted = (module, target) in EXCEPTIONS or (package, target) in EXCEPTIONS
        assert target in LEVELS[package] or excepted, f"{module} imports minidocker.{target}"


def test_exceptions_are_still_needed() -> None:
    """An exception that nobody uses any more is a hole."""
    used = set()
    for path in SOURCES:
        module = _name(path)
        for imported in _imports(path):
            target = imported.removeprefix("minidocker.").partition(".")[0]
            used |= {(module, target), (module.partition(".")[0], target)}
    assert set(EXCEPTIONS) <= used


@pytest.mark.parametrize("path", [p for p in SOURCES if str(p.relative_to(PACKAGE)).startswith(PURE_PACKAGES)], ids=_name)
def test_pure_module_touches_nothing(path: Path) -> None:
    """Values in, values out: such a module runs on any system, and its tests need no machine."""
    imported = {name.partition(".")[0] for name in _imports(path)}
    assert not imported & IMPURE_MODULES
    calls = [n.func.id for n in ast.walk(ast.parse(path.read_text())) if isinstance(n, ast.Call) and isinstance(n.func, ast.Name)]
    assert "open" not in calls


@pytest.mark.parametrize("path", SOURCES, ids=_name)
def test_banned_things_stay_in_their_places(path: Path) -> None:
    """ctypes, processes, the environment and output each have one home, so that one knows where to look."""
    module = _name(path)
    imported = {name.partition(".")[0] for name in _imports(path)}
    for banned, (places, why) in BANS.items():
        assert banned not in imported or _is_listed(module, places), f"{module} imports {banned}: {why}"
    for node in ast.walk(ast.parse(path.read_text())):
        used = ""
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name):
            used = node.func.id
        elif isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name):
            used = f"{node.value.id}.{node.attr}"
        if used in WORLD_CALLS:
            places, why = WORLD_CALLS[used]
            assert _is_listed(module, places), f"{module} uses {used}: {why}"


@pytest.mark.parametrize("path", SOURCES, ids=_name)
def test_modules_are_small_and_named_after_what_they_are(path: Path) -> None:
    """A module fits on a few screens, and no name says "things that had no place"."""
    module = _name(path)
    assert not set(module.split(".")) & FORBIDDEN_NAMES
    assert len(path.read_text().splitlines()) <= MAX_MODULE_LINES or module in LONG_MODULES


@pytest.mark.parametrize("path", SOURCES, ids=_name)
def test_functions_are_short(path: Path) -> None:
    """Sixty lines are where a function stops being read at one go; each longer one says why."""
    module = _name(path)
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.FunctionDef) and f"{module}.{node.name}" not in LONG_FUNCTIONS:
            length = (node.end_lineno or node.lineno) - node.lineno + 1
            assert length <= MAX_FUNCTION_LINES, f"{module}.{node.name} has {length} lines"


@pytest.mark.parametrize("path", SOURCES, ids=_name)
def test_module_opens_with_a_charter_and_holds_no_history(path: Path) -> None:
    """The first lines say what the module is; what it was, or will be, belongs into commits and issues."""
    text = path.read_text()
    assert ast.get_docstring(ast.parse(text)) or not text.strip()
    assert "TODO" not in text
    assert "FIXME" not in text


@pytest.mark.parametrize("path", TESTS, ids=lambda path: str(path.relative_to(ROOT / "tests")))
def test_every_test_states_its_rule(path: Path) -> None:
    """Tests are read to learn the behaviour: the name is a sentence, the docstring says why."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.FunctionDef) and node.name.startswith("test_"):
            assert ast.get_docstring(node), f"{node.name} has no docstring"
            assert node.name.count("_") >= 2, f"{node.name} is no sentence"
