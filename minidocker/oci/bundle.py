"""What a bundle asks for: `config.json` of the OCI runtime specification, as records.

Pure but for `read_bundle`. Field names are those of the specification, in Python's spelling; reading ignores what it does not know,
as the specification demands ("Extensibility"), and refuses what it knows and cannot do. Chapter 16.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from minidocker.errors import InvalidParameter, NotFound, NotSupported
from minidocker.spec.record import Json, json_key, read_record

__all__ = [
    "OCI_VERSION", "Capabilities", "ConsoleSize", "Device", "Hook", "Hooks", "IdMapping", "Linux", "Mount", "Namespace", "Process",
    "Resources", "Rlimit", "Spec", "TimeOffset", "User", "parse_spec", "read_bundle", "read_process",
]  # fmt: skip

OCI_VERSION = "1.0.2"
"""The version of the specification that this is written against; any 1.x is read."""


@dataclass(frozen=True, slots=True, kw_only=True)
class User:
    """Who the process runs as, in numbers."""

    uid: int = 0
    gid: int = 0
    umask: int | None = None
    additional_gids: tuple[int, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Capabilities:
    """The five sets of capabilities(7)."""

    bounding: tuple[str, ...] = ()
    effective: tuple[str, ...] = ()
    inheritable: tuple[str, ...] = ()
    permitted: tuple[str, ...] = ()
    ambient: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Rlimit:
    """A limit of setrlimit(2), such as `RLIMIT_NOFILE`."""

    type: str
    hard: int
    soft: int


@dataclass(frozen=True, slots=True, kw_only=True)
class ConsoleSize:
    """The window of a terminal."""

    height: int = 0
    width: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Process:
    """The process to run."""

    args: tuple[str, ...] = ()
    cwd: str = "/"
    env: tuple[str, ...] = ()
    terminal: bool = False
    console_size: ConsoleSize = field(default_factory=ConsoleSize)
    user: User = field(default_factory=User)
    capabilities: Capabilities | None = None
    """None: what the caller has."""
    rlimits: tuple[Rlimit, ...] = ()
    no_new_privileges: bool = False
    oom_score_adj: int | None = None
    apparmor_profile: str = ""
    selinux_label: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Root:
    """The root file system."""

    path: str = "rootfs"
    readonly: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Mount:
    """One more mount."""

    destination: str
    type: str = ""
    source: str = ""
    options: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Hook:
    """A program of the host's, told about the container on its standard input."""

    path: str
    args: tuple[str, ...] = ()
    env: tuple[str, ...] = ()
    timeout: int | None = None
    """Seconds."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Hooks:
    """What to call, and when; see "Lifecycle" of the specification."""

    prestart: tuple[Hook, ...] = ()
    create_runtime: tuple[Hook, ...] = ()
    create_container: tuple[Hook, ...] = ()
    start_container: tuple[Hook, ...] = ()
    poststart: tuple[Hook, ...] = ()
    poststop: tuple[Hook, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Namespace:
    """One namespace: a new one, or the one that *path* stands for."""

    type: str
    path: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class TimeOffset:
    """By how much a clock of a time namespace differs from the machine's."""

    secs: int = 0
    nanosecs: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class IdMapping:
    """A range of ids of a user namespace."""

    container_id: int = 0
    host_id: int = 0
    size: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Device:
    """A device node to make."""

    type: str
    path: str
    major: int = 0
    minor: int = 0
    file_mode: int = 0o666
    uid: int = 0
    gid: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class DeviceRule:
    """Which devices may be used; no number means any."""

    allow: bool
    type: str = "a"
    major: int = -1
    minor: int = -1
    access: str = "rwm"


@dataclass(frozen=True, slots=True, kw_only=True)
class Memory:
    """Limits in bytes."""

    limit: int = 0
    reservation: int = 0
    swap: int = 0
    swappiness: int | None = None
    disable_oom_killer: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Cpu:
    """Processor time; microseconds."""

    shares: int = 0
    quota: int = 0
    period: int = 0
    realtime_period: int = 0
    realtime_runtime: int = 0
    cpus: str = ""
    mems: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Pids:
    """How many processes."""

    limit: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class DeviceShare:
    """The share or the limit of one block device."""

    major: int
    minor: int
    weight: int = 0
    rate: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class BlockIo:
    """The share of block devices, and their limits."""

    weight: int = 0
    weight_device: tuple[DeviceShare, ...] = ()
    throttle_read_bps_device: tuple[DeviceShare, ...] = ()
    throttle_write_bps_device: tuple[DeviceShare, ...] = ()
    throttle_read_iops_device: tuple[DeviceShare, ...] = field(default=(), metadata=json_key("throttleReadIOPSDevice"))
    throttle_write_iops_device: tuple[DeviceShare, ...] = field(default=(), metadata=json_key("throttleWriteIOPSDevice"))


