"""Bundles as steps: what podman and containerd ask for, in the order in which the kernel can do it."""

from __future__ import annotations

from copy import deepcopy
from dataclasses import replace
from typing import Any

import pytest

from minidocker.codec.idmap import IdRange
from minidocker.cgroup.layout import EXAMPLE_LAYOUT, CgroupLayout, Hierarchy
from minidocker.errors import InvalidParameter, MinidockerError, NotSupported
from minidocker.kernel.flags import Clone, Ms
from minidocker.kernel.steps import (
    Actor, BindDevice, DropCapabilities, EnterUserNamespace, Exec, ForkAgain, ForkInit, Join, LimitDevices, MakeConsole, MakeDevice, Mount, PivotRoot,
    SetClockOffset, SetOomScore, SetRlimit, SetUser, Step, Synchronise, Unshare, WriteCgroup,
)  # fmt: skip
from minidocker.cgroup.limits import plan_limits
from minidocker.oci import bundle
from minidocker.oci.bundle import parse_spec
from minidocker.oci.example import EXAMPLE_SPEC, adapt_example, render_features
from minidocker.oci.plan import Ground, compute_cgroup_name, compute_groups, compute_limits, plan_bundle, plan_process

GROUND = Ground(container_id="c", root="/bundle/rootfs", layout=EXAMPLE_LAYOUT)
V1 = CgroupLayout(version=1, hierarchies=(Hierarchy(mount_point="/sys/fs/cgroup/memory", controllers=("memory",)),))


def plan(change: dict[str, Any] | None = None, *, ground: Ground = GROUND) -> tuple[Step, ...]:
    """Return the plan of the example bundle with *change* at its top level."""
    spec = parse_spec(deepcopy(EXAMPLE_SPEC) | (change or {}))
    assert spec.process is not None
    return plan_bundle(spec, spec.process, ground)


def linux(**change: Any) -> dict[str, Any]:
    """Return the `linux` section of the example with *change*."""
    section = deepcopy(EXAMPLE_SPEC["linux"])
    assert isinstance(section, dict)
    return {"linux": section | change}


def test_hooks_meet_the_hosts_files_and_start_comes_last() -> None:
    """Hooks run before the pivot, because they are the host's programs; `create` ends where only the command is left."""
    steps = plan()
    pivot = next(i for i, step in enumerate(steps) if isinstance(step, PivotRoot))
    pauses = [i for i, step in enumerate(steps) if isinstance(step, Synchronise)]
    assert len(pauses) == 2
    assert pauses[0] < pivot < pauses[1]
    assert all(not isinstance(step, DropCapabilities | SetUser | Exec) for step in steps[: pauses[1]])
    assert isinstance(steps[-1], Exec)


def test_namespace_with_a_path_is_joined_and_one_without_is_made() -> None:
    """The engine, podman for one, makes the network namespace itself and names its file."""
    kinds = [{"type": "mount"}, {"type": "pid"}, {"type": "network", "path": "/run/netns/n"}, {"type": "uts"}]
    steps = plan(linux(namespaces=kinds))
    joins = [step for step in steps if isinstance(step, Join)]
    assert [(step.path, step.namespaces) for step in joins] == [("/run/netns/n", Clone.NEWNET)]
    made = [step.namespaces for step in steps if isinstance(step, Unshare)]
    assert made == [Clone.NEWPID, Clone.NEWNS | Clone.NEWUTS]
    assert isinstance(steps[next(i for i, s in enumerate(steps) if isinstance(s, Unshare)) + 1], ForkInit), "a pid namespace acts on the next child"


USERS: dict[str, Any] = {
    "namespaces": [{"type": kind} for kind in ("mount", "pid", "network", "uts", "user", "time")],
    "uidMappings": [{"containerID": 0, "hostID": 1000, "size": 10}], "gidMappings": [{"containerID": 0, "hostID": 2000, "size": 10}],
    "timeOffsets": {"boottime": {"secs": 60}},
}  # fmt: skip


