"""Pseudo-terminals of a container's own devpts; see pts(4) and ioctl_tty(2). Chapter 16."""

from __future__ import annotations

import fcntl
import os
import stat
import struct
import termios
from typing import Final

__all__ = ["make_controlling_terminal", "open_terminal", "set_window_size"]

_TIOCSPTLCK: Final = 0x40045431
_TIOCGPTPEER: Final = 0x5441
_PTMX_DEVICE: Final = os.makedev(5, 2) if hasattr(os, "makedev") else 0
_PTS_MAJORS: Final = range(136, 144)


def open_terminal(ptmx_path: str) -> tuple[int, int]:
    """Return (master, slave) of a new terminal.

    The slave is taken from the master (TIOCGPTPEER), not opened by name, and both are checked to be terminals: an image
    can plant other files under these names (CVE-2025-52565).

    Raises:
        OSError: *ptmx_path* is not the terminal multiplexer.
    """
    master = os.open(ptmx_path, os.O_RDWR | os.O_NOCTTY | os.O_CLOEXEC)
    if os.fstat(master).st_rdev != _PTMX_DEVICE:
        os.close(master)
        raise OSError(f"`{ptmx_path}` is not the terminal multiplexer")
    fcntl.ioctl(master, _TIOCSPTLCK, struct.pack("i", 0))
    slave = fcntl.ioctl(master, _TIOCGPTPEER, os.O_RDWR | os.O_NOCTTY | os.O_CLOEXEC)
    status = os.fstat(slave)
    if not stat.S_ISCHR(status.st_mode) or os.major(status.st_rdev) not in _PTS_MAJORS:
        raise OSError("the new terminal is not a devpts device")
    return master, slave


def set_window_size(fd: int, *, rows: int, columns: int) -> None:
    """Set the size of a terminal; its foreground processes get SIGWINCH."""
    fcntl.ioctl(fd, termios.TIOCSWINSZ, struct.pack("HHHH", rows & 0xFFFF, columns & 0xFFFF, 0, 0))


def make_controlling_terminal(slave: int) -> None:
    """Start a session whose controlling terminal is *slave*, and make it standard input, output and error."""
    fcntl.ioctl(slave, termios.TIOCSCTTY, 0)
    for fd in range(3):
        os.dup2(slave, fd)
