"""Where the control groups of this machine are.

Version 2 is one tree with all controllers; version 1 is one tree for each set of controllers; a hybrid machine has both and
keeps its controllers in version 1. Pure but for `read_layout` and `find_delegated_layout`.
"""

from __future__ import annotations

import os
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from minidocker.codec.mountinfo import MountInfo, parse_mountinfo

__all__ = ["EXAMPLE_LAYOUT", "CgroupLayout", "Hierarchy", "find_delegated_layout", "find_layout", "find_own_procs", "read_layout"]

_V1_NAMES = frozenset(
    ["blkio", "cpu", "cpuacct", "cpuset", "devices", "freezer", "hugetlb", "memory", "net_cls", "net_prio", "perf_event", "pids", "rdma", "misc"]
)


SERVER_GROUP = "minidocker-server"
"""Where a server without root lives in the group that was handed over to it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Hierarchy:
    """One mounted tree of control groups."""

    mount_point: str
    controllers: tuple[str, ...]
    """v1: what the tree controls, `name=systemd` for one that controls nothing; nothing for the v2 tree of a hybrid machine.
    v2: everything available."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CgroupLayout:
    """The control group trees of a machine."""

    version: int
    """1, 2, or 0 where none is mounted."""
    hierarchies: tuple[Hierarchy, ...] = ()

    def find(self, controller: str) -> Hierarchy | None:
        """Return the tree that has *controller*."""
        return next((h for h in self.hierarchies if controller in h.controllers), None)

    def directory(self, controller: str, name: str) -> str | None:
        """Return the directory of group *name* where *controller* is, or None where the machine lacks it."""
        hierarchy = self.find(controller)
        return f"{hierarchy.mount_point}/{name}" if hierarchy else None


EXAMPLE_LAYOUT = CgroupLayout(
    version=2,
    hierarchies=(Hierarchy(mount_point="/sys/fs/cgroup", controllers=("cpuset", "cpu", "io", "memory", "pids")),),
)
"""What `--dry-run` assumes where it cannot look: one tree, as on current distributions."""


def find_layout(mounts: tuple[MountInfo, ...], *, v2_controllers: str = "") -> CgroupLayout:
    """Return the layout that a mount table shows; *v2_controllers* is the root's `cgroup.controllers`."""
    v1 = tuple(
        Hierarchy(mount_point=m.mount_point, controllers=controllers)
        for m in mounts
        if m.fstype == "cgroup" and (controllers := _v1_controllers(m))
    )
    unified = next((m.mount_point for m in mounts if m.fstype == "cgroup2"), None)
    if v1:
        return CgroupLayout(version=1, hierarchies=(*v1, *((Hierarchy(mount_point=unified, controllers=()),) if unified else ())))
    if unified is None:
        return CgroupLayout(version=0)
    return CgroupLayout(
        version=2, hierarchies=(Hierarchy(mount_point=unified, controllers=tuple(v2_controllers.split())),)
    )


def _v1_controllers(mount: MountInfo) -> tuple[str, ...]:
    return tuple(word for word in mount.super_options if word in _V1_NAMES or word.startswith("name="))


def find_own_procs(layout: CgroupLayout, membership: str) -> str:
    """Return the `cgroup.procs` of the group that a process is in, from its `/proc/PID/cgroup`; empty if it has none.

    A line is `number:controllers:path`, with number 0 and no controllers for version 2; see cgroups(7).
    """
    for line in membership.splitlines():
        _number, controllers, path = line.split(":", 2)
        for tree in layout.hierarchies:
            if controllers == (",".join(tree.controllers) if layout.version == 1 else ""):
                return f"{tree.mount_point}{path.rstrip('/')}/cgroup.procs"
    return ""


def find_delegated_layout(layout: CgroupLayout) -> CgroupLayout:
    """Return the part of *layout* that was handed over to us, none if nothing was; we move to a group of our own in it.

    Delegation is the right to write into the directory of one's own group. A group with processes hands no controllers down, so that
    the server, and who else is in its group, may not stay where they are; see cgroups(7), "Delegation".
    """
    own = Path(find_own_procs(layout, Path("/proc/self/cgroup").read_text(encoding="utf-8"))).parent
    if layout.version != 2 or not os.access(own / "cgroup.procs", os.W_OK) or not os.access(own, os.W_OK):
        return CgroupLayout(version=0)
    base = own.parent if own.name == SERVER_GROUP else own
    try:
        (base / SERVER_GROUP).mkdir(exist_ok=True)
        for pid in (str(os.getpid()), *(base / "cgroup.procs").read_text(encoding="ascii").split()):
            with suppress(ProcessLookupError):  # it ended meanwhile
                (base / SERVER_GROUP / "cgroup.procs").write_text(pid, encoding="ascii")
        controllers = (base / "cgroup.controllers").read_text(encoding="ascii").split()
        for controller in controllers:
            (base / "cgroup.subtree_control").write_text(f"+{controller}", encoding="ascii")
    except OSError:
        return CgroupLayout(version=0)
    return CgroupLayout(version=2, hierarchies=(Hierarchy(mount_point=str(base), controllers=tuple(controllers)),))


def read_layout() -> CgroupLayout:
    """Return the layout of this machine."""
    mounts = parse_mountinfo(Path("/proc/self/mountinfo").read_text(encoding="utf-8", errors="surrogateescape"))
    unified = next((m.mount_point for m in mounts if m.fstype == "cgroup2"), None)
    path = Path(unified or "/nonexistent", "cgroup.controllers")
    return find_layout(mounts, v2_controllers=path.read_text(encoding="ascii") if path.exists() else "")
