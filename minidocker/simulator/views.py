"""What a process sees of the machine: `/proc/self/…`, `ip addr`, the control groups, in the kernel's own words.

Pure. Each function renders one file as the kernel would for process *pid*, so that the text can be laid beside the real one. See
proc_pid_mountinfo(5), proc_pid_status(5), proc_pid_limits(5), cgroups(7), ip-address(8). Chapter 16.
"""

from __future__ import annotations

import ipaddress
import posixpath
from collections.abc import Collection, Iterator, Mapping
from typing import Final

from minidocker.codec.mountinfo import MountInfo, render_mountinfo
from minidocker.codec.rtnetlink import Link
from minidocker.kernel.flags import CAPABILITIES, Clone, Ms, Rlimit
from minidocker.simulator.cgroups import members_of, read_group
from minidocker.simulator.files import absolute, is_under
from minidocker.simulator.filesystems import group_root
from minidocker.simulator.linux import FileSystem, Linux, Mount, NodeKind, Place, Process, Uts
from minidocker.simulator.network import MAIN

__all__ = [
    "list_devices", "list_groups", "list_mounts", "render_addresses", "render_cgroup", "render_limits", "render_mounts", "render_routes",
    "render_status", "render_views",
]  # fmt: skip

_FLAG_WORDS: Final = (
    (Ms.NOSUID, "nosuid"), (Ms.NODEV, "nodev"), (Ms.NOEXEC, "noexec"), (Ms.NOATIME, "noatime"), (Ms.NODIRATIME, "nodiratime"),
    (Ms.RELATIME, "relatime"),
)  # fmt: skip
_LIMIT_WORDS: Final = {
    Rlimit.CPU: ("cpu time", "seconds"), Rlimit.FSIZE: ("file size", "bytes"), Rlimit.DATA: ("data size", "bytes"),
    Rlimit.STACK: ("stack size", "bytes"), Rlimit.CORE: ("core file size", "bytes"), Rlimit.RSS: ("resident set", "bytes"),
    Rlimit.NPROC: ("processes", "processes"), Rlimit.NOFILE: ("open files", "files"), Rlimit.MEMLOCK: ("locked memory", "bytes"),
    Rlimit.AS: ("address space", "bytes"), Rlimit.LOCKS: ("file locks", "locks"), Rlimit.SIGPENDING: ("pending signals", "signals"),
    Rlimit.MSGQUEUE: ("msgqueue size", "bytes"), Rlimit.NICE: ("nice priority", ""), Rlimit.RTPRIO: ("realtime priority", ""),
    Rlimit.RTTIME: ("realtime timeout", "us"),
}  # fmt: skip


def list_mounts(linux: Linux, pid: int) -> tuple[MountInfo, ...]:
    """Return the mounts of a process's namespace that it can reach from its root, oldest first."""
    process = linux.processes[pid]
    mounts = [m for m in linux.mounts.values() if m.namespace == process.namespaces[Clone.NEWNS]]
    found = ((m, _path_from(linux, process.root, m)) for m in sorted(mounts, key=lambda m: m.id))
    return tuple(_show_mount(linux, pid, m, path) for m, path in found if path)


def render_mounts(linux: Linux, pid: int) -> str:
    """Return `/proc/PID/mountinfo`."""
    return render_mountinfo(list_mounts(linux, pid))


def _path_from(linux: Linux, root: Place, mount: Mount) -> str:
    """Return where a mount is for a process with *root*; empty if it cannot get there."""
    path, place = "", Place(mount=mount.id, path=mount.root)
    while place.mount != root.mount:
        at = linux.mounts[place.mount]
        if at.parent == at.id:
            return ""
        path = _join(posixpath.relpath(place.path, at.root), path)
        place = Place(mount=at.parent, path=at.mount_point)
    if not is_under(place.path, root.path):
        return ""
    return absolute(_join(posixpath.relpath(place.path, root.path), path))


def _join(first: str, second: str) -> str:
    return posixpath.join(first, second) if second else first


def _show_mount(linux: Linux, pid: int, mount: Mount, path: str) -> MountInfo:
    file_system = linux.file_systems[mount.file_system]
    options = ["ro" if mount.flags & Ms.RDONLY else "rw", *(word for flag, word in _FLAG_WORDS if mount.flags & flag)]
    root = mount.root
    if file_system.hierarchy >= 0:  # shown from the group that is the reader's root
        root = _group_path(group_root(linux, pid, file_system), root)
    return MountInfo(
        mount_id=mount.id, parent_id=mount.parent, device=file_system.device, root=root, mount_point=path, options=tuple(options),
        propagation=tuple(_show_propagation(linux, pid, mount)), fstype=file_system.fstype, source=mount.source or "none",
        super_options=("ro" if file_system.readonly else "rw", *file_system.options),
    )  # fmt: skip


