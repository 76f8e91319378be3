"""Containers as the Remote API shows them: a line of the list, and everything for `inspect`.

Pure: records in, JSON values out; the present time is given. Key names and their order are Docker's, so that what
`docker inspect` prints can be compared line by line. See the Docker Engine API 1.50, `ContainerSummary` and
`ContainerInspectResponse`. Chapter 12.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from minidocker.api.duration import human_duration
from minidocker.container.record import ZERO_TIME, ContainerRecord, MountPoint, NetworkEndpoint, PublishedPort, State, Status
from minidocker.spec.container import EndpointConfig
from minidocker.spec.record import Json, render_record

__all__ = ["parse_time", "render_container_details", "render_container_summary", "render_status"]

_NO_IDS: Final[Mapping[str, str]] = {}
_NULL_WHEN_EMPTY_HOST: Final = frozenset(
    {"Binds", "VolumesFrom", "CapAdd", "CapDrop", "ExtraHosts", "GroupAdd", "Links", "SecurityOpt", "DeviceCgroupRules"}
)
_NULL_WHEN_EMPTY_CONFIG: Final = frozenset({"Env", "OnBuild", "Volumes"})
"""Lists that Go leaves nil and therefore prints as `null`."""
_WINDOWS_ONLY: Final[Mapping[str, Json]] = {"CpuCount": 0, "CpuPercent": 0, "IOMaximumIOps": 0, "IOMaximumBandwidth": 0}
"""Fields that mean nothing on Linux and that Docker prints all the same."""


_HEALTH_WORDS: Final[Mapping[str, str]] = {"starting": "health: starting", "healthy": "healthy", "unhealthy": "unhealthy"}


def parse_time(text: str) -> float:
    """Return seconds since 1970 of a record's time; the zero time is 0."""
    from calendar import timegm

    if text == ZERO_TIME or len(text) < 20:
        return 0.0
    date = (int(text[0:4]), int(text[5:7]), int(text[8:10]), int(text[11:13]), int(text[14:16]), int(text[17:19]))
    fraction = text[19:].rstrip("Z")
    return timegm(date) + (float(fraction) if fraction.startswith(".") else 0.0)


def render_status(state: State, now: float) -> str:
    """Return the text of the STATUS column, such as `Up 3 minutes` or `Exited (1) 2 seconds ago`."""
    if state.running:
        text = f"Up {human_duration(now - parse_time(state.started_at))}"
        if state.status is Status.PAUSED:
            return f"{text} (Paused)"
        return f"{text} ({_HEALTH_WORDS[state.health.status]})" if state.health is not None else text
    ended = human_duration(now - parse_time(state.finished_at))
    match state.status:
        case Status.RESTARTING:
            return f"Restarting ({state.exit_code}) {ended} ago"
        case Status.REMOVING:
            return "Removal In Progress"
        case Status.DEAD:
            return "Dead"
        case _:
            return "Created" if state.started_at == ZERO_TIME else f"Exited ({state.exit_code}) {ended} ago"


def render_container_summary(
    record: ContainerRecord, *, now: float, network_ids: Mapping[str, str] = _NO_IDS, sizes: tuple[int, int] | None = None
) -> dict[str, Json]:
    """Return one element of `GET /containers/json`; *sizes* is the writable layer's and the whole file system's."""
    summary: dict[str, Json] = {
        "Id": record.id,
        "Names": [f"/{record.name}"],
        "Image": record.config.image,
        "ImageID": record.image_id,
        "Command": _command_line(record.argv),
        "Created": int(parse_time(record.created)),
        "Ports": _port_list(record),
    }
    if sizes is not None:
        summary |= {"SizeRw": sizes[0], "SizeRootFs": sizes[1]}
    return summary | {
        "Labels": dict(record.config.labels),
        "State": record.state.status.value,
        "Status": render_status(record.state, now),
        "HostConfig": {"NetworkMode": record.host_config.network_mode},
        "NetworkSettings": {"Networks": _networks(record, network_ids)},
        "Mounts": [_mount(mount) for mount in record.mounts],
    }


def _command_line(argv: tuple[str, ...]) -> str:
    """Join *argv*; a word with a blank in it is quoted, as Docker shows it."""
    return " ".join(f"'{word}'" if " " in word else word for word in argv)


def _published(record: ContainerRecord) -> tuple[PublishedPort, ...]:
    return record.ports


