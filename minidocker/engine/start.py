"""`docker start`: from a record to a running monitor, and what happens when it ends.

The engine gathers what the plan needs (network endpoint, name files, seccomp program), has the launcher fork a monitor, hands
it the clients that attached beforehand, and says `Start`. From then on the news comes through the link: `settle_exit` moves
the record on, gives the network back, wakes those who wait, and restarts or removes the container as it was told to.
"""

from __future__ import annotations

import os
import shutil
import socket
import stat
import threading
import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Final

from minidocker.codec.idmap import IdMap, find_inside
from minidocker.cgroup.limits import THROTTLES, plan_cgroup, plan_device_rules, plan_join, plan_limits, plan_view
from minidocker.container.health import Health, HealthStatus
from minidocker.container.devices import DEFAULT_DEVICES, DeviceNode, device_rules
from minidocker.container.plan import TERMINAL_GROUP, Surroundings, compute_granted_capabilities, plan_container
from minidocker.container.protocol import Exited, Failed, Launch, Started
from minidocker.container.record import ContainerRecord, NetworkEndpoint, Status, move_state
from minidocker.container.seccomp import compile_profile, default_profile, parse_profile
from minidocker.engine.attach import ARRIVAL_LIMIT_S
from minidocker.engine.conflicts import parse_size
from minidocker.engine.endpoint import plan_endpoints
from minidocker.engine.engine import Engine, hasten_moves, now, publish_container_event, publish_network_event
from minidocker.engine.health import start_health, stop_health
from minidocker.engine.links import find_links, link_environment
from minidocker.engine.monitors import MonitorLink, bind_monitor_socket, connect_monitor, read_exit_file
from minidocker.engine.name_files import compose_name_service, write_name_files
from minidocker.engine.store import Handle
from minidocker.engine.wait import ExitResult, resolve_waiters
from minidocker.errors import Conflict, HostError, InvalidParameter, MinidockerError, NotModified
from minidocker.kernel.steps import Step

__all__ = [
    "group_name", "id_map_of", "lacks_groups", "link_monitor", "network_of", "proxy_targets", "seccomp_program", "settle_exit", "split_hint", "start_container",
    "start_handle", "surroundings_of",
]  # fmt: skip

RUNTIME_CHAIN: Final = "failed to create task for container: failed to create shim task: OCI runtime create failed: runc create failed"
"""The way of an error through Docker's layers, which stands in front of the reason: people search the web for it."""
GROUP_REMOVE_TRIES: Final = 50
GROUP_REMOVE_PAUSE_S: Final = 0.01
"""A control group is busy until the kernel has buried its last process."""
LOST_EXIT_CODE: Final = 255
"""For a container whose monitor ended without a word, as Docker does."""
RESTART_DELAY_S: Final = 0.1
MAX_RESTART_DELAY_S: Final = 60.0
"""Docker's back-off: doubled each time from a tenth of a second to a minute."""


def start_container(engine: Engine, reference: str) -> None:
    """Run a container's command.

    Raises:
        NotModified: it runs already.
        InvalidParameter: the command cannot be executed; the container stays as it was, with the reason in its state.
        HostError: the machine refused a step.
    """
    handle = engine.containers.require(reference)
    with handle.lock:
        status = handle.record.state.status
        if status is Status.PAUSED:
            raise Conflict("cannot start a paused container, try unpause instead")
        if handle.record.state.running:
            raise NotModified(f"container {handle.record.id} is already running")
        if status in (Status.REMOVING, Status.DEAD):
            raise Conflict("container is marked for removal and cannot be started")
        try:
            start_handle(engine, handle)
        except MinidockerError:
            if handle.record.host_config.auto_remove:
                from minidocker.engine.remove import remove_handle  # removing needs stopping needs this module

                resolve_waiters(handle, ("next-exit",), ExitResult(status_code=handle.record.state.exit_code))
                remove_handle(engine, handle, volumes=True)
            raise


def group_name(record: ContainerRecord) -> str:
    """Return the name of the container's control group below each tree's root."""
    return f"{record.host_config.cgroup_parent.strip('/') or 'minidocker'}/{record.id}"


