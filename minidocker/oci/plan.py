"""Plan a bundle: from the records of `config.json` to the steps that the kernel performs.

Pure. The order is that of `minidocker.container.plan`, with two differences that the specification makes: hooks run while the host's
files are still there, so a `Synchronise` stands before `PivotRoot`; and `create` ends at the last `Synchronise`, where init waits for
`start`. See "Linux container configuration" and runc(8). Chapter 16.
"""

from __future__ import annotations

import posixpath
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import reduce
from operator import or_
from types import MappingProxyType
from typing import Final

from minidocker.cgroup.layout import CgroupLayout
from minidocker.cgroup.limits import plan_cgroup, plan_device_rules, plan_join, plan_limits, plan_view
from minidocker.codec.idmap import IdRange
from minidocker.container.devices import DEFAULT_DEVICES, device_rules
from minidocker.container.plan import plan_privileges
from minidocker.errors import InvalidParameter
from minidocker.kernel import flags
from minidocker.kernel.flags import CAPABILITIES, Clone, Ms
from minidocker.kernel.steps import (
    Actor, BindDevice, EnterUserNamespace, Exec, ForkAgain, ForkInit, Join, JoinCgroup, MakeConsole, MakeDevice, MakeSymlink, MaskPath, Mount, PivotRoot, ReadonlyPath, SetClockOffset, SetHostname,
    SetLoopbackUp, SetOomScore, SetRlimit, Step, Synchronise, Unshare, WriteCgroup, WriteSysctl,
)  # fmt: skip
from minidocker.oci import bundle
from minidocker.spec.container import HostConfig, ThrottleDevice, WeightDevice

__all__ = ["MOUNT_OPTIONS", "NAMESPACES", "Ground", "compute_cgroup_name", "compute_groups", "compute_limits", "plan_bundle", "plan_process"]

NAMESPACES: Final = {
    "mount": Clone.NEWNS, "uts": Clone.NEWUTS, "ipc": Clone.NEWIPC, "network": Clone.NEWNET, "pid": Clone.NEWPID,
    "cgroup": Clone.NEWCGROUP, "user": Clone.NEWUSER, "time": Clone.NEWTIME,
}  # fmt: skip
"""The specification's words for namespaces."""
MOUNT_OPTIONS: Final = {
    "ro": (True, Ms.RDONLY), "rw": (False, Ms.RDONLY), "nosuid": (True, Ms.NOSUID), "suid": (False, Ms.NOSUID),
    "nodev": (True, Ms.NODEV), "dev": (False, Ms.NODEV), "noexec": (True, Ms.NOEXEC), "exec": (False, Ms.NOEXEC),
    "sync": (True, Ms.SYNCHRONOUS), "async": (False, Ms.SYNCHRONOUS), "dirsync": (True, Ms.DIRSYNC),
    "noatime": (True, Ms.NOATIME), "atime": (False, Ms.NOATIME), "nodiratime": (True, Ms.NODIRATIME),
    "diratime": (False, Ms.NODIRATIME), "relatime": (True, Ms.RELATIME), "norelatime": (False, Ms.RELATIME),
    "strictatime": (True, Ms.STRICTATIME), "nostrictatime": (False, Ms.STRICTATIME), "bind": (True, Ms.BIND),
    "rbind": (True, Ms.BIND | Ms.REC), "remount": (True, Ms.REMOUNT), "silent": (True, Ms.SILENT), "loud": (False, Ms.SILENT),
    "private": (True, Ms.PRIVATE), "rprivate": (True, Ms.PRIVATE | Ms.REC), "slave": (True, Ms.SLAVE),
    "rslave": (True, Ms.SLAVE | Ms.REC), "shared": (True, Ms.SHARED), "rshared": (True, Ms.SHARED | Ms.REC),
    "unbindable": (True, Ms.UNBINDABLE), "runbindable": (True, Ms.UNBINDABLE | Ms.REC), "defaults": (True, Ms(0)),
}  # fmt: skip
"""Options of mount(8) that are flags; whether they set them."""
_DEVICE_LINKS: Final = {
    "/dev/fd": "/proc/self/fd", "/dev/stdin": "/proc/self/fd/0", "/dev/stdout": "/proc/self/fd/1", "/dev/stderr": "/proc/self/fd/2",
    "/dev/ptmx": "pts/ptmx",
}  # fmt: skip
_PROPAGATION: Final = {
    "": Ms.SLAVE, "private": Ms.PRIVATE, "rprivate": Ms.PRIVATE, "slave": Ms.SLAVE, "rslave": Ms.SLAVE, "shared": Ms.SHARED, "rshared": Ms.SHARED,
    "unbindable": Ms.UNBINDABLE, "runbindable": Ms.UNBINDABLE,
}  # fmt: skip