def test_users_change_after_what_only_the_hosts_root_may_do() -> None:
    """The root file system's mount and the clocks come before; devices are bound, and limits are the monitor's."""
    process = deepcopy(EXAMPLE_SPEC["process"]) | {"rlimits": [{"type": "RLIMIT_NOFILE", "soft": 1, "hard": 2}], "oomScoreAdj": 7}  # type: ignore[operator]
    steps = plan(linux(**USERS) | {"process": process})
    kinds = [type(step) for step in steps]
    entry = next(step for step in steps if isinstance(step, EnterUserNamespace))
    assert (entry.uid_map, entry.gid_map) == ((IdRange(0, 1000, 10),), (IdRange(0, 2000, 10),))
    at = steps.index(entry)
    assert kinds.index(SetClockOffset) < kinds.index(Mount) < at < kinds.index(ForkAgain) < kinds.index(BindDevice)
    assert kinds.index(SetOomScore) < at
    assert MakeDevice not in kinds
    limit = next(step for step in steps if isinstance(step, SetRlimit))
    assert (limit.actor, kinds.index(SetRlimit) > len(kinds) - 1 - kinds[::-1].index(Synchronise)) == (Actor.MONITOR, True)
    ordinary = plan(linux(**USERS), ground=replace(GROUND, is_root=False))
    first = next(step for step in ordinary if isinstance(step, Mount | EnterUserNamespace))
    assert isinstance(first, EnterUserNamespace), "who is not root may mount nothing before"
    assert not first.carries


def test_one_more_process_becomes_a_user_of_the_container_first() -> None:
    """The clocks were made by the host's root and are joined as such."""
    spec = parse_spec(deepcopy(EXAMPLE_SPEC) | linux(**USERS))
    assert spec.process is not None
    steps = plan_process(spec, spec.process, 9, GROUND)
    joined = [step.namespaces for step in steps if isinstance(step, Join)]
    assert joined == [Clone.NEWPID, Clone.NEWTIME, Clone.NEWNS | Clone.NEWNET | Clone.NEWUTS]
    assert [step.pid for step in steps if isinstance(step, EnterUserNamespace)] == [9]


def test_clocks_are_set_before_the_first_process_without_users_too() -> None:
    """A time namespace takes offsets only while nobody is in it."""
    steps = plan(linux(namespaces=[{"type": "mount"}, {"type": "uts"}, {"type": "time"}], timeOffsets={"monotonic": {"secs": -5, "nanosecs": 1}}))
    kinds = [type(step) for step in steps]
    assert kinds.index(SetClockOffset) < kinds.index(ForkInit)
    assert next(s for s in steps if isinstance(s, SetClockOffset)).actor is Actor.MONITOR


MOUNTS = {
    "flags": (["nosuid", "ro", "size=1k"], Ms.NOSUID | Ms.RDONLY, "size=1k"),
    "last-word-wins": (["ro", "rw"], Ms(0), ""),
    "propagation": (["rprivate"], Ms.PRIVATE | Ms.REC, ""),
}


@pytest.mark.parametrize(("options", "flags", "data"), MOUNTS.values(), ids=MOUNTS)
def test_options_are_flags_or_data(options: list[str], flags: Ms, data: str) -> None:
    """The kernel takes flags in one argument and the file system's own words in another; mount(8) takes them mixed."""
    steps = plan({"mounts": [{"destination": "/t", "type": "tmpfs", "source": "tmpfs", "options": options}]})
    mount = next(step for step in steps if isinstance(step, Mount) and step.target == "/t")
    assert (mount.flags, mount.data) == (flags, data)


def test_bind_takes_the_kind_of_its_source() -> None:
    """A file is bound on a file, a directory on a directory; the plan cannot know, the kernel's door looks."""
    steps = plan({"mounts": [{"destination": "/etc/hosts", "source": "/h", "options": ["rbind", "ro"]}]})
    mount = next(step for step in steps if isinstance(step, Mount) and step.target == "/etc/hosts")
    assert (mount.create, mount.fstype, mount.flags) == ("source", "", Ms.BIND | Ms.REC | Ms.RDONLY)


