"""`docker load` and `docker save`: whole images in one tar archive.

Two forms are read. Docker's has `manifest.json`, which names for each image its configuration, its tags and its layers; in the old
one the layers are `ID/layer.tar`, in the new one blobs. The other is an OCI image layout: `index.json`, and
blobs under their digests. An archive that has both is read by `manifest.json`, because only that has all tags. The archive may be
compressed, and its layers too.

Loading is streaming: the files of the archive go to disk one after the other, whatever their order, and are looked up
by name afterwards; a name in the archive never becomes a path. One archive is one `Ingest`: after a failure nothing of it stays.
The archive that `render_archive` writes has both forms and equal bytes for equal images. Acting. See OCI image-spec
`image-layout.md`; moby, "Image tarball format". Chapter 7.
"""

from __future__ import annotations

import json
import platform
import posixpath
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from typing import Final, cast

from minidocker.codec.tar import (
    END_OF_ARCHIVE, ByteSource, InvalidArchive, Kind, TarEntry, TarReader, render_header, render_padding,
)  # fmt: skip
from minidocker.errors import HostError, NotSupported
from minidocker.codec.compression import open_decompressed, sniff_compression
from minidocker.image.content import MAX_DOCUMENT_BYTES
from minidocker.image.ingest import ChunkSource, Ingest, SpooledFile
from minidocker.image.store import NAME_ANNOTATION, TAG_ANNOTATION, ImageRecord, ImageStore, render_json
from minidocker.reference.reference import InvalidReference, Reference, parse_reference
from minidocker.spec.image import (
    DOCKER_INDEX, DOCKER_MANIFEST, OCI_INDEX, OCI_LAYER, OCI_LAYER_GZIP, OCI_MANIFEST, Descriptor, Index, Manifest, Platform,
    go_architecture,
)  # fmt: skip
from minidocker.spec.record import Json, json_key, read_record, render_record

__all__ = ["LoadedImage", "Selection", "load_archive", "render_archive"]

MAX_ENTRIES: Final = 100_000
"""Files in an archive; 127 layers of a thousand images are about this many, and names are held in memory."""
MAX_INDEX_DEPTH: Final = 4
"""How many indexes may point to each other before a manifest must come."""

_CHUNK_BYTES: Final = 1 << 18


@dataclass(frozen=True, slots=True, kw_only=True)
class LoadedImage:
    """One image that was loaded, and the lines that say so."""

    image: ImageRecord
    lines: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Selection:
    """One image to save, with the complete names that go along."""

    image: ImageRecord
    names: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class _SavedImage:
    """One element of `manifest.json`."""

    config: str
    repo_tags: tuple[str, ...] = ()
    layers: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class _SavedManifest:
    images: tuple[_SavedImage, ...] = field(default=(), metadata=json_key("images"))


@dataclass(frozen=True, slots=True, kw_only=True)
class _Wanted:
    """One image in an archive, whichever form it had."""

    config: bytes
    layers: tuple[SpooledFile, ...]
    names: tuple[Reference, ...]


class _Files:
    """The files of an archive, on disk under temporary names, by their names in the archive."""

    def __init__(self, files: Mapping[str, SpooledFile], links: Mapping[str, str]) -> None:
        self._files, self._links = files, links

    def find(self, name: str) -> SpooledFile | None:
        """Return a file; a link to one counts, as older archives use them for layers that repeat."""
        name = posixpath.normpath(name)
        for _ in range(8):
            if name in self._files or name not in self._links:
                return self._files.get(name)
            name = self._links[name]
        return None

    def require(self, name: str) -> SpooledFile:
        """Return a file that something in the archive refers to."""
        found = self.find(name)
        if found is None:
            raise InvalidArchive(f"load images: the archive has no `{name[:200]}`, which it refers to")
        return found

    def read_json(self, name: str) -> Json:
        """Return what a small JSON file holds."""
        return _parse_json(self.read(name), name)

    def read(self, name: str) -> bytes:
        """Return the content of a small file."""
        file = self.require(name)
        if file.size > MAX_DOCUMENT_BYTES:
            raise InvalidArchive(f"load images: `{name[:200]}` has {file.size} bytes, too many for a JSON document")
        return file.path.read_bytes()

    def read_blob(self, digest: str) -> bytes:
        """Return a small blob of an OCI layout, checked."""
        return self.read(self.require_blob_name(digest))

    def require_blob(self, digest: str) -> SpooledFile:
        """Return a blob of an OCI layout, checked."""
        return self.require(self.require_blob_name(digest))

    def require_blob_name(self, digest: str) -> str:
        """Return a blob's name in the archive; its content must be what the name says."""
        name = f"blobs/{digest.replace(':', '/', 1)}"
        found = self.require(name).digest
        if found != digest:
            raise InvalidArchive(f"load images: the content of blob `{digest[:80]}` is `{found}`")
        return name


