"""The function table of libc and the one place that looks at `errno`.

`LIBC` is `CDLL(None)` seen through the `Libc` protocol, argument and result types set from one table. `check` calls,
retries `EINTR`, and turns `-1` into the built-in `OSError(errno, text, path)`, so that `except PermissionError` works.
System calls that libc does not wrap go through `syscall(2)` by number; an unknown machine is refused. Chapter 16.
"""

from __future__ import annotations

import ctypes
import errno
import os
import sys
from collections.abc import Callable
from ctypes import c_char_p, c_int, c_long, c_size_t, c_uint, c_ulong, c_void_p
from typing import Final, Protocol, cast

__all__ = ["LIBC", "SYSCALL_NUMBERS", "Libc", "check", "raw_syscall"]


class Libc(Protocol):
    """The C functions that are used; each has its section 2 manual page."""

    def unshare(self, flags: int) -> int: ...  # noqa: D102
    def setns(self, fd: int, flags: int) -> int: ...  # noqa: D102
    def mount(self, source: bytes | None, target: bytes, fstype: bytes | None, flags: int, data: bytes | None) -> int: ...  # noqa: D102
    def umount2(self, target: bytes, flags: int) -> int: ...  # noqa: D102
    def sethostname(self, name: bytes, length: int) -> int: ...  # noqa: D102
    def setdomainname(self, name: bytes, length: int) -> int: ...  # noqa: D102
    def prctl(self, option: int, a: int, b: int, c: int, d: int) -> int: ...  # noqa: D102
    def capset(self, header: object, data: object) -> int: ...  # noqa: D102
    def syscall(self, number: int, *arguments: object) -> int: ...  # noqa: D102
    def fstatfs(self, fd: int, buffer: object) -> int: ...  # noqa: D102
    def inotify_init1(self, flags: int) -> int: ...  # noqa: D102
    def inotify_add_watch(self, fd: int, path: bytes, mask: int) -> int: ...  # noqa: D102


_SIGNATURES: Final[dict[str, tuple[object, ...]]] = {
    "unshare": (c_int,),
    "setns": (c_int, c_int),
    "mount": (c_char_p, c_char_p, c_char_p, c_ulong, c_char_p),
    "umount2": (c_char_p, c_int),
    "sethostname": (c_char_p, c_size_t),
    "setdomainname": (c_char_p, c_size_t),
    "prctl": (c_int, c_ulong, c_ulong, c_ulong, c_ulong),
    "capset": (c_void_p, c_void_p),
    "fstatfs": (c_int, c_void_p),
    "inotify_init1": (c_int,),
    "inotify_add_watch": (c_int, c_char_p, c_uint),
}

_MACHINE_NUMBERS: Final = {
    "x86_64": {"pivot_root": 155, "seccomp": 317, "bpf": 321, "close_range": 436, "openat2": 437, "keyctl": 250, "mount_setattr": 442,
               "open_tree": 428, "move_mount": 429, "finit_module": 313, "reboot": 169},
    "aarch64": {"pivot_root": 41, "seccomp": 277, "bpf": 280, "close_range": 436, "openat2": 437, "keyctl": 219, "mount_setattr": 442,
                "open_tree": 428, "move_mount": 429, "finit_module": 273, "reboot": 142},
}  # fmt: skip
"""Numbers of `<asm/unistd.h>` for the calls that libc has no wrapper for."""


def _load_libc() -> Libc:
    library = ctypes.CDLL(None, use_errno=True)
    for name, argument_types in _SIGNATURES.items():
        function = getattr(library, name)
        function.argtypes, function.restype = argument_types, c_int
    library.syscall.restype = c_long
    return cast(Libc, library)


def _machine_numbers() -> dict[str, int]:
    machine = os.uname().machine
    if machine not in _MACHINE_NUMBERS:
        raise OSError(errno.ENOSYS, f"no system call numbers for machine {machine}: minidocker knows x86_64 and aarch64")
    return _MACHINE_NUMBERS[machine]


if sys.platform != "linux":
    raise ImportError(f"minidocker.kernel speaks to Linux only, this is {sys.platform}")
LIBC: Final = _load_libc()
SYSCALL_NUMBERS: Final = _machine_numbers()


def check(name: str, call: Callable[[], int], *, path: str | None = None) -> int:
    """Return what *call* returns, or raise its error.

    Raises:
        OSError: the call named *name* returned -1; carries errno, a text and *path*.
    """
    while (result := call()) == -1:
        number = ctypes.get_errno()
        if number != errno.EINTR:
            raise OSError(number, f"{name}: {os.strerror(number)}", path)
    return result


def raw_syscall(name: str, *arguments: object, path: str | None = None) -> int:
    """Make the system call *name* by its number; integers are passed as `long`, as the kernel takes them."""
    words = [c_long(a) if isinstance(a, int) else a for a in arguments]
    number = c_long(SYSCALL_NUMBERS[name])
    return check(name, lambda: LIBC.syscall(cast(int, number), *words), path=path)
