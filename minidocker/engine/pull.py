"""`docker pull`: from a name in a registry to an image in the store.

Acting. Theory of operation: the manifest says what there is; of an index the entry for this machine is taken. Several workers download
layers, each into a spool that is checked against its digest; one worker unpacks them from the lowest up *while* they arrive and
checks what comes out against the diff_id. Only then the image gets its name. After a failure nothing new is left, and nothing that was
there is lost. Texts are Docker's, because clients look for them. Chapter 8.
"""

from __future__ import annotations

import json
import platform as machine
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final, Protocol

from minidocker.builtin.images import find_built_in
from minidocker.engine.events import Event
from minidocker.engine.images import ImageEngine, require_image
from minidocker.engine.transfers import Crew, Registries, RegistryEngine, first_that_works
from minidocker.errors import InvalidParameter, MinidockerError, NotFound, PeerError
from minidocker.image.layer import compute_chain_ids
from minidocker.image.spool import Spool, SpoolReader
from minidocker.reference.reference import Reference, parse_reference
from minidocker.registry.challenge import ANONYMOUS, Credentials
from minidocker.registry.documents import choose_platform, parse_platform
from minidocker.registry.names import is_digest
from minidocker.registry.protocol import RegistryError
from minidocker.registry.session import Fetched, RepositorySession
from minidocker.registry.transfer import download_blob
from minidocker.spec.image import Descriptor, ImageConfig, Manifest, Platform, go_architecture
from minidocker.spec.record import Json, read_record

if TYPE_CHECKING:
    from minidocker.image.ingest import Ingest
    from minidocker.image.store import ImageRecord

__all__ = ["PullEngine", "own_platform", "publish_transfer", "pull_image", "translate_failure"]

MAX_DOWNLOADS: Final = 3
"""Layers that are downloaded at the same time, as in Docker."""
MAX_INDEX_DEPTH: Final = 3
"""Indexes that may lead to each other before a manifest must come."""


class PullEngine(ImageEngine, RegistryEngine, Protocol):
    """What a pull needs of an engine."""


@dataclass(slots=True, kw_only=True, eq=False)
class _Layer:
    """One layer on its way."""

    descriptor: Descriptor
    spool: Spool | None = None
    """Where it arrives; `None` if the blob is in the store."""
    is_decided: threading.Event = field(default_factory=threading.Event)
    """Set when *spool* says which of the two it is."""

    @property
    def short(self) -> str:
        """What progress calls it."""
        return self.descriptor.digest.partition(":")[2][:12]


def own_platform() -> Platform:
    """Return the platform of this machine."""
    architecture = go_architecture(machine.machine())
    return Platform(architecture=architecture, variant={"armv7l": "v7", "armv6l": "v6"}.get(machine.machine(), ""))


def pull_image(
    engine: PullEngine, reference: str, *, platform: str = "", credentials: Credentials = ANONYMOUS, all_tags: bool = False,
    is_gone: Callable[[], bool] = lambda: False,
) -> Iterator[Json]:  # fmt: skip
    """Yield the progress of bringing in *reference*, or with *all_tags* everything in that repository.

    Raises:
        NotFound: there is no such image.
        PeerError: the registry refuses, or breaks its protocol.
        InvalidParameter: the image is damaged, or has nothing for this platform.
        HostError: the disk is full.
    """
    name = parse_reference(reference)
    if find_built_in(reference):
        yield from _pull_built_in(engine, reference, name)
        return
    wanted = parse_platform(platform) if platform else own_platform()
    transport = engine.registries.new_transport()
    with closing(transport):
        crew = engine.registries.new_crew(transport, is_gone=is_gone)
        sessions = engine.registries.open_sessions(transport, name.domain, name.path, credentials=credentials, sleep=crew.sleep)
        if not all_tags:
            yield from _pull_one(engine, crew, sessions, name, wanted, is_asked=bool(platform))
            return
        tags, sessions = first_that_works(engine.registries, name.domain, sessions, lambda session: _list_tags(session, name))
        for tag in tags:
            yield from _pull_one(engine, crew, sessions, Reference(name.domain, name.path, tag), wanted, is_asked=bool(platform))


def _list_tags(session: RepositorySession, name: Reference) -> list[str]:
    try:
        return list(session.list_tags())
    except RegistryError as error:
        raise translate_failure(error, name) from error


def _pull_built_in(engine: PullEngine, reference: str, name: Reference) -> Iterator[Json]:
    """What needs no registry looks as if it came from one."""
    is_new = engine.images.find(reference) is None
    image = require_image(engine, reference)
    yield {"status": f"Pulling from {name.path}", "id": name.tag}
    yield {"status": f"Digest: {image.manifest_digest}"}
    yield {"status": f"Status: {'Downloaded newer image' if is_new else 'Image is up to date'} for {name.familiar}"}
    publish_transfer(engine, "pull", image, name)


