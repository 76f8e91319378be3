"""`docker images`, `tag`, `history`, `load`, `save`, `import`: the engine's verbs for images.

Acting. `require_image` is how the rest of the engine finds an image, and where the built-in ones come into being. Removal has its
own module, `image_removal`, because of its rules. Texts and JSON keys are those of the Docker Engine API 1.50. Chapter 7.
"""

from __future__ import annotations

import fnmatch
import re
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import TYPE_CHECKING, Final, Protocol

from minidocker.codec.tar import ByteSource
from minidocker.engine.config_changes import apply_changes
from minidocker.engine.events import Event
from minidocker.errors import InvalidParameter
from minidocker.image.archive import Selection, load_archive, render_archive
from minidocker.builtin.images import find_built_in, make_built_in
from minidocker.image.importer import ImportRequest, import_archive
from minidocker.image.store import ImageRecord, ImageStore, no_such_image
from minidocker.reference.reference import InvalidReference, Reference, parse_reference
from minidocker.spec.container import ContainerConfig
from minidocker.spec.record import Json, json_key, render_record

if TYPE_CHECKING:
    from minidocker.container.record import ContainerRecord

__all__ = [
    "ImageEngine", "ImageSummary", "history_image", "import_image", "inspect_image", "list_images", "load_images",
    "publish_image_event", "require_image", "save_images", "tag_image",
]  # fmt: skip

FILTER_KEYS: Final = ("before", "dangling", "label", "reference", "since", "until")
_RFC3339: Final = re.compile(r"(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d)(?:\.\d+)?(Z|[+-]\d\d:\d\d)")


class ContainerUse(Protocol):
    """A container, as far as its image is concerned."""

    @property
    def record(self) -> ContainerRecord:
        """What it is now."""


class ContainerList(Protocol):
    """The containers of an engine."""

    def all(self) -> Sequence[ContainerUse]:
        """Return every container."""


class EventPublisher(Protocol):
    """Where events go."""

    def publish(self, event: Event) -> None:
        """Tell whoever listens."""


