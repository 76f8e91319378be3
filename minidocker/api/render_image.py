"""Images as the Remote API shows them; pure. See the Docker Engine API 1.50, `ImageSummary` and `ImageInspect`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from minidocker.spec.record import Json, render_record

if TYPE_CHECKING:
    from minidocker.engine.images import ImageSummary

__all__ = ["render_image_details", "render_image_summary"]

NO_VIRTUAL_SIZE: Final = (1, 44)
"""The API version that dropped `VirtualSize`, which had long repeated `Size`."""
_NULL_WHEN_EMPTY: Final = frozenset({"Env", "Labels", "OnBuild", "Volumes"})
"""Lists and maps that Go leaves nil and therefore prints as `null`."""


def render_image_summary(summary: ImageSummary, *, version: tuple[int, int], containers: int = -1) -> dict[str, Json]:
    """Return one element of `GET /images/json`; *containers* is -1 where nobody counted."""
    document = render_record(summary)
    assert isinstance(document, dict)
    labels = document.get("Labels") or None
    return _without_virtual_size(document | {"Labels": labels, "Containers": containers}, version)


def render_image_details(details: dict[str, Json], *, version: tuple[int, int]) -> dict[str, Json]:
    """Return the body of `GET /images/{name}/json` as clients of *version* know it."""
    config = details["Config"]
    if isinstance(config, dict):
        config = {key: None if key in _NULL_WHEN_EMPTY and not value else value for key, value in config.items()}
    return _without_virtual_size(details | {"Config": config}, version)


def _without_virtual_size(document: dict[str, Json], version: tuple[int, int]) -> dict[str, Json]:
    if version < NO_VIRTUAL_SIZE:
        return document
    return {key: value for key, value in document.items() if key != "VirtualSize"}
