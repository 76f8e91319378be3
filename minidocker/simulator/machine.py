"""A machine to simulate on, from what a real one says of itself.

Pure. `boot` reads the same files that `minidocker.simulator.views` renders, so that a container can be simulated on *this* machine;
`EXAMPLE_FACTS` is a plain Debian under systemd, with control groups v2, for everywhere else. `prepare` adds the files that a plan
takes for granted: the container's directory, its layers, the sources of bind mounts. Chapter 16.
"""

from __future__ import annotations

import posixpath
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Final

from minidocker.codec.mountinfo import MountInfo, parse_mountinfo
from minidocker.codec.rtnetlink import Link, LinkAddress, Route
from minidocker.kernel.flags import CAPABILITIES, Clone, Ms, Rlimit
from minidocker.kernel.steps import BindDevice, Mount as MountStep, PivotRoot, PopulateVolume, Step
from minidocker.simulator.files import absolute, exists, make_directories, make_file, make_node, put_node, resolve
from minidocker.simulator.linux import (
    DIRECTORY, CgroupRoots, Credentials, FileSystem, Ipc, Linux, Mount, Mounts, Namespace, Net, Node, NodeKind, Pid, Place, Process, Time, User,
    Uts,
)  # fmt: skip

__all__ = ["EXAMPLE_FACTS", "EXAMPLE_IMAGE", "Facts", "boot", "prepare"]

_FLAGS: Final = {
    "ro": Ms.RDONLY, "nosuid": Ms.NOSUID, "nodev": Ms.NODEV, "noexec": Ms.NOEXEC, "noatime": Ms.NOATIME,
    "nodiratime": Ms.NODIRATIME, "relatime": Ms.RELATIME,
}  # fmt: skip


@dataclass(frozen=True, slots=True, kw_only=True)
class Facts:
    """What a machine says of itself, in the words of its `/proc`."""

    mountinfo: str
    status: str
    cgroup: str
    limits: str
    hostname: str = "host"
    groups: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    """Group directory → its files: at least the roots of the trees, from which new groups inherit."""
    links: tuple[Link, ...] = (Link(index=1, name="lo", up=True, mtu=65536),)
    addresses: tuple[LinkAddress, ...] = (LinkAddress(link_index=1, address="127.0.0.1/8"),)
    routes: tuple[Route, ...] = ()
    sysctls: Mapping[str, str] = field(default_factory=dict)
    trees: Mapping[str, Mapping[str, Node]] = field(default_factory=dict)
    """What a `proc` and a `sysfs` show, as far as plans mount on it."""


def boot(facts: Facts) -> tuple[Linux, int]:
    """Return the machine, with one process on it, and that process's pid."""
    status = dict(line.split(":", 1) for line in facts.status.splitlines() if ":" in line)
    pid = int(status["Pid"])
    table = parse_mountinfo(facts.mountinfo)
    linux = Linux(last_id=max([pid, 1000, *(m.mount_id for m in table), *_groups_in(table)]), sysctls=facts.sysctls, trees=facts.trees)
    kinds: dict[Clone, int] = {}
    for kind in Clone:
        linux, kinds[kind] = linux.new_id()
    linux, root = _read_mounts(linux, table, kinds[Clone.NEWNS])
    linux = _read_trees(linux, facts)
    net = Net(links=facts.links, addresses=facts.addresses, routes=facts.routes)
    first: dict[Clone, Namespace] = {
        Clone.NEWNS: Mounts(top=_top(linux, root.mount)), Clone.NEWUTS: Uts(hostname=facts.hostname), Clone.NEWIPC: Ipc(), Clone.NEWNET: net,
        Clone.NEWPID: Pid(), Clone.NEWCGROUP: CgroupRoots(), Clone.NEWUSER: User(), Clone.NEWTIME: Time(),
    }  # fmt: skip
    linux = replace(linux, namespaces={kinds[kind]: namespace for kind, namespace in first.items()})
    groups = {int(number): path for number, _, path in (line.split(":", 2) for line in facts.cgroup.splitlines())}
    for file_system in linux.file_systems.values():
        if file_system.fstype in ("sysfs", "mqueue"):  # the ones the machine began with show its first namespaces
            owner = kinds[Clone.NEWNET if file_system.fstype == "sysfs" else Clone.NEWIPC]
            linux = linux.with_file_system(replace(file_system, owner=owner))
    process = Process(
        pid=pid, parent=0, name=status["Name"].strip(), namespaces=kinds, children_pid_namespace=kinds[Clone.NEWPID],
        numbers=((kinds[Clone.NEWPID], pid),), root=root, cwd=root, credentials=_read_credentials(status), session=pid,
        no_new_privileges=status.get("NoNewPrivs", "0").strip() == "1", filters=int(status.get("Seccomp_filters", "0")),
        limits=_read_limits(facts.limits), groups=groups, umask=int(status.get("Umask", "0022"), 8),
    )  # fmt: skip
    return linux.with_process(process), pid


