"""Wait for a file to grow without asking again and again; see inotify(7)."""

from __future__ import annotations

import os
from typing import Final

from minidocker.kernel.libc import LIBC, check

__all__ = ["watch_file"]

_IN_MODIFY: Final = 0x2
_IN_MOVE_SELF: Final = 0x800
_IN_DELETE_SELF: Final = 0x400


def watch_file(path: str) -> int:
    """Return a descriptor that becomes readable when the file at *path* changes; read it to wait for the next change."""
    fd = check("inotify_init1", lambda: LIBC.inotify_init1(os.O_CLOEXEC | os.O_NONBLOCK))
    try:
        mask = _IN_MODIFY | _IN_MOVE_SELF | _IN_DELETE_SELF
        check("inotify_add_watch", lambda: LIBC.inotify_add_watch(fd, os.fsencode(path), mask), path=path)
    except OSError:
        os.close(fd)
        raise
    return fd
