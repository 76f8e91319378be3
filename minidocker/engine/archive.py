"""`docker cp`: the files of a container as an archive, out and in.

Acting. A path is looked up with the container's root as `/` (openat2(2), `RESOLVE_IN_ROOT`); what is found is used through
its descriptor, so that a link which is swapped meanwhile leads to a place inside at worst (CVE-2018-15664). The path's last
name is not followed if it is a link, unless a `/` or `/.` stands behind it. Archives are unpacked by our own code, in this process,
with nothing of the container's loaded or executed (CVE-2019-14271, CVE-2026-41567). Chapter 16.
"""

from __future__ import annotations

import os
import posixpath
import stat
from collections.abc import Callable, Iterator
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from minidocker.codec.tar import END_OF_ARCHIVE, ByteSource, TarReader
from minidocker.container.user import MAX_DATABASE_BYTES, resolve_user
from minidocker.engine.rootfs import open_rootfs
from minidocker.errors import Forbidden, HostError, InvalidParameter, MinidockerError, NotFound
from minidocker.codec.compression import open_decompressed
from minidocker.image.extract import extract_files
from minidocker.image.pack import Packer, gather
from minidocker.kernel.mount import open_in_root
from minidocker.kernel.overlay import Node

if TYPE_CHECKING:
    from minidocker.codec.idmap import IdMap
    from minidocker.container.record import ContainerRecord
    from minidocker.engine.engine import Engine

__all__ = ["OpenArchive", "PathStat", "get_archive", "go_file_mode", "put_archive", "stat_path"]

MAX_LINKS: Final = 255
_GO_TYPES: Final = {
    stat.S_IFDIR: 1 << 31, stat.S_IFLNK: 1 << 27, stat.S_IFBLK: 1 << 26, stat.S_IFCHR: 1 << 26 | 1 << 21,
    stat.S_IFIFO: 1 << 25, stat.S_IFSOCK: 1 << 24,
}  # fmt: skip
_GO_FLAGS: Final = ((stat.S_ISUID, 1 << 23), (stat.S_ISGID, 1 << 22), (stat.S_ISVTX, 1 << 20))


@dataclass(frozen=True, slots=True, kw_only=True)
class PathStat:
    """What the header `X-Docker-Container-Path-Stat` says about a path."""

    name: str
    size: int
    mode: int
    """In Go's bits, see `go_file_mode`."""
    mtime_ns: int
    link_target: str
    """Of a symbolic link: where it leads in the end, from the container's root."""


def go_file_mode(mode: int) -> int:
    """Return what Go's `os.FileMode` has for a st_mode: the permissions, and types and flags as bits from the top."""
    return mode & 0o777 | _GO_TYPES.get(stat.S_IFMT(mode), 0) | sum(bit for flag, bit in _GO_FLAGS if mode & flag)


def stat_path(engine: Engine, reference: str, path: str) -> PathStat:
    """Return what is at *path* in a container.

    Raises:
        NotFound: there is no such container, or nothing there.
    """
    handle = engine.containers.require(reference)
    with ExitStack() as stack:
        try:
            root_fd = stack.enter_context(open_rootfs(engine, handle, write=False))
            return _stat(root_fd, _locate(stack, root_fd, path), path)
        except OSError as error:
            raise _explain(error, reference, path) from error


@dataclass(frozen=True, slots=True, kw_only=True)
class OpenArchive:
    """An archive on its way out."""

    status: PathStat
    pieces: Iterator[bytes]
    close: Callable[[], None]
    """To be called at the end, however it comes."""


def get_archive(engine: Engine, reference: str, path: str) -> OpenArchive:
    """Return what is at *path*, and an archive of it.

    Raises:
        NotFound: there is no such container, or nothing there.
    """
    handle = engine.containers.require(reference)
    stack = ExitStack()
    try:
        root_fd = stack.enter_context(open_rootfs(engine, handle, write=False))
        node = _locate(stack, root_fd, path)
        pieces = gather(_pack(node, _base_name(path), _devices_of(handle.record, node), engine.ids))
        return OpenArchive(status=_stat(root_fd, node, path), pieces=pieces, close=stack.close)
    except BaseException as error:
        stack.close()
        if isinstance(error, OSError):
            raise _explain(error, reference, path) from error
        raise


def _devices_of(record: ContainerRecord, node: Node) -> frozenset[int]:
    """Return the file systems that are part of an archive: where it begins, and those of volumes; not `/proc` and its like."""
    devices = {node.status.st_dev}
    for point in record.mounts:
        with suppress(OSError):  # a tmpfs has no source, and one that is gone has no files
            devices.add(os.stat(point.source).st_dev)
    return frozenset(devices)


