"""Take values out of the server's JSON without trusting its shape. Pure.

A missing key and a value of another type both read as empty, as they would in Docker's client, whose answers have
types with zero values.
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from minidocker.spec.record import Json

__all__ = ["list_at", "map_at", "maps_at", "number_at", "text_at", "texts_at", "value_at"]


def value_at(value: Json, *keys: str) -> Json:
    """Return what is found by following *keys*, or nothing."""
    for key in keys:
        value = value.get(key) if isinstance(value, dict) else None
    return value


def text_at(value: Json, *keys: str) -> str:
    """Return the text at *keys*, or an empty one."""
    found = value_at(value, *keys)
    return found if isinstance(found, str) else ""


def number_at(value: Json, *keys: str) -> int:
    """Return the number at *keys*, or zero."""
    found = value_at(value, *keys)
    return int(found) if isinstance(found, int | float) else 0


def list_at(value: Json, *keys: str) -> list[Json]:
    """Return the list at *keys*, or an empty one."""
    found = value_at(value, *keys)
    return found if isinstance(found, list) else []


def texts_at(value: Json, *keys: str) -> list[str]:
    """Return the texts in the list at *keys*."""
    return [item for item in list_at(value, *keys) if isinstance(item, str)]


def map_at(value: Json, *keys: str) -> dict[str, Json]:
    """Return the object at *keys*, or an empty one."""
    found = value_at(value, *keys)
    return found if isinstance(found, dict) else {}


def maps_at(value: Json, *keys: str) -> list[dict[str, Json]]:
    """Return the objects in the list at *keys*."""
    return [item for item in list_at(value, *keys) if isinstance(item, dict)]