def _groups_in(table: Iterable[MountInfo]) -> list[int]:
    return [int(word.partition(":")[2]) for m in table for word in m.propagation if ":" in word]


def _read_mounts(linux: Linux, table: tuple[MountInfo, ...], namespace: int) -> tuple[Linux, Place]:
    """Return *linux* with the mounts of a table, and the root of whoever printed it."""
    systems: dict[str, int] = {}
    by_id = {m.mount_id: m for m in table}
    for info in table:
        if info.device not in systems:
            linux, number = linux.new_id()
            systems[info.device] = number
            linux = linux.with_file_system(
                FileSystem(
                    id=number, device=info.device, fstype=info.fstype, options=info.super_options[1:],
                    readonly=info.super_options[0] == "ro", files={"/": DIRECTORY, info.root: DIRECTORY, **linux.trees.get(info.fstype, {})},
                )
            )  # fmt: skip
    for info in table:
        groups = dict(word.split(":") for word in info.propagation if ":" in word)
        flags = Ms(sum(_FLAGS[word] for word in info.options if word in _FLAGS))
        parent = by_id.get(info.parent_id)
        point = posixpath.relpath(info.mount_point, parent.mount_point) if parent else "."
        linux = linux.with_mounts(
            Mount(
                id=info.mount_id, parent=info.parent_id, mount_point=posixpath.normpath(posixpath.join(parent.root if parent else "/", point)),
                namespace=namespace, file_system=systems[info.device], root=info.root, source=info.source, flags=flags,
                peer_group=int(groups.get("shared", 0)), master=int(groups.get("master", 0)), unbindable="unbindable" in info.propagation,
            )
        )  # fmt: skip
    for info in table:  # a mount needs something to lie on
        mount = linux.mounts[info.mount_id]
        node = linux.file_systems[mount.file_system].files.get(info.root, DIRECTORY)
        if info.parent_id in by_id:
            below = linux.file_systems[linux.mounts[info.parent_id].file_system]
            missing = {p: DIRECTORY for p in _parents(mount.mount_point) if p not in below.files}
            linux = put_node(linux, below.id, {**missing, mount.mount_point: node} if mount.mount_point not in below.files else missing)
    first = next(m for m in table if m.mount_point == "/")
    return _add_top(linux, first, namespace), Place(mount=_topmost(table).mount_id, path=_topmost(table).root)


def _topmost(table: tuple[MountInfo, ...]) -> MountInfo:
    """Return the mount that is `/`: of several, the one that nothing else is stacked on."""
    roots = [m for m in table if m.mount_point == "/"]
    return next(m for m in roots if not any(o.parent_id == m.mount_id for o in roots if o is not m))


