"""The images of one engine: by id, by name, by the beginning of an id.

Acting; safe to use from several threads. What is on disk is an OCI image layout, whose `index.json` is the one place where
names are: each manifest stands there once for each of its names, in the annotations that containerd and skopeo use too. It is
replaced whole for every change, after the blobs that it will refer to are there and before those that it no longer refers to go.

An image is its configuration: the digest of those bytes is the *id*. See OCI image-spec `image-layout.md`. Chapter 7.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

from minidocker.codec.idmap import IDENTITY, IdMap
from minidocker.errors import Conflict, HostError, InvalidParameter, MinidockerError, NotFound, NotSupported
from minidocker.image.content import Content
from minidocker.image.ingest import Ingest
from minidocker.image.layer import compute_chain_ids, layer_name
from minidocker.kernel.durable import write_durably
from minidocker.kernel.overlay import OPAQUE_XATTRS
from minidocker.reference.reference import InvalidReference, Reference, parse_reference
from minidocker.reference.resolve import resolve_name
from minidocker.spec.image import OCI_CONFIG, OCI_MANIFEST, Descriptor, ImageConfig, Index, Manifest
from minidocker.spec.record import read_record, render_record

__all__ = ["ImageRecord", "ImageStore", "no_such_image", "render_json"]

NAME_ANNOTATION: Final = "io.containerd.image.name"
"""The complete name; containerd's key, which `docker save` writes as well."""
TAG_ANNOTATION: Final = "org.opencontainers.image.ref.name"
"""The tag alone."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ImageRecord:
    """One image, as it is now."""

    id: str
    """`sha256:…`, the digest of the configuration."""
    config: ImageConfig
    manifest: Manifest
    manifest_digest: str
    manifest_size: int
    """Bytes of the manifest as it is stored: a pulled one is kept as it came, so that its digest stays."""
    names: tuple[Reference, ...] = ()
    """All tags and digests under which it is known."""
    size: int = 0
    """Bytes of all files in its layers."""

    @property
    def repo_tags(self) -> tuple[str, ...]:
        """The names with tags, as people read them."""
        return tuple(name.familiar for name in self.names if not name.digest)

    @property
    def repo_digests(self) -> tuple[str, ...]:
        """The names with digests: where it was pulled from or pushed to."""
        return tuple(name.familiar for name in self.names if name.digest)

    @property
    def created(self) -> str:
        """When it was built, as its configuration says."""
        return self.config.created

    @property
    def chain_ids(self) -> tuple[str, ...]:
        """The identity of each layer on top of those below it, lowest first."""
        return compute_chain_ids(self.config.rootfs.diff_ids)


class ImageStore:
    """All images below one data root."""

    def __init__(
        self, data_root: Path, *, layers_in_use: Callable[[], Collection[str]] = tuple,
        also_used: Callable[[], tuple[set[str], set[str]]] = lambda: (set(), set()), ids: IdMap = IDENTITY,
        opaque_xattr: str = OPAQUE_XATTRS[0],
    ) -> None:  # fmt: skip
        """Open the store at *data_root*, made if missing; blobs of unfinished work go.

        Args:
            data_root: where it is.
            layers_in_use: says which layers containers stand on, as `hold_layers` gave them: these stay even without an image.
            also_used: gives the digests of blobs and the ChainIDs of layers that the build cache refers to.
            ids: see `Content`.
            opaque_xattr: see `Content`.
        """
        self._layers_in_use, self._also_used = layers_in_use, also_used
        self.content = Content(data_root, ids=ids, opaque_xattr=opaque_xattr)
        self._index_path = data_root / "index.json"
        self._images: dict[str, ImageRecord] = {}
        self._by_name: dict[str, str] = {}
        self._foreign: list[Descriptor] = []
        if self._index_path.exists():
            for descriptor in read_record(Index, json.loads(self._index_path.read_bytes())).manifests:
                self._read_entry(descriptor)
        else:
            self._write_index()
        if not self._foreign:
            self.content.remove(digests=self.content.list_digests() - self._referenced_digests(), layers=())

    def _read_entry(self, descriptor: Descriptor) -> None:
        """Take one line of the index; what cannot be read is left alone, it may be another version's."""
        try:
            record = self._read_image(descriptor.digest)
        except (MinidockerError, ValueError):
            self._foreign.append(descriptor)
            return
        record = self._images.setdefault(record.id, record)
        name = descriptor.annotations.get(NAME_ANNOTATION, "")
        with suppress(InvalidReference):  # a name that another tool wrote: the image stays, without it
            if name:
                self._set_name(parse_reference(name), record.id)

    def _read_image(self, manifest_digest: str) -> ImageRecord:
        document = self.content.read_document(manifest_digest)
        manifest = read_record(Manifest, json.loads(document))
        config = read_record(ImageConfig, json.loads(self.content.read_document(manifest.config.digest)))
        return ImageRecord(
            id=manifest.config.digest, config=config, manifest=manifest, manifest_digest=manifest_digest,
            manifest_size=len(document), size=self._compute_size(config, manifest),
        )  # fmt: skip

    def _compute_size(self, config: ImageConfig, manifest: Manifest) -> int:
        layers = [self.content.find_layer(chain_id) for chain_id in compute_chain_ids(config.rootfs.diff_ids)]
        return sum(
            blob.size if layer is None else layer.size for layer, blob in zip(layers, manifest.layers, strict=False)
        )  # fmt: skip

    def all(self) -> tuple[ImageRecord, ...]:
        """Return every image, newest first."""
        with self.content.lock:
            return tuple(sorted(self._images.values(), key=lambda image: (image.created, image.id), reverse=True))

    def find(self, reference: str) -> ImageRecord | None:
        """Return the image with this id, name or unique beginning of an id.

        Raises:
            InvalidReference: it has the form of none of them.
            InvalidParameter: the beginning fits several.
        """
        with self.content.lock:
            return self._images.get(resolve_name(reference, self._by_name, self._images))

    def require(self, reference: str) -> ImageRecord:
        """Return the image that *reference* means.

        Raises:
            NotFound: there is none.
        """
        image = self.find(reference)
        if image is None:
            raise no_such_image(reference)
        return image

    def ensure_layers(self, image: ImageRecord) -> tuple[str, ...]:
        """Return the directories of the image's layers relative to `layers`, lowest first, unpacked if they are not.

        Raises:
            HostError: a blob is missing, or the disk is full.
        """
        with self.hold_layers(image) as names:
            return names

    @contextmanager
    def hold_layers(self, image: ImageRecord) -> Iterator[tuple[str, ...]]:
        """Give what `ensure_layers` returns, and keep the layers until the end, whatever happens to the image meanwhile.

        Whoever needs them longer has to be known to *layers_in_use* before the end.
        """
        with self.ingest() as ingest:
            self._unpack_all(ingest, image.config, image.manifest)
            yield tuple(f"{layer_name(chain_id)}/diff" for chain_id in image.chain_ids)

    def ingest(self) -> Ingest:
        """Return a context in which new content can be brought in."""
        return Ingest(self.content, self.release)

    def commit(
        self, ingest: Ingest, *, config: bytes, layers: Sequence[Descriptor], names: Collection[Reference] = (),
        manifest: bytes = b"",
    ) -> ImageRecord:
        """Make an image of a configuration and of layers that *ingest* brought in; return it with its new names.

        A *manifest* that came with them is kept byte by byte, and the image has it from now on: its digest is what the
        registry knows, and its layers are compressed the way that the registry has them.

        Raises:
            InvalidParameter: the configuration is no image configuration, or does not fit the layers.
            NotSupported: the image is for another operating system.
        """
        parsed = _parse_config(config)
        if len(parsed.rootfs.diff_ids) != len(layers):
            raise InvalidParameter(
                f"store image: the configuration names {len(parsed.rootfs.diff_ids)} layers, and there are {len(layers)}"
            )
        config_digest = ingest.add_bytes(config)
        new = Manifest(config=Descriptor(media_type=OCI_CONFIG, digest=config_digest, size=len(config)), layers=tuple(layers))
        document = manifest or render_json(render_record(new))
        if manifest:
            new = read_record(Manifest, json.loads(manifest))
        self._unpack_all(ingest, parsed, new)
        record = ImageRecord(
            id=config_digest, config=parsed, manifest=new, manifest_digest=ingest.add_bytes(document),
            manifest_size=len(document), size=self._compute_size(parsed, new),
        )  # fmt: skip
        replaced: set[str] = set()
        with self._change():
            existing = self._images.setdefault(record.id, record)
            if manifest and existing.manifest_digest != record.manifest_digest:
                replaced = _digests_of(existing)
                self._images[record.id] = replace(record, names=existing.names)
            for name in names:
                self._set_name(name, record.id)
        self.release(replaced, set())
        return self._images.get(record.id, record)

    def _unpack_all(self, ingest: Ingest, config: ImageConfig, manifest: Manifest) -> None:
        diff_ids = config.rootfs.diff_ids
        for count, blob in enumerate(manifest.layers, start=1):
            ingest.unpack(diff_ids[:count], blob.digest)

    def tag(self, image_id: str, name: Reference) -> None:
        """Give an image one more name, taken from whichever image had it.

        Raises:
            NotFound: there is no such image any more.
        """
        with self._change():
            if image_id not in self._images:
                raise no_such_image(image_id)
            self._set_name(name, image_id)

    def untag(self, name: Reference) -> ImageRecord:
        """Take a name away; return the image without it, which stays even if that was its last.

        Raises:
            NotFound: no image has the name.
        """
        with self._change():
            if name.canonical not in self._by_name:
                raise no_such_image(name.familiar)
            return self._images[self._drop_name(name)]

    def remove(self, image_id: str) -> tuple[list[str], int]:
        """Forget an image without names and remove what only it has; return the ChainIDs that went (highest first), and the bytes.

        Raises:
            Conflict: the image has a name.
        """
        with self.content.exclusive():
            image = self._images.get(image_id)
            if image is None:
                raise no_such_image(image_id)
            if image.names:
                raise Conflict(f"remove image `{image_id}`: it is still named `{image.names[0].familiar}`")
            with self._change():
                del self._images[image_id]
            kept = self._referenced_layers()
            names = {chain_id: layer_name(chain_id) for chain_id in image.chain_ids}
            gone = [chain_id for chain_id, name in names.items() if name not in kept and not self.content.is_pinned(name)]
            freed = sum(layer.size for chain_id in gone if (layer := self.content.find_layer(chain_id)))
            digests = _digests_of(image) - self._referenced_digests()
            self.content.remove(digests=digests, layers=[layer_name(chain_id) for chain_id in gone])
            return gone[::-1], freed

    def sweep(self) -> None:
        """Remove unpacked layers that belong to no image and to no container: what a crash left."""
        with self.content.exclusive():
            self.content.remove(digests=(), layers=self.content.list_layers() - self._referenced_layers())

    def release(self, digests: set[str], layers: set[str]) -> None:
        """Remove those of the given blobs and layers that nobody has."""
        with self.content.exclusive():
            digests, layers = digests - self._referenced_digests(), layers - self._referenced_layers()
            self.content.remove(digests=digests, layers=layers)

    def _referenced_digests(self) -> set[str]:
        return {digest for image in self._images.values() for digest in _digests_of(image)} | self._also_used()[0]

    def _referenced_layers(self) -> set[str]:
        chain_ids = {chain_id for image in self._images.values() for chain_id in image.chain_ids}
        names = {layer_name(chain_id) for chain_id in chain_ids | self._also_used()[1] if chain_id}
        return names | {name.partition("/")[0] for name in self._layers_in_use()}

    def _set_name(self, name: Reference, image_id: str) -> None:
        if self._by_name.get(name.canonical) == image_id:
            return
        self._drop_name(name)
        self._by_name[name.canonical] = image_id
        image = self._images[image_id]
        self._images[image_id] = replace(image, names=tuple(sorted((*image.names, name))))

    def _drop_name(self, name: Reference) -> str:
        """Take a name from the image that has it; return that image's id."""
        image_id = self._by_name.pop(name.canonical, "")
        if image_id:
            image = self._images[image_id]
            self._images[image_id] = replace(image, names=tuple(other for other in image.names if other != name))
        return image_id

    @contextmanager
    def _change(self) -> Iterator[None]:
        """Change names and images in memory and then on disk, or, if that fails, nowhere."""
        with self.content.lock:
            before = dict(self._images), dict(self._by_name)
            try:
                yield
                self._write_index()
            except BaseException:
                self._images, self._by_name = before
                raise

    def _write_index(self) -> None:
        """Put names and manifests on disk; see the module's rule for when."""
        entries = [entry for image in self._images.values() for entry in _index_entries(image)]
        index = Index(manifests=(*entries, *self._foreign))
        try:
            write_durably(self._index_path, render_json(render_record(index)))
        except OSError as error:
            raise HostError(f"write `{self._index_path}`: {error.strerror}") from error


