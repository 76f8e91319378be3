"""The simulator performs steps.

Pure. Read it beside `minidocker.kernel.perform`, which it follows case by case: the same step, the same system calls in the same
order, but on the records of `minidocker.simulator.linux`. A step that the kernel would refuse raises the kernel's error, and the
state before it is still there, since every state is a value. Chapter 16.
"""

from __future__ import annotations

import errno
import posixpath
from collections.abc import Callable, Iterable
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import Final, assert_never

from minidocker.kernel.flags import Clone, Mnt, Ms
from minidocker.kernel.steps import (
    Actor, AddAddress, AddRoute, BindDevice, CreateVeth, DropCapabilities, EnterUserNamespace, Exec, ForkAgain, ForkInit, Join, JoinCgroup, LimitDevices, LoadSeccomp,
    MakeCgroup, MakeConsole, MakeDevice, MakeDirectory, MakeSymlink, MaskPath, Mount, NoNewPrivileges, PivotRoot,
    PopulateVolume, ReadonlyPath, RemoveLink, ServeNames, SetClockOffset, SetHostname, SetLinkUp, SetLoopbackUp, SetOomScore, SetRlimit, SetUser, Step,
    Synchronise, Unshare, WriteCgroup, WriteSysctl, actor_of,
)  # fmt: skip
from minidocker.simulator import cgroups, credentials, mounts, network, processes
from minidocker.simulator.files import (
    exists, is_under, make_directories, make_file, make_node, put_node, read_file, resolve, top_of,
)  # fmt: skip
from minidocker.simulator.linux import DIRECTORY, Linux, Node, NodeKind, Place, fail, require_capability

__all__ = ["FindIdentity", "Simulation", "perform_step", "simulate"]

FindIdentity = Callable[[SetUser, str, str], tuple[int, int, tuple[int, ...]]]
"""Looks a user up in the text of `/etc/passwd` and `/etc/group`; returns uid, gid and groups."""

OPTIONAL_ERRORS: Final = (errno.ENODEV, errno.EPERM, errno.EINVAL, errno.ENOENT, errno.EBUSY)
TERMINALS: Final = 136
"""Major number of the terminals below `/dev/pts`."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Simulation:
    """A machine on which a plan is being performed."""

    linux: Linux
    monitor: int
    """Pid of the process that starts: it becomes the monitor."""
    find_identity: FindIdentity
    init: int = 0
    command: int = 0
    """The container's command: init itself after `Exec`, or its child with `--init`."""
    staging_root: str = ""
    """Path of the tree that becomes the root; empty after `PivotRoot`."""

    def root(self) -> Place:
        """Return the container's root: the prepared tree, then init's own."""
        process = self.linux.processes[self.init]
        return resolve(self.linux, process.root, self.staging_root) if self.staging_root else process.root

    @property
    def observer(self) -> int:
        """The process whose view counts: the youngest there is."""
        return self.command or self.init or self.monitor


def simulate(linux: Linux, monitor: int, steps: Iterable[Step], find_identity: FindIdentity) -> Simulation:
    """Perform *steps* one after another.

    Raises:
        OSError: what the kernel would refuse.
    """
    steps = tuple(steps)
    staging_root = next((step.root for step in steps if isinstance(step, PivotRoot)), "")
    simulation = Simulation(linux=linux, monitor=monitor, find_identity=find_identity, staging_root=staging_root)
    for step in steps:
        simulation = perform_step(simulation, step)
    return simulation


