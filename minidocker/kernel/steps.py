"""Steps: what a container is, as data.

Pure. `minidocker.container.plan` turns a configuration into a tuple of these records; the order of the tuple is the
order on the machine. The same tuple has several readers: `perform` does it, `explain` prints it, tests assert on it.
Each reader matches on the type and ends in `assert_never`, so that the type checker finds the reader that forgot one.

Two processes perform the tuple. The **monitor** lives in the host's namespaces and stays as the parent; **init**
is born by `ForkInit` and becomes the container's command at `Exec`. They run side by side and meet at `Synchronise`.

| monitor                              | init                                       |
|--------------------------------------|--------------------------------------------|
| `MakeCgroup`, `WriteCgroup`          |                                            |
| `Unshare` (pid), `ForkInit`          | `Unshare` (the others)                     |
| `CreateVeth`, `AddAddress`, …        | `JoinCgroup`, `Mount`, `PivotRoot`, `MaskPath`, …        |
| `Synchronise` ⇄                      | `Synchronise` ⇄                            |
|                                      | `DropCapabilities`, `LoadSeccomp`, `Exec`  |

Every step carries *why*, one sentence for the person who reads `run --explain`. Chapter 16.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import ClassVar

from minidocker.codec.idmap import IdRange
from minidocker.kernel.flags import Clone, Ms, Rlimit

__all__ = [
    "Actor", "AddAddress", "AddRoute", "BindDevice", "CreateVeth", "DropCapabilities", "EnterUserNamespace", "Exec", "ForkAgain", "ForkInit", "Join",
    "JoinCgroup", "LimitDevices", "LoadSeccomp", "MakeCgroup", "MakeConsole", "MakeDevice", "MakeDirectory", "MakeSymlink", "MaskPath", "Mount",
    "NoNewPrivileges", "PivotRoot", "PopulateVolume", "ReadonlyPath", "SetClockOffset", "SetHostname", "SetLinkUp", "SetLoopbackUp", "SetOomScore",
    "SetRlimit", "SetUser", "Step", "Synchronise", "Unshare", "WriteCgroup", "WriteSysctl", "actor_of",
]  # fmt: skip


class Actor(StrEnum):
    """Which of the two processes performs a step."""

    MONITOR = "monitor"
    INIT = "init"


@dataclass(frozen=True, slots=True, kw_only=True)
class MakeCgroup:
    """Make a control group directory, and on v2 hand its parents' controllers down to it."""

    TAGGED: ClassVar[bool] = True
    path: str
    controllers: tuple[str, ...] = ()
    """v2: controllers to enable in every ancestor's `cgroup.subtree_control`."""
    inherit: tuple[str, ...] = ()
    """v1: files that start empty and must be filled from the parent's, `cpuset.cpus` and `cpuset.mems`."""
    root: str = "/sys/fs/cgroup"
    """The mount point of the hierarchy that *path* lies in."""
    why: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class WriteCgroup:
    """Write one limit into one control group file."""

    TAGGED: ClassVar[bool] = True
    path: str
    value: str
    optional: bool = False
    """Whether a kernel without this file (swap accounting off) is good enough."""
    why: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class LimitDevices:
    """Attach a program to a v2 control group that allows the devices in *rules* (`c 1:3 rwm`) and no others."""

    TAGGED: ClassVar[bool] = True
    path: str
    rules: tuple[str, ...]
    why: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class ForkInit:
    """Fork the process that becomes the container's PID 1."""

    TAGGED: ClassVar[bool] = True
    why: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class JoinCgroup:
    """Init moves itself into a control group, before it makes a cgroup namespace rooted there."""

    TAGGED: ClassVar[bool] = True
    path: str
    why: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Unshare:
    """Make new namespaces; see unshare(2). A new pid namespace takes effect at the next fork."""

    TAGGED: ClassVar[bool] = True
    namespaces: Clone
    actor: Actor
    why: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Join:
    """Enter namespaces of a running process, through its pidfd, or a namespace that a file stands for; see setns(2)."""

    TAGGED: ClassVar[bool] = True
    pid: int = 0
    """Host pid of the process whose namespaces are entered."""
    path: str = ""
    """Instead of a process: a file of the host that stands for one namespace, such as `/run/netns/NAME`."""
    namespaces: Clone
    actor: Actor
    why: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class EnterUserNamespace:
    """Become root of a new user namespace with these maps, or of the one that process *pid* is in; see user_namespaces(7).

    What later steps bind from the host is taken along as detached copies of its mounts: whoever init is from here on may not walk
    the host's paths to it.
    """

    TAGGED: ClassVar[bool] = True
    uid_map: tuple[IdRange, ...]
    gid_map: tuple[IdRange, ...]
    pid: int = 0
    """Host pid of a process in the namespace; 0: a new one is made."""
    path: str = ""
    """Instead of a process: a file of the host that stands for the namespace."""
    carries: bool = True
    """Whether what later steps bind is taken along; a user who may not mount yet takes nothing."""
    why: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class SetClockOffset:
    """Say by how much a clock differs in the time namespace for children, while nobody is in it; see time_namespaces(7)."""

    TAGGED: ClassVar[bool] = True
    clock: str
    """`monotonic` or `boottime`."""
    seconds: int
    nanoseconds: int = 0
    actor: Actor = Actor.INIT
    why: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class ForkAgain:
    """Go on as init's child, the first of the pid namespace that init has just made; the monitor becomes its parent."""

    TAGGED: ClassVar[bool] = True
    why: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class CreateVeth:
    """Make a pair of virtual network cards: one end on the host's bridge, the other inside the container."""

    TAGGED: ClassVar[bool] = True
    host_name: str
    container_name: str
    bridge: str
    mac_address: str = ""
    mtu: int = 0
    """Largest packet; 0 is the kernel's 1500."""
    isolated: bool = False
    """Whether the bridge passes nothing between it and other isolated ones."""
    why: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class AddAddress:
    """Give a network card inside the container an address with its prefix length (`172.17.0.2/16`)."""

    TAGGED: ClassVar[bool] = True
    link: str
    address: str
    why: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class SetLinkUp:
    """Switch a network card inside the container on."""

    TAGGED: ClassVar[bool] = True
    link: str
    ipv6: bool = False
    """Whether it may make itself a link-local IPv6 address; without, nothing of IPv6 gets past the IPv4 rules."""
    why: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class SetLoopbackUp:
    """Switch `lo` on inside the network namespace just made; init does it itself."""

    TAGGED: ClassVar[bool] = True
    why: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class AddRoute:
    """Add a route inside the container; an empty *destination* is the default route."""

    TAGGED: ClassVar[bool] = True
    gateway: str
    destination: str = ""
    why: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class RemoveLink:
    """Remove a cable by its plug in the host; the one in the container goes with it."""

    TAGGED: ClassVar[bool] = True
    link: str
    why: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class ServeNames:
    """Listen for questions about names on an address of the container's own loopback.

    The sockets get ports of their own, to which port 53 of the address is redirected inside the container: a name server
    that runs in the container can have the real one.
    """

    TAGGED: ClassVar[bool] = True
    address: str = "127.0.0.11"
    why: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class SetHostname:
    """Set the host and domain name of the UTS namespace."""

    TAGGED: ClassVar[bool] = True
    hostname: str
    domainname: str = ""
    why: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Mount:
    """Mount something on a path *inside* the container's root; see mount(2).

    The target is resolved with the container's root as `/` (openat2 RESOLVE_IN_ROOT), so that a symbolic link in an
    image cannot lead out of it.
    """

    TAGGED: ClassVar[bool] = True
    source: str
    source_pid: int = 0
    """Host pid of the process in whose mount namespace *source* lies; 0: the host's."""
    target: str
    subpath: str = ""
    """What of the directory *source* is bound; links in it are resolved as if *source* were `/`, so that they cannot lead out."""
    fstype: str = ""
    flags: Ms = Ms(0)
    data: str = ""
    cwd: str = ""
    """Directory to stand in while mounting, so that overlay's layer names stay short (one page in all)."""
    host_target: bool = False
    """Whether *target* is a path of the host: propagation of `/`, and the root file system itself."""
    create: str = ""
    """`dir` or `file`: make a missing mount point of that kind; `source`: of the kind that the source is of."""
    recursive: Ms = Ms(0)
    """Flags that hold for all mounts below as well; see mount_setattr(2)."""
    copy_up: bool = False
    """Whether what was at *target* is copied into the new file system."""
    optional: bool = False
    """Whether a kernel without this file system is good enough."""
    why: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class MakeDirectory:
    """Make a directory and its missing parents inside the container's root."""

    TAGGED: ClassVar[bool] = True
    path: str
    why: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class PopulateVolume:
    """Copy what the image has at *path* into a volume that is still empty."""

    TAGGED: ClassVar[bool] = True
    path: str
    volume: str
    """Host path of the volume's data."""
    why: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class MakeDevice:
    """Make a device node; see mknod(2)."""

    TAGGED: ClassVar[bool] = True
    path: str
    type: str
    """`c`, `b`, or `p` for a pipe."""
    major: int
    minor: int
    mode: int = 0o666
    uid: int = 0
    gid: int = 0
    why: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class BindDevice:
    """Bind a device node of the host, where making one is not allowed (a user namespace)."""

    TAGGED: ClassVar[bool] = True
    host_path: str
    path: str
    type: str = "c"
    major: int = 0
    minor: int = 0
    why: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class MakeSymlink:
    """Make a symbolic link, unless something is there."""

    TAGGED: ClassVar[bool] = True
    path: str
    target: str
    why: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class PivotRoot:
    """Make the prepared tree the root and drop the host's; see pivot_root(2)."""

    TAGGED: ClassVar[bool] = True
    root: str
    """Host path of the prepared tree."""
    readonly: bool = False
    """Whether the root is remounted read-only at the end."""
    propagation: Ms = Ms(0)
    """How mounts travel from and to the new root; 0 is as they were."""
    move: bool = False
    """Whether the tree is moved over the root instead, where pivot_root(2) cannot be: on the first root of a machine, a ramdisk."""
    why: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class MakeConsole:
    """Open a terminal in the container's own devpts, give its master to the monitor and make it the stdio."""

    TAGGED: ClassVar[bool] = True
    rows: int = 0
    columns: int = 0
    bind: bool = True
    """Whether it also becomes `/dev/console`; the terminal of an exec does not."""
    why: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class WriteSysctl:
    """Set a kernel parameter that belongs to one of the new namespaces."""

    TAGGED: ClassVar[bool] = True
    name: str
    """With dots, such as `net.ipv4.ip_unprivileged_port_start`."""
    value: str
    why: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class ReadonlyPath:
    """Make a path of `/proc` read-only by binding it onto itself; a missing one is fine."""

    TAGGED: ClassVar[bool] = True
    path: str
    why: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class MaskPath:
    """Hide a file behind `/dev/null`, a directory behind an empty tmpfs; a missing one is fine."""

    TAGGED: ClassVar[bool] = True
    path: str
    why: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class SetRlimit:
    """Limit a resource of the process; see prlimit(2). `-1` is unlimited."""

    TAGGED: ClassVar[bool] = True
    resource: Rlimit
    soft: int
    hard: int
    actor: Actor = Actor.INIT
    """The monitor, where init has left the user namespace in which raising a limit is allowed."""
    why: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class SetOomScore:
    """Tell the kernel how early to sacrifice this process; see proc(5), `oom_score_adj`."""

    TAGGED: ClassVar[bool] = True
    score: int
    why: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Synchronise:
    """Monitor and init wait for each other: the network is there, and whoever watches has been told."""

    TAGGED: ClassVar[bool] = True
    why: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class NoNewPrivileges:
    """Forbid gaining privileges through execve(2); see PR_SET_NO_NEW_PRIVS."""

    TAGGED: ClassVar[bool] = True
    why: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class LoadSeccomp:
    """Install a system call filter; see seccomp(2)."""

    TAGGED: ClassVar[bool] = True
    program: bytes
    """`struct sock_filter[]` as `minidocker.codec.bpf` assembles it."""
    profile: str
    """What it came from: `default` or a file name."""
    why: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class DropCapabilities:
    """Reduce the bounding set now; `SetUser` sets the other sets when the user is final. See capabilities(7)."""

    TAGGED: ClassVar[bool] = True
    keep: tuple[str, ...]
    """Names such as `CAP_CHOWN`."""
    why: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class SetUser:
    """Become the user of the container, by name or number as Docker's `--user` says; see credentials(7).

    Names are looked up in the container's own `/etc/passwd` and `/etc/group`.
    """

    TAGGED: ClassVar[bool] = True
    user: str
    """`""`, `uid`, `name`, `uid:gid`, `name:group`, …"""
    extra_groups: tuple[str, ...] = ()
    keep: tuple[str, ...] = ()
    """Capabilities for the permitted and effective sets; a user other than root loses them at execve."""
    ambient: tuple[str, ...] = ()
    """Capabilities that a user other than root keeps over execve; see capabilities(7), "Ambient"."""
    why: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Exec:
    """Become the command: find it in the container's `PATH`, close everything, execve(2)."""

    TAGGED: ClassVar[bool] = True
    argv: tuple[str, ...]
    env: tuple[str, ...]
    cwd: str = "/"
    init: bool = False
    """`--init`: stay as PID 1 that forwards signals and reaps, and run the command as its child."""
    detached: bool = False
    """Whether the command may outlive the process that made it; otherwise the kernel kills it when its monitor is killed."""
    preserve_fds: int = 0
    """How many of the caller's descriptors from 3 upwards the command keeps."""
    why: str = ""


Step = (
    MakeCgroup | WriteCgroup | LimitDevices | ForkInit | ForkAgain | JoinCgroup | Unshare | Join | EnterUserNamespace | SetClockOffset | CreateVeth | AddAddress | SetLinkUp
    | SetLoopbackUp | AddRoute | RemoveLink | ServeNames | SetHostname | Mount | MakeDirectory | PopulateVolume | MakeDevice | BindDevice | MakeSymlink | PivotRoot | MakeConsole
    | WriteSysctl | ReadonlyPath | MaskPath | SetRlimit | SetOomScore | Synchronise | NoNewPrivileges | LoadSeccomp
    | DropCapabilities | SetUser | Exec
)  # fmt: skip
"""Any step."""

_MONITOR_STEPS = (MakeCgroup, WriteCgroup, LimitDevices, ForkInit, CreateVeth, AddAddress, SetLinkUp, AddRoute, RemoveLink, ServeNames)


def actor_of(step: Step) -> Actor:
    """Return who performs *step*; `Synchronise` belongs to both and counts as init's."""
    if isinstance(step, Unshare | Join | SetRlimit | SetClockOffset):
        return step.actor
    return Actor.MONITOR if isinstance(step, _MONITOR_STEPS) else Actor.INIT
