"""Records and their JSON: one converter for every dataclass that is stored or sent.

Pure. A record is a frozen dataclass; its JSON is an object whose keys are the field names in Docker's CamelCase
(`cpu_shares` → `CpuShares`), or what `field(metadata=json("…"))` says. Reading ignores unknown keys and the case of letters
(as Go does: docker-py sends `detachKeys`), takes `null` for a missing key, and says where a wrong value stands (`HostConfig.Memory`). Writing gives every key, so that
`docker inspect` shows the defaults too; `omit_empty` leaves a key out while it holds nothing, as Go's `omitempty` does.

Converters are made once per type from its annotations and kept. See `minidocker.spec`.
"""

from __future__ import annotations

import base64
import dataclasses
import enum
import functools
import types
import typing
from collections.abc import Callable, Mapping
from typing import Any, Final, TypeVar, cast

from minidocker.errors import InvalidParameter

__all__ = ["Json", "json_key", "read_record", "render_record"]

Json = typing.Union[None, bool, int, float, str, list["Json"], dict[str, "Json"]]  # noqa: UP007 - recursive alias
R = TypeVar("R")
Reader = Callable[[Json, str], Any]
Writer = Callable[[Any], Json]

_ACRONYMS: Final = {"id": "ID", "os": "OS", "ip": "IP"}


def json_key(name: str = "", *, omit_empty: bool = False) -> dict[str, object]:
    """Return field metadata: the JSON key, and whether an empty value is left out."""
    return {"json": name, "omit_empty": omit_empty}


def camel_case(field_name: str) -> str:
    """Return Docker's spelling of a field name: `cpu_shares` → `CpuShares`, `image_id` → `ImageID`."""
    return "".join(_ACRONYMS.get(word) or word[:1].upper() + word[1:] for word in field_name.split("_"))


def read_record(record_type: type[R], value: Json, *, where: str = "") -> R:
    """Return the record of *record_type* that *value* (parsed JSON) describes.

    Raises:
        InvalidParameter: a value of the wrong type; the message names its place.
    """
    return cast(R, _reader_of(cast(Any, record_type))(value, where))


def render_record(record: object) -> Json:
    """Return *record* as plain JSON values, every field of it."""
    return _writer_of(cast(type, type(record)))(record)


@functools.cache
def _reader_of(annotation: Any) -> Reader:
    """Return the function that turns JSON into a value of *annotation*."""
    origin, arguments = typing.get_origin(annotation), typing.get_args(annotation)
    if isinstance(annotation, typing.TypeVar) or annotation in (Any, object):
        return lambda value, _where: value
    if origin in (typing.Union, types.UnionType):
        return _union_reader(tuple(a for a in arguments if a is not type(None)), optional=type(None) in arguments)
    if origin is tuple:
        return _tuple_reader(_reader_of(arguments[0]))
    if origin in (dict, Mapping) or origin is getattr(types, "MappingProxyType", None):
        return _mapping_reader(_reader_of(arguments[1]))
    if hasattr(annotation, "__supertype__"):
        return _reader_of(annotation.__supertype__)
    if dataclasses.is_dataclass(annotation):
        return _record_reader(cast(type, annotation))
    if isinstance(annotation, type) and issubclass(annotation, enum.Enum):
        return _enum_reader(annotation)
    if annotation is bytes:
        return lambda value, where: base64.b64decode(_expect(str, value, where))
    if annotation is float:
        return lambda value, where: float(_expect((int, float), value, where))
    return lambda value, where: _expect(annotation, value, where)


def _expect(kind: Any, value: Json, where: str) -> Any:
    """Return *value* if it is of *kind*; a boolean is no number."""
    if isinstance(value, kind) and not (isinstance(value, bool) and kind is not bool):
        return value
    names = {str: "a string", int: "an integer", bool: "true or false", dict: "an object", list: "a list"}
    raise InvalidParameter(f"invalid JSON: `{where or 'body'}` must be {names.get(kind, 'a number')}, not {value!r:.60}")