@dataclass(frozen=True, slots=True, kw_only=True)
class Ground:
    """What a plan has to know beside the bundle."""

    container_id: str
    root: str
    """Host path of the root file system."""
    bundle: str = ""
    """Host path of the bundle, where relative sources of mounts begin."""
    is_root: bool = True
    """Whether the caller is root, who may mount before a user namespace gives the right to."""
    layout: CgroupLayout
    seccomp_program: bytes = b""
    preserve_fds: int = 0
    pivot: bool = True


def compute_cgroup_name(path: str, container_id: str) -> str:
    """Return the control group's name below each tree's root.

    Raises:
        InvalidParameter: a name in systemd's form, which only systemd can make.
    """
    if path.count(":") == 2:
        raise InvalidParameter(f"make control group `{path}`: that is a name for systemd", hint="use the cgroupfs manager")
    parts = [part for part in path.split("/") if part not in ("", ".", "..")]
    return "/".join(parts) or container_id


def compute_limits(resources: bundle.Resources) -> HostConfig:
    """Return the limits in Docker's words, which the table of control group files is written in."""
    memory, cpu, io = resources.memory, resources.cpu, resources.block_io

    def rates(devices: tuple[bundle.DeviceShare, ...]) -> tuple[ThrottleDevice, ...]:
        return tuple(ThrottleDevice(path=f"{d.major}:{d.minor}", rate=d.rate) for d in devices)

    return HostConfig(
        memory=memory.limit, memory_reservation=memory.reservation, memory_swap=memory.swap or (-1 if memory.limit else 0),
        memory_swappiness=memory.swappiness, oom_kill_disable=memory.disable_oom_killer, cpu_shares=cpu.shares,
        cpu_quota=cpu.quota, cpu_period=cpu.period, cpuset_cpus=cpu.cpus, cpuset_mems=cpu.mems,
        cpu_realtime_period=cpu.realtime_period, cpu_realtime_runtime=cpu.realtime_runtime,
        pids_limit=resources.pids.limit, blkio_weight=io.weight,
        blkio_weight_device=tuple(WeightDevice(path=f"{d.major}:{d.minor}", weight=d.weight) for d in io.weight_device),
        blkio_device_read_bps=rates(io.throttle_read_bps_device), blkio_device_write_bps=rates(io.throttle_write_bps_device),
        blkio_device_read_iops=rates(io.throttle_read_iops_device), blkio_device_write_iops=rates(io.throttle_write_iops_device),
    )  # fmt: skip


def _device_rules(rules: tuple[bundle.DeviceRule, ...]) -> tuple[str, ...]:
    """Return what is allowed; the last rule about everything decides whether that is all.

    The specification's list is read in order. A first "deny all" is how every engine begins it; what is denied one by one after
    that was never allowed.
    """
    everything = [rule.allow for rule in rules if rule.type == "a" and rule.major < 0 and rule.minor < 0]
    if everything and everything[-1]:
        return ("a *:* rwm",)

    def number(value: int) -> str:
        return "*" if value < 0 else str(value)

    named = (f"{r.type} {number(r.major)}:{number(r.minor)} {r.access or 'rwm'}" for r in rules if r.allow and r.type in ("b", "c"))
    return device_rules(DEFAULT_DEVICES, tuple(named))


