"""The kernel performs steps.

Acting. `perform_init_step` runs in init, between its birth and the command; `perform_monitor_step` runs in the monitor.
Each is one `match` over `minidocker.kernel.steps`, each case one or two calls into this package. What a step needs from
outside comes in the context: the handshake with the other process, and who the container's users are.

A failing step raises `OSError` with the step's own path; the caller says which step it was. Chapter 16.
"""

from __future__ import annotations

import errno
import os
import socket
import stat
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import NoReturn, Protocol, assert_never

from minidocker.codec.ebpf import assemble_device_program, parse_device_rule
from minidocker.codec.nft_messages import create_table_messages, render_batch, replace_table_messages
from minidocker.codec.nftables import plan_name_redirect
from minidocker.kernel import bpf, capabilities, mount, namespaces, netlink, process, seccomp, terminal
from minidocker.kernel.attach import attach, attach_on_host, on_fd
from minidocker.kernel.copy import copy_stack
from minidocker.kernel.flags import Clone, Ms
from minidocker.kernel.steps import (
    Actor, AddAddress, AddRoute, BindDevice, CreateVeth, DropCapabilities, EnterUserNamespace, Exec, ForkAgain, ForkInit, Join,
    JoinCgroup, LimitDevices, LoadSeccomp, MakeCgroup, MakeConsole, MakeDevice, MakeDirectory, MakeSymlink, MaskPath, Mount, NoNewPrivileges, PivotRoot,
    PopulateVolume, ReadonlyPath, RemoveLink, ServeNames, SetClockOffset, SetHostname, SetLinkUp, SetLoopbackUp, SetOomScore, SetRlimit, SetUser, Step,
    Synchronise, Unshare, WriteCgroup, WriteSysctl,
)  # fmt: skip
from minidocker.kernel.user_namespace import enter_user_namespace, hold_sources

__all__ = ["Channel", "Identity", "InitContext", "MonitorContext", "open_joined", "perform_init_step", "perform_monitor_step", "write_cgroup"]

_NULL_DEVICE = os.makedev(1, 3)
IP_FREEBIND = 15
NAME_PORT = 53


