"""Turn the flags of `run` into the body of `POST /containers/create`.

Pure, but for two things that are passed in: the environment, and how to read a file (`--env-file`, a seccomp profile).
Only what was asked for is sent: a key that is left out means the default, and the server knows that better. Chapter 14.
"""

from __future__ import annotations

from minidocker.cli.flags import UsageError
from minidocker.cli.run_networks import read_networks
from minidocker.cli.run_ports import read_exposed_ports, read_published_ports
from minidocker.cli.run_values import (
    is_device_name,
    read_capabilities,
    read_device,
    read_gpus,
    read_mount,
    read_restart,
    read_throttle,
    read_ulimit,
    read_volume,
    read_weight,
)

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from minidocker.cli.flags import Options
    from minidocker.spec.record import Json

__all__ = ["Surroundings", "build_create_body", "read_variables"]

_CONFIG_TEXTS = (
    ("hostname", "Hostname"), ("domainname", "Domainname"), ("user", "User"), ("workdir", "WorkingDir"), ("stop-signal", "StopSignal"),
)  # fmt: skip

_HOST_TEXTS = (
    ("cgroup-parent", "CgroupParent"), ("cgroupns", "CgroupnsMode"), ("cidfile", "ContainerIDFile"), ("cpuset-cpus", "CpusetCpus"),
    ("cpuset-mems", "CpusetMems"), ("ipc", "IpcMode"), ("isolation", "Isolation"), ("pid", "PidMode"), ("runtime", "Runtime"),
    ("userns", "UsernsMode"), ("uts", "UTSMode"), ("volume-driver", "VolumeDriver"),
)  # fmt: skip

_HOST_NUMBERS = (
    ("blkio-weight", "BlkioWeight"), ("cpu-period", "CpuPeriod"), ("cpu-quota", "CpuQuota"), ("cpu-rt-period", "CpuRealtimePeriod"),
    ("cpu-rt-runtime", "CpuRealtimeRuntime"), ("cpu-shares", "CpuShares"), ("cpus", "NanoCpus"), ("memory", "Memory"),
    ("memory-reservation", "MemoryReservation"), ("memory-swap", "MemorySwap"), ("memory-swappiness", "MemorySwappiness"),
    ("oom-score-adj", "OomScoreAdj"), ("pids-limit", "PidsLimit"), ("shm-size", "ShmSize"),
)  # fmt: skip

_HOST_SWITCHES = (
    ("init", "Init"), ("oom-kill-disable", "OomKillDisable"), ("privileged", "Privileged"), ("publish-all", "PublishAllPorts"),
    ("read-only", "ReadonlyRootfs"), ("rm", "AutoRemove"),
)  # fmt: skip

_HOST_LISTS = (
    ("add-host", "ExtraHosts"), ("device-cgroup-rule", "DeviceCgroupRules"), ("dns", "Dns"), ("dns-option", "DnsOptions"),
    ("dns-search", "DnsSearch"), ("group-add", "GroupAdd"), ("link", "Links"), ("volumes-from", "VolumesFrom"),
)  # fmt: skip

_NAMESPACE_MODES = (
    ("pid", ("", "host"), "invalid PID mode"), ("uts", ("", "host"), "invalid UTS mode"),
    ("userns", ("", "host"), "invalid USER mode"), ("cgroupns", ("", "host", "private"), "invalid CGROUP mode"),
)  # fmt: skip


class Surroundings:
    """What the flags refer to outside the command line."""

    __slots__ = ("cwd", "environ", "read_text")

    def __init__(self, environ: Mapping[str, str], cwd: str, read_text: Callable[[str], str]) -> None:
        """Give the client's environment, its working directory and how it reads a file."""
        self.environ = environ
        self.cwd = cwd
        self.read_text = read_text


def build_create_body(options: Options, around: Surroundings) -> dict[str, Json]:
    """Return the body of the request that creates the container which *options* describe.

    Raises:
        UsageError: values or combinations that cannot be, in Docker's words.
    """
    try:
        _check_modes(options)
        image, *command = options.arguments
        body: dict[str, Json] = {"Image": image, **_build_config(options, around)}
        if command:
            body["Cmd"] = list(command)
        mode, endpoints = read_networks(options)
        host = _build_host_config(options, around)
        host["NetworkMode"] = mode
        body["HostConfig"] = host
        if endpoints:
            body["NetworkingConfig"] = {"EndpointsConfig": endpoints}
    except ValueError as error:
        raise UsageError(str(error), prefix=True, brief=True) from error
    return body


def _check_modes(options: Options) -> None:
    for flag, known, complaint in _NAMESPACE_MODES:
        value = options.text(flag)
        if value not in known and not (flag == "pid" and value.startswith("container:")):
            raise ValueError(f"--{flag}: {complaint}")
    if not 0 <= options.number("memory-swappiness") <= 100 and options.number("memory-swappiness") != -1:
        raise ValueError(f"invalid value: {options.number('memory-swappiness')}. Valid memory swappiness range is 0-100")
    if options.switch("rm") and options.text("restart") not in ("", "no"):
        raise ValueError("conflicting options: cannot specify both --restart and --rm")


