"""The plan of a container: an order, and the reasons for it."""

from __future__ import annotations

from dataclasses import replace

import pytest

from minidocker.codec.idmap import IdMap, IdRange
from minidocker.container.host import EXAMPLE_HOST
from minidocker.container.plan import MASKED_PATHS, ExecPlan, Surroundings, compute_environment, plan_container, plan_exec
from minidocker.container.record import ContainerRecord, MountPoint, State, Status
from minidocker.errors import InvalidParameter
from minidocker.kernel.explain import explain_steps
from minidocker.kernel.flags import Clone, Ms
from minidocker.kernel.steps import (
    Actor, BindDevice, DropCapabilities, EnterUserNamespace, Exec, ForkAgain, ForkInit, Join, JoinCgroup, LoadSeccomp, MakeConsole, MakeDevice, MaskPath, Mount, NoNewPrivileges, PivotRoot, SetHostname,
    SetOomScore, SetRlimit, SetUser, Step, Synchronise, Unshare, actor_of,
)  # fmt: skip
from minidocker.spec.container import ContainerConfig, HostConfig, Ulimit

AROUND = Surroundings(
    directory="/c", layers_directory="/l", seccomp_program=b"\0" * 8, cgroup_join=(JoinCgroup(path="/g", why="counted"),)
)


def _record(host: HostConfig | None = None, mounts: tuple[MountPoint, ...] = (), **config: object) -> ContainerRecord:
    return ContainerRecord(
        id="c" * 64, name="web", created="", image_id="", layers=("a", "b"), mounts=mounts, host_config=host or HostConfig(),
        config=replace(ContainerConfig(hostname="web", cmd=("sh",)), **config),  # type: ignore[arg-type]  # test data
    )  # fmt: skip


def _plan(record: ContainerRecord) -> tuple[Step, ...]:
    return plan_container(record, EXAMPLE_HOST, AROUND)


def _position(steps: tuple[Step, ...], kind: type, **fields: object) -> int:
    return next(i for i, s in enumerate(steps) if isinstance(s, kind) and all(getattr(s, k) == v for k, v in fields.items()))


def test_plan_is_a_value() -> None:
    """The same record gives the same steps: a plan can be shown, stored, compared, and performed later."""
    assert _plan(_record()) == _plan(_record())
    assert hash(_plan(_record()))


def test_plan_ends_in_the_command() -> None:
    """Nothing of ours is left in the container: init becomes the command."""
    last = _plan(_record())[-1]
    assert isinstance(last, Exec)
    assert last.argv == ("sh",)


def test_entrypoint_comes_before_the_command() -> None:
    """The command becomes the entrypoint's arguments."""
    last = _plan(_record(entrypoint=("echo",), cmd=("hi",)))[-1]
    assert isinstance(last, Exec)
    assert last.argv == ("echo", "hi")


ORDER = {
    "network-namespace-before-cgroups": ((Unshare, {"actor": Actor.INIT}), (JoinCgroup, {}), "the monitor connects it meanwhile"),
    "cgroup-namespace-after-joining": ((JoinCgroup, {}), (Unshare, {"namespaces": Clone.NEWCGROUP}), "its root is where we are"),
    "proc-after-pid-namespace": ((ForkInit, {}), (Mount, {"target": "/proc"}), "procfs shows the pid namespace it is mounted in"),
    "names-after-uts-namespace": ((Unshare, {"actor": Actor.INIT}), (SetHostname, {}), "or the host would be renamed"),
    "private-before-mounts": ((Mount, {"target": "/"}), (Mount, {"fstype": "overlay"}), "or the host would see our mounts"),
    "dev-before-devpts": ((Mount, {"target": "/dev"}), (Mount, {"target": "/dev/pts"}), "a parent before what lies in it"),
    "binds-before-pivot": ((Mount, {"target": "/etc/hosts"}), (PivotRoot, {}), "the source is a file of the host"),
    "masks-after-pivot": ((PivotRoot, {}), (MaskPath, {"path": "/proc/kcore"}), "the mask is the container's own /dev/null"),
    "filter-before-capabilities": ((LoadSeccomp, {}), (DropCapabilities, {}), "installing it takes CAP_SYS_ADMIN"),
    "bounding-set-before-user": ((DropCapabilities, {}), (SetUser, {}), "dropping takes CAP_SETPCAP"),
    "synchronise-before-privileges": ((Synchronise, {}), (DropCapabilities, {}), "failures of the host are known by then"),
}


