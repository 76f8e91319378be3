"""The context of a build on its way to the server: walk, leave out what is ignored, send as an archive.

Acts. Whatever the size, one file at a time is open and one piece in memory: the archive is made while it is sent. Names are sorted and
owners are root's, so that the same files are the same bytes on every machine. What is no directory (`-`, an URL) is recognised
here; an archive or a Dockerfile on standard input by its first bytes. See the Dockerfile reference, ".dockerignore file". Chapter 14.
"""

from __future__ import annotations

import os
import stat
import sys

from minidocker.codec.tar_header import END_OF_ARCHIVE, render_blocks, render_padding
from minidocker.errors import HostError, InvalidParameter

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from typing import BinaryIO

    from minidocker.dockerfile.ignore import IgnoreRule, Verdict

__all__ = ["Context", "explain_context", "open_context", "pack_directory"]

CHUNK_BYTES = 1 << 18
IGNORE_FILE = ".dockerignore"
OUTSIDE_NAME = ".dockerfile.minidocker"
"""What a Dockerfile from outside the context is called in the archive."""
_TYPE_BYTES = {stat.S_IFREG: b"0", stat.S_IFLNK: b"2", stat.S_IFDIR: b"5", stat.S_IFIFO: b"6"}
_COMPRESSED = (b"\x1f\x8b\x08", b"BZh", b"\xfd7zXZ\0", b"\x28\xb5\x2f\xfd")


class Context:
    """What is sent: an archive in pieces, or a place where the server fetches it."""

    __slots__ = ("dockerfile", "pieces", "remote")

    def __init__(self, *, dockerfile: str, pieces: Iterator[bytes] | None = None, remote: str = "") -> None:
        """Send *pieces*, or let the server fetch *remote*; *dockerfile* is its name in there."""
        self.dockerfile = dockerfile
        self.pieces = pieces
        self.remote = remote


def open_context(place: str, dockerfile: str) -> Context:
    """Return the context at *place*, with the Dockerfile that `-f` names.

    Raises:
        InvalidParameter: no such directory, or a combination that cannot be.
    """
    if place == "-":
        if dockerfile == "-":
            raise InvalidParameter("invalid argument: can't use stdin for both build context and dockerfile")
        return _read_stdin(dockerfile)
    if not os.path.isdir(place):
        if "://" in place or place.startswith(("git@", "github.com/")):
            return Context(dockerfile=dockerfile or "Dockerfile", remote=place)
        problem = "is not a directory" if os.path.exists(place) else "not found"
        raise InvalidParameter(f'unable to prepare context: path "{place}" {problem}', hint="give a directory, an URL or -")
    name, outside = _find_dockerfile(place, dockerfile)
    return Context(dockerfile=name, pieces=pack_directory(place, find_rules(place, name, dockerfile), name, outside=outside))


def _read_stdin(dockerfile: str) -> Context:
    source = sys.stdin.buffer
    head = source.read(512)
    if head.startswith(_COMPRESSED) or head[257:262] == b"ustar" or (len(head) == 512 and not head.strip(b"\0")):
        return Context(dockerfile=dockerfile or "Dockerfile", pieces=_rest_of(head, source))
    if dockerfile:
        raise InvalidParameter("invalid argument: -f needs a context, and what came on standard input is a Dockerfile")
    return Context(dockerfile="Dockerfile", pieces=iter((_single("Dockerfile", head + source.read()), END_OF_ARCHIVE)))


def _rest_of(head: bytes, source: BinaryIO) -> Iterator[bytes]:
    yield head
    while piece := source.read(CHUNK_BYTES):
        yield piece


def _single(name: str, content: bytes) -> bytes:
    return render_blocks(name.encode(), b"0", size=len(content)) + content + render_padding(len(content))


def _find_dockerfile(place: str, dockerfile: str) -> tuple[str, bytes | None]:
    """Return the name of the Dockerfile in the archive, and its content if it comes from outside of the context."""
    if dockerfile == "-":
        return OUTSIDE_NAME, sys.stdin.buffer.read()
    if not dockerfile:
        return "Dockerfile", None
    path = os.path.realpath(dockerfile)
    if not os.path.exists(path) and os.path.exists(os.path.join(place, dockerfile)):
        path = os.path.realpath(os.path.join(place, dockerfile))
    root = os.path.realpath(place)
    if os.path.commonpath([path, root]) == root:
        return os.path.relpath(path, root).replace(os.sep, "/"), None
    try:
        with open(path, "rb") as file:
            return OUTSIDE_NAME, file.read()
    except OSError as error:
        raise HostError(f"unable to prepare context: unable to evaluate symlinks in Dockerfile path: {dockerfile}: {error.strerror}") from error