def plan_bundle(spec: bundle.Spec, process: bundle.Process, ground: Ground) -> tuple[Step, ...]:
    """Return the steps that make the container of *spec* around *process*.

    Raises:
        InvalidParameter: an option that no step can express.
    """
    name = compute_cgroup_name(spec.linux.cgroups_path, ground.container_id)
    shown = "" if any(namespace.type == "cgroup" for namespace in spec.linux.namespaces) else name
    return (
        *plan_cgroup(ground.layout, name),
        *plan_limits(compute_limits(spec.linux.resources), ground.layout, name),
        *_plan_unified(spec.linux.resources, ground.layout, name),
        *plan_device_rules(ground.layout, name, _device_rules(spec.linux.resources.devices)),
        *(_plan_foreign_birth(spec, process, ground, name) if _has_users(spec.linux) else _plan_birth(spec.linux, plan_join(ground.layout, name))),
        *_plan_names(spec),
        *(() if _has_users(spec.linux) and ground.is_root else _plan_root(spec, ground)),
        *(step for mount in spec.mounts for step in _plan_mount(mount, ground, shown)),
        *_plan_devices(spec.linux),
        Synchronise(why="hooks of the bundle run now: the mounts are there, and so are still the host's files"),
        PivotRoot(
            root=ground.root, readonly=spec.root.readonly, move=not ground.pivot, why="the bundle's file system becomes the root",
            propagation=_PROPAGATION[spec.linux.rootfs_propagation] | Ms.REC if spec.linux.rootfs_propagation else Ms(0),
        ),
        *_plan_after_pivot(spec, process),
        *_plan_readonly_devices(spec.mounts),
        Synchronise(why="created; what follows is up to `start`"),
        *(_plan_limits(process, Actor.MONITOR) if _has_users(spec.linux) else ()),
        *_plan_command(process, ground),
    )  # fmt: skip


def _plan_unified(resources: bundle.Resources, layout: CgroupLayout, name: str) -> Iterator[Step]:
    if resources.unified and layout.version != 2:
        raise InvalidParameter("invalid configuration: set `linux.resources.unified`: this machine has no unified control groups")
    for file, value in resources.unified.items():
        if "/" in file:
            raise InvalidParameter(f"set `linux.resources.unified`: `{file}` is no file name")
        yield WriteCgroup(path=f"{layout.hierarchies[0].mount_point}/{name}/{file}", value=value, why="as the bundle says")


def _has_users(linux: bundle.Linux) -> bool:
    return any(namespace.type == "user" for namespace in linux.namespaces)


def _wanted(linux: bundle.Linux) -> dict[str, str]:
    wanted = {namespace.type: namespace.path for namespace in linux.namespaces}
    unknown = sorted(set(wanted) - set(NAMESPACES))
    if unknown:
        raise InvalidParameter(f"make namespace `{unknown[0]}`: there is no such kind")
    return wanted


def _id_map(mappings: tuple[bundle.IdMapping, ...]) -> tuple[IdRange, ...]:
    return tuple(IdRange(m.container_id, m.host_id, m.size) for m in mappings)


def _plan_foreign_birth(spec: bundle.Spec, process: bundle.Process, ground: Ground, name: str) -> Iterator[Step]:
    """Yield the birth of a container with users of its own: what exists is joined and what only root may do is done before."""
    wanted = _wanted(spec.linux)
    if wanted.get("pid"):
        yield Join(path=wanted["pid"], namespaces=Clone.NEWPID, actor=Actor.MONITOR, why="a namespace that exists already")
    yield ForkInit(why="from here on two processes work side by side")
    yield from plan_join(ground.layout, name)
    yield from _plan_score(process)
    for kind, path in wanted.items():
        if path and kind not in ("pid", "user", "mount"):
            yield Join(path=path, namespaces=NAMESPACES[kind], actor=Actor.INIT, why="a namespace that exists already")
    if wanted.get("time") == "":
        yield Unshare(namespaces=Clone.NEWTIME, actor=Actor.INIT, why="takes effect for the next child; the clocks are set by the host's root")
        yield from _plan_clocks(spec.linux, Actor.INIT)
    if ground.is_root:
        yield Unshare(namespaces=Clone.NEWNS, actor=Actor.INIT, why="mounts that the host's root makes and the host does not see")
        yield from _plan_root(spec, ground)
    yield EnterUserNamespace(
        uid_map=_id_map(spec.linux.uid_mappings), gid_map=_id_map(spec.linux.gid_mappings), path=wanted["user"], carries=ground.is_root, why="who is root here is somebody else outside"
    )
    if wanted.get("pid") == "":
        yield Unshare(namespaces=Clone.NEWPID, actor=Actor.INIT, why="takes effect for the next child")
    if "" in (wanted.get("pid"), wanted.get("time")):
        yield ForkAgain(why="the child is in the namespaces just made")
    new = Clone.NEWNS
    for kind, path in wanted.items():
        new |= Clone(0) if path or kind in ("user", "pid", "time", "cgroup") else NAMESPACES[kind]
    yield Unshare(namespaces=new, actor=Actor.INIT, why="new ones for the rest, which belong to the new root")
    if ground.is_root:
        yield Mount(source=ground.root, target=ground.root, flags=Ms.BIND | Ms.REC, host_target=True, why="what came from outside is locked")
    if "cgroup" in wanted and not wanted["cgroup"]:
        yield Unshare(namespaces=Clone.NEWCGROUP, actor=Actor.INIT, why="its root is the group just joined")


