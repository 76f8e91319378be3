"""`docker create`: a request and an image become a record and a directory; nothing runs yet."""

from __future__ import annotations

import os
import secrets
import shutil
from dataclasses import replace

from minidocker.cgroup.limits import check_resources
from minidocker.container.health import inherit_health
from minidocker.container.names import compose_name, parse_container_name
from minidocker.container.plan import MASKED_PATHS, READONLY_PATHS
from minidocker.container.record import ContainerRecord
from minidocker.engine.defaults import apply_defaults
from minidocker.engine.engine import Engine, hasten_moves, now, publish_container_event
from minidocker.engine.conflicts import check_host_config
from minidocker.engine.images import require_image
from minidocker.engine.mounts import resolve_mounts
from minidocker.engine.start import lacks_groups
from minidocker.errors import HostError, InvalidParameter, NotFound
from minidocker.ids import short_id
from minidocker.image.store import ImageRecord
from minidocker.kernel.copy import copy_stack
from minidocker.kernel.overlay import open_trees
from minidocker.network.wishes import complete_wishes, parse_link
from minidocker.spec.container import DEFAULT_SHM_BYTES, ContainerConfig, CreateRequest, HostConfig, LogConfig, NetworkingConfig, RestartPolicy

__all__ = ["complete_host_config", "compose_record", "create_container", "make_container_directory", "merge_config", "remove_anonymous_volumes"]


def create_container(engine: Engine, request: CreateRequest, *, name: str = "", platform: str = "") -> tuple[str, tuple[str, ...]]:
    """Make a container that can be started; return its id and warnings.

    Raises:
        NotFound: the image is not here.
        Conflict: the name is taken.
        InvalidParameter: the request contradicts itself or the machine.
    """
    hasten_moves(engine)  # `docker run` starts it in a moment
    image = require_image(engine, request.config.image)
    with engine.images.hold_layers(image) as layers:
        record = compose_record(engine, request, name=name, image=image, layers=layers)
        try:
            make_container_directory(engine, record)
            with engine.images.content.exclusive():  # either the container is known, or the image may be removed
                engine.images.require(image.id)
                handle = engine.containers.add(record)
        except BaseException:
            shutil.rmtree(engine.containers.directory / record.id, ignore_errors=True)
            remove_anonymous_volumes(engine, record)
            raise
    publish_container_event(engine, handle, "create")
    return record.id, (*_warnings(record.host_config, platform), *_discarded(engine, record.host_config))


def compose_record(
    engine: Engine, request: CreateRequest, *, name: str, image: ImageRecord, layers: tuple[str, ...]
) -> ContainerRecord:
    """Return the record that *request* describes, completed from *image* and with Docker's defaults.

    Volumes that it names exist afterwards; nothing else is touched.

    Raises:
        NotFound, InvalidParameter: as `create_container`.
    """
    name = parse_container_name(name) if name else ""
    container_id = secrets.token_hex(32)
    config = _complete_config(merge_config(request.config, image.config.config), request.host_config, container_id)
    if not (config.entrypoint or config.cmd):
        raise InvalidParameter("no command specified", hint="name one after the image")
    host_config = _name_shared_containers(engine, complete_host_config(apply_defaults(request.host_config, engine.config.defaults), version=engine.layout.version))
    check_resources(host_config, cpus=engine.host.cpus)
    check_host_config(engine, request.config, host_config)
    return ContainerRecord(
        id=container_id, name=name or _free_name(engine), created=now(), image_id=image.id, config=config,
        host_config=host_config, networking=_complete_networking(engine, config, host_config, request.networking_config), layers=layers,
        driver=engine.driver, mounts=resolve_mounts(engine, config, host_config),
    )  # fmt: skip


def _free_name(engine: Engine) -> str:
    retry = 0
    while not engine.containers.is_free(name := compose_name(secrets.randbits(32), retry=retry)):
        retry += 1
    return name


def make_container_directory(engine: Engine, record: ContainerRecord) -> None:
    """Make the directory in which a container has its files: empty over layers, else a copy of them."""
    directory = engine.containers.directory / record.id
    directory.mkdir(mode=0o710)
    if record.driver == "overlay2":
        for name in ("upper", "work", "merged"):
            (directory / name).mkdir(mode=0o755)
        os.chown(directory / "upper", *engine.ids.root)
    else:
        (directory / "rootfs").mkdir(mode=0o755)
        os.chown(directory / "rootfs", *engine.ids.root)
        layers = [engine.images.content.layers / name for name in reversed(record.layers)]
        try:
            with open_trees(layers) as fds, open_trees([directory / "rootfs"]) as (target_fd,):
                copy_stack(fds, target_fd)
        except OSError as error:
            raise HostError(f"copy the image's layers to `{directory}`: {error.strerror}") from error


def remove_anonymous_volumes(engine: Engine, record: ContainerRecord) -> None:
    """Remove the volumes that were made for a record which never became a container."""
    for mount in record.mounts:
        if mount.anonymous:
            engine.volumes.remove(mount.name)


