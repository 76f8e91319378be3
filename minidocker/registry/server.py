"""Our own registry: OCI distribution-spec 1.1, from the head of a request to an answer.

Acting; knows nothing of sockets: `minidocker.api.registry` brings requests here and sends the answers. Bodies come and go as
streams. Rules: whoever may enter may read everything, so a blob may be mounted from any repository; a manifest is accepted only when
everything it is made of is there; an error is a document with a code. Chapter 8.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, Protocol
from urllib.parse import parse_qs, unquote

from minidocker.registry.documents import MAX_MANIFEST_BYTES, Document, describe_referrer, parse_document, referenced_digests
from minidocker.registry.names import ALGORITHMS, is_digest, is_tag, new_hash, require_digest, require_repository
from minidocker.registry.protocol import RegistryError, parse_byte_range, parse_chunk_range, render_error, render_next_link
from minidocker.registry.storage import Storage
from minidocker.registry.uploads import Source, Uploads
from minidocker.spec.image import OCI_INDEX
from minidocker.spec.record import Json

__all__ = ["MAX_PAGE", "Call", "FilePart", "Registry", "Reply", "ServerOptions"]

MAX_PAGE: Final = 1000
"""The most names in one page, whatever the client asks for (CVE-2023-2253)."""
CHUNK_MIN_BYTES: Final = 1
"""The shortest chunk that is welcome: any."""
REALM: Final = "minidocker registry"

_JSON: Final = ("Content-Type", "application/json")
_BYTES: Final = ("Content-Type", "application/octet-stream")
_ROUTE: Final = re.compile(r"/v2/(?P<name>.+?)/(?:(?P<kind>blobs|manifests|referrers)/(?P<rest>[^/]+)|blobs/uploads/(?P<upload>[^/]*)|tags/list)")


class Passwords(Protocol):
    """Who may come in."""

    def find_user(self, authorization: str, /) -> str:
        """Return the name that the header *authorization* proves, nothing if it proves none."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ServerOptions:
    """How a registry behaves."""

    passwords: Passwords | None = None
    """Who may come in; `None`: everybody."""
    read_only: bool = False
    allow_delete: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Call:
    """One request."""

    method: str
    path: str
    """Percent-encoded, with the query."""
    headers: Mapping[str, str]
    """By lower-case name."""
    body: Source


@dataclass(frozen=True, slots=True, kw_only=True)
class FilePart:
    """A piece of a file, sent as it is."""

    path: Path
    offset: int
    size: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Reply:
    """An answer."""

    status: int = 200
    headers: tuple[tuple[str, str], ...] = ()
    body: bytes = b""
    file: FilePart | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class _Target:
    """What a request is about."""

    name: str
    rest: str = ""
    query: Mapping[str, Sequence[str]] = field(default_factory=dict)

    def option(self, name: str) -> str:
        """Return one value of the query, nothing if it is not given."""
        return self.query.get(name, [""])[-1]