class ImageEngine(Protocol):
    """What these verbs need of an engine."""

    @property
    def images(self) -> ImageStore:
        """Its images."""

    @property
    def containers(self) -> ContainerList:
        """Its containers."""

    @property
    def events(self) -> EventPublisher:
        """Its events."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ImageSummary:
    """One line of `docker images`."""

    id: str = field(metadata=json_key("Id"))
    parent_id: str = field(default="", metadata=json_key("ParentId"))
    repo_tags: tuple[str, ...] = ()
    repo_digests: tuple[str, ...] = ()
    created: int = 0
    """Seconds since 1970."""
    size: int = 0
    virtual_size: int = 0
    shared_size: int = -1
    labels: Mapping[str, str] = field(default_factory=dict)
    containers: int = -1


def require_image(engine: ImageEngine, reference: str) -> ImageRecord:
    """Return the image that *reference* means; a built-in image that is not there yet gets made.

    Raises:
        NotFound: there is none.
        InvalidReference: the text is no name and no id.
        HostError: a built-in image cannot be made on this machine.
    """
    image = engine.images.find(reference)
    if image is not None:
        return image
    with suppress(InvalidReference):  # 64 digits are an id that nobody has
        name = find_built_in(reference)
        if name:
            return make_built_in(engine.images, name)
    raise no_such_image(reference)


def list_images(engine: ImageEngine, *, all: bool = False, filters: Mapping[str, Sequence[str]]) -> list[ImageSummary]:
    """Return the images that pass *filters*, newest first; *all* changes nothing, as no image here is intermediate.

    Raises:
        InvalidParameter: an unknown filter, or a value that it does not take.
    """
    patterns = filters.get("reference", ())
    return [_summarise(image, patterns) for image in engine.images.all() if is_match(engine, image, filters)]


def _summarise(image: ImageRecord, patterns: Sequence[str]) -> ImageSummary:
    """Return the line of *image*; of its names only those that match one of *patterns*, where there are any."""
    shown = [name for name in image.names if not patterns or any(_is_named(name, pattern) for pattern in patterns)]
    return ImageSummary(
        id=image.id, repo_tags=tuple(name.familiar for name in shown if not name.digest),
        repo_digests=tuple(name.familiar for name in shown if name.digest), created=parse_created(image.created),
        size=image.size, virtual_size=image.size, labels=image.config.config.labels,
    )  # fmt: skip


def is_match(engine: ImageEngine, image: ImageRecord, filters: Mapping[str, Sequence[str]]) -> bool:
    """Whether *image* passes every filter; several values of one filter are alternatives, of `label` conditions."""
    for key, values in filters.items():
        if key not in FILTER_KEYS:
            raise InvalidParameter(f"invalid filter '{key}'")
        results = [_passes(engine, image, key, value) for value in values]
        if results and not (all(results) if key == "label" else any(results)):
            return False
    return True


def _passes(engine: ImageEngine, image: ImageRecord, key: str, value: str) -> bool:
    if key == "dangling":
        if value.lower() not in ("true", "1", "false", "0"):
            raise InvalidParameter(f"invalid filter 'dangling={value}'")
        return (value.lower() in ("true", "1")) == (not image.repo_tags)
    if key == "label":
        name, equals, wanted = value.partition("=")
        labels = image.config.config.labels
        return name in labels and (not equals or labels[name] == wanted)
    if key == "reference":
        return any(_is_named(name, value) for name in image.names)
    created = parse_created(image.created)
    if key == "until":
        return created < parse_moment(value)
    other = parse_created(require_image(engine, value).created)
    return created < other if key == "before" else created > other


def _is_named(name: Reference, pattern: str) -> bool:
    return any(fnmatch.fnmatchcase(text, pattern) for text in (name.familiar, name.familiar_repository))


def parse_moment(text: str) -> float:
    """Return the seconds since 1970 that a filter's `until` means: a time, seconds, or an age such as `24h`."""
    age = re.fullmatch(r"(?:(\d+)h)?(?:(\d+)m)?(?:(\d+)s)?", text)
    if text and age:
        hours, minutes, seconds = (int(part or 0) for part in age.groups())
        return time.time() - (hours * 3600 + minutes * 60 + seconds)
    if re.fullmatch(r"\d+(\.\d+)?", text):
        return float(text)
    try:
        return datetime.fromisoformat(text).timestamp()
    except ValueError:
        raise InvalidParameter(f"invalid filter 'until={text}': expected a time or an age such as 24h") from None


def parse_created(text: str) -> int:
    """Return the seconds since 1970 of an image's date, 0 for one that is missing or unreadable."""
    match = _RFC3339.fullmatch(text)
    if match is None:
        return 0
    with suppress(ValueError, OverflowError):  # a date that no calendar has
        return int(datetime.fromisoformat(match[1] + match[2].replace("Z", "+00:00")).timestamp())
    return 0


def inspect_image(engine: ImageEngine, reference: str) -> dict[str, Json]:
    """Return the body of `GET /images/{name}/json`.

    Raises:
        NotFound: there is no such image.
    """
    image = require_image(engine, reference)
    config = image.config
    layers = [str(engine.images.content.layers / name) for name in engine.images.ensure_layers(image)]
    graph: dict[str, Json] = {"UpperDir": layers[-1], "LowerDir": ":".join(layers[-2::-1])} if layers else {}
    return {
        "Id": image.id, "RepoTags": list(image.repo_tags), "RepoDigests": list(image.repo_digests), "Parent": "",
        "Comment": config.history[-1].comment if config.history else "", "Created": config.created or None,
        "DockerVersion": "", "Author": config.author, "Config": render_record(config.config),
        "Architecture": config.architecture, "Variant": config.variant, "Os": config.os, "Size": image.size,
        "VirtualSize": image.size, "GraphDriver": {"Name": "overlay2", "Data": graph},
        "RootFS": {"Type": "layers", "Layers": list(config.rootfs.diff_ids)}, "Metadata": {"LastTagTime": "0001-01-01T00:00:00Z"},
    }  # fmt: skip


