"""Unpack a layer's archive into a directory.

Acting. Rule: **no path is ever given to the kernel, only one name below an open directory.** An archive is hostile: it may hold
`../../etc/passwd`, `/etc/passwd`, a symbolic link `a` to `/etc` and then `a/passwd`, a hard link to a file outside. Names are cut
at their slashes; each component is opened with `O_NOFOLLOW` below the one before, so there is no way out to be checked for
(CVE-2014-6407, CVE-2014-9356, CVE-2020-27534, CVE-2026-17106).

Whiteouts. A layer says that something below it is gone with an empty file `.wh.NAME`, and that a directory hides everything
below it with `.wh..wh..opq`. In the unpacked layer these become what overlayfs understands: a character device 0:0 called NAME,
and the extended attribute `trusted.overlay.opaque`. They speak about lower layers only, whatever their place in the archive:
what this layer itself brings stays.

Directories get owner, mode and times at the end, because unpacking into them needs the right to write and changes their times.
A directory that the archive does not list but needs takes these from the layers below, because it will hide theirs.

See OCI image-spec `layer.md`; overlayfs.rst, "whiteouts and opaque directories". Chapter 5.
"""

from __future__ import annotations

import errno
import os
import stat
import time
from collections import OrderedDict
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from types import TracebackType
from typing import Final

from minidocker.codec.idmap import FILE_CAPABILITIES, IDENTITY, IdMap, own_capabilities
from minidocker.codec.tar import InvalidArchive, Kind, TarEntry, TarReader
from minidocker.codec.whiteout import WHITEOUT_PREFIX, Meaning, UnsafeEntry, parse_whiteout
from minidocker.errors import HostError, InvalidParameter, MinidockerError
from minidocker.kernel.overlay import OPAQUE_XATTRS, OPEN_DIRECTORY, open_below, remove_tree

__all__ = ["OPAQUE_XATTR", "UnsafeEntry", "extract_files", "extract_layer"]

OPAQUE_XATTR: Final = OPAQUE_XATTRS[0]
"""Marks a directory that hides what is below it; only a process with CAP_SYS_ADMIN may set it."""

MAX_OPEN_DIRECTORIES: Final = 64
"""Archives list directories in order, so that few open ones save nearly all the walking."""

MAX_DEPTH: Final = 255
"""Levels of directories. The kernel has no limit below an open directory; what walks the tree later recurses."""

_CREATE_FILE: Final = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC


@dataclass(frozen=True, slots=True)
class _Metadata:
    """What a directory gets at the end."""

    mode: int
    uid: int
    gid: int
    mtime_ns: int
    xattrs: tuple[tuple[bytes, bytes], ...] = ()


def extract_layer(
    reader: TarReader, target_fd: int, *, lower_fds: Sequence[int] = (), opaque_xattr: str = OPAQUE_XATTR, ids: IdMap = IDENTITY
) -> int:
    """Unpack the archive of *reader* into the empty directory *target_fd*; return the bytes of all files.

    Args:
        reader: an archive of which nothing has been read yet.
        target_fd: stays open, and is the caller's.
        lower_fds: the unpacked layers below, highest first; implied directories take owner and mode from them.
        opaque_xattr: `user.overlay.opaque` where overlayfs is mounted with `userxattr`.
        ids: who the owners in the archive are on this machine.

    Raises:
        InvalidArchive: the archive is damaged.
        UnsafeEntry: an entry leads out of the directory.
        HostError: the file system is full, or refuses something.
    """
    with _Extractor(target_fd, lower_fds=lower_fds, opaque_xattr=opaque_xattr, ids=ids) as extractor:
        extractor.inherit_root()
        return _extract(extractor, reader)


