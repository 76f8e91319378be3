"""Control groups: directories that the kernel fills with files, and what it makes of what is written there.

Pure. A group is a directory of a `cgroup` or `cgroup2` file system. `DEFAULTS` is what the files hold when `mkdir` returns;
`write_group_file` is what a write changes, with the kernel's roundings and refusals. See cgroups(7) and the kernel's
`admin-guide/cgroup-v1/` and `cgroup-v2.rst`. Chapter 17.
"""

from __future__ import annotations

import errno
import posixpath
from collections.abc import Mapping
from dataclasses import replace
from typing import Final

from minidocker.simulator.files import put_node, resolve
from minidocker.simulator.filesystems import PAGE_BYTES
from minidocker.simulator.linux import DIRECTORY, FileSystem, Linux, Node, Place, fail

__all__ = ["DEFAULTS_V1", "DEFAULTS_V2", "join_group", "make_group", "members_of", "read_group", "set_device_rules", "write_group_file"]

UNLIMITED: Final = str((2**63 - 1) // PAGE_BYTES * PAGE_BYTES)
"""v1's word for no memory limit: the largest number of whole pages."""

DEFAULTS_V1: Final[Mapping[str, Mapping[str, str]]] = {
    "memory": {
        "memory.limit_in_bytes": UNLIMITED, "memory.memsw.limit_in_bytes": UNLIMITED, "memory.soft_limit_in_bytes": UNLIMITED,
        "memory.swappiness": "60", "memory.oom_control": "oom_kill_disable 0\nunder_oom 0\noom_kill 0",
    },
    "cpu": {"cpu.shares": "1024", "cpu.cfs_period_us": "100000", "cpu.cfs_quota_us": "-1"},
    "cpuset": {"cpuset.cpus": "", "cpuset.mems": ""},
    "pids": {"pids.max": "max"},
    "devices": {"devices.list": "a *:* rwm", "devices.allow": "", "devices.deny": ""},
    "freezer": {"freezer.state": "THAWED"},
    "blkio": {"blkio.bfq.weight": "100"},
}  # fmt: skip
"""Controller → its files in a new group, as far as they can be set."""

DEFAULTS_V2: Final[Mapping[str, Mapping[str, str]]] = {
    "memory": {"memory.max": "max", "memory.low": "0", "memory.swap.max": "max"},
    "cpu": {"cpu.max": "max 100000", "cpu.weight": "100"},
    "cpuset": {"cpuset.cpus": "", "cpuset.mems": ""},
    "io": {"io.weight": "default 100"},
    "pids": {"pids.max": "max"},
}

_RANGES: Final = {"cpu.shares": (2, 262144), "cpu.weight": (1, 10000), "memory.swappiness": (0, 200), "cpu.cfs_period_us": (1000, 1000000)}


def make_group(linux: Linux, root: Place, path: str) -> Linux:
    """Do mkdir(2) in a control group tree: the kernel fills the directory.

    Raises:
        OSError: EEXIST, ENOENT.
    """
    parent = resolve(linux, root, posixpath.dirname(path))
    tree = linux.file_system_at(parent)
    place = posixpath.join(parent.path, posixpath.basename(path))
    if place in tree.files:
        raise fail(errno.EEXIST, "the group exists", path)
    if tree.fstype == "cgroup":
        controllers, defaults = tree.controllers, DEFAULTS_V1
    else:  # a controller is there if the parent hands it down
        handed = tree.files.get(posixpath.join(parent.path, "cgroup.subtree_control"), Node()).content
        controllers, defaults = tuple(handed.split()), DEFAULTS_V2
    files = {name: text for controller in controllers for name, text in defaults.get(controller, {}).items()}
    if tree.fstype == "cgroup":  # limits start open, but for devices and swappiness, which are the parent's
        inherited = ("devices.list", "memory.swappiness")
        above = {name: tree.files[posixpath.join(parent.path, name)].content for name in inherited if posixpath.join(parent.path, name) in tree.files}
        files |= {name: text for name, text in above.items() if name in files}
    else:
        files |= {"cgroup.subtree_control": "", "cgroup.controllers": " ".join(controllers)}
    nodes = {posixpath.join(place, name): Node(content=text) for name, text in {"cgroup.procs": "", **files}.items()}
    return put_node(linux, tree.id, {place: DIRECTORY, **nodes})


def join_group(linux: Linux, pid: int, root: Place, path: str) -> Linux:
    """Move process *pid* into the group at *path*, as writing its number to `cgroup.procs` does.

    Raises:
        OSError: ENOSPC for a v1 cpuset without processors or memory; EBUSY for a v2 group that hands controllers down.
    """
    place = resolve(linux, root, path)
    tree = linux.file_system_at(place)
    group = read_group(tree, place.path)
    if tree.fstype == "cgroup" and "cpuset" in tree.controllers and not (group.get("cpuset.cpus") and group.get("cpuset.mems")):
        raise fail(errno.ENOSPC, "a cpuset needs processors and memory before it can have processes", path)
    if tree.fstype == "cgroup2" and group.get("cgroup.subtree_control") and place.path != "/":
        raise fail(errno.EBUSY, "no internal processes: this group hands controllers down", path)
    process = linux.processes[pid]
    return linux.with_process(replace(process, groups={**process.groups, tree.hierarchy: place.path}))


def members_of(linux: Linux, tree: FileSystem, path: str) -> tuple[int, ...]:
    """Return the processes in a group."""
    return tuple(p.pid for p in linux.processes.values() if p.groups.get(tree.hierarchy) == path)


def read_group(tree: FileSystem, path: str) -> dict[str, str]:
    """Return the files of a group with what they hold."""
    prefix = posixpath.join(path, "")
    return {
        name: node.content
        for full, node in tree.files.items()
        if full.startswith(prefix) and "/" not in (name := full[len(prefix) :]) and name and node != DIRECTORY
    }


def write_group_file(linux: Linux, root: Place, path: str, value: str) -> Linux:
    """Write one file of a group.

    Raises:
        OSError: ENOENT where the controller is not there, EINVAL and ERANGE for a value the kernel does not take.
    """
    place = resolve(linux, root, path)
    tree = linux.file_system_at(place)
    directory, name = posixpath.split(place.path)
    group = read_group(tree, directory)
    changed = _compute(group, name, value)
    if name == "cgroup.subtree_control":
        if directory != "/" and members_of(linux, tree, directory):
            raise fail(errno.EBUSY, "no internal processes: this group has some", path)
        if value.lstrip("+-") not in group.get("cgroup.controllers", "").split():
            raise fail(errno.ENOENT, f"the parent does not hand `{value.lstrip('+-')}` down", path)
    return put_node(linux, tree.id, {posixpath.join(directory, file): Node(content=text) for file, text in changed.items()})


def _compute(group: Mapping[str, str], name: str, value: str) -> dict[str, str]:
    """Return the files that a write of *value* to *name* changes."""
    match name:
        case "memory.limit_in_bytes" | "memory.memsw.limit_in_bytes" | "memory.soft_limit_in_bytes":
            return _memory_v1(group, name, value)
        case "memory.max" | "memory.low" | "memory.swap.max":
            return {name: "max" if value == "max" else str(int(value) // PAGE_BYTES * PAGE_BYTES)}
        case "memory.oom_control":
            return {name: group[name].replace("oom_kill_disable 0", f"oom_kill_disable {value}")}
        case "cpuset.cpus" | "cpuset.mems":
            return {name: _render_list(_parse_list(value))}
        case "cgroup.subtree_control":
            words = dict.fromkeys(group[name].split())
            words = {**words, value[1:]: None} if value.startswith("+") else {w: None for w in words if w != value[1:]}
            return {name: " ".join(c for c in group["cgroup.controllers"].split() if c in words)}
        case "devices.deny" | "devices.allow":
            return {"devices.list": _change_devices(group["devices.list"], value, allow=name.endswith("allow"))}
        case "io.weight":
            return {name: f"default {value}"}
        case _:
            return {name: _clamp(name, value)}


def _memory_v1(group: Mapping[str, str], name: str, value: str) -> dict[str, str]:
    """Round to pages; memory may never be above memory and swap together."""
    number = int(UNLIMITED) if value == "-1" else min(int(value) // PAGE_BYTES * PAGE_BYTES, int(UNLIMITED))
    both = {**group, name: str(number)}
    if int(both["memory.limit_in_bytes"]) > int(both.get("memory.memsw.limit_in_bytes", UNLIMITED)):
        raise fail(errno.EINVAL, "memory would be above memory and swap together", name)
    return {name: str(number)}


def _clamp(name: str, value: str) -> str:
    if name not in _RANGES:
        return value
    low, high = _RANGES[name]
    if name == "cpu.shares":  # the only one that is silently moved into its range
        return str(min(max(int(value), low), high))
    if not low <= int(value) <= high:
        raise fail(errno.EINVAL, f"not between {low} and {high}", name)
    return value


def _parse_list(text: str) -> list[int]:
    numbers: set[int] = set()
    for part in text.strip().split(","):
        first, _, last = part.partition("-")
        if not (first.isdigit() and (last or first).isdigit()):
            raise fail(errno.EINVAL, f"not a list of numbers: `{text}`")
        numbers |= set(range(int(first), int(last or first) + 1))
    return sorted(numbers)


def _render_list(numbers: list[int]) -> str:
    """Return the kernel's form of a set of numbers: `0-2,5`."""
    ranges: list[list[int]] = []
    for number in numbers:
        if ranges and ranges[-1][1] == number - 1:
            ranges[-1][1] = number
        else:
            ranges.append([number, number])
    return ",".join(f"{first}-{last}" if first != last else str(first) for first, last in ranges)


def _change_devices(present: str, rule: str, *, allow: bool) -> str:
    """Return the new list of a v1 devices group: `a` empties it or opens it, another rule is one line."""
    if rule.split()[0] == "a":
        return "a *:* rwm" if allow else ""
    lines = dict(line.rsplit(" ", 1) for line in present.splitlines())
    device, access = rule.rsplit(" ", 1)
    before = lines.get(device, "")
    access = "".join(c for c in "rwm" if (c in access or c in before if allow else c in before and c not in access))
    lines[device] = access
    return "\n".join(f"{d} {a}" for d, a in lines.items() if a)


def set_device_rules(linux: Linux, root: Place, path: str, rules: tuple[str, ...]) -> Linux:
    """Attach a program with *rules* to a v2 group. No file shows it, bpf(2) does; here a file without a name in the kernel."""
    place = resolve(linux, root, path)
    return put_node(linux, linux.file_system_at(place).id, {posixpath.join(place.path, "(devices)"): Node(content="\n".join(rules))})