class Registry:
    """The registry over one storage."""

    def __init__(self, storage: Storage, options: ServerOptions) -> None:
        """Serve *storage*."""
        self._storage, self._options = storage, options
        self._uploads = Uploads(storage)
        self._handlers: dict[tuple[str, str], Callable[[Call, _Target], Reply]] = {
            ("GET", "blobs"): self._get_blob, ("HEAD", "blobs"): self._get_blob, ("DELETE", "blobs"): self._delete_blob,
            ("GET", "manifests"): self._get_manifest, ("HEAD", "manifests"): self._get_manifest,
            ("PUT", "manifests"): self._put_manifest, ("DELETE", "manifests"): self._delete_manifest,
            ("GET", "referrers"): self._list_referrers, ("GET", "tags"): self._list_tags, ("GET", "catalog"): self._list_catalog,
            ("POST", "uploads"): self._start_upload, ("PATCH", "upload"): self._append_chunk, ("PUT", "upload"): self._finish_upload,
            ("GET", "upload"): self._show_upload, ("DELETE", "upload"): self._cancel_upload,
        }  # fmt: skip

    def answer(self, call: Call) -> Reply:
        """Return the answer to one request; a refusal is an answer too."""
        try:
            return self._dispatch(call)
        except RegistryError as error:
            challenge = (("WWW-Authenticate", f'Basic realm="{REALM}"'),) if error.status == 401 else ()
            return Reply(status=error.status, headers=(_JSON, *challenge), body=render_error(error.code, str(error)))

    def _dispatch(self, call: Call) -> Reply:
        path, _, query = call.path.partition("?")
        options = self._options
        if options.passwords is not None and not options.passwords.find_user(call.headers.get("authorization", "")):
            raise RegistryError("UNAUTHORIZED", "authentication required")
        if path in ("/v2/", "/v2", "/"):
            return Reply(headers=(_JSON,), body=b"{}")
        kind, target = _find_target(unquote(path), parse_qs(query, keep_blank_values=True))
        if options.read_only and call.method not in ("GET", "HEAD"):
            raise RegistryError("UNSUPPORTED", "this registry is read-only")
        if call.method == "DELETE" and kind in ("blobs", "manifests") and not options.allow_delete:
            raise RegistryError("UNSUPPORTED", "this registry deletes nothing (it was not started with --delete)")
        handler = self._handlers.get((call.method, kind))
        if handler is None:
            raise RegistryError("UNSUPPORTED", f"`{call.method}` is not possible here")
        return handler(call, target)

    # --- blobs

    def _get_blob(self, call: Call, target: _Target) -> Reply:
        digest = require_digest(target.rest)
        path = self._storage.find_blob(target.name, digest)
        if path is None:
            raise RegistryError("BLOB_UNKNOWN", f"blob `{digest}` is unknown to repository `{target.name}`")
        size = path.stat().st_size
        headers: tuple[tuple[str, str], ...] = (
            ("Docker-Content-Digest", digest), _BYTES, ("Accept-Ranges", "bytes"), ("ETag", f'"{digest}"'),
        )  # fmt: skip
        wanted = parse_byte_range(call.headers["range"], size) if "range" in call.headers else None
        if wanted is None:
            return Reply(headers=headers, file=FilePart(path=path, offset=0, size=size))
        first, last = wanted
        headers = (*headers, ("Content-Range", f"bytes {first}-{last}/{size}"))
        return Reply(status=206, headers=headers, file=FilePart(path=path, offset=first, size=last - first + 1))

    def _delete_blob(self, _call: Call, target: _Target) -> Reply:
        if not self._storage.remove_blob(target.name, require_digest(target.rest)):
            raise RegistryError("BLOB_UNKNOWN", f"blob `{target.rest}` is unknown to repository `{target.name}`")
        return Reply(status=202)

    # --- uploads

    def _start_upload(self, call: Call, target: _Target) -> Reply:
        mount, digest = target.option("mount"), target.option("digest")
        if mount and is_digest(mount):
            source = target.option("from")
            if self._storage.mount_blob(target.name, mount, require_repository(source) if source else ""):
                return _blob_created(target.name, mount)
        algorithm = target.option("digest-algorithm")
        if algorithm and algorithm not in ALGORITHMS:
            raise RegistryError("DIGEST_INVALID", f"no digest algorithm `{algorithm[:40]}`: there are {', '.join(ALGORITHMS)}")
        if digest:
            require_digest(digest)
        name = self._uploads.start(target.name)
        if not digest:
            return self._upload_reply(target.name, name, 202, ("OCI-Chunk-Min-Length", str(CHUNK_MIN_BYTES)))
        self._uploads.finish(name, target.name, digest, call.body, start=0)
        return _blob_created(target.name, digest)

    def _append_chunk(self, call: Call, target: _Target) -> Reply:
        start, length = _read_chunk_range(call)
        self._uploads.append(target.rest, target.name, call.body, start=start, length=length)
        return self._upload_reply(target.name, target.rest, 202)

    def _finish_upload(self, call: Call, target: _Target) -> Reply:
        digest = require_digest(target.option("digest"))
        start, length = _read_chunk_range(call)
        self._uploads.finish(target.rest, target.name, digest, call.body, start=start, length=length)
        return _blob_created(target.name, digest)

    def _show_upload(self, _call: Call, target: _Target) -> Reply:
        return self._upload_reply(target.name, target.rest, 204)

    def _cancel_upload(self, _call: Call, target: _Target) -> Reply:
        self._uploads.cancel(target.rest, target.name)
        return Reply(status=204)

    def _upload_reply(self, repository: str, name: str, status: int, *more: tuple[str, str]) -> Reply:
        last = max(0, self._uploads.size(name, repository) - 1)
        location = f"/v2/{repository}/blobs/uploads/{name}"
        return Reply(status=status, headers=(("Location", location), ("Range", f"0-{last}"), ("Docker-Upload-UUID", name), *more))

    # --- manifests

    def _get_manifest(self, _call: Call, target: _Target) -> Reply:
        digest = self._resolve(target)
        found = self._storage.find_manifest(target.name, digest) if digest else None
        if found is None:
            raise RegistryError("MANIFEST_UNKNOWN", f"manifest `{target.rest}` is unknown to repository `{target.name}`")
        headers = (("Docker-Content-Digest", digest), ("Content-Type", found[1]), ("ETag", f'"{digest}"'))
        return Reply(headers=headers, body=found[0])

    def _resolve(self, target: _Target) -> str:
        """Return the digest that the target means, nothing if its tag does not exist."""
        if ":" in target.rest:
            return require_digest(target.rest)
        if not is_tag(target.rest):
            raise RegistryError("TAG_INVALID", f"invalid tag `{target.rest[:80]}`")
        return self._storage.find_tag(target.name, target.rest)

    def _put_manifest(self, call: Call, target: _Target) -> Reply:
        content = _read_all(call.body, MAX_MANIFEST_BYTES)
        tags = [tag for tag in target.query.get("tag", ()) if ":" in target.rest]
        digest = require_digest(target.rest) if ":" in target.rest else f"sha256:{hashlib.sha256(content).hexdigest()}"
        for tag in tags if ":" in target.rest else [target.rest]:
            if not is_tag(tag):
                raise RegistryError("TAG_INVALID", f"invalid tag `{tag[:80]}`")
        found = new_hash(digest)
        found.update(content)
        if not digest.endswith(f":{found.hexdigest()}"):
            raise RegistryError("DIGEST_INVALID", f"provided digest `{digest}` did not match the manifest that came")
        document = parse_document(content, call.headers.get("content-type", ""))
        with self._storage.shared():
            self._require_parts(target.name, document)
            self._storage.add_manifest(target.name, content, digest=digest, media_type=document.media_type)
            for tag in tags if ":" in target.rest else [target.rest]:
                self._storage.set_tag(target.name, tag, digest)
        headers = [("Location", f"/v2/{target.name}/manifests/{digest}"), ("Docker-Content-Digest", digest)]
        if document.subject:
            line = json.dumps(describe_referrer(document, digest=digest, size=len(content))).encode()
            self._storage.add_referrer(target.name, document.subject, digest, line)
            headers.append(("OCI-Subject", document.subject))
        headers += [("OCI-Tag", ", ".join(tags))] if tags else []
        return Reply(status=201, headers=tuple(headers))

    def _require_parts(self, repository: str, document: Document) -> None:
        for part, is_manifest in referenced_digests(document):
            has_part = self._storage.has_manifest if is_manifest else self._storage.find_blob
            if not has_part(repository, part):
                raise RegistryError("MANIFEST_BLOB_UNKNOWN", f"`{part}` is unknown to repository `{repository}`")

    def _delete_manifest(self, _call: Call, target: _Target) -> Reply:
        digest = self._resolve(target)
        is_known = self._storage.remove_manifest(target.name, digest) if ":" in target.rest else self._storage.remove_tag(target.name, target.rest)
        if not is_known:
            raise RegistryError("MANIFEST_UNKNOWN", f"manifest `{target.rest}` is unknown to repository `{target.name}`")
        return Reply(status=202)

    # --- lists

    def _list_tags(self, _call: Call, target: _Target) -> Reply:
        if not self._storage.has_repository(target.name):
            raise RegistryError("NAME_UNKNOWN", f"repository `{target.name}` is not known to registry")
        return self._list(target, f"/v2/{target.name}/tags/list", lambda names: {"name": target.name, "tags": names})

    def _list_catalog(self, _call: Call, target: _Target) -> Reply:
        return self._list(target, "/v2/_catalog", lambda names: {"repositories": names})

    def _list(self, target: _Target, path: str, render: Callable[[list[Json]], Json]) -> Reply:
        text = target.option("n")
        if text and not (text.isascii() and text.isdigit()):
            raise RegistryError("PAGINATION_NUMBER_INVALID", f"invalid number of results requested: `{text[:20]}`")
        limit = min(int(text[:9]), MAX_PAGE) if text else MAX_PAGE
        names, has_more = self._storage.list_names(target.name, after=target.option("last"), limit=limit)
        link = (("Link", render_next_link(path, {"last": names[-1], "n": str(limit)})),) if has_more and names else ()
        return Reply(headers=(_JSON, *link), body=json.dumps(render([*names])).encode())

    def _list_referrers(self, _call: Call, target: _Target) -> Reply:
        digest, wanted = require_digest(target.rest), target.option("artifactType")
        lines: list[Json] = [json.loads(line) for line in sorted(self._storage.list_referrers(target.name, digest))]
        if wanted:
            lines = [line for line in lines if isinstance(line, dict) and line.get("artifactType") == wanted]
        document = {"schemaVersion": 2, "mediaType": OCI_INDEX, "manifests": lines}
        filters = (("OCI-Filters-Applied", "artifactType"),) if wanted else ()
        return Reply(headers=(("Content-Type", OCI_INDEX), *filters), body=json.dumps(document).encode())


