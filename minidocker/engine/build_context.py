"""The files of a build: an archive, an URL or a repository becomes a directory.

Acting. The context is a stranger's: it is unpacked below an open directory (`minidocker.image.extract`), everything in it belongs to
root, and device nodes are refused, because a step that mounts the context would see the machine's own. The Dockerfile is looked
up in it like any other path of it, so that a link cannot lead to a file of the host. Chapter 10.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Final

from minidocker.build.sources import is_git
from minidocker.build.tree import Tree
from minidocker.codec.tar import ByteSource, InvalidArchive, Kind, TarEntry, TarReader
from minidocker.dockerfile.ignore import IGNORE_FILE, is_ignored, parse_ignore_file
from minidocker.engine.build_fetch import fetch_source
from minidocker.errors import InvalidParameter
from minidocker.codec.compression import open_decompressed
from minidocker.image.extract import extract_files
from minidocker.kernel.overlay import open_trees

__all__ = ["fetch_context", "read_dockerfile", "unpack_context"]

MAX_DOCKERFILE_BYTES: Final = 8 << 20
"""A Dockerfile with a thousand lines has 50 KB; heredocs may make it longer."""


class _ContextReader(TarReader):
    """An archive without what no context may hold."""

    def __iter__(self) -> Iterator[TarEntry]:
        for entry in super().__iter__():
            if entry.kind in (Kind.CHARACTER_DEVICE, Kind.BLOCK_DEVICE):
                shown = entry.name[:200].decode(errors="replace")
                raise InvalidArchive(f"unpack build context: `{shown}` is a device", hint="list it in .dockerignore")
            yield entry


def unpack_context(source: ByteSource, directory: Path) -> None:
    """Unpack an archive, compressed or not, into the new directory.

    Raises:
        InvalidArchive, UnsafeEntry: it is damaged, leads out of the directory, or holds a device.
    """
    directory.mkdir(mode=0o755)
    with open_trees([directory]) as (fd,):
        extract_files(_ContextReader(open_decompressed(source)), fd, owner=(0, 0))


def fetch_context(remote: str, scratch: Path, *, dockerfile: str) -> Path:
    """Return the directory of a context that is somewhere else: a repository, an archive, or one Dockerfile.

    Raises:
        InvalidParameter, PeerError: as `fetch_source`.
    """
    scratch.mkdir(mode=0o700)
    names = fetch_source(remote, scratch, checksum="", keep_git_dir=False, epoch=None)
    found = scratch.joinpath(*names)
    if is_git(remote):
        with open_trees([found]) as (fd,):
            _remove_ignored(fd)
        return found
    context = scratch / "context"
    try:
        with found.open("rb", buffering=0) as file:
            unpack_context(file, context)
    except InvalidArchive:
        if any(context.iterdir()):
            raise
        with suppress(OSError):
            found.rename(context / (dockerfile if "/" not in dockerfile else "Dockerfile"))
    return context


def read_dockerfile(directory: Path, name: str) -> bytes:
    """Return the Dockerfile; afterwards the context has it no more if its own ignore file says so.

    Raises:
        InvalidParameter: it is not there, or is no file.
    """
    with open_trees([directory]) as fds:
        tree = Tree(fds)
        names = tree.resolve(name)
        if name == "Dockerfile" and tree.find(names) is None:
            names = tree.resolve("dockerfile")
        status = tree.find(names) if names else None
        if status is None or not stat.S_ISREG(status.st_mode):
            raise InvalidParameter(f"Cannot locate specified Dockerfile: {name}", hint="-f names another one")
        with tree.open_node(names) as node:
            assert node is not None
            content = _read(node.fds[0], node.name)
        if not content.strip():
            raise InvalidParameter(f"the Dockerfile ({name}) cannot be empty")
        _forget_ignored(tree, name)
    return content


def _read(directory_fd: int, name: str) -> bytes:
    fd = os.open(name, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC, dir_fd=directory_fd)
    with open(fd, "rb") as file:
        content = file.read(MAX_DOCKERFILE_BYTES + 1)
    if len(content) > MAX_DOCKERFILE_BYTES:
        raise InvalidParameter(f"read `{name}`: more than {MAX_DOCKERFILE_BYTES >> 20} MiB")
    return content


def _forget_ignored(tree: Tree, dockerfile: str) -> None:
    """Remove Dockerfile and ignore files if they are ignored: clients send them all the same, because the builder needs them."""
    own = f"{dockerfile}{IGNORE_FILE}"
    with suppress(FileNotFoundError, InvalidParameter):
        found = tree.resolve(own)
        has_own = bool(found) and tree.find(found) is not None
        with tree.open_node(found if has_own else tree.resolve(IGNORE_FILE)) as node:
            if node is None:
                return
            patterns = parse_ignore_file(_read(node.fds[0], node.name))
        for name in (dockerfile, own, IGNORE_FILE):
            names = tree.resolve(name, follow_last=False)
            if names and is_ignored(patterns, "/".join(names)):
                with tree.open_node(names) as node, suppress(OSError):
                    if node is not None:
                        os.unlink(node.name, dir_fd=node.fds[0])


def _remove_ignored(root_fd: int) -> None:
    """Apply the ignore file of a context that no client has gone through."""
    with suppress(FileNotFoundError):
        patterns = parse_ignore_file(_read(root_fd, IGNORE_FILE))
        for base, _directories, files, fd in os.fwalk(".", topdown=False, dir_fd=root_fd):
            for name in files:
                path = os.path.normpath(f"{base}/{name}")
                if is_ignored(patterns, path) and path not in ("Dockerfile", IGNORE_FILE):
                    os.unlink(name, dir_fd=fd)