def _add_top(linux: Linux, first: MountInfo, namespace: int) -> Linux:
    """Add the mount that `/` lies on: the file system in memory with which Linux starts; nobody can see it."""
    if first.parent_id in linux.mounts:
        return linux
    linux, number = linux.new_id()
    linux = linux.with_file_system(FileSystem(id=number, device=f"0:{number}", fstype="rootfs"))
    return linux.with_mounts(
        Mount(id=first.parent_id, parent=first.parent_id, mount_point="/", namespace=namespace, file_system=number, source="rootfs")
    )


def _top(linux: Linux, mount: int) -> int:
    while linux.mounts[mount].parent != mount:
        mount = linux.mounts[mount].parent
    return mount


def _parents(path: str) -> list[str]:
    parts = path.split("/")
    return ["/".join(parts[:depth]) or "/" for depth in range(1, len(parts))]


def _read_trees(linux: Linux, facts: Facts) -> Linux:
    """Give the control group trees their numbers, controllers and groups; `/proc/PID/cgroup` lists them."""
    trees: dict[frozenset[str], tuple[int, str]] = {}
    for line in facts.cgroup.splitlines():
        hierarchy, controllers, path = line.split(":", 2)
        trees[frozenset(controllers.split(",") if controllers else ())] = (int(hierarchy), path)
    for mount in linux.mounts.values():
        tree = linux.file_systems[mount.file_system]
        if tree.fstype not in ("cgroup", "cgroup2") or tree.hierarchy >= 0:
            continue
        wanted = next((t for t in trees if t and t <= set(tree.options)), frozenset()) if tree.fstype == "cgroup" else frozenset()
        if wanted not in trees:
            continue
        number, own = trees[wanted]
        words = tuple(word for word in tree.options if word in wanted)
        linux = linux.with_file_system(replace(tree, hierarchy=number, controllers=words))
        groups = {own: {}, **{path: files for path, files in facts.groups.items() if path.startswith(_place(linux, mount))}}
        for directory, files in groups.items():
            inside = absolute(directory.removeprefix(_place(linux, mount)))
            names = dict.fromkeys(_parents(inside + "/x"), DIRECTORY)
            nodes = {posixpath.join(inside, name): Node(content=text) for name, text in {"cgroup.procs": "", **files}.items()}
            linux = put_node(linux, tree.id, {**names, **nodes})
    return linux


def _place(linux: Linux, mount: Mount) -> str:
    """Return the path of a mount from the top."""
    path = ""
    while mount.parent != mount.id:
        parent = linux.mounts[mount.parent]
        path = posixpath.join(posixpath.relpath(mount.mount_point, parent.root), path)
        mount = parent
    return absolute(path)


def _read_credentials(status: Mapping[str, str]) -> Credentials:
    """Return what the lines of `/proc/PID/status` say of a process's user and privileges."""
    def names(line: str) -> frozenset[str]:
        bits = int(status[line], 16)
        return frozenset(name for number, name in enumerate(CAPABILITIES) if bits >> number & 1)

    uids, gids = (tuple(map(int, status[line].split())) for line in ("Uid", "Gid"))
    return Credentials(
        uids=(uids[0], uids[1], uids[2], uids[3]), gids=(gids[0], gids[1], gids[2], gids[3]),
        groups=tuple(map(int, status["Groups"].split())), inheritable=names("CapInh"), permitted=names("CapPrm"),
        effective=names("CapEff"), bounding=names("CapBnd"), ambient=names("CapAmb"),
    )  # fmt: skip


def _read_limits(text: str) -> dict[Rlimit, tuple[int, int]]:
    """Return the limits of `/proc/PID/limits`, whose lines are in the order of the numbers of the resources."""
    rows = (line[25:].split() for line in text.splitlines()[1:])
    order = (0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15)
    return {Rlimit(n): (_number(row[0]), _number(row[1])) for n, row in zip(order, rows, strict=True)}


def _number(word: str) -> int:
    return -1 if word == "unlimited" else int(word)


