"""Find the shared libraries that a program needs, where ld.so(8) would find them.

Acting, but reads only; what is pure says so in its name (`compute_`). A program names its loader (`PT_INTERP`) and its libraries
(`DT_NEEDED`), those name others, and so on: the *closure*. What is found is collected under the path at which a program in an
image without `ld.so.cache` will look for it. Chapter 2.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path, PurePosixPath
from typing import Final

from minidocker.codec.elf import Elf, InvalidElf, parse_elf

__all__ = [
    "LIBRARY_DIRECTORIES", "MAX_PROGRAM_BYTES", "LibrarySearch", "compute_closure", "compute_own_directories", "read_elf", "resolve_file",
]  # fmt: skip

MAX_PROGRAM_BYTES: Final = 64 << 20
"""A command larger than this is left out: the image is meant to be small."""

LIBRARY_DIRECTORIES: Final = ("lib64", "usr/lib64", "lib", "usr/lib")
"""Where ld.so(8) looks last."""


def compute_closure(start: Iterable[str], needs: Mapping[str, Iterable[str]]) -> tuple[str, ...]:
    """Return the names in *start*, all that *needs* says they need, what those need, and so on: each once, as first mentioned.

    A name without an entry in *needs* was not found. It is in the closure all the same: it is needed.
    """
    closure = list(dict.fromkeys(start))
    for name in closure:  # which grows meanwhile
        closure.extend(dict.fromkeys(other for other in needs.get(name, ()) if other not in closure))
    return tuple(closure)


def compute_own_directories(elf: Elf, path: str) -> tuple[str, ...]:
    """Return the directories that the program or library at *path* wants searched before all others, without a leading `/`.

    The older `DT_RPATH` counts only where there is no `DT_RUNPATH`; `$ORIGIN` is the directory of the file itself.
    """
    origin = "/" + str(PurePosixPath(path.lstrip("/")).parent)
    words = (word.replace("${ORIGIN}", origin).replace("$ORIGIN", origin) for word in elf.runpath or elf.rpath)
    return tuple(os.path.normpath(word).lstrip("/") for word in words)


class LibrarySearch:
    """Finds libraries as ld.so(8) does, and collects them under the path where a program in the image will look."""

    def __init__(self, root: Path, machine: int) -> None:
        """Look below *root* for libraries of *machine*, a number as in `MACHINE_NUMBERS`."""
        self._root, self._machine = root, machine
        configured = tuple(_configured_directories(root, "etc/ld.so.conf"))
        self._directories = (*filter(_is_standard, configured), *LIBRARY_DIRECTORIES, *configured)
        self._home = next((d for d in self._directories if resolve_file(root, f"{d}/libc.so.6")), LIBRARY_DIRECTORIES[-1])
        self.found: dict[str, str] = {}
        """Path in the image → path on the host."""
        self._needs: dict[str, tuple[str, ...]] = {}
        """What was found → what it needs itself."""

    def add_needed(self, path: str, elf: Elf) -> bool:
        """Add everything that a program or library at *path* needs; return whether all of it is there."""
        own = compute_own_directories(elf, path)
        for name in elf.needed:
            self.add_library(name, own)
        loader = (elf.interpreter,) if elf.interpreter else ()
        source = resolve_file(self._root, elf.interpreter) if loader else ""
        if source:
            self.found[elf.interpreter.lstrip("/")] = source
            self._needs.setdefault(elf.interpreter, ())
        return all(name in self._needs for name in compute_closure((*loader, *elf.needed), self._needs))

    def add_library(self, name: str, own_directories: tuple[str, ...]) -> None:
        """Add the library *name* and what it needs itself; of two libraries with one name the first found is taken."""
        if name in self._needs:
            return
        for directory in (*own_directories, *self._directories):
            place = name.lstrip("/") if "/" in name else f"{directory}/{name}"
            source = resolve_file(self._root, place)
            elf = read_elf(self._root, source) if source else None
            if elf and elf.machine == self._machine:
                loader = (elf.interpreter,) if elf.interpreter else ()
                self._needs[name] = (*loader, *elf.needed)  # before theirs are looked for: libraries may need each other
                is_found_there = _is_standard(directory) or directory in own_directories
                self.found[place if is_found_there else f"{self._home}/{name}"] = source
                self.add_needed(source, elf)
                return


def _is_standard(directory: str) -> bool:
    """Whether a loader looks in *directory* without having been configured; the image has no ld.so.cache."""
    return directory.startswith(("lib", "usr/lib"))


def _configured_directories(root: Path, path: str, *, depth: int = 0) -> Iterator[str]:
    """Yield the directories that ld.so.conf names, with the files that it includes."""
    try:
        lines = (root / path).read_text(errors="replace").splitlines()
    except OSError:
        return
    for line in lines:
        words = line.partition("#")[0].split()
        if len(words) == 2 and words[0] == "include" and depth < 4:
            pattern = os.path.normpath(os.path.join("/", os.path.dirname(path), words[1])).lstrip("/")
            for included in sorted(root.glob(pattern)):
                yield from _configured_directories(root, str(included.relative_to(root)), depth=depth + 1)
        elif len(words) == 1 and words[0].startswith("/"):
            yield words[0].lstrip("/")


def resolve_file(root: Path, path: str) -> str:
    """Return the regular file that *path* leads to, with *root* as `/` for symbolic links; nothing if there is none."""
    parts = [part for part in path.split("/") if part]
    done: list[str] = []
    for _ in range(256):
        if not parts:
            break
        part = parts.pop(0)
        if part == "..":
            done = done[:-1]
            continue
        try:
            target = os.readlink(root.joinpath(*done, part))
        except OSError:
            done.append(part)
            continue
        done = [] if target.startswith("/") else done
        parts = [word for word in target.split("/") if word not in ("", ".")] + parts
    place = root.joinpath(*done)
    try:
        status = place.stat(follow_symlinks=False)
    except OSError:
        return ""
    is_usable = stat.S_ISREG(status.st_mode) and status.st_size <= MAX_PROGRAM_BYTES
    return "/".join(done) if is_usable and not parts else ""


def read_elf(root: Path, path: str) -> Elf | None:
    """Return what the program or library at *path* needs, nothing if it is neither."""
    try:
        return parse_elf((root / path).read_bytes())
    except (OSError, InvalidElf):
        return None