def _plan_clocks(linux: bundle.Linux, actor: Actor) -> Iterator[Step]:
    for clock, offset in linux.time_offsets.items():
        why = "as the bundle says, before anybody is in there"
        yield SetClockOffset(clock=clock, seconds=offset.secs, nanoseconds=offset.nanosecs, actor=actor, why=why)


def _plan_birth(linux: bundle.Linux, join: tuple[Step, ...]) -> Iterator[Step]:
    wanted = _wanted(linux)
    for kind in ("time", "pid"):  # both take effect at the fork
        if wanted.get(kind):
            yield Join(path=wanted[kind], namespaces=NAMESPACES[kind], actor=Actor.MONITOR, why="a namespace that exists already")
        elif kind in wanted:
            yield Unshare(namespaces=NAMESPACES[kind], actor=Actor.MONITOR, why="takes effect for the next child")
            yield from _plan_clocks(linux, Actor.MONITOR) if kind == "time" else ()
    yield ForkInit(why="from here on two processes work side by side")
    rest = {kind: path for kind, path in wanted.items() if kind not in ("time", "pid", "cgroup")}
    for kind, path in rest.items():
        if path and kind != "mount":
            yield Join(path=path, namespaces=NAMESPACES[kind], actor=Actor.INIT, why="a namespace that exists already")
    new = Clone(0)
    for kind, path in rest.items():
        new |= Clone(0) if path else NAMESPACES[kind]
    if rest.get("mount"):
        yield Join(path=rest["mount"], namespaces=Clone.NEWNS, actor=Actor.INIT, why="last, because paths mean something else behind it")
    yield Unshare(namespaces=new, actor=Actor.INIT, why="new ones for the rest")
    yield from join
    if wanted.get("cgroup"):
        yield Join(path=wanted["cgroup"], namespaces=Clone.NEWCGROUP, actor=Actor.INIT, why="a namespace that exists already")
    elif "cgroup" in wanted:
        yield Unshare(namespaces=Clone.NEWCGROUP, actor=Actor.INIT, why="its root is the group just joined")


def _plan_names(spec: bundle.Spec) -> Iterator[Step]:
    if spec.hostname or spec.domainname:
        yield SetHostname(hostname=spec.hostname, domainname=spec.domainname, why="as the bundle says")
    if any(namespace.type == "network" and not namespace.path for namespace in spec.linux.namespaces):
        yield SetLoopbackUp(why="a new network namespace has `lo`, but switched off")


def _plan_root(spec: bundle.Spec, ground: Ground) -> Iterator[Step]:
    propagation = _PROPAGATION.get(spec.linux.rootfs_propagation)
    if propagation is None:
        raise InvalidParameter(f"rootfsPropagation={spec.linux.rootfs_propagation} is not supported")
    if propagation == Ms.UNBINDABLE:
        propagation = Ms.PRIVATE  # the bind below could not be made; the root becomes unbindable at the end
    yield Mount(source="", target="/", flags=propagation | Ms.REC, host_target=True, why="how mounts travel between host and container")
    yield Mount(source=ground.root, target=ground.root, flags=Ms.BIND | Ms.REC, host_target=True, why="pivot_root(2) wants a mount")


