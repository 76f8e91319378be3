"""Images as the OCI specification defines them: descriptor, manifest, index, configuration.

Pure. JSON keys and their meaning: OCI image-spec `descriptor.md`, `manifest.md`, `image-index.md`, `config.md`. Docker
adds fields to the configuration (`Healthcheck`, `OnBuild`, `Shell`); they are part of `ContainerConfig`, which both share.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

from minidocker.spec.container import ContainerConfig
from minidocker.spec.record import json_key

__all__ = [
    "DOCKER_CONFIG", "DOCKER_INDEX", "DOCKER_LAYER_GZIP", "DOCKER_MANIFEST", "OCI_CONFIG", "OCI_INDEX", "OCI_LAYER",
    "OCI_LAYER_GZIP", "OCI_LAYER_ZSTD", "OCI_MANIFEST", "Descriptor", "History", "ImageConfig", "Index", "Manifest",
    "Platform", "RootFS", "go_architecture",
]  # fmt: skip

_ARCHITECTURES: Final = {"x86_64": "amd64", "aarch64": "arm64", "armv7l": "arm", "armv6l": "arm", "i686": "386", "i386": "386"}


def go_architecture(machine: str) -> str:
    """Return the name that images use for what uname(2) calls *machine*."""
    return _ARCHITECTURES.get(machine, machine)


OCI_INDEX: Final = "application/vnd.oci.image.index.v1+json"
OCI_MANIFEST: Final = "application/vnd.oci.image.manifest.v1+json"
OCI_CONFIG: Final = "application/vnd.oci.image.config.v1+json"
OCI_LAYER: Final = "application/vnd.oci.image.layer.v1.tar"
OCI_LAYER_GZIP: Final = "application/vnd.oci.image.layer.v1.tar+gzip"
OCI_LAYER_ZSTD: Final = "application/vnd.oci.image.layer.v1.tar+zstd"
DOCKER_INDEX: Final = "application/vnd.docker.distribution.manifest.list.v2+json"
DOCKER_MANIFEST: Final = "application/vnd.docker.distribution.manifest.v2+json"
DOCKER_CONFIG: Final = "application/vnd.docker.container.image.v1+json"
DOCKER_LAYER_GZIP: Final = "application/vnd.docker.image.rootfs.diff.tar.gzip"


@dataclass(frozen=True, slots=True, kw_only=True)
class Platform:
    """Where an image runs, in Go's names: `linux`, `amd64`."""

    architecture: str = field(default="", metadata=json_key("architecture"))
    os: str = field(default="linux", metadata=json_key("os"))
    variant: str = field(default="", metadata=json_key("variant", omit_empty=True))


@dataclass(frozen=True, slots=True, kw_only=True)
class Descriptor:
    """A typed pointer to content: what it is, its digest, its size in bytes."""

    media_type: str = field(metadata=json_key("mediaType"))
    digest: str = field(metadata=json_key("digest"))
    size: int = field(metadata=json_key("size"))
    annotations: Mapping[str, str] = field(default_factory=dict, metadata=json_key("annotations", omit_empty=True))
    platform: Platform | None = field(default=None, metadata=json_key("platform", omit_empty=True))


@dataclass(frozen=True, slots=True, kw_only=True)
class Manifest:
    """One image: its configuration and its layers, lowest first."""

    schema_version: int = field(default=2, metadata=json_key("schemaVersion"))
    media_type: str = field(default=OCI_MANIFEST, metadata=json_key("mediaType", omit_empty=True))
    config: Descriptor = field(metadata=json_key("config"))
    layers: tuple[Descriptor, ...] = field(metadata=json_key("layers"))
    annotations: Mapping[str, str] = field(default_factory=dict, metadata=json_key("annotations", omit_empty=True))


@dataclass(frozen=True, slots=True, kw_only=True)
class Index:
    """Several manifests: one image for several platforms, or the `index.json` of a layout."""

    schema_version: int = field(default=2, metadata=json_key("schemaVersion"))
    media_type: str = field(default=OCI_INDEX, metadata=json_key("mediaType", omit_empty=True))
    manifests: tuple[Descriptor, ...] = field(default=(), metadata=json_key("manifests"))
    annotations: Mapping[str, str] = field(default_factory=dict, metadata=json_key("annotations", omit_empty=True))


@dataclass(frozen=True, slots=True, kw_only=True)
class RootFS:
    """The layers by the digest of their *uncompressed* tar (diff_id), lowest first."""

    type: str = field(default="layers", metadata=json_key("type"))
    diff_ids: tuple[str, ...] = field(default=(), metadata=json_key("diff_ids"))


@dataclass(frozen=True, slots=True, kw_only=True)
class History:
    """Which instruction made a layer; `empty_layer` marks the ones that only changed the configuration."""

    created: str = field(default="", metadata=json_key("created", omit_empty=True))
    created_by: str = field(default="", metadata=json_key("created_by", omit_empty=True))
    author: str = field(default="", metadata=json_key("author", omit_empty=True))
    comment: str = field(default="", metadata=json_key("comment", omit_empty=True))
    empty_layer: bool = field(default=False, metadata=json_key("empty_layer", omit_empty=True))


@dataclass(frozen=True, slots=True, kw_only=True)
class ImageConfig:
    """The image configuration; the digest of its bytes is the image id."""

    architecture: str = field(default="", metadata=json_key("architecture"))
    os: str = field(default="linux", metadata=json_key("os"))
    variant: str = field(default="", metadata=json_key("variant", omit_empty=True))
    created: str = field(default="", metadata=json_key("created", omit_empty=True))
    author: str = field(default="", metadata=json_key("author", omit_empty=True))
    config: ContainerConfig = field(default_factory=ContainerConfig, metadata=json_key("config"))
    rootfs: RootFS = field(default_factory=RootFS, metadata=json_key("rootfs"))
    history: tuple[History, ...] = field(default=(), metadata=json_key("history", omit_empty=True))
