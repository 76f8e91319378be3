"""What the kernel knows, as records: mounts, file systems, namespaces, processes.

Pure. The rule of the model: a *system call* is a function `(linux, pid, …) -> linux`. It takes the state of a whole machine and
the calling process, and returns the next state, or raises the `OSError` that the kernel would; then nothing has changed, since
nothing can. Two states can be compared, which is how `run --explain --simulate` shows what a step did.

| records | in the kernel's source | page |
|---|---|---|
| `FileSystem` | `struct super_block` | mount(2) |
| `Mount`, `Place` | `struct mount`, `struct path` | mount_namespaces(7) |
| `Process`, `Credentials` | `struct task_struct`, `struct cred` | credentials(7), capabilities(7) |
| `Uts`, `Net`, `Pid`, … | `struct nsproxy` and what it points to | namespaces(7) |

Chapter 16.
"""

from __future__ import annotations

import errno
import posixpath
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Final

from minidocker.codec.idmap import IdRange
from minidocker.codec.nftables import Table
from minidocker.codec.rtnetlink import Link, LinkAddress, Route
from minidocker.kernel.flags import CAPABILITIES, Clone, Ms, Rlimit

__all__ = [
    "ALL_CAPABILITIES", "DIRECTORY", "CgroupRoots", "Credentials", "FileSystem", "Ipc", "Linux", "Mount", "Mounts", "Namespace",
    "Net", "Node", "NodeKind", "Pid", "Place", "Process", "Time", "User", "Uts", "fail", "require_capability",
]  # fmt: skip

ALL_CAPABILITIES: Final = frozenset(CAPABILITIES)


class NodeKind:
    """What a name of a directory can stand for; `st_mode` of inode(7), as `ls -l` and find(1) write it."""

    DIRECTORY, FILE, SYMLINK, CHARACTER, BLOCK = "d", "f", "l", "c", "b"


@dataclass(frozen=True, slots=True, kw_only=True)
class Node:
    """One file of any kind; only as much of it as mounts and look-ups need."""

    kind: str = NodeKind.FILE
    content: str = ""
    """Of a file the text, of a symbolic link the target, of a device `major:minor`."""


DIRECTORY: Final = Node(kind=NodeKind.DIRECTORY)


@dataclass(frozen=True, slots=True, kw_only=True)
class FileSystem:
    """A file system in memory or on a disk, mounted or not; several mounts may show parts of it."""

    id: int
    device: str
    """`major:minor`, which mountinfo shows; anonymous ones have major 0."""
    fstype: str
    options: tuple[str, ...] = ()
    """What its own `show_options` prints, after `rw` or `ro`."""
    readonly: bool = False
    owner: int = 0
    """Namespace that it shows: of a procfs the pid namespace, of a sysfs the network's, of an mqueue the ipc namespace."""
    hierarchy: int = -1
    """Number of a control group tree in `/proc/PID/cgroup`; -1 for anything else."""
    controllers: tuple[str, ...] = ()
    files: Mapping[str, Node] = field(default_factory=lambda: {"/": DIRECTORY})
    """By path from its own root."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Mount:
    """A directory (or file) of a file system, shown at a place of another mount."""

    id: int
    parent: int
    """Its own id at the top of a namespace."""
    mount_point: str
    """Where it is attached: a path in the file system of the parent."""
    namespace: int
    file_system: int
    root: str = "/"
    """The directory of the file system that is shown."""
    source: str = ""
    flags: Ms = Ms(0)
    """Those that belong to a mount: RDONLY, NOSUID, NODEV, NOEXEC and the ones for access times."""
    peer_group: int = 0
    """Shared: mounts with this number receive each other's changes."""
    master: int = 0
    """Slave: receives the changes of this peer group, and sends none."""
    unbindable: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """A file as the kernel holds on to it: not by name, but by mount and path in its file system."""

    mount: int
    path: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Mounts:
    """A mount namespace: the mount at its top; see mount_namespaces(7)."""

    top: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Uts:
    """Names of the machine; see uts_namespaces(7)."""

    hostname: str = ""
    domainname: str = "(none)"


@dataclass(frozen=True, slots=True, kw_only=True)
class Pid:
    """Process numbers; see pid_namespaces(7)."""

    parent: int = 0
    next_number: int = 1
    is_dead: bool = False
    """Whether its process 1 has ended: nobody can be born into it any more."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Ipc:
    """Message queues and shared memory: here only the parameters; see ipc_namespaces(7)."""

    sysctls: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Net:
    """Links, addresses, routes, filter rules; see network_namespaces(7)."""

    links: tuple[Link, ...] = (Link(index=1, name="lo", mtu=65536),)
    addresses: tuple[LinkAddress, ...] = ()
    routes: tuple[Route, ...] = ()
    tables: tuple[Table, ...] = ()
    isolated: frozenset[str] = frozenset()
    """Ports of bridges that reach no other isolated port."""
    sysctls: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class CgroupRoots:
    """A cgroup namespace: the group that is its root, for each tree; see cgroup_namespaces(7)."""

    roots: Mapping[int, str] = field(default_factory=dict)
    """By number of the tree; a tree that is missing is seen whole."""


@dataclass(frozen=True, slots=True, kw_only=True)
class User:
    """User and group numbers; see user_namespaces(7)."""

    parent: int = 0
    uid_map: tuple[IdRange, ...] = ()
    """Empty: nobody has a number yet."""
    gid_map: tuple[IdRange, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Time:
    """Clocks; see time_namespaces(7)."""

    offsets: Mapping[str, tuple[int, int]] = field(default_factory=dict)
    """Seconds and nanoseconds by which a clock differs from the machine's."""


