"""What an import costs and where it works: no circles, a client that starts fast, and one that starts anywhere."""

from __future__ import annotations

import ast

import pytest

from tests.architecture.source import imports_of, product_modules

UNIX_ONLY = {"fcntl", "grp", "pty", "pwd", "resource", "termios", "tty", "syslog"}
"""Modules of the standard library that Windows lacks."""

LATE_COMMANDS = {"cli.daemon", "cli.doctor", "cli.explain", "cli.run", "cli.images", "cli.archives"}


def imports_when_loaded(module: str) -> set[str]:
    """Return the modules of ours that importing *module* imports at once."""
    return {e.imported for e in imports_of(product_modules()[module]) if e.at_top and not e.for_types and e.imported not in ("", module)}


def closure_of(module: str) -> set[str]:
    """Return everything of ours that is loaded when *module* is."""
    loaded: set[str] = set()
    waiting = [module]
    while waiting:
        name = waiting.pop()
        if name not in loaded:
            loaded.add(name)
            waiting += imports_when_loaded(name)
            waiting += [package for package in (name.rpartition(".")[0],) if package in product_modules()]
    return loaded


def test_import_graph_has_no_circles() -> None:
    """Two modules that need each other are one module, or a third is missing between them."""
    finished: set[str] = set()

    def visit(name: str, path: tuple[str, ...]) -> None:
        assert name not in path, " -> ".join((*path[path.index(name) :], name))
        if name not in finished:
            for below in sorted(imports_when_loaded(name)):
                visit(below, (*path, name))
            finished.add(name)

    for module in product_modules():
        visit(module, ())


@pytest.mark.parametrize("package", ["api", "engine", "container", "image", "network", "kernel"])
def test_client_starts_without_the_server(package: str) -> None:
    """`minidocker ps` must not pay for modules that only the server or one other command needs: start-up is a promise."""
    loaded = {name for name in closure_of("cli.main") if name.startswith(f"{package}.")}
    assert loaded <= {"engine.places", "engine.options"}


def test_client_starts_without_its_commands() -> None:
    """The table of commands holds names; the module of a command is imported when it is called."""
    assert closure_of("cli.main").isdisjoint(LATE_COMMANDS)


CLIENT = [name for name in product_modules() if name.partition(".")[0] in ("cli", "codec", "spec", "errors", "ids")]


@pytest.mark.parametrize("module", CLIENT)
def test_client_module_loads_on_any_system(module: str) -> None:
    """The client and `run --dry-run --explain` work on macOS and Windows: nothing they load at once is Linux's or Unix's alone."""
    loaded = closure_of(module) if module != "cli.daemon" else {module}  # the server is Linux's, and loaded after saying so
    assert "kernel.libc" not in loaded
    for name in loaded & set(product_modules()):
        top = {alias for statement in product_modules()[name].tree.body for alias in names_imported_by(statement)}
        assert not top & UNIX_ONLY, f"{module} loads {name}"


def names_imported_by(statement: ast.stmt) -> set[str]:
    """Return the modules that one statement of a module's body imports without a condition."""
    if isinstance(statement, ast.Import):
        return {alias.name for alias in statement.names}
    return {statement.module} if isinstance(statement, ast.ImportFrom) and statement.module else set()
