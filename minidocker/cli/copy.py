"""`cp`: files between a container and this machine, as archives through the Remote API. Acts.

The rules are those of `cp -a`, spelled out: a destination that is a directory takes the source in under its own name; one that
does not exist gives it its name; `SRC/.` means what is in SRC, not SRC. Which of these holds is decided here, by the pure
`plan_copy`, because only the client knows both sides. Chapter 14.
"""

from __future__ import annotations

import os
import posixpath
import sys

from minidocker.client.transport import DaemonError
from minidocker.cli.command import Command
from minidocker.client.fields import number_at, text_at
from minidocker.cli.flags import BOOL, Flag
from minidocker.cli.units import render_size
from minidocker.client.local_files import PieceReader
from minidocker.codec.tar import TarReader
from minidocker.errors import HostError, InvalidParameter

TYPE_CHECKING = False
if TYPE_CHECKING:
    from minidocker.cli.flags import Options
    from minidocker.cli.session import Session
    from minidocker.spec.record import Json

__all__ = ["CP", "plan_copy", "split_container_path"]

GO_DIRECTORY = 1 << 31
GO_SYMLINK = 1 << 27


class Place:
    """One end of a copy: a path, and what is there."""

    __slots__ = ("exists", "is_directory", "path")

    def __init__(self, path: str, *, exists: bool, is_directory: bool) -> None:
        """Note what was found at *path*."""
        self.path, self.exists, self.is_directory = path, exists, is_directory


def split_container_path(text: str) -> tuple[str, str]:
    """Return (container, path) of `CONTAINER:PATH`; the container is empty for a local path.

    An absolute path, or one that begins with `.`, is local, whatever colons it has.
    """
    container, colon, path = text.partition(":")
    if not colon or os.path.isabs(text) or text.startswith(".") or (len(container) == 1 and os.name == "nt"):
        return "", text
    return container, path


def plan_copy(source: Place, target: Place) -> tuple[str, str]:
    """Return the directory to unpack in, and the new first name (empty: as it is).

    Raises:
        InvalidParameter: a directory would go where a file is, or into a directory that does not exist.
    """
    parent, name = posixpath.split(target.path.rstrip("/"))
    if target.exists and target.is_directory:
        return target.path, ""
    if target.exists and source.is_directory:
        raise InvalidParameter("cannot copy directory")
    if not target.exists and not source.is_directory and (target.path.endswith("/") or name == "."):
        raise InvalidParameter("no such directory")
    return parent or ("/" if target.path.startswith("/") else "."), name


def _base_name(path: str) -> str:
    return posixpath.basename(path.rstrip("/")) or "/"


def _read_stat(header: str) -> Json:
    import base64
    import json

    value: Json = json.loads(base64.b64decode(header))
    return value


def _stat(session: Session, container: str, path: str) -> Json:
    """Return what is at a path in a container."""
    answer = session.client().call("HEAD", f"/containers/{container}/archive", {"path": path})
    answer.read()
    return _read_stat(answer.headers.get("x-docker-container-path-stat", ""))


def _is(status: Json, bit: int) -> bool:
    return bool(number_at(status, "mode") & bit)


def _copy_out(session: Session, options: Options, container: str, path: str, target: str) -> int:
    """Copy from a container."""
    name = _base_name(path)
    if options.switch("follow-link") and _is(status := _stat(session, container, path), GO_SYMLINK):
        path = text_at(status, "linkTarget")
    answer = session.client().open("GET", f"/containers/{container}/archive", {"path": path})
    if target == "-":
        for piece in answer.iterate():
            sys.stdout.buffer.write(piece)
        return 0
    from minidocker.client.local_files import unpack

    status = _read_stat(answer.headers.get("x-docker-container-path-stat", ""))
    source = Place(path, exists=True, is_directory=_is(status, GO_DIRECTORY))
    found = Place(target, exists=os.path.exists(target), is_directory=os.path.isdir(target))
    if not found.exists and not os.path.isdir(os.path.dirname(target.rstrip("/")) or "."):
        raise InvalidParameter(f'invalid output path: directory "{os.path.dirname(target.rstrip("/"))}" does not exist')
    directory, new_name = plan_copy(source, found)
    content = PieceReader(answer.iterate())
    if not new_name and name != _base_name(path):
        new_name = name
    unpack(TarReader(content), directory, old_name=_base_name(path), new_name=new_name or _base_name(path))
    for _ in content:  # what stands behind the end of the archive
        pass
    return _report(options, content, target)