def prepare(linux: Linux, pid: int, steps: Iterable[Step], image: Mapping[str, Node]) -> Linux:
    """Return *linux* with the files that *steps* expect on the machine; each layer holds *image*."""
    root, steps = linux.processes[pid].root, tuple(steps)
    for step in steps:
        if isinstance(step, PivotRoot):
            linux = make_directories(linux, root, step.root)
        elif isinstance(step, PopulateVolume):
            linux = make_directories(linux, root, step.volume)
        elif isinstance(step, BindDevice):
            if not exists(linux, root, step.host_path):
                linux = make_directories(linux, root, posixpath.dirname(step.host_path))
                linux = make_node(linux, root, step.host_path, Node(kind=step.type, content=f"{step.major}:{step.minor}"))
        elif isinstance(step, MountStep) and step.fstype == "overlay":
            linux = _prepare_layers(linux, root, step, image)
        elif isinstance(step, MountStep) and step.flags & Ms.BIND and step.source and not _is_group(linux, root, step.source):
            linux = (make_file if step.create == "file" else make_directories)(linux, root, step.source)
            if step.host_target and not any(isinstance(s, MountStep) and s.fstype == "overlay" and s.target == step.source for s in steps):
                # copies instead of layers
                linux = _put_tree(linux, root, step.source, image)
    return linux


def _is_group(linux: Linux, root: Place, path: str) -> bool:
    """Return whether *path* lies in a control group tree: groups are made by steps of their own."""
    while not exists(linux, root, path):
        path = posixpath.dirname(path)
    return linux.file_system_at(resolve(linux, root, path)).hierarchy >= 0


def _prepare_layers(linux: Linux, root: Place, step: MountStep, image: Mapping[str, Node]) -> Linux:
    words = dict(word.partition("=")[::2] for word in step.data.split(","))
    for name in words.get("lowerdir", "").split(":"):
        linux = _put_tree(linux, root, posixpath.normpath(posixpath.join(step.cwd, name)), image)
    for name in ("upperdir", "workdir"):
        linux = make_directories(linux, root, posixpath.normpath(posixpath.join(step.cwd, words[name]))) if name in words else linux
    return linux


def _put_tree(linux: Linux, root: Place, directory: str, files: Mapping[str, Node]) -> Linux:
    linux = make_directories(linux, root, directory)
    place = resolve(linux, root, directory)
    return put_node(linux, linux.file_system_at(place).id, {posixpath.normpath(place.path + path): node for path, node in files.items()})


_PASSWD = "root:x:0:0:root:/root:/bin/sh\ndaemon:x:1:1:daemon:/usr/sbin:/bin/false\nnobody:x:65534:65534:nobody:/:/bin/false\n"
_GROUP = "root:x:0:\ndaemon:x:1:\naudio:x:29:\nnogroup:x:65534:\n"

EXAMPLE_IMAGE: Final[Mapping[str, Node]] = {
    **dict.fromkeys(("/", "/bin", "/etc", "/home", "/root", "/run", "/tmp", "/usr", "/usr/bin", "/var", "/var/lib"), DIRECTORY),
    "/etc/passwd": Node(content=_PASSWD), "/etc/group": Node(content=_GROUP), "/bin/sh": Node(),
    "/var/run": Node(kind=NodeKind.SYMLINK, content="/run"),
}  # fmt: skip
"""The files of an image that nobody has looked at."""

