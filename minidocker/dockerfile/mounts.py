"""`RUN --mount=type=cache,target=/root/.cache`: a comma-separated list becomes a record.

Values may be variables, so a mount is parsed when its RUN is built; what has none is tried before, so that a mistake in it is
found early. `from` takes no variables: which stages a build needs must be known before anything runs. Pure. Chapter 9.
"""

from __future__ import annotations

import posixpath
import re
from collections.abc import Callable, Mapping
from typing import Any, Final

from minidocker.dockerfile.expand import expand_word
from minidocker.dockerfile.instructions import Mount, MountType, Run, Sharing
from minidocker.dockerfile.mistake import DockerfileError, find_suggestion
from minidocker.dockerfile.text import render_quoted
from minidocker.spec.quantity import parse_bytes

__all__ = ["check_mount", "mount_source", "parse_mount", "parse_mounts"]

_FIELDS: Final[Mapping[str, str]] = {
    "type": "type", "from": "from_", "source": "source", "src": "source", "target": "target", "dst": "target",
    "destination": "target", "readonly": "read_only", "ro": "read_only", "readwrite": "writable", "rw": "writable",
    "required": "required", "size": "size_bytes", "id": "id", "sharing": "sharing", "mode": "mode", "uid": "uid", "gid": "gid",
    "env": "env",
}  # fmt: skip
"""Key → field; `writable` is `read_only` the other way round."""

_SWITCHES: Final = frozenset({"read_only", "writable", "required"})
_FIELD: Final = re.compile(r'"((?:[^"]|"")*)"|([^",]*)')


def parse_mounts(run: Run, environment: Mapping[str, str], escape: str = "\\") -> tuple[Mount, ...]:
    """Return what *run* borrows, variables replaced.

    Raises:
        DockerfileError: a mount that means nothing.
    """
    return tuple(parse_mount(text, lambda word: expand_word(word, environment, escape)) for text in run.mounts)


def mount_source(text: str) -> str:
    """Return the stage or image that the mount *text* names, before anything is expanded; nothing is the build context."""
    fields = (field.partition("=") for field in _split_fields(text))
    return next((value for key, _, value in fields if key.lower() == "from"), "")


def check_mount(text: str) -> None:
    """Refuse a mount that is wrong whatever its variables are.

    Raises:
        DockerfileError: it is.
    """
    source = mount_source(text)
    if "$" in source[:-1]:
        raise DockerfileError("'from' doesn't support variable expansion, define alias stage instead", culprit=source)
    if "$" not in text:
        parse_mount(text, lambda word: word)


def _split_fields(text: str) -> tuple[str, ...]:
    """Return the fields of one line of comma-separated values (RFC 4180)."""
    fields: list[str] = []
    at = 0
    while True:
        match = _FIELD.match(text, at)
        if match is None or (match.end() < len(text) and text[match.end()] != ","):
            raise DockerfileError(f"failed to parse csv mounts: bare or unclosed quote in {render_quoted(text)}", culprit=text)
        fields.append(match[2] if match[1] is None else match[1].replace('""', '"'))
        if match.end() == len(text):
            return tuple(fields)
        at = match.end() + 1


def parse_mount(text: str, word: Callable[[str], str]) -> Mount:
    """Return the mount that *text* describes; *word* expands a value.

    Raises:
        DockerfileError: an unknown key or type, a value that does not fit, or keys that do not go together.
    """
    values: dict[str, Any] = {}
    for field in _split_fields(text):
        key, equals, value = field.partition("=")
        name = _FIELDS.get(key.lower())
        if name is None and equals:
            hint = find_suggestion(key, _FIELDS)
            raise DockerfileError(f"unexpected key '{key.lower()}' in '{field}'", hint=hint, culprit=key)
        if name is None or (not equals and name not in _SWITCHES):
            raise DockerfileError(f"invalid field '{field}' must be a key=value pair", culprit=field or text)
        values[name] = _parse_value(key.lower(), name, word(value) if equals else "true")
    if "writable" in values:
        values["read_only"] = not values.pop("writable")
    _check_together(values)
    return _fill_in(values)


