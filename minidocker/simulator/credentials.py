"""Users and privileges: what a process may do, and how execve(2) changes it.

Pure. Root is a set of capabilities; each change of user and each execve computes new sets from the old ones, and the formulas are
those of capabilities(7). See also credentials(7), setresuid(2), capset(2), prctl(2), seccomp(2). Chapter 19.
"""

from __future__ import annotations

import errno
from collections.abc import Iterable
from dataclasses import replace
from typing import Final

from minidocker.simulator.linux import ALL_CAPABILITIES, Credentials, Linux, fail, require_capability

__all__ = ["compute_exec", "drop_bounding_set", "install_filter", "set_capabilities", "set_groups", "set_keep_capabilities", "set_no_new_privileges", "set_user"]

MAX_GROUPS: Final = 65536


def set_groups(linux: Linux, pid: int, groups: Iterable[int]) -> Linux:
    """Set the supplementary groups; see setgroups(2).

    Raises:
        OSError: EPERM without CAP_SETGID.
    """
    process = linux.processes[pid]
    require_capability(process, "CAP_SETGID", "setgroups")
    return linux.with_process(replace(process, credentials=replace(process.credentials, groups=tuple(sorted(groups)))))


def set_user(linux: Linux, pid: int, *, uid: int, gid: int) -> Linux:
    """Become another group, then another user, for good; see setresgid(2), setresuid(2).

    Raises:
        OSError: EPERM for an id that is not one's own, without CAP_SETGID or CAP_SETUID.
    """
    process = linux.processes[pid]
    old = process.credentials
    if gid not in old.gids[:3]:
        require_capability(process, "CAP_SETGID", "setresgid")
    if uid not in old.uids[:3]:
        require_capability(process, "CAP_SETUID", "setresuid")
    new = replace(old, uids=(uid,) * 4, gids=(gid,) * 4)
    return linux.with_process(replace(process, credentials=_leave_root(old, new)))


def _leave_root(old: Credentials, new: Credentials) -> Credentials:
    """Apply the rules of capabilities(7), "Effect of user ID changes on capabilities"."""
    if 0 in old.uids[:3] and 0 not in new.uids[:3]:
        new = replace(new, ambient=frozenset())
        if not old.keep_capabilities:
            new = replace(new, permitted=frozenset(), effective=frozenset())
    if old.uids[1] == 0 and new.uids[1] != 0:
        new = replace(new, effective=frozenset())
    if old.uids[1] != 0 and new.uids[1] == 0:
        new = replace(new, effective=new.permitted)
    return new


def set_keep_capabilities(linux: Linux, pid: int, keep: bool) -> Linux:
    """Set or clear SECBIT_KEEP_CAPS; see PR_SET_KEEPCAPS."""
    process = linux.processes[pid]
    return linux.with_process(replace(process, credentials=replace(process.credentials, keep_capabilities=keep)))


def set_capabilities(linux: Linux, pid: int, names: Iterable[str], *, ambient: Iterable[str] = ()) -> Linux:
    """Set the permitted and effective sets to *names*, the inheritable and ambient ones to *ambient*; see capset(2).

    An ambient capability is one that is permitted and inheritable, and survives the execve of an ordinary file.

    Raises:
        OSError: EPERM: the permitted set can only shrink, and what is ambient must be permitted.
    """
    process, wanted, lasting = linux.processes[pid], frozenset(names), frozenset(ambient)
    if not wanted <= process.credentials.permitted:
        raise fail(errno.EPERM, "a capability that is not permitted cannot be had again")
    if not lasting <= wanted:
        raise fail(errno.EPERM, "a capability that is not permitted cannot be ambient")
    kept = replace(process.credentials, permitted=wanted, effective=wanted, inheritable=lasting, ambient=lasting)
    return linux.with_process(replace(process, credentials=kept))


def drop_bounding_set(linux: Linux, pid: int, keep: Iterable[str]) -> Linux:
    """Remove everything but *keep* from the bounding set, for ever; see PR_CAPBSET_DROP.

    Raises:
        OSError: EPERM without CAP_SETPCAP.
    """
    process = linux.processes[pid]
    require_capability(process, "CAP_SETPCAP", "prctl(PR_CAPBSET_DROP)")
    left = process.credentials.bounding & frozenset(keep)
    return linux.with_process(replace(process, credentials=replace(process.credentials, bounding=left)))


def set_no_new_privileges(linux: Linux, pid: int) -> Linux:
    """Promise that no execve will gain privileges; see PR_SET_NO_NEW_PRIVS. There is no way back."""
    return linux.with_process(replace(linux.processes[pid], no_new_privileges=True))


def install_filter(linux: Linux, pid: int, program: bytes) -> Linux:
    """Put a system call filter on top of those that are there; see seccomp(2).

    Raises:
        OSError: EACCES without no_new_privs or CAP_SYS_ADMIN: a filter could fool a set-user-ID program. EINVAL for a
            program without instructions or with more than 4096.
    """
    process = linux.processes[pid]
    if not process.no_new_privileges:
        require_capability(process, "CAP_SYS_ADMIN", "seccomp without no_new_privs", number=errno.EACCES)
    if not program or len(program) % 8 or len(program) > 4096 * 8:
        raise fail(errno.EINVAL, "not a program of 1 to 4096 instructions")
    return linux.with_process(replace(process, filters=process.filters + 1))


def compute_exec(old: Credentials, *, file_permitted: frozenset[str] = frozenset(), file_inheritable: frozenset[str] = frozenset()) -> Credentials:
    """Return the credentials after execve(2) of a file with these capabilities; see capabilities(7), "Transformation".

    For root every file has all capabilities: this is how user number 0 comes to be mighty.

        P'(ambient)   = (file is privileged) ? 0 : P(ambient)
        P'(permitted) = (P(inheritable) & F(inheritable)) | (F(permitted) & P(bounding)) | P'(ambient)
        P'(effective) = F(effective) ? P'(permitted) : P'(ambient)
    """
    file_effective = bool(file_permitted or file_inheritable)
    ambient = frozenset() if file_effective else old.ambient
    if 0 in old.uids[:2]:
        file_permitted = file_inheritable = ALL_CAPABILITIES
        file_effective = file_effective or old.uids[1] == 0
    permitted = (old.inheritable & file_inheritable) | (file_permitted & old.bounding) | ambient
    effective = permitted if file_effective else ambient
    uids, gids = ((ids[0], ids[1], ids[1], ids[1]) for ids in (old.uids, old.gids))
    return replace(old, uids=uids, gids=gids, permitted=permitted, effective=effective, ambient=ambient, keep_capabilities=False)