def perform_step(simulation: Simulation, step: Step) -> Simulation:
    """Return *simulation* after *step*, done by the process whose step it is.

    Raises:
        OSError: what the kernel would refuse.
    """
    linux = simulation.linux
    pid = simulation.monitor if actor_of(step) is Actor.MONITOR else simulation.init
    match step:
        case ForkInit():
            return _fork_init(simulation)
        case PivotRoot():
            return replace(simulation, linux=_pivot_root(step, simulation), staging_root="")
        case Exec():
            return _execute(step, simulation)
        case SetClockOffset():
            linux = processes.set_clock_offset(linux, pid, step.clock, step.seconds, step.nanoseconds)
        case ForkAgain():
            return _fork_again(simulation)
        case EnterUserNamespace():
            linux = _enter_user_namespace(step, simulation)
        case MakeCgroup():
            linux = _make_cgroup(step, linux, pid)
        case WriteCgroup():
            linux = _write_cgroup(step, linux, pid)
        case LimitDevices():
            linux = cgroups.set_device_rules(linux, linux.processes[pid].root, step.path, step.rules)
        case JoinCgroup():
            linux = cgroups.join_group(linux, pid, linux.processes[pid].root, step.path)
        case Unshare():
            linux = processes.unshare(linux, pid, step.namespaces)
        case Join():
            linux = processes.setns(linux, pid, step.pid or _pid_in(step.path), step.namespaces)
        case CreateVeth():
            linux = network.create_veth(
                linux, pid, host_name=step.host_name, peer_name=step.container_name, peer_pid=simulation.init, bridge=step.bridge,
                mac_address=step.mac_address, mtu=step.mtu, isolated=step.isolated,
            )  # fmt: skip
        case AddAddress():
            linux = network.add_address(linux, simulation.init, step.link, step.address)
        case SetLinkUp():
            linux = network.set_link_up(linux, simulation.init, step.link, ipv6=step.ipv6)
        case SetLoopbackUp():
            linux = network.set_link_up(linux, pid, "lo")
        case AddRoute():
            linux = network.add_route(linux, simulation.init, gateway=step.gateway, destination=step.destination)
        case RemoveLink():
            linux = network.remove_link(linux, pid, step.link)
        case ServeNames():
            pass  # sockets are not modelled
        case SetHostname():
            linux = processes.set_hostname(linux, pid, step.hostname, domainname=step.domainname)
        case WriteSysctl():
            linux = processes.write_sysctl(linux, pid, step.name, step.value)
        case SetRlimit():
            linux = processes.set_rlimit(linux, simulation.init, step.resource, step.soft, step.hard)
        case SetOomScore():
            linux = processes.set_oom_score(linux, pid, step.score)
        case Mount():
            linux = _mount(step, simulation)
        case MakeDirectory():
            linux = make_directories(linux, simulation.root(), step.path)
        case PopulateVolume():
            linux = _populate_volume(step, simulation)
        case MakeDevice():
            linux = _make_device(step, simulation)
        case BindDevice():
            linux = make_file(linux, simulation.root(), step.path)
            linux = _mount_on(linux, pid, step.host_path, simulation.root(), step.path, Ms.BIND)
        case MakeSymlink():
            linux = _make_symlink(step, simulation)
        case MakeConsole():
            linux = _make_console(step, simulation)
        case ReadonlyPath():
            linux = _protect(step, simulation)
        case MaskPath():
            linux = _mask(step, simulation)
        case NoNewPrivileges():
            linux = credentials.set_no_new_privileges(linux, pid)
        case LoadSeccomp():
            linux = credentials.install_filter(linux, pid, step.program)
        case DropCapabilities():
            linux = credentials.drop_bounding_set(linux, pid, step.keep)
        case SetUser():
            linux = _set_user(step, simulation)
        case Synchronise():
            pass  # steps are performed one after another here: nobody has to wait
        case _:
            assert_never(step)
    return replace(simulation, linux=linux)


def _fork_init(simulation: Simulation) -> Simulation:
    """The child becomes the leader of a session of its own; see setsid(2)."""
    linux, init = processes.fork(simulation.linux, simulation.monitor)
    child = replace(linux.processes[init], name="md:init", session=init, has_terminal=False)
    return replace(simulation, linux=linux.with_process(child), init=init)


def _fork_again(simulation: Simulation) -> Simulation:
    """The child goes on, the parent ends, the monitor adopts: it is the nearest subreaper."""
    former = simulation.init
    linux, init = processes.fork(simulation.linux, former)
    linux = linux.with_process(replace(linux.processes[init], session=init, parent=simulation.monitor))
    return replace(simulation, linux=processes.end_process(linux, former), init=init)


def _enter_user_namespace(step: EnterUserNamespace, simulation: Simulation) -> Linux:
    linux, pid = simulation.linux, simulation.init
    owner = step.pid or (_pid_in(step.path) if step.path else 0)
    if owner:
        linux = processes.setns(linux, pid, owner, Clone.NEWUSER)
    else:
        linux = processes.unshare(linux, pid, Clone.NEWUSER)
        linux = processes.write_id_maps(linux, pid, step.uid_map, step.gid_map)
    linux = credentials.set_groups(linux, pid, ())
    return credentials.set_user(linux, pid, uid=0, gid=0)


def _pid_in(path: str) -> int:
    """Return whose namespace `/proc/PID/ns/KIND` is; one that is held open by a mount has no owner in the model."""
    words = path.split("/")
    if words[:2] != ["", "proc"] or not words[2].isdigit():
        raise fail(errno.ENOENT, "a namespace that no process of the model is in", path)
    return int(words[2])


def _make_cgroup(step: MakeCgroup, linux: Linux, pid: int) -> Linux:
    root, parent = linux.processes[pid].root, step.root
    for name in step.path.removeprefix(f"{step.root}/").split("/"):
        directory = f"{parent}/{name}"
        for controller in step.controllers:
            with suppress(OSError):
                linux = cgroups.write_group_file(linux, root, f"{parent}/cgroup.subtree_control", f"+{controller}")
        if not exists(linux, root, directory):
            linux = cgroups.make_group(linux, root, directory)
            for file in step.inherit:
                linux = cgroups.write_group_file(linux, root, f"{directory}/{file}", read_file(linux, root, f"{parent}/{file}"))
        parent = directory
    return linux


