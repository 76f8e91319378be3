"""Handlers of `/build`: an archive with a Dockerfile comes in, progress goes out.

The query is that of the classic builder, which the `docker` client without buildx and docker-py speak. What it has no words for
(secrets, grants, named contexts) comes from our own client in front of the archive: a body of another content type, eight bytes with
the length of a JSON document, the document, the archive. So secrets are in no URL, and no other client meets any of it.
See the Docker Engine API 1.50, `POST /build`. Chapter 10.
"""

from __future__ import annotations

import base64
import json
from typing import TYPE_CHECKING, Final, cast

from minidocker.api.request import Body, Request, query_filters, query_flag, query_int, query_text
from minidocker.api.response import NO_CONTENT, Answer, Response, json_response
from minidocker.api.router import Route
from minidocker.api.streams import progress_response
from minidocker.build.request import BuildRequest
from minidocker.engine.build import BuildSource, Style, build_image, cancel_build, prune_build_cache
from minidocker.errors import InvalidParameter
from minidocker.spec.container import HostConfig, Ulimit
from minidocker.spec.record import Json, read_record

if TYPE_CHECKING:
    from minidocker.engine.engine import Engine

__all__ = ["BUILD_TYPE", "ROUTES", "parse_build_request"]

BUILD_TYPE: Final = "application/vnd.minidocker.build"
"""The content type of a body that begins with what the query cannot say."""
MAX_PREFIX_BYTES: Final = 4 << 20
"""Secrets are at most 500 KiB each in Docker; a few of them fit."""


def build(engine: Engine, request: Request) -> Answer:
    """Build an image."""
    if query_text(request, "version", "1") != "1":
        raise InvalidParameter("build version 2 (BuildKit) is not supported", hint="set DOCKER_BUILDKIT=0")
    is_ours = request.headers.get("content-type", "").startswith(BUILD_TYPE)
    private = _read_private(request.body) if is_ours else {}
    remote = query_text(request, "remote")
    if remote in ("-", "client-session"):
        remote = ""
    style = Style(
        has_events=is_ours, quiet=query_flag(request, "q"), client_fd=request.client_fd, build_id=query_text(request, "buildid"),
    )  # fmt: skip
    source = BuildSource(body=None if remote else request.body, remote=remote)
    return progress_response(build_image(engine, parse_build_request(request, private), source, style))


def _read_private(body: Body) -> dict[str, Json]:
    length = int.from_bytes(body.read(8), "big")
    if length > MAX_PREFIX_BYTES:
        raise InvalidParameter("read build request: what stands before the archive is too long")
    try:
        document = json.loads(body.read(length))
    except ValueError as error:
        raise InvalidParameter(f"read build request: not JSON: {error}") from error
    if not isinstance(document, dict):
        raise InvalidParameter("read build request: expected a JSON object")
    return document


def parse_build_request(request: Request, private: dict[str, Json]) -> BuildRequest:
    """Return what the query, and in front of the archive our own client, asks for.

    Raises:
        InvalidParameter: a value of the wrong form.
    """
    secrets = {name: base64.b64decode(str(text)) for name, text in _mapping(private.get("secrets")).items()}
    return BuildRequest(
        dockerfile=query_text(request, "dockerfile") or "Dockerfile",
        tags=tuple(tag for tag in request.query.get("t", ()) if tag),
        target=query_text(request, "target"),
        arguments={name: None if value is None else str(value) for name, value in _query_mapping(request, "buildargs").items()},
        labels={name: str(value) for name, value in _query_mapping(request, "labels").items()},
        host_config=_parse_host_config(request),
        platform=query_text(request, "platform").lower(),
        no_cache=query_flag(request, "nocache"),
        pull=query_flag(request, "pull"),
        cache_from=_query_list(request, "cachefrom"),
        secrets=secrets,
        agents={name: str(path) for name, path in _mapping(private.get("agents")).items()},
        contexts={name: str(where) for name, where in _mapping(private.get("contexts")).items()},
        grants=frozenset(str(word) for word in cast("list[Json]", private.get("grants") or [])),
    )


def _parse_host_config(request: Request) -> HostConfig:
    try:
        ulimits = tuple(read_record(Ulimit, one) for one in json.loads(query_text(request, "ulimits") or "null") or ())
    except ValueError as error:
        raise InvalidParameter(f"error reading ulimits: {error}") from error
    return HostConfig(
        memory=query_int(request, "memory", 0), memory_swap=query_int(request, "memswap", 0), cpu_shares=query_int(request, "cpushares", 0),
        cpu_period=query_int(request, "cpuperiod", 0), cpu_quota=query_int(request, "cpuquota", 0),
        cpuset_cpus=query_text(request, "cpusetcpus"), cpuset_mems=query_text(request, "cpusetmems"),
        cgroup_parent=query_text(request, "cgroupparent"), shm_size=query_int(request, "shmsize", 0), ulimits=ulimits,
        network_mode=query_text(request, "networkmode"), extra_hosts=tuple(host for host in request.query.get("extrahosts", ()) if host),
    )  # fmt: skip


def _query_mapping(request: Request, name: str) -> dict[str, Json]:
    text = query_text(request, name)
    try:
        return _mapping(json.loads(text)) if text else {}
    except ValueError as error:
        raise InvalidParameter(f"error reading build args: `{name}` is not JSON: {error}") from error


def _mapping(value: Json) -> dict[str, Json]:
    if value is not None and not isinstance(value, dict):
        raise InvalidParameter("read build request: expected a JSON object")
    return value or {}


def _query_list(request: Request, name: str) -> tuple[str, ...]:
    text = query_text(request, name)
    try:
        value = json.loads(text) if text else None
    except ValueError as error:
        raise InvalidParameter(f"error reading `{name}`: not JSON: {error}") from error
    return tuple(str(one) for one in value or ())


def prune(engine: Engine, request: Request) -> Response:
    """Forget results of builds."""
    keep = max(query_int(request, name, 0) for name in ("keep-storage", "reserved-space", "max-used-space"))
    removed, freed = prune_build_cache(engine, everything=query_flag(request, "all"), keep_bytes=keep, filters=query_filters(request))
    return json_response({"CachesDeleted": [*removed] or None, "SpaceReclaimed": freed})


def cancel(engine: Engine, request: Request) -> Response:
    """Stop a build."""
    cancel_build(engine, query_text(request, "id"))
    return NO_CONTENT


ROUTES: Final = (
    Route(method="POST", pattern="/build", handler=build),
    Route(method="POST", pattern="/build/prune", handler=prune),
    Route(method="POST", pattern="/build/cancel", handler=cancel),
)
