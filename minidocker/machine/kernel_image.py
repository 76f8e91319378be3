r"""What a kernel file says about itself: the machine it is for, and its version.

Three forms are known: the `bzImage` of x86 (a boot sector with `HdrS` at 0x202), the `Image` of 64-bit ARM (`ARM\x64` at 56), and
plain ELF. Pure: the first bytes come in, a record goes out.
See `Documentation/arch/x86/boot.rst` and `Documentation/arch/arm64/booting.rst` of the kernel. Chapter 20.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from typing import Final

from minidocker.codec.elf import MACHINE_NUMBERS
from minidocker.errors import InvalidParameter

__all__ = ["HEAD_BYTES", "InvalidKernel", "KernelImage", "parse_kernel", "require_machine"]

HEAD_BYTES: Final = 64 << 10
"""How much of the file is enough to tell."""

_X86_SIGNATURE, _X86_SIGNATURE_AT = b"HdrS", 0x202
_X86_VERSION_AT: Final = 0x20E
"""Two bytes: where the version's text is, less 0x200."""
_X86_FLAGS_AT: Final = 0x236
"""`xloadflags`; its lowest bit says that the kernel is a 64-bit one."""
_ARM_SIGNATURE, _ARM_SIGNATURE_AT = b"ARM\x64", 56


class InvalidKernel(InvalidParameter):
    """The file is no kernel, or one for other machines."""


@dataclass(frozen=True, slots=True, kw_only=True)
class KernelImage:
    """A kernel."""

    machine: str
    """As uname(2) names it."""
    version: str = ""
    """Release and build, where the file says it."""


def parse_kernel(head: bytes, *, path: str) -> KernelImage:
    """Return what the kernel that begins with *head* is.

    Raises:
        InvalidKernel: it is none.
    """
    if not head:
        raise InvalidKernel(f"read kernel `{path}`: the file is empty", hint="fetch it again")
    if head[_X86_SIGNATURE_AT : _X86_SIGNATURE_AT + 4] == _X86_SIGNATURE and len(head) > _X86_FLAGS_AT + 2:
        flags, place = head[_X86_FLAGS_AT], struct.unpack_from("<H", head, _X86_VERSION_AT)[0]
        version = head[place + 0x200 :].partition(b"\0")[0] if place else b""
        return KernelImage(machine="x86_64" if flags & 1 else "i386", version=version.decode(errors="replace"))
    if head[_ARM_SIGNATURE_AT : _ARM_SIGNATURE_AT + 4] == _ARM_SIGNATURE:
        return KernelImage(machine="aarch64")
    if head[:4] == b"\x7fELF" and len(head) > 20:
        number = struct.unpack_from("<H" if head[5] == 1 else ">H", head, 18)[0]
        names = {value: name for name, value in MACHINE_NUMBERS.items()}
        return KernelImage(machine=names.get(number, f"ELF machine {number}"))
    raise InvalidKernel(
        f"read kernel `{path}`: this is no Linux kernel",
        hint="name the file that a distribution calls `vmlinuz`, or its kernel package (a .deb)",
    )


def require_machine(kernel: KernelImage, machine: str, *, path: str) -> None:
    """Refuse a kernel for another *machine* than the one that is to run it.

    Raises:
        InvalidKernel: names both.
    """
    if kernel.machine != machine:
        raise InvalidKernel(
            f"start machine: the kernel `{path}` is for {kernel.machine}, and the interpreter that goes into the machine is for {machine}",
            hint=f"take a kernel for {machine}",
        )