def merge_config(asked: ContainerConfig, image: ContainerConfig) -> ContainerConfig:
    """Return the request with the image's defaults under it.

    A request that sets the entrypoint drops the image's command: it was meant for the other entrypoint.
    """
    entrypoint, cmd = asked.entrypoint, asked.cmd
    if not entrypoint:
        cmd = cmd or (image.cmd if entrypoint is None else cmd)
        entrypoint = image.entrypoint if entrypoint is None else entrypoint
    elif entrypoint == ("",):
        entrypoint = ()
    names = {word.partition("=")[0] for word in asked.env}
    return replace(
        asked,
        entrypoint=entrypoint or None,
        cmd=cmd,
        env=(*(word for word in image.env if word.partition("=")[0] not in names), *asked.env),
        user=asked.user or image.user,
        working_dir=asked.working_dir or image.working_dir,
        exposed_ports={**image.exposed_ports, **asked.exposed_ports},
        volumes={**image.volumes, **asked.volumes},
        labels={**image.labels, **asked.labels},
        stop_signal=asked.stop_signal or image.stop_signal,
        stop_timeout=asked.stop_timeout if asked.stop_timeout is not None else image.stop_timeout,
        healthcheck=inherit_health(asked.healthcheck, image.healthcheck),
        shell=asked.shell or image.shell,
        on_build=asked.on_build or image.on_build,
    )


def _complete_config(config: ContainerConfig, host: HostConfig, container_id: str) -> ContainerConfig:
    hostname = config.hostname
    if not hostname:
        hostname = os.uname().nodename if host.network_mode == "host" or host.uts_mode == "host" else short_id(container_id)
    if config.working_dir and not config.working_dir.startswith("/"):
        raise InvalidParameter(f"the working directory '{config.working_dir}' is invalid, it needs to be an absolute path")
    return replace(config, hostname=hostname)


def complete_host_config(host: HostConfig, *, version: int) -> HostConfig:
    """Fill in what Docker's server fills in, so that `inspect` shows it."""
    privileged = host.privileged or "systempaths=unconfined" in host.security_opt
    return replace(
        host,
        network_mode="bridge" if host.network_mode in ("", "default") else host.network_mode,
        log_config=LogConfig(type=host.log_config.type or "json-file", config=host.log_config.config),
        restart_policy=RestartPolicy(
            name=host.restart_policy.name or "no", maximum_retry_count=host.restart_policy.maximum_retry_count
        ),
        ipc_mode=host.ipc_mode or "private",
        cgroupns_mode=host.cgroupns_mode or "private",
        shm_size=host.shm_size or DEFAULT_SHM_BYTES,
        runtime=host.runtime or "runc",
        memory_swap=host.memory_swap or (2 * host.memory if host.memory > 0 else 0),
        oom_kill_disable=host.oom_kill_disable and version == 1,
        masked_paths=host.masked_paths if host.masked_paths is not None else (() if privileged else MASKED_PATHS),
        readonly_paths=host.readonly_paths if host.readonly_paths is not None else (() if privileged else READONLY_PATHS),
    )


def _name_shared_containers(engine: Engine, host: HostConfig) -> HostConfig:
    """Write the id of each container whose namespace is shared: its name may be another's tomorrow."""

    def name(mode: str) -> str:
        kind, colon, reference = mode.partition(":")
        return f"container:{engine.containers.require(reference).record.id}" if kind == "container" and colon else mode

    return replace(host, network_mode=name(host.network_mode), pid_mode=name(host.pid_mode), ipc_mode=name(host.ipc_mode))


def _complete_networking(engine: Engine, config: ContainerConfig, host: HostConfig, asked: NetworkingConfig) -> NetworkingConfig:
    """Return every network that is to be joined by its present name.

    Raises:
        InvalidParameter: networks that exclude each other, or a link to a container that does not exist.
    """
    mode = "none" if config.network_disabled else host.network_mode
    wishes = complete_wishes(mode, asked, mac_address=config.mac_address, resolve=engine.networks.resolve)
    for link in (*host.links, *(link for wish in wishes.values() for link in wish.links)):
        name, _alias = parse_link(link)
        try:
            engine.containers.require(name)
        except NotFound as error:
            raise InvalidParameter(f"could not get container for {name}: {error.message}") from error
    return NetworkingConfig(endpoints_config=wishes)


def _discarded(engine: Engine, host: HostConfig) -> tuple[str, ...]:
    """Say once, in one line, which limits a server without control groups cannot keep."""
    asked = [
        option for option, is_asked in (
            ("--memory", host.memory > 0), ("--cpus", bool(host.nano_cpus or host.cpu_quota)), ("--cpu-shares", bool(host.cpu_shares)),
            ("--cpuset-cpus", bool(host.cpuset_cpus)), ("--pids-limit", bool(host.pids_limit and host.pids_limit > 0)),
            ("--blkio-weight", bool(host.blkio_weight)),
        ) if is_asked
    ]  # fmt: skip
    if not (asked and lacks_groups(engine)):
        return ()
    words = "no control group was handed over to this user (with systemd: `systemctl edit user@.service`, `Delegate=cpu cpuset io memory pids`)"
    return (f"Limitation discarded: {', '.join(asked)}: {words}",)


def _warnings(host: HostConfig, platform: str) -> tuple[str, ...]:
    warnings = []
    if host.oom_kill_disable and not host.memory:
        warnings.append("OOM killer is disabled for the container, but no memory limit is set, this can result in the system running out of resources.")
    if platform and not platform.startswith("linux"):
        warnings.append(f"The requested image's platform ({platform}) does not match the detected host platform")
    return tuple(warnings)
