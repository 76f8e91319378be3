"""Load an eBPF program and attach it to a control group; see bpf(2). What is in it: `minidocker.codec.ebpf`. Chapter 17."""

from __future__ import annotations

import ctypes
import os
from typing import Final

from minidocker.kernel.libc import raw_syscall

__all__ = ["attach_device_program"]

_PROG_LOAD: Final = 5
_PROG_ATTACH: Final = 8
_PROG_TYPE_CGROUP_DEVICE: Final = 15
_ATTACH_CGROUP_DEVICE: Final = 6
_ALLOW_MULTI: Final = 2
"""Programs further up in the tree go on deciding too: all of them have to say yes."""
_INSTRUCTION_BYTES: Final = 8


class _Load(ctypes.Structure):
    """The part of `union bpf_attr` for BPF_PROG_LOAD."""

    _fields_ = (
        ("type", ctypes.c_uint32), ("count", ctypes.c_uint32), ("instructions", ctypes.c_char_p), ("license", ctypes.c_char_p),
        ("log_level", ctypes.c_uint32), ("log_size", ctypes.c_uint32), ("log", ctypes.c_void_p), ("version", ctypes.c_uint32),
        ("flags", ctypes.c_uint32),
    )  # fmt: skip


class _Attach(ctypes.Structure):
    """The part of `union bpf_attr` for BPF_PROG_ATTACH."""

    _fields_ = (
        ("target", ctypes.c_uint32), ("program", ctypes.c_uint32), ("type", ctypes.c_uint32), ("flags", ctypes.c_uint32),
    )  # fmt: skip


def attach_device_program(cgroup: str, program: bytes) -> None:
    """Let *program* decide about devices in the control group at *cgroup*; it lives as long as the group."""
    count = len(program) // _INSTRUCTION_BYTES
    load = _Load(type=_PROG_TYPE_CGROUP_DEVICE, count=count, instructions=program, license=b"Apache-2.0")
    loaded = raw_syscall("bpf", _PROG_LOAD, ctypes.byref(load), ctypes.sizeof(load), path=cgroup)
    try:
        group = os.open(cgroup, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            attach = _Attach(target=group, program=loaded, type=_ATTACH_CGROUP_DEVICE, flags=_ALLOW_MULTI)
            raw_syscall("bpf", _PROG_ATTACH, ctypes.byref(attach), ctypes.sizeof(attach), path=cgroup)
        finally:
            os.close(group)
    finally:
        os.close(loaded)
