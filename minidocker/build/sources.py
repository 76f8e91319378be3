"""Where COPY and ADD find what they copy, and what their flags make of it.

Acting. A source is a path in the build context, in a stage or in an image; a heredoc; for ADD an archive, an URL or a git
repository. Whatever it is, it ends up as a place in a `Tree`. See the Dockerfile reference, "ADD". Chapter 10.
"""

from __future__ import annotations

import re
import stat
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from minidocker.build.copy import Source, Treatment
from minidocker.build.mode import parse_mode
from minidocker.build.tree import Tree, has_wildcard, split_path
from minidocker.dockerfile.ignore import is_ignored, parse_ignore_file
from minidocker.dockerfile.instructions import Add, Copy
from minidocker.dockerfile.mistake import DockerfileError

if TYPE_CHECKING:
    from minidocker.build.cache import Layer
    from minidocker.build.stage import Job

__all__ = ["FoundSource", "gather_sources", "is_git", "is_remote", "treat_files"]

_HTTP: Final = re.compile(r"https?://", re.IGNORECASE)
_GIT: Final = re.compile(r"(?:git://|ssh://|git@[\w.-]+:|github\.com/)\S+|https?://[^#?\s]+\.git(?:[#?]\S*)?", re.IGNORECASE)


@dataclass(frozen=True, slots=True, kw_only=True)
class FoundSource(Source):
    """A source with the name under which the key has it."""

    label: str


def is_git(text: str) -> bool:
    """Whether a source is a git repository."""
    return bool(_GIT.fullmatch(text))


def is_remote(text: str) -> bool:
    """Whether a source has to be fetched."""
    return bool(_HTTP.match(text)) or is_git(text)


def gather_sources(job: Job, index: int, instruction: Copy | Add, stack: ExitStack) -> list[FoundSource]:
    """Return what *instruction* of stage *index* copies; what is opened for it stays open as long as *stack*.

    Raises:
        DockerfileError: a source is not there, or cannot be fetched this way.
    """
    found: list[FoundSource] = []
    if instruction.sources:
        tree = _open_tree(job, index, instruction, stack)
        for text in instruction.sources:
            if is_remote(text):
                found.append(_fetch(job, instruction, text))
            else:
                found.extend(_match(job, tree, instruction, text))
    if instruction.heredocs:
        files = [(doc.name, doc.body.encode("utf-8", "surrogateescape"), 0o644) for doc in instruction.heredocs]
        tree = job.workshop.write_files(files)
        found.extend(FoundSource(tree=tree, names=(name,), label=f"<<{name}") for name, _, _ in files)
    return found


def _open_tree(job: Job, index: int, instruction: Copy | Add, stack: ExitStack) -> Tree:
    """Open the files that the sources are paths in."""
    name = instruction.from_ if isinstance(instruction, Copy) else ""
    if job.has_files(name):
        return job.workshop.context(name)[0] if not all(map(is_remote, instruction.sources)) else Tree(())
    return Tree(stack.enter_context(job.workshop.open_layers(job.find_layers(name, index))))


def _match(job: Job, tree: Tree, instruction: Copy | Add, text: str) -> Iterator[FoundSource]:
    """Yield what one path or pattern names; a pattern may name nothing."""
    parents = isinstance(instruction, Copy) and instruction.parents
    matches = tree.match(text)
    if not matches and not has_wildcard(text):
        where = f"in {instruction.from_}" if isinstance(instruction, Copy) and instruction.from_ else "in build context or excluded by .dockerignore"
        name = type(instruction).__name__.upper()
        raise DockerfileError(f"{name} failed: file not found {where}: stat {text}: file does not exist", culprit=text)
    last = text.rstrip("/").rpartition("/")[2].replace("\\", "")
    called = last if not has_wildcard(text) and last not in ("", ".", "..") else ""
    pivot = len(tree.resolve(text.partition("/./")[0])) if parents and "/./" in text else 0
    for names in matches:
        status = tree.find(names)
        unpack: Callable[[int, int, Sequence[int]], None] | None = None
        if isinstance(instruction, Add) and instruction.unpack is not False and status and stat.S_ISREG(status.st_mode):
            unpack = job.workshop.find_unpacker(tree, names)
        yield FoundSource(
            tree=tree, names=names, name=called, label="/".join(names) or "/", parents=names[pivot:] if parents else (), unpack=unpack
        )


def _fetch(job: Job, instruction: Copy | Add, text: str) -> FoundSource:
    if isinstance(instruction, Copy):
        raise DockerfileError("source can't be a URL for COPY", hint="ADD fetches URLs and git repositories", culprit=text)
    if instruction.checksum and len(instruction.sources) > 1:
        raise DockerfileError("checksum can't be specified for multiple sources", culprit="--checksum")
    if _HTTP.match(text) and not is_git(text) and instruction.destination.endswith("/") and not split_path(text.split("://", 1)[1].partition("?")[0])[1:]:
        raise DockerfileError(f"cannot determine filename from url: {text}", hint="name the file in the destination", culprit=text)
    fetched = job.workshop.fetch(text, checksum=instruction.checksum, keep_git_dir=bool(instruction.keep_git_dir))
    unpack = job.workshop.find_unpacker(fetched.tree, fetched.names) if instruction.unpack and fetched.names else None
    return FoundSource(tree=fetched.tree, names=fetched.names, label=text, unpack=unpack)


def treat_files(job: Job, instruction: Copy | Add, layers: Sequence[Layer]) -> Treatment:
    """Return what the flags of *instruction* make of each file; names in --chown are looked up in *layers*."""
    owner = None
    if instruction.chown:
        with job.workshop.open_layers(layers) as fds:
            owner = job.workshop.resolve_owner(instruction.chown, Tree(fds))
    excluded = None
    if instruction.exclude:
        rules = parse_ignore_file("\n".join(instruction.exclude), name="--exclude")

        def excluded(names: tuple[str, ...]) -> bool:
            return is_ignored(rules, "/".join(names))

    root = job.workshop.resolve_owner("0:0", Tree(()))
    return Treatment(owner=owner, root=root, change_mode=parse_mode(instruction.chmod), excluded=excluded, epoch=job.request.epoch)