def find_rules(place: str, name: str, dockerfile: str) -> tuple[IgnoreRule, ...]:
    """Return the rules of the ignore file: the Dockerfile's own beside it, else the context's; none if there is neither."""
    beside = [f"{dockerfile}{IGNORE_FILE}", os.path.join(place, f"{name}{IGNORE_FILE}")] if dockerfile != "-" else []
    for path in (*beside, os.path.join(place, IGNORE_FILE)):
        if os.path.isfile(path):
            from minidocker.dockerfile.ignore import parse_ignore_file  # most contexts have none, and it takes as long as all the rest

            with open(path, "rb") as file:
                return parse_ignore_file(file.read(), name=os.path.basename(path))
    return ()


def walk(place: str, rules: Sequence[IgnoreRule], above: str = "", verdict: Verdict | None = None) -> Iterator[tuple[str, os.DirEntry[str], Verdict | None]]:
    """Yield each path of a directory, its entry, and what the rules say; nothing below a directory that is out for good."""
    if rules:
        from minidocker.dockerfile.ignore import Verdict, decide, has_exception_below

        verdict = verdict or Verdict()
    with os.scandir(os.path.join(place, above)) as scan:
        entries = sorted(scan, key=lambda entry: entry.name)
    for entry in entries:
        path = f"{above}/{entry.name}" if above else entry.name
        decided = decide(rules, path, verdict) if verdict else None
        yield path, entry, decided
        if entry.is_dir(follow_symlinks=False) and (decided is None or not decided.is_ignored or has_exception_below(rules, path)):
            yield from walk(place, rules, path, decided)


def pack_directory(place: str, rules: tuple[IgnoreRule, ...], dockerfile: str, *, outside: bytes | None) -> Iterator[bytes]:
    """Yield the archive of a directory; the Dockerfile and the ignore file are in it whatever the rules say."""
    waiting: list[bytes] = []
    size = 0
    for path, entry, verdict in walk(place, _keep_build_files(rules, dockerfile if outside is None else "")):
        if verdict is not None and verdict.is_ignored:
            continue
        for piece in _pack(path, entry):
            waiting.append(piece)
            size += len(piece)
            if size >= CHUNK_BYTES:
                yield b"".join(waiting)
                waiting, size = [], 0
    if outside is not None:
        waiting.append(_single(OUTSIDE_NAME, outside))
    yield b"".join((*waiting, END_OF_ARCHIVE))


def _keep_build_files(rules: tuple[IgnoreRule, ...], dockerfile: str) -> tuple[IgnoreRule, ...]:
    if not rules:
        return ()
    from minidocker.dockerfile.ignore import keep_build_files

    return keep_build_files(rules, dockerfile)


def _pack(path: str, entry: os.DirEntry[str]) -> Iterator[bytes]:
    """Yield the header and the content of one file; sockets are nobody's to copy."""
    status = entry.stat(follow_symlinks=False)
    kind = _TYPE_BYTES.get(stat.S_IFMT(status.st_mode))
    if kind is None:
        if not stat.S_ISSOCK(status.st_mode):
            raise InvalidParameter(f"send build context: `{path}` is a device", hint=f"list it in {IGNORE_FILE}")
        return
    name = path.replace(os.sep, "/").encode("utf-8", "surrogateescape")
    # On Windows, which has no right to execute, everything has it, as in Docker.
    mode = stat.S_IMODE(status.st_mode) if os.name == "posix" else 0o755
    if stat.S_ISREG(status.st_mode):
        yield from _pack_file(entry.path, name, mode, status.st_mtime_ns)
    else:
        target = os.readlink(entry.path).encode("utf-8", "surrogateescape") if stat.S_ISLNK(status.st_mode) else b""
        yield render_blocks(name, kind, mode=mode, mtime_ns=status.st_mtime_ns, link_name=target)


def _pack_file(path: str, name: bytes, mode: int, mtime_ns: int) -> Iterator[bytes]:
    """Yield exactly as many bytes as the header says, even if the file changes meanwhile."""
    try:
        fd = os.open(path, os.O_RDONLY | getattr(os, "O_BINARY", 0))
        try:
            size = left = os.fstat(fd).st_size
            yield render_blocks(name, b"0", mode=mode, size=size, mtime_ns=mtime_ns)
            while left:
                piece = os.read(fd, min(left, CHUNK_BYTES)) or bytes(min(left, CHUNK_BYTES))
                left -= len(piece)
                yield piece
            yield render_padding(size)
        finally:
            os.close(fd)
    except OSError as error:
        raise HostError(f"can't stat '{path}': {error.strerror}", hint=f"list it in {IGNORE_FILE} if the build does not need it") from error


def explain_context(place: str, dockerfile: str) -> Iterator[str]:
    """Yield a line for each path: kept or ignored, and which rule said so."""
    name, outside = _find_dockerfile(place, dockerfile)
    rules = _keep_build_files(find_rules(place, name, dockerfile), name if outside is None else "")
    for path, entry, verdict in walk(place, rules):
        slash = "/" if entry.is_dir(follow_symlinks=False) else ""
        rule = verdict.rule if verdict else None
        reason = "no rule" if rule is None else (f"line {rule.line}: {rule.text}" if rule.line else "the builder needs it")
        yield f"{'ignored' if verdict and verdict.is_ignored else 'kept   '}  {path}{slash}  ({reason})"