@pytest.mark.parametrize(("first", "second", "reason"), ORDER.values(), ids=ORDER)
def test_order_of_steps_has_reasons(first: tuple[type, dict[str, object]], second: tuple[type, dict[str, object]], reason: str) -> None:
    """Every line of this table is a rule of the kernel; swapping two steps breaks the container or the host."""
    steps = _plan(_record())
    assert _position(steps, first[0], **first[1]) < _position(steps, second[0], **second[1]), reason


def test_console_is_made_after_the_pivot() -> None:
    """It comes from the container's own devpts, under the container's root (CVE-2025-52565)."""
    steps = _plan(_record(tty=True))
    assert _position(steps, PivotRoot) < _position(steps, MakeConsole)
    assert not any(isinstance(s, MakeConsole) for s in _plan(_record()))


def test_filter_is_last_under_no_new_privileges() -> None:
    """Then no capability is needed to install it, and it does not have to allow what the other steps do."""
    steps = _plan(_record(HostConfig(security_opt=("no-new-privileges",))))
    assert _position(steps, NoNewPrivileges) < _position(steps, SetUser) < _position(steps, LoadSeccomp) == len(steps) - 2


def test_layers_are_stacked_with_the_newest_first() -> None:
    """Overlayfs names lower directories from the top down, images list layers from the bottom up."""
    steps = _plan(_record())
    overlay = steps[_position(steps, Mount, fstype="overlay")]
    assert isinstance(overlay, Mount)
    assert overlay.data == "lowerdir=b:a,upperdir=../c/upper,workdir=../c/work,redirect_dir=off,metacopy=off,index=off"
    assert overlay.cwd == "/l"


NAMESPACES = {
    "uts": (HostConfig(uts_mode="host"), Clone.NEWUTS),
    "net": (HostConfig(network_mode="host"), Clone.NEWNET),
    "ipc": (HostConfig(ipc_mode="host"), Clone.NEWIPC),
    "cgroup": (HostConfig(cgroupns_mode="host"), Clone.NEWCGROUP),
}


@pytest.mark.parametrize(("host", "flag"), NAMESPACES.values(), ids=NAMESPACES)
def test_host_mode_leaves_the_namespace_out(host: HostConfig, flag: Clone) -> None:
    """A namespace that is not unshared is the host's."""
    made = Clone(0)
    for step in _plan(_record(host)):
        if isinstance(step, Unshare):
            made |= step.namespaces
    assert not made & flag
    assert made & Clone.NEWNS


def test_host_pid_mode_unshares_no_pid_namespace() -> None:
    """The monitor then forks init into its own, the host's."""
    steps = _plan(_record(HostConfig(pid_mode="host")))
    assert not any(isinstance(s, Unshare) and s.namespaces & Clone.NEWPID for s in steps)


def test_mounts_are_made_parents_first() -> None:
    """A mount over a parent directory would hide the child that was mounted before it."""
    mounts = tuple(MountPoint(type="bind", source="/s", destination=d) for d in ("/a/b/c", "/a", "/a/b"))
    targets = [s.target for s in _plan(_record(mounts=mounts)) if isinstance(s, Mount) and s.source == "/s"]
    assert targets == ["/a", "/a/b", "/a/b/c"]


def test_readonly_bind_is_remounted_read_only() -> None:
    """`-v …:ro` keeps the container from writing; the host still can."""
    mounts = (MountPoint(type="bind", source="/s", destination="/d", read_write=False),)
    step = next(s for s in _plan(_record(mounts=mounts)) if isinstance(s, Mount) and s.source == "/s")
    assert step.flags & Ms.RDONLY
    assert step.flags & Ms.BIND


def test_privileged_container_hides_and_filters_nothing() -> None:
    """`--privileged` is every capability, no masks; the engine leaves the filter out."""
    record = _record(HostConfig(privileged=True))
    steps = plan_container(record, EXAMPLE_HOST, replace(AROUND, seccomp_program=b""))
    assert not any(isinstance(s, MaskPath | LoadSeccomp) for s in steps)
    drop = steps[_position(steps, DropCapabilities)]
    assert isinstance(drop, DropCapabilities)
    assert "CAP_SYS_ADMIN" in drop.keep


def test_default_masks_cover_dockers_list() -> None:
    """What tells one container about the whole machine, or lets it read the kernel's memory, is hidden."""
    assert {s.path for s in _plan(_record()) if isinstance(s, MaskPath)} == set(MASKED_PATHS)


def test_unknown_ulimit_is_refused() -> None:
    """Before anything was done, with Docker's words."""
    with pytest.raises(InvalidParameter, match="invalid ulimit type: speed"):
        _plan(_record(HostConfig(ulimits=(Ulimit(name="speed"),))))


