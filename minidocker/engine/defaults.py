"""What a container gets that does not say: the server's own defaults, from its flags or `daemon.json`. Pure. Chapter 11."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from minidocker.spec.container import HostConfig, LogConfig, Ulimit

__all__ = ["ContainerDefaults", "apply_defaults"]


@dataclass(frozen=True, slots=True, kw_only=True)
class ContainerDefaults:
    """The flags of `daemon` that are about containers."""

    log_driver: str = "json-file"
    log_options: Mapping[str, str] = field(default_factory=dict)
    """`max-size`, `max-file` and others; for containers with the server's own log driver."""
    ulimits: tuple[Ulimit, ...] = ()
    shm_size: int = 0
    """0: Docker's 64 MiB."""
    ipc_mode: str = "private"
    cgroupns_mode: str = "private"


def apply_defaults(host: HostConfig, defaults: ContainerDefaults) -> HostConfig:
    """Return *host* with what it leaves open; what it says about a limit or an option of the log wins."""
    driver = host.log_config.type or defaults.log_driver
    options = {**(defaults.log_options if driver == defaults.log_driver else {}), **host.log_config.config}
    named = {limit.name for limit in host.ulimits}
    return replace(
        host,
        log_config=LogConfig(type=driver, config=options),
        ulimits=(*host.ulimits, *(limit for limit in defaults.ulimits if limit.name not in named)),
        shm_size=host.shm_size or defaults.shm_size,
        ipc_mode=host.ipc_mode or defaults.ipc_mode,
        cgroupns_mode=host.cgroupns_mode or defaults.cgroupns_mode,
    )
