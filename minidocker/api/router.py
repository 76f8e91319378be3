"""The router: which handler answers a method and a path.

Pure. The table is data (`minidocker.api.routes`): method, pattern, handler, and the API version that brought it. A pattern
is a path whose `{id}` matches one segment and whose `{name...}` matches one or more: image names contain slashes, so the
rest of the pattern is matched from the right. A literal segment wins over a parameter: `/images/json` is the list.

As in Docker, an unknown path and a wrong method are the same 404. Chapter 12.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final
from urllib.parse import unquote

from minidocker import API_VERSION, MIN_API_VERSION
from minidocker.errors import InvalidParameter, NotFound

if TYPE_CHECKING:
    from minidocker.api.request import Request
    from minidocker.api.response import Answer
    from minidocker.engine.engine import Engine

__all__ = ["Handler", "Match", "Route", "Router", "parse_version", "require_supported", "split_version"]

Handler = Callable[["Engine", "Request"], "Answer"]

_VERSION_PREFIX: Final = re.compile(r"/v([0-9]{1,3})\.([0-9]{1,3})(?=/)")


@dataclass(frozen=True, slots=True, kw_only=True)
class Route:
    """One line of the table."""

    method: str
    pattern: str
    handler: Handler
    since: tuple[int, int] = (0, 0)
    """The first API version that has it; zeros: all that are served."""

    @property
    def summary(self) -> str:
        """What it does, in one line: the first of the handler's docstring."""
        return (self.handler.__doc__ or "").partition("\n")[0]


@dataclass(frozen=True, slots=True)
class Match:
    """A route and what its parameters matched."""

    route: Route
    parameters: Mapping[str, str]


def parse_version(text: str) -> tuple[int, int]:
    """Return an API version such as `1.50` as two numbers, which compare as versions do."""
    major, _, minor = text.partition(".")
    return int(major), int(minor)


LATEST: Final = parse_version(API_VERSION)
OLDEST: Final = parse_version(MIN_API_VERSION)


def split_version(path: str) -> tuple[tuple[int, int] | None, str]:
    """Return the version that *path* begins with, if any, and the rest of it."""
    match = _VERSION_PREFIX.match(path)
    return ((int(match[1]), int(match[2])), path[match.end() :]) if match else (None, path)


def require_supported(version: tuple[int, int]) -> None:
    """Check that this server speaks *version*.

    Raises:
        InvalidParameter: it is too new or too old.
    """
    text = f"{version[0]}.{version[1]}"
    if version > LATEST:
        raise InvalidParameter(f"client version {text} is too new. Maximum supported API version is {API_VERSION}")
    if version < OLDEST:
        raise InvalidParameter(
            f"client version {text} is too old. Minimum supported API version is {MIN_API_VERSION}, "
            "please upgrade your client to a newer version"
        )


_Key = tuple[str, ...]
_ONE: Final = "{}"
_REST: Final = "{...}"


class Router:
    """The table, arranged for lookup: a path is tried as at most a few keys, however many routes there are."""

    def __init__(self, routes: Iterable[Route]) -> None:
        """Arrange *routes*.

        Raises:
            ValueError: two routes have the same method and pattern.
        """
        self._table: dict[_Key, tuple[Route, tuple[str, ...]]] = {}
        for route in routes:
            key, names = _parse_pattern(route.pattern)
            if self._table.setdefault((route.method, *key), (route, names))[0] is not route:
                raise ValueError(f"add route: `{route.method} {route.pattern}` is there already")

    def find(self, method: str, path: str, version: tuple[int, int]) -> Match:
        """Return the route for *method* and *path*, and the decoded values of its parameters.

        Raises:
            NotFound: there is none, or *version* is older than it.
        """
        segments = path.removeprefix("/").split("/")
        for key, values in _keys_of(segments):
            found = self._table.get((method, *key))
            if found is not None and version >= found[0].since:
                return Match(found[0], {name: unquote(value) for name, value in zip(found[1], values, strict=True)})
        raise NotFound("page not found")


def _parse_pattern(pattern: str) -> tuple[_Key, tuple[str, ...]]:
    """Return the key under which *pattern* is found, and the names of its parameters."""
    segments = pattern.removeprefix("/").split("/")
    names = tuple(segment.strip("{}").removesuffix("...") for segment in segments if segment.startswith("{"))
    key = tuple(_REST if s.endswith("...}") else _ONE if s.startswith("{") else s for s in segments)
    return key, names


def _keys_of(segments: list[str]) -> Iterable[tuple[_Key, tuple[str, ...]]]:
    """Yield the keys that *segments* may be filed under, the most literal first, with the parameters' values.

    Docker's paths have their parameters in the second place, and, for two of them, in the fourth.
    """
    yield tuple(segments), ()
    if len(segments) < 2:
        return
    first, second, *rest = segments
    yield (first, _ONE, *rest), (second,)
    if len(segments) == 4:
        yield (first, _ONE, rest[0], _ONE), (second, rest[1])
    if len(segments) > 2:
        yield (first, _REST, segments[-1]), ("/".join(segments[1:-1]),)
    yield (first, _REST), ("/".join(segments[1:]),)
