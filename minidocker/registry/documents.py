"""Manifests and indexes as they travel: which kind a document is, which image is meant, and what is refused.

Pure. One document must have one meaning. Who reads it as a manifest and who reads it as an index would otherwise get different
images under one digest (CVE-2021-41190): so a document with both `layers` and `manifests` is refused, and so is one whose
`mediaType` contradicts its `Content-Type`. Docker's schema 1 had no digests of content and is refused too. Nothing is held in
memory that is larger than `MAX_MANIFEST_BYTES` (CVE-2017-11468). See OCI image-spec, "Manifest" and "Index". Chapter 8.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final, cast

from minidocker.errors import InvalidParameter
from minidocker.registry.names import is_digest
from minidocker.registry.protocol import RegistryError
from minidocker.spec.image import (
    DOCKER_INDEX, DOCKER_MANIFEST, OCI_INDEX, OCI_MANIFEST, Descriptor, Index, Manifest, Platform,
)  # fmt: skip
from minidocker.spec.record import Json, read_record

__all__ = [
    "ACCEPTED", "INDEXES", "MAX_MANIFEST_BYTES", "Document", "choose_platform", "describe_referrer", "parse_document", "parse_platform",
    "referenced_digests",
]  # fmt: skip

MAX_MANIFEST_BYTES: Final = 4 << 20
"""The specification asks for at least 4 megabytes, and Docker's registry takes no more."""

INDEXES: Final = frozenset({OCI_INDEX, DOCKER_INDEX})
ACCEPTED: Final = (OCI_MANIFEST, OCI_INDEX, DOCKER_MANIFEST, DOCKER_INDEX)
"""What we can read, the header `Accept` of every request for a manifest."""

_SCHEMA_1: Final = ("application/vnd.docker.distribution.manifest.v1+json", "application/vnd.docker.distribution.manifest.v1+prettyjws")
_DISTRIBUTABLE_ELSEWHERE: Final = ("nondistributable", "foreign")


@dataclass(frozen=True, slots=True, kw_only=True)
class Document:
    """A manifest or an index, checked."""

    media_type: str
    fields: Mapping[str, Json]

    @property
    def is_index(self) -> bool:
        """Whether it lists manifests instead of layers."""
        return self.media_type in INDEXES

    @property
    def subject(self) -> str:
        """The digest of the manifest that this one is about (a signature, a bill of materials); empty for an image."""
        subject = self.fields.get("subject")
        digest = subject.get("digest") if isinstance(subject, dict) else None
        return digest if isinstance(digest, str) and is_digest(digest) else ""

    def as_manifest(self) -> Manifest:
        """Return it as an image's manifest."""
        return read_record(Manifest, cast(Json, self.fields), where="manifest")

    def as_index(self) -> Index:
        """Return it as an index."""
        return read_record(Index, cast(Json, self.fields), where="index")


def parse_document(content: bytes, content_type: str = "") -> Document:
    """Return the document in *content*, which came with the header *content_type*.

    Raises:
        RegistryError: MANIFEST_INVALID, with the reason.
    """
    header = content_type.partition(";")[0].strip().lower()
    try:
        fields = json.loads(content)
    except (ValueError, RecursionError) as error:
        raise _invalid(f"it is not JSON: {error}") from error
    if not isinstance(fields, dict):
        raise _invalid("it is no JSON object")
    if header in _SCHEMA_1 or fields.get("schemaVersion") == 1:
        raise RegistryError(
            "MANIFEST_INVALID", "read manifest: it is of Docker's schema version 1, which is no longer supported",
            hint="push the image again with a client of this decade",
        )  # fmt: skip
    if "manifests" in fields and ("layers" in fields or "config" in fields):
        raise _invalid("it is both a manifest and an index (CVE-2021-41190)")
    claimed = fields.get("mediaType")
    if isinstance(claimed, str) and claimed and header in ACCEPTED and claimed != header:
        raise _invalid(f"it says `{claimed[:80]}` and came as `{header[:80]}`")
    kind = claimed if isinstance(claimed, str) and claimed else header
    if kind not in ACCEPTED:  # a server that does not know what it sends: the fields say
        kind = (OCI_INDEX if "manifests" in fields else OCI_MANIFEST) if not claimed and header in ("", "application/json") else kind
    if kind not in ACCEPTED:
        raise _invalid(f"`{kind[:80]}` is neither a manifest nor an index")
    wanted = "manifests" if kind in INDEXES else "layers"
    if fields.get("schemaVersion") != 2 or not isinstance(fields.get(wanted), list):
        raise _invalid(f"it has no `schemaVersion` 2 or no list `{wanted}`")
    document = Document(media_type=kind, fields=fields)
    for digest, _ in referenced_digests(document):
        if not is_digest(digest):
            raise _invalid(f"`{digest[:80]}` is no digest")
    return document


