"""Processes and their namespaces: fork, unshare, setns, the names of the machine, limits.

Pure. Each function is a system call, with the rules of its page; what only concerns users and privileges is in
`minidocker.simulator.credentials`. See unshare(2), setns(2), pid_namespaces(7), setrlimit(2), proc(5). Chapter 16.
"""

from __future__ import annotations

import errno
import itertools
from collections.abc import Mapping
from dataclasses import replace
from typing import Final

from minidocker.codec.idmap import IdRange
from minidocker.kernel.flags import Clone, Rlimit
from minidocker.simulator.linux import (
    ALL_CAPABILITIES, CgroupRoots, Ipc, Linux, Mounts, Namespace, Net, Pid, Place, Process, Time, User, Uts, fail,
    require_capability,
)  # fmt: skip
from minidocker.simulator.mounts import copy_mount_namespace

__all__ = ["end_process", "fork", "require_first_user_namespace", "set_clock_offset", "set_hostname", "set_oom_score", "set_rlimit", "setns", "unshare", "write_id_maps", "write_sysctl"]

HOSTNAME_BYTES: Final = 64
"""`__NEW_UTS_LEN`."""

_NET_DEFAULTS: Final = {
    "net.ipv4.ip_forward": "0", "net.ipv4.ip_unprivileged_port_start": "1024", "net.ipv4.ping_group_range": "1\t0",
}  # fmt: skip


def fork(linux: Linux, pid: int) -> tuple[Linux, int]:
    """Make a copy of a process, in the pid namespace that it has chosen for its children; return its number out here.

    Raises:
        OSError: ENOMEM, when process 1 of that namespace has ended.
    """
    parent = linux.processes[pid]
    linux, child = linux.new_id()
    birthplace = parent.children_pid_namespace
    numbers = []
    for number in _line_of(linux, birthplace):
        namespace = linux.namespaces[number]
        assert isinstance(namespace, Pid)
        if namespace.is_dead:
            raise fail(errno.ENOMEM, "process 1 of the pid namespace has ended: nobody can be born there")
        inside = namespace.next_number if namespace.parent else child
        numbers.append((number, inside))
        linux = linux.with_namespace(number, replace(namespace, next_number=inside + 1))
    born = replace(
        parent, pid=child, parent=pid, numbers=tuple(numbers), namespaces={**parent.namespaces, Clone.NEWPID: birthplace}
    )
    return linux.with_process(born), child


def _line_of(linux: Linux, number: int) -> list[int]:
    """Return a pid namespace and those around it, the outermost first: a process has a number in each."""
    namespace = linux.namespaces[number]
    assert isinstance(namespace, Pid)
    return [*(_line_of(linux, namespace.parent) if namespace.parent else ()), number]


def end_process(linux: Linux, pid: int) -> Linux:
    """Let a process end. If it was process 1 of its pid namespace, everybody in there ends with it, and it closes for good."""
    ended = linux.processes[pid]
    namespace, number = ended.numbers[-1]
    gone = {pid}
    if number == 1:
        gone |= {p.pid for p in linux.processes.values() if any(n == namespace for n, _ in p.numbers)}
        dead = linux.namespaces[namespace]
        assert isinstance(dead, Pid)
        linux = linux.with_namespace(namespace, replace(dead, is_dead=True))
    return replace(linux, processes={p.pid: p for p in linux.processes.values() if p.pid not in gone})


def unshare(linux: Linux, pid: int, kinds: Clone) -> Linux:
    """Move a process into new namespaces: a user namespace first, because it gives the right to make the others.

    Raises:
        OSError: EPERM without CAP_SYS_ADMIN; EINVAL for a second new pid namespace.
    """
    if kinds & Clone.NEWUSER:
        linux = _unshare_user(linux, pid)
    if kinds & ~Clone.NEWUSER:
        require_capability(linux.processes[pid], "CAP_SYS_ADMIN", "unshare")
    process = linux.processes[pid]
    if kinds & Clone.NEWPID and process.children_pid_namespace != process.namespaces[Clone.NEWPID]:
        raise fail(errno.EINVAL, "the pid namespace for children has been chosen already")
    for kind in (Clone.NEWNS, Clone.NEWUTS, Clone.NEWIPC, Clone.NEWPID, Clone.NEWCGROUP, Clone.NEWNET, Clone.NEWTIME):
        if kinds & kind:
            linux = _unshare_one(linux, pid, kind)
    return linux


