"""What is in a machine: the files of the first root file system, and the archives that they travel in.

Three archives follow each other: the system (interpreter, standard library, shell), the modules of one kernel, the settings of one
start. The system is the costly one and does not change between starts. Python modules of the library go in compiled and without
their source; compiled code is written in a form of marshal that does not depend on what else the process holds (version 2, without
back references), so that equal inputs give equal bytes. Acting: reads the host's files, writes an archive. Chapter 20.
"""

from __future__ import annotations

import importlib.util
import marshal
import os
import stat
import sys
import sysconfig
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import IO, Final

from minidocker.codec.elf import MACHINE_NUMBERS, strip_sections
from minidocker.codec.tar import Kind
from minidocker.errors import HostError
from minidocker.builtin.libraries import LibrarySearch, read_elf
from minidocker.builtin.toolbox import TreeFile, gather_toolbox
from minidocker.machine.cpio import END_OF_ARCHIVE, render_member
from minidocker.machine.imports import ALWAYS, find_closure
from minidocker.machine.settings import MODULE_DIRECTORY, SETTINGS_PATH, Settings, render_settings

__all__ = ["PROJECT_DIRECTORY", "Interpreter", "find_interpreter", "gather_system", "render_extras", "write_archive"]

PROJECT_DIRECTORY: Final = "opt/minidocker"
"""Where the checkout is in the machine, with its sources: its tests read them."""
LIBRARY_DIRECTORY: Final = "opt/library"
"""Where packages from outside the standard library are."""

FIRST_PROCESS: Final = """\
import sys
sys.path[:0] = ["/{project}"]
sys.dont_write_bytecode = True
from minidocker.machine.init import main
main()
"""

_TYPE_BITS: Final = {
    Kind.FILE: stat.S_IFREG, Kind.DIRECTORY: stat.S_IFDIR, Kind.SYMLINK: stat.S_IFLNK, Kind.CHARACTER_DEVICE: stat.S_IFCHR,
}  # fmt: skip


@dataclass(frozen=True, slots=True, kw_only=True)
class Interpreter:
    """A Python of the host that can be put into a machine."""

    program: Path
    library: Path
    """Where its standard library is; in the machine it is at the same path, so that the interpreter finds it."""
    machine: str
    """As uname(2) names it."""
    tag: str
    """In the names of compiled files, such as `cpython-311`."""


def find_interpreter(program: str) -> Interpreter:
    """Return the running interpreter, *program* (a link or a virtual environment leads to it).

    Raises:
        HostError: it is no Linux program: it could not run in the machine.
    """
    path = Path(os.path.realpath(program))
    if read_elf(Path("/"), str(path).lstrip("/")) is None:
        raise HostError(f"build machine: `{path}` is no Linux program, so it cannot run in the machine", hint="build it on Linux")
    library = Path(os.path.realpath(sysconfig.get_path("stdlib")))
    return Interpreter(program=path, library=library, machine=os.uname().machine, tag=sys.implementation.cache_tag or "")


def gather_system(
    interpreter: Interpreter, *, project: Path, project_files: Sequence[Path], names: Iterable[str], libraries: Sequence[Path] = ()
) -> Sequence[TreeFile]:
    """Return the files of a machine that can import *names* and has *project_files* of *project*.

    *libraries* are directories with packages from outside the standard library.

    Raises:
        HostError: the interpreter lacks a library, or the host has no shell.
    """
    tree = {file.path: file for file in gather_toolbox(interpreter.machine)}
    _add_program(tree, interpreter)
    built_with = [path.stem for path in interpreter.library.glob("_sysconfigdata_*.py")]  # `sysconfig` imports it by a made-up name
    closure = find_closure([*ALWAYS, *built_with, *names], [project, interpreter.library, interpreter.library / "lib-dynload", *libraries])
    search = LibrarySearch(Path("/"), MACHINE_NUMBERS[interpreter.machine])
    own = frozenset(project_files)  # not everything below the project: its virtual environment may lie there
    for name, path in closure.items():
        if path not in own:
            _add_module(tree, name, path, interpreter, search)
    _add_metadata(tree, {name.partition(".")[0] for name in closure}, libraries)
    for path in project_files:
        _add_project_file(tree, path, project, interpreter)
    _add_libraries(tree, interpreter, search)
    first = FIRST_PROCESS.format(project=PROJECT_DIRECTORY)
    tree["init"] = TreeFile(path="init", mode=0o755, content=f"#!{interpreter.program} -I\n{first}".encode())
    return tuple(tree.values())


def _take_program(place: str, path: Path) -> TreeFile:
    """Return a program or library of the host without its sections; those of an interpreter made for debugging are half of a machine."""
    return TreeFile(path=place, mode=0o755, content=strip_sections(path.read_bytes()))