def surroundings_of(engine: Engine, record: ContainerRecord) -> Surroundings:
    """Gather what a plan takes from other concepts.

    Raises:
        InvalidParameter: a profile, device or namespace that does not exist.
    """
    config, layout, name = record.host_config, engine.layout, group_name(record)
    devices = _find_devices(record)
    rules = ("a *:* rwm",) if config.privileged else device_rules(devices, config.device_cgroup_rules)
    limits: tuple[Step, ...] = () if lacks_groups(engine) else plan_limits(config, layout, name, devices=_read_throttled(record))
    if not config.privileged and engine.config.rootless is None:  # bpf(2) is root's, and who is not root opens no device by its number
        limits = (*limits, *plan_device_rules(layout, name, rules))
    program, profile = seccomp_program(engine, record)
    shared = tuple(
        (kind, _pid_of(engine, mode.partition(":")[2]))
        for kind, mode in (("pid", config.pid_mode), ("ipc", config.ipc_mode), ("net", config.network_mode))
        if mode.startswith("container:")
    )
    return Surroundings(
        ids=id_map_of(engine, record), may_make_devices=engine.config.rootless is None, overlay_options=engine.overlay_options,
        has_terminal_group=find_inside(engine.ids.gids, TERMINAL_GROUP) is not None or engine.config.remaps, directory=str(engine.containers.directory / record.id), layers_directory=str(engine.data_root / "layers"),
        cgroup_setup=(*plan_cgroup(layout, name), *limits), cgroup_join=plan_join(layout, name),
        cgroup_view=plan_view(layout, writable=config.privileged, name=name if config.cgroupns_mode == "host" else ""),
        network=plan_endpoints(record.endpoints),
        seccomp_program=program, seccomp_profile=profile, devices=devices, namespace_pids=shared, environment=link_environment(engine, record),
        rows=config.console_size[0] if len(config.console_size) == 2 else 0,
        columns=config.console_size[1] if len(config.console_size) == 2 else 0,
    )  # fmt: skip


def lacks_groups(engine: Engine) -> bool:
    """Whether this server, which has no root, was given no control group: limits are discarded, and the client is told."""
    return engine.config.rootless is not None and not engine.layout.version


def id_map_of(engine: Engine, record: ContainerRecord) -> IdMap | None:
    """Return the map of the container's own user namespace; None: it has the server's."""
    return engine.ids if engine.config.remaps and record.host_config.userns_mode != "host" else None


def _pid_of(engine: Engine, reference: str) -> int:
    record = engine.containers.require(reference).record
    if not record.state.running:
        raise Conflict(f"cannot join namespaces of a non running container: {reference}")
    return record.state.pid


def seccomp_program(engine: Engine, record: ContainerRecord) -> tuple[bytes, str]:
    """Return the filter program and the name of its profile."""
    choice = next((o.partition("=")[2] for o in record.host_config.security_opt if o.startswith("seccomp=")), "builtin")
    if record.host_config.privileged or choice == "unconfined" or not engine.host.seccomp:
        return b"", "unconfined"
    profile = default_profile() if choice in ("builtin", "default") else parse_profile(choice)
    capabilities = frozenset(compute_granted_capabilities(record, engine.host))
    program = compile_profile(profile, capabilities=capabilities, machine=engine.host.machine, kernel=engine.host.kernel)
    return program, "default" if choice in ("builtin", "default") else "custom"


def _find_devices(record: ContainerRecord) -> tuple[DeviceNode, ...]:
    """Return the default devices, those of `--device`, and under `--privileged` all of the host's."""
    found = {d.path: d for d in DEFAULT_DEVICES}
    if record.host_config.privileged:
        for directory, names, files in os.walk("/dev"):
            names[:] = [n for n in names if n not in ("pts", "shm", "mqueue", "fd")]
            for name in files:
                path = f"{directory}/{name}"
                if name not in ("console", "ptmx") and path not in found and not os.path.islink(path):
                    found.update((d.path, d) for d in _read_device(path, path, "rwm"))
    for mapping in record.host_config.devices:
        nodes = _read_device(mapping.path_on_host, mapping.path_in_container or mapping.path_on_host, mapping.cgroup_permissions)
        if not nodes:
            raise InvalidParameter(
                f'error gathering device information while adding custom device "{mapping.path_on_host}": no such file or directory'
            )
        found.update((d.path, d) for d in nodes)
    return tuple(found.values())