def _plan_mount(mount: bundle.Mount, ground: Ground, group: str) -> Iterator[Step]:
    mount_flags, data, copy_up, recursive = Ms(0), [], False, Ms(0)
    for option in mount.options:
        if option in MOUNT_OPTIONS:
            sets, flag = MOUNT_OPTIONS[option]
            mount_flags = mount_flags | flag if sets else mount_flags & ~flag
        elif option == "tmpcopyup":
            copy_up = True
        elif option in ("rro", "rnosuid", "rnodev", "rnoexec"):
            recursive |= MOUNT_OPTIONS[option[1:]][1]
        else:
            data.append(option)
    if mount.type == "cgroup":
        yield from plan_view(ground.layout, writable=not mount_flags & Ms.RDONLY, name=group)
        return
    is_bind = bool(mount_flags & Ms.BIND) or mount.type == "bind"
    source = posixpath.join(ground.bundle, mount.source) if is_bind else mount.source or mount.type
    later = mount_flags & Ms.RDONLY if mount.destination == "/dev" and not is_bind else Ms(0)  # devices are made in it first
    yield Mount(
        source=source, target=mount.destination, fstype="" if is_bind else mount.type, recursive=recursive,
        flags=mount_flags & ~later | (Ms.BIND if is_bind else Ms(0)), data="" if is_bind else ",".join(data),
        create="source" if is_bind else "dir", copy_up=copy_up, why="as the bundle says",
    )  # fmt: skip


def _plan_readonly_devices(mounts: tuple[bundle.Mount, ...]) -> Iterator[Step]:
    for mount in mounts:
        if mount.destination == "/dev" and "ro" in mount.options and mount.type != "bind":
            kept = reduce(or_, (MOUNT_OPTIONS[o][1] for o in mount.options if MOUNT_OPTIONS.get(o, (False,))[0]), Ms(0))
            yield Mount(source="", target="/dev", flags=Ms.REMOUNT | Ms.BIND | kept, why="the devices are made")


def _plan_devices(linux: bundle.Linux) -> Iterator[Step]:
    named = {device.path for device in linux.devices}
    wanted = [
        *(MakeDevice(path=d.path, type=d.kind, major=d.major, minor=d.minor, why="every container has it") for d in DEFAULT_DEVICES if d.path not in named),
        *(
            MakeDevice(
                path=d.path, type="c" if d.type == "u" else d.type, major=d.major, minor=d.minor, mode=d.file_mode & 0o7777, uid=d.uid, gid=d.gid,
                why="as the bundle says",
            )
            for d in linux.devices
        ),
    ]  # fmt: skip
    for step in wanted:
        if _has_users(linux):
            yield BindDevice(host_path=step.path, path=step.path, type=step.type, major=step.major, minor=step.minor, why=step.why)
        else:
            yield step
    for path, target in _DEVICE_LINKS.items():
        yield MakeSymlink(path=path, target=target, why="a name that programs expect")


def _plan_after_pivot(spec: bundle.Spec, process: bundle.Process) -> Iterator[Step]:
    if process.terminal:
        size = process.console_size
        yield MakeConsole(rows=size.height, columns=size.width, why="from the container's own devpts")
    for name, value in spec.linux.sysctl.items():
        yield WriteSysctl(name=name, value=value, why="as the bundle says")
    for path in spec.linux.readonly_paths:
        yield ReadonlyPath(path=path, why="as the bundle says")
    for path in spec.linux.masked_paths:
        yield MaskPath(path=path, why="as the bundle says")
    if not _has_users(spec.linux):
        yield from _plan_limits(process, Actor.INIT)
        yield from _plan_score(process)


def _plan_score(process: bundle.Process) -> Iterator[Step]:
    if process.oom_score_adj is not None:
        yield SetOomScore(score=process.oom_score_adj, why="as the bundle says")


def _plan_limits(process: bundle.Process, actor: Actor) -> Iterator[Step]:
    for limit in process.rlimits:
        word = limit.type.removeprefix("RLIMIT_")
        if word not in flags.Rlimit.__members__:
            raise InvalidParameter(f"set rlimit `{limit.type}`: there is no such limit")
        soft, hard = (-1 if value >= 1 << 63 else value for value in (limit.soft, limit.hard))
        yield SetRlimit(resource=flags.Rlimit[word], soft=soft, hard=hard, actor=actor, why="as the bundle says")


