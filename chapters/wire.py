"""Values as plain data: what travels between the tests and the worker that holds the learner's code.

JSON, with one-key objects for what JSON lacks: `{"$bytes": …}`, `{"$tuple": […]}`, `{"$record": "module:Class", …}`. There is no
pickle, for unpickling runs what the sender likes. The reader builds every value itself, from types that it knows: the frozen
records, enumerations and errors of *our own* source. So an object of the learner's never arrives, and one that calls itself equal
to everything is no more than its fields here. What is no plain value stays where it is, and a number stands for it (`Remote`).
"""

from __future__ import annotations

import base64
import builtins
import dataclasses
import enum
import importlib
import ipaddress
import itertools
import math
import pathlib
from collections.abc import Callable, Iterator
from typing import Any

__all__ = ["WireError", "decode", "decode_error", "encode", "encode_error", "find_type"]

MAX_ITEMS = 100_000
"""What is taken from an iterator; more is an endless one."""
MAX_DEPTH = 60
_SEQUENCES: tuple[Any, ...] = (tuple, set, frozenset)
_TEXT_TYPES: dict[str, type] = {
    kind.__name__: kind
    for kind in (
        ipaddress.IPv4Address, ipaddress.IPv4Network, ipaddress.IPv4Interface, ipaddress.IPv6Address, ipaddress.IPv6Network,
        ipaddress.IPv6Interface, pathlib.PurePosixPath,
    )
}  # fmt: skip
"""Types of the standard library that their text says all about."""


class WireError(Exception):
    """A value that cannot travel, or a message that is none of ours."""


def encode(value: Any, keep: Callable[[Any], int] | None = None, depth: int = 0) -> Any:
    """Return *value* as data that `json` takes; *keep* stores what is no plain value and returns its number.

    Raises:
        WireError: the value is not plain, and there is no *keep*.
    """
    if value is None or type(value) in (bool, int, str):
        return value
    if depth > MAX_DEPTH:
        raise WireError("a value is nested too deeply")

    def items(values: Any) -> list[Any]:
        return [encode(item, keep, depth + 1) for item in values]

    kind = type(value)
    if isinstance(value, enum.Enum) and _is_ours(kind):
        return {"$enum": _name_of(kind), "value": encode(value.value, keep, depth + 1)}
    if isinstance(value, float):
        return float.__float__(value) if math.isfinite(value) else {"$float": float.__repr__(value)}
    if isinstance(value, str):
        return str.__str__(value)
    if isinstance(value, int):
        return int.__int__(value)
    if isinstance(value, (bytes, bytearray, memoryview)):
        return {"$bytes": base64.b64encode(value).decode("ascii")}
    if isinstance(value, tuple) and hasattr(kind, "_fields") and _is_ours(kind):
        return {"$named": _name_of(kind), "items": items(tuple.__iter__(value))}
    if isinstance(value, list):
        return items(list.__iter__(value))
    for sequence in _SEQUENCES:
        if isinstance(value, sequence):
            return {f"${sequence.__name__}": items(sequence.__iter__(value))}
    if isinstance(value, dict):
        return {"$dict": [[encode(k, keep, depth + 1), encode(v, keep, depth + 1)] for k, v in dict.items(value)]}
    if kind.__name__ in _TEXT_TYPES and kind.__module__ in ("ipaddress", "pathlib"):
        return {"$text": kind.__name__, "value": str(value)}
    if _is_record(kind):
        fields = {f.name: encode(getattr(value, f.name), keep, depth + 1) for f in dataclasses.fields(value) if f.init}
        return {"$record": _name_of(kind), "fields": fields}
    if isinstance(value, Iterator):
        taken = list(itertools.islice(value, MAX_ITEMS + 1))
        if len(taken) > MAX_ITEMS:
            raise WireError(f"an iterator gave more than {MAX_ITEMS} items")
        return items(taken)
    if keep is None:
        raise WireError(f"a `{kind.__name__}` cannot travel to the learner's code: give it plain values, or records of minidocker")
    return {"$remote": keep(value), "type": kind.__name__}