def _unshare_one(linux: Linux, pid: int, kind: Clone) -> Linux:
    linux, number = linux.new_id()
    owner, user = linux.user_of(pid)
    linux = replace(linux, owners={**linux.owners, number: owner}) if user.parent else linux
    if kind is Clone.NEWNS:
        return copy_mount_namespace(linux, pid, number)
    process = linux.processes[pid]
    linux = linux.with_namespace(number, _new_namespace(linux, process, kind))
    if kind is Clone.NEWPID:  # the caller keeps its numbers; its children get new ones
        return linux.with_process(replace(process, children_pid_namespace=number))
    return linux.with_process(replace(process, namespaces={**process.namespaces, kind: number}))


def _new_namespace(linux: Linux, process: Process, kind: Clone) -> Namespace:
    """Return what a new namespace begins with: names are copied, the network is empty, the group one is in is the root."""
    match kind:
        case Clone.NEWUTS:
            return linux.namespaces[process.namespaces[kind]]
        case Clone.NEWIPC:
            return Ipc()
        case Clone.NEWPID:
            return Pid(parent=process.namespaces[kind])
        case Clone.NEWCGROUP:
            return CgroupRoots(roots=dict(process.groups))
        case Clone.NEWNET:
            return Net(sysctls=_NET_DEFAULTS)
        case _:
            return Time()


def _unshare_user(linux: Linux, pid: int) -> Linux:
    """Give the process a user namespace in which it has every capability, whoever it is outside."""
    linux, number = linux.new_id()
    process = linux.processes[pid]
    linux = linux.with_namespace(number, User(parent=process.namespaces[Clone.NEWUSER]))
    full = replace(process.credentials, permitted=ALL_CAPABILITIES, effective=ALL_CAPABILITIES, bounding=ALL_CAPABILITIES)
    return linux.with_process(replace(process, credentials=full, namespaces={**process.namespaces, Clone.NEWUSER: number}))


def write_id_maps(linux: Linux, pid: int, uid_map: tuple[IdRange, ...], gid_map: tuple[IdRange, ...]) -> Linux:
    """Write the maps of a process's user namespace, from outside; see user_namespaces(7).

    Raises:
        OSError: EPERM: they are there already; EINVAL: two ranges overlap, or there is none.
    """
    number, user = linux.user_of(pid)
    if user.uid_map:
        raise fail(errno.EPERM, "a map is written once")
    for ranges in (uid_map, gid_map):
        for key in ("inside", "outside"):
            line = sorted((getattr(r, key), r.count) for r in ranges)
            if not line or any(start + count > after for (start, count), (after, _) in itertools.pairwise(line)):
                raise fail(errno.EINVAL, "ranges that overlap, or none")
    return linux.with_namespace(number, replace(user, uid_map=uid_map, gid_map=gid_map))


def require_first_user_namespace(linux: Linux, pid: int, what: str) -> None:
    """Raise unless a process's capabilities are those of the machine's own users: some count nowhere else.

    Raises:
        OSError: EPERM.
    """
    if linux.user_of(pid)[1].parent:
        raise fail(errno.EPERM, f"{what} takes a privilege in the first user namespace")


def setns(linux: Linux, pid: int, target: int, kinds: Clone) -> Linux:
    """Enter namespaces of process *target*. Entering a mount namespace also moves root and working directory to its root.

    Raises:
        OSError: ESRCH without such a process; EPERM without CAP_SYS_ADMIN.
    """
    if target not in linux.processes:
        raise fail(errno.ESRCH, f"no process {target}")
    process, other = linux.processes[pid], linux.processes[target]
    require_capability(process, "CAP_SYS_ADMIN", "setns")
    namespaces = dict(process.namespaces)
    for kind in Clone:
        if kinds & kind and kind is not Clone.NEWPID:
            namespaces[kind] = other.namespaces[kind]
    children = other.namespaces[Clone.NEWPID] if kinds & Clone.NEWPID else process.children_pid_namespace
    process = replace(process, namespaces=namespaces, children_pid_namespace=children)
    if kinds & Clone.NEWNS:
        root = _root_of(linux, namespaces[Clone.NEWNS])
        process = replace(process, root=root, cwd=root)
    return linux.with_process(process)


def _root_of(linux: Linux, number: int) -> Place:
    """Return the root of a mount namespace: what is stacked on top of its first mount."""
    from minidocker.simulator.files import top_of

    namespace = linux.namespaces[number]
    assert isinstance(namespace, Mounts)
    return top_of(linux, Place(mount=namespace.top, path=linux.mounts[namespace.top].root))


def set_clock_offset(linux: Linux, pid: int, clock: str, seconds: int, nanoseconds: int) -> Linux:
    """Write `timens_offsets`; see time_namespaces(7).

    Raises:
        OSError: EINVAL for another clock.
    """
    if clock not in ("monotonic", "boottime"):
        raise fail(errno.EINVAL, f"no offset for clock `{clock}`")
    number = linux.processes[pid].namespaces[Clone.NEWTIME]
    old = linux.namespaces[number]
    assert isinstance(old, Time)
    return linux.with_namespace(number, Time(offsets={**old.offsets, clock: (seconds, nanoseconds)}))


