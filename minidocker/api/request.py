"""A request as handlers see it: path parameters, query and body, read by Docker's rules.

Pure but for `Request.body`, which reads from the connection. Rules that real clients rely on: `True`, `1` and any other
word are true; filters are `{"key": ["value"]}` or, from older clients, `{"key": {"value": true}}`; a JSON body needs
`Content-Type: application/json`; unknown query keys are ignored. See "Docker Engine API". Chapter 12.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final, Protocol, cast

from minidocker.errors import InvalidParameter
from minidocker.spec.record import Json

__all__ = [
    "MAX_JSON_BYTES", "Body", "Request", "parse_filters", "parse_timestamp_ns", "query_filters", "query_flag", "query_int",
    "query_text", "query_time_ns", "read_json",
]  # fmt: skip

MAX_JSON_BYTES: Final = 8 * 1024 * 1024
"""The largest JSON body; a container with a thousand mounts takes 200 KiB."""
_FALSE_WORDS: Final = frozenset({"", "0", "no", "false", "none"})


class Body(Protocol):
    """The bytes after the head of a request, as they arrive."""

    def read(self, size: int = -1, /) -> bytes:
        """Return exactly *size* bytes, fewer only at the end; all of them for -1."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """One request of a client."""

    method: str
    path: str
    """Without the version, still percent-encoded."""
    body: Body
    client_fd: int
    """The client's socket, to notice that it has gone; -1 if there is none."""
    version: tuple[int, int]
    """The API version that the client speaks."""
    headers: Mapping[str, str] = field(default_factory=dict)
    query: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    parameters: Mapping[str, str] = field(default_factory=dict)
    """What the pattern's `{…}` matched."""

    @property
    def has_body(self) -> bool:
        """Whether the client sends a body."""
        return "transfer-encoding" in self.headers or self.headers.get("content-length", "0") != "0"


def query_text(request: Request, name: str, default: str = "") -> str:
    """Return the first value of *name* in the query."""
    values = request.query.get(name)
    return values[0] if values else default


def query_flag(request: Request, name: str, *, default: bool = False) -> bool:
    """Return whether *name* is given and is none of Docker's words for false."""
    values = request.query.get(name)
    return values[0].strip().lower() not in _FALSE_WORDS if values else default


def query_int(request: Request, name: str, default: int) -> int:
    """Return *name* as a number.

    Raises:
        InvalidParameter: it is none.
    """
    text = query_text(request, name)
    if not text:
        return default
    try:
        return int(text)
    except ValueError:
        raise InvalidParameter(f"read query: `{name}={text[:40]}` is no number") from None


def query_filters(request: Request) -> dict[str, tuple[str, ...]]:
    """Return the `filters` of the query."""
    return parse_filters(query_text(request, "filters"))


def parse_filters(text: str) -> dict[str, tuple[str, ...]]:
    """Return filters in either form as key to values; empty text is no filter.

    Raises:
        InvalidParameter: neither form.
    """
    if not text:
        return {}
    document = _parse_json(text.encode("utf-8", "surrogatepass"), where="filters")
    if not isinstance(document, dict):
        raise InvalidParameter("invalid filter: expected a JSON object")
    filters: dict[str, tuple[str, ...]] = {}
    for key, values in document.items():
        if isinstance(values, dict):
            filters[key] = tuple(word for word, wanted in values.items() if wanted)
        elif isinstance(values, list) and all(isinstance(value, str) for value in values):
            filters[key] = tuple(cast("list[str]", values))
        else:
            raise InvalidParameter(f"invalid filter: the values of `{key}` must be a list of strings")
    return filters


def query_time_ns(request: Request, name: str) -> int | None:
    """Return the moment *name* in nanoseconds since 1970; `None` if it is missing or zero."""
    text = query_text(request, name)
    return parse_timestamp_ns(text) or None if text else None


def parse_timestamp_ns(text: str) -> int:
    """Return `seconds[.fraction]` since 1970, or an RFC 3339 time, in nanoseconds.

    Raises:
        InvalidParameter: neither.
    """
    seconds, _, fraction = text.partition(".")
    if seconds.removeprefix("-").isdecimal() and (fraction or "0").isdecimal():
        nanoseconds = int(fraction[:9].ljust(9, "0"))
        return int(seconds) * 1_000_000_000 + (-nanoseconds if seconds.startswith("-") else nanoseconds)
    from datetime import UTC, datetime  # older clients only

    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        raise InvalidParameter(f"read time: `{text[:40]}` is neither seconds since 1970 nor RFC 3339") from None
    return round((moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp()) * 1_000_000_000


def read_json(request: Request, *, optional: bool = False) -> Json:
    """Return the JSON body; `None` if there is none and it is *optional*.

    Raises:
        InvalidParameter: no body, no JSON, something after it, another content type, or too long.
    """
    if not request.has_body and optional:
        return None
    kind = request.headers.get("content-type", "")
    if request.has_body and kind.partition(";")[0].strip().lower() != "application/json":
        raise InvalidParameter(f"unsupported Content-Type header ({kind}): must be 'application/json'")
    content = request.body.read(MAX_JSON_BYTES + 1)
    if len(content) > MAX_JSON_BYTES:
        raise InvalidParameter(f"invalid JSON: it is longer than {MAX_JSON_BYTES} bytes")
    if not content.strip():
        if optional:
            return None
        raise InvalidParameter("invalid JSON: got EOF while reading request body")
    return _parse_json(content, where="body")


def _parse_json(content: bytes, *, where: str) -> Json:
    try:
        return cast(Json, json.loads(content, parse_constant=_refuse_constant))
    except RecursionError:
        raise InvalidParameter(f"invalid JSON: `{where}` is nested too deeply") from None
    except ValueError as error:
        raise InvalidParameter(f"invalid JSON: `{where}`: {error}") from None


def _refuse_constant(word: str) -> Json:
    """Python takes `NaN` and `Infinity`, JSON does not."""
    raise ValueError(f"{word} is no JSON")
