"""The operations of the OCI run time: create, start, kill, delete, exec, and what runc has beside them.

Acting. Each is one command of a caller that keeps nothing of ours running: it reads the state file, does its work, writes the state
file. A `create` that fails leaves nothing: no process, no control group, no directory. See "Operations" of the specification, runc(8).
Chapter 16.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import socket
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

from minidocker.cgroup.layout import CgroupLayout, read_layout
from minidocker.cgroup.limits import plan_update
from minidocker.container.host import read_host
from minidocker.container.logs import format_time
from minidocker.container.seccomp import compile_profile, parse_profile
from minidocker.errors import Conflict, HostError, InvalidParameter
from minidocker.kernel.perform import write_cgroup
from minidocker.kernel.steps import WriteCgroup
from minidocker.oci.birth import Birth, pass_gate
from minidocker.oci.bundle import Process, Resources, Spec, read_bundle
from minidocker.oci.hooks import run_hooks
from minidocker.oci.plan import Ground, compute_cgroup_name, compute_groups, compute_limits, plan_bundle, plan_process
from minidocker.oci.state import GATE, ContainerState, StateStore, Status, read_start_ticks, render_state
from minidocker.spec.container import HostConfig
from minidocker.spec.record import Json

__all__ = [
    "CreateOptions", "create_container", "delete_container", "exec_process", "freeze_container", "kill_container", "list_pids",
    "start_container", "update_limits", "wait_process",
]  # fmt: skip

GONE_TRIES: Final = 1000
GONE_PAUSE_S: Final = 0.01
"""How long the kernel may take to bury what was killed: it may hang in a device for a moment."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CreateOptions:
    """What a caller says beside the bundle."""

    bundle: Path
    take_console: Callable[[int], None] | None = None
    """What to do with the master side of the process's terminal; needed exactly where the bundle asks for one."""
    pid_file: str = ""
    preserve_fds: int = 0
    """How many descriptors from 3 upwards the process keeps."""
    pivot: bool = True
    """Whether the root is changed with pivot_root(2)."""


def _ground(
    spec: Spec, process: Process, directory: Path, container_id: str, layout: CgroupLayout, *, preserve_fds: int = 0, pivot: bool = True
) -> Ground:
    root = os.path.realpath(directory / spec.root.path)
    if not os.path.isdir(root):
        raise InvalidParameter(f"use root file system `{root}`: it is no directory")
    program = b""
    host = read_host()
    if spec.linux.seccomp and host.seccomp:
        capabilities = frozenset(process.capabilities.bounding if process.capabilities else ())
        profile = parse_profile(json.dumps(spec.linux.seccomp))
        program = compile_profile(profile, capabilities=capabilities, machine=host.machine, kernel=host.kernel)
    return Ground(
        container_id=container_id, root=root, bundle=str(directory), is_root=os.geteuid() == 0, layout=layout, seccomp_program=program,
        preserve_fds=preserve_fds, pivot=pivot,
    )  # fmt: skip