def test_container_in_the_hosts_cgroup_namespace_sees_its_own_group_only() -> None:
    """A mount of the hierarchy would show every group of the machine."""
    namespaces = [{"type": "mount"}, {"type": "uts"}]
    steps = plan(linux(namespaces=namespaces, resources={}, cgroupsPath="/pod/c"), ground=Ground(container_id="c", root="/r", layout=V1))
    mount = next(step for step in steps if isinstance(step, Mount) and step.target == "/sys/fs/cgroup/memory")
    assert mount.source == "/sys/fs/cgroup/memory/pod/c"
    assert mount.flags & Ms.BIND


def test_devices_are_denied_unless_listed() -> None:
    """Every list begins with "deny all"; --privileged ends it with "allow all"."""
    rules = [{"allow": False}, {"allow": True, "type": "c", "major": 10, "minor": 200, "access": "rw"}]
    limited = next(step for step in plan(linux(resources={"devices": rules})) if isinstance(step, LimitDevices))
    assert "c 10:200 rw" in limited.rules
    assert "a *:* rwm" not in limited.rules
    everything = next(step for step in plan(linux(resources={"devices": [{"allow": True}]})) if isinstance(step, LimitDevices))
    assert everything.rules == ("a *:* rwm",)


def test_limits_and_unified_files_are_written() -> None:
    """The named limits are translated, `unified` is written as it stands."""
    steps = plan(linux(resources={"memory": {"limit": 1 << 26}, "pids": {"limit": 9}, "unified": {"memory.high": "1000"}}))
    written = {step.path.rpartition("/")[2]: step.value for step in steps if isinstance(step, WriteCgroup)}
    assert (written["memory.max"], written["pids.max"], written["memory.high"]) == (str(1 << 26), "9", "1000")


def test_capability_sets_stay_apart() -> None:
    """The bounding set limits what a program may ever get; ambient capabilities are what another user than root keeps."""
    process = dict(EXAMPLE_SPEC["process"]) | {"capabilities": {"bounding": ["CAP_KILL", "CAP_CHOWN"], "permitted": ["CAP_KILL"], "ambient": ["CAP_KILL"]}}  # type: ignore[arg-type]  # JSON
    steps = plan({"process": process})
    assert next(step for step in steps if isinstance(step, DropCapabilities)).keep == ("CAP_KILL", "CAP_CHOWN")
    user = next(step for step in steps if isinstance(step, SetUser))
    assert (user.keep, user.ambient) == (("CAP_KILL",), ("CAP_KILL",))


def test_exec_joins_what_the_container_has() -> None:
    """One more process is born into the pid namespace and then enters the others."""
    spec = parse_spec(deepcopy(EXAMPLE_SPEC))
    assert spec.process is not None
    steps = plan_process(spec, spec.process, 77, GROUND)
    joins = [step for step in steps if isinstance(step, Join)]
    assert [step.pid for step in joins] == [77, 77]
    assert joins[0].namespaces == Clone.NEWPID
    assert joins[1].namespaces == Clone.NEWNS | Clone.NEWNET | Clone.NEWIPC | Clone.NEWUTS | Clone.NEWCGROUP
    assert not any(isinstance(step, MakeConsole) and step.bind for step in steps)


REFUSED = {
    "version": ({"ociVersion": "2.0.0"}, InvalidParameter),
    "no-command": ({"process": {"args": [], "cwd": "/"}}, InvalidParameter),
    "relative-cwd": ({"process": {"args": ["sh"], "cwd": "x"}}, InvalidParameter),
    "twice": (linux(namespaces=[{"type": "mount"}, {"type": "mount"}]), InvalidParameter),
    "users-without-a-map": (linux(namespaces=[{"type": "mount"}, {"type": "uts"}, {"type": "user"}]), InvalidParameter),
    "map-without-users": (linux(uidMappings=USERS["uidMappings"]), InvalidParameter),
    "clocks-without-a-namespace": (linux(timeOffsets={"boottime": {"secs": 1}}), InvalidParameter),
    "clock-without-offset": (linux(**USERS | {"timeOffsets": {"realtime": {"secs": 1}}}), InvalidParameter),
    "no-mount-namespace": (linux(namespaces=[{"type": "pid"}]), NotSupported),
    "hostname-of-the-host": (linux(namespaces=[{"type": "mount"}]), InvalidParameter),
    "unknown-namespace": (linux(namespaces=[{"type": "mount"}, {"type": "uts"}, {"type": "soul"}]), InvalidParameter),
    "propagation": (linux(rootfsPropagation="sideways"), InvalidParameter),
    "systemd-group": (linux(cgroupsPath="system.slice:docker:c"), InvalidParameter),
}