def _parse_value(key: str, name: str, value: str) -> object:
    try:
        match name:
            case "type":
                return MountType(value.lower())
            case "sharing":
                return Sharing(value.lower())
            case "read_only" | "writable" | "required":
                return _BOOLEANS[value]
            case "size_bytes":
                return parse_bytes(value)
            case "mode" | "uid" | "gid":
                if not re.fullmatch("[0-7]{1,11}" if name == "mode" else "[0-9]{1,10}", value) or int(value, 8 if name == "mode" else 10) >= 2**32:
                    raise ValueError(value)
                return int(value, 8 if name == "mode" else 10)
    except (ValueError, KeyError) as error:
        problem, choices = {
            "type": (f"unsupported mount type {render_quoted(value)}", tuple(MountType)),
            "sharing": (f"unsupported sharing value {render_quoted(value)}", tuple(Sharing)),
        }.get(name, (f"invalid value {value} for {key}" if name in ("mode", "uid", "gid") else f"invalid value for {key}: {value}", ()))
        raise DockerfileError(problem, hint=find_suggestion(value, choices), culprit=value) from error
    return value


_BOOLEANS: Final = {
    **dict.fromkeys(("1", "t", "T", "true", "TRUE", "True"), True), **dict.fromkeys(("0", "f", "F", "false", "FALSE", "False"), False),
}  # fmt: skip


def _check_together(values: Mapping[str, Any]) -> None:
    """Refuse what the type does not have."""
    kind = values.get("type", MountType.BIND)
    allowed = {
        "required": (MountType.SECRET, MountType.SSH), "size_bytes": (MountType.TMPFS,), "sharing": (MountType.CACHE,),
        **dict.fromkeys(("mode", "uid", "gid"), (MountType.CACHE, MountType.SECRET, MountType.SSH)),
    }  # fmt: skip
    for name, kinds in allowed.items():
        if name not in values or kind in kinds:
            continue
        if name == "sharing":
            raise DockerfileError("secret mount should not define sharing" if kind is MountType.SECRET else f"invalid cache sharing set for {kind} mount")
        if name in ("mode", "uid", "gid"):
            raise DockerfileError(f'{name} not allowed for "{kind}" type mounts', culprit=name)
        raise DockerfileError(f"unexpected key '{name.removesuffix('_bytes')}' for mount type '{kind}'", culprit=name.removesuffix("_bytes"))
    if kind is MountType.SSH and values.get("source"):
        raise DockerfileError("ssh does not support source", culprit="source")
    if kind is MountType.SECRET:
        if values.get("from_"):
            raise DockerfileError("secret mount should not have a from", culprit="from")
        if values.get("source") and values.get("id"):
            raise DockerfileError("both source and id can't be set", culprit="id")
        if not any(values.get(name) for name in ("source", "target", "id")):
            raise DockerfileError("invalid secret mount. one of source, target required", culprit="secret")
    if kind in (MountType.BIND, MountType.CACHE, MountType.TMPFS) and posixpath.normpath(values.get("target", "")) in ("/", "//"):
        raise DockerfileError(f"invalid mount target {render_quoted(values['target'])}", culprit="target")


def _fill_in(values: dict[str, Any]) -> Mount:
    """Return the record, with what the type says about what was left out."""
    kind = values.get("type", MountType.BIND)
    target = values.get("target", "")
    values.setdefault("read_only", kind not in (MountType.CACHE, MountType.TMPFS))
    match kind:
        case MountType.CACHE:
            values["id"] = values.get("id") or posixpath.normpath(target)
        case MountType.SECRET:
            values["id"] = values.get("id") or values.get("source") or posixpath.basename(target)
        case MountType.SSH:
            values["id"] = values.get("id") or "default"
    return Mount(**values)
