"""`--link` on the default bridge: how containers knew each other before networks had names.

The target is entered into `/etc/hosts`, and what it is and where becomes variables of the environment (`DB_PORT_5432_TCP_ADDR`). Both are
fixed when the container starts; networks of one's own are better at everything. See Docker's "Legacy container links". Chapter 18.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from minidocker.errors import HostError
from minidocker.network.wishes import parse_link

if TYPE_CHECKING:
    from minidocker.container.record import ContainerRecord
    from minidocker.engine.engine import Engine

__all__ = ["compute_link_variables", "find_links", "link_environment"]

_OWN_VARIABLES = ("HOME", "PATH")
"""What the target's environment has for itself."""


def _targets(engine: Engine, record: ContainerRecord) -> Iterator[tuple[str, ContainerRecord, str]]:
    """Yield alias, container and address of each link.

    Raises:
        HostError: a container that is linked to does not run there.
    """
    for text in record.host_config.links if record.host_config.network_mode == "bridge" else ():
        name, alias = parse_link(text)
        target = engine.containers.require(name).record
        address = next((e.address for e in target.endpoints if e.network == "bridge"), "")
        if not address:
            raise HostError(f"Cannot link to a non running container: /{target.name} AS /{record.name}/{alias}", hint="start it first")
        yield alias, target, address


def find_links(engine: Engine, record: ContainerRecord) -> tuple[str, ...]:
    """Return the lines for `/etc/hosts`.

    Raises:
        HostError: a container that is linked to does not run on the default bridge.
    """
    lines = []
    for alias, target, address in _targets(engine, record):
        names = dict.fromkeys((alias, target.config.hostname, target.name))
        lines.append(f"{address}\t{' '.join(n for n in names if n)}")
    return tuple(lines)


def link_environment(engine: Engine, record: ContainerRecord) -> tuple[str, ...]:
    """Return the variables that tell a container about those that it is linked to.

    Raises:
        HostError: as `find_links`.
    """
    return tuple(
        variable
        for alias, target, address in _targets(engine, record)
        for variable in compute_link_variables(record.name, alias, target, address)
    )


def compute_link_variables(name: str, alias: str, target: ContainerRecord, address: str) -> Iterator[str]:
    """Yield the variables for one link of container *name* to *target*, in Docker's spelling."""
    prefix = alias.upper().replace("-", "_")
    ports = sorted((int(port), protocol or "tcp") for port, _, protocol in (key.partition("/") for key in target.config.exposed_ports))
    if ports:
        port, protocol = ports[0]
        yield f"{prefix}_PORT={protocol}://{address}:{port}"
    for port, protocol in ports:
        key = f"{prefix}_PORT_{port}_{protocol.upper()}"
        yield f"{key}={protocol}://{address}:{port}"
        yield f"{key}_ADDR={address}"
        yield f"{key}_PORT={port}"
        yield f"{key}_PROTO={protocol}"
    yield f"{prefix}_NAME=/{name}/{alias}"
    for variable in target.config.env:
        if variable.partition("=")[0] not in _OWN_VARIABLES:
            yield f"{prefix}_ENV_{variable}"
