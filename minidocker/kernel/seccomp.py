"""Install a system call filter; see seccomp(2). What is in it is decided by `minidocker.container.seccomp`. Chapter 19."""

from __future__ import annotations

import ctypes
from typing import Final

from minidocker.kernel.libc import raw_syscall

__all__ = ["install_filter"]

_SET_MODE_FILTER: Final = 1
INSTRUCTION_BYTES: Final = 8
"""Size of `struct sock_filter`."""


class _Program(ctypes.Structure):
    """`struct sock_fprog` of `<linux/filter.h>`."""

    _fields_ = (("length", ctypes.c_ushort), ("instructions", ctypes.c_char_p))


def install_filter(program: bytes) -> None:
    """Filter every further system call of this process and its children through *program*.

    Preconditions:
        no_new_privs is set, or CAP_SYS_ADMIN is held.
    """
    record = _Program(length=len(program) // INSTRUCTION_BYTES, instructions=program)
    raw_syscall("seccomp", _SET_MODE_FILTER, 0, ctypes.byref(record))
