"""What the creator of a container asks for: `ContainerConfig` and `HostConfig`.

Pure. The first travels with the image ("portable"), the second belongs to this host. Field names, defaults and JSON are
those of the Docker Engine API 1.50, `POST /containers/create`; sizes are bytes, `0` means "not set" unless said.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from minidocker.spec.record import Json, json_key, read_record

__all__ = [
    "BindOptions", "ContainerConfig", "CreateRequest", "DeviceMapping", "EndpointAddresses", "EndpointConfig", "HealthConfig", "HostConfig",
    "LogConfig", "MountRequest", "NetworkingConfig", "PortBinding", "RestartPolicy", "ThrottleDevice", "TmpfsOptions",
    "Ulimit", "VolumeOptions", "WeightDevice", "read_create_request",
]  # fmt: skip

DEFAULT_SHM_BYTES = 64 * 1024 * 1024
"""Docker's size of `/dev/shm`."""


@dataclass(frozen=True, slots=True, kw_only=True)
class HealthConfig:
    """How to test that a container works; durations in nanoseconds, `0` inherits the default."""

    test: tuple[str, ...] = field(default=(), metadata=json_key(omit_empty=True))
    interval: int = field(default=0, metadata=json_key(omit_empty=True))
    timeout: int = field(default=0, metadata=json_key(omit_empty=True))
    start_period: int = field(default=0, metadata=json_key(omit_empty=True))
    start_interval: int = field(default=0, metadata=json_key(omit_empty=True))
    retries: int = field(default=0, metadata=json_key(omit_empty=True))


@dataclass(frozen=True, slots=True, kw_only=True)
class ContainerConfig:
    """What runs in a container, independent of the host; an image carries one as its defaults."""

    hostname: str = ""
    domainname: str = ""
    user: str = ""
    attach_stdin: bool = False
    attach_stdout: bool = False
    attach_stderr: bool = False
    exposed_ports: Mapping[str, Mapping[str, str]] = field(default_factory=dict, metadata=json_key(omit_empty=True))
    """Keys such as `80/tcp`; the values are empty objects."""
    tty: bool = False
    open_stdin: bool = False
    stdin_once: bool = False
    env: tuple[str, ...] = ()
    """`NAME=value`, later ones win."""
    cmd: tuple[str, ...] | None = None
    healthcheck: HealthConfig | None = field(default=None, metadata=json_key(omit_empty=True))
    args_escaped: bool = field(default=False, metadata=json_key(omit_empty=True))
    image: str = ""
    volumes: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    """Keys are container paths that get an anonymous volume."""
    working_dir: str = ""
    entrypoint: tuple[str, ...] | None = None
    network_disabled: bool = field(default=False, metadata=json_key(omit_empty=True))
    mac_address: str = field(default="", metadata=json_key(omit_empty=True))
    on_build: tuple[str, ...] = ()
    labels: Mapping[str, str] = field(default_factory=dict)
    stop_signal: str = field(default="", metadata=json_key(omit_empty=True))
    stop_timeout: int | None = field(default=None, metadata=json_key(omit_empty=True))
    """Seconds; `-1` waits for ever."""
    shell: tuple[str, ...] = field(default=(), metadata=json_key(omit_empty=True))


@dataclass(frozen=True, slots=True, kw_only=True)
class LogConfig:
    """Which log driver, with its options."""

    type: str = ""
    config: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class PortBinding:
    """A host address and port (`""` for any) to which a container port is published."""

    host_ip: str = field(default="", metadata=json_key("HostIp"))
    host_port: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class RestartPolicy:
    """When to start a container again: `no`, `always`, `unless-stopped`, `on-failure`."""

    name: str = ""
    maximum_retry_count: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class DeviceMapping:
    """A host device made available under a container path, with `r`, `w` and `m` permissions."""

    path_on_host: str = ""
    path_in_container: str = ""
    cgroup_permissions: str = "rwm"


