"""The simulator performs plans: the same tuple of steps as the kernel gets."""

from __future__ import annotations

import errno
from dataclasses import replace
from typing import get_args

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from minidocker.cli.explain import plan_dry_run
from minidocker.cli.simulate import find_identity
from minidocker.codec.idmap import IdMap, IdRange
from minidocker.kernel.flags import Clone, Rlimit
from minidocker.kernel.steps import (
    Actor, BindDevice, DropCapabilities, ForkAgain, ForkInit, Join, LoadSeccomp, MakeDevice, MaskPath, Mount, PivotRoot,
    PopulateVolume, RemoveLink, ServeNames, SetClockOffset, SetRlimit, SetUser, Step, Unshare,
)  # fmt: skip
from minidocker.simulator.files import exists, resolve
from minidocker.simulator.linux import Linux, User
from minidocker.simulator.machine import EXAMPLE_FACTS, EXAMPLE_IMAGE, boot, prepare
from minidocker.simulator.perform import Simulation, simulate
from minidocker.simulator.processes import set_clock_offset, unshare, write_id_maps
from minidocker.simulator.views import list_mounts, render_views
from minidocker.spec.record import Json

HOST: dict[str, st.SearchStrategy[Json]] = {
    "NetworkMode": st.sampled_from(["default", "none", "host"]),
    "PidMode": st.sampled_from(["", "host"]),
    "IpcMode": st.sampled_from(["", "host"]),
    "UTSMode": st.sampled_from(["", "host"]),
    "CgroupnsMode": st.sampled_from(["", "host"]),
    "Privileged": st.booleans(),
    "ReadonlyRootfs": st.booleans(),
    "Init": st.booleans(),
    "CapDrop": st.sampled_from([[], ["ALL"], ["CHOWN"]]),
    "CapAdd": st.sampled_from([[], ["NET_ADMIN"], ["ALL"]]),
    "SecurityOpt": st.sampled_from([[], ["no-new-privileges"], ["seccomp=unconfined"], ["systempaths=unconfined"]]),
    "Memory": st.sampled_from([0, 6 << 20, (64 << 20) + 1]),
    "NanoCpus": st.sampled_from([0, 500_000_000]),
    "CpuShares": st.sampled_from([0, 2, 5000]),
    "PidsLimit": st.sampled_from([0, 10]),
    "OomScoreAdj": st.integers(-1000, 1000),
    "Binds": st.sampled_from([[], ["/srv:/data"], ["/srv:/a/b:ro,rslave", "vol:/data"], ["/etc:/etc:rshared"]]),
    "Tmpfs": st.sampled_from([{}, {"/run": "size=64k,mode=1777"}, {"/var/run/x": ""}]),
    "Ulimits": st.sampled_from([[], [{"Name": "nofile", "Soft": 10, "Hard": 20}]]),
    "Sysctls": st.sampled_from([{}, {"net.ipv4.ip_forward": "1"}]),
}


def body_of(host: dict[str, Json], **config: Json) -> dict[str, Json]:
    """Return a create request."""
    return {"Image": "x", "Cmd": ["sh"], **config, "HostConfig": host}


def run(steps: tuple[Step, ...]) -> Simulation:
    """Simulate *steps* on the example machine."""
    linux, pid = boot(EXAMPLE_FACTS)
    return simulate(prepare(linux, pid, steps, EXAMPLE_IMAGE), pid, steps, find_identity)


@given(st.fixed_dictionaries({}, optional=HOST), st.sampled_from(["", "nobody", "1000:29", "daemon"]), st.booleans(), st.sampled_from(["", "/made/here"]))
def test_every_valid_configuration_can_be_simulated(host: dict[str, Json], user: str, tty: bool, cwd: str) -> None:
    """No option leads to an order of steps that the kernel refuses; and the host is as it was, but for what the plan says."""
    assume(not user.isalpha() or not host.get("Binds"))  # a bind over /etc takes the names away, and that is refused
    steps = plan_dry_run(body_of(host, User=user, Tty=tty, WorkingDir=cwd))
    linux, pid = boot(EXAMPLE_FACTS)
    before = prepare(linux, pid, steps, EXAMPLE_IMAGE)
    after = simulate(before, pid, steps, find_identity)
    inside = after.linux.processes[after.command]
    assert list_mounts(after.linux, pid) == list_mounts(before, pid), "nothing mounted shows on the host"
    assert after.linux.processes[pid].root == before.processes[pid].root
    assert inside.credentials.inheritable == frozenset()
    assert resolve(after.linux, inside.root, "/../..") == inside.root
    assert render_views(after.linux, after.command)


