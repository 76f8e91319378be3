"""Plan a container: from a record to the tuple of steps that makes it.

Pure. The order of the steps is the content of this module; where a position matters, the step's *why* says so. What depends
on other concepts comes in ready-made as `Surroundings`: control group steps, network steps, the seccomp program. See the OCI
runtime specification, "Linux container configuration", and pivot_root(2), capabilities(7), seccomp(2). Chapter 16.
"""

from __future__ import annotations

import posixpath
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Final

from minidocker.codec.idmap import IdMap
from minidocker.container.capabilities import compute_capabilities
from minidocker.container.devices import DEFAULT_DEVICES, DEVICE_LINKS, DeviceNode
from minidocker.container.host import Host
from minidocker.container.record import ContainerRecord, MountPoint
from minidocker.errors import InvalidParameter
from minidocker.kernel.flags import Clone, Ms, Rlimit
from minidocker.kernel.steps import (
    Actor, BindDevice, DropCapabilities, EnterUserNamespace, Exec, ForkAgain, ForkInit, Join, LoadSeccomp, MakeConsole, MakeDevice, MakeDirectory, MakeSymlink, MaskPath,
    Mount, NoNewPrivileges, PivotRoot, PopulateVolume, ReadonlyPath, SetHostname, SetLoopbackUp, SetOomScore, SetRlimit,
    SetUser, Step, Synchronise, Unshare, WriteSysctl,
)  # fmt: skip
from minidocker.spec.container import DEFAULT_SHM_BYTES

__all__ = [
    "DEFAULT_PATH", "MASKED_PATHS", "PLAIN_OVERLAY", "READONLY_PATHS", "TERMINAL_GROUP", "USER_OVERLAY", "ExecPlan", "Surroundings",
    "compute_environment", "compute_granted_capabilities", "plan_container", "plan_exec",
]  # fmt: skip

DEFAULT_PATH: Final = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
"""`PATH` where neither image nor user sets one."""
MASKED_PATHS: Final = (
    "/proc/asound", "/proc/acpi", "/proc/interrupts", "/proc/kcore", "/proc/keys", "/proc/latency_stats", "/proc/timer_list",
    "/proc/timer_stats", "/proc/sched_debug", "/proc/scsi", "/sys/firmware", "/sys/devices/virtual/powercap",
)  # fmt: skip
"""Docker's list of what a container must not see of the host."""
READONLY_PATHS: Final = ("/proc/bus", "/proc/fs", "/proc/irq", "/proc/sys", "/proc/sysrq-trigger")
"""Docker's list of what a container may read but not write."""


PLAIN_OVERLAY: Final = "redirect_dir=off,metacopy=off,index=off"
"""Options of every overlay: a directory of changes is nothing but files, whatever the kernel's defaults are."""
USER_OVERLAY: Final = "index=off,userxattr"
"""The same in a user namespace: marks are attributes that users may set, and nothing else is possible; see overlayfs.rst."""
TERMINAL_GROUP: Final = 5
"""The group `tty`."""
_GUARD: Final = Ms.NOSUID | Ms.NODEV | Ms.NOEXEC
_PROPAGATIONS: Final = {
    "private": Ms.PRIVATE, "rprivate": Ms.PRIVATE | Ms.REC, "slave": Ms.SLAVE, "rslave": Ms.SLAVE | Ms.REC,
    "shared": Ms.SHARED, "rshared": Ms.SHARED | Ms.REC,
}  # fmt: skip


@dataclass(frozen=True, slots=True, kw_only=True)
class Surroundings:
    """What a plan takes from other concepts and from the engine's bookkeeping."""

    directory: str
    """The container's directory on the host: `merged`, `upper`, `work`, `hosts`, `hostname`, `resolv.conf`."""
    layers_directory: str
    cgroup_setup: tuple[Step, ...] = ()
    cgroup_join: tuple[Step, ...] = ()
    cgroup_view: tuple[Step, ...] = ()
    network: tuple[Step, ...] = ()
    """The monitor's network steps, done while init mounts."""
    seccomp_program: bytes = b""
    """Empty: no filter."""
    seccomp_profile: str = "default"
    devices: tuple[DeviceNode, ...] = DEFAULT_DEVICES
    name_files: bool = True
    """Whether `/etc/hosts` and its companions are bound over the image's."""
    environment: tuple[str, ...] = ()
    """Variables that come from neighbours (`--link`); the image's and the user's win."""
    namespace_pids: tuple[tuple[str, int], ...] = ()
    """(`pid`|`net`|`ipc`, host pid) of containers whose namespaces are shared."""
    ids: IdMap | None = None
    """The map of the user namespace that the container gets; None: it stays in the server's."""
    may_make_devices: bool = True
    """Whether mknod(2) is allowed to the server: not in a user namespace, where a procfs or sysfs of the host cannot be mounted either."""
    overlay_options: str = PLAIN_OVERLAY
    has_terminal_group: bool = True
    """Whether there is a number for the group that terminals belong to."""
    rows: int = 0
    columns: int = 0


