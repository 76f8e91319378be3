"""Kernel flag words, one class per flag argument, with the names of the headers.

Pure. Numbers are those of `<linux/sched.h>`, `<linux/mount.h>`, `<linux/openat2.h>`, `<linux/capability.h>`; a test
compares them with the headers where these are installed. Chapter 16.
"""

from __future__ import annotations

from enum import IntEnum, IntFlag
from typing import Final

__all__ = ["CAPABILITIES", "Clone", "Mnt", "Ms", "Resolve", "Rlimit", "describe_flags"]

CAPABILITIES: Final = tuple(
    f"CAP_{name}"
    for name in ["CHOWN", "DAC_OVERRIDE", "DAC_READ_SEARCH", "FOWNER", "FSETID", "KILL", "SETGID", "SETUID", "SETPCAP", "LINUX_IMMUTABLE", "NET_BIND_SERVICE", "NET_BROADCAST", "NET_ADMIN", "NET_RAW", "IPC_LOCK", "IPC_OWNER", "SYS_MODULE", "SYS_RAWIO", "SYS_CHROOT", "SYS_PTRACE", "SYS_PACCT", "SYS_ADMIN", "SYS_BOOT", "SYS_NICE", "SYS_RESOURCE", "SYS_TIME", "SYS_TTY_CONFIG", "MKNOD", "LEASE", "AUDIT_WRITE", "AUDIT_CONTROL", "SETFCAP", "MAC_OVERRIDE", "MAC_ADMIN", "SYSLOG", "WAKE_ALARM", "BLOCK_SUSPEND", "AUDIT_READ", "PERFMON", "BPF", "CHECKPOINT_RESTORE"]
)
"""Every capability; its place in the tuple is its number. See capabilities(7)."""


class Clone(IntFlag):
    """Namespaces for unshare(2) and setns(2); see namespaces(7)."""

    NEWTIME = 0x00000080
    NEWNS = 0x00020000
    NEWCGROUP = 0x02000000
    NEWUTS = 0x04000000
    NEWIPC = 0x08000000
    NEWUSER = 0x10000000
    NEWPID = 0x20000000
    NEWNET = 0x40000000


class Ms(IntFlag):
    """Mount flags for mount(2)."""

    RDONLY = 1
    NOSUID = 2
    NODEV = 4
    NOEXEC = 8
    SYNCHRONOUS = 16
    REMOUNT = 32
    DIRSYNC = 128
    NOATIME = 1024
    NODIRATIME = 2048
    BIND = 4096
    MOVE = 8192
    REC = 16384
    SILENT = 32768
    UNBINDABLE = 1 << 17
    PRIVATE = 1 << 18
    SLAVE = 1 << 19
    SHARED = 1 << 20
    RELATIME = 1 << 21
    STRICTATIME = 1 << 24


class Mnt(IntFlag):
    """Flags for umount2(2)."""

    FORCE = 1
    DETACH = 2
    EXPIRE = 4


class Resolve(IntFlag):
    """How openat2(2) walks a path."""

    NO_XDEV = 0x01
    NO_MAGICLINKS = 0x02
    NO_SYMLINKS = 0x04
    BENEATH = 0x08
    IN_ROOT = 0x10


class Rlimit(IntEnum):
    """Resources of prlimit(2), by Docker's `--ulimit` names; x86_64 and aarch64 numbers."""

    CPU = 0
    FSIZE = 1
    DATA = 2
    STACK = 3
    CORE = 4
    RSS = 5
    NPROC = 6
    NOFILE = 7
    MEMLOCK = 8
    AS = 9
    LOCKS = 10
    SIGPENDING = 11
    MSGQUEUE = 12
    NICE = 13
    RTPRIO = 14
    RTTIME = 15


def describe_flags(flags: IntFlag) -> str:
    """Return the names of the set bits joined by `|`, unknown bits in hexadecimal, `0` for none.

    Python 3.11 prints an `IntFlag` as a number; people read names.
    """
    kind = type(flags)
    names = [str(member.name) for member in kind if member in flags and member.value]
    unknown = int(flags) & ~sum(member.value for member in kind)
    return "|".join(names + ([hex(unknown)] if unknown else [])) or "0"