def extract_files(
    reader: TarReader, target_fd: int, *, keep_directories: bool = False, owner: tuple[int, int] | None = None,
    lower_fds: Sequence[int] = (), ids: IdMap = IDENTITY,
) -> None:  # fmt: skip
    """Unpack an archive into the directory *target_fd*, which may hold something: `docker cp`, the context of a build, ADD.

    Nothing is a whiteout here. A file takes the place of what has its name.

    Args:
        reader: an archive of which nothing has been read yet.
        target_fd: stays open, and is the caller's.
        keep_directories: a directory is not replaced by a file, nor a file by a directory.
        owner: (uid, gid) of everything, whatever the archive says.
        lower_fds: layers below, highest first; directories that the archive does not list take owner and mode from them.
        ids: who the owners are on this machine.

    Raises:
        InvalidParameter: an entry would replace what it must not.
        InvalidArchive, UnsafeEntry, HostError: as `extract_layer`.
    """
    with _Extractor(target_fd, lower_fds=lower_fds, keep_directories=keep_directories, owner=owner, ids=ids) as extractor:
        _extract(extractor, reader)


def _extract(extractor: _Extractor, reader: TarReader) -> int:
    for entry in reader:
        try:
            extractor.unpack(entry, reader)
        except OSError as error:
            raise _translate(error, entry) from error
        except (OverflowError, ValueError) as error:  # what Python refuses before the kernel sees it
            shown = entry.name[:200].decode(errors="replace")
            raise InvalidArchive(f"unpack `{shown}`: a number or name is out of range: {error}") from error
    try:
        extractor.finish_directories()
    except OSError as error:
        raise HostError(f"unpack layer: set attributes of a directory: {error.strerror}") from error
    return extractor.size


def _translate(error: OSError, entry: TarEntry) -> MinidockerError:
    """Return the sentence for a system call that failed on behalf of *entry*."""
    name = entry.name[:200].decode(errors="replace")
    if error.errno in (errno.ENOTDIR, errno.ELOOP):
        return UnsafeEntry(f"unpack `{name}`: a directory in its path is a symbolic link or a file in this archive")
    if error.errno in (errno.ENAMETOOLONG, errno.EFBIG, errno.ENOENT, errno.EINVAL):
        return InvalidArchive(f"unpack `{name}`: {error.strerror}")
    hints = {
        errno.ENOSPC: "free some space below the data root, for example with `minidocker image prune`",
        errno.EDQUOT: "free some space below the data root, for example with `minidocker image prune`",
        errno.EPERM: "the server needs root for owners and devices",
    }
    return HostError(f"unpack `{name}`: {error.strerror}", hint=hints.get(error.errno or 0, ""))