IDS = IdMap(uids=(IdRange(0, 100000, 65536),), gids=(IdRange(0, 200000, 65536),))


def test_container_with_users_of_its_own_is_root_of_nothing_outside() -> None:
    """The engine's order of steps is one that the kernel accepts: the map before a user, the pid namespace inside, devices bound."""
    after = run(plan_dry_run(body_of({}), ids=IDS))
    inside = after.linux.processes[after.command]
    user = after.linux.namespaces[inside.namespaces[Clone.NEWUSER]]
    assert isinstance(user, User)
    assert (user.uid_map, user.gid_map) == (IDS.uids, IDS.gids)
    assert inside.numbers[-1][1] == 1, "the second fork makes process 1 of the new pid namespace"
    assert inside.parent == after.monitor, "which the monitor adopts, to learn how it ends"
    assert next(m.mount_point for m in list_mounts(after.linux, after.command)) == "/"


def test_procfs_of_a_pid_namespace_from_outside_cannot_be_mounted() -> None:
    """Why the engine forks a second time: the monitor's pid namespace would belong to the host's users."""
    plan = plan_dry_run(body_of({}), ids=IDS)
    pids = next(step for step in plan if isinstance(step, Unshare) and step.namespaces == Clone.NEWPID)
    steps = [step for step in plan if step is not pids and not isinstance(step, ForkAgain)]
    steps.insert(next(n for n, step in enumerate(steps) if isinstance(step, ForkInit)), replace(pids, actor=Actor.MONITOR))
    with pytest.raises(PermissionError, match="proc shows belongs to another user namespace"):
        run(tuple(steps))


def test_device_cannot_be_made_with_users_of_ones_own() -> None:
    """mknod(2) asks for a privilege on the machine itself: a device is a way around every file permission there is."""
    steps = list(plan_dry_run(body_of({}), ids=IDS))
    steps.insert(next(n for n, step in enumerate(steps) if isinstance(step, PivotRoot)), MakeDevice(path="/dev/sda", type="b", major=8, minor=0))
    with pytest.raises(PermissionError, match="first user namespace"):
        run(tuple(steps))


def test_clock_has_an_offset_if_time_passes_for_it() -> None:
    """A container may believe that it has run longer than the machine; the time of day is everybody's."""
    linux, pid = boot(EXAMPLE_FACTS)
    linux = set_clock_offset(unshare(linux, pid, Clone.NEWTIME), pid, "boottime", 60, 0)
    clocks = linux.namespaces[linux.processes[pid].namespaces[Clone.NEWTIME]]
    assert getattr(clocks, "offsets", None) == {"boottime": (60, 0)}
    with pytest.raises(OSError, match="no offset"):
        set_clock_offset(linux, pid, "realtime", 1, 0)


def test_map_is_written_once_and_without_overlaps() -> None:
    """The kernel refuses a second map, and two numbers for one user."""
    linux, pid = boot(EXAMPLE_FACTS)
    linux = unshare(linux, pid, Clone.NEWUSER)
    with pytest.raises(OSError, match="overlap"):
        write_id_maps(linux, pid, (IdRange(0, 1000, 10), IdRange(5, 2000, 10)), IDS.gids)
    with pytest.raises(OSError, match="overlap"):
        write_id_maps(linux, pid, (), IDS.gids)
    linux = write_id_maps(linux, pid, IDS.uids, IDS.gids)
    with pytest.raises(PermissionError, match="once"):
        write_id_maps(linux, pid, IDS.uids, IDS.gids)


EXTRA = (
    Join(pid=0, namespaces=Clone.NEWUTS, actor=Actor.INIT), BindDevice(host_path="/dev/null", path="/dev/bound"),
    PopulateVolume(path="/etc", volume="/srv"), ServeNames(), RemoveLink(link="veth0123456"),
    SetClockOffset(clock="boottime", seconds=60),
)  # fmt: skip
"""Steps that a plan on the example machine has no use for."""