def _port_list(record: ContainerRecord) -> list[Json]:
    """Return the published ports, and the exposed ones that are not; only a running container has any."""
    if not record.state.running:
        return []
    published = _published(record)
    taken = {(port.container_port, port.protocol) for port in published}
    ports: list[Json] = [
        {"IP": p.host_ip or "0.0.0.0", "PrivatePort": p.container_port, "PublicPort": p.host_port, "Type": p.protocol}
        for p in published
    ]
    for key in record.config.exposed_ports:
        number, _, protocol = key.partition("/")
        if number.isdigit() and (int(number), protocol or "tcp") not in taken:
            ports.append({"PrivatePort": int(number), "Type": protocol or "tcp"})
    return ports


def _networks(record: ContainerRecord, network_ids: Mapping[str, str]) -> dict[str, Json]:
    """Return the networks of a container: those that it is in, or while it does not run those that it wishes."""
    wishes = {name: wish or EndpointConfig() for name, wish in record.networking.endpoints_config.items()}
    if record.host_config.network_mode.startswith("container:"):
        return {}
    if not wishes and not record.endpoints:
        wishes = {record.host_config.network_mode: EndpointConfig()}
    names = [e.network for e in record.endpoints] if record.state.running else [*wishes]
    return {name: _endpoint(record, name, wishes.get(name, EndpointConfig()), network_ids) for name in sorted(names)}


def _endpoint(record: ContainerRecord, name: str, wish: EndpointConfig, network_ids: Mapping[str, str]) -> dict[str, Json]:
    held = next((e for e in record.endpoints if e.network == name), None)
    endpoint = held or NetworkEndpoint(network=name, network_id=network_ids.get(name, ""), endpoint_id="")
    return {
        "IPAMConfig": render_record(wish.ipam_config) if wish.ipam_config is not None else None,
        "Links": [*wish.links] or None,
        "Aliases": [*wish.aliases] or None,
        "MacAddress": endpoint.mac_address or wish.mac_address,
        "DriverOpts": dict(wish.driver_opts) or None,
        "GwPriority": wish.gw_priority,
        "NetworkID": endpoint.network_id,
        "EndpointID": endpoint.endpoint_id,
        "Gateway": endpoint.gateway,
        "IPAddress": endpoint.address,
        "IPPrefixLen": endpoint.prefix_length,
        "IPv6Gateway": endpoint.gateway6,
        "GlobalIPv6Address": endpoint.address6,
        "GlobalIPv6PrefixLen": endpoint.prefix_length6,
        "DNSNames": [*endpoint.dns_names] or None,
    }


def _mount(mount: MountPoint) -> dict[str, Json]:
    document: dict[str, Json] = {"Type": mount.type}
    if mount.name:
        document["Name"] = mount.name
    document |= {"Source": mount.source, "Destination": mount.destination}
    if mount.driver:
        document["Driver"] = mount.driver
    return document | {"Mode": mount.mode, "RW": mount.read_write, "Propagation": mount.propagation}


def render_container_details(
    record: ContainerRecord,
    *,
    directory: str,
    layers_directory: str,
    exec_ids: tuple[str, ...] = (),
    network_ids: Mapping[str, str] = _NO_IDS,
    sizes: tuple[int, int] | None = None,
) -> dict[str, Json]:
    """Return the body of `GET /containers/{id}/json`; the container's files are in *directory*."""
    details: dict[str, Json] = {
        "Id": record.id,
        "Created": record.created,
        "Path": record.path,
        "Args": [*record.argv[1:]],
        "State": _state(record.state),
        "Image": record.image_id,
        "ResolvConfPath": f"{directory}/resolv.conf",
        "HostnamePath": f"{directory}/hostname",
        "HostsPath": f"{directory}/hosts",
        "LogPath": f"{directory}/{record.id}-json.log" if record.host_config.log_config.type == "json-file" else "",
        "Name": f"/{record.name}",
        "RestartCount": record.state.restart_count,
        "Driver": record.driver,
        "Platform": "linux",
        "MountLabel": "",
        "ProcessLabel": "",
        "AppArmorProfile": "",
        "ExecIDs": [*exec_ids] or None,
        "HostConfig": _host_config(record),
        "GraphDriver": _graph_driver(record, directory, layers_directory),
    }
    if sizes is not None:
        details |= {"SizeRw": sizes[0], "SizeRootFs": sizes[1]}
    return details | {
        "Mounts": [_mount(mount) for mount in record.mounts],
        "Config": _empty_to_null(render_record(record.config), _NULL_WHEN_EMPTY_CONFIG),
        "NetworkSettings": _network_settings(record, network_ids),
    }


