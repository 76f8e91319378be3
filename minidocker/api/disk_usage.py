"""Handler of `GET /system/df`: what takes up the disk, by kind. See the Docker Engine API 1.50, "System". Chapter 12."""

from __future__ import annotations

import time
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Final

from minidocker.api.render_container import render_container_summary
from minidocker.api.render_image import render_image_summary
from minidocker.api.render_volume import render_volume
from minidocker.api.request import Request
from minidocker.api.response import Response, json_response
from minidocker.api.router import Route
from minidocker.engine.build import list_build_cache
from minidocker.engine.disk import measure_disk
from minidocker.engine.containers import list_containers
from minidocker.engine.images import list_images
from minidocker.engine.system import measure_container, measure_directory
from minidocker.engine.volumes import list_volumes, volume_users
from minidocker.errors import InvalidParameter
from minidocker.spec.record import Json

if TYPE_CHECKING:
    from minidocker.engine.engine import Engine

__all__ = ["ROUTES"]

_KINDS: Final = ("container", "image", "volume", "build-cache")


def disk_usage(engine: Engine, request: Request) -> Response:
    """Show what takes up the disk."""
    wanted = request.query.get("type") or _KINDS
    for kind in wanted:
        if kind not in _KINDS:
            raise InvalidParameter(f"unknown object type: {kind}")
    document: dict[str, Json] = {}
    if "image" in wanted:
        document |= {"LayersSize": measure_directory(engine.data_root / "layers"), "Images": _images(engine, request)}
    if "container" in wanted:
        document["Containers"] = _containers(engine)
    if "volume" in wanted:
        document["Volumes"] = _volumes(engine)
    if wanted is _KINDS:  # ours: every byte, by kind; Docker's clients pass over it
        document["Disk"] = [{"Kind": kind, "Size": size} for kind, size in measure_disk(engine).items()]
    if "build-cache" in wanted:
        document["BuildCache"] = list_build_cache(engine)
    return json_response(document)


def _images(engine: Engine, request: Request) -> list[Json]:
    used = Counter(handle.record.image_id for handle in engine.containers.all())
    return [
        {**render_image_summary(summary, version=request.version, containers=used[summary.id]), "SharedSize": 0}
        for summary in list_images(engine, all=True, filters={})
    ]


def _containers(engine: Engine) -> list[Json]:
    now = time.time()
    records = list_containers(engine, all=True, limit=0, filters={})
    return [render_container_summary(record, now=now, sizes=measure_container(engine, record)) for record in records]


def _volumes(engine: Engine) -> list[Json]:
    users = volume_users(engine)
    return [
        render_volume(volume, usage=(measure_directory(Path(volume.mountpoint)), len(users.get(volume.name, ()))))
        for volume in list_volumes(engine, {})
    ]


ROUTES: Final = (Route(method="GET", pattern="/system/df", handler=disk_usage, since=(1, 25)),)