def _copy_in(session: Session, options: Options, source: str, container: str, path: str) -> int:
    """Copy into a container."""
    target = _find_target(session, container, path)
    if source == "-":
        if not target.is_directory:
            raise InvalidParameter(f'destination "{container}:{path}" must be a directory')
        directory, pieces = target.path, iter(lambda: sys.stdin.buffer.read(1 << 18), b"")
    else:
        from minidocker.client.local_files import pack

        follow = options.switch("follow-link") or source.endswith(("/", "/."))
        local = os.path.realpath(source) if follow else source.rstrip("/") or "/"
        try:
            os.lstat(local)
        except OSError as error:
            raise HostError(f"lstat {local}: {(error.strerror or '').lower()}") from error
        is_directory = os.path.isdir(local) and not os.path.islink(local)
        if source.endswith("/") and not is_directory:
            raise InvalidParameter(f"{source}: not a directory")
        directory, new_name = plan_copy(Place(source, exists=True, is_directory=is_directory), target)
        name = "." if source.endswith("/.") or source == "." else _base_name(source)
        pieces = pack(local, new_name or name)
    content = PieceReader(pieces)
    query: dict[str, str | list[str]] = {"path": directory, "noOverwriteDirNonDir": "true"}
    if options.switch("archive"):
        query["copyUIDGID"] = "true"
    session.client().open("PUT", f"/containers/{container}/archive", query, content, content_type="application/x-tar").read()
    return 0 if source == "-" else _report(options, content, f"{container}:{path}")


def _find_target(session: Session, container: str, path: str) -> Place:
    """Return what is at the destination in a container; a link counts as what it leads to."""
    try:
        status = _stat(session, container, path)
        if _is(status, GO_SYMLINK):
            path = text_at(status, "linkTarget")
            status = _stat(session, container, path)
    except DaemonError as error:
        if error.http_status != 404:
            raise
        return Place(path, exists=False, is_directory=False)
    return Place(path, exists=True, is_directory=_is(status, GO_DIRECTORY))


def _report(options: Options, content: PieceReader, target: str) -> int:
    if not options.switch("quiet") and sys.stdout.isatty():
        print(f"Successfully copied {render_size(content.size)} to {target}", file=sys.stderr)
    return 0


def copy(session: Session, options: Options) -> int:
    """Copy files between a container and this machine."""
    source, target = options.arguments
    from_container, from_path = split_container_path(source)
    to_container, to_path = split_container_path(target)
    if not source or not target:
        raise InvalidParameter("source can not be empty" if not source else "destination can not be empty")
    if from_container and to_container:
        raise InvalidParameter("copying between containers is not supported")
    if from_container:
        return _copy_out(session, options, from_container, from_path, to_path)
    if to_container:
        return _copy_in(session, options, source, to_container, to_path)
    raise InvalidParameter("must specify at least one container source")


CP = Command(
    "[OPTIONS] CONTAINER:SRC_PATH DEST_PATH|-\n\tminidocker cp [OPTIONS] SRC_PATH|- CONTAINER:DEST_PATH",
    copy,
    (
        Flag("archive", BOOL, "Archive mode (copy all uid/gid information)", short="a"),
        Flag("follow-link", BOOL, "Always follow symbol link in SRC_PATH", short="L"),
        Flag("quiet", BOOL, "Suppress progress output during copy. Progress output is automatically suppressed if no terminal is attached", short="q"),
    ),
    minimum=2,
    maximum=2,
)