def load_archive(store: ImageStore, stream: ByteSource) -> list[LoadedImage]:
    """Bring in every image of the archive in *stream*.

    Raises:
        InvalidParameter: no image archive, or a damaged one; nothing of it stays.
        NotSupported: compressed with zstd, or an image for another operating system.
        HostError: the disk is full; nothing stays.
    """
    with store.ingest() as ingest:
        files = _spool_files(ingest, TarReader(open_decompressed(stream)))
        if files.find("manifest.json"):
            wanted = list(_read_docker_archive(files))
        elif files.find("index.json"):
            wanted = list(_read_layout(files))
        else:
            raise InvalidArchive(
                "load images: the archive has neither `manifest.json` nor `index.json`",
                hint="it is no image archive; a root file system is brought in with `minidocker import`",
            )
        if not wanted:
            raise InvalidArchive("load images: the archive has no image for Linux")
        for image in wanted:
            for layer in image.layers:
                if layer.path.exists():  # the same layer again is one blob
                    ingest.keep(layer)
        return [_commit(store, ingest, image) for image in wanted]


def _commit(store: ImageStore, ingest: Ingest, wanted: _Wanted) -> LoadedImage:
    before = {name: store.find(name.canonical) for name in wanted.names}
    image = store.commit(
        ingest, config=wanted.config, layers=[_describe(store, layer) for layer in wanted.layers], names=wanted.names
    )
    lines = [
        f"The image {name.familiar} already exists, renaming the old one with ID {old.id} to empty string\n"
        for name, old in before.items()
        if old is not None and old.id != image.id
    ]
    lines += [f"Loaded image: {name.familiar}\n" for name in wanted.names] or [f"Loaded image ID: {image.id}\n"]
    return LoadedImage(image=image, lines=tuple(lines))


def _describe(store: ImageStore, layer: SpooledFile) -> Descriptor:
    """Return the descriptor of a layer that is a blob by now; its first bytes say how it is compressed."""
    with store.content.blob_path(layer.digest).open("rb") as file:
        kind = sniff_compression(file.read(8))
    media_type = OCI_LAYER_GZIP if kind == "gzip" else f"{OCI_LAYER}+{kind}" if kind else OCI_LAYER
    return Descriptor(media_type=media_type, digest=layer.digest, size=layer.size)


def _spool_files(ingest: Ingest, reader: TarReader) -> _Files:
    """Write every file of the archive to disk."""
    files: dict[str, SpooledFile] = {}
    links: dict[str, str] = {}
    for entry in reader:
        name = posixpath.normpath(entry.name.decode(errors="replace").lstrip("/"))
        if len(files) + len(links) >= MAX_ENTRIES:
            raise InvalidArchive(f"load images: the archive has more than {MAX_ENTRIES} files")
        if entry.kind is Kind.FILE:
            pieces = iter(lambda: reader.read_data(_CHUNK_BYTES), b"")
            files[name] = ingest.spool(ChunkSource(pieces))
        elif entry.kind is Kind.SYMLINK:
            links[name] = posixpath.normpath(posixpath.join(posixpath.dirname(name), entry.link_name.decode(errors="replace")))
        elif entry.kind is Kind.HARD_LINK:
            links[name] = posixpath.normpath(entry.link_name.decode(errors="replace").lstrip("/"))
    return _Files(files, links)


def _read_docker_archive(files: _Files) -> Iterator[_Wanted]:
    document: Json = {"images": files.read_json("manifest.json")}
    for image in read_record(_SavedManifest, document, where="manifest.json").images:
        names = tuple(parse_reference(text) for text in image.repo_tags)
        yield _Wanted(
            config=files.read(image.config), layers=tuple(files.require(layer) for layer in image.layers), names=names
        )


def _read_layout(files: _Files) -> Iterator[_Wanted]:
    """Read an OCI layout: each manifest in the index is an image; one with several names stands there several times."""
    if files.find("oci-layout") is None:
        raise InvalidArchive("load images: the archive has an `index.json` and no `oci-layout`")
    index = read_record(Index, files.read_json("index.json"), where="index.json")
    by_digest: dict[str, list[Reference]] = {}
    for descriptor in index.manifests:
        for digest in _resolve(files, descriptor, depth=0):
            by_digest.setdefault(digest, []).extend(_names_in(descriptor))
    for digest, names in by_digest.items():
        document = _parse_json(files.read_blob(digest), digest)
        if isinstance(document, dict) and "manifests" in document:  # which of the two it is would be open (CVE-2021-41190)
            raise InvalidArchive(f"load images: `{digest}` is both a manifest and an index")
        manifest = read_record(Manifest, document, where="manifest")
        yield _Wanted(
            config=files.read_blob(manifest.config.digest), names=tuple(dict.fromkeys(names)),
            layers=tuple(files.require_blob(layer.digest) for layer in manifest.layers),
        )  # fmt: skip