def create_container(store: StateStore, container_id: str, options: CreateOptions) -> ContainerState:
    """Make a container whose init waits for `start`; return its state.

    Raises:
        Conflict: the id is taken.
        StartFailed, HostError, InvalidParameter: it cannot be made; nothing is left.
    """
    bundle = options.bundle.resolve()
    spec = read_bundle(bundle)
    if spec.process is None:
        raise InvalidParameter("create container: the bundle names no process")
    if spec.process.terminal and options.take_console is None:
        raise InvalidParameter("cannot allocate tty if runc will detach without setting console socket", hint="give --console-socket")
    directory = store.reserve(container_id)
    shutil.copyfile(bundle / "config.json", directory / "config.json")
    layout = read_layout()
    cgroups = tuple(f"{h.mount_point}/{compute_cgroup_name(spec.linux.cgroups_path, container_id)}" for h in layout.hierarchies)
    birth: Birth | None = None
    try:
        _look_into_groups(cgroups, _freezer(layout, cgroups))
        ground = _ground(
            spec, spec.process, bundle, container_id, layout, preserve_fds=options.preserve_fds, pivot=options.pivot
        )
        steps = plan_bundle(spec, spec.process, ground)
        with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as gate:
            gate.bind(str(directory / GATE))
            gate.listen(1)
            os.umask(0o022 if spec.process.user.umask is None else spec.process.user.umask)
            stdio = () if spec.process.terminal else (0, 1, 2)
            birth = Birth(steps, name=container_id, stdio=stdio, gate=gate, inside=_hooks_inside(container_id, bundle, spec, ground.root))

            def on_pause(pid: int) -> None:
                document = _early_state(container_id, bundle, spec, pid, "creating")
                run_hooks("prestart", spec.hooks.prestart, document)
                run_hooks("createRuntime", spec.hooks.create_runtime, document)

            birth.perform(on_pause)
        state = ContainerState(
            id=container_id, pid=birth.pid, start_ticks=read_start_ticks(birth.pid), bundle=str(bundle),
            created=format_time(time.time_ns()), cgroups=cgroups, freezer=_freezer(layout, cgroups), annotations=spec.annotations,
        )  # fmt: skip
        store.save(state)
        if birth.console >= 0 and options.take_console is not None:
            options.take_console(birth.console)
        write_pid_file(options.pid_file, birth.pid)
        birth.leave_at_gate()
    except BaseException as error:
        if birth is not None:
            birth.abandon()
        if not isinstance(error, Conflict):  # they are somebody else's
            _remove_groups(cgroups)
        store.forget(container_id)
        raise
    return state


def _look_into_groups(cgroups: Sequence[str], freezer: str) -> None:
    """Refuse control groups that are frozen: whoever enters never gets out. That they are not empty is worth a line."""
    if _is_frozen(freezer):
        raise Conflict(f"container's cgroup unexpectedly frozen: `{freezer}`")
    for directory in cgroups[:1]:
        with suppress(FileNotFoundError):
            if Path(directory, "cgroup.procs").read_text(encoding="ascii"):
                os.write(2, f"container's cgroup is not empty: `{directory}`\n".encode())


def _is_frozen(freezer: str) -> bool:
    with suppress(OSError):  # no such group, or it is gone
        return bool(freezer) and Path(freezer).read_text(encoding="ascii").strip() in ("FROZEN", "1")
    return False


def _hooks_inside(container_id: str, bundle: Path, spec: Spec, root: str) -> tuple[Callable[[], None], Callable[[], None]]:
    """Return what init calls: `createContainer` in the host's files, `startContainer` in its own, as the container's user."""

    def create_container() -> None:
        state = _early_state(container_id, bundle, spec, os.getpid(), "creating")
        run_hooks("createContainer", spec.hooks.create_container, state, cwd=root)

    def start_container() -> None:
        run_hooks("startContainer", spec.hooks.start_container, _early_state(container_id, bundle, spec, os.getpid(), "created"))

    return create_container, start_container


def _early_state(container_id: str, bundle: Path, spec: Spec, pid: int, status: str) -> dict[str, Json]:
    """Return the state that hooks see before the command runs."""
    state = ContainerState(id=container_id, pid=pid, start_ticks=0, bundle=str(bundle), created="", annotations=spec.annotations)
    return {**render_state(state, Status.CREATED), "status": status}


def _freezer(layout: CgroupLayout, cgroups: Sequence[str]) -> str:
    if layout.version == 2:
        return f"{cgroups[0]}/cgroup.freeze"
    return next((f"{c}/freezer.state" for c, h in zip(cgroups, layout.hierarchies, strict=True) if "freezer" in h.controllers), "")


def write_pid_file(path: str, pid: int) -> None:
    """Write *pid* where a caller waits for it: whole or not at all."""
    if path:
        temporary = f"{path}.new-{os.getpid()}"
        Path(temporary).write_text(str(pid), encoding="ascii")
        os.replace(temporary, path)


