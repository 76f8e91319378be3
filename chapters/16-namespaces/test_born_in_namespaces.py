"""Which process makes which namespace, and when: unshare(2), setns(2), pid_namespaces(7)."""

from __future__ import annotations

import pytest

from minidocker.container.plan import Surroundings
from minidocker.container.record import ContainerRecord
from minidocker.kernel.flags import Clone
from minidocker.kernel.steps import Actor, ForkInit, Join, JoinCgroup, Unshare
from minidocker.spec.container import ContainerConfig, HostConfig

AROUND = Surroundings(
    directory="/c", layers_directory="/l", cgroup_join=(JoinCgroup(path="/g", why="counted"),),
    namespace_pids=(("pid", 41), ("net", 42), ("ipc", 43)),
)  # fmt: skip


def record(**options):
    """A container with some options of `docker run`."""
    return ContainerRecord(id="c" * 64, name="web", created="", image_id="", config=ContainerConfig(), host_config=HostConfig(**options))


def made_by(steps, actor):
    """All namespaces that one of the two processes makes."""
    return sum((step.namespaces for step in steps if isinstance(step, Unshare) and step.actor is actor), Clone(0))


def place(steps, kind, **fields):
    """Where in the plan the first step of a kind is."""
    return next(i for i, s in enumerate(steps) if isinstance(s, kind) and all(getattr(s, key) == value for key, value in fields.items()))


def test_parent_unshares_pids_and_the_child_all_the_rest(plan_birth):
    """unshare(NEWPID) sends the *next child* into the new namespace; all others take effect at once, for the one who calls."""
    steps = list(plan_birth(record(), AROUND))
    fork = place(steps, ForkInit)
    assert made_by(steps[:fork], Actor.MONITOR) == Clone.NEWPID
    rest = Clone.NEWNS | Clone.NEWUTS | Clone.NEWIPC | Clone.NEWNET | Clone.NEWCGROUP
    assert made_by(steps[fork:], Actor.INIT) == rest
    assert sum(isinstance(step, ForkInit) for step in steps) == 1


def test_host_pids_need_no_step_before_the_fork(plan_birth):
    """With `--pid host` the child is simply born among the host's processes."""
    steps = plan_birth(record(pid_mode="host"), AROUND)
    assert isinstance(steps[0], ForkInit)
    assert not any(isinstance(step, Unshare) and step.namespaces & Clone.NEWPID for step in steps)


@pytest.mark.parametrize(
    ("option", "flag"), [("uts_mode", Clone.NEWUTS), ("ipc_mode", Clone.NEWIPC), ("network_mode", Clone.NEWNET)], ids=["uts", "ipc", "net"]
)
def test_host_mode_leaves_a_namespace_out(plan_birth, option, flag):
    """What is not unshared is the host's: `--network host` is a step less, not a step more."""
    steps = plan_birth(record(**{option: "host"}), AROUND)
    assert not made_by(steps, Actor.INIT) & flag
    assert made_by(steps, Actor.INIT) & Clone.NEWNS


def test_mounts_are_always_its_own(plan_birth):
    """Docker has no option to share the host's mounts: the root file system itself is made of them."""
    steps = plan_birth(record(pid_mode="host", uts_mode="host", ipc_mode="host", network_mode="host", cgroupns_mode="host"), AROUND)
    assert made_by(steps, Actor.INIT) == Clone.NEWNS


def test_namespaces_of_another_container_are_joined_first(plan_birth):
    """`--network container:NAME` joins by the other one's process number, before any namespace of its own is made."""
    steps = plan_birth(record(network_mode="container:db", ipc_mode="container:db"), AROUND)
    joins = {(step.pid, step.namespaces) for step in steps if isinstance(step, Join)}
    assert joins == {(42, Clone.NEWNET), (43, Clone.NEWIPC)}
    assert not made_by(steps, Actor.INIT) & (Clone.NEWNET | Clone.NEWIPC)
    assert max(i for i, step in enumerate(steps) if isinstance(step, Join)) < place(steps, Unshare, actor=Actor.INIT)


def test_pids_of_another_container_are_joined_by_the_parent(plan_birth):
    """As with unshare: setns into a pid namespace is about children, so the parent does it before the fork."""
    steps = plan_birth(record(pid_mode="container:db"), AROUND)
    assert place(steps, Join, pid=41, namespaces=Clone.NEWPID, actor=Actor.MONITOR) < place(steps, ForkInit)
    assert not any(isinstance(step, Unshare) and step.namespaces & Clone.NEWPID for step in steps)


def test_control_group_is_joined_before_its_namespace_is_made(plan_birth):
    """The group that one is in when the namespace is made becomes the root of what one sees: too early, and it is the host's."""
    steps = plan_birth(record(), AROUND)
    assert place(steps, ForkInit) < place(steps, JoinCgroup) < place(steps, Unshare, namespaces=Clone.NEWCGROUP)


def test_host_view_of_control_groups_is_left_alone(plan_birth):
    """`--cgroupns host` shows the whole tree; the container is in its group all the same, and is counted."""
    steps = plan_birth(record(cgroupns_mode="host"), AROUND)
    assert not made_by(steps, Actor.INIT) & Clone.NEWCGROUP
    assert place(steps, JoinCgroup)
