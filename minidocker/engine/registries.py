"""`docker login`, `docker search`, and what `GET /distribution/…` says: questions to a registry that bring in no image.

Acting. Search is Docker Hub's older protocol (`/v1/search`), which no specification has and every client uses. Chapter 8.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from contextlib import closing
from typing import Final
from urllib.parse import urlencode

from minidocker.engine.pull import translate_failure
from minidocker.engine.transfers import RegistryEngine, first_that_works
from minidocker.errors import InvalidParameter, PeerError, UserError
from minidocker.reference.reference import parse_reference
from minidocker.registry.challenge import ANONYMOUS, Credentials
from minidocker.registry.endpoints import HUB_DOMAIN, HUB_KEY, credential_key
from minidocker.registry.names import is_repository
from minidocker.registry.protocol import RegistryError
from minidocker.registry.session import Fetched, RepositorySession
from minidocker.spec.image import Platform
from minidocker.spec.record import Json, render_record

__all__ = ["Unauthorized", "describe_distribution", "log_in", "search_hub"]

SEARCH_HOST: Final = "https://index.docker.io"
MAX_SEARCH_RESULTS: Final = 100
MAX_SEARCH_BYTES: Final = 4 << 20
_PROBE: Final = "library/probe"
"""A session needs a repository; a login is about none."""
_SEARCH_FILTERS: Final = ("is-automated", "is-official", "stars")


class Unauthorized(UserError):
    """Name and password are not the right ones."""

    http_status = 401


def log_in(engine: RegistryEngine, server_address: str, credentials: Credentials) -> dict[str, str]:
    """Try *credentials* at a registry; return the body of `POST /auth`.

    Raises:
        Unauthorized: they are wrong.
        PeerError: there is no registry.
    """
    domain = _domain_of(server_address)
    with closing(engine.registries.new_transport()) as transport:
        sessions = engine.registries.open_sessions(transport, domain, _PROBE, credentials=credentials, for_push=True)
        try:
            identity, _ = first_that_works(engine.registries, domain, sessions, RepositorySession.ping)
        except RegistryError as error:
            if error.status in (401, 403):
                raise Unauthorized(f'Get "{sessions[-1].endpoint.url}/v2/": {error}') from error
            raise
    return {"Status": "Login Succeeded", "IdentityToken": identity}


def _domain_of(server_address: str) -> str:
    """Return the registry that an address as `config.json` has it means."""
    bare = server_address.partition("://")[2] if "://" in server_address else server_address
    host = bare.partition("/")[0].lower()
    if not host or credential_key(host) == HUB_KEY:
        return HUB_DOMAIN
    return host


def describe_distribution(engine: RegistryEngine, reference: str, credentials: Credentials = ANONYMOUS) -> dict[str, Json]:
    """Return the body of `GET /distribution/{name}/json`: what a registry has under a name, and for which platforms.

    Raises:
        NotFound: it has nothing, or does not say.
        PeerError: it breaks its protocol.
    """
    name = parse_reference(reference)

    def ask(session: RepositorySession) -> tuple[Fetched, list[Platform]]:
        fetched = session.fetch_manifest(name.digest or name.tag)
        if fetched.document.is_index:
            return fetched, [entry.platform or Platform() for entry in fetched.document.as_index().manifests]
        config = fetched.document.as_manifest().config
        return fetched, [_read_platform(session.fetch_document(config.digest, config.size))]

    with closing(engine.registries.new_transport()) as transport:
        sessions = engine.registries.open_sessions(transport, name.domain, name.path, credentials=credentials)
        try:
            (fetched, platforms), _ = first_that_works(engine.registries, name.domain, sessions, ask)
        except RegistryError as error:
            raise translate_failure(error, name) from error
    descriptor: dict[str, Json] = {"mediaType": fetched.document.media_type, "digest": fetched.digest, "size": fetched.size}
    return {"Descriptor": descriptor, "Platforms": [render_record(platform) for platform in platforms]}


def _read_platform(config: bytes) -> Platform:
    try:
        document = json.loads(config)
    except (ValueError, RecursionError):  # an artifact's configuration may be anything
        document = {}
    fields = document if isinstance(document, dict) else {}
    return Platform(
        os=str(fields.get("os", "")), architecture=str(fields.get("architecture", "")), variant=str(fields.get("variant") or "")
    )


def search_hub(
    engine: RegistryEngine, term: str, *, limit: int = 25, filters: Mapping[str, Sequence[str]], credentials: Credentials = ANONYMOUS
) -> list[dict[str, Json]]:
    """Return the body of `GET /images/search`.

    Raises:
        InvalidParameter: a limit or a filter that cannot be.
        PeerError: the index does not answer.
    """
    if not 0 <= limit <= MAX_SEARCH_RESULTS:
        raise InvalidParameter(f"limit {limit} is outside the range of [1, {MAX_SEARCH_RESULTS}]")
    for key in filters:
        if key not in _SEARCH_FILTERS:
            raise InvalidParameter(f"invalid filter '{key}'")
    host, slash, rest = term.partition("/")
    is_own = bool(slash) and ("." in host or ":" in host or host == "localhost") and is_repository(rest)
    query = urlencode({"q": rest if is_own else term.removeprefix("library/"), "n": str(limit or 25)})
    with closing(engine.registries.new_transport()) as transport:

        def ask(session: RepositorySession) -> bytes:
            base = session.endpoint.url if is_own else SEARCH_HOST
            return session.request("GET", f"{base}/v1/search?{query}", actions="").read(MAX_SEARCH_BYTES)

        domain = host if is_own else HUB_DOMAIN
        sessions = engine.registries.open_sessions(transport, domain, _PROBE, credentials=credentials, for_push=True)
        body, _ = first_that_works(engine.registries, domain, sessions, ask)
    return [line for line in _read_results(body) if _passes(line, filters)]


def _read_results(body: bytes) -> list[dict[str, Json]]:
    try:
        document = json.loads(body)
    except (ValueError, RecursionError) as error:
        raise PeerError(f"search: the index's answer is not JSON: {error}") from error
    results = document.get("results") if isinstance(document, dict) else None
    return [
        {
            "star_count": int(line.get("star_count") or 0), "is_official": bool(line.get("is_official")), "name": str(line.get("name", "")),
            "is_automated": bool(line.get("is_automated")), "description": str(line.get("description") or ""),
        }
        for line in results or () if isinstance(line, dict)
    ]  # fmt: skip


def _passes(line: Mapping[str, Json], filters: Mapping[str, Sequence[str]]) -> bool:
    for key, values in filters.items():
        for value in values:
            if key == "stars":
                if not value.isdigit():
                    raise InvalidParameter(f"invalid filter 'stars={value}'")
                if int(str(line["star_count"])) < int(value):
                    return False
            elif value.lower() not in ("true", "1", "false", "0"):
                raise InvalidParameter(f"invalid filter '{key}={value}'")
            elif bool(line[key.replace("-", "_")]) != (value.lower() in ("true", "1")):
                return False
    return True