def start_container(store: StateStore, container_id: str) -> None:
    """Let a created container run its command.

    Raises:
        Conflict: it is not created, or was started already.
        StartFailed: the command cannot be executed.
    """
    state = store.require(container_id)
    status = store.status(state)
    if status is not Status.CREATED:
        words = {Status.STOPPED: "cannot start a container that has stopped"}
        raise Conflict(words.get(status, "cannot start an already running container"))
    spec = store.spec(container_id)
    path = store.directory(container_id) / GATE
    try:
        pass_gate(str(path))
    finally:
        path.unlink(missing_ok=True)
    run_hooks("poststart", spec.hooks.poststart, render_state(state, Status.RUNNING))


def kill_container(store: StateStore, container_id: str, number: int, *, all_processes: bool) -> None:
    """Send a signal to a container's first process, or to all that are in its control group.

    Raises:
        Conflict: it has stopped; with *all_processes* that is fine.
    """
    state = store.require(container_id)
    if all_processes:
        for pid in list_pids(state):
            with suppress(ProcessLookupError):  # it ended while we looked
                os.kill(pid, number)
        return
    if store.status(state) is Status.STOPPED:
        raise Conflict("container not running")
    with suppress(ProcessLookupError):
        os.kill(state.pid, number)
    if number == signal.SIGKILL:
        _thaw(state)


def _thaw(state: ContainerState) -> None:
    """A frozen process cannot die."""
    with suppress(OSError):  # no freezer, no frost
        Path(state.freezer).write_text("0" if state.freezer.endswith("cgroup.freeze") else "THAWED", encoding="ascii")


def list_pids(state: ContainerState) -> list[int]:
    """Return the processes in a container's control group; host pids."""
    pids: set[int] = set()
    for directory in state.cgroups[:1]:
        for path in (Path(directory, "cgroup.procs"), *Path(directory).glob("**/cgroup.procs")):
            with suppress(OSError):  # the group is gone, and with it everybody
                pids |= set(map(int, path.read_text(encoding="ascii").split()))
    return sorted(pids)


def freeze_container(store: StateStore, container_id: str, *, frozen: bool) -> None:
    """Freeze or thaw all processes of a container.

    Raises:
        Conflict: it does not run, or is in that state.
        HostError: this machine has no freezer, or does not finish.
    """
    state = store.require(container_id)
    wanted = (Status.RUNNING, Status.CREATED) if frozen else (Status.PAUSED,)
    if store.status(state) not in wanted:
        raise Conflict("container not running" if frozen else "container not paused")
    if not state.freezer:
        raise HostError("pause container: this machine has no freezer control group")
    is_v2 = state.freezer.endswith("cgroup.freeze")
    word = str(int(frozen)) if is_v2 else ("FROZEN" if frozen else "THAWED")
    report, done = (Path(state.freezer).with_name("cgroup.events"), f"frozen {word}") if is_v2 else (Path(state.freezer), word)
    Path(state.freezer).write_text(word, encoding="ascii")
    for _ in range(GONE_TRIES):
        if done in report.read_text(encoding="ascii").splitlines():
            return
        time.sleep(GONE_PAUSE_S)
    raise HostError("pause container: the kernel does not finish; a process hangs in it")


def delete_container(store: StateStore, container_id: str, *, force: bool) -> None:
    """Remove a container that has stopped, with *force* any; call its poststop hooks.

    Raises:
        NotFound: there is none; fine with *force*.
        Conflict: it runs.
    """
    if force and not (store.directory(container_id) / "state.json").exists():
        store.forget(container_id)
        return
    state = store.require(container_id)
    status = store.status(state)
    if status in (Status.RUNNING, Status.PAUSED) and not force:
        raise Conflict(f"cannot delete container {container_id} that is not stopped: {status}")
    if status is not Status.STOPPED:
        with suppress(ProcessLookupError):
            os.kill(state.pid, signal.SIGKILL)
        _thaw(state)
        _wait_until_gone(state)
    _remove_groups(state.cgroups)
    spec = store.spec(container_id)
    store.forget(container_id)
    with suppress(HostError, InvalidParameter):  # the specification: log a failure of poststop, and go on
        run_hooks("poststop", spec.hooks.poststop, render_state(state, Status.STOPPED))


