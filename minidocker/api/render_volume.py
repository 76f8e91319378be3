"""A volume as the Remote API shows it; pure. See the Docker Engine API 1.50, `Volume`."""

from __future__ import annotations

from minidocker.spec.record import Json
from minidocker.volume.store import VolumeRecord

__all__ = ["ANONYMOUS_LABEL", "render_volume"]

ANONYMOUS_LABEL = "com.docker.volume.anonymous"
"""The label by which clients tell volumes that nobody named."""


def render_volume(record: VolumeRecord, *, usage: tuple[int, int] | None = None) -> dict[str, Json]:
    """Return one volume; *usage* is its size in bytes and its number of containers, for `docker system df`."""
    labels: dict[str, Json] = dict(record.labels)
    if record.anonymous:
        labels[ANONYMOUS_LABEL] = ""
    document: dict[str, Json] = {
        "CreatedAt": f"{record.created_at[:19]}Z" if record.created_at else "",
        "Driver": record.driver,
        "Labels": labels or None,
        "Mountpoint": record.mountpoint,
        "Name": record.name,
        "Options": dict(record.options) or None,
        "Scope": record.scope,
    }
    if usage is not None:
        document["UsageData"] = {"Size": usage[0], "RefCount": usage[1]}
    return document