def _build_config(options: Options, around: Surroundings) -> dict[str, Json]:
    """Return the half of the body that does not depend on the host."""
    config: dict[str, Json] = {key: options.text(flag) for flag, key in _CONFIG_TEXTS if options.text(flag)}
    config.update(_build_streams(options))
    if variables := read_variables(options.texts("env-file"), options.texts("env"), around):
        config["Env"] = list(variables)
    if "entrypoint" in options.given:
        config["Entrypoint"] = [options.text("entrypoint")]
    labels = dict(
        text.split("=", 1) for text in read_variables(options.texts("label-file"), [], around, inherit=False) if "=" in text
    )
    if labels := {**labels, **options.mapping("label")}:
        config["Labels"] = dict(labels)
    ports = [key for text in options.texts("publish") for key, _, _ in read_published_ports(text)]
    ports += [key for text in options.texts("expose") for key in read_exposed_ports(text)]
    if ports:
        config["ExposedPorts"] = {port: {} for port in ports}
    paths = [path for text in options.texts("volume") if (path := read_volume(text, around.cwd)[1])]
    if paths:
        config["Volumes"] = {path: {} for path in paths}
    if health := _build_health(options):
        config["Healthcheck"] = health
    if "stop-timeout" in options.given:
        config["StopTimeout"] = options.number("stop-timeout")
    return config


def _build_streams(options: Options) -> dict[str, Json]:
    """Return which streams are open: `-i` keeps stdin open, and without `-a` everything is attached."""
    interactive = options.switch("interactive")
    attached = set(options.texts("attach"))
    detached = "detach" in options.given and options.switch("detach")
    if not attached and not detached:
        attached = {"stdout", "stderr"}
    if interactive and not detached:
        attached.add("stdin")
    streams: dict[str, Json] = {f"Attach{name.capitalize()}": True for name in sorted(attached)}
    if options.switch("tty"):
        streams["Tty"] = True
    if interactive:
        streams["OpenStdin"] = True
        streams["StdinOnce"] = "stdin" in attached
    return streams


def _build_health(options: Options) -> dict[str, Json]:
    durations = (("interval", "Interval"), ("timeout", "Timeout"), ("start-period", "StartPeriod"), ("start-interval", "StartInterval"))
    health: dict[str, Json] = {}
    if options.text("health-cmd"):
        health["Test"] = ["CMD-SHELL", options.text("health-cmd")]
    for name, key in (*durations, ("retries", "Retries")):
        value = options.number(f"health-{name}")
        if value < 0:
            raise ValueError(f"--health-{name} cannot be negative")
        if value:
            health[key] = value
    if options.switch("no-healthcheck"):
        if health:
            raise ValueError("--no-healthcheck conflicts with --health-* options")
        return {"Test": ["NONE"]}
    return health


def _build_host_config(options: Options, around: Surroundings) -> dict[str, Json]:
    """Return the half of the body that belongs to this host, but for the network."""
    host: dict[str, Json] = {key: options.text(flag) for flag, key in _HOST_TEXTS if options.text(flag)}
    host.update({key: options.number(flag) for flag, key in _HOST_NUMBERS if flag in options.given})
    host.update({key: True for flag, key in _HOST_SWITCHES if options.switch(flag)})
    host.update({key: list(options.texts(flag)) for flag, key in _HOST_LISTS if options.texts(flag)})
    host["RestartPolicy"] = read_restart(options.text("restart"))
    host.update({key: value for key, value in _read_lists(options, around).items() if value})
    added, dropped = read_capabilities(options.texts("cap-add"), options.texts("cap-drop"))
    host.update({key: list(names) for key, names in (("CapAdd", added), ("CapDrop", dropped)) if names})
    host.update(_build_devices(options))
    host.update(_build_security(options, around))
    return host


def _read_lists(options: Options, around: Surroundings) -> dict[str, Json]:
    """Return what is put together from flags that may be repeated, empty ones included."""
    binds: list[Json] = [bind for text in options.texts("volume") if (bind := read_volume(text, around.cwd)[0])]
    return {
        "Annotations": {**options.mapping("annotation")},
        "Sysctls": {**options.mapping("sysctl")},
        "Tmpfs": {path: rest for path, _, rest in (text.partition(":") for text in options.texts("tmpfs"))},
        "Ulimits": [*map(read_ulimit, options.texts("ulimit"))],
        "Mounts": [read_mount(text, around.cwd) for text in options.texts("mount")],
        "Binds": binds,
        "PortBindings": _build_bindings(options),
        "BlkioWeightDevice": [*map(read_weight, options.texts("blkio-weight-device"))],
        "BlkioDeviceReadBps": _read_rates(options, "device-read-bps", counts_bytes=True),
        "BlkioDeviceWriteBps": _read_rates(options, "device-write-bps", counts_bytes=True),
        "BlkioDeviceReadIOps": _read_rates(options, "device-read-iops", counts_bytes=False),
        "BlkioDeviceWriteIOps": _read_rates(options, "device-write-iops", counts_bytes=False),
        "StorageOpt": _build_storage(options),
        "LogConfig": _build_log(options),
    }