def compute_granted_capabilities(record: ContainerRecord, host: Host) -> tuple[str, ...]:
    """Return the capabilities of the container's root: what was asked for, as far as the server has it itself."""
    config = record.host_config
    asked = compute_capabilities(
        cap_add=config.cap_add, cap_drop=config.cap_drop, privileged=config.privileged, last_cap=host.last_capability
    )
    return tuple(name for name in asked if host.capabilities is None or name in host.capabilities)


def plan_container(record: ContainerRecord, host: Host, around: Surroundings) -> tuple[Step, ...]:
    """Return everything that has to be done, in order, for *record* to run.

    Raises:
        InvalidParameter: an option that no step can express.
    """
    return (
        *around.cgroup_setup,
        *(_plan_birth(record, around) if around.ids is None else _plan_foreign_birth(record, around, around.ids)),
        *around.network,
        *_plan_names(record),
        *(_plan_root(record, around) if around.ids is None else ()),
        *_plan_kernel_mounts(record, around),
        *_plan_devices(around),
        *_plan_user_mounts(record, around),
        PivotRoot(
            root=_root_of(record, around), readonly=record.host_config.readonly_rootfs,
            why="after this the host's files have no name any more; before it, mount sources do",
        ),
        *_plan_after_pivot(record, host, around),
        Synchronise(why="the network is there, and the server knows that nothing of the host can fail any more"),
        *(_plan_rlimits(record, Actor.MONITOR) if around.ids is not None else ()),
        *_plan_privileges(record, host, around),
        Exec(
            argv=record.argv, env=compute_environment(record, around.environment), cwd=record.config.working_dir or "/",
            init=bool(record.host_config.init), why="the command takes init's place: same pid, same namespaces, new program",
        ),
    )  # fmt: skip


def _mode_of(text: str) -> str:
    """Return `host`, `container`, `none` or `private` from a namespace option."""
    return text.partition(":")[0] if text.partition(":")[0] in ("host", "container", "none") else "private"


def _plan_birth(record: ContainerRecord, around: Surroundings) -> Iterator[Step]:
    config, pids = record.host_config, dict(around.namespace_pids)
    pid_mode = _mode_of(config.pid_mode)
    if pid_mode == "private":
        why = "the next child will be PID 1 of a new pid namespace; the monitor itself stays outside"
        yield Unshare(namespaces=Clone.NEWPID, actor=Actor.MONITOR, why=why)
    elif pid_mode == "container":
        yield Join(pid=pids["pid"], namespaces=Clone.NEWPID, actor=Actor.MONITOR, why="--pid: see that container's processes")
    yield ForkInit(why="from here on two processes work side by side")
    yield from _plan_namespaces(record, pids)
    yield from around.cgroup_join
    yield from _plan_cgroup_namespace(record)


def _plan_foreign_birth(record: ContainerRecord, around: Surroundings, ids: IdMap) -> Iterator[Step]:
    """Yield the birth of a container with users of its own: what only the host's root may do comes first."""
    config, pids = record.host_config, dict(around.namespace_pids)
    if _mode_of(config.pid_mode) == "container":
        yield Join(pid=pids["pid"], namespaces=Clone.NEWPID, actor=Actor.MONITOR, why="--pid: see that container's processes")
    yield ForkInit(why="from here on two processes work side by side")
    yield from around.cgroup_join
    if config.oom_score_adj:
        yield SetOomScore(score=config.oom_score_adj, why="--oom-score-adj")
    yield Unshare(namespaces=Clone.NEWNS, actor=Actor.INIT, why="mounts that the host's root makes and the host does not see")
    yield from _plan_root(record, around)
    owner = next(iter(pids.values()), 0)
    shared = ", of the container whose namespaces are shared" if owner else ""
    yield EnterUserNamespace(
        uid_map=ids.uids, gid_map=ids.gids, pid=owner,
        why=f"--userns-remap: root here is user {ids.root[0]} outside, who owns nothing there{shared}",
    )  # fmt: skip
    if _mode_of(config.pid_mode) == "private":
        why = "a pid namespace belongs to the user namespace that it was made in, and only its root may mount its procfs"
        yield Unshare(namespaces=Clone.NEWPID, actor=Actor.INIT, why=why)
        yield ForkAgain(why="the child is PID 1 of the new pid namespace")
    yield from _plan_namespaces(record, pids)
    yield Mount(
        source=_root_of(record, around), target=_root_of(record, around), flags=Ms.BIND | Ms.REC, host_target=True,
        why="what came from the host's user namespace is locked in its place: a mount of our own over it",
    )  # fmt: skip
    yield from _plan_cgroup_namespace(record)