def _write_cgroup(step: WriteCgroup, linux: Linux, pid: int) -> Linux:
    try:
        return cgroups.write_group_file(linux, linux.processes[pid].root, step.path, step.value)
    except FileNotFoundError:
        if not step.optional:
            raise
        return linux


def _mount(step: Mount, simulation: Simulation) -> Linux:
    linux, pid = simulation.linux, simulation.init
    process = linux.processes[pid]
    if step.cwd:
        linux = linux.with_process(replace(process, cwd=resolve(linux, process.root, step.cwd)))
    if step.host_target:
        return mounts.mount(linux, pid, source=step.source, target=step.target, fstype=step.fstype, flags=step.flags, data=step.data)
    root, create = simulation.root(), step.create
    source: str | Place = step.source
    if step.source_pid:
        source = resolve(linux, linux.processes[step.source_pid].root, step.source)
    elif step.subpath:
        source = resolve(linux, resolve(linux, process.root, step.source), step.subpath)
        create = "dir" if linux.node_at(source).kind == NodeKind.DIRECTORY else "file"
    if create:
        linux = (make_directories if create == "dir" else make_file)(linux, root, step.target)
    try:
        return _mount_on(linux, pid, source, root, step.target, step.flags, fstype=step.fstype, data=step.data)
    except OSError as error:
        if not (step.optional and error.errno in OPTIONAL_ERRORS):
            raise
        return linux


def _mount_on(
    linux: Linux, pid: int, source: str | Place, root: Place, path: str, flags: Ms, *, fstype: str = "", data: str = ""
) -> Linux:
    """Mount on *path* inside *root*. A bind with flags is up to three calls: the kernel ignores the flags of the first."""
    target = resolve(linux, root, path)
    if flags & Ms.REMOUNT or not flags & Ms.BIND:
        return mounts.mount(linux, pid, source=source, target=target, fstype=fstype, flags=flags, data=data)
    linux = mounts.mount(linux, pid, source=source, target=target, flags=flags & (Ms.BIND | Ms.REC))
    target = top_of(linux, target)
    extra = flags & ~(Ms.BIND | Ms.REC | Ms.PRIVATE | Ms.SLAVE | Ms.SHARED)
    if extra:
        again = Ms.REMOUNT | Ms.BIND | extra | _locked_flags(linux, target)
        linux = mounts.mount(linux, pid, source="", target=target, flags=again)
    propagation = flags & (Ms.PRIVATE | Ms.SLAVE | Ms.SHARED)
    return mounts.mount(linux, pid, source="", target=target, flags=propagation | flags & Ms.REC) if propagation else linux


def _locked_flags(linux: Linux, place: Place) -> Ms:
    """Return the flags that a remount has to repeat, because it would otherwise clear them; see statvfs(3)."""
    flags = linux.mounts[place.mount].flags | (Ms.RDONLY if linux.file_system_at(place).readonly else Ms(0))
    return flags & (Ms.NOSUID | Ms.NODEV | Ms.NOEXEC | Ms.RDONLY)


def _pivot_root(step: PivotRoot, simulation: Simulation) -> Linux:
    """`pivot_root(".", ".")`: the old root comes to lie on the new one; then it is made a slave and taken off."""
    linux, pid = simulation.linux, simulation.init
    old_root = linux.processes[pid].root
    linux = linux.with_process(replace(linux.processes[pid], cwd=simulation.root()))
    linux = mounts.pivot_root(linux, pid, ".", ".")
    linux = mounts.mount(linux, pid, source="", target=old_root, flags=Ms.SLAVE | Ms.REC)
    linux = mounts.umount(linux, pid, old_root, flags=Mnt.DETACH)
    root = linux.processes[pid].root
    linux = linux.with_process(replace(linux.processes[pid], cwd=root))
    if step.readonly:
        linux = mounts.mount(linux, pid, source="", target=root, flags=Ms.REMOUNT | Ms.BIND | Ms.RDONLY | _locked_flags(linux, root))
    return linux


def _populate_volume(step: PopulateVolume, simulation: Simulation) -> Linux:
    linux = simulation.linux
    if not exists(linux, simulation.root(), step.path):
        return linux
    source = resolve(linux, simulation.root(), step.path)
    target = resolve(linux, linux.processes[simulation.init].root, step.volume)
    if linux.node_at(source).kind != NodeKind.DIRECTORY or _inside(linux, target):
        return linux
    copies = {posixpath.join(target.path, name): node for name, node in _inside(linux, source).items()}
    return put_node(linux, linux.file_system_at(target).id, copies)