def _invalid(reason: str) -> RegistryError:
    return RegistryError("MANIFEST_INVALID", f"read manifest: {reason}")


def referenced_digests(document: Document) -> list[tuple[str, bool]]:
    """Return the digest of everything that *document* is made of, and whether it is a manifest.

    Layers that are to be had elsewhere only (of Windows) are left out: the registry need not have them.
    """
    try:
        if document.is_index:
            return [(entry.digest, True) for entry in document.as_index().manifests]
        manifest = document.as_manifest()
    except InvalidParameter as error:
        raise _invalid(str(error)) from error
    layers = [layer for layer in manifest.layers if not any(word in layer.media_type for word in _DISTRIBUTABLE_ELSEWHERE)]
    return [(entry.digest, False) for entry in (manifest.config, *layers)]


def describe_referrer(document: Document, *, digest: str, size: int) -> dict[str, Json]:
    """Return the line for *document* in the list of what refers to its subject."""
    kind = document.fields.get("artifactType") or ""
    config = document.fields.get("config")
    if not kind and isinstance(config, dict):
        kind = config.get("mediaType") or ""
    line: dict[str, Json] = {"mediaType": document.media_type, "size": size, "digest": digest}
    if kind:
        line["artifactType"] = kind
    annotations = document.fields.get("annotations")
    return {**line, "annotations": annotations} if annotations else line


def parse_platform(text: str) -> Platform:
    """Return the platform that `os[/architecture[/variant]]` means; an architecture alone is one of Linux.

    Raises:
        InvalidParameter: too many parts.
    """
    parts = text.lower().split("/")
    if len(parts) > 3 or not all(part.replace("_", "").isalnum() for part in parts):
        raise InvalidParameter(f'"{text}" is an invalid OS or architecture format')
    if len(parts) == 1 and parts[0] not in ("linux", "windows", "darwin", "freebsd"):
        parts = ["linux", *parts]
    os, architecture, variant = (*parts, "", "")[:3]
    architecture, implied = _ARCHITECTURES.get(architecture, (architecture, ""))
    return Platform(os=os, architecture=architecture, variant=variant or implied)


_ARCHITECTURES: Final = {
    "x86_64": ("amd64", ""), "aarch64": ("arm64", ""), "i386": ("386", ""), "i686": ("386", ""), "armhf": ("arm", "v7"), "armel": ("arm", "v6"),
}  # fmt: skip
"""Names of the kernel and of Debian, and Go's, which images use."""


def choose_platform(index: Index, wanted: Platform) -> Descriptor | None:
    """Return the manifest in *index* for the platform *wanted*; the first that fits, without a variant any.

    A processor runs what its older ones ran: for `arm/v7` an image for `v6` does where there is none for `v7`.
    """
    fitting = [
        entry for entry in index.manifests
        if entry.platform and entry.platform.os == wanted.os and entry.platform.architecture in (wanted.architecture, *([""] * (not wanted.architecture)))
    ]  # fmt: skip
    exact = [entry for entry in fitting if entry.platform and entry.platform.variant == wanted.variant]
    if exact or not wanted.variant:
        return next(iter(exact or fitting), None)
    older = [
        entry for entry in fitting if entry.platform and (not entry.platform.variant or entry.platform.variant <= wanted.variant)
    ]  # fmt: skip
    return max(older, key=lambda entry: entry.platform.variant if entry.platform else "", default=None)
