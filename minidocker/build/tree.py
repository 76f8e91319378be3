"""Look into files that are stacked: find names, follow links inside the root, match patterns.

Acting. A `Tree` is what a stack of directories (highest first) shows: the layers of a stage, or the one directory of the build
context. Paths are resolved by hand, one name below an open directory at a time, and a symbolic link that leads up or begins with
`/` leads to the tree's own root at most: `COPY ../../etc/passwd` and a link to `/etc` in the context find what is in the context
(CVE-2024-1753, CVE-2024-9675, CVE-2026-33747). See path_resolution(7). Chapter 10.
"""

from __future__ import annotations

import fnmatch
import os
import re
import stat
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from typing import Final

from minidocker.errors import InvalidParameter
from minidocker.kernel.overlay import Node, is_whiteout, list_stack, open_stack

__all__ = ["Tree", "find_node", "has_wildcard", "split_path"]

MAX_LINKS: Final = 40
"""As many symbolic links may a path have, as in the kernel."""
_WILDCARD: Final = re.compile(r"(?<!\\)[*?\[]")


def split_path(path: str) -> tuple[str, ...]:
    """Return the names of *path* below a root; `..` ends at the root."""
    names: list[str] = []
    for name in path.split("/"):
        if name == "..":
            del names[-1:]
        elif name not in ("", "."):
            names.append(name)
    return tuple(names)


def has_wildcard(path: str) -> bool:
    """Whether *path* is a pattern."""
    return bool(_WILDCARD.search(path))


def find_node(fds: Sequence[int], name: str) -> Node | None:
    """Return what a stack of directories shows under *name*, without following it."""
    for depth, fd in enumerate(fds):
        try:
            status = os.stat(name, dir_fd=fd, follow_symlinks=False)
        except FileNotFoundError:
            continue
        return None if is_whiteout(status) else Node(name, status, tuple(fds[depth:]))
    return None


class Tree:
    """What a stack of open directories shows; the descriptors are the caller's."""

    def __init__(self, fds: Sequence[int], *, may_link: bool = False) -> None:
        """Show *fds*, highest first; *may_link* says that its files may become part of a layer themselves."""
        self.fds, self.may_link = tuple(fds), may_link

    @contextmanager
    def open_directory(self, names: Sequence[str]) -> Iterator[tuple[int, ...]]:
        """Open the directory at a path without links; an empty stack if there is none."""
        with ExitStack() as stack:
            fds = self.fds
            for name in names:
                node = find_node(fds, name)
                fds = stack.enter_context(open_stack(node)) if node and stat.S_ISDIR(node.status.st_mode) else ()
            yield fds

    @contextmanager
    def open_node(self, names: Sequence[str]) -> Iterator[Node | None]:
        """Find what is at a path without links; its descriptors are open meanwhile."""
        with self.open_directory(names[:-1]) as fds:
            yield find_node(fds, names[-1])

    def find(self, names: Sequence[str]) -> os.stat_result | None:
        """Return the status of what is at a path without links."""
        if not names:
            return os.fstat(self.fds[0]) if self.fds else None
        with self.open_node(names) as node:
            return node.status if node else None

    def resolve(self, path: str, *, follow_last: bool = True) -> tuple[str, ...]:
        """Return the names that *path* leads to, links followed inside the tree; what does not exist stays as it is.

        Raises:
            InvalidParameter: the links form a circle.
        """
        wanted, found, links = [*reversed(split_path(path))], list[str](), 0
        while wanted:
            name = wanted.pop()
            if name == "..":
                del found[-1:]
                continue
            target = self._read_link((*found, name)) if wanted or follow_last else None
            if target is None:
                found.append(name)
                continue
            links += 1
            if links > MAX_LINKS:
                raise InvalidParameter(f"resolve `{path}`: too many levels of symbolic links")
            if target.startswith("/"):
                found.clear()
            wanted.extend(word for word in reversed(target.split("/")) if word not in ("", "."))
        return tuple(found)

    def _read_link(self, names: Sequence[str]) -> str | None:
        with self.open_node(names) as node:
            if node is None or not stat.S_ISLNK(node.status.st_mode):
                return None
            with suppress(OSError):  # it went away: then it is no link
                return os.readlink(node.name, dir_fd=node.fds[0])
        return None

    def match(self, pattern: str) -> list[tuple[str, ...]]:
        """Return what a source names: links in the middle are followed, `*`, `?`, `[…]` match inside one name, `**` any number."""
        if not has_wildcard(pattern):
            names = self.resolve(pattern.replace("\\", ""), follow_last=True)
            return [names] if self.find(names) is not None else []
        return sorted(set(self._match((), split_path(pattern))))

    def _match(self, here: tuple[str, ...], words: tuple[str, ...]) -> Iterator[tuple[str, ...]]:
        if not words:
            yield here
            return
        word, rest = words[0], words[1:]
        if word == "**":
            yield from self._match(here, rest)
        elif not has_wildcard(word):
            names = self.resolve("/".join((*here, word.replace("\\", ""))))
            if self.find(names) is not None:
                yield from self._match(names, rest)
            return
        with self.open_directory(here) as fds:
            nodes = list_stack(fds)
        for name, node in sorted(nodes.items()):
            is_directory = stat.S_ISDIR(node.status.st_mode)
            if word == "**":
                if is_directory:
                    yield from self._match((*here, name), words)
            elif _matches(name, word):
                yield from self._match(self.resolve("/".join((*here, name))) if rest else (*here, name), rest)


def _matches(name: str, pattern: str) -> bool:
    """Whether a name fits; `[^a]` is Go's way to write `[!a]`, and a backslash takes the meaning of the next character."""
    pattern = re.sub(r"\\(.)", lambda m: f"[{m[1]}]" if m[1] in "*?[" else m[1], pattern).replace("[^", "[!")
    return fnmatch.fnmatchcase(name, pattern)
