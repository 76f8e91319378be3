"""Manifests and indexes: one meaning for one document."""

from __future__ import annotations

import json
from contextlib import suppress
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from minidocker.errors import InvalidParameter
from minidocker.registry.documents import choose_platform, describe_referrer, parse_document, parse_platform, referenced_digests
from minidocker.registry.protocol import RegistryError
from minidocker.spec.image import DOCKER_MANIFEST, OCI_INDEX, OCI_MANIFEST, Descriptor, Index, Platform

A, B, C = (f"sha256:{digit * 64}" for digit in "abc")


def part(digest: str, kind: str = "application/vnd.oci.image.layer.v1.tar+gzip", **more: object) -> dict[str, object]:
    return {"mediaType": kind, "digest": digest, "size": 1, **more}


def manifest(**changes: object) -> dict[str, Any]:
    return {"schemaVersion": 2, "config": part(A, "application/vnd.oci.image.config.v1+json"), "layers": [part(B)], **changes}


def index(*entries: object, **changes: object) -> dict[str, Any]:
    return {"schemaVersion": 2, "manifests": list(entries), **changes}


ACCEPTED = {
    "OCI by header": (manifest(), OCI_MANIFEST, OCI_MANIFEST),
    "OCI by field": (manifest(mediaType=OCI_MANIFEST), "", OCI_MANIFEST),
    "Docker": (manifest(mediaType=DOCKER_MANIFEST), DOCKER_MANIFEST, DOCKER_MANIFEST),
    "parameters of the header": (manifest(), f"{OCI_MANIFEST}; charset=utf-8", OCI_MANIFEST),
    "only JSON, says the server": (manifest(), "application/json", OCI_MANIFEST),
    "index": (index(part(A, OCI_MANIFEST)), OCI_INDEX, OCI_INDEX),
    "no layers": (manifest(layers=[]), OCI_MANIFEST, OCI_MANIFEST),
}  # fmt: skip


@pytest.mark.parametrize(("document", "header", "kind"), ACCEPTED.values(), ids=ACCEPTED)
def test_document_of_both_worlds_is_read(document: object, header: str, kind: str) -> None:
    """OCI's and Docker's second schema differ in names only."""
    assert parse_document(json.dumps(document).encode(), header).media_type == kind


REFUSED = {
    "both (CVE-2021-41190)": (manifest(manifests=[]), OCI_MANIFEST),
    "both, as an index": (index(layers=[]), OCI_INDEX),
    "an index with a config": (index(config=part(A)), OCI_INDEX),
    "other type than the header": (manifest(mediaType=OCI_MANIFEST), DOCKER_MANIFEST),
    "index in a manifest's clothes": (index(mediaType=OCI_INDEX), OCI_MANIFEST),
    "schema 1": ({"schemaVersion": 1, "fsLayers": []}, "application/vnd.docker.distribution.manifest.v1+prettyjws"),
    "schema 1 by header": (manifest(), "application/vnd.docker.distribution.manifest.v1+json"),
    "digest that is a path (CVE-2024-3727)": (manifest(layers=[part("sha256:../../etc/passwd")]), OCI_MANIFEST),
    "no version": ({"layers": [], "config": part(A)}, OCI_MANIFEST),
    "no layers": ({"schemaVersion": 2, "config": part(A)}, OCI_MANIFEST),
    "layers that are none": (manifest(layers={}), OCI_MANIFEST),
    "config that is none": (manifest(config=[]), OCI_MANIFEST),
    "a list": ([], OCI_MANIFEST),
    "a web page": (manifest(), "text/html"),
}  # fmt: skip


@pytest.mark.parametrize(("document", "header"), REFUSED.values(), ids=REFUSED)
def test_document_with_two_meanings_or_none_is_refused(document: object, header: str) -> None:
    """Whoever reads it must come to the same image."""
    with pytest.raises(RegistryError) as caught:
        parse_document(json.dumps(document).encode(), header)
    assert caught.value.code == "MANIFEST_INVALID"


JSON = st.recursive(st.none() | st.booleans() | st.integers() | st.text(), lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner))