def _plan_command(process: bundle.Process, ground: Ground) -> Iterator[Step]:
    sets = process.capabilities or bundle.Capabilities()
    known = frozenset(CAPABILITIES)
    bounding, permitted, ambient = (
        tuple(name for name in dict.fromkeys(names) if name in known) for names in (sets.bounding, sets.permitted, sets.ambient)
    )
    yield from plan_privileges(
        user=f"{process.user.uid}:{process.user.gid}", groups=tuple(map(str, process.user.additional_gids)), keep=permitted,
        bounding=bounding, ambient=ambient, no_new_privileges=process.no_new_privileges, program=ground.seccomp_program,
        profile="bundle",
    )  # fmt: skip
    yield Exec(
        argv=process.args, env=process.env, cwd=process.cwd, detached=True, preserve_fds=ground.preserve_fds,
        why="the command takes init's place",
    )  # fmt: skip


def compute_groups(layout: CgroupLayout, name: str, chosen: Sequence[str]) -> dict[str, str]:
    """Return the group to join in each tree, for `exec --cgroup [CONTROLLERS:]PATH`: below the container's group *name*.

    Raises:
        InvalidParameter: a path that leads out of it, or a controller that is not here.
    """
    groups = {tree.mount_point: name for tree in layout.hierarchies}
    for word in chosen:
        controllers, colon, path = word.rpartition(":")
        if ".." in path.split("/"):
            raise InvalidParameter(f"bad --cgroup argument: {path} is not a sub cgroup path")
        for controller in controllers.split(",") if colon else [""]:
            trees = [tree for tree in layout.hierarchies if not controller or controller in tree.controllers]
            if not trees:
                raise InvalidParameter(f"bad --cgroup argument: unknown controller {controller}")
            groups |= {tree.mount_point: f"{name}/{path.strip('/')}".rstrip("/") for tree in trees}
    return groups


def plan_process(
    spec: bundle.Spec, process: bundle.Process, pid: int, ground: Ground, groups: Mapping[str, str] = MappingProxyType({})
) -> tuple[Step, ...]:
    """Return the steps of one more process in the container whose first process is *pid*; *groups* by the tree's mount point."""
    namespaces, has_users = Clone(0), _has_users(spec.linux)
    before: list[Step] = []
    for namespace in spec.linux.namespaces:
        if namespace.type not in ("pid", "user"):
            namespaces |= NAMESPACES[namespace.type]
    if has_users:
        if namespaces & Clone.NEWTIME:  # made by the host's root
            before.append(Join(pid=pid, namespaces=Clone.NEWTIME, actor=Actor.INIT, why="the clocks of the container"))
        namespaces &= ~Clone.NEWTIME
        maps = [_id_map(mappings) for mappings in (spec.linux.uid_mappings, spec.linux.gid_mappings)]
        before.append(EnterUserNamespace(uid_map=maps[0], gid_map=maps[1], pid=pid, why="be who the container's processes are"))
    name = compute_cgroup_name(spec.linux.cgroups_path, ground.container_id)
    console = MakeConsole(
        rows=process.console_size.height, columns=process.console_size.width, bind=False, why="one more terminal of the same devpts"
    )
    return (
        Join(pid=pid, namespaces=Clone.NEWPID, actor=Actor.MONITOR, why="the next child is born into the container's pid namespace"),
        ForkInit(why="the process itself"),
        *(
            JoinCgroup(path=f"{tree.mount_point}/{groups.get(tree.mount_point, name)}", why="it is counted with the others")
            for tree in ground.layout.hierarchies
        ),
        *_plan_score(process),
        *before,
        Join(pid=pid, namespaces=namespaces, actor=Actor.INIT, why="the namespaces of the container's first process"),
        *((console,) if process.terminal else ()),
        *(() if has_users else _plan_limits(process, Actor.INIT)),
        Synchronise(why="everything that the host can refuse is behind us"),
        *(_plan_limits(process, Actor.MONITOR) if has_users else ()),
        *_plan_command(process, ground),
    )