def _state(state: State) -> dict[str, Json]:
    health: dict[str, Json] = {}
    if state.health is not None:
        probes: list[Json] = [
            {"Start": p.start, "End": p.end, "ExitCode": p.exit_code, "Output": p.output} for p in state.health.probes
        ]
        health = {"Health": {"Status": state.health.status.value, "FailingStreak": state.health.failing_streak, "Log": probes or None}}
    return {
        "Status": state.status.value,
        "Running": state.running or state.status is Status.RESTARTING,
        "Paused": state.status is Status.PAUSED,
        "Restarting": state.status is Status.RESTARTING,
        "OOMKilled": state.oom_killed,
        "Dead": state.status is Status.DEAD,
        "Pid": state.pid,
        "ExitCode": state.exit_code,
        "Error": state.error,
        "StartedAt": state.started_at,
        "FinishedAt": state.finished_at,
        **health,
    }


def _host_config(record: ContainerRecord) -> Json:
    document = _empty_to_null(render_record(record.host_config), _NULL_WHEN_EMPTY_HOST)
    config = record.host_config
    unset: dict[str, Json] = {}
    if config.pids_limit is not None and config.pids_limit <= 0:
        unset["PidsLimit"] = None
    if config.memory_swappiness == -1:
        unset["MemorySwappiness"] = None  # docker sends -1 for "not given"
    return {**document, **unset, "DeviceRequests": None, **_WINDOWS_ONLY} if isinstance(document, dict) else document


def _empty_to_null(document: Json, keys: frozenset[str]) -> Json:
    """Print empty lists and objects under *keys* as Docker does."""
    if not isinstance(document, dict):
        return document
    return {key: None if key in keys and not value else value for key, value in document.items()}


def _graph_driver(record: ContainerRecord, directory: str, layers_directory: str) -> Json:
    """Return where the layers are: the file system can be put together by hand from these."""
    if record.driver != "overlay2":
        return {"Data": None, "Name": record.driver}
    lower = ":".join(f"{layers_directory}/{name}/diff" for name in reversed(record.layers))
    data: dict[str, Json] = {
        "ID": record.id, "LowerDir": lower, "MergedDir": f"{directory}/merged", "UpperDir": f"{directory}/upper",
        "WorkDir": f"{directory}/work",
    }  # fmt: skip
    return {"Data": data, "Name": record.driver}


def _network_settings(record: ContainerRecord, network_ids: Mapping[str, str]) -> dict[str, Json]:
    """Return addresses and ports; the fields beside `Networks` repeat the default network for old clients."""
    networks = _networks(record, network_ids)
    default = networks.get("bridge") if record.endpoints else None
    first = record.endpoints[0].endpoint_id if record.endpoints else ""
    legacy = ("EndpointID", "Gateway", "GlobalIPv6Address", "GlobalIPv6PrefixLen", "IPAddress", "IPPrefixLen", "IPv6Gateway", "MacAddress")
    empty: dict[str, Json] = {key: 0 if key.endswith("Len") else "" for key in legacy}
    return {
        "Bridge": "",
        "SandboxID": first,
        "SandboxKey": f"/proc/{record.state.pid}/ns/net" if record.state.running else "",
        "Ports": _port_map(record),
        "HairpinMode": False,
        "LinkLocalIPv6Address": "",
        "LinkLocalIPv6PrefixLen": 0,
        "SecondaryIPAddresses": None,
        "SecondaryIPv6Addresses": None,
        **({key: default[key] for key in legacy} if isinstance(default, dict) else empty),
        "Networks": networks,
    }


def _port_map(record: ContainerRecord) -> dict[str, Json]:
    """Return each port with its host addresses; `null` for one that is exposed only."""
    if not record.state.running:
        return {}
    bindings: dict[str, list[Json]] = {}
    for port in _published(record):
        host: Json = {"HostIp": port.host_ip or "0.0.0.0", "HostPort": str(port.host_port)}
        bindings.setdefault(f"{port.container_port}/{port.protocol}", []).append(host)
    exposed: dict[str, Json] = dict.fromkeys(record.config.exposed_ports)
    return exposed | bindings