_EXAMPLE_MOUNTS = """\
21 26 0:20 / /proc rw,nosuid,nodev,noexec,relatime shared:12 - proc proc rw
22 26 0:21 / /sys rw,nosuid,nodev,noexec,relatime shared:7 - sysfs sysfs rw
23 26 0:5 / /dev rw,nosuid,relatime shared:2 - devtmpfs udev rw,size=4026400k,nr_inodes=1006600,mode=755
24 23 0:22 / /dev/pts rw,nosuid,noexec,relatime shared:3 - devpts devpts rw,gid=5,mode=620,ptmxmode=000
25 26 0:23 / /run rw,nosuid,nodev,noexec,relatime shared:5 - tmpfs tmpfs rw,size=809888k,mode=755
26 1 254:1 / / rw,relatime shared:1 - ext4 /dev/vda1 rw
27 23 0:24 / /dev/shm rw,nosuid,nodev shared:4 - tmpfs tmpfs rw
28 22 0:25 / /sys/fs/cgroup rw,nosuid,nodev,noexec,relatime shared:8 - cgroup2 cgroup2 rw
29 23 0:26 / /dev/mqueue rw,nosuid,nodev,noexec,relatime shared:9 - mqueue mqueue rw
"""
_EXAMPLE_STATUS = """\
Name:\tmd:launcher
Pid:\t800
Uid:\t0\t0\t0\t0
Gid:\t0\t0\t0\t0
Groups:\t
CapInh:\t0000000000000000
CapPrm:\t000001ffffffffff
CapEff:\t000001ffffffffff
CapBnd:\t000001ffffffffff
CapAmb:\t0000000000000000
"""
_EXAMPLE_LIMITS = """\
Limit                     Soft Limit           Hard Limit           Units
Max cpu time              unlimited            unlimited            seconds
Max file size             unlimited            unlimited            bytes
Max data size             unlimited            unlimited            bytes
Max stack size            8388608              unlimited            bytes
Max core file size        0                    unlimited            bytes
Max resident set          unlimited            unlimited            bytes
Max processes             31500                31500                processes
Max open files            1024                 524288               files
Max locked memory         1036558336           1036558336           bytes
Max address space         unlimited            unlimited            bytes
Max file locks            unlimited            unlimited            locks
Max pending signals       31500                31500                signals
Max msgqueue size         819200               819200               bytes
Max nice priority         0                    0
Max realtime priority     0                    0
Max realtime timeout      unlimited            unlimited            us
"""
_ROOT_GROUP = {"cgroup.controllers": "cpuset cpu io memory pids", "cgroup.subtree_control": "cpu memory pids"}
_TREES = {
    "proc": ("acpi", "bus", "fs", "irq", "scsi", "sys", "tty"), "sysfs": ("firmware", "fs", "fs/cgroup", "devices", "kernel"),
}  # fmt: skip
_PROC_FILES = ("interrupts", "kcore", "keys", "latency_stats", "sysrq-trigger", "timer_list")

EXAMPLE_FACTS: Final = Facts(
    mountinfo=_EXAMPLE_MOUNTS, status=_EXAMPLE_STATUS, cgroup="0::/system.slice/minidocker.service\n", limits=_EXAMPLE_LIMITS,
    groups={"/sys/fs/cgroup": _ROOT_GROUP},
    links=(
        Link(index=1, name="lo", up=True, mtu=65536), Link(index=2, name="eth0", up=True, mac_address="52:54:00:12:34:56", mtu=1500),
        Link(index=3, name="minidocker0", up=True, mac_address="02:42:ac:11:00:01", mtu=1500, kind="bridge"),
    ),
    addresses=(
        LinkAddress(link_index=1, address="127.0.0.1/8"), LinkAddress(link_index=2, address="192.0.2.10/24"),
        LinkAddress(link_index=3, address="172.17.0.1/16"),
    ),
    routes=(
        Route(destination="0.0.0.0/0", gateway="192.0.2.1", link_index=2, table=254), Route(destination="192.0.2.0/24", link_index=2, table=254),
        Route(destination="172.17.0.0/16", link_index=3, table=254),
        *(Route(destination=d, link_index=i, table=255) for d, i in (("127.0.0.0/8", 1), ("192.0.2.10/32", 2), ("172.17.0.1/32", 3))),
    ),
    trees={
        kind: {"/": DIRECTORY, **{f"/{name}": DIRECTORY for name in names}, **({f"/{n}": Node() for n in _PROC_FILES} if kind == "proc" else {})}
        for kind, names in _TREES.items()
    },
)  # fmt: skip
"""A plain Linux as it has just booted, with a server that has made its bridge."""