def _plan_namespaces(record: ContainerRecord, pids: Mapping[str, int]) -> Iterator[Step]:
    config, namespaces, joined = record.host_config, Clone.NEWNS, []
    modes = ((Clone.NEWUTS, "uts", config.uts_mode), (Clone.NEWIPC, "ipc", config.ipc_mode), (Clone.NEWNET, "net", config.network_mode))
    for flag, name, mode in modes:
        if _mode_of(mode) == "container":
            joined.append((flag, pids[name]))
        elif _mode_of(mode) != "host":
            namespaces |= flag
    for flag, pid in joined:
        yield Join(pid=pid, namespaces=flag, actor=Actor.INIT, why="share this namespace of the other container")
    why = "own mounts, names, message queues and network; first of all, because the monitor waits to connect the network"
    yield Unshare(namespaces=namespaces, actor=Actor.INIT, why=why)


def _plan_cgroup_namespace(record: ContainerRecord) -> Iterator[Step]:
    if _mode_of(record.host_config.cgroupns_mode) != "host":
        why = "a view of the control groups whose root is the group just joined"
        yield Unshare(namespaces=Clone.NEWCGROUP, actor=Actor.INIT, why=why)


def _plan_names(record: ContainerRecord) -> Iterator[Step]:
    config = record.host_config
    if _mode_of(config.uts_mode) != "host":
        hostname, domain = record.config.hostname, record.config.domainname
        yield SetHostname(hostname=hostname, domainname=domain, why="the container's id, unless it was given a name")
    if _mode_of(config.network_mode) in ("private", "none"):
        yield SetLoopbackUp(why="a new network namespace has `lo`, but switched off")


def _root_of(record: ContainerRecord, around: Surroundings) -> str:
    return f"{around.directory}/{'merged' if record.driver == 'overlay2' else 'rootfs'}"


def _plan_root(record: ContainerRecord, around: Surroundings) -> Iterator[Step]:
    shared = any("shared" in m.propagation or "slave" in m.propagation for m in record.mounts)
    flags = (Ms.SLAVE if shared else Ms.PRIVATE) | Ms.REC
    yield Mount(source="", target="/", flags=flags, host_target=True, why="nothing mounted from here on shows on the host")
    root = _root_of(record, around)
    if record.driver == "overlay2":
        lower = ":".join(reversed(record.layers))
        own = posixpath.relpath(around.directory, around.layers_directory)  # all names together must fit in one page
        yield Mount(
            source="overlay", target=root, fstype="overlay", host_target=True, cwd=around.layers_directory,
            data=f"lowerdir={lower},upperdir={own}/upper,workdir={own}/work,{around.overlay_options}",
            why="the image's layers, read-only and shared, under one writable directory that holds every change as a file",
        )  # fmt: skip
    else:
        yield Mount(
            source=root, target=root, flags=Ms.BIND | Ms.REC, host_target=True,
            why="a private copy of the image's files; pivot_root(2) wants a mount",
        )  # fmt: skip