class _Extractor:
    """One unpacking: the open directories, and what must be done at its end."""

    def __init__(
        self, target_fd: int, *, lower_fds: Sequence[int] = (), opaque_xattr: str = "", keep_directories: bool = False,
        owner: tuple[int, int] | None = None, ids: IdMap = IDENTITY,
    ) -> None:  # fmt: skip
        self._ids = ids
        self._root_fd, self._lower_fds, self._opaque_xattr = target_fd, lower_fds, opaque_xattr
        self._is_layer = bool(opaque_xattr)
        self._keep_directories, self._owner = keep_directories, owner
        self._own_ids = (os.geteuid(), os.getegid())
        """What new files belong to anyway, as long as no directory passes its group on."""
        self._open: OrderedDict[bytes, int] = OrderedDict()
        self._directories: dict[bytes, _Metadata] = {}
        self._whiteouts: set[bytes] = set()
        self.size = 0

    def __enter__(self) -> _Extractor:
        return self

    def inherit_root(self) -> None:
        """Let the root directory look as in the layers below, unless the archive has an entry for it."""
        self._directories[b""] = self._inherit(b"")

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        for fd in self._open.values():
            os.close(fd)

    def unpack(self, entry: TarEntry, reader: TarReader) -> None:
        """Make what *entry* describes."""
        if self._owner is not None or self._ids is not IDENTITY:
            uid, gid = self._ids.outside(*(self._owner or (entry.uid, entry.gid)))
            entry = replace(entry, uid=uid, gid=gid, xattrs=self._own(entry.xattrs))
        path = _clean(entry.name)
        parent, _, name = path.rpartition(b"/")
        if not name:
            if entry.kind is not Kind.DIRECTORY:
                raise UnsafeEntry("unpack layer: an entry would replace the root directory")
            self._directories[b""] = _metadata_of(entry)
            return
        parent_fd = self._require_directory(parent)
        meaning, about = parse_whiteout(name) if self._is_layer else (Meaning.ITSELF, name)
        if meaning is not Meaning.ITSELF:
            self._unpack_whiteout(meaning, parent, parent_fd, about)
            return
        if entry.kind is Kind.DIRECTORY:
            self._unpack_directory(path, parent_fd, name, entry)
            return
        try:
            self._make(entry, reader, parent_fd, name)
        except FileExistsError:
            if self._keep_directories and _is_directory(parent_fd, name):
                shown = path.decode(errors="replace")
                raise InvalidParameter(f'cannot overwrite directory "/{shown}" with non-directory "/{shown}"') from None
            self._remove(path, parent_fd, name)
            self._make(entry, reader, parent_fd, name)

    def _own(self, xattrs: Mapping[bytes, bytes]) -> Mapping[bytes, bytes]:
        """Return attributes in which privileges of a program are those of the namespace's root; inside of it the kernel does so itself."""
        key = FILE_CAPABILITIES.encode()
        if key not in xattrs or self._ids is IDENTITY or self._ids.collapses:
            return xattrs
        return {**xattrs, key: own_capabilities(xattrs[key], self._ids.root[0])}

    def _make(self, entry: TarEntry, reader: TarReader, parent_fd: int, name: bytes) -> None:
        """Create everything that is no directory; nothing of that name exists."""
        kind = entry.kind
        if kind is Kind.FILE:
            self._make_file(entry, reader, parent_fd, name)
        elif kind is Kind.HARD_LINK:
            self._make_hard_link(entry, parent_fd, name)
        elif kind is Kind.SYMLINK:
            os.symlink(entry.link_name, name, dir_fd=parent_fd)
            _set_node_metadata(entry, parent_fd, name)
        else:
            types = {Kind.FIFO: stat.S_IFIFO, Kind.CHARACTER_DEVICE: stat.S_IFCHR, Kind.BLOCK_DEVICE: stat.S_IFBLK}
            device = os.makedev(entry.device_major, entry.device_minor)
            try:
                os.mknod(name, types[kind] | 0o600, device, dir_fd=parent_fd)
            except PermissionError:
                if not self._ids.collapses:
                    raise
                return  # a user namespace may make none, and Docker goes on without it too
            _set_node_metadata(entry, parent_fd, name)
            _set_mode(parent_fd, name, entry.mode)

    def _make_file(self, entry: TarEntry, reader: TarReader, parent_fd: int, name: bytes) -> None:
        fd = os.open(name, _CREATE_FILE, 0o600, dir_fd=parent_fd)
        try:
            if entry.segments is None:
                left = entry.size
                while left:
                    piece = reader.read_data(left)
                    left -= len(piece)
                    _write(fd, piece)
            else:
                for offset, piece in reader.read_segments():
                    os.lseek(fd, offset, os.SEEK_SET)
                    _write(fd, piece)
                os.ftruncate(fd, entry.size)
            if not self._is_layer or (entry.uid, entry.gid) != self._own_ids:
                os.fchown(fd, entry.uid, entry.gid)
            os.fchmod(fd, entry.mode)  # after fchown(2), which clears setuid
            for key, value in entry.xattrs.items():
                _set_xattr(fd, key, value)
            os.utime(fd, ns=(entry.mtime_ns, entry.mtime_ns))
        finally:
            os.close(fd)
        self.size += entry.size

    def _make_hard_link(self, entry: TarEntry, parent_fd: int, name: bytes) -> None:
        """Give a file of this layer a second name; a symbolic link is linked itself, not what it points to."""
        parent, _, target = _clean(entry.link_name).rpartition(b"/")
        try:
            with ExitStack() as stack:
                parent_fd = os.dup(parent_fd)  # looking for the other directory may close the one we hold
                stack.callback(os.close, parent_fd)
                source_fd = self._find_directory(parent)
                os.link(target, name, src_dir_fd=source_fd, dst_dir_fd=parent_fd, follow_symlinks=False)
        except (FileNotFoundError, PermissionError) as error:
            shown, wanted = (text[:200].decode(errors="replace") for text in (entry.name, entry.link_name))
            raise InvalidArchive(f"unpack `{shown}`: hard link to `{wanted}`, which is no file before it in this layer") from error

    def _unpack_directory(self, path: bytes, parent_fd: int, name: bytes, entry: TarEntry) -> None:
        """Make a directory, or give one that is there new attributes."""
        self._make_directory(path, parent_fd, name)
        self._directories[path] = _metadata_of(entry)

    def _make_directory(self, path: bytes, parent_fd: int, name: bytes) -> bool:
        """Make sure that there is a directory; return whether it is new."""
        try:
            os.mkdir(name, 0o700, dir_fd=parent_fd)
        except FileExistsError:
            if _is_directory(parent_fd, name):
                return False
            if self._keep_directories:
                shown = path.decode(errors="replace")
                raise InvalidParameter(f'cannot overwrite non-directory "/{shown}" with directory "/{shown}"') from None
            hides_lower = path in self._whiteouts
            self._remove(path, parent_fd, name)
            os.mkdir(name, 0o700, dir_fd=parent_fd)
            if hides_lower:
                self._set_opaque(path)
        return True

    def _unpack_whiteout(self, meaning: Meaning, parent: bytes, parent_fd: int, hidden: bytes) -> None:
        """Hide what lower layers have under a name, or everything that they have in a directory."""
        if meaning is Meaning.OPAQUE:
            self._set_opaque(parent)
        if meaning is not Meaning.GONE:
            return
        path = _join(parent, hidden)
        try:
            os.mknod(hidden, stat.S_IFCHR, os.makedev(0, 0), dir_fd=parent_fd)
        except FileExistsError:  # this layer's own: a file hides what is below it anyway, a directory must be told
            if _is_directory(parent_fd, hidden):
                self._set_opaque(path)
        else:
            self._whiteouts.add(path)

    def _set_opaque(self, path: bytes) -> None:
        os.setxattr(self._require_directory(path), self._opaque_xattr, b"y")

    def _require_directory(self, path: bytes) -> int:
        """Return an open directory, made with its parents if the archive did not list it."""
        fd = self._open.get(path)
        if fd is not None:
            self._open.move_to_end(path)
            return fd
        if not path:
            return self._root_fd
        parent, _, name = path.rpartition(b"/")
        parent_fd = self._require_directory(parent)
        try:
            fd = os.open(name, OPEN_DIRECTORY, dir_fd=parent_fd)
        except (FileNotFoundError, NotADirectoryError):
            fd = self._make_implied(path, parent_fd, name)
        return self._keep_open(path, fd)

    def _make_implied(self, path: bytes, parent_fd: int, name: bytes) -> int:
        """Make and open a directory that an entry needs and the archive does not list."""
        if self._is_layer and name.startswith(WHITEOUT_PREFIX):
            raise UnsafeEntry(f"unpack `{path.decode(errors='replace')}`: a whiteout is no directory")
        try:
            status = os.stat(name, dir_fd=parent_fd, follow_symlinks=False)
        except FileNotFoundError:
            pass
        else:
            if path not in self._whiteouts:
                raise NotADirectoryError(errno.ENOTDIR, os.strerror(errno.ENOTDIR), status.st_mode)
        self._make_directory(path, parent_fd, name)
        self._directories[path] = self._inherit(path)
        return os.open(name, OPEN_DIRECTORY, dir_fd=parent_fd)

    def _find_directory(self, path: bytes) -> int:
        """Return an open directory that must exist."""
        if not path or path in self._open:
            return self._require_directory(path)
        parent, _, name = path.rpartition(b"/")
        return self._keep_open(path, os.open(name, OPEN_DIRECTORY, dir_fd=self._find_directory(parent)))

    def _keep_open(self, path: bytes, fd: int) -> int:
        self._open[path] = fd
        if len(self._open) > MAX_OPEN_DIRECTORIES:
            _, oldest = self._open.popitem(last=False)
            os.close(oldest)
        return fd

    def _inherit(self, path: bytes) -> _Metadata:
        """Return the attributes that a directory has in the layers below, or those of an ordinary directory."""
        for lower_fd in self._lower_fds:
            try:
                fd = open_below(lower_fd, path.split(b"/") if path else ())
            except FileNotFoundError:
                continue
            except OSError:  # a whiteout, a file or a link: nothing below it counts
                break
            try:
                status = os.fstat(fd)
            finally:
                os.close(fd)
            return _Metadata(stat.S_IMODE(status.st_mode), status.st_uid, status.st_gid, status.st_mtime_ns)
        uid, gid = self._ids.outside(*(self._owner or self._own_ids))
        return _Metadata(0o755, uid, gid, 0 if self._is_layer else time.time_ns())

    def _remove(self, path: bytes, parent_fd: int, name: bytes) -> None:
        """Remove what an earlier entry made, whatever it is."""
        self._whiteouts.discard(path)
        try:
            os.unlink(name, dir_fd=parent_fd)
        except IsADirectoryError:
            for known in [p for p in self._open if p == path or p.startswith(path + b"/")]:
                os.close(self._open.pop(known))
            for known in [p for p in self._directories if p == path or p.startswith(path + b"/")]:
                del self._directories[known]
            remove_tree(parent_fd, name)

    def finish_directories(self) -> None:
        """Give all directories their attributes; the deepest first, so that no parent's time changes again."""
        for path in sorted(self._directories, reverse=True):
            metadata = self._directories[path]
            fd = self._find_directory(path)
            os.fchown(fd, metadata.uid, metadata.gid)
            for key, value in metadata.xattrs:
                _set_xattr(fd, key, value)
            os.fchmod(fd, metadata.mode)
            os.utime(fd, ns=(metadata.mtime_ns, metadata.mtime_ns))