ENVIRONMENTS = {
    "defaults": ((), False, ("PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "HOSTNAME=web")),
    "path-of-the-image": (("PATH=/bin",), False, ("PATH=/bin", "HOSTNAME=web")),
    "terminal": (("PATH=/bin",), True, ("PATH=/bin", "HOSTNAME=web", "TERM=xterm")),
    "later-word-wins": (("PATH=/bin", "A=1", "A=2"), False, ("PATH=/bin", "HOSTNAME=web", "A=2")),
    "bare-name-removes": (("PATH=/bin", "HOSTNAME"), False, ("PATH=/bin",)),
}


@pytest.mark.parametrize(("env", "tty", "expected"), ENVIRONMENTS.values(), ids=ENVIRONMENTS)
def test_environment_is_dockers_words_under_the_users(env: tuple[str, ...], tty: bool, expected: tuple[str, ...]) -> None:
    """PATH and HOSTNAME are always there; what image or user say comes over them."""
    assert compute_environment(_record(env=env, tty=tty)) == expected


def test_exec_joins_the_namespaces_of_the_running_container() -> None:
    """All but the pid namespace, which the child of the monitor is born into."""
    record = replace(_record(), state=State(status=Status.RUNNING, pid=42))
    steps = plan_exec(record, EXAMPLE_HOST, AROUND, ExecPlan(argv=("ps",), env=("A=1",)))
    join = steps[_position(steps, Join)]
    assert isinstance(join, Join)
    assert join.pid == 42
    assert not join.namespaces & Clone.NEWPID
    last = steps[-1]
    assert isinstance(last, Exec)
    assert "A=1" in last.env


def test_every_step_of_a_plan_is_explained_with_a_reason() -> None:
    """`run --explain` is for people who do not know yet why; a step without a reason would leave them there."""
    steps = _plan(_record(HostConfig(oom_score_adj=5, ulimits=(Ulimit(name="nofile", soft=1, hard=1),)), tty=True))
    assert all(step.why for step in steps)
    text = explain_steps(steps)
    assert text.count("\n") == 2 * len(steps)
    assert {actor_of(step) for step in steps} == {Actor.MONITOR, Actor.INIT}


REMAPPED = replace(AROUND, ids=IdMap(uids=(IdRange(0, 100000, 65536),), gids=(IdRange(0, 100000, 65536),)))


def _plan_remapped(host: HostConfig | None = None, **around: object) -> tuple[Step, ...]:
    return plan_container(_record(host), EXAMPLE_HOST, replace(REMAPPED, **around))  # type: ignore[arg-type]  # test data


def test_host_root_does_its_part_before_the_users_change() -> None:
    """The image's layers, the control group and the score are the host's: the container's root may touch none of them."""
    steps = _plan_remapped(HostConfig(oom_score_adj=5))
    entry = _position(steps, EnterUserNamespace)
    assert _position(steps, ForkInit) < _position(steps, JoinCgroup) < entry
    assert _position(steps, Mount, source="overlay") < entry
    assert _position(steps, SetOomScore) < entry


def test_namespaces_are_made_by_the_root_who_shall_own_them() -> None:
    """A namespace belongs to the user namespace it was made in; only that one's root may mount its procfs or name its host."""
    steps = _plan_remapped()
    entry, fork = _position(steps, EnterUserNamespace), _position(steps, ForkAgain)
    assert not any(isinstance(step, Unshare) and step.actor is Actor.MONITOR for step in steps)
    made = [(n, step.namespaces) for n, step in enumerate(steps) if isinstance(step, Unshare)]
    assert made[0][1] == Clone.NEWNS
    assert made[0][0] < entry
    assert all(n > entry for n, _ in made[1:])
    assert (fork - 1, Clone.NEWPID) in made, "process 1 is the first child after the pid namespace"
    assert {step.path for step in steps if isinstance(step, BindDevice)} > {"/dev/null", "/dev/tty"}
    assert not any(isinstance(step, MakeDevice) for step in steps)


def test_limit_is_set_by_the_monitor_where_init_may_not_raise_it() -> None:
    """Raising a hard limit is a privilege of the first user namespace; the monitor still has it, and init waits for its word."""
    steps = _plan_remapped(HostConfig(ulimits=(Ulimit(name="nofile", soft=1, hard=2),)))
    assert steps[_position(steps, SetRlimit)].actor is Actor.MONITOR  # type: ignore[union-attr]  # found by its type
    assert _position(steps, Synchronise) < _position(steps, SetRlimit) < _position(steps, DropCapabilities)


def test_sharing_a_namespace_shares_its_owner() -> None:
    """Who joins a container's network becomes one of its users first, or could do nothing in it."""
    steps = _plan_remapped(HostConfig(network_mode="container:x", pid_mode="container:x"), namespace_pids=(("pid", 7), ("net", 7)))
    assert steps[_position(steps, EnterUserNamespace)].pid == 7  # type: ignore[union-attr]  # found by its type
    assert not any(isinstance(step, ForkAgain) for step in steps), "the pid namespace has its process 1 already"
    assert _position(steps, EnterUserNamespace) < _position(steps, Join, namespaces=Clone.NEWNET)


def test_exec_becomes_a_user_of_the_container_before_it_enters_the_rest() -> None:
    """setns(2) takes a privilege over each namespace, which the user namespace gives."""
    running = replace(_record(), state=State(status=Status.RUNNING, pid=9))
    steps = plan_exec(running, EXAMPLE_HOST, REMAPPED, ExecPlan(argv=("id",)))
    assert _position(steps, Join, actor=Actor.MONITOR) < _position(steps, ForkInit) < _position(steps, EnterUserNamespace, pid=9)
    assert _position(steps, EnterUserNamespace) < _position(steps, Join, actor=Actor.INIT)


SHARED_MEMORY = {
    "": Mount(source="shm", target="/dev/shm", fstype="tmpfs"), "host": Mount(source="/dev/shm", target="/dev/shm"),
    "container:x": Mount(source="/dev/shm", source_pid=7, target="/dev/shm"), "none": None,
}  # fmt: skip


@pytest.mark.parametrize(("mode", "expected"), SHARED_MEMORY.items())
def test_shared_memory_is_as_shared_as_the_namespace(mode: str, expected: Mount | None) -> None:
    """shm_open(3) makes files in /dev/shm: who shares the ipc namespace has to see the same ones."""
    steps = plan_container(_record(HostConfig(ipc_mode=mode)), EXAMPLE_HOST, replace(AROUND, namespace_pids=(("ipc", 7),) if "x" in mode else ()))
    found = [step for step in steps if isinstance(step, Mount) and step.target == "/dev/shm"]
    assert [(m.source, m.source_pid, m.fstype) for m in found] == ([] if expected is None else [(expected.source, expected.source_pid, expected.fstype)])


def test_exec_has_the_limits_of_the_container() -> None:
    """One more process of a container is as limited as the first, and dies as early of a lack of memory."""
    record = replace(_record(HostConfig(ulimits=(Ulimit(name="nofile", soft=1, hard=2),), oom_score_adj=5)), state=State(status=Status.RUNNING, pid=9))
    for around, actor in ((AROUND, Actor.INIT), (REMAPPED, Actor.MONITOR)):
        steps = plan_exec(record, EXAMPLE_HOST, around, ExecPlan(argv=("id",)))
        assert [(step.soft, step.actor) for step in steps if isinstance(step, SetRlimit)] == [(1, actor)]
        assert _position(steps, SetOomScore, score=5) < _position(steps, Join, actor=Actor.INIT)


def test_exec_enters_only_what_is_the_containers_own() -> None:
    """To join a namespace takes a right over it, even where one is in it already; a server without root has none over the host's."""
    record = replace(_record(HostConfig(network_mode="host", ipc_mode="host", uts_mode="host", cgroupns_mode="host")), state=State(status=Status.RUNNING, pid=9))
    steps = plan_exec(record, EXAMPLE_HOST, AROUND, ExecPlan(argv=("id",)))
    assert [step.namespaces for step in steps if isinstance(step, Join)] == [Clone.NEWNS]


def test_server_in_a_user_namespace_binds_what_it_cannot_mount() -> None:
    """A procfs or sysfs of the host's namespaces belongs to other users, devices cannot be made, and not every group has a number."""
    inside = replace(AROUND, may_make_devices=False, overlay_options="index=off,userxattr", has_terminal_group=False)
    steps = plan_container(_record(HostConfig(network_mode="host", pid_mode="host")), EXAMPLE_HOST, inside)
    bound = {step.source for step in steps if isinstance(step, Mount) and step.flags & Ms.BIND and not step.host_target}
    assert {"/proc", "/sys"} <= bound
    assert not any(isinstance(step, MakeDevice) for step in steps)
    by_type = {step.fstype: step.data for step in steps if isinstance(step, Mount)}
    assert "gid=" not in by_type["devpts"]
    assert by_type["overlay"].endswith(",index=off,userxattr")