def _wait_until_gone(state: ContainerState) -> None:
    for _ in range(GONE_TRIES):
        if read_start_ticks(state.pid) != state.start_ticks:
            return
        time.sleep(GONE_PAUSE_S)
    raise HostError(f"delete container `{state.id}`: its process does not end even when killed")


def _remove_groups(cgroups: Sequence[str]) -> None:
    """Kill what is left in the groups (a shared pid namespace does not die with its first process) and remove them."""
    for directory in cgroups:
        for attempt in range(GONE_TRIES):
            try:
                for inner in sorted(Path(directory).glob("**/"), reverse=True):
                    inner.rmdir()
                break
            except FileNotFoundError:
                break
            except OSError:
                with suppress(OSError, ValueError):
                    for line in Path(directory, "cgroup.procs").read_text(encoding="ascii").split():
                        os.kill(int(line), signal.SIGKILL)
                time.sleep(min(0.001 * attempt, GONE_PAUSE_S))


def exec_process(
    store: StateStore, container_id: str, process: Process, *, take_console: Callable[[int], None] | None, pid_file: str,
    preserve_fds: int = 0, ignore_paused: bool = False, groups: Sequence[str] = (),
) -> int:  # fmt: skip
    """Run one more process in a container; return its pid, which is a child of ours.

    Raises:
        Conflict: the container does not run.
        StartFailed: the command cannot be executed.
    """
    state = store.require(container_id)
    fine = (Status.RUNNING, Status.CREATED, *((Status.PAUSED,) if ignore_paused else ()))
    if store.status(state) not in fine:
        raise Conflict("cannot exec in a stopped container" if store.status(state) is Status.STOPPED else "cannot exec in a paused container")
    spec = store.spec(container_id)
    base = spec.process or Process()
    process = process if process.capabilities is not None else replace(process, capabilities=base.capabilities)
    ground = _ground(spec, process, Path(state.bundle), container_id, read_layout(), preserve_fds=preserve_fds)
    os.umask(0o022 if process.user.umask is None else process.user.umask)
    layout = read_layout()
    chosen = compute_groups(layout, compute_cgroup_name(spec.linux.cgroups_path, container_id), groups)
    birth = Birth(plan_process(spec, process, state.pid, ground, chosen), name=container_id, stdio=() if process.terminal else (0, 1, 2))
    birth.perform(lambda _pid: None)
    if birth.console >= 0 and take_console is not None:
        take_console(birth.console)
    write_pid_file(pid_file, birth.pid)
    birth.release()
    return birth.pid


def wait_process(pid: int) -> int:
    """Wait for a child, pass signals on to it meanwhile, and return its exit status as a shell does."""
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGQUIT, signal.SIGUSR1, signal.SIGUSR2):
        signal.signal(number, lambda n, _frame: _forward(pid, n))
    code = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
    return code if code >= 0 else 128 - code


def _forward(pid: int, number: int) -> None:
    with suppress(ProcessLookupError):
        os.kill(pid, number)


def _try_to_write(step: WriteCgroup) -> bool:
    try:
        write_cgroup(step)
    except OSError:
        return False
    return True


def update_limits(store: StateStore, container_id: str, resources: Resources) -> None:
    """Set the limits in *resources* on a container that exists.

    Raises:
        HostError: the kernel refuses one.
    """
    store.require(container_id)
    layout = read_layout()
    name = compute_cgroup_name(store.spec(container_id).linux.cgroups_path, container_id)
    steps = [*plan_update(HostConfig(), compute_limits(resources), layout, name)]
    again = [step for step in steps if not _try_to_write(step)]  # a period may fit only with its quota, memory only with swap
    for step in again:
        try:
            write_cgroup(step)
        except OSError as error:
            raise HostError(f"write `{step.value}` to `{step.path}`: {error.strerror}") from error