def put_archive(
    engine: Engine, reference: str, path: str, archive: ByteSource, *, keep_directories: bool = False, as_user: bool = False
) -> None:
    """Unpack *archive*, which may be compressed, in the directory at *path*.

    Args:
        engine: whose container.
        reference: which container.
        path: a directory that exists; a link to one counts.
        archive: read to its end.
        keep_directories: refuse to put a file where a directory is, or the other way round.
        as_user: everything belongs to the container's user, whatever the archive says.

    Raises:
        NotFound: there is no such container or directory.
        Forbidden: the root file system or the volume is read-only.
        InvalidParameter: no directory, or a bad archive; what was unpacked before it stays.
    """
    handle = engine.containers.require(reference)
    with ExitStack() as stack:
        try:
            root_fd = stack.enter_context(open_rootfs(engine, handle, write=True))
            target_fd = open_in_root(root_fd, path, flags=os.O_RDONLY | os.O_DIRECTORY)
            stack.callback(os.close, target_fd)
            _check_writable(handle.record, resolve_path(root_fd, path))
            owner = _find_owner(root_fd, handle.record) if as_user else None
        except NotADirectoryError as error:
            raise InvalidParameter("extraction point is not a directory") from error
        except OSError as error:
            raise _explain(error, reference, path) from error
        extract_files(TarReader(open_decompressed(archive)), target_fd, keep_directories=keep_directories, owner=owner, ids=engine.ids)


def _check_writable(record: ContainerRecord, path: str) -> None:
    """Refuse what the processes of the container could not do either."""
    above = [point for point in record.mounts if (path + "/").startswith(point.destination.rstrip("/") + "/")]
    if above and not max(above, key=lambda point: len(point.destination)).read_write:
        raise Forbidden("mounted volume is marked read-only")
    if not above and record.host_config.readonly_rootfs:
        raise Forbidden("container rootfs is marked read-only")


def _find_owner(root_fd: int, record: ContainerRecord) -> tuple[int, int]:
    databases = []
    for name in ("/etc/passwd", "/etc/group"):
        try:
            fd = open_in_root(root_fd, name, flags=os.O_RDONLY | os.O_NONBLOCK)
        except OSError:
            databases.append(b"")
            continue
        with open(fd, "rb") as file:
            is_plain = stat.S_ISREG(os.fstat(fd).st_mode)
            databases.append(file.read(MAX_DATABASE_BYTES + 1) if is_plain else b"")
    user = resolve_user(record.config.user, databases[0], databases[1])
    return user.uid, user.gid


def _base_name(path: str) -> str:
    """Return the name under which a path goes into an archive: its last one, `.` if it ends in that, `/` for the root."""
    return posixpath.basename(path.rstrip("/")) or "/"


def _locate(stack: ExitStack, root_fd: int, path: str) -> Node:
    """Return the file at *path*, with its directory open until *stack* ends."""
    name = _base_name(path)
    if path.endswith("/") or name in (".", "..", "/"):  # the link itself is not meant, but the directory that it leads to
        fd = open_in_root(root_fd, path or "/", flags=os.O_RDONLY | os.O_DIRECTORY)
        name = "."
    else:
        fd = open_in_root(root_fd, posixpath.dirname(path) or "/", flags=os.O_RDONLY | os.O_DIRECTORY)
    stack.callback(os.close, fd)
    return Node(name, os.stat(name, dir_fd=fd, follow_symlinks=False), (fd,))


def _stat(root_fd: int, node: Node, path: str) -> PathStat:
    status = node.status
    link = resolve_path(root_fd, path) if stat.S_ISLNK(status.st_mode) else ""
    return PathStat(
        name=_base_name(path), size=status.st_size, mode=go_file_mode(status.st_mode), mtime_ns=status.st_mtime_ns, link_target=link
    )


def resolve_path(root_fd: int, path: str) -> str:
    """Return where *path* leads with *root_fd* as `/`, as text; the part that does not exist stays as it is."""
    pending = [part for part in path.split("/") if part][::-1]
    done: list[str] = []
    for _ in range(MAX_LINKS * 16):
        if not pending:
            break
        part = pending.pop()
        if part in (".", ".."):
            done = done[: len(done) - (part == "..")]
            continue
        target = _read_link(root_fd, "/".join(done), part)
        if not target:
            done.append(part)
            continue
        done = [] if target.startswith("/") else done
        pending += [word for word in target.split("/") if word][::-1]
    return "/" + "/".join(done)


def _read_link(root_fd: int, directory: str, name: str) -> str:
    try:
        fd = open_in_root(root_fd, f"/{directory}", flags=os.O_PATH | os.O_DIRECTORY)
    except OSError:
        return ""
    try:
        return os.readlink(name, dir_fd=fd)
    except OSError:
        return ""
    finally:
        os.close(fd)


def _pack(node: Node, base: str, devices: frozenset[int], ids: IdMap) -> Iterator[bytes]:
    """Yield an archive of one file, or of a directory and what is in it."""
    packer = Packer(devices=devices, step_ns=1_000_000_000, ids=ids)  # as Docker sends it: a header for each file instead of three
    is_directory = stat.S_ISDIR(node.status.st_mode)
    yield from packer.pack(node, "." if base == "/" else base)
    if is_directory:
        fd = os.open(node.name, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=node.fds[0])
        try:
            yield from packer.pack_directory((fd,), "" if base == "/" else f"{base}/")
        finally:
            os.close(fd)
    yield END_OF_ARCHIVE


def _explain(error: OSError, reference: str, path: str) -> MinidockerError:
    if isinstance(error, FileNotFoundError):
        return NotFound(f"Could not find the file {path} in container {reference}")
    if isinstance(error, NotADirectoryError):
        return InvalidParameter(f"not a directory: {path}")
    return HostError(f"copy `{path}` of container `{reference}`: {error.strerror}")