def decode(data: Any, remote: Callable[[int, str], Any], depth: int = 0) -> Any:
    """Return the value that *data* describes; *remote* makes something of the number of what stayed on the other side.

    Raises:
        WireError: *data* is nothing that `encode` makes.
    """
    if data is None or isinstance(data, (bool, int, float, str)):
        return data
    if depth > MAX_DEPTH + 1:
        raise WireError("a message is nested too deeply")

    def items(found: Any) -> list[Any]:
        if not isinstance(found, list):
            raise WireError("a message has no list where one belongs")
        return [decode(item, remote, depth + 1) for item in found]

    if isinstance(data, list):
        return items(data)
    if not isinstance(data, dict) or not data:
        raise WireError("a message holds what is no value")
    tag, body = next(iter(data.items()))
    try:
        match tag:
            case "$bytes":
                return base64.b64decode(body, validate=True)
            case "$float":
                return float(body)
            case "$tuple" | "$set" | "$frozenset":
                return {"$tuple": tuple, "$set": set, "$frozenset": frozenset}[tag](items(body))
            case "$dict":
                return {decode(k, remote, depth + 1): decode(v, remote, depth + 1) for k, v in body}
            case "$text":
                return _TEXT_TYPES[body](str(data["value"]))
            case "$enum":
                return find_type(body, enum.Enum)(decode(data["value"], remote, depth + 1))
            case "$named":
                return find_type(body, tuple)(*items(data["items"]))
            case "$record":
                kind = find_type(body, object)
                if not _is_record(kind):
                    raise WireError(f"`{body}` is no record")
                return kind(**{str(key): decode(item, remote, depth + 1) for key, item in data["fields"].items()})
            case "$remote":
                return remote(int(body), str(data.get("type", "")))
    except WireError:
        raise
    except Exception as error:  # whatever a constructor thinks of values that no learner's function should return
        raise WireError(f"a value of the kind `{tag}` is malformed: {error}") from error
    raise WireError(f"a message holds `{tag}`, which is no kind of value")


def encode_error(error: BaseException) -> dict[str, Any]:
    """Return an exception as data: its type, its plain arguments and attributes."""

    def plain(values: Any) -> list[Any]:
        kept = []
        for value in values:
            try:
                kept.append(encode(value))
            except WireError:
                kept.append(str(value))
        return kept

    attributes = {str(k): v for k, v in vars(error).items() if not k.startswith("__")}
    fields = dict(zip(attributes, plain(attributes.values()), strict=True))
    args = error.args
    if isinstance(error, OSError) and error.filename is not None:  # OSError keeps the path apart
        args = (*args[:2], error.filename)
    return {"type": _name_of(type(error)), "args": plain(args), "attributes": fields, "text": str(error)}


def decode_error(data: Any) -> BaseException | None:
    """Return the exception that *data* describes: one of ours or of the language; nothing if it is neither."""
    name = str(data["type"])
    values = [decode(item, lambda _number, kind: kind) for item in data["args"]]
    if name.startswith("builtins:"):
        kind = getattr(builtins, name.partition(":")[2], None)
        if not (isinstance(kind, type) and issubclass(kind, Exception)):
            return None
        try:
            return kind(*values)
        except TypeError:  # UnicodeDecodeError and its like want what they were not given
            return None
    if not name.startswith("minidocker."):
        return None
    try:
        kind = find_type(name, Exception)
    except WireError:
        return None
    error: BaseException = kind.__new__(kind, *values)
    error.args = tuple(values)
    vars(error).update({str(k): decode(v, lambda _number, kind: kind) for k, v in data["attributes"].items()})
    return error


def find_type(name: str, base: type) -> Any:
    """Return the class of our own source called *name*, `minidocker.module:Class`, if it derives from *base*.

    Raises:
        WireError: there is none.
    """
    module, _, qualname = name.partition(":")
    if not module.startswith("minidocker.") or not all(part.isidentifier() for part in module.split(".")):
        raise WireError(f"`{name}` is no type of minidocker")
    try:
        found: Any = importlib.import_module(module)
        for part in qualname.split("."):
            found = vars(found)[part]
    except (ImportError, KeyError) as error:
        raise WireError(f"`{name}` is no type of minidocker") from error
    if not isinstance(found, type) or not issubclass(found, base) or found.__module__ != module:
        raise WireError(f"`{name}` is no type of minidocker")
    return found


def _name_of(kind: type) -> str:
    return f"{kind.__module__}:{kind.__qualname__}"


def _is_ours(kind: type) -> bool:
    return kind.__module__.startswith("minidocker.")


def _is_record(kind: type) -> bool:
    parameters = getattr(kind, "__dataclass_params__", None)
    return parameters is not None and parameters.frozen and _is_ours(kind)
