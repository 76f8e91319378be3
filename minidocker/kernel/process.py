"""The attributes of this process: titles, signals, limits, descriptors, memory files; see prctl(2). Chapter 16."""

from __future__ import annotations

import ctypes
import errno
import fcntl
import os
import resource
import signal
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Final, NoReturn

from minidocker.kernel.flags import Rlimit
from minidocker.kernel.libc import LIBC, check, raw_syscall

__all__ = [
    "become", "exit_child", "join_session_keyring", "make_sealed_copy", "mark_close_on_exec", "reset_signals",
    "set_child_subreaper", "set_dumpable", "set_keep_capabilities", "set_no_new_privileges", "set_not_dumpable", "set_parent_death_signal", "set_rlimit", "set_title",
]  # fmt: skip

_PR_SET_PDEATHSIG: Final = 1
_PR_SET_DUMPABLE: Final = 4
_PR_SET_KEEPCAPS: Final = 8
_PR_SET_NAME: Final = 15
_PR_SET_CHILD_SUBREAPER: Final = 36
_PR_SET_NO_NEW_PRIVS: Final = 38
_KEYCTL_JOIN_SESSION_KEYRING: Final = 1
_CLOSE_RANGE_CLOEXEC: Final = 4
_MFD_EXEC: Final = 0x10
"""Since Linux 6.3: say that the memory file is meant to be executed."""


def _prctl(name: str, option: int, value: int) -> None:
    check(f"prctl({name})", lambda: LIBC.prctl(option, value, 0, 0, 0))


def set_title(title: str) -> None:
    """Set the name that `ps` and `/proc/PID/comm` show, at most 15 bytes."""
    buffer = ctypes.create_string_buffer(os.fsencode(title)[:15])
    _prctl("PR_SET_NAME", _PR_SET_NAME, ctypes.addressof(buffer))


def set_not_dumpable() -> None:
    """Keep other processes of this user away from our memory, descriptors and `/proc/PID/exe`, until execve."""
    _prctl("PR_SET_DUMPABLE", _PR_SET_DUMPABLE, 0)


def set_dumpable() -> None:
    """Let processes with our privileges see our memory and descriptors; a change of user namespace took that away."""
    _prctl("PR_SET_DUMPABLE", _PR_SET_DUMPABLE, 1)


def set_parent_death_signal(number: signal.Signals) -> None:
    """Let the kernel send *number* when the parent dies; forgotten when the user id changes."""
    _prctl("PR_SET_PDEATHSIG", _PR_SET_PDEATHSIG, int(number))


def set_child_subreaper(adopt: bool) -> None:
    """Become the parent of descendants whose own parent ends, or no longer."""
    _prctl("PR_SET_CHILD_SUBREAPER", _PR_SET_CHILD_SUBREAPER, int(adopt))


def set_keep_capabilities(keep: bool) -> None:
    """Keep the permitted capabilities over the next change of user id, or no longer."""
    _prctl("PR_SET_KEEPCAPS", _PR_SET_KEEPCAPS, int(keep))


def set_no_new_privileges() -> None:
    """Make setuid programs and file capabilities powerless from here on."""
    _prctl("PR_SET_NO_NEW_PRIVS", _PR_SET_NO_NEW_PRIVS, 1)


def join_session_keyring(name: str) -> None:
    """Start with an empty session keyring, so that keys of the host's login are not inherited; see keyctl(2)."""
    word = ctypes.c_char_p(os.fsencode(name))
    with suppress(OSError):  # ENOSYS or a keyring quota: the container then has none of its own, as under runc
        raw_syscall("keyctl", _KEYCTL_JOIN_SESSION_KEYRING, word, 0, 0, 0)


def mark_close_on_exec(first: int) -> None:
    """Let execve close every descriptor from *first* upwards; see close_range(2), Linux 5.11."""
    raw_syscall("close_range", first, 0xFFFFFFFF, _CLOSE_RANGE_CLOEXEC)


def become(uid: int, gid: int, groups: Sequence[int]) -> None:
    """Change groups, group and user for good; see credentials(7).

    Where setgroups(2) is forbidden for ever (user_namespaces(7)), the groups stay as they are.
    """
    try:
        os.setgroups(groups)
    except PermissionError:
        if Path("/proc/self/setgroups").read_text(encoding="ascii").strip() != "deny":
            raise
    try:
        os.setresgid(gid, gid, gid)
        os.setresuid(uid, uid, uid)
    except OSError as error:
        if error.errno != errno.EINVAL:
            raise
        text = f"user {uid}:{gid} has no number outside: the user namespace has too few (/etc/subuid, /etc/subgid)"
        raise OSError(errno.EINVAL, text) from error


def set_rlimit(name: Rlimit, *, soft: int, hard: int, pid: int = 0) -> None:
    """Limit a resource of this process, or of *pid*; `-1` is unlimited. See prlimit(2)."""
    resource.prlimit(pid, int(name), (soft, hard))


def reset_signals() -> None:
    """Give the container's command the signal state of a fresh login: all default, none blocked."""
    for number in (signal.SIGPIPE, signal.SIGXFSZ, signal.SIGINT, signal.SIGTERM, signal.SIGCHLD, signal.SIGHUP):
        signal.signal(number, signal.SIG_DFL)
    signal.pthread_sigmask(signal.SIG_SETMASK, ())


def make_sealed_copy(path: str) -> int:
    """Return a descriptor of an executable memory file with the content of *path* that nobody can change again.

    Containers are forked from a process that runs this copy: through `/proc/PID/exe` they can then reach neither
    the host's interpreter nor a writable file (CVE-2019-5736). See memfd_create(2).
    """
    flags = os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING
    try:
        fd = os.memfd_create("minidocker", flags | _MFD_EXEC)
    except OSError as error:
        if error.errno != errno.EINVAL:
            raise
        fd = os.memfd_create("minidocker", flags)
    with open(path, "rb") as source:
        size = os.fstat(source.fileno()).st_size
        while os.sendfile(fd, source.fileno(), None, size):
            pass
    fcntl.fcntl(fd, fcntl.F_ADD_SEALS, fcntl.F_SEAL_SHRINK | fcntl.F_SEAL_GROW | fcntl.F_SEAL_WRITE | fcntl.F_SEAL_SEAL)
    return fd


def exit_child(status: int) -> NoReturn:
    """End a forked child without running the parent's exit handlers. The only `os._exit`."""
    os._exit(status)