def publish_transfer(engine: ImageEngine, action: str, image: ImageRecord, name: Reference) -> None:
    """Tell whoever listens; Docker's events of transfers are about the name, not the id."""
    attributes = {**image.config.config.labels, "name": name.familiar_repository}
    engine.events.publish(
        Event(type="image", action=action, actor_id=name.familiar, attributes=attributes, time_ns=time.time_ns())
    )


def translate_failure(error: RegistryError, name: Reference) -> MinidockerError:
    """Return what Docker says when a registry refuses *name*; clients find out from the words whether to log in or to give up."""
    if error.code in ("DENIED", "UNAUTHORIZED", "NAME_UNKNOWN") or error.status in (401, 403):
        return NotFound(
            f"pull access denied for {name.familiar_repository}, repository does not exist or may require 'docker login': {error}"
        )
    if error.code == "MANIFEST_UNKNOWN" or error.status == 404:
        return NotFound(f"manifest for {name.familiar} not found: {error}")
    return error


def _pull_one(
    engine: PullEngine, crew: Crew, sessions: list[RepositorySession], name: Reference, wanted: Platform, *, is_asked: bool
) -> Iterator[Json]:
    """Yield the progress of one tag or digest."""
    target = name.digest or name.tag
    try:
        found, sessions = first_that_works(engine.registries, name.domain, sessions, lambda s: _fetch(s, target, wanted, name))
    except RegistryError as error:
        raise translate_failure(error, name) from error
    top, fetched = found
    manifest = fetched.document.as_manifest()
    config = _fetch_config(sessions[0], manifest, name, wanted if is_asked else None)
    yield {"status": f"Pulling from {name.path}", "id": target}
    names = [name, Reference(name.domain, name.path, digest=top.digest)] if not name.digest else [Reference(name.domain, name.path, digest=name.digest)]
    existing = engine.images.find(name.canonical)
    is_known = existing is not None and existing.manifest_digest == fetched.digest
    if existing is not None and is_known:
        image = existing
        for other in names:
            engine.images.tag(image.id, other)
    else:
        with engine.images.ingest() as ingest:
            yield from _bring_layers(engine, crew, ingest, sessions, manifest, _read_config(config, name).rootfs.diff_ids)
            image = engine.images.commit(ingest, config=config, layers=manifest.layers, names=names, manifest=fetched.content)
    yield {"status": f"Digest: {top.digest}"}
    yield {"status": f"Status: {'Image is up to date' if is_known else 'Downloaded newer image'} for {name.familiar}"}
    publish_transfer(engine, "pull", image, name)


def _fetch(session: RepositorySession, target: str, wanted: Platform, name: Reference) -> tuple[Fetched, Fetched]:
    """Return what the name leads to, and the manifest for *wanted*: the same unless that is an index."""
    top = fetched = session.fetch_manifest(target)
    for _ in range(MAX_INDEX_DEPTH):
        if not fetched.document.is_index:
            return top, fetched
        entry = choose_platform(fetched.document.as_index(), wanted)
        if entry is None:
            shown = "/".join(part for part in (wanted.os, wanted.architecture, wanted.variant) if part)
            raise NotFound(f"no matching manifest for {shown} in the manifest list entries: `{name.familiar}` is not made for it")
        fetched = session.fetch_manifest(entry.digest)
    raise PeerError(f"pull `{name.familiar}`: its indexes lead to indexes without end")


def _fetch_config(session: RepositorySession, manifest: Manifest, name: Reference, wanted: Platform | None) -> bytes:
    """Return the configuration of an image, which fits the manifest and the platform that was asked for, if one was."""
    content = session.fetch_document(manifest.config.digest, manifest.config.size)
    config = _read_config(content, name)
    diff_ids = config.rootfs.diff_ids
    if len(diff_ids) != len(manifest.layers) or not all(is_digest(diff_id) for diff_id in diff_ids):
        raise InvalidParameter(
            f"pull `{name.familiar}`: its configuration has {len(diff_ids)} layers, its manifest {len(manifest.layers)}",
            hint="it may be an artifact, not an image",
        )
    if wanted and config.architecture and (wanted.os, wanted.architecture or config.architecture) != (config.os, config.architecture):
        raise NotFound(
            f"image with reference {name.familiar} was found but does not match the specified platform: "
            f"wanted {wanted.os}/{wanted.architecture}, actual: {config.os}/{config.architecture}"
        )
    return content