def _show_propagation(linux: Linux, pid: int, mount: Mount) -> Iterator[str]:
    """`propagate_from` names the nearest group that the reader has a member of, if that is not the master itself."""
    if mount.peer_group:
        yield f"shared:{mount.peer_group}"
    if mount.master:
        yield f"master:{mount.master}"
        process, group = linux.processes[pid], mount.master
        while group and not _reaches_group(linux, process, group):
            group = next((m.master for m in linux.mounts.values() if m.peer_group == group), 0)
        if group and group != mount.master:
            yield f"propagate_from:{group}"
    if mount.unbindable:
        yield "unbindable"


def _reaches_group(linux: Linux, process: Process, group: int) -> bool:
    own = process.namespaces[Clone.NEWNS]
    return any(m.peer_group == group and m.namespace == own and _path_from(linux, process.root, m) for m in linux.mounts.values())


def _group_path(root: str, path: str) -> str:
    """Return a control group as seen from *root*; for one that does not lie below, `..` leads out of the namespace."""
    if root == "/":
        return path
    return path[len(root) :] or "/" if is_under(path, root) else "/" + posixpath.relpath(path, root)


def render_status(linux: Linux, pid: int) -> str:
    """Return the lines of `/proc/PID/status` that say who a process is, as far as the model knows them."""
    process = linux.processes[pid]
    who = process.credentials
    numbers = _numbers_from(process, process.namespaces[Clone.NEWPID])
    parent = linux.processes.get(process.parent)
    session = linux.processes.get(process.session)
    sets = {
        "CapInh": who.inheritable, "CapPrm": who.permitted, "CapEff": who.effective, "CapBnd": who.bounding, "CapAmb": who.ambient,
    }  # fmt: skip
    lines = {
        "Name": process.name, "Umask": f"{process.umask:04o}", "Pid": str(numbers[0]),
        "PPid": str(_number_in(parent, process.namespaces[Clone.NEWPID])),
        "Uid": "\t".join(map(str, who.uids)), "Gid": "\t".join(map(str, who.gids)), "Groups": "".join(f"{g} " for g in who.groups),
        "NSpid": "\t".join(map(str, numbers)), "NSsid": str(_number_in(session, process.namespaces[Clone.NEWPID])),
        **{name: f"{_bits(names):016x}" for name, names in sets.items()},
        "NoNewPrivs": str(int(process.no_new_privileges)), "Seccomp": "2" if process.filters else "0",
        "Seccomp_filters": str(process.filters),
    }  # fmt: skip
    return "".join(f"{name}:\t{value}\n" for name, value in lines.items())


def _numbers_from(process: Process, namespace: int) -> list[int]:
    """Return the numbers of a process from *namespace* inwards; outer ones cannot be seen from there."""
    names = [n for n, _ in process.numbers]
    return [number for _, number in process.numbers[names.index(namespace) :]] if namespace in names else [0]


def _number_in(process: Process | None, namespace: int) -> int:
    """Return the number of a process for readers in *namespace*; 0 where it has none."""
    return dict(process.numbers).get(namespace, 0) if process else 0


def _bits(names: Collection[str]) -> int:
    return sum(1 << CAPABILITIES.index(name) for name in names)


def render_cgroup(linux: Linux, pid: int) -> str:
    """Return `/proc/PID/cgroup`: number, controllers and group of each tree, seen from the cgroup namespace."""
    process = linux.processes[pid]
    trees = sorted((f for f in linux.file_systems.values() if f.hierarchy >= 0), key=lambda f: -f.hierarchy)
    return "".join(
        f"{t.hierarchy}:{','.join(t.controllers) if t.hierarchy else ''}:"
        f"{_group_path(group_root(linux, pid, t), process.groups.get(t.hierarchy, '/'))}\n"
        for t in trees
    )


def render_limits(linux: Linux, pid: int) -> str:
    """Return `/proc/PID/limits`."""
    limits = linux.processes[pid].limits
    rows = [("Limit", "Soft Limit", "Hard Limit", "Units")]
    for resource, (words, unit) in _LIMIT_WORDS.items():
        soft, hard = ("unlimited" if n == -1 else str(n) for n in limits.get(resource, (-1, -1)))
        rows.append((f"Max {words}", soft, hard, unit))
    return "".join(f"{name:25} {soft:20} {hard:20} {unit and unit.ljust(10)}\n" for name, soft, hard, unit in rows)