def history_image(engine: ImageEngine, reference: str) -> list[dict[str, Json]]:
    """Return the body of `GET /images/{name}/history`: what made each layer, newest first.

    Raises:
        NotFound: there is no such image.
    """
    image = require_image(engine, reference)
    layers = iter(image.chain_ids)
    lines: list[dict[str, Json]] = []
    for step in image.config.history:
        chain_id = "" if step.empty_layer else next(layers, "")
        layer = engine.images.content.find_layer(chain_id) if chain_id else None
        lines.append(
            {
                "Id": "<missing>", "Created": parse_created(step.created), "CreatedBy": step.created_by, "Tags": None,
                "Size": layer.size if layer else 0, "Comment": step.comment,
            }
        )  # fmt: skip
    if lines:
        lines[-1].update(Id=image.id, Tags=list(image.repo_tags))
    return lines[::-1]


def tag_image(engine: ImageEngine, reference: str, *, repository: str, tag: str = "") -> None:
    """Give an image another name.

    Raises:
        NotFound: there is no such image.
        InvalidReference: the name has the wrong form.
    """
    image = require_image(engine, reference)
    name = parse_reference(f"{repository}:{tag}" if tag else repository)
    if name.digest:
        raise InvalidReference("refusing to create a tag with a digest reference")
    engine.images.tag(image.id, name)
    publish_image_event(engine, "tag", image, name=name.familiar)


def load_images(engine: ImageEngine, stream: ByteSource) -> Iterator[Json]:
    """Yield the progress of `docker load`: one line for each name.

    Raises:
        InvalidParameter: the stream is no image archive, or a damaged one; nothing of it stays.
        HostError: the disk is full; nothing stays.
    """
    for loaded in load_archive(engine.images, stream):
        publish_image_event(engine, "load", loaded.image, name=loaded.image.id)
        for line in loaded.lines:
            yield {"stream": line}


def save_images(engine: ImageEngine, references: Sequence[str]) -> Iterator[bytes]:
    """Return the pieces of the archive of `docker save`.

    Raises:
        NotFound: one of the images does not exist.
    """
    selected: dict[str, Selection] = {}
    for reference in references:
        image = require_image(engine, reference)
        is_id = reference.removeprefix("sha256:") in image.id and not _is_name_of(image, reference)
        names = () if is_id else _names_meant(image, reference)
        known = selected.get(image.id, Selection(image=image))
        selected[image.id] = replace(known, names=tuple(sorted({*known.names, *names})))
    return render_archive(engine.images, tuple(selected.values()))


def _is_name_of(image: ImageRecord, reference: str) -> bool:
    with suppress(InvalidReference):  # an id
        return parse_reference(reference) in image.names
    return False


def _names_meant(image: ImageRecord, reference: str) -> tuple[str, ...]:
    """Return the complete names to save: one tag, or, for a repository without a tag, all its tags."""
    wanted, repository = parse_reference(reference), parse_reference(reference, default_tag="")
    if repository.tag or repository.digest:
        return (wanted.canonical,) if wanted.tag else ()
    return tuple(name.canonical for name in image.names if name.repository == wanted.repository and name.tag)


def import_image(
    engine: ImageEngine, stream: ByteSource, *, repository: str = "", tag: str = "", message: str = "",
    changes: Sequence[str] = (), platform: str = "", source: str = "-",
) -> Iterator[Json]:  # fmt: skip
    """Yield the progress of `docker import`: a root file system becomes an image of one layer.

    Raises:
        InvalidParameter: the stream is no tar archive, or a change cannot be understood; nothing stays.
        HostError: the disk is full; nothing stays.
    """
    name = parse_reference(f"{repository}:{tag}" if tag else repository) if repository else None
    comment = message or f"Imported from {source}"
    request = ImportRequest(name=name, comment=comment, config=apply_changes(ContainerConfig(), changes), platform=platform)
    image = import_archive(engine.images, stream, request, time_ns=time.time_ns())
    publish_image_event(engine, "import", image, name=name.familiar if name else image.id)
    yield {"status": image.id}


def publish_image_event(engine: ImageEngine, action: str, image: ImageRecord, *, name: str) -> None:
    """Tell whoever listens what happened to an image."""
    attributes = {**image.config.config.labels, "name": name}
    engine.events.publish(
        Event(type="image", action=action, actor_id=image.id, attributes=attributes, time_ns=time.time_ns())
    )