def _read_config(content: bytes, name: Reference) -> ImageConfig:
    try:
        return read_record(ImageConfig, json.loads(content))
    except (ValueError, RecursionError) as error:
        raise InvalidParameter(f"pull `{name.familiar}`: its configuration is not JSON: {error}") from error


def _bring_layers(
    engine: PullEngine, crew: Crew, ingest: Ingest, sessions: list[RepositorySession], manifest: Manifest, diff_ids: tuple[str, ...]
) -> Iterator[Json]:
    """Yield the progress of downloading and unpacking all layers."""
    layers = [_Layer(descriptor=descriptor) for descriptor in manifest.layers]
    chains = compute_chain_ids(diff_ids)
    waiting: deque[_Layer] = deque()
    for layer, chain_id in zip(layers, chains, strict=True):
        if ingest.claim(layer.descriptor.digest):
            layer.is_decided.set()
            if engine.images.content.find_layer(chain_id) is not None:
                crew.say("Already exists", layer.short)
                continue
        else:
            waiting.append(layer)
        crew.say("Pulling fs layer", layer.short)
    for layer in list(waiting)[MAX_DOWNLOADS:]:
        crew.say("Waiting", layer.short)
    for _ in range(min(MAX_DOWNLOADS, len(waiting))):
        crew.start(lambda: _download_all(engine.registries, crew, ingest, sessions, waiting), name="download")
    crew.start(lambda: _unpack_all(engine, crew, ingest, layers, diff_ids), name="unpack")
    yield from crew.lines()


def _download_all(
    registries: Registries, crew: Crew, ingest: Ingest, sessions: list[RepositorySession], waiting: deque[_Layer]
) -> None:
    """Download layers until none is left; runs in several threads."""
    while True:
        try:
            layer = waiting.popleft()
        except IndexError:
            return
        try:
            crew.check()
            with registries.alone(layer.descriptor.digest, crew):
                _download(crew, ingest, sessions, layer)
        except MinidockerError as error:
            if layer.spool is None:  # the unpacking thread waits for it
                layer.spool = ingest.expect(digest=layer.descriptor.digest, size=layer.descriptor.size)
            layer.spool.fail(error)
            layer.is_decided.set()
            for other in waiting:
                other.spool = layer.spool
                other.is_decided.set()
            raise


def _download(crew: Crew, ingest: Ingest, sessions: list[RepositorySession], layer: _Layer) -> None:
    """Download one layer, from one endpoint or, where that fails, the next."""
    descriptor = layer.descriptor
    if ingest.claim(descriptor.digest):  # another pull brought it while this one waited
        layer.is_decided.set()
        crew.say("Download complete", layer.short)
        return
    spool = layer.spool = ingest.expect(digest=descriptor.digest, size=descriptor.size)
    layer.is_decided.set()
    for number, session in enumerate(sessions):
        try:
            download_blob(
                session, spool, report=lambda got: crew.measure("Downloading", layer.short, got, spool.size), sleep=crew.sleep
            )
            break
        except PeerError:
            crew.check()
            if number == len(sessions) - 1 or not session.endpoint.is_mirror:
                raise
    crew.say("Verifying Checksum", layer.short)
    ingest.keep(spool.finish())
    crew.say("Download complete", layer.short)


def _unpack_all(engine: PullEngine, crew: Crew, ingest: Ingest, layers: list[_Layer], diff_ids: tuple[str, ...]) -> None:
    """Unpack every layer as it arrives, from the lowest up."""
    chains = compute_chain_ids(diff_ids)
    for count, layer in enumerate(layers, start=1):
        while not layer.is_decided.wait(0.2):
            crew.check()
        had_layer = engine.images.content.find_layer(chains[count - 1]) is not None
        digest = layer.descriptor.digest
        if layer.spool is None:
            ingest.unpack(diff_ids[:count], digest)
        else:
            reader = layer.spool.open_reader()
            ingest.unpack(diff_ids[:count], digest, _Measured(reader, crew, layer.short, layer.spool.size))
            while had_layer and reader.read(1 << 20):  # it must be right all the same: the image keeps the blob
                pass
        crew.check()
        if not (had_layer and layer.spool is None):
            crew.say("Pull complete", layer.short)


class _Measured:
    """A source that reports how much of it was read."""

    def __init__(self, reader: SpoolReader, crew: Crew, layer: str, total: int) -> None:
        self._reader, self._crew, self._layer, self._total = reader, crew, layer, total
        self._count = 0

    def read(self, size: int, /) -> bytes:
        piece = self._reader.read(size)
        self._count += len(piece)
        if self._reader.is_complete:  # while it still arrives, the line shows the download
            self._crew.measure("Extracting", self._layer, self._count, self._total)
        else:
            self._crew.check()
        return piece