def _read_throttled(record: ContainerRecord) -> dict[str, str]:
    """Return the numbers of the block devices whose use is limited, by path."""
    fields = ("blkio_weight_device", *(field for _, field, *_ in THROTTLES))
    paths = {device.path for field in fields for device in getattr(record.host_config, field)}
    numbers = {}
    for path in sorted(paths):
        try:
            device = os.stat(path).st_rdev
        except OSError as error:
            raise InvalidParameter(f"stat {path}: {(error.strerror or '').lower()}") from error
        numbers[path] = f"{os.major(device)}:{os.minor(device)}"
    return numbers


def _read_device(host_path: str, path: str, permissions: str) -> tuple[DeviceNode, ...]:
    try:
        status = os.stat(host_path)
    except OSError:
        return ()
    if not (stat.S_ISCHR(status.st_mode) or stat.S_ISBLK(status.st_mode)):
        return ()
    return (
        DeviceNode(
            path=path, kind="b" if stat.S_ISBLK(status.st_mode) else "c", major=os.major(status.st_rdev),
            minor=os.minor(status.st_rdev), mode=stat.S_IMODE(status.st_mode), permissions=permissions, host_path=host_path,
        ),
    )  # fmt: skip


def start_handle(engine: Engine, handle: Handle) -> None:
    """Start a container whose lock is held.

    Raises:
        InvalidParameter, HostError: as `start_container`; nothing of the attempt is left.
    """
    hasten_moves(engine)
    links = find_links(engine, handle.record)
    allocation = engine.networks.allocate(handle.record)
    try:
        record = replace(handle.record, endpoints=allocation.endpoints)
        _prepare_files(engine, record, links)
        link, answer = _launch(engine, handle, record, allocation.listeners)
    except (OSError, MinidockerError) as error:
        _give_up(engine, handle, allocation.endpoints, text=str(error), exit_code=128)
        if isinstance(error, OSError):
            raise HostError(f"start container `{handle.record.name}`: {error.strerror or error}") from error
        raise
    finally:
        allocation.close()
    if isinstance(answer, Failed):
        text, hint = split_hint(answer.text)
        if not text.startswith("unable to find user"):  # Docker looks users up before any run time is asked
            text = f"{RUNTIME_CHAIN}: unable to start container process: {text}: unknown"
        _give_up(engine, handle, allocation.endpoints, text=text, exit_code=answer.exit_code)
        raise (InvalidParameter if answer.exit_code in (126, 127) else HostError)(text, hint=hint)
    handle.link = link
    started = move_state(
        record, Status.RUNNING, pid=answer.pid, started_at=now(), exit_code=0, error="", oom_killed=False, manually_stopped=False
    )
    handle.save(started)
    for endpoint in allocation.endpoints:
        publish_network_event(engine, "connect", endpoint, container=record.id)
    publish_container_event(engine, handle, "start")
    start_health(engine, handle)


def split_hint(text: str) -> tuple[str, str]:
    """Return what init said went wrong and, from the brackets at its end, what to do about it."""
    head, bracket, hint = text.rpartition(" (")
    return (head, hint[:-1]) if bracket and hint.endswith(")") else (text, "")


def _prepare_files(engine: Engine, record: ContainerRecord, links: tuple[str, ...]) -> None:
    directory = engine.containers.directory / record.id
    write_name_files(engine.networks, record, directory, links=links, owner=engine.ids.root)
    (directory / "exit.json").unlink(missing_ok=True)
    for mount in record.mounts:
        if mount.type == "bind" and not os.path.exists(mount.source):
            raise InvalidParameter(f'invalid mount config for type "bind": bind source path does not exist: {mount.source}')
        if mount.type == "volume":
            Path(mount.source).mkdir(parents=True, exist_ok=True)