def render_addresses(linux: Linux, pid: int) -> str:
    """Return what `ip address` shows, without what only a real card has."""
    _, net = linux.net_of(pid)
    lines = []
    for link in net.links:
        lines.append(f"{link.index}: {_link_name(link)}: <{','.join(_link_words(link))}> mtu {link.mtu} state {'UP' if link.up else 'DOWN'}")
        kind = "loopback" if link.name == "lo" else "ether"
        lines.append(f"    link/{kind} {link.mac_address or '00:00:00:00:00:00'}")
        for address in (a.address for a in net.addresses if a.link_index == link.index):
            family = "inet6" if ":" in address else "inet"
            lines.append(f"    {family} {address} scope {'host' if link.name == 'lo' else 'global'} {link.name}")
    return "".join(f"{line}\n" for line in lines)


def _link_name(link: Link) -> str:
    return f"{link.name}@if{link.peer_index}" if link.peer_index else link.name


def _link_words(link: Link) -> list[str]:
    kind = ["LOOPBACK"] if link.name == "lo" else ["BROADCAST", "MULTICAST"]
    return kind + (["UP"] if link.up else [])


def render_routes(linux: Linux, pid: int) -> str:
    """Return what `ip route` shows: the table `main`, the default route first."""
    _, net = linux.net_of(pid)
    names = {link.index: link.name for link in net.links}
    sources = {str(ipaddress.ip_interface(a.address).network): a.address.partition("/")[0] for a in net.addresses}
    lines = []
    for route in sorted((r for r in net.routes if r.table == MAIN and ":" not in r.destination), key=lambda r: ipaddress.ip_network(r.destination).prefixlen):
        words = ["default" if route.destination == "0.0.0.0/0" else route.destination]
        words += ["via", route.gateway] if route.gateway else []
        words += ["dev", names[route.link_index]]
        words += ["scope", "link", "src", sources[route.destination]] if not route.gateway and route.destination in sources else []
        lines.append(" ".join(words))
    return "".join(f"{line}\n" for line in lines)


def list_groups(linux: Linux, pid: int) -> dict[str, str]:
    """Return the files of the control groups that a process finds at the roots of the trees mounted for it, by path."""
    found: dict[str, str] = {}
    for mount in list_mounts(linux, pid):
        tree = linux.file_systems[linux.mounts[mount.mount_id].file_system]
        if tree.hierarchy >= 0:
            group = linux.mounts[mount.mount_id].root
            found |= {posixpath.join(mount.mount_point, name): text for name, text in _group_files(linux, pid, tree, group).items()}
    return found


def _group_files(linux: Linux, pid: int, tree: FileSystem, group: str) -> dict[str, str]:
    namespace = linux.processes[pid].namespaces[Clone.NEWPID]
    numbers = (_number_in(linux.processes[member], namespace) for member in members_of(linux, tree, group))
    return {**read_group(tree, group), "cgroup.procs": "\n".join(map(str, numbers))}


def list_devices(linux: Linux, pid: int) -> dict[str, str]:
    """Return the device nodes in `/dev` itself, made or bound there, by path: kind, major and minor number."""
    dev = next(m for m in list_mounts(linux, pid) if m.mount_point == "/dev")
    files = linux.file_systems[linux.mounts[dev.mount_id].file_system].files
    shown = {f"/dev{path}": node for path, node in files.items()}
    for m in list_mounts(linux, pid):
        if m.mount_point in shown:
            shown[m.mount_point] = linux.file_systems[linux.mounts[m.mount_id].file_system].files[m.root]
    kinds = (NodeKind.CHARACTER, NodeKind.BLOCK)
    return {path: f"{node.kind} {node.content}" for path, node in shown.items() if node.kind in kinds and path != "/dev/console"}


def render_views(linux: Linux, pid: int) -> Mapping[str, str]:
    """Return everything that `run --simulate` shows, by the name of the file or the command."""
    uts = linux.namespaces[linux.processes[pid].namespaces[Clone.NEWUTS]]
    assert isinstance(uts, Uts)
    groups = {path: text for path, text in list_groups(linux, pid).items() if text}
    return {
        "hostname": f"{uts.hostname}\n",
        "/proc/self/status": render_status(linux, pid),
        "/proc/self/mountinfo": render_mounts(linux, pid),
        "/proc/self/cgroup": render_cgroup(linux, pid),
        "/proc/self/limits": render_limits(linux, pid),
        "ip address": render_addresses(linux, pid),
        "ip route": render_routes(linux, pid),
        **{path: text + "\n" for path, text in groups.items()},
    }