def _union_reader(kinds: tuple[Any, ...], *, optional: bool) -> Reader:
    """One kind may be null; several kinds are records told apart by their `Step`-like tag, the class name."""
    if len(kinds) == 1:
        inner = _reader_of(kinds[0])
        return lambda value, where: None if value is None and optional else inner(value, where)
    by_name = {kind.__name__: kind for kind in kinds}

    def read(value: Json, where: str) -> Any:
        if value is None and optional:
            return None
        kind = by_name.get(str(_expect(dict, value, where).get("Kind")))
        if kind is None:
            raise InvalidParameter(f"invalid JSON: `{where}.Kind` must be one of {', '.join(sorted(by_name))}")
        return _reader_of(kind)(value, where)

    return read


def _tuple_reader(inner: Reader) -> Reader:
    return lambda value, where: (
        () if value is None else tuple(inner(item, f"{where}[{i}]") for i, item in enumerate(_expect(list, value, where)))
    )


def _mapping_reader(inner: Reader) -> Reader:
    return lambda value, where: (
        {} if value is None else {k: inner(v, f"{where}.{k}") for k, v in _expect(dict, value, where).items()}
    )


def _enum_reader(kind: type[enum.Enum]) -> Reader:
    def read(value: Json, where: str) -> Any:
        try:
            return kind(value)
        except ValueError:
            known = ", ".join(repr(member.value) for member in kind)
            raise InvalidParameter(f"invalid JSON: `{where}` must be one of {known}, not {value!r:.60}") from None

    return read


def _keys_of(record_type: type) -> list[tuple[str, str, bool]]:
    """Return (field, JSON key, omit empty) of each field."""
    fields = dataclasses.fields(record_type)
    return [(f.name, f.metadata.get("json") or camel_case(f.name), bool(f.metadata.get("omit_empty"))) for f in fields]


def _record_reader(record_type: type) -> Reader:
    hints = typing.get_type_hints(record_type)
    plan: list[tuple[str, str, Reader]] = []
    spellings = {key.lower(): key for _, key, _ in _keys_of(record_type)}
    exact = frozenset(spellings.values())

    def read(value: Json, where: str) -> Any:
        if not plan:  # filled on first use, so that records may contain themselves
            plan.extend((name, key, _reader_of(hints[name])) for name, key, _ in _keys_of(record_type))
        document = _expect(dict, value, where)
        if not document.keys() <= exact:
            document = {spellings[k.lower()]: v for k, v in document.items() if k not in exact and k.lower() in spellings} | document
        prefix = f"{where}." if where else ""
        found = {n: inner(document[k], prefix + k) for n, k, inner in plan if document.get(k) is not None}
        try:
            return record_type(**found)
        except TypeError:
            missing = [f.name for f in dataclasses.fields(record_type) if f.name not in found and _is_required(f)]
            raise InvalidParameter(f"invalid JSON: `{where or record_type.__name__}` lacks {', '.join(missing)}") from None

    return read


def _is_required(field: dataclasses.Field[Any]) -> bool:
    return field.default is dataclasses.MISSING and field.default_factory is dataclasses.MISSING


@functools.cache
def _writer_of(kind: type) -> Writer:
    """Return the function that turns a value whose type is *kind* into JSON values."""
    if dataclasses.is_dataclass(kind):
        return _record_writer(kind)
    if issubclass(kind, enum.Enum):
        return lambda value: cast(Json, value.value)
    if kind is bytes:
        return lambda value: base64.b64encode(value).decode("ascii")
    if kind in (tuple, list):
        return lambda value: [render_record(item) for item in value]
    if issubclass(kind, Mapping):
        return lambda value: {key: render_record(item) for key, item in value.items()}
    if kind in (type(None), bool, int, float, str):
        return lambda value: cast(Json, value)
    return str  # a Digest, a path: what its text says


def _record_writer(kind: type) -> Writer:
    keys = _keys_of(kind)
    tag = {"Kind": kind.__name__} if getattr(kind, "TAGGED", False) else {}
    assert not (tag and any(key == "Kind" for _, key, _ in keys)), "a field would overwrite the tag"

    def write(record: Any) -> Json:
        document: dict[str, Json] = dict(tag)
        for name, key, omit_empty in keys:
            value = getattr(record, name)
            if not (omit_empty and (value is None or value == () or value == {} or value == "" or value == 0)):
                document[key] = render_record(value)
        return document

    return write