def _inside(linux: Linux, place: Place) -> dict[str, Node]:
    """Return what lies in a directory at any depth, by path from it."""
    files = linux.file_system_at(place).files.items()
    return {posixpath.relpath(path, place.path): node for path, node in files if is_under(path, place.path) and path != place.path}


def _make_device(step: MakeDevice, simulation: Simulation) -> Linux:
    linux, root = simulation.linux, simulation.root()
    require_capability(linux.processes[simulation.init], "CAP_MKNOD", "mknod of a device")
    processes.require_first_user_namespace(linux, simulation.init, "mknod of a device")
    linux = make_directories(linux, root, posixpath.dirname(step.path))
    return make_node(linux, root, step.path, Node(kind=step.type, content=f"{step.major}:{step.minor}"))


def _make_symlink(step: MakeSymlink, simulation: Simulation) -> Linux:
    root = simulation.root()
    linux = make_directories(simulation.linux, root, posixpath.dirname(step.path))
    with suppress(FileExistsError):
        linux = make_node(linux, root, step.path, Node(kind=NodeKind.SYMLINK, content=step.target))
    return linux


def _make_console(step: MakeConsole, simulation: Simulation) -> Linux:
    """Opening `ptmx` makes the next free number in its own devpts; see pts(4)."""
    linux, pid, root = simulation.linux, simulation.init, simulation.root()
    devpts = resolve(linux, root, "/dev/pts")
    files = linux.file_system_at(devpts).files
    number = next(n for n in range(len(files)) if f"/{n}" not in files)
    slave = Node(kind=NodeKind.CHARACTER, content=f"{TERMINALS}:{number}")
    linux = put_node(linux, linux.file_system_at(devpts).id, {f"/{number}": slave})
    if step.bind:
        linux = make_file(linux, root, "/dev/console")
        terminal = Place(mount=devpts.mount, path=f"/{number}")
        linux = mounts.mount(linux, pid, source=terminal, target=resolve(linux, root, "/dev/console"), flags=Ms.BIND)
    return linux.with_process(replace(linux.processes[pid], has_terminal=True))


def _protect(step: ReadonlyPath, simulation: Simulation) -> Linux:
    linux, root = simulation.linux, simulation.root()
    if not exists(linux, root, step.path):
        return linux
    here = resolve(linux, root, step.path)
    return _mount_on(linux, simulation.init, here, root, step.path, Ms.BIND | Ms.REC | Ms.RDONLY)


def _mask(step: MaskPath, simulation: Simulation) -> Linux:
    linux, root = simulation.linux, simulation.root()
    null = resolve(linux, root, "/dev/null")
    if linux.node_at(null) != Node(kind=NodeKind.CHARACTER, content="1:3"):
        raise fail(errno.ENXIO, "`/dev/null` of the container is not the null device", step.path)
    if not exists(linux, root, step.path):
        return linux
    if linux.node_at(resolve(linux, root, step.path)) == DIRECTORY:
        data = "nr_blocks=1,nr_inodes=1"
        return _mount_on(linux, simulation.init, "tmpfs", root, step.path, Ms.RDONLY, fstype="tmpfs", data=data)
    return _mount_on(linux, simulation.init, null, root, step.path, Ms.BIND)


def _set_user(step: SetUser, simulation: Simulation) -> Linux:
    """Groups, group, user, then capabilities: the other way round each call would forbid the next."""
    linux, pid, root = simulation.linux, simulation.init, simulation.root()
    passwd, group = read_file(linux, root, "/etc/passwd"), read_file(linux, root, "/etc/group")
    uid, gid, groups = simulation.find_identity(step, passwd, group)
    linux = credentials.set_keep_capabilities(linux, pid, True)
    linux = credentials.set_groups(linux, pid, groups)
    linux = credentials.set_user(linux, pid, uid=uid, gid=gid)
    linux = credentials.set_keep_capabilities(linux, pid, False)
    return credentials.set_capabilities(linux, pid, step.keep, ambient=step.ambient)


def _execute(step: Exec, simulation: Simulation) -> Simulation:
    """Become the command, or with `--init` its parent. Whether the program is there, only the image knows."""
    linux, command = simulation.linux, simulation.init
    if step.init:
        linux, command = processes.fork(linux, command)
    process = linux.processes[command]
    cwd = resolve(linux, process.root, step.cwd or "/")
    name = posixpath.basename(step.argv[0])[:15] if step.argv else ""
    after = credentials.compute_exec(process.credentials)
    linux = linux.with_process(replace(process, name=name, cwd=cwd, credentials=after, argv=step.argv))
    return replace(simulation, linux=linux, command=command)