def _plan_kernel_mounts(record: ContainerRecord, around: Surroundings) -> Iterator[Step]:
    config = record.host_config
    sys_flags = _GUARD if config.privileged else _GUARD | Ms.RDONLY
    if config.pid_mode == "host" and not around.may_make_devices:
        why = "the host's own: its pid namespace belongs to another user namespace"
        yield Mount(source="/proc", target="/proc", flags=Ms.BIND | Ms.REC, create="dir", why=why)
    else:
        yield Mount(
            source="proc", target="/proc", fstype="proc", flags=_GUARD, create="dir",
            why="procfs shows the pid namespace of the process that mounts it",
        )  # fmt: skip
    yield Mount(
        source="tmpfs", target="/dev", fstype="tmpfs", flags=Ms.NOSUID | Ms.STRICTATIME, data="mode=755,size=65536k", create="dir",
        why="an empty /dev of its own, to be filled with harmless devices",
    )  # fmt: skip
    yield Mount(
        source="devpts", target="/dev/pts", fstype="devpts", flags=Ms.NOSUID | Ms.NOEXEC, create="dir",
        data="newinstance,ptmxmode=0666,mode=0620" + (f",gid={TERMINAL_GROUP}" if around.has_terminal_group else ""), why="terminals of its own",
    )  # fmt: skip
    if config.network_mode == "host" and not around.may_make_devices:
        why = "the host's own: its network namespace belongs to another user namespace"
        yield Mount(source="/sys", target="/sys", flags=Ms.BIND | Ms.REC | sys_flags & Ms.RDONLY, create="dir", why=why)
    else:
        yield Mount(
            source="sysfs", target="/sys", fstype="sysfs", flags=sys_flags, create="dir", optional=config.network_mode == "host",
            why="sysfs shows the network namespace of the process that mounts it",
        )  # fmt: skip
    yield from around.cgroup_view
    yield Mount(
        source="mqueue", target="/dev/mqueue", fstype="mqueue", flags=_GUARD, create="dir", optional=True,
        why="POSIX message queues of the new ipc namespace",
    )  # fmt: skip
    if not (config.ipc_mode == "none" or any(m.destination == "/dev/shm" for m in record.mounts)):
        yield _plan_shared_memory(record, around)


def _plan_shared_memory(record: ContainerRecord, around: Surroundings) -> Mount:
    """Return the mount of `/dev/shm`: POSIX shared memory is files, which have to be shared with the ipc namespace."""
    config = record.host_config
    if config.ipc_mode == "host":
        return Mount(source="/dev/shm", target="/dev/shm", flags=Ms.BIND | Ms.REC | Ms.PRIVATE, create="dir", why="--ipc host: its shared memory too")
    owner = dict(around.namespace_pids).get("ipc", 0)
    if owner:
        return Mount(
            source="/dev/shm", source_pid=owner, target="/dev/shm", flags=Ms.BIND | Ms.REC | Ms.PRIVATE, create="dir",
            why="--ipc container: the shared memory of the other one",
        )  # fmt: skip
    return Mount(
        source="shm", target="/dev/shm", fstype="tmpfs", flags=_GUARD, create="dir",
        data=f"mode=1777,size={config.shm_size or DEFAULT_SHM_BYTES}", why="POSIX shared memory, bounded",
    )  # fmt: skip


def _plan_devices(around: Surroundings) -> Iterator[Step]:
    for d in around.devices:
        why = "a device that cannot do harm" if d in DEFAULT_DEVICES else "asked for with --device or --privileged"
        if around.ids is None and around.may_make_devices:
            yield MakeDevice(path=d.path, type=d.kind, major=d.major, minor=d.minor, mode=d.mode, why=why)
        else:
            why += "; bound, because a user namespace may make none"
            yield BindDevice(host_path=d.host_path or d.path, path=d.path, type=d.kind, major=d.major, minor=d.minor, why=why)
    for path, target in DEVICE_LINKS.items():
        yield MakeSymlink(path=path, target=target, why="a name that programs expect")


def _plan_user_mounts(record: ContainerRecord, around: Surroundings) -> Iterator[Step]:
    if record.config.working_dir not in ("", "/"):
        yield MakeDirectory(path=record.config.working_dir, why="the working directory is made if the image lacks it")
    for name in ("resolv.conf", "hostname", "hosts") if around.name_files else ():
        if not any(m.destination == f"/etc/{name}" for m in record.mounts):
            yield Mount(
                source=f"{around.directory}/{name}", target=f"/etc/{name}", flags=Ms.BIND | Ms.PRIVATE | Ms.REC, create="file",
                why="written by the engine for this container, because the image cannot know it",
            )  # fmt: skip
    for mount in sorted(record.mounts, key=lambda m: m.destination.count("/")):  # a parent before what lies in it
        yield from _plan_user_mount(mount)