@pytest.mark.parametrize(("change", "error"), REFUSED.values(), ids=REFUSED)
def test_bundle_that_cannot_be_is_refused_before_anything_is_made(change: dict[str, Any], error: type[MinidockerError]) -> None:
    """A mistake in a bundle is the caller's to mend, and must not leave half a container."""
    with pytest.raises(error):
        plan(change)


@pytest.mark.parametrize(("path", "name"), [("/a/b", "a/b"), ("a/b", "a/b"), ("", "c"), ("/../../x", "x")])
def test_control_group_stays_below_the_root_of_the_tree(path: str, name: str) -> None:
    """The name comes from the bundle: `..` must not lead out of the hierarchy."""
    assert compute_cgroup_name(path, "c") == name


def test_features_promise_no_more_than_the_plan_knows() -> None:
    """Callers such as containerd read them to decide what they may ask for."""
    section = render_features()["linux"]
    assert isinstance(section, dict)
    assert "user" in section["namespaces"]  # type: ignore[operator]  # a list


LAYOUT_V1 = CgroupLayout(version=1, hierarchies=tuple(Hierarchy(mount_point=f"/cg/{name}", controllers=(name,)) for name in ("cpu", "memory")))
CHOICES = {
    "none": ((), {"/cg/cpu": "a/c", "/cg/memory": "a/c"}),
    "everywhere": (("sub",), {"/cg/cpu": "a/c/sub", "/cg/memory": "a/c/sub"}),
    "top": (("/",), {"/cg/cpu": "a/c", "/cg/memory": "a/c"}),
    "one-controller": (("memory:sub/two",), {"/cg/cpu": "a/c", "/cg/memory": "a/c/sub/two"}),
}


@pytest.mark.parametrize(("chosen", "groups"), CHOICES.values(), ids=CHOICES)
def test_group_of_an_exec_lies_below_the_containers(chosen: tuple[str, ...], groups: dict[str, str]) -> None:
    """`exec --cgroup [CONTROLLERS:]PATH`: each tree has a group, and what is not chosen is the container's own."""
    assert compute_groups(LAYOUT_V1, "a/c", chosen) == groups


@pytest.mark.parametrize(("word", "cause"), [("..", "not a sub cgroup path"), ("cpu:x/../..", "not a sub cgroup path"), ("io:x", "unknown controller io")])
def test_group_of_an_exec_never_leads_out(word: str, cause: str) -> None:
    """Who may run a command in a container may not put it into somebody else's group."""
    with pytest.raises(InvalidParameter, match=cause):
        compute_groups(LAYOUT_V1, "a/c", (word,))


def test_block_devices_are_limited_by_their_numbers() -> None:
    """The specification names devices by number, Docker by path; both become one line of a file."""
    share = bundle.DeviceShare(major=8, minor=16, rate=1000, weight=300)
    io = bundle.BlockIo(throttle_read_iops_device=(share,), weight_device=(share,))
    limits = compute_limits(bundle.Resources(block_io=io))
    layout = CgroupLayout(version=1, hierarchies=(Hierarchy(mount_point="/cg/blkio", controllers=("blkio",)),))
    written = {step.path: step.value for step in plan_limits(limits, layout, "c")}
    assert written == {"/cg/blkio/c/blkio.throttle.read_iops_device": "8:16 1000", "/cg/blkio/c/blkio.bfq.weight_device": "8:16 300"}


def test_example_suits_the_machine() -> None:
    """With version 1 runc's example has no cgroup namespace, and callers append one."""
    assert adapt_example(version=2) is EXAMPLE_SPEC
    linux = adapt_example(version=1)["linux"]
    assert isinstance(linux, dict)
    assert linux["namespaces"] == [{"type": kind} for kind in ("pid", "network", "ipc", "uts", "mount")]