Namespace = Mounts | Uts | Pid | Ipc | Net | CgroupRoots | User | Time
"""Any namespace."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Credentials:
    """Who a process is and what it may do; see credentials(7) and capabilities(7)."""

    uids: tuple[int, int, int, int] = (0, 0, 0, 0)
    """Real, effective, saved and for the file system."""
    gids: tuple[int, int, int, int] = (0, 0, 0, 0)
    groups: tuple[int, ...] = ()
    inheritable: frozenset[str] = frozenset()
    permitted: frozenset[str] = ALL_CAPABILITIES
    effective: frozenset[str] = ALL_CAPABILITIES
    bounding: frozenset[str] = ALL_CAPABILITIES
    ambient: frozenset[str] = frozenset()
    keep_capabilities: bool = False
    """SECBIT_KEEP_CAPS: the permitted set survives a change of user."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Process:
    """A process."""

    pid: int
    """Its number in the first pid namespace."""
    parent: int
    name: str
    namespaces: Mapping[Clone, int]
    children_pid_namespace: int
    """Where the next child is born: unshare(CLONE_NEWPID) changes this, never the caller's own numbers."""
    numbers: tuple[tuple[int, int], ...]
    """(pid namespace, number in it), from the outermost in: `NSpid`."""
    root: Place
    cwd: Place
    credentials: Credentials = Credentials()
    no_new_privileges: bool = False
    filters: int = 0
    """How many system call filters lie on top of each other."""
    limits: Mapping[Rlimit, tuple[int, int]] = field(default_factory=dict)
    """Soft and hard; -1 is unlimited."""
    oom_score_adj: int = 0
    umask: int = 0o022
    groups: Mapping[int, str] = field(default_factory=dict)
    """Control group in each tree, by number of the tree."""
    session: int = 0
    """Pid of the session's leader, also that of the process group here."""
    has_terminal: bool = False
    argv: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Linux:
    """A whole machine at one instant."""

    mounts: Mapping[int, Mount] = field(default_factory=dict)
    file_systems: Mapping[int, FileSystem] = field(default_factory=dict)
    namespaces: Mapping[int, Namespace] = field(default_factory=dict)
    owners: Mapping[int, int] = field(default_factory=dict)
    """The user namespace that a namespace was made in, where it is not the first one; only its root has power over it."""
    processes: Mapping[int, Process] = field(default_factory=dict)
    cables: tuple[tuple[tuple[int, int], tuple[int, int]], ...] = ()
    """veth pairs: the two ends as (network namespace, link index)."""
    sysctls: Mapping[str, str] = field(default_factory=dict)
    """Parameters that belong to no namespace."""
    trees: Mapping[str, Mapping[str, Node]] = field(default_factory=dict)
    """What a new `proc` or `sysfs` shows on this machine, as far as plans care."""
    last_id: int = 0
    """The newest of all ids: mounts, file systems, namespaces, peer groups and processes are counted together."""

    def new_id(self) -> tuple[Linux, int]:
        """Return a state in which one more id is taken, and the id."""
        return replace(self, last_id=self.last_id + 1), self.last_id + 1

    def with_mounts(self, *mounts: Mount) -> Linux:
        """Return this with *mounts* added or replaced."""
        return replace(self, mounts={**self.mounts, **{m.id: m for m in mounts}})

    def with_file_system(self, file_system: FileSystem) -> Linux:
        """Return this with *file_system* added or replaced."""
        return replace(self, file_systems={**self.file_systems, file_system.id: file_system})

    def with_namespace(self, number: int, namespace: Namespace) -> Linux:
        """Return this with a namespace added or replaced."""
        return replace(self, namespaces={**self.namespaces, number: namespace})

    def with_process(self, process: Process) -> Linux:
        """Return this with *process* added or replaced."""
        return replace(self, processes={**self.processes, process.pid: process})

    def user_of(self, pid: int) -> tuple[int, User]:
        """Return the user namespace of a process, with its number."""
        number = self.processes[pid].namespaces[Clone.NEWUSER]
        namespace = self.namespaces[number]
        assert isinstance(namespace, User)
        return number, namespace

    def net_of(self, pid: int) -> tuple[int, Net]:
        """Return the network namespace of a process, with its number."""
        number = self.processes[pid].namespaces[Clone.NEWNET]
        namespace = self.namespaces[number]
        assert isinstance(namespace, Net)
        return number, namespace

    def file_system_at(self, place: Place) -> FileSystem:
        """Return the file system that *place* lies in."""
        return self.file_systems[self.mounts[place.mount].file_system]

    def node_at(self, place: Place) -> Node:
        """Return the file at *place*."""
        return self.file_system_at(place).files[posixpath.normpath(place.path)]


def fail(number: int, text: str, path: str = "") -> OSError:
    """Return the error *number*, with the rule that was broken in place of the C library's words."""
    return OSError(number, text, path or None)


def require_capability(process: Process, name: str, what: str, *, number: int = errno.EPERM) -> None:
    """Raise unless *process* has a capability in its effective set."""
    if name not in process.credentials.effective:
        raise fail(number, f"{what} takes {name}")