def _plan_user_mount(mount: MountPoint) -> Iterator[Step]:
    if mount.type == "tmpfs":
        yield Mount(
            source="tmpfs", target=mount.destination, fstype="tmpfs", flags=_GUARD | (Ms(0) if mount.read_write else Ms.RDONLY),
            data=mount.options, create="dir", why="--tmpfs: memory, gone with the container",
        )  # fmt: skip
        return
    if mount.type == "overlay":
        yield Mount(
            source="overlay", target=mount.destination, fstype="overlay", flags=Ms(0) if mount.read_write else Ms.RDONLY,
            data=mount.options, create="dir", why="RUN --mount: files of another stage, or a view whose changes are thrown away",
        )  # fmt: skip
        return
    if mount.type == "volume" and not mount.subpath and "nocopy" not in mount.mode.split(","):
        yield PopulateVolume(
            path=mount.destination, volume=mount.source, why="an empty volume starts with what the image has there"
        )
    flags = Ms.BIND | (Ms(0) if "nonrecursive" in mount.mode.split(",") else Ms.REC)
    propagation = _PROPAGATIONS.get(mount.propagation or "rprivate")
    if propagation is None:
        raise InvalidParameter(f"invalid propagation `{mount.propagation}` for `{mount.destination}`")
    yield Mount(
        source=mount.source, subpath=mount.subpath, target=mount.destination, flags=flags | propagation | (Ms(0) if mount.read_write else Ms.RDONLY),
        create="file" if mount.type == "bind" and mount.options == "file" else "dir",
        why="a directory of the host" if mount.type == "bind" else "a volume: it outlives the container",
    )  # fmt: skip


def _plan_after_pivot(record: ContainerRecord, host: Host, around: Surroundings) -> Iterator[Step]:
    config = record.host_config
    if record.config.tty:
        yield MakeConsole(
            rows=around.rows, columns=around.columns,
            why="after the pivot, so that it comes from the container's own devpts",
        )  # fmt: skip
    sysctls = dict(config.sysctls)
    if _mode_of(config.network_mode) == "private" and not config.privileged:
        sysctls.setdefault("net.ipv4.ip_unprivileged_port_start", "0")
        if around.ids is None and around.may_make_devices:  # a user namespace has not so many groups
            sysctls.setdefault("net.ipv4.ping_group_range", "0 2147483647")
    for name, value in sysctls.items():
        yield WriteSysctl(name=name, value=value, why="a parameter of the new namespaces, while /proc/sys can be written")
    unconfined = config.privileged or "systempaths=unconfined" in config.security_opt
    readonly = config.readonly_paths if config.readonly_paths is not None else READONLY_PATHS
    masked = config.masked_paths if config.masked_paths is not None else (*MASKED_PATHS, *host.thermal_paths)
    for path in () if unconfined else readonly:
        yield ReadonlyPath(path=path, why="belongs to the whole machine: to be read, not written")
    for path in () if unconfined else masked:
        yield MaskPath(path=path, why="tells about the whole machine")
    if around.ids is None:
        yield from _plan_rlimits(record, Actor.INIT)
        if config.oom_score_adj:
            yield SetOomScore(score=config.oom_score_adj, why="--oom-score-adj")


def _plan_rlimits(record: ContainerRecord, actor: Actor) -> Iterator[Step]:
    for limit in record.host_config.ulimits:
        if limit.name.upper() not in Rlimit.__members__:
            raise InvalidParameter(f"invalid ulimit type: {limit.name}")
        yield SetRlimit(
            resource=Rlimit[limit.name.upper()], soft=limit.soft, hard=limit.hard, actor=actor, why="--ulimit, while raising is allowed"
        )


def _plan_privileges(record: ContainerRecord, host: Host, around: Surroundings) -> Iterator[Step]:
    config = record.host_config
    keep = compute_granted_capabilities(record, host)
    no_new = any(option in ("no-new-privileges", "no-new-privileges:true", "no-new-privileges=true") for option in config.security_opt)
    yield from plan_privileges(
        user=record.config.user, groups=config.group_add, keep=keep, no_new_privileges=no_new,
        program=around.seccomp_program, profile=around.seccomp_profile,
    )  # fmt: skip


def plan_privileges(
    *, user: str, groups: tuple[str, ...], keep: tuple[str, ...], no_new_privileges: bool, program: bytes, profile: str,
    bounding: tuple[str, ...] | None = None, ambient: tuple[str, ...] = (),
) -> Iterator[Step]:  # fmt: skip
    """Yield the last steps before the command: capabilities, user, system call filter.

    Without no_new_privs the filter needs CAP_SYS_ADMIN and comes first; with it, the filter comes last, so that it need not
    allow what the other steps do.
    """
    load = LoadSeccomp(program=program, profile=profile, why="refuse system calls that containers do not need")
    if no_new_privileges:
        yield NoNewPrivileges(why="--security-opt no-new-privileges: setuid programs lose their power")
    elif program:
        yield load
    yield DropCapabilities(keep=keep if bounding is None else bounding, why="root, but only with the privileges on this list")
    yield SetUser(user=user, extra_groups=groups, keep=keep, ambient=ambient, why="who the command is, by the container's own /etc/passwd")
    if no_new_privileges and program:
        yield load


