"""What is known about one container, as it is stored and shown.

Pure. `ContainerRecord` is written whole on every change (`containers/ID/config.json`); `State` is its changing half and
moves only along `TRANSITIONS`. Times are RFC 3339 with nanoseconds in UTC; `ZERO_TIME` means never.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from enum import StrEnum
from typing import Final

from minidocker.container.health import Health
from minidocker.errors import Conflict
from minidocker.ids import short_id
from minidocker.spec.container import ContainerConfig, HostConfig, NetworkingConfig

__all__ = [
    "TRANSITIONS", "ZERO_TIME", "ContainerRecord", "MountPoint", "NetworkEndpoint", "PublishedPort", "State", "Status",
    "move_state",
]  # fmt: skip

ZERO_TIME: Final = "0001-01-01T00:00:00Z"
"""Go's zero time, which Docker prints for "has not happened"."""


class Status(StrEnum):
    """Docker's words for where a container is in its life."""

    CREATED = "created"
    RUNNING = "running"
    PAUSED = "paused"
    RESTARTING = "restarting"
    REMOVING = "removing"
    EXITED = "exited"
    DEAD = "dead"


TRANSITIONS: Final[Mapping[Status, frozenset[Status]]] = {
    Status.CREATED: frozenset({Status.CREATED, Status.RUNNING, Status.REMOVING}),
    Status.RUNNING: frozenset({Status.PAUSED, Status.EXITED, Status.RESTARTING}),
    Status.PAUSED: frozenset({Status.RUNNING, Status.EXITED}),
    Status.RESTARTING: frozenset({Status.RUNNING, Status.EXITED, Status.REMOVING}),
    Status.EXITED: frozenset({Status.RUNNING, Status.EXITED, Status.REMOVING}),
    Status.REMOVING: frozenset({Status.DEAD}),
    Status.DEAD: frozenset({Status.REMOVING}),
}
"""Every change of status that exists. A failed start goes from created to created, with an exit code and an error."""


@dataclass(frozen=True, slots=True, kw_only=True)
class State:
    """The changing half of a container."""

    status: Status = Status.CREATED
    pid: int = 0
    """Host pid of the container's first process; 0 while it does not run."""
    exit_code: int = 0
    error: str = ""
    oom_killed: bool = False
    started_at: str = ZERO_TIME
    finished_at: str = ZERO_TIME
    restart_count: int = 0
    manually_stopped: bool = False
    """Whether a person stopped it, which `unless-stopped` remembers."""
    health: Health | None = None
    """What the tests of the container said; None for one without a test."""

    @property
    def running(self) -> bool:
        """Whether processes exist; a paused container runs, in Docker's words."""
        return self.status in (Status.RUNNING, Status.PAUSED)


@dataclass(frozen=True, slots=True, kw_only=True)
class MountPoint:
    """One user mount, resolved: what `docker inspect` lists under `Mounts`."""

    type: str
    """`bind`, `volume` or `tmpfs`."""
    source: str
    """Host path; empty for tmpfs."""
    destination: str
    """Container path."""
    name: str = ""
    """Volume name."""
    driver: str = ""
    mode: str = ""
    read_write: bool = True
    propagation: str = ""
    options: str = ""
    """tmpfs: mount data such as `size=65536k`."""
    subpath: str = ""
    """volume: what of it is mounted; empty for all."""
    anonymous: bool = False
    """A volume nobody named: removed with the container where `--rm` or `rm -v` says so."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PublishedPort:
    """One published port: `host_ip:host_port` leads to `container_port/protocol`."""

    container_port: int
    protocol: str
    host_ip: str
    host_port: int


@dataclass(frozen=True, slots=True, kw_only=True)
class NetworkEndpoint:
    """A container's place in one network, held while it runs."""

    network: str
    network_id: str
    endpoint_id: str
    link: str = "eth0"
    """Name of the card inside the container."""
    gateway: str = ""
    address: str = ""
    prefix_length: int = 0
    gateway6: str = ""
    address6: str = ""
    prefix_length6: int = 0
    is_way_out: bool = False
    """Whether IPv4 packets to everybody else go through this network."""
    is_way_out6: bool = False
    """The same for IPv6."""
    mac_address: str = ""
    host_link: str = ""
    """Name of the veth end on the bridge."""
    bridge: str = ""
    mtu: int = 0
    isolated: bool = False
    """Whether the bridge keeps it from its neighbours."""
    dns_names: tuple[str, ...] = ()
    """What others in the network call it; empty on the default bridge, which has no name service."""
    ports: tuple[PublishedPort, ...] = ()
    """The container's published ports, on its way out."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ContainerRecord:
    """One container."""

    id: str
    name: str
    """Without the leading slash that the Remote API shows."""
    created: str
    image_id: str
    """`sha256:…` of the image configuration."""
    config: ContainerConfig
    """The request merged with the image's defaults."""
    host_config: HostConfig
    networking: NetworkingConfig = field(default_factory=NetworkingConfig)
    layers: tuple[str, ...] = ()
    """Directory names under the layer store, lowest first."""
    driver: str = "overlay2"
    """`overlay2`, or `vfs` where the host cannot stack overlays."""
    mounts: tuple[MountPoint, ...] = ()
    state: State = field(default_factory=State)
    endpoints: tuple[NetworkEndpoint, ...] = ()
    """Its places in networks, the one of its network mode first; empty while it does not run."""

    @property
    def ports(self) -> tuple[PublishedPort, ...]:
        """Every published port of a container that runs."""
        return tuple(port for endpoint in self.endpoints for port in endpoint.ports)

    @property
    def path(self) -> str:
        """The program: the first word of entrypoint and command."""
        return self.argv[0] if self.argv else ""

    @property
    def argv(self) -> tuple[str, ...]:
        """Entrypoint and command together: what is executed."""
        return (*(self.config.entrypoint or ()), *(self.config.cmd or ()))


def move_state(record: ContainerRecord, status: Status, **changes: object) -> ContainerRecord:
    """Return *record* in *status* with *changes* to its state.

    Raises:
        Conflict: `TRANSITIONS` has no such edge.
    """
    old = record.state.status
    if status not in TRANSITIONS[old]:
        raise Conflict(f"move container `{short_id(record.id)}` from {old} to {status}: no such change of state")
    return replace(record, state=replace(record.state, status=status, **changes))  # type: ignore[arg-type]  # checked by State
