"""Capabilities of the calling process; see capabilities(7), capset(2) and `<linux/capability.h>`. Chapter 16."""

from __future__ import annotations

import ctypes
from collections.abc import Collection
from pathlib import Path
from typing import Final

from minidocker.kernel.flags import CAPABILITIES
from minidocker.kernel.libc import LIBC, check

__all__ = ["drop_bounding_set", "read_bounding_set", "read_last_capability", "set_capabilities"]

_PR_CAPBSET_DROP: Final = 24
_PR_CAP_AMBIENT: Final = 47
_PR_CAP_AMBIENT_RAISE: Final = 2
_VERSION_3: Final = 0x20080522


class _Header(ctypes.Structure):
    _fields_ = (("version", ctypes.c_uint32), ("pid", ctypes.c_int))


class _Data(ctypes.Structure):
    _fields_ = (("effective", ctypes.c_uint32), ("permitted", ctypes.c_uint32), ("inheritable", ctypes.c_uint32))


def read_last_capability() -> int:
    """Return the highest capability number that this kernel knows."""
    return int(Path("/proc/sys/kernel/cap_last_cap").read_text(encoding="ascii"))


def read_bounding_set() -> frozenset[str]:
    """Return the capabilities that this process could hand on; a container gets no more than these."""
    for line in Path("/proc/self/status").read_text(encoding="ascii", errors="replace").splitlines():
        if line.startswith("CapBnd:"):
            bits = int(line.split()[1], 16)
            return frozenset(name for number, name in enumerate(CAPABILITIES) if bits >> number & 1)
    return frozenset()


def drop_bounding_set(keep: Collection[str]) -> None:
    """Remove every capability but *keep* from the bounding set, for ever; see PR_CAPBSET_DROP."""
    for number in range(read_last_capability() + 1):
        if number >= len(CAPABILITIES) or CAPABILITIES[number] not in keep:
            check("prctl(PR_CAPBSET_DROP)", lambda n=number: LIBC.prctl(_PR_CAPBSET_DROP, n, 0, 0, 0))  # type: ignore[misc]  # lambda default


def set_capabilities(keep: Collection[str], *, ambient: Collection[str] = ()) -> None:
    """Set the permitted and effective sets to *keep*, and the inheritable set to *ambient*: nothing, as a rule (CVE-2022-24769)."""
    bits, inherited = (sum(1 << CAPABILITIES.index(name) for name in set(names)) for names in (keep, ambient))
    words = ((bits & 0xFFFFFFFF, inherited & 0xFFFFFFFF), (bits >> 32, inherited >> 32))
    data = (_Data * 2)(*(_Data(effective=word, permitted=word, inheritable=below) for word, below in words))
    header = _Header(version=_VERSION_3, pid=0)
    check("capset", lambda: LIBC.capset(ctypes.byref(header), ctypes.byref(data)))
    for name in ambient:
        number = CAPABILITIES.index(name)
        check("prctl(PR_CAP_AMBIENT)", lambda n=number: LIBC.prctl(_PR_CAP_AMBIENT, _PR_CAP_AMBIENT_RAISE, n, 0, 0))  # type: ignore[misc]  # lambda default