def _is_directory(parent_fd: int, name: bytes) -> bool:
    return stat.S_ISDIR(os.stat(name, dir_fd=parent_fd, follow_symlinks=False).st_mode)


def _clean(name: bytes) -> bytes:
    """Return *name* without leading, double and `.` components.

    Raises:
        UnsafeEntry: it has a `..` component, which no honest archive of a tree needs.
        InvalidArchive: it has too many components.
    """
    parts = name.split(b"/")
    if b"" in parts or b"." in parts:
        parts = [part for part in parts if part not in (b"", b".")]
    if len(parts) > MAX_DEPTH:
        raise InvalidArchive(f"unpack `{name[:200].decode(errors='replace')}`: more than {MAX_DEPTH} levels of directories")
    if b".." in parts:
        raise UnsafeEntry(f"unpack `{name[:200].decode(errors='replace')}`: the name climbs out of the archive's root with `..`")
    return b"/".join(parts)


def _join(parent: bytes, name: bytes) -> bytes:
    return parent + b"/" + name if parent else name


def _metadata_of(entry: TarEntry) -> _Metadata:
    return _Metadata(entry.mode, entry.uid, entry.gid, entry.mtime_ns, tuple(entry.xattrs.items()))


def _write(fd: int, piece: bytes) -> None:
    written = os.write(fd, piece)
    while written < len(piece):  # a file system that is nearly full takes what fits, and says so at the next call
        written += os.write(fd, memoryview(piece)[written:])