def _launch(
    engine: Engine, handle: Handle, record: ContainerRecord, proxies: Sequence[socket.socket]
) -> tuple[MonitorLink, Started | Failed]:
    """Fork the monitor, hand the waiting clients over and let it start; return the link and its answer."""
    around = surroundings_of(engine, record)
    launch = _compose_launch(engine, handle, record, around)
    directory = engine.monitor_directory(record.id)
    with bind_monitor_socket(directory) as listener:
        engine.launcher.launch(launch, [listener, *proxies])
    connected = connect_monitor(directory)
    if connected is None:
        raise HostError("start container: its monitor could not be forked", hint="is the process limit reached?")
    link = link_monitor(engine, handle, connected[0])
    pending, handle.pending = handle.pending, []
    for client in pending:
        client.hand_over(link, wait_s=ARRIVAL_LIMIT_S)
    answer = link.start()
    return link, answer


def link_monitor(engine: Engine, handle: Handle, connection: socket.socket) -> MonitorLink:
    """Return a link over *connection* that tells the engine what happens to the container."""
    return MonitorLink(
        connection, on_exec_exit=partial(_note_exec_exit, engine, handle), on_exit=partial(settle_exit, engine, handle)
    )


def _compose_launch(engine: Engine, handle: Handle, record: ContainerRecord, around: Surroundings) -> Launch:
    config, name = record.config, group_name(record)
    options = record.host_config.log_config.config
    memory = engine.layout.directory("memory", name)
    return Launch(
        id=record.id, steps=plan_container(record, engine.host, around), tty=config.tty, open_stdin=config.open_stdin,
        stdin_once=config.stdin_once, exit_path=str(handle.directory / "exit.json"),
        log_path="" if record.host_config.log_config.type == "none" else str(handle.log_path),
        log_max_bytes=parse_size(options.get("max-size", "")), log_max_files=int(options.get("max-file", "1")),
        cgroups=tuple(f"{tree.mount_point}/{name}" for tree in engine.layout.hierarchies),
        oom_path=f"{memory}/{'memory.events' if engine.layout.version == 2 else 'memory.oom_control'}" if memory else "",
        proxies=proxy_targets(record), names=compose_name_service(engine.networks, record), network=network_of(engine, record),
    )  # fmt: skip


def network_of(engine: Engine, record: ContainerRecord) -> str:
    """Return where the monitor finds the bridges, if that is not the server's own network."""
    return engine.config.rootless.network if engine.config.rootless is not None and record.host_config.network_mode != "host" else ""


def proxy_targets(record: ContainerRecord) -> tuple[str, ...]:
    """Return the address and port behind each published port that the proxy serves, in the order of the ports."""
    return tuple(
        f"{endpoint.address or endpoint.address6}:{port.container_port}"
        for endpoint in record.endpoints
        for port in endpoint.ports
        if port.protocol != "sctp"
    )


def _give_up(engine: Engine, handle: Handle, endpoints: tuple[NetworkEndpoint, ...], *, text: str, exit_code: int) -> None:
    """Undo a start that failed: no network, no monitor directory, no waiting clients; the reason stays in the state."""
    engine.networks.release(endpoints)
    shutil.rmtree(engine.monitor_directory(handle.record.id), ignore_errors=True)
    pending, handle.pending = handle.pending, []
    for client in pending:
        client.close()
    status = handle.record.state.status
    status = status if status in (Status.CREATED, Status.EXITED) else Status.EXITED
    with suppress(OSError):  # a full disk: the error itself is what the user has to see
        handle.save(move_state(handle.record, status, error=text, exit_code=exit_code, pid=0))


def _note_exec_exit(engine: Engine, handle: Handle, exec_id: str, exit_code: int) -> None:
    with handle.lock:
        if exec_id in handle.execs:
            handle.execs[exec_id] = replace(handle.execs[exec_id], running=False, exit_code=exit_code)
    publish_container_event(engine, handle, "exec_die", execID=exec_id, exitCode=str(exit_code))