def no_such_image(reference: str) -> NotFound:
    """Return Docker's error for a name that means no image; clients look for these words."""
    with suppress(InvalidReference):
        return NotFound(f"No such image: {parse_reference(reference).familiar}")
    return NotFound(f"No such image: {reference}")


def render_json(document: object) -> bytes:
    """Return *document* as JSON, the same bytes for the same values."""
    return json.dumps(document, separators=(",", ":"), ensure_ascii=False).encode()


def _parse_config(content: bytes) -> ImageConfig:
    try:
        config = read_record(ImageConfig, json.loads(content))
    except ValueError as error:
        raise InvalidParameter(f"store image: the configuration is not JSON: {error}") from error
    if config.os not in ("linux", ""):
        raise NotSupported(f"store image: it is for `{config.os}`, and containers here run Linux")
    return config


def _digests_of(image: ImageRecord) -> set[str]:
    return {image.id, image.manifest_digest, *(layer.digest for layer in image.manifest.layers)}


def _index_entries(image: ImageRecord) -> list[Descriptor]:
    """Return the lines of the index for one image: one for each name, or one without."""
    plain = Descriptor(
        media_type=image.manifest.media_type or OCI_MANIFEST, digest=image.manifest_digest, size=image.manifest_size
    )
    return [
        replace(plain, annotations={NAME_ANNOTATION: name.canonical, TAG_ANNOTATION: name.tag or name.digest})
        for name in image.names
    ] or [plain]