def compute_environment(record: ContainerRecord, more: tuple[str, ...] = ()) -> tuple[str, ...]:
    """Return the command's environment: Docker's own words first, then *more*, each replaced by the image's or the user's."""
    words = {"PATH": DEFAULT_PATH, "HOSTNAME": record.config.hostname, **dict(word.partition("=")[::2] for word in more)}
    if record.config.tty:
        words["TERM"] = "xterm"
    for word in record.config.env:
        name, equals, value = word.partition("=")
        if equals:
            words[name] = value
        else:
            words.pop(name, None)  # a bare name takes the variable away
    return tuple(f"{name}={value}" for name, value in words.items())


@dataclass(frozen=True, slots=True, kw_only=True)
class ExecPlan:
    """What an exec asks for beyond the container's own configuration."""

    argv: tuple[str, ...]
    env: tuple[str, ...] = ()
    user: str = ""
    working_dir: str = ""
    tty: bool = False
    privileged: bool = False
    rows: int = 0
    columns: int = 0


def _plan_exec_birth(record: ContainerRecord, around: Surroundings) -> Iterator[Step]:
    pid, score = record.state.pid, record.host_config.oom_score_adj
    if around.ids is not None:
        yield Join(pid=pid, namespaces=Clone.NEWPID, actor=Actor.MONITOR, why="the next child is born into the container's pid namespace")
    yield ForkInit(why="a child of the monitor is born into the container's pid namespace")
    yield from around.cgroup_join
    if score:
        yield SetOomScore(score=score, why="--oom-score-adj of the container")
    if around.ids is None:
        yield from _plan_rlimits(record, Actor.INIT)
    else:
        yield EnterUserNamespace(uid_map=around.ids.uids, gid_map=around.ids.gids, pid=pid, why="be who the container's processes are")


def plan_exec(record: ContainerRecord, host: Host, around: Surroundings, request: ExecPlan) -> tuple[Step, ...]:
    """Return the steps of one more process in a running container.

    The pid namespace needs no step: the monitor's children are born into it.
    """
    config = record.host_config
    namespaces = Clone.NEWNS
    modes = (
        (Clone.NEWUTS, config.uts_mode), (Clone.NEWIPC, config.ipc_mode), (Clone.NEWNET, config.network_mode), (Clone.NEWCGROUP, config.cgroupns_mode),
    )  # fmt: skip
    for flag, mode in modes:
        namespaces |= Clone(0) if mode == "host" else flag  # the monitor is in the host's; joining it again would take a right over it
    keep = compute_granted_capabilities(record, host)
    if request.privileged:
        keep = compute_capabilities(cap_add=(), cap_drop=(), privileged=True, last_cap=host.last_capability)
        keep = tuple(name for name in keep if host.capabilities is None or name in host.capabilities)
    environment = dict(word.partition("=")[::2] for word in compute_environment(record))
    environment |= {"TERM": "xterm"} if request.tty else {}
    environment |= dict(word.partition("=")[::2] for word in request.env)
    no_new = any(option.startswith("no-new-privileges") and not option.endswith("false") for option in config.security_opt)
    console = MakeConsole(rows=request.rows, columns=request.columns, bind=False, why="a second terminal of the same devpts")
    return (
        *_plan_exec_birth(record, around),
        Join(
            pid=record.state.pid, namespaces=namespaces, actor=Actor.INIT, why="the namespaces of the container's first process"
        ),
        *((console,) if request.tty else ()),
        Synchronise(why="the monitor is ready to copy output"),
        *(_plan_rlimits(record, Actor.MONITOR) if around.ids is not None else ()),
        *plan_privileges(
            user=request.user or record.config.user, groups=config.group_add, keep=keep, no_new_privileges=no_new,
            program=b"" if request.privileged else around.seccomp_program, profile=around.seccomp_profile,
        ),
        Exec(
            argv=request.argv, env=tuple(f"{name}={value}" for name, value in environment.items()),
            cwd=request.working_dir or record.config.working_dir or "/", why="the command",
        ),
    )  # fmt: skip