def _resolve(files: _Files, descriptor: Descriptor, *, depth: int) -> Iterator[str]:
    """Yield the digest of the manifest that *descriptor* leads to; of an index, the one for this machine."""
    if descriptor.media_type in (OCI_MANIFEST, DOCKER_MANIFEST):
        yield descriptor.digest
    elif descriptor.media_type in (OCI_INDEX, DOCKER_INDEX) and depth < MAX_INDEX_DEPTH:
        index = read_record(Index, _parse_json(files.read_blob(descriptor.digest), descriptor.digest), where="index")
        present = [d for d in index.manifests if files.find(f"blobs/{d.digest.replace(':', '/', 1)}")]
        machine = go_architecture(platform.machine())
        images = [d for d in present if (d.platform or Platform()).os == "linux"]
        own = [d for d in images if (d.platform or Platform()).architecture in ("", machine)] or images
        for chosen in own[:1]:
            yield from _resolve(files, chosen, depth=depth + 1)
    else:
        raise NotSupported(f"load images: no image has the type `{descriptor.media_type[:100]}`")


def _names_in(descriptor: Descriptor) -> Iterator[Reference]:
    """Yield the name in the annotations: containerd's complete one, or skopeo's and podman's if it is more than a tag."""
    complete, short = (descriptor.annotations.get(key, "") for key in (NAME_ANNOTATION, TAG_ANNOTATION))
    text = complete or (short if ":" in short or "/" in short else "")
    with suppress(InvalidReference):  # a free text, which the key allows
        if text:
            yield parse_reference(text)


def _parse_json(content: bytes, name: str) -> Json:
    try:
        return cast(Json, json.loads(content))
    except (ValueError, RecursionError) as error:
        raise InvalidArchive(f"load images: `{name[:200]}` is not JSON: {error}") from error


def render_archive(store: ImageStore, selections: Sequence[Selection]) -> Iterator[bytes]:
    """Return the pieces of an archive with *selections*, in Docker's form and as an OCI layout at once.

    The images' blobs are protected from removal until the iterator ends or is closed.

    Raises:
        HostError: a blob is missing from the store.
    """
    pins = sorted({digest for selection in selections for digest in _blobs_of(selection.image)})
    for digest in pins:
        store.content.pin(digest)
    return _render_pinned(store, selections, pins)


def _render_pinned(store: ImageStore, selections: Sequence[Selection], digests: Sequence[str]) -> Iterator[bytes]:
    try:
        yield render_header(TarEntry(name=b"blobs", kind=Kind.DIRECTORY, mode=0o755))
        yield render_header(TarEntry(name=b"blobs/sha256", kind=Kind.DIRECTORY, mode=0o755))
        for digest in digests:
            yield from _render_blob(store, digest)
        documents = _documents_of(selections)
        for name in sorted(documents):
            content = render_json(documents[name])
            yield render_header(TarEntry(name=name.encode(), size=len(content))) + content + render_padding(len(content))
        yield END_OF_ARCHIVE
    finally:
        store.content.unpin(digests)


def _render_blob(store: ImageStore, digest: str) -> Iterator[bytes]:
    path = store.content.blob_path(digest)
    try:
        with path.open("rb") as file:
            size = path.stat().st_size
            yield render_header(TarEntry(name=f"blobs/sha256/{path.name}".encode(), size=size))
            while piece := file.read(_CHUNK_BYTES):
                yield piece
            yield render_padding(size)
    except OSError as error:
        raise HostError(f"save images: read blob `{digest}`: {error.strerror}") from error


def _blobs_of(image: ImageRecord) -> set[str]:
    return {image.id, image.manifest_digest, *(layer.digest for layer in image.manifest.layers)}


def _documents_of(selections: Sequence[Selection]) -> dict[str, Json]:
    """Return the small files of the archive."""
    saved: list[Json] = []
    entries: list[Descriptor] = []
    repositories: dict[str, Json] = {}
    for selection in selections:
        image = selection.image
        names = [parse_reference(name) for name in selection.names]
        saved.append(
            {
                "Config": _blob_name(image.id), "RepoTags": [name.familiar for name in names],
                "Layers": [_blob_name(layer.digest) for layer in image.manifest.layers],
            }
        )  # fmt: skip
        plain = Descriptor(
            media_type=image.manifest.media_type or OCI_MANIFEST, digest=image.manifest_digest, size=image.manifest_size
        )
        for name in names:
            entries.append(replace(plain, annotations={NAME_ANNOTATION: name.canonical, TAG_ANNOTATION: name.tag}))
            if image.manifest.layers:
                tags = cast("dict[str, Json]", repositories.setdefault(name.familiar_repository, {}))
                tags[name.tag] = image.manifest.layers[-1].digest.removeprefix("sha256:")
        if not names:
            entries.append(plain)
    return {
        "index.json": render_record(Index(manifests=tuple(entries))),
        "manifest.json": saved,
        "oci-layout": {"imageLayoutVersion": "1.0.0"},
        "repositories": repositories,
    }


def _blob_name(digest: str) -> str:
    return f"blobs/{digest.replace(':', '/', 1)}"
