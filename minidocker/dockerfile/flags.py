"""Flags of an instruction: `--name=value` between its name and its arguments.

Rule: the value comes after `=`, never after a blank; a flag may come once unless it makes a list; a switch needs no value. Pure.
Chapter 9.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from enum import Enum, auto
from typing import Any, TypeAlias

from minidocker.dockerfile.mistake import DockerfileError, find_suggestion

__all__ = ["FlagKind", "Flags", "parse_flags"]

Flags: TypeAlias = Mapping[str, Any]
"""Field of an instruction's record → value; only flags that were given."""


class FlagKind(Enum):
    """What a flag holds."""

    TEXT = auto()
    SWITCH = auto()
    LIST = auto()


_FIELDS = {"from": "from_", "mount": "mounts", "device": "devices"}
"""Fields that are not called like their flag."""


def parse_flags(words: Sequence[str], known: Mapping[str, FlagKind]) -> Flags:
    """Return the fields that *words* give a value.

    Raises:
        DockerfileError: an unknown or repeated flag, or one without the value that it needs.
    """
    found: dict[str, Any] = {}
    for word in words:
        flag, equals, value = word.partition("=")
        name = flag[2:]
        kind = known.get(name)
        field = _FIELDS.get(name, name.replace("-", "_"))
        if kind is None:
            raise DockerfileError(f"unknown flag: {flag}", hint=find_suggestion(name, known), culprit=flag)
        if field in found and kind is not FlagKind.LIST:
            raise DockerfileError(f"duplicate flag specified: {flag}", culprit=word)
        if (not equals and kind is not FlagKind.SWITCH) or (equals and not value and kind is FlagKind.SWITCH):
            raise DockerfileError(f"missing a value on flag: {flag}", hint=f"write {flag}=VALUE", culprit=flag)
        if kind is FlagKind.SWITCH:
            if value.lower() not in ("", "true", "false"):
                raise DockerfileError(f"expecting boolean value for flag {flag}, not: {value}", culprit=word)
            found[field] = value.lower() != "false"
        else:
            found[field] = (*found.get(field, ()), value) if kind is FlagKind.LIST else value
    return found
