"""An event as the Remote API shows it; pure. See the Docker Engine API 1.50, `EventMessage`."""

from __future__ import annotations

from minidocker.engine.events import Event
from minidocker.spec.record import Json

__all__ = ["render_event"]


def render_event(event: Event) -> dict[str, Json]:
    """Return one event; the first three keys repeat the rest for clients older than API 1.22, as Docker still does."""
    document: dict[str, Json] = {}
    if event.type in ("container", "image"):
        document |= {"status": event.action, "id": event.actor_id}
    if event.type == "container":
        document["from"] = event.attributes.get("image", "")
    return document | {
        "Type": event.type,
        "Action": event.action,
        "Actor": {"ID": event.actor_id, "Attributes": dict(event.attributes)},
        "scope": "local",
        "time": event.time_ns // 1_000_000_000,
        "timeNano": event.time_ns,
    }