def settle_exit(engine: Engine, handle: Handle, exited: Exited | None) -> None:
    """The monitor said that the command ended, or went away without a word (*exited* is None)."""
    with handle.lock:
        if not handle.record.state.running:
            return  # a start that failed
        if exited is None:  # nobody is left to do the monitor's last work
            _remove_groups(engine, handle.record)
        exited = exited or read_exit_file(handle.directory / "exit.json")
        exited = exited or Exited(exit_code=LOST_EXIT_CODE, oom_killed=False, finished_at=now())
        handle.link = None
        stop_health(handle)
        record = handle.record
        if exited.oom_killed:
            publish_container_event(engine, handle, "oom")
        for exec_id, record_of_exec in handle.execs.items():
            if record_of_exec.running:
                handle.execs[exec_id] = replace(record_of_exec, running=False, exit_code=137)
        engine.networks.release(record.endpoints)
        shutil.rmtree(engine.monitor_directory(record.id), ignore_errors=True)
        again = _wants_restart(record, exited)
        ended = move_state(
            record, Status.RESTARTING if again else Status.EXITED, pid=0, exit_code=exited.exit_code,
            oom_killed=exited.oom_killed, finished_at=exited.finished_at, health=_end_health(record.state.health),
        )  # fmt: skip
        handle.record = replace(ended, endpoints=())
        if not record.host_config.auto_remove:  # what is removed next need not be written first
            handle.save(handle.record)
        (handle.directory / "exit.json").unlink(missing_ok=True)
        publish_container_event(engine, handle, "die", exitCode=str(exited.exit_code))
        for endpoint in record.endpoints:
            publish_network_event(engine, "disconnect", endpoint, container=record.id)
        conditions = ("next-exit", "not-running")  # also when it is to be restarted, as Docker: it does not run now
        if record.host_config.auto_remove:
            from minidocker.engine.remove import remove_handle  # removing needs stopping needs this module

            resolve_waiters(handle, conditions, ExitResult(status_code=exited.exit_code))
            remove_handle(engine, handle, volumes=True)
            return
        resolve_waiters(handle, conditions, ExitResult(status_code=exited.exit_code))
        if again:
            _restart_later(engine, handle)


def _end_health(health: Health | None) -> Health | None:
    """What does not run is not healthy: clients that wait for health must not wait for ever."""
    return replace(health, status=HealthStatus.UNHEALTHY) if health is not None else None


def _remove_groups(engine: Engine, record: ContainerRecord) -> None:
    """Remove the control groups of a container whose monitor was killed; init dies with it, a moment later."""
    for tree in engine.layout.hierarchies:
        path = f"{tree.mount_point}/{group_name(record)}"
        for _ in range(GROUP_REMOVE_TRIES):
            try:
                os.rmdir(path)
            except FileNotFoundError:
                break
            except OSError:
                time.sleep(GROUP_REMOVE_PAUSE_S)
            else:
                break


def _wants_restart(record: ContainerRecord, exited: Exited) -> bool:
    policy, state = record.host_config.restart_policy, record.state
    if state.manually_stopped:
        return False
    if policy.name == "on-failure":
        limit = policy.maximum_retry_count
        return exited.exit_code != 0 and (limit == 0 or state.restart_count < limit)
    return policy.name in ("always", "unless-stopped")


def _restart_later(engine: Engine, handle: Handle) -> None:
    delay = min(RESTART_DELAY_S * 2 ** min(handle.record.state.restart_count, 10), MAX_RESTART_DELAY_S)
    handle.restart_timer = threading.Timer(delay, _restart, (engine, handle))
    handle.restart_timer.daemon = True
    handle.restart_timer.start()


def _restart(engine: Engine, handle: Handle) -> None:
    with handle.lock:
        state = handle.record.state
        if state.status is not Status.RESTARTING:
            return  # stopped or removed while waiting
        handle.record = replace(handle.record, state=replace(state, restart_count=state.restart_count + 1))
        try:
            start_handle(engine, handle)
        except MinidockerError:
            resolve_waiters(handle, ("not-running",), ExitResult(status_code=handle.record.state.exit_code))