@dataclass(frozen=True, slots=True, kw_only=True)
class WeightDevice:
    """The share of one block device."""

    path: str = ""
    weight: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class ThrottleDevice:
    """The rate limit of one block device, bytes or operations a second."""

    path: str = ""
    rate: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Ulimit:
    """A resource limit of setrlimit(2), by its short name (`nofile`); `-1` is unlimited."""

    name: str = ""
    hard: int = 0
    soft: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class BindOptions:
    """How a bind mount behaves."""

    propagation: str = field(default="", metadata=json_key(omit_empty=True))
    non_recursive: bool = field(default=False, metadata=json_key(omit_empty=True))
    create_mountpoint: bool = field(default=False, metadata=json_key(omit_empty=True))
    read_only_non_recursive: bool = field(default=False, metadata=json_key(omit_empty=True))
    read_only_force_recursive: bool = field(default=False, metadata=json_key(omit_empty=True))


@dataclass(frozen=True, slots=True, kw_only=True)
class VolumeOptions:
    """How a named volume is made and mounted."""

    no_copy: bool = field(default=False, metadata=json_key(omit_empty=True))
    labels: Mapping[str, str] = field(default_factory=dict, metadata=json_key(omit_empty=True))
    subpath: str = field(default="", metadata=json_key(omit_empty=True))


@dataclass(frozen=True, slots=True, kw_only=True)
class TmpfsOptions:
    """Size in bytes and mode of a tmpfs."""

    size_bytes: int = field(default=0, metadata=json_key(omit_empty=True))
    mode: int = field(default=0, metadata=json_key(omit_empty=True))


@dataclass(frozen=True, slots=True, kw_only=True)
class MountRequest:
    """One `--mount`: its type is `bind`, `volume` or `tmpfs`."""

    type: str = ""
    source: str = field(default="", metadata=json_key(omit_empty=True))
    target: str = ""
    read_only: bool = field(default=False, metadata=json_key(omit_empty=True))
    consistency: str = field(default="", metadata=json_key(omit_empty=True))
    bind_options: BindOptions | None = field(default=None, metadata=json_key(omit_empty=True))
    volume_options: VolumeOptions | None = field(default=None, metadata=json_key(omit_empty=True))
    tmpfs_options: TmpfsOptions | None = field(default=None, metadata=json_key(omit_empty=True))


@dataclass(frozen=True, slots=True, kw_only=True)
class HostConfig:
    """What a container gets from this host: resources, mounts, network, privileges."""

    binds: tuple[str, ...] = ()
    container_id_file: str = field(default="", metadata=json_key("ContainerIDFile"))
    log_config: LogConfig = field(default_factory=LogConfig)
    network_mode: str = "default"
    port_bindings: Mapping[str, tuple[PortBinding, ...]] = field(default_factory=dict)
    restart_policy: RestartPolicy = field(default_factory=RestartPolicy)
    auto_remove: bool = False
    volume_driver: str = ""
    volumes_from: tuple[str, ...] = ()
    console_size: tuple[int, ...] = (0, 0)
    cap_add: tuple[str, ...] = ()
    cap_drop: tuple[str, ...] = ()
    cgroupns_mode: str = ""
    dns: tuple[str, ...] = ()
    dns_options: tuple[str, ...] = ()
    dns_search: tuple[str, ...] = ()
    extra_hosts: tuple[str, ...] = ()
    group_add: tuple[str, ...] = ()
    ipc_mode: str = ""
    cgroup: str = ""
    links: tuple[str, ...] = ()
    oom_score_adj: int = 0
    pid_mode: str = ""
    privileged: bool = False
    publish_all_ports: bool = False
    readonly_rootfs: bool = False
    security_opt: tuple[str, ...] = ()
    storage_opt: Mapping[str, str] = field(default_factory=dict, metadata=json_key(omit_empty=True))
    tmpfs: Mapping[str, str] = field(default_factory=dict, metadata=json_key(omit_empty=True))
    uts_mode: str = field(default="", metadata=json_key("UTSMode"))
    userns_mode: str = ""
    shm_size: int = 0
    sysctls: Mapping[str, str] = field(default_factory=dict, metadata=json_key(omit_empty=True))
    runtime: str = ""
    isolation: str = ""
    cpu_shares: int = 0
    memory: int = 0
    nano_cpus: int = 0
    """Billionths of a CPU: `--cpus 1.5` is 1500000000."""
    cgroup_parent: str = ""
    blkio_weight: int = 0
    blkio_weight_device: tuple[WeightDevice, ...] = ()
    blkio_device_read_bps: tuple[ThrottleDevice, ...] = ()
    blkio_device_write_bps: tuple[ThrottleDevice, ...] = ()
    blkio_device_read_iops: tuple[ThrottleDevice, ...] = field(default=(), metadata=json_key("BlkioDeviceReadIOps"))
    blkio_device_write_iops: tuple[ThrottleDevice, ...] = field(default=(), metadata=json_key("BlkioDeviceWriteIOps"))
    cpu_period: int = 0
    cpu_quota: int = 0
    cpu_realtime_period: int = 0
    cpu_realtime_runtime: int = 0
    cpuset_cpus: str = ""
    cpuset_mems: str = ""
    devices: tuple[DeviceMapping, ...] = ()
    device_cgroup_rules: tuple[str, ...] = ()
    device_requests: tuple[object, ...] = ()
    """GPUs and the like, in the words of their driver."""
    memory_reservation: int = 0
    memory_swap: int = 0
    """Memory and swap together; `-1` is unlimited, `0` twice the memory."""
    memory_swappiness: int | None = None
    oom_kill_disable: bool = False
    pids_limit: int | None = None
    ulimits: tuple[Ulimit, ...] = ()
    mounts: tuple[MountRequest, ...] = field(default=(), metadata=json_key(omit_empty=True))
    masked_paths: tuple[str, ...] | None = None
    """`None` is the default list, an empty list masks nothing."""
    readonly_paths: tuple[str, ...] | None = None
    annotations: Mapping[str, str] = field(default_factory=dict, metadata=json_key(omit_empty=True))
    init: bool | None = field(default=None, metadata=json_key(omit_empty=True))