def _read_rates(options: Options, flag: str, *, counts_bytes: bool) -> list[Json]:
    return [read_throttle(text, counts_bytes=counts_bytes) for text in options.texts(flag)]


def _build_bindings(options: Options) -> dict[str, Json]:
    bindings: dict[str, list[Json]] = {}
    for text in options.texts("publish"):
        for key, address, port in read_published_ports(text):
            bindings.setdefault(key, []).append({"HostIp": address, "HostPort": port})
    return {key: list(hosts) for key, hosts in bindings.items()}


def _build_log(options: Options) -> dict[str, Json]:
    driver, settings = options.text("log-driver"), options.mapping("log-opt")
    if driver == "none" and settings:
        raise ValueError("invalid logging opts for driver none")
    log: dict[str, Json] = {"Type": driver} if driver else {}
    if settings:
        log["Config"] = dict(settings)
    return log


def _build_storage(options: Options) -> dict[str, Json]:
    if any("=" not in text for text in options.texts("storage-opt")):
        raise ValueError("invalid storage option")
    return dict(options.mapping("storage-opt"))


def _build_devices(options: Options) -> dict[str, Json]:
    devices: list[Json] = []
    requests: list[Json] = [read_gpus(text) for text in options.texts("gpus")]
    names: list[Json] = []
    for text in options.texts("device"):
        if is_device_name(text):
            names.append(text)
        else:
            devices.append(read_device(text))
    if names:
        requests.append({"Driver": "cdi", "DeviceIDs": names})
    built: dict[str, Json] = {"Devices": devices, "DeviceRequests": requests}
    return {key: value for key, value in built.items() if value}


def _build_security(options: Options, around: Surroundings) -> dict[str, Json]:
    """Return the security options; a seccomp profile travels as its content, because the server has other files."""
    kept: list[Json] = []
    built: dict[str, Json] = {}
    for text in options.texts("security-opt"):
        name, separator, value = text.partition("=") if "=" in text else text.partition(":")
        if not separator and text != "no-new-privileges":
            raise ValueError(f'Invalid --security-opt: "{text}"')
        if text == "systempaths=unconfined":
            built.update({"MaskedPaths": [], "ReadonlyPaths": []})
        elif name == "seccomp" and value not in ("unconfined", "builtin"):
            kept.append(f"seccomp={_read_profile(value, around)}")
        else:
            kept.append(text)
    if kept:
        built["SecurityOpt"] = kept
    return built


def _read_profile(path: str, around: Surroundings) -> str:
    import json

    try:
        return json.dumps(json.loads(around.read_text(path)), separators=(",", ":"))
    except OSError as error:
        reason = (error.strerror or "").lower()
        raise ValueError(f"opening seccomp profile ({path}) failed: open {path}: {reason}") from error
    except ValueError as error:
        raise ValueError(f"compacting json for seccomp profile ({path}) failed: {error}") from error


def read_variables(files: list[str], texts: list[str], around: Surroundings, *, inherit: bool = True) -> list[str]:
    """Return the variables of *files*, then *texts*; a name alone takes its value from the client's environment.

    A file has neither quotation nor expansion: `#` lines and empty ones are skipped, the rest of a line is the value.
    """
    variables: list[str] = []
    for path in files:
        try:
            lines = around.read_text(path).removeprefix("\ufeff").splitlines()
        except OSError as error:
            raise ValueError(f"open {path}: {(error.strerror or '').lower()}") from error
        for line in map(str.lstrip, lines):
            if line and not line.startswith("#"):
                variables.extend(_read_line(line, path, around, inherit=inherit))
    for text in texts:
        value = around.environ.get(text)
        variables.append(text if "=" in text or value is None else f"{text}={value}")
    return variables


def _read_line(line: str, path: str, around: Surroundings, *, inherit: bool) -> list[str]:
    name, equals, _ = line.partition("=")
    if not name:
        raise ValueError(f"invalid env file ({path}): no variable name on line '{line}'")
    if any(letter.isspace() for letter in (name if equals else name.rstrip())):
        raise ValueError(f"invalid env file ({path}): variable '{name}' contains whitespaces")
    if equals:
        return [line]
    value = around.environ.get(name)
    return [f"{name}={value}"] if inherit and value is not None else []