def _add_program(tree: dict[str, TreeFile], interpreter: Interpreter) -> None:
    place = str(interpreter.program).lstrip("/")
    tree[place] = _take_program(place, interpreter.program)
    for name in ("bin/python3", "usr/bin/python3"):
        if name != place:
            tree[name] = TreeFile(path=name, kind=Kind.SYMLINK, mode=0o777, link=str(interpreter.program))


def _add_module(tree: dict[str, TreeFile], name: str, path: Path, interpreter: Interpreter, search: LibrarySearch) -> None:
    """Add a module outside the project: compiled code in the place of the source, or an extension with its libraries."""
    is_own = interpreter.library in path.parents and "-packages" not in str(path.relative_to(interpreter.library))
    if path.suffix != ".py":
        source = str(path).lstrip("/")
        place = source if is_own else f"{LIBRARY_DIRECTORY}/{name.replace('.', '/')}{path.name[path.name.index('.') :]}"
        elf = read_elf(Path("/"), source)
        if elf is not None and search.add_needed(source, elf):
            tree[place] = _take_program(place, path)
        return
    stem = name.replace(".", "/") + ("/__init__" if path.name == "__init__.py" else "")
    home = str(interpreter.library).lstrip("/") if is_own else LIBRARY_DIRECTORY
    compiled = _compile(path, f"/{home}/{stem}.py")
    if compiled:
        tree[f"{home}/{stem}.pyc"] = TreeFile(path=f"{home}/{stem}.pyc", content=compiled)


def _add_metadata(tree: dict[str, TreeFile], packages: set[str], libraries: Sequence[Path]) -> None:
    """Add what packages from outside say about themselves; some ask for their own version there."""
    for path in (path for directory in libraries for path in sorted(directory.glob("*.dist-info/METADATA"))):
        if path.parent.name.partition("-")[0].lower() in packages:
            place = f"{LIBRARY_DIRECTORY}/{path.parent.name}/{path.name}"
            tree[place] = TreeFile(path=place, host_path=str(path))


def _add_project_file(tree: dict[str, TreeFile], path: Path, project: Path, interpreter: Interpreter) -> None:
    place = PurePosixPath(PROJECT_DIRECTORY, *path.relative_to(project).parts)
    tree[str(place)] = TreeFile(path=str(place), mode=0o755 if os.access(path, os.X_OK) else 0o644, host_path=str(path))
    if path.suffix == ".py":
        cached = str(place.parent / "__pycache__" / f"{place.stem}.{interpreter.tag}.pyc")
        tree[cached] = TreeFile(path=cached, content=_compile(path, f"/{place}"))


def _compile(path: Path, shown_path: str) -> bytes:
    """Return the compiled form of a module, valid whatever the times of its source are; nothing for one that does not compile."""
    source = path.read_bytes()
    try:
        code = compile(source, shown_path, "exec", dont_inherit=True, optimize=0)
    except SyntaxError:
        return b""
    flags = 0b01  # a digest of the source follows, and it is not compared
    return importlib.util.MAGIC_NUMBER + flags.to_bytes(4, "little") + importlib.util.source_hash(source) + marshal.dumps(code, 2)


def _add_libraries(tree: dict[str, TreeFile], interpreter: Interpreter, search: LibrarySearch) -> None:
    program = str(interpreter.program).lstrip("/")
    elf = read_elf(Path("/"), program)
    if elf is None or not search.add_needed(program, elf):
        raise HostError(f"build machine: `/{program}` needs a library that is not on this host")
    for place, source in search.found.items():
        tree[place] = _take_program(place, Path("/", source))


def render_extras(modules: Sequence[Path], settings: Settings, *, files: Mapping[str, bytes] | None = None) -> Sequence[TreeFile]:
    """Return the files that differ from start to start: the modules of the kernel, in order, the settings, and *files*."""
    tree = [TreeFile(path=f"{MODULE_DIRECTORY}/{number:02}-{path.name}", host_path=str(path)) for number, path in enumerate(modules)]
    tree += [TreeFile(path=path, content=content, mode=0o600) for path, content in (files or {}).items()]
    return (*tree, TreeFile(path=SETTINGS_PATH, content=render_settings(settings)))


def write_archive(tree: Sequence[TreeFile], output: IO[bytes]) -> None:
    """Write *tree* as one cpio archive, every directory before what is in it."""
    files = {file.path: file for file in tree}
    for path in list(files):
        for parent in PurePosixPath(path).parents:
            if str(parent) != ".":
                files.setdefault(str(parent), TreeFile(path=str(parent), kind=Kind.DIRECTORY, mode=0o755))
    for inode, (path, file) in enumerate(sorted(files.items()), start=1):
        content = file.link.encode() if file.kind is Kind.SYMLINK else b"" if file.kind is Kind.DIRECTORY else file.read()
        output.write(render_member(os.fsencode(path), inode=inode, mode=_TYPE_BITS[file.kind] | file.mode, content=content))
    output.write(END_OF_ARCHIVE)