def _find_target(path: str, query: Mapping[str, Sequence[str]]) -> tuple[str, _Target]:
    """Return what kind of thing *path* is about, and which."""
    if path == "/v2/_catalog":
        return "catalog", _Target(name="", query=query)
    match = _ROUTE.fullmatch(path)
    if match is None:
        if path.endswith("/blobs/uploads"):
            return "uploads", _Target(name=require_repository(path[4:-14]), query=query)
        raise RegistryError("NAME_UNKNOWN", "there is nothing at this address", status=404)
    name = require_repository(match["name"])
    if match["upload"] is not None:
        return ("upload" if match["upload"] else "uploads"), _Target(name=name, rest=match["upload"], query=query)
    return match["kind"] or "tags", _Target(name=name, rest=match["rest"] or "", query=query)


def _read_chunk_range(call: Call) -> tuple[int | None, int | None]:
    """Return (start, length) of the chunk in a request, `None` where it does not say."""
    header = call.headers.get("content-range", "")
    if not header:
        return None, None
    found = parse_chunk_range(header)
    if found is None:
        raise RegistryError("BLOB_UPLOAD_INVALID", f"`Content-Range: {header[:60]}` is no range", status=416)
    return found[0], found[1] - found[0] + 1


def _read_all(body: Source, limit: int) -> bytes:
    """Return the whole of a small body."""
    content = body.read(limit + 1)
    if len(content) > limit:
        raise RegistryError("MANIFEST_INVALID", f"the manifest has more than {limit} bytes", status=413)
    return content


def _blob_created(repository: str, digest: str) -> Reply:
    location = f"/v2/{repository}/blobs/{digest}"
    return Reply(status=201, headers=(("Location", location), ("Docker-Content-Digest", digest)))