@given(st.dictionaries(st.sampled_from(["schemaVersion", "layers", "manifests", "config", "mediaType", "subject"]), JSON), st.sampled_from(["", OCI_MANIFEST, OCI_INDEX]))
def test_garbage_raises_only_the_own_error(fields: dict[str, object], header: str) -> None:
    """CVE-2021-21285: a malformed manifest stopped the server."""
    with suppress(RegistryError):
        parsed = parse_document(json.dumps({"schemaVersion": 2, **fields}).encode(), header)
        assert isinstance(parsed.subject, str)


@pytest.mark.parametrize("content", [b"", b"{", b"[" * 100_000, b"\xff"])
def test_what_is_no_json_is_refused(content: bytes) -> None:
    """Nesting without end is what recursive parsers die of."""
    with pytest.raises(RegistryError, match="not JSON"):
        parse_document(content)


def test_layers_that_are_to_be_had_elsewhere_need_not_be_here() -> None:
    """Windows' base layers may not be copied; their manifests may."""
    foreign = part(C, "application/vnd.docker.image.rootfs.foreign.diff.tar.gzip", urls=["https://elsewhere/"])
    document = parse_document(json.dumps(manifest(layers=[part(B), foreign])).encode(), OCI_MANIFEST)
    assert referenced_digests(document) == [(A, False), (B, False)]


def test_referrer_has_the_type_of_its_config_if_it_says_no_other() -> None:
    """Distribution-spec, "Listing Referrers": artifacts made before there was `artifactType` are found too."""
    plain = parse_document(json.dumps(manifest(subject=part(C), annotations={"a": "b"})).encode(), OCI_MANIFEST)
    typed = parse_document(json.dumps(manifest(subject=part(C), artifactType="x/y")).encode(), OCI_MANIFEST)
    assert plain.subject == C
    line = describe_referrer(plain, digest=B, size=9)
    assert (line["artifactType"], line["annotations"]) == ("application/vnd.oci.image.config.v1+json", {"a": "b"})
    assert describe_referrer(typed, digest=B, size=9)["artifactType"] == "x/y"


PLATFORMS = {
    "linux/amd64": Platform(architecture="amd64"), "arm64": Platform(architecture="arm64"), "linux/arm/v7": Platform(architecture="arm", variant="v7"),
    "linux/x86_64": Platform(architecture="amd64"), "LINUX/AARCH64": Platform(architecture="arm64"), "linux": Platform(), "windows/amd64": Platform(os="windows", architecture="amd64"),
}  # fmt: skip


@pytest.mark.parametrize(("text", "expected"), PLATFORMS.items(), ids=PLATFORMS)
def test_platform_may_be_spelt_as_the_kernel_does(text: str, expected: Platform) -> None:
    """`uname -m` says x86_64, images say amd64."""
    assert parse_platform(text) == expected


@pytest.mark.parametrize("text", ["", "a/b/c/d", "linux/", "linux/am d64"])
def test_platform_of_another_form_is_refused(text: str) -> None:
    """Docker's words."""
    with pytest.raises(InvalidParameter, match="invalid OS or architecture"):
        parse_platform(text)


def entry(digest: str, architecture: str, variant: str = "", os: str = "linux") -> Descriptor:
    return Descriptor(media_type=OCI_MANIFEST, digest=digest, size=1, platform=Platform(architecture=architecture, os=os, variant=variant))


CHOICES = {
    "exact": ("linux/amd64", A), "variant of its own": ("linux/arm/v7", B), "older variant": ("linux/arm/v8", B),
    "no variant asked": ("linux/arm64", C), "none": ("linux/s390x", None), "another system": ("windows/amd64", None), "too old": ("linux/arm/v5", None),
}  # fmt: skip


@pytest.mark.parametrize(("wanted", "digest"), CHOICES.values(), ids=CHOICES)
def test_platform_chooses_among_the_manifests(wanted: str, digest: str | None) -> None:
    """What the processor can run, the newest of it."""
    choices = Index(manifests=(entry(A, "amd64"), entry(A, "arm", "v6"), entry(B, "arm", "v7"), entry(C, "arm64", "v8")))
    found = choose_platform(choices, parse_platform(wanted))
    assert (found.digest if found else None) == digest
