"""`docker commit`: what a container changed becomes a layer, and a new image.

Acting. By default the container is frozen meanwhile, so that the layer is a state that existed. The new image has the container's
configuration, with the request's over it and then its changes (`CMD`, `ENV`, …) carried out. Chapter 4.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from minidocker.container.record import Status
from minidocker.engine.changes import open_changes
from minidocker.engine.config_changes import apply_changes
from minidocker.engine.create import merge_config
from minidocker.engine.engine import now, publish_container_event
from minidocker.engine.images import publish_image_event
from minidocker.engine.stop import freeze_handle
from minidocker.errors import HostError
from minidocker.image.commit import commit_layer
from minidocker.image.store import ImageRecord
from minidocker.reference.reference import InvalidReference, Reference, parse_reference
from minidocker.spec.container import ContainerConfig
from minidocker.spec.image import History

if TYPE_CHECKING:
    from minidocker.engine.engine import Engine
    from minidocker.engine.store import Handle

__all__ = ["CommitRequest", "commit_container"]


@dataclass(frozen=True, slots=True, kw_only=True)
class CommitRequest:
    """What the new image is to be."""

    repository: str = ""
    tag: str = ""
    author: str = ""
    comment: str = ""
    changes: tuple[str, ...] = ()
    """Instructions as in a Dockerfile."""
    config: ContainerConfig | None = None
    """Wins over the container's own."""
    pause: bool = True


def commit_container(engine: Engine, reference: str, request: CommitRequest) -> ImageRecord:
    """Make an image of a container; return it.

    Raises:
        NotFound: there is no such container, or its image is gone.
        InvalidParameter: a name or change with the wrong form.
        HostError: the disk is full; nothing of the image stays.
    """
    handle = engine.containers.require(reference)
    name = _parse_name(request)
    with handle.lock, _frozen(engine, handle, wanted=request.pause):
        record = handle.record
        config = merge_config(request.config, record.config) if request.config is not None else record.config
        config = apply_changes(replace(config, hostname="", domainname=""), request.changes)
        history = History(
            created=now(), created_by=" ".join(record.config.cmd or ()), author=request.author, comment=request.comment
        )
        base = engine.images.require(record.image_id)
        try:
            with open_changes(engine, record) as changes:
                image = commit_layer(
                    engine.images, base=base, changes=changes, config=config, history=history, names=(name,) if name else ()
                )
        except OSError as error:
            raise HostError(f"commit container `{record.name}`: {error.strerror}: `{error.filename}`") from error
    named = {"imageRef": name.familiar} if name else {}
    publish_container_event(engine, handle, "commit", comment=request.comment, imageID=image.id, **named)
    if name:
        publish_image_event(engine, "tag", image, name=name.familiar)
    return image


def _parse_name(request: CommitRequest) -> Reference | None:
    if not request.repository:
        return None
    name = parse_reference(f"{request.repository}:{request.tag}" if request.tag else request.repository)
    if name.digest:
        raise InvalidReference("refusing to create a tag with a digest reference")
    return name


@contextmanager
def _frozen(engine: Engine, handle: Handle, *, wanted: bool) -> Iterator[None]:
    """Hold the processes of a container that runs, whose lock is held."""
    if not wanted or handle.record.state.status is not Status.RUNNING:
        yield
        return
    try:
        freeze_handle(engine, handle, frozen=True)
    except FileNotFoundError:  # its control group has gone: it has just ended, and changes nothing any more
        yield
        return
    try:
        yield
    finally:
        with suppress(FileNotFoundError):  # somebody killed it meanwhile
            freeze_handle(engine, handle, frozen=False)