class Channel(Protocol):
    """Init's end of the handshake with the monitor."""

    def announce_namespaces(self) -> None:
        """Say that the new namespaces exist, so that the monitor can configure the network."""

    def hand_over(self, pid: int) -> None:
        """Say that the process *pid*, our child, goes on in our place."""

    def send_console(self, master: int) -> None:
        """Hand the master side of the terminal over."""

    def synchronise(self) -> None:
        """Say that everything is ready and wait for the monitor's word."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Identity:
    """Who the command runs as, in numbers of the container."""

    uid: int
    gid: int
    groups: tuple[int, ...]
    home: str


@dataclass(slots=True, kw_only=True)
class InitContext:
    """What init carries from step to step."""

    channel: Channel
    find_identity: Callable[[SetUser, int], Identity]
    """Looks a user up in the files below a root descriptor."""
    execute: Callable[[Exec, InitContext], NoReturn]
    pidfds: Mapping[int, int] = field(default_factory=dict)
    """Open descriptors of the processes that `Join` names, by host pid."""
    steps: Sequence[Step] = ()
    held: dict[Step, int] = field(default_factory=dict)
    """What steps bind from the host, since `EnterUserNamespace`; see `hold_sources`."""
    borrowed: Mapping[Step, int] = field(default_factory=dict)
    """What steps bind from other containers; see `borrow_sources`."""
    staging_root: str = ""
    """Host path of the tree that becomes the root."""
    root_fd: int = -1
    """The container's root: the prepared tree before `PivotRoot`, `/` after it."""
    program: str = ""
    """Path of the command, once it has been looked for."""
    identity: Identity = field(default_factory=lambda: Identity(uid=0, gid=0, groups=(), home="/root"))

    def root(self) -> int:
        """Return a descriptor of the container's root, opened on first use."""
        if self.root_fd < 0:
            self.root_fd = os.open(self.staging_root or "/", os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
        return self.root_fd

    def change_root(self) -> None:
        """Forget the old root: `/` is the container's from here on."""
        if self.root_fd >= 0:
            os.close(self.root_fd)
        self.root_fd, self.staging_root = -1, ""


def open_joined(steps: Sequence[Step]) -> dict[int, int]:
    """Return descriptors of the processes that *steps* name: host pids mean nothing inside a pid namespace."""
    named = {step.pid for step in steps if isinstance(step, Join | EnterUserNamespace) and step.pid}
    named |= {step.source_pid for step in steps if isinstance(step, Mount) and step.source_pid}
    return {pid: os.pidfd_open(pid) for pid in named}


def perform_init_step(step: Step, context: InitContext) -> None:
    """Do what *step* says, as init.

    Preconditions:
        The process has one thread; everything it needs is imported already.
    """
    match step:
        case JoinCgroup():
            _write_file(f"{step.path}/cgroup.procs", "0")
        case Unshare():
            namespaces.unshare(step.namespaces)
            if step.namespaces & Clone.NEWNET:
                context.channel.announce_namespaces()
        case Join():
            if step.path:
                _join(step)
            else:
                namespaces.setns(context.pidfds[step.pid], step.namespaces)
            if step.namespaces & Clone.NEWNS:
                context.change_root()
        case EnterUserNamespace():
            _enter_user_namespace(step, context)
        case ForkAgain():
            _fork_again(context)
        case SetClockOffset():
            _set_clock(step)
        case SetHostname():
            namespaces.set_hostname(step.hostname, domainname=step.domainname)
        case SetLoopbackUp():
            with netlink.open_route_socket() as route:
                netlink.set_loopback_up(route)
        case Mount():
            tree_fd = context.held.get(step, context.borrowed.get(step, -1))
            if step.host_target:
                attach_on_host(step, tree_fd)
                context.root_fd = max(context.root_fd, tree_fd)
            else:
                attach(step, context.root(), tree_fd)
        case MakeDirectory():
            mount.make_directories(context.root(), step.path)
        case PopulateVolume():
            _populate_volume(step, context)
        case MakeDevice():
            _make_device(step, context.root())
        case BindDevice():
            mount.make_file(context.root(), step.path)
            held = context.held.get(step, -1)
            on_fd(context.root(), step.path, lambda fd: mount.mount_on_fd(step.host_path, fd, flags=Ms.BIND, tree_fd=held))
        case MakeSymlink():
            _make_symlink(step, context.root())
        case PivotRoot():
            enter = mount.move_root if step.move else mount.pivot_root
            enter(mount.fd_path(context.root()) if context.held else step.root, readonly=step.readonly)
            if step.propagation:
                mount.mount(None, "/", flags=step.propagation)
            context.change_root()
        case MakeConsole():
            _make_console(step, context)
        case WriteSysctl():
            _write_sysctl(step)
        case ReadonlyPath():
            mount.bind_readonly(context.root(), step.path)
        case MaskPath():
            _mask_path(step, context.root())
        case SetRlimit():
            process.set_rlimit(step.resource, soft=step.soft, hard=step.hard)
        case SetOomScore():
            _write_file("/proc/self/oom_score_adj", str(step.score))
        case Synchronise():
            context.channel.synchronise()
        case NoNewPrivileges():
            process.set_no_new_privileges()
        case LoadSeccomp():
            seccomp.install_filter(step.program)
        case DropCapabilities():
            capabilities.drop_bounding_set(step.keep)
        case SetUser():
            _set_user(step, context)
        case Exec():
            context.execute(step, context)
        case (
            MakeCgroup() | WriteCgroup() | LimitDevices() | ForkInit() | CreateVeth() | AddAddress() | SetLinkUp() | AddRoute()
            | RemoveLink() | ServeNames()
        ):  # fmt: skip
            raise AssertionError(f"{type(step).__name__} is a step of the monitor")
        case _:
            assert_never(step)


def _write_file(path: str, value: str) -> None:
    """Write *value* with one write(2): kernel files take it whole or say why not."""
    fd = os.open(path, os.O_WRONLY | os.O_CLOEXEC)
    try:
        os.write(fd, value.encode())
    except OSError as error:
        raise OSError(error.errno, error.strerror, path) from error
    finally:
        os.close(fd)


def _enter_user_namespace(step: EnterUserNamespace, context: InitContext) -> None:
    """Leave the host's users behind. Init stands in the tree that becomes the root: its path may lead through closed directories."""
    if context.staging_root and step.carries:
        context.held = hold_sources(context.steps[context.steps.index(step) + 1 :])
        os.chdir(context.staging_root)
    enter_user_namespace(step, context.pidfds.get(step.pid, -1))


def _set_clock(step: SetClockOffset) -> None:
    _write_file("/proc/self/timens_offsets", f"{step.clock} {step.seconds} {step.nanoseconds}")


def _fork_again(context: InitContext) -> None:
    child = os.fork()
    if child:
        context.channel.hand_over(child)
        process.exit_child(0)
    os.setsid()


def _join(step: Join) -> None:
    fd = os.open(step.path, os.O_RDONLY | os.O_CLOEXEC) if step.path else os.pidfd_open(step.pid)
    try:
        namespaces.setns(fd, step.namespaces)
    except OSError as error:
        raise OSError(error.errno, error.strerror, step.path or f"/proc/{step.pid}/ns") from error
    finally:
        os.close(fd)


def _populate_volume(step: PopulateVolume, context: InitContext) -> None:
    with suppress(FileNotFoundError, NotADirectoryError):  # the image has nothing at this path: the volume stays empty
        source = mount.open_in_root(context.root(), step.path, flags=os.O_RDONLY | os.O_DIRECTORY)
        held = context.held.get(step, -1)
        target = os.dup(held) if held >= 0 else os.open(step.volume, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            if not os.listdir(target):
                copy_stack((source,), target)
        finally:
            os.close(source)
            os.close(target)


def _open_parent(root_fd: int, path: str) -> tuple[int, str]:
    """Return a descriptor of the directory that *path* lies in, made if missing, and the last name."""
    parent, _, name = path.rpartition("/")
    mount.make_directories(root_fd, parent or "/")
    return mount.open_in_root(root_fd, parent or "/", flags=os.O_PATH | os.O_DIRECTORY), name


def _make_device(step: MakeDevice, root_fd: int) -> None:
    parent, name = _open_parent(root_fd, step.path)
    try:
        kind = {"b": stat.S_IFBLK, "p": stat.S_IFIFO}.get(step.type, stat.S_IFCHR)
        os.mknod(name, kind | step.mode, os.makedev(step.major, step.minor), dir_fd=parent)
        os.chmod(f"{mount.fd_path(parent)}/{name}", step.mode)  # mknod's mode went through the umask
        if step.uid or step.gid:
            os.chown(name, step.uid, step.gid, dir_fd=parent, follow_symlinks=False)
    finally:
        os.close(parent)


def _make_symlink(step: MakeSymlink, root_fd: int) -> None:
    parent, name = _open_parent(root_fd, step.path)
    try:
        with suppress(FileExistsError):  # the image brought its own
            os.symlink(step.target, name, dir_fd=parent)
    finally:
        os.close(parent)


def _make_console(step: MakeConsole, context: InitContext) -> None:
    master, slave = terminal.open_terminal("/dev/pts/ptmx")
    if step.rows and step.columns:
        terminal.set_window_size(master, rows=step.rows, columns=step.columns)
    if step.bind:
        mount.make_file(context.root(), "/dev/console")
        on_fd(context.root(), "/dev/console", lambda fd: mount.mount(mount.fd_path(slave), mount.fd_path(fd), flags=Ms.BIND))
    context.channel.send_console(master)
    os.close(master)
    terminal.make_controlling_terminal(slave)
    os.close(slave)


def _write_sysctl(step: WriteSysctl) -> None:
    path = "/proc/sys/" + step.name.replace(".", "/")
    fd = os.open(path, os.O_WRONLY | os.O_CLOEXEC)
    try:
        mount.require_filesystem(fd, mount.PROC_SUPER_MAGIC, path=path)
        os.write(fd, step.value.encode())
    finally:
        os.close(fd)


def _mask_path(step: MaskPath, root_fd: int) -> None:
    null_fd = mount.open_in_root(root_fd, "/dev/null")
    try:
        if os.fstat(null_fd).st_rdev != _NULL_DEVICE:
            raise OSError(errno.ENXIO, "`/dev/null` of the container is not the null device", step.path)
        mount.mask_path(root_fd, step.path, null_fd=null_fd)
    finally:
        os.close(null_fd)


def _set_user(step: SetUser, context: InitContext) -> None:
    """Change groups, group, user, then capabilities: the other way round each call would forbid the next."""
    identity = context.identity = context.find_identity(step, context.root())
    for fd in range(3):
        with suppress(OSError):  # a read-only or foreign file as stdio keeps its owner
            if os.fstat(fd).st_rdev != _NULL_DEVICE:  # it is everybody's, whichever node it was opened by
                os.fchown(fd, identity.uid, -1)
    process.set_keep_capabilities(True)
    process.become(identity.uid, identity.gid, identity.groups)
    process.set_keep_capabilities(False)
    capabilities.set_capabilities(step.keep, ambient=step.ambient)


@dataclass(slots=True, kw_only=True)
class MonitorContext:
    """What the monitor carries from step to step."""

    fork_init: Callable[[], int]
    """Forks init and returns its pid, or raises what it died of."""
    wait_namespaces: Callable[[], None]
    """Returns once init has made its namespaces."""
    adopt_init: Callable[[], int] = lambda: 0
    """Returns the pid of init's child, once it goes on in init's place."""
    init_pid: int = 0
    host_route: socket.socket | None = None
    container_route: socket.socket | None = None
    name_sockets: list[socket.socket] = field(default_factory=list)
    """Where `ServeNames` listens, UDP and TCP; whoever answers takes them out."""

    def close(self) -> None:
        """Close the sockets that nobody took."""
        for sock in (self.host_route, self.container_route, *self.name_sockets):
            if sock is not None:
                sock.close()


def perform_monitor_step(step: Step, context: MonitorContext) -> None:
    """Do what *step* says, as the monitor; steps of init are passed over."""
    match step:
        case MakeCgroup():
            _make_cgroup(step)
        case WriteCgroup():
            write_cgroup(step)
        case LimitDevices():
            bpf.attach_device_program(step.path, assemble_device_program([parse_device_rule(rule) for rule in step.rules]))
        case Unshare(actor=Actor.MONITOR):
            namespaces.unshare(step.namespaces)
        case Join(actor=Actor.MONITOR):
            _join(step)
        case ForkInit():
            context.init_pid = context.fork_init()
        case ForkAgain():
            context.init_pid = context.adopt_init()
        case SetClockOffset(actor=Actor.MONITOR):
            _set_clock(step)
        case SetRlimit(actor=Actor.MONITOR):
            process.set_rlimit(step.resource, soft=step.soft, hard=step.hard, pid=context.init_pid)
        case CreateVeth():
            _create_veth(step, context)
        case AddAddress():
            netlink.add_address(_container_route(context), step.link, step.address)
        case SetLinkUp():
            netlink.set_link_up(_container_route(context), step.link, ipv6=step.ipv6)  # off: CVE-2024-32473
        case AddRoute():
            netlink.add_route(_container_route(context), step.gateway, destination=step.destination, replace=True)
        case RemoveLink():
            netlink.delete_link(_host_route(context), step.link)
        case ServeNames():
            _serve_names(step, context)
        case _:
            pass  # init performs it


def _make_cgroup(step: MakeCgroup) -> None:
    """Make the directory and its parents; v1 cpusets must be filled from above, v2 controllers handed down."""
    names = step.path.removeprefix(f"{step.root}/").split("/")
    parent = step.root
    for name in names:
        directory = f"{parent}/{name}"
        for controller in step.controllers:
            with suppress(OSError):  # a busy or missing controller shows when a limit is written
                _write_file(f"{parent}/cgroup.subtree_control", f"+{controller}")
        with suppress(FileExistsError):
            os.mkdir(directory)
        for file in step.inherit:
            if not Path(directory, file).read_text(encoding="ascii").strip():  # new, or made by somebody who left it empty
                _write_file(f"{directory}/{file}", Path(parent, file).read_text(encoding="ascii").strip())
        parent = directory


def write_cgroup(step: WriteCgroup) -> None:
    """Write one limit; a missing file is fine where the step says so."""
    try:
        _write_file(step.path, step.value)
    except FileNotFoundError:
        if not step.optional:
            raise


def _host_route(context: MonitorContext) -> socket.socket:
    """Return a netlink socket in the monitor's own namespace, the host's."""
    if context.host_route is None:
        context.host_route = netlink.open_route_socket()
    return context.host_route


def _container_route(context: MonitorContext) -> socket.socket:
    """Return a netlink socket inside init's network namespace: a socket belongs to where it was made, for good."""
    if context.container_route is None:
        with _entered(context.init_pid, Clone.NEWNET):
            context.container_route = netlink.open_route_socket()
    return context.container_route


class _entered:  # noqa: N801 - reads as a verb in a with statement
    """Stand in another process's namespace for the length of a block."""

    def __init__(self, pid: int, namespace: Clone) -> None:
        self._pid, self._namespace = pid, namespace

    def __enter__(self) -> None:
        self._home = namespaces.open_namespace("self", self._namespace)
        away = namespaces.open_namespace(self._pid, self._namespace)
        namespaces.setns(away, self._namespace)
        os.close(away)

    def __exit__(self, *_exception: object) -> None:
        namespaces.setns(self._home, self._namespace)
        os.close(self._home)


def _create_veth(step: CreateVeth, context: MonitorContext) -> None:
    context.wait_namespaces()
    route = _host_route(context)
    bridge = netlink.find_link(route, step.bridge)
    if bridge is None:
        raise OSError(errno.ENODEV, f"no network bridge {step.bridge}: it was removed behind our back", step.bridge)
    fd = namespaces.open_namespace(context.init_pid, Clone.NEWNET)
    try:
        netlink.create_veth(
            route, host_name=step.host_name, container_name=step.container_name, container_netns_fd=fd,
            bridge_index=bridge.index, mac_address=step.mac_address, mtu=step.mtu,
        )  # fmt: skip
        if step.isolated:
            netlink.isolate_port(route, step.host_name)
    finally:
        os.close(fd)


def _serve_names(step: ServeNames, context: MonitorContext) -> None:
    """Bind the sockets inside the container's namespace; without nf_tables in the kernel they have port 53 itself."""
    context.wait_namespaces()
    with _entered(context.init_pid, Clone.NEWNET):
        sockets = [_bind_names(kind, step.address, 0) for kind in (socket.SOCK_DGRAM, socket.SOCK_STREAM)]
        ports = [str(sock.getsockname()[1]) for sock in sockets]
        try:
            with netlink.open_netfilter_socket() as netfilter:
                table = plan_name_redirect(step.address, udp_port=ports[0], tcp_port=ports[1])
                try:
                    netlink.send_batch(netfilter, render_batch(create_table_messages(table)), subject=table.name)
                except FileExistsError:  # the container left its last network with names, and now enters another
                    netlink.send_batch(netfilter, render_batch(replace_table_messages(table)), subject=table.name)
        except OSError:
            for sock in sockets:
                sock.close()
            sockets = [_bind_names(kind, step.address, NAME_PORT) for kind in (socket.SOCK_DGRAM, socket.SOCK_STREAM)]
    context.name_sockets = sockets


def _bind_names(kind: socket.SocketKind, address: str, port: int) -> socket.socket:
    sock = socket.socket(socket.AF_INET, kind | socket.SOCK_CLOEXEC | socket.SOCK_NONBLOCK)
    try:
        sock.setsockopt(socket.IPPROTO_IP, IP_FREEBIND, 1)  # init may not have switched `lo` on yet
        sock.bind((address, port))
        if kind == socket.SOCK_STREAM:
            sock.listen()
    except OSError:
        sock.close()
        raise
    return sock