def test_no_kind_of_step_is_forgotten() -> None:
    """The type checker holds `assert_never`; this holds that each kind is really performed, not passed over."""
    host: dict[str, Json] = {
        "Binds": ["v:/data"], "SecurityOpt": ["no-new-privileges"], "OomScoreAdj": 5, "Memory": 6 << 20,
        "Ulimits": [{"Name": "nofile", "Soft": 10, "Hard": 20}],
    }  # fmt: skip
    steps = plan_dry_run(body_of(host, Tty=True, WorkingDir="/made"))
    fork = next(n for n, step in enumerate(steps) if isinstance(step, ForkInit))
    pivot = next(n for n, step in enumerate(steps) if isinstance(step, PivotRoot))
    _, pid = boot(EXAMPLE_FACTS)
    join = replace(EXTRA[0], pid=pid)
    steps = (*steps[: fork + 1], join, *steps[fork + 1 : pivot], *EXTRA[1:], *steps[pivot:])
    foreign = plan_dry_run(body_of(host), ids=IDS)
    assert {type(step) for step in (*steps, *foreign)} == set(get_args(Step))
    assert run(foreign).linux.processes
    after = run(steps)
    root = after.linux.processes[after.command].root
    assert all(exists(after.linux, root, path) for path in ("/dev/bound", "/dev/console", "/made", "/data"))
    outside = after.linux.processes[after.monitor].root
    assert exists(after.linux, outside, "/srv/passwd"), "the empty volume was filled from the image"


def plan_with(change: object, *, after: type | None = None, without: type | None = None, capless: bool = False) -> tuple[Step, ...]:
    """Return the plan of `sh` in which something is wrong."""
    steps = [step for step in plan_dry_run(body_of({"CapDrop": ["ALL"]} if capless else {})) if without is None or not isinstance(step, without)]
    if after is not None:
        steps.insert(next(n for n, step in enumerate(steps) if isinstance(step, after)) + 1, change)  # type: ignore[arg-type]  # a step
    return tuple(steps)


BROKEN = {
    "mount-after-privileges": (plan_with(Mount(source="proc", target="/proc", fstype="proc"), after=SetUser), errno.EPERM, "CAP_SYS_ADMIN is gone"),
    "mask-without-dev": (
        plan_with(MaskPath(path="/proc/keys"), after=PivotRoot, without=MakeDevice), errno.ENOENT, "there is no /dev/null to mask with",
    ),
    "filter-after-user": (plan_with(LoadSeccomp(program=b"\0" * 8, profile="x"), after=SetUser), errno.EACCES, "neither privilege nor promise"),
    "bounding-set-after-command": (plan_with(DropCapabilities(keep=()), after=SetUser, capless=True), errno.EPERM, "SETPCAP is gone"),
    "pivot-without-a-mount": (plan_with(None, without=Mount), errno.EINVAL, "nobody made the host's mounts private"),
    "unshare-twice": (plan_with(Unshare(namespaces=Clone.NEWPID, actor=Actor.MONITOR), after=Unshare), errno.EINVAL, "the first was not used"),
    "raised-limit": (plan_with(SetRlimit(resource=Rlimit.NOFILE, soft=1, hard=10**6), after=SetUser), errno.EPERM, "SYS_RESOURCE is gone"),
}  # fmt: skip


@pytest.mark.parametrize(("steps", "number", "why"), BROKEN.values(), ids=BROKEN)
def test_wrong_order_fails_as_in_the_kernel(steps: tuple[Step, ...], number: int, why: str) -> None:
    """A learner who swaps two steps gets the kernel's answer, without root and without risk."""
    with pytest.raises(OSError) as caught:
        run(steps)
    assert caught.value.errno == number, why


def test_without_cutting_the_ties_the_host_would_see_the_mounts() -> None:
    """The example machine's mounts are shared: leave the first mount step out, and the container's mounts travel to the host."""
    steps = tuple(s for s in plan_dry_run(body_of({})) if not (isinstance(s, Mount) and s.target == "/"))
    linux, pid = boot(EXAMPLE_FACTS)
    linux = prepare(linux, pid, steps, EXAMPLE_IMAGE)
    simulation = Simulation(linux=linux, monitor=pid, find_identity=find_identity, staging_root="/var/lib")
    for_a_while = steps[: next(n for n, s in enumerate(steps) if isinstance(s, Mount)) + 1]
    after = simulate(simulation.linux, pid, for_a_while, find_identity)
    assert any(m.fstype == "overlay" for m in list_mounts(after.linux, pid))


def test_read_only_root_stays_writable_where_something_else_is_mounted() -> None:
    """`--read-only` is one flag of one mount."""
    after = run(plan_dry_run(body_of({"ReadonlyRootfs": True, "Tmpfs": {"/tmp": ""}})))
    flags = {m.mount_point: m.options[0] for m in list_mounts(after.linux, after.command)}
    assert (flags["/"], flags["/tmp"], flags["/dev"]) == ("ro", "rw", "rw")


def test_init_stays_as_the_parent_of_the_command() -> None:
    """`--init`: process 1 keeps its place, the command is process 2."""
    after = run(plan_dry_run(body_of({"Init": True})))
    linux: Linux = after.linux
    assert [linux.processes[p].numbers[-1][1] for p in (after.init, after.command)] == [1, 2]