@dataclass(frozen=True, slots=True, kw_only=True)
class Resources:
    """What a control group is told."""

    devices: tuple[DeviceRule, ...] = ()
    memory: Memory = field(default_factory=Memory)
    cpu: Cpu = field(default_factory=Cpu)
    pids: Pids = field(default_factory=Pids)
    block_io: BlockIo = field(default_factory=BlockIo)
    unified: Mapping[str, str] = field(default_factory=dict)
    """v2: files and what to write into them."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Linux:
    """What only Linux has."""

    namespaces: tuple[Namespace, ...] = ()
    uid_mappings: tuple[IdMapping, ...] = ()
    gid_mappings: tuple[IdMapping, ...] = ()
    time_offsets: Mapping[str, TimeOffset] = field(default_factory=dict)
    """By clock: `monotonic`, `boottime`."""
    devices: tuple[Device, ...] = ()
    cgroups_path: str = ""
    resources: Resources = field(default_factory=Resources)
    rootfs_propagation: str = ""
    seccomp: Mapping[str, object] | None = None
    sysctl: Mapping[str, str] = field(default_factory=dict)
    masked_paths: tuple[str, ...] = ()
    readonly_paths: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Spec:
    """The whole of `config.json`."""

    oci_version: str
    process: Process | None = None
    root: Root = field(default_factory=Root)
    hostname: str = ""
    domainname: str = ""
    mounts: tuple[Mount, ...] = ()
    hooks: Hooks = field(default_factory=Hooks)
    annotations: Mapping[str, str] = field(default_factory=dict)
    linux: Linux = field(default_factory=Linux)


def parse_spec(document: Json) -> Spec:
    """Return the configuration that *document* describes.

    Raises:
        InvalidParameter: it breaks a rule of the specification.
        NotSupported: it asks for what this run time has not.
    """
    spec = read_record(Spec, document, where="config.json")
    if not spec.oci_version.startswith("1."):
        raise InvalidParameter(f"read bundle: `ociVersion` is `{spec.oci_version}`, and 1.x is understood")
    if spec.process is not None:
        check_process(spec.process)
    kinds = [namespace.type for namespace in spec.linux.namespaces]
    if len(set(kinds)) != len(kinds):
        raise InvalidParameter("read bundle: a namespace is named twice")
    if "mount" not in kinds:
        raise NotSupported("run a bundle without a mount namespace of its own", hint="add `mount` to `linux.namespaces`")
    _check_users(spec.linux)
    if (spec.hostname or spec.domainname) and "uts" not in kinds:
        raise InvalidParameter("unable to set hostname without a private UTS namespace")
    return spec


def _check_users(linux: Linux) -> None:
    user = next((namespace for namespace in linux.namespaces if namespace.type == "user"), None)
    has_map = bool(linux.uid_mappings and linux.gid_mappings)
    if user is None and (linux.uid_mappings or linux.gid_mappings):
        raise InvalidParameter("user namespace mappings specified, but user namespace isn't enabled in the config")
    if user is not None and not user.path and not has_map:
        raise InvalidParameter("user namespaces enabled, but no uid and gid mappings found")
    if linux.time_offsets and not any(namespace.type == "time" and not namespace.path for namespace in linux.namespaces):
        raise InvalidParameter("time namespace offsets specified, but no new time namespace is enabled in the config")
    if unknown := linux.time_offsets.keys() - {"monotonic", "boottime"}:
        raise InvalidParameter(f"set time offset of clock `{min(unknown)}`: only `monotonic` and `boottime` have one")


def check_process(process: Process) -> None:
    """Refuse a process that cannot be.

    Raises:
        InvalidParameter: no command, or a working directory that is not absolute.
    """
    if not process.args:
        raise InvalidParameter("read process: `args` must not be empty")
    if not process.cwd.startswith("/"):
        raise InvalidParameter(f"read process: `cwd` must be an absolute path, not `{process.cwd}`")


def _read_json(path: Path, what: str) -> Json:
    try:
        document: Json = json.loads(path.read_bytes())
    except FileNotFoundError:
        raise NotFound(f"read {what}: `{path}` does not exist", hint="`minidocker oci spec` writes one") from None
    except (OSError, ValueError) as error:
        raise InvalidParameter(f"read {what} `{path}`: {error}") from error
    return document


def read_bundle(directory: Path) -> Spec:
    """Return the configuration of the bundle in *directory*.

    Raises:
        NotFound, InvalidParameter, NotSupported: as `parse_spec`, and when there is none.
    """
    return parse_spec(_read_json(directory / "config.json", "bundle"))


def read_process(path: Path) -> Process:
    """Return the process that the file of `exec --process` describes.

    Raises:
        NotFound, InvalidParameter: there is none, or it is malformed.
    """
    process = read_record(Process, _read_json(path, "process"), where="process")
    check_process(process)
    return process