def _set_node_metadata(entry: TarEntry, parent_fd: int, name: bytes) -> None:
    os.chown(name, entry.uid, entry.gid, dir_fd=parent_fd, follow_symlinks=False)
    for key, value in entry.xattrs.items():
        _set_xattr(b"/proc/self/fd/%d/%s" % (parent_fd, name), key, value)
    os.utime(name, ns=(entry.mtime_ns, entry.mtime_ns), dir_fd=parent_fd, follow_symlinks=False)


def _set_mode(parent_fd: int, name: bytes, mode: int) -> None:
    """Set the mode of a device or pipe that mknod(2) cut by the umask; a link that took its place is not followed."""
    fd = os.open(name, os.O_PATH | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=parent_fd)
    try:
        os.chmod(f"/proc/self/fd/{fd}", mode)
    finally:
        os.close(fd)


def _set_xattr(where: int | bytes, key: bytes, value: bytes) -> None:
    """Set an extended attribute, unless it would speak to overlayfs in the archive's name."""
    if key.startswith((b"trusted.overlay.", b"user.overlay.")):
        return
    try:
        os.setxattr(where, key, value, follow_symlinks=isinstance(where, int))
    except OSError as error:
        # Docker goes on too: labels of another system's security module do not make a layer unusable.
        if error.errno not in (errno.ENOTSUP, errno.EPERM, errno.EINVAL):
            raise
