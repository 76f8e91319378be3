"""The route table: which handler answers which path."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from minidocker.api.response import Response
from minidocker.api.router import Route, Router, parse_version, require_supported, split_version
from minidocker.errors import InvalidParameter, NotFound

if TYPE_CHECKING:
    from minidocker.api.request import Request
    from minidocker.engine.engine import Engine


def answer(_engine: Engine, _request: Request) -> Response:
    """Answer nothing in particular.

    The second paragraph is no part of the summary.
    """
    return Response()


ROUTES = tuple(
    Route(method=method, pattern=pattern, handler=answer)
    for method, pattern in [
        ("GET", "/_ping"),
        ("GET", "/images/json"),
        ("GET", "/images/get"),
        ("GET", "/images/{name...}/json"),
        ("GET", "/images/{name...}/get"),
        ("DELETE", "/images/{name...}"),
        ("POST", "/images/{name...}/tag"),
        ("GET", "/containers/json"),
        ("GET", "/containers/{id}/json"),
        ("DELETE", "/containers/{id}"),
        ("DELETE", "/containers/{id}/checkpoints/{checkpoint}"),
    ]
)
ROUTER = Router(ROUTES)

FOUND = [
    ("GET", "/_ping", "/_ping", {}),
    ("GET", "/containers/json", "/containers/json", {}),
    ("GET", "/containers/json/json", "/containers/{id}/json", {"id": "json"}),
    ("GET", "/containers/%2Fweb/json", "/containers/{id}/json", {"id": "/web"}),
    ("DELETE", "/containers/web", "/containers/{id}", {"id": "web"}),
    ("DELETE", "/containers/a/checkpoints/b", "/containers/{id}/checkpoints/{checkpoint}", {"id": "a", "checkpoint": "b"}),
    ("GET", "/images/json", "/images/json", {}),
    ("GET", "/images/alpine/json", "/images/{name...}/json", {"name": "alpine"}),
    ("GET", "/images/a/b/c:1/json", "/images/{name...}/json", {"name": "a/b/c:1"}),
    ("GET", "/images/localhost:5000/json/json", "/images/{name...}/json", {"name": "localhost:5000/json"}),
    ("GET", "/images/docker.io%2Flibrary%2Falpine/json", "/images/{name...}/json", {"name": "docker.io/library/alpine"}),
    ("GET", "/images/a@sha256:0/json", "/images/{name...}/json", {"name": "a@sha256:0"}),
    ("DELETE", "/images/a/b", "/images/{name...}", {"name": "a/b"}),
    ("DELETE", "/images/a/json", "/images/{name...}", {"name": "a/json"}),
    ("POST", "/images/tag/tag", "/images/{name...}/tag", {"name": "tag"}),
]


@pytest.mark.parametrize(("method", "path", "pattern", "parameters"), FOUND, ids=[f"{m} {p}" for m, p, *_ in FOUND])
def test_path_finds_its_route_and_parameters(method: str, path: str, pattern: str, parameters: dict[str, str]) -> None:
    """Image names contain slashes and even the words of other routes: the end of the path decides."""
    match = ROUTER.find(method, path, (1, 50))
    assert (match.route.pattern, match.parameters) == (pattern, parameters)


MISSING = [("GET", "/"), ("GET", ""), ("GET", "/nope"), ("POST", "/_ping"), ("GET", "/containers"), ("GET", "/images"),
           ("GET", "/containers/a/b/json"), ("PUT", "/images/a/json"), ("GET", "/_ping/")]  # fmt: skip


@pytest.mark.parametrize(("method", "path"), MISSING, ids=[f"{m} {p}" for m, p in MISSING])
def test_unknown_path_and_wrong_method_are_the_same_error(method: str, path: str) -> None:
    """Docker never answers 405; clients know this text."""
    with pytest.raises(NotFound, match=r"^page not found$"):
        ROUTER.find(method, path, (1, 50))


@given(st.text(max_size=40))
def test_any_path_is_found_or_not_found(path: str) -> None:
    """The router is the first code that sees a stranger's path."""
    try:
        ROUTER.find("GET", path, (1, 50))
    except NotFound:
        return


def test_route_is_not_found_under_a_version_that_did_not_have_it() -> None:
    """An old client must not find what its engine did not have."""
    router = Router([Route(method="GET", pattern="/new", handler=answer, since=(1, 42))])
    assert router.find("GET", "/new", (1, 42)).route.since == (1, 42)
    with pytest.raises(NotFound):
        router.find("GET", "/new", (1, 41))


def test_two_routes_with_one_pattern_are_refused() -> None:
    """The second one would never be reached; the name of a parameter makes no difference."""
    with pytest.raises(ValueError, match="there already"):
        Router([*ROUTES, Route(method="GET", pattern="/containers/{name}/json", handler=answer)])


def test_summary_is_the_first_line_of_the_handlers_docstring() -> None:
    """One sentence, written once: beside the code."""
    assert ROUTES[0].summary == "Answer nothing in particular."


VERSIONS = [
    ("/v1.41/info", (1, 41), "/info"),
    ("/info", None, "/info"),
    ("/v1.41", None, "/v1.41"),
    ("/v1/info", None, "/v1/info"),
    ("/volumes/v1.41/x", None, "/volumes/v1.41/x"),
]


@pytest.mark.parametrize(("path", "version", "rest"), VERSIONS, ids=[path for path, *_ in VERSIONS])
def test_version_is_split_from_the_path(path: str, version: tuple[int, int] | None, rest: str) -> None:
    """Every path exists with and without a version before it."""
    assert split_version(path) == (version, rest)


REFUSED = [("1.51", "client version 1.51 is too new. Maximum supported API version is 1.50"),
           ("2.0", "client version 2.0 is too new"),
           ("1.23", "client version 1.23 is too old. Minimum supported API version is 1.24, please upgrade your client"),
           ("1.9", "client version 1.9 is too old")]  # fmt: skip


@pytest.mark.parametrize(("version", "text"), REFUSED, ids=[version for version, _ in REFUSED])
def test_version_outside_the_range_is_refused_in_dockers_words(version: str, text: str) -> None:
    """Versions compare as numbers: 1.9 is older than 1.24."""
    with pytest.raises(InvalidParameter) as caught:
        require_supported(parse_version(version))
    assert str(caught.value).startswith(text)


@pytest.mark.parametrize("version", ["1.24", "1.41", "1.50"])
def test_version_within_the_range_is_spoken(version: str) -> None:
    """From the oldest to the newest, both included."""
    require_supported(parse_version(version))
