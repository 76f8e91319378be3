"""How one server is to run: the command line of `minidocker daemon` as a value. Pure. Chapter 11."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from minidocker.engine.defaults import ContainerDefaults

if TYPE_CHECKING:
    from minidocker.network.settings import NetworkSettings

__all__ = ["DaemonOptions"]


@dataclass(frozen=True, slots=True, kw_only=True)
class DaemonOptions:
    """Everything a server is told when it starts; `minidocker.cli.daemon` reads it from the command line."""

    hosts: tuple[str, ...]
    """Where to listen: `unix:///run/minidocker.sock`, `tcp://127.0.0.1:2375`."""
    data_root: str
    exec_root: str
    pidfile: str
    tls: bool = False
    tls_verify: bool = False
    """Whether clients must show a certificate that *tls_ca_cert* signed."""
    tls_ca_cert: str = ""
    tls_cert: str = ""
    tls_key: str = ""
    insecure_registries: tuple[str, ...] = ()
    """`HOST[:PORT]` or networks that may be spoken to in plain HTTP or with unknown certificates."""
    registry_mirrors: tuple[str, ...] = ()
    networks: NetworkSettings | None = None
    """What it is told about networks; None is Docker's defaults."""
    storage_driver: str = ""
    """`overlay2`, `vfs` (plain copies), or empty for the better one that works."""
    userns_remap: str = ""
    """Whose numbers containers' users get: `default`, a user, `USER:GROUP`, `UID:GID`; empty: the host's."""
    defaults: ContainerDefaults = ContainerDefaults()
    """What a container gets that does not say."""
    log_level: str = "info"
    idle_timeout_s: float = 0.0
    """End after this long without a container and without a request; `0` never ends."""
    autostarted: bool = False
    """Whether a client started this server because nobody listened."""
