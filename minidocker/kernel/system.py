"""What only the first process of a machine does: load modules, end the machine; see finit_module(2), reboot(2). Chapter 20."""

from __future__ import annotations

import ctypes
import os

from minidocker.kernel.libc import raw_syscall

__all__ = ["load_module", "power_off"]

_REBOOT_MAGIC = (0xFEE1DEAD, 0x28121969)
_POWER_OFF = 0x4321FEDC


def load_module(path: str) -> None:
    """Load the module in the (unpacked) file *path*; one that is loaded already is no error."""
    fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        raw_syscall("finit_module", fd, ctypes.c_char_p(b""), 0, path=path)
    except FileExistsError:
        pass
    finally:
        os.close(fd)


def power_off() -> None:
    """End the machine at once; file systems that are not unmounted lose what is not written."""
    os.sync()
    raw_syscall("reboot", *_REBOOT_MAGIC, _POWER_OFF, ctypes.c_void_p(None))
