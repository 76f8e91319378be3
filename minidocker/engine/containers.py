"""Find and list containers."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Final

from minidocker.container.record import ContainerRecord
from minidocker.engine.engine import Engine
from minidocker.engine.remove import has_label
from minidocker.engine.store import Handle
from minidocker.errors import InvalidParameter

__all__ = ["list_containers", "require_container"]


def require_container(engine: Engine, reference: str) -> ContainerRecord:
    """Return the record of a container by id, unique prefix or name.

    Raises:
        NotFound: there is none.
    """
    return engine.containers.require(reference).record


def _matches_name(handle: Handle, value: str) -> bool:
    name = handle.record.name
    pattern = value.removeprefix("^/").removeprefix("^").removeprefix("/")
    anchored = value.startswith("^")
    if pattern.endswith("$"):
        pattern = pattern[:-1]
        return name == pattern if anchored else name.endswith(pattern)
    return name.startswith(pattern) if anchored else pattern in name


def _matches_port(ports: Mapping[str, object], value: str) -> bool:
    return (value if "/" in value else f"{value}/tcp") in ports


_FILTERS: Final[Mapping[str, Callable[[Handle, str], bool]]] = {
    "id": lambda h, v: h.record.id.startswith(v),
    "name": _matches_name,
    "label": lambda h, v: has_label(h.record.config.labels, v),
    "status": lambda h, v: h.record.state.status == v,
    "exited": lambda h, v: h.record.state.status == "exited" and str(h.record.state.exit_code) == v,
    "ancestor": lambda h, v: v in (h.record.config.image, h.record.config.image.partition(":")[0], h.record.image_id)
    or h.record.image_id.removeprefix("sha256:").startswith(v),
    "volume": lambda h, v: any(v in (m.name, m.source, m.destination) for m in h.record.mounts),
    "network": lambda h, v: v in h.record.networking.endpoints_config or v == h.record.host_config.network_mode
    or any(len(v) > 5 and e.network_id.startswith(v) for e in h.record.endpoints),
    "publish": lambda h, v: _matches_port(h.record.host_config.port_bindings, v),
    "expose": lambda h, v: _matches_port(h.record.config.exposed_ports, v),
    "health": lambda h, v: v == (h.record.state.health.status if h.record.state.health is not None else "none"),
    "is-task": lambda h, v: v not in ("true", "1"),
}
"""Docker's filters; several values of one filter are alternatives."""


def list_containers(
    engine: Engine, *, all: bool, limit: int, filters: Mapping[str, tuple[str, ...]]
) -> list[ContainerRecord]:
    """Return containers, newest first: the running ones, or all of them; *limit* counts those that do not run too.

    Raises:
        InvalidParameter: a filter that Docker does not know.
    """
    handles = engine.containers.all()
    for name in filters:
        if name not in (*_FILTERS, "before", "since"):
            raise InvalidParameter(f"invalid filter '{name}'")
    if not (all or limit > 0 or "status" in filters or "exited" in filters):
        handles = tuple(h for h in handles if h.record.state.running or h.record.state.status == "restarting")
    for name, values in filters.items():
        if name in _FILTERS:
            # labels narrow, everything else widens
            combine = _every if name == "label" else _any
            handles = tuple(h for h in handles if combine(_FILTERS[name], h, values))
        else:
            handles = _by_age(engine, handles, name, values)
    return [h.record for h in handles][: limit if limit > 0 else None]


def _any(matches: Callable[[Handle, str], bool], handle: Handle, values: tuple[str, ...]) -> bool:
    return any(matches(handle, value) for value in values)


def _every(matches: Callable[[Handle, str], bool], handle: Handle, values: tuple[str, ...]) -> bool:
    return all(matches(handle, value) for value in values)


def _by_age(engine: Engine, handles: tuple[Handle, ...], name: str, values: tuple[str, ...]) -> tuple[Handle, ...]:
    for value in values:
        created = engine.containers.require(value).record.created
        handles = tuple(h for h in handles if (h.record.created < created) == (name == "before") and h.record.created != created)
    return handles
