"""`docker push`: from an image in the store to a name in a registry.

Acting. Layers travel compressed; one that is stored plain is compressed first, once: the image keeps the result, so the next push finds
everything there and the digest that the registry has is the one that `docker images --digests` shows. For each layer the registry is
asked whether it has it, then whether another repository has it (a mount), and only then are bytes sent. The manifest goes last:
what the tag leads to is always whole. Texts are Docker's. Chapter 8.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import replace
from queue import Empty, SimpleQueue
from typing import TYPE_CHECKING, Final

from minidocker.engine.images import require_image
from minidocker.engine.pull import PullEngine, publish_transfer
from minidocker.engine.transfers import Crew, first_that_works
from minidocker.errors import NotFound
from minidocker.codec.compression import open_decompressed
from minidocker.image.deflate import compress_gzip
from minidocker.image.ingest import ChunkSource
from minidocker.image.store import ImageRecord, render_json
from minidocker.reference.reference import InvalidReference, Reference, parse_reference
from minidocker.registry.challenge import ANONYMOUS, Credentials
from minidocker.registry.session import RepositorySession
from minidocker.registry.transfer import mount_blob, upload_blob
from minidocker.spec.image import OCI_LAYER_GZIP, OCI_MANIFEST, Descriptor
from minidocker.spec.record import Json, render_record

if TYPE_CHECKING:
    from minidocker.image.ingest import Ingest

__all__ = ["push_image"]

MAX_UPLOADS: Final = 5
"""Layers that are sent at the same time, as in Docker."""
MAX_COMPRESSIONS: Final = 2
"""Layers that are compressed at the same time, each on all processors: while one waits for the disk another goes on."""
MAX_MOUNT_SOURCES: Final = 3
"""Repositories that are asked for a layer before it is sent."""


def push_image(
    engine: PullEngine, reference: str, *, tag: str = "", credentials: Credentials = ANONYMOUS, is_gone: Callable[[], bool] = lambda: False
) -> Iterator[Json]:
    """Yield the progress of sending *reference*, or without a tag every tag of that repository.

    Raises:
        InvalidReference: no image can be called that, or it has a digest.
        NotFound: no image here is called that.
        PeerError: the registry refuses.
    """
    name = parse_reference(f"{reference}:{tag}" if tag else reference, default_tag="")
    if name.digest:
        raise InvalidReference("cannot push a digest reference")
    yield {"status": f"The push refers to repository [{name.repository}]"}
    images = _images_to_push(engine, name)
    with closing(engine.registries.new_transport()) as transport:
        crew = engine.registries.new_crew(transport, is_gone=is_gone)
        sessions = engine.registries.open_sessions(
            transport, name.domain, name.path, credentials=credentials, for_push=True, sleep=crew.sleep
        )
        _, sessions = first_that_works(engine.registries, name.domain, sessions, RepositorySession.ping)
        for target, image in images:
            yield from _push_one(engine, crew, sessions[0], target, image)


def _images_to_push(engine: PullEngine, name: Reference) -> list[tuple[Reference, ImageRecord]]:
    if name.tag:
        try:
            return [(name, require_image(engine, name.canonical))]
        except NotFound:
            raise NotFound(f"An image does not exist locally with the tag: {name.familiar_repository}") from None
    found = [
        (other, image) for image in engine.images.all() for other in image.names if other.repository == name.repository and other.tag
    ]  # fmt: skip
    if not found:
        raise NotFound(f"An image does not exist locally with the tag: {name.familiar_repository}")
    return sorted(found, key=lambda pair: pair[0])


def _push_one(engine: PullEngine, crew: Crew, session: RepositorySession, name: Reference, image: ImageRecord) -> Iterator[Json]:
    """Yield the progress of one tag."""
    with engine.images.ingest() as ingest:
        for digest in (image.id, image.manifest_digest, *(layer.digest for layer in image.manifest.layers)):
            ingest.claim(digest)  # nothing of it may be removed on the way
        shorts = [_short(diff_id) for diff_id in image.config.rootfs.diff_ids]
        for short in shorts:
            crew.say("Preparing", short)
        sources = _mount_sources(engine, image, name)
        session.extra_scopes = tuple(f"repository:{source}:pull" for source in sources)
        job = _Job(image)
        for short in shorts[MAX_UPLOADS:]:
            crew.say("Waiting", short)
        for _ in range(MAX_COMPRESSIONS):
            crew.start(lambda: _compress_all(engine, crew, ingest, job), name="compress")
        for _ in range(job.uploads):
            crew.start(lambda: _upload_all(engine, crew, session, sources, job), name="upload")
        yield from crew.lines()
        image = _keep_compressed(engine, ingest, job)
        crew.start(lambda: _finish(engine, crew, session, name, image), name="manifest")
        yield from crew.lines()
    engine.images.tag(image.id, Reference(name.domain, name.path, digest=image.manifest_digest))
    yield {"status": f"{name.tag}: digest: {image.manifest_digest} size: {image.manifest_size}"}
    yield {"progressDetail": {}, "aux": {"Tag": name.tag, "Digest": image.manifest_digest, "Size": image.manifest_size}}
    publish_transfer(engine, "push", image, name)


class _Job:
    """The layers of one push, between those who compress them and those who send them."""

    def __init__(self, image: ImageRecord) -> None:
        self.image = image
        self.layers = list(image.manifest.layers)
        """In the form in which they are sent, as far as that is known."""
        self.uploads = min(MAX_UPLOADS, len(self.layers))
        self.ready: SimpleQueue[tuple[str, str] | None] = SimpleQueue()
        self.waiting = deque(range(len(self.layers)))
        self._lock = threading.Lock()
        self._left = len(self.layers)
        self._sent: set[str] = set()

    def finish(self, number: int, layer: Descriptor) -> None:
        """Hand a layer over to be sent; after the last one, the end."""
        with self._lock:
            self.layers[number] = layer
            if layer.digest not in self._sent:
                self._sent.add(layer.digest)
                self.ready.put((layer.digest, _short(self.image.config.rootfs.diff_ids[number])))
            self._left -= 1
            for _ in range(0 if self._left else self.uploads):
                self.ready.put(None)


def _upload_all(engine: PullEngine, crew: Crew, session: RepositorySession, sources: list[str], job: _Job) -> None:
    """Send the layers that are ready, until none comes any more; runs in several threads."""
    while True:
        try:
            layer = job.ready.get(timeout=0.2)
        except Empty:
            crew.check()
            continue
        if layer is None:
            return
        digest, short = layer
        crew.say(_send_blob(engine, crew, session, digest, sources, short), short)


def _send_blob(
    engine: PullEngine, crew: Crew, session: RepositorySession, digest: str, sources: list[str], short: str
) -> str:
    """Bring one blob into the repository; return how."""
    if session.has_blob(digest):
        return "Layer already exists"
    location = ""
    for source in sources:
        location = mount_blob(session, digest, source)
        if not location:
            return f"Mounted from {source}"
    path = engine.images.content.blob_path(digest)
    size = path.stat().st_size
    report = (lambda sent: crew.measure("Pushing", short, sent, size)) if short else (lambda _sent: crew.check())
    upload_blob(session, path, digest=digest, location=location or mount_blob(session, digest, ""), report=report, sleep=crew.sleep)
    return "Pushed"


def _finish(engine: PullEngine, crew: Crew, session: RepositorySession, name: Reference, image: ImageRecord) -> None:
    """Send the configuration, then the manifest."""
    _send_blob(engine, crew, session, image.id, [], "")
    content = engine.images.content.read_document(image.manifest_digest)
    session.put_manifest(name.tag, content, image.manifest.media_type or OCI_MANIFEST)


def _mount_sources(engine: PullEngine, image: ImageRecord, name: Reference) -> list[str]:
    """Return repositories of the same registry that have some of the layers, as far as is known here."""
    ours = set(image.config.rootfs.diff_ids)
    sources: dict[str, None] = {}
    for other in engine.images.all():
        if ours.isdisjoint(other.config.rootfs.diff_ids):
            continue
        for known in other.names:
            if known.domain == name.domain and known.path != name.path and known.digest:
                sources[known.path] = None
    return list(sources)[:MAX_MOUNT_SOURCES]


def _compress_all(engine: PullEngine, crew: Crew, ingest: Ingest, job: _Job) -> None:
    """Bring layers into the form in which registries hold them, until none is left; runs in several threads."""
    while True:
        try:
            number = job.waiting.popleft()
        except IndexError:
            return
        layer, diff_id = job.layers[number], job.image.config.rootfs.diff_ids[number]
        known = layer if _is_compressed(layer) else _find_compressed(engine, ingest, diff_id)
        ready = known or _compress(engine, crew, ingest, layer, _short(diff_id))
        job.finish(number, ready)
        if known is None:  # it is sent meanwhile; the image gets it only when all of this has ended
            ingest.settle(ready.digest)


def _keep_compressed(engine: PullEngine, ingest: Ingest, job: _Job) -> ImageRecord:
    """Let the image have its layers as they were sent; return it."""
    image, layers = job.image, tuple(job.layers)
    if layers == image.manifest.layers:
        return image
    manifest = replace(image.manifest, layers=layers, media_type=image.manifest.media_type or OCI_MANIFEST)
    config = engine.images.content.read_document(image.id)
    return engine.images.commit(ingest, config=config, layers=layers, manifest=render_json(render_record(manifest)))


def _short(diff_id: str) -> str:
    return diff_id.partition(":")[2][:12]


def _is_compressed(layer: Descriptor) -> bool:
    return layer.media_type.endswith(("gzip", "zstd"))


def _find_compressed(engine: PullEngine, ingest: Ingest, diff_id: str) -> Descriptor | None:
    """Return the compressed form of a layer that another image has."""
    for other in engine.images.all():
        for other_diff_id, layer in zip(other.config.rootfs.diff_ids, other.manifest.layers, strict=False):
            if other_diff_id == diff_id and _is_compressed(layer) and ingest.claim(layer.digest):
                return layer
    return None


def _compress(engine: PullEngine, crew: Crew, ingest: Ingest, layer: Descriptor, short: str) -> Descriptor:
    with engine.images.content.blob_path(layer.digest).open("rb", buffering=0) as file:

        def read(size: int) -> bytes:
            piece = file.read(size)
            crew.measure("Preparing", short, file.tell(), layer.size)
            return piece

        spooled = ingest.spool(ChunkSource(compress_gzip(open_decompressed(_Reader(read)))))
    ingest.keep(spooled, sync=False)
    return Descriptor(media_type=OCI_LAYER_GZIP, digest=spooled.digest, size=spooled.size)


class _Reader:
    """A function as a source."""

    def __init__(self, read: Callable[[int], bytes]) -> None:
        self._read = read

    def read(self, size: int, /) -> bytes:
        return self._read(size)