@dataclass(frozen=True, slots=True, kw_only=True)
class EndpointAddresses:
    """The addresses that a container wants in one network."""

    ipv4_address: str = field(default="", metadata=json_key("IPv4Address", omit_empty=True))
    ipv6_address: str = field(default="", metadata=json_key("IPv6Address", omit_empty=True))
    link_local_ips: tuple[str, ...] = field(default=(), metadata=json_key("LinkLocalIPs", omit_empty=True))


@dataclass(frozen=True, slots=True, kw_only=True)
class EndpointConfig:
    """How a container joins one network."""

    ipam_config: EndpointAddresses | None = field(default=None, metadata=json_key("IPAMConfig"))
    links: tuple[str, ...] = ()
    """`CONTAINER:ALIAS`: names that only this container knows."""
    aliases: tuple[str, ...] = ()
    """More names by which the others know it."""
    mac_address: str = ""
    driver_opts: Mapping[str, str] = field(default_factory=dict)
    gw_priority: int = 0
    """Of several networks, the one with the highest is the way out."""


@dataclass(frozen=True, slots=True, kw_only=True)
class NetworkingConfig:
    """The networks to join, by name; `null` is a network without wishes."""

    endpoints_config: Mapping[str, EndpointConfig | None] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class CreateRequest:
    """The body of `POST /containers/create`, taken apart."""

    config: ContainerConfig
    host_config: HostConfig
    networking_config: NetworkingConfig


def read_create_request(body: Json) -> CreateRequest:
    """Return the request in *body*, whose top level is the container configuration.

    Docker takes a plain string where a command list is expected; it becomes a list of one word.

    Raises:
        InvalidParameter: a value of the wrong type.
    """
    document = dict(body) if isinstance(body, dict) else body
    if isinstance(document, dict):
        for key in ("Cmd", "Entrypoint", "Shell"):
            if isinstance(document.get(key), str):
                document[key] = [document[key]]
    config = read_record(ContainerConfig, document)
    rest = document if isinstance(document, dict) else {}
    return CreateRequest(
        config=config,
        host_config=read_record(HostConfig, rest.get("HostConfig") or {}, where="HostConfig"),
        networking_config=read_record(NetworkingConfig, rest.get("NetworkingConfig") or {}, where="NetworkingConfig"),
    )
