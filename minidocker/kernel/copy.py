"""Copy what a stack of directories shows: names, types, modes, owners, times, links, extended attributes.

One tree is a stack of one: so a volume is filled from the image (`docker run -v`). Several are the layers of an image: so a
container gets its own copy where overlayfs is missing (Docker's `vfs` driver). Acting, and deaf to paths; see
`minidocker.kernel.overlay`. Hard links inside the tree stay hard links. Chapter 16.
"""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Sequence
from contextlib import suppress

from minidocker.kernel.overlay import OPEN_DIRECTORY, Node, list_stack, open_below, open_stack

__all__ = ["copy_stack"]

_CHUNK_BYTES = 1 << 24
_OPEN = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC  # a pipe that took a file's place must not hold us
_CREATE = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC

_Place = tuple[tuple[str, ...], str]
"""Where in the target a file is: its directory's names from the root, and its own."""


def copy_stack(source_fds: Sequence[int], target_fd: int) -> None:
    """Fill the empty directory *target_fd* with what *source_fds* (highest first) show, and give it their metadata."""
    _Copy(target_fd).copy_directory(source_fds, target_fd, ())


class _Copy:
    """One copying: which files with several names have been copied, and where to."""

    def __init__(self, root_fd: int) -> None:
        self._root_fd = root_fd
        self._links: dict[tuple[int, int], _Place] = {}

    def copy_directory(self, source_fds: Sequence[int], target_fd: int, where: tuple[str, ...]) -> None:
        for name, node in sorted(list_stack(source_fds).items()):
            if stat.S_ISDIR(node.status.st_mode):
                os.mkdir(name, 0o700, dir_fd=target_fd)
                child = os.open(name, OPEN_DIRECTORY, dir_fd=target_fd)
                try:
                    with open_stack(node) as fds:
                        self.copy_directory(fds, child, (*where, name))
                finally:
                    os.close(child)
            elif not self._link_to_earlier(node, target_fd):
                _copy_leaf(node, target_fd)
                if node.status.st_nlink > 1:
                    self._links[node.status.st_dev, node.status.st_ino] = (where, name)
        if source_fds:  # an image may have no layers
            _copy_metadata(source_fds[0], target_fd)

    def _link_to_earlier(self, node: Node, target_fd: int) -> bool:
        """Give a file that was copied already its next name, if it has several."""
        place = self._links.get((node.status.st_dev, node.status.st_ino))
        if place is None:
            return False
        parent = open_below(self._root_fd, place[0])
        try:
            os.link(place[1], node.name, src_dir_fd=parent, dst_dir_fd=target_fd, follow_symlinks=False)
        except OSError as error:
            if error.errno != errno.EMLINK:
                raise
            return False
        finally:
            os.close(parent)
        return True


def _copy_leaf(node: Node, target_fd: int) -> None:
    name, status, source_fd = node.name, node.status, node.fds[0]
    if stat.S_ISREG(status.st_mode):
        _copy_file(name, source_fd, target_fd)
        return
    if stat.S_ISLNK(status.st_mode):
        os.symlink(os.readlink(name, dir_fd=source_fd), name, dir_fd=target_fd)
    else:
        os.mknod(name, status.st_mode, status.st_rdev, dir_fd=target_fd)
    os.chown(name, status.st_uid, status.st_gid, dir_fd=target_fd, follow_symlinks=False)
    if not stat.S_ISLNK(status.st_mode):
        _set_mode(name, target_fd, stat.S_IMODE(status.st_mode))
    os.utime(name, ns=(status.st_atime_ns, status.st_mtime_ns), dir_fd=target_fd, follow_symlinks=False)


def _set_mode(name: str, target_fd: int, mode: int) -> None:
    """Set the mode that mknod(2) cut by the umask; a link that took its place (in a shared volume) is not followed."""
    fd = os.open(name, os.O_PATH | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=target_fd)
    try:
        os.chmod(f"/proc/self/fd/{fd}", mode)
    finally:
        os.close(fd)


def _copy_file(name: str, source_fd: int, target_fd: int) -> None:
    source = os.open(name, _OPEN, dir_fd=source_fd)
    try:
        target = os.open(name, _CREATE, 0o600, dir_fd=target_fd)
        try:
            while os.sendfile(target, source, None, _CHUNK_BYTES):
                pass
            _copy_metadata(source, target)
        finally:
            os.close(target)
    finally:
        os.close(source)


def _copy_metadata(source: int, target: int) -> None:
    """Owner before mode, because chown clears setuid bits; times last, because everything else changes them."""
    status = os.fstat(source)
    os.fchown(target, status.st_uid, status.st_gid)
    for key in os.listxattr(source):
        if not key.startswith(("trusted.overlay.", "user.overlay.")):
            with suppress(OSError):  # another file system may not take every attribute
                os.setxattr(target, key, os.getxattr(source, key))
    os.fchmod(target, stat.S_IMODE(status.st_mode))
    os.utime(target, ns=(status.st_atime_ns, status.st_mtime_ns))