def set_hostname(linux: Linux, pid: int, hostname: str, *, domainname: str = "") -> Linux:
    """Set the names of the caller's UTS namespace; see sethostname(2).

    Raises:
        OSError: EPERM without CAP_SYS_ADMIN; EINVAL for a name that is too long.
    """
    process = linux.processes[pid]
    require_capability(process, "CAP_SYS_ADMIN", "sethostname")
    if max(len(hostname), len(domainname)) > HOSTNAME_BYTES:
        raise fail(errno.EINVAL, f"a name of more than {HOSTNAME_BYTES} bytes")
    number = process.namespaces[Clone.NEWUTS]
    old = linux.namespaces[number]
    assert isinstance(old, Uts)
    return linux.with_namespace(number, Uts(hostname=hostname, domainname=domainname or old.domainname))


def set_rlimit(linux: Linux, pid: int, resource: Rlimit, soft: int, hard: int) -> Linux:
    """Limit a resource; see setrlimit(2). Raising the hard limit is a privilege.

    Raises:
        OSError: EINVAL for a soft limit above the hard one; EPERM without CAP_SYS_RESOURCE, or for more files than `fs.nr_open`.
    """
    process = linux.processes[pid]
    as_number = float("inf") if hard == -1 else hard
    if (float("inf") if soft == -1 else soft) > as_number:
        raise fail(errno.EINVAL, "the soft limit is above the hard limit")
    before = process.limits.get(resource, (-1, -1))[1]
    if as_number > (float("inf") if before == -1 else before):
        require_capability(process, "CAP_SYS_RESOURCE", "raising a hard limit")
    if resource is Rlimit.NOFILE and as_number > int(linux.sysctls.get("fs.nr_open", "1048576")):
        raise fail(errno.EPERM, "more open files than fs.nr_open")
    return linux.with_process(replace(process, limits={**process.limits, resource: (soft, hard)}))


def set_oom_score(linux: Linux, pid: int, score: int) -> Linux:
    """Write `oom_score_adj`; see proc(5).

    Raises:
        OSError: EINVAL outside of -1000 to 1000; EACCES for a lower score without CAP_SYS_RESOURCE.
    """
    process = linux.processes[pid]
    if not -1000 <= score <= 1000:
        raise fail(errno.EINVAL, "not between -1000 and 1000")
    if score < process.oom_score_adj:
        require_capability(process, "CAP_SYS_RESOURCE", "a lower oom_score_adj", number=errno.EACCES)
    return linux.with_process(replace(process, oom_score_adj=score))


def write_sysctl(linux: Linux, pid: int, name: str, value: str) -> Linux:
    """Write a kernel parameter: into the namespace it belongs to, by its name, or into the one for the whole machine."""
    process = linux.processes[pid]
    words = "\t".join(value.split())
    if name.startswith("net."):
        number, net = linux.net_of(pid)
        return linux.with_namespace(number, replace(net, sysctls={**net.sysctls, name: words}))
    if is_ipc_sysctl(name):
        number = process.namespaces[Clone.NEWIPC]
        ipc = linux.namespaces[number]
        assert isinstance(ipc, Ipc)
        return linux.with_namespace(number, Ipc(sysctls={**ipc.sysctls, name: words}))
    if name in ("kernel.hostname", "kernel.domainname"):
        return set_hostname(linux, pid, value) if name.endswith("hostname") else set_hostname(linux, pid, _uts(linux, process).hostname, domainname=value)
    return replace(linux, sysctls={**linux.sysctls, name: words})


def _uts(linux: Linux, process: Process) -> Uts:
    namespace = linux.namespaces[process.namespaces[Clone.NEWUTS]]
    assert isinstance(namespace, Uts)
    return namespace


def is_ipc_sysctl(name: str) -> bool:
    """Return whether a parameter belongs to the ipc namespace; ipc_namespaces(7) has the list."""
    return name.startswith(("kernel.msg", "kernel.sem", "kernel.shm", "fs.mqueue."))


def read_sysctls(linux: Linux, pid: int) -> Mapping[str, str]:
    """Return the parameters that a process sees: the machine's, then those of its namespaces."""
    process = linux.processes[pid]
    ipc = linux.namespaces[process.namespaces[Clone.NEWIPC]]
    assert isinstance(ipc, Ipc)
    return {**linux.sysctls, **ipc.sysctls, **linux.net_of(pid)[1].sysctls}
