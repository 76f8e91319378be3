"""`docker rmi` and `docker image prune`: when a name goes, when the image goes with it, and when neither may.

Acting. Docker's rules: removing by name takes that name away, and the image with its last one. Removing by id takes the image
with all its names, unless they are in several repositories. An image that a container was made from stays; *force* overrides
that for a stopped container (whose layers then stay until it is removed), never for a running one. Chapter 7.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import suppress
from typing import Final

from minidocker.engine.images import ImageEngine, is_match, publish_image_event
from minidocker.errors import Conflict, InvalidParameter, NotFound
from minidocker.ids import short_id
from minidocker.image.store import ImageRecord
from minidocker.reference.reference import InvalidReference, Reference, parse_reference

__all__ = ["prune_images", "remove_image"]

_PRUNE_FILTERS: Final = ("dangling", "label", "label!", "until")

Removal = dict[str, str]
"""`{"Untagged": name}` or `{"Deleted": digest}`."""


def remove_image(engine: ImageEngine, reference: str, *, force: bool = False, noprune: bool = False) -> list[Removal]:
    """Remove a name, or an image with its names; return what went. *noprune* changes nothing: no image here has parents.

    Raises:
        NotFound: there is no such image.
        Conflict: containers use it, or it has names in several repositories.
    """
    with engine.images.content.exclusive():  # nobody makes a container of it between the question and the answer
        return _remove(engine, engine.images.require(reference), reference, force=force)


def _remove(engine: ImageEngine, image: ImageRecord, reference: str, *, force: bool) -> list[Removal]:
    name = _find_name(image, reference)
    if name is None:
        _check_removable_by_id(engine, image, force=force)
        return [*_untag_all(engine, image), *_delete(engine, image)]
    others = [other for other in image.names if other != name and other.tag]
    if not others:
        _check_last_name(engine, image, reference, force=force)
    removed = [_untag(engine, image, name)]
    if name.tag and not any(other.repository == name.repository for other in others):  # its digests alone name nothing any more
        removed += [_untag(engine, image, other) for other in image.names if other.repository == name.repository and other.digest]
    if others or _containers_of(engine, image, running=True):
        return removed  # what runs keeps its image, nameless from here on: the name was what had to go
    left = engine.images.require(image.id)
    return [*removed, *_untag_all(engine, left), *_delete(engine, left)]


def prune_images(engine: ImageEngine, filters: Mapping[str, Sequence[str]]) -> tuple[list[Removal], int]:
    """Remove the images that no container uses: those without a tag, or with `dangling=false` all; return bytes too.

    Raises:
        InvalidParameter: an unknown filter, or a value that it does not take.
    """
    unknown = [key for key in filters if key not in _PRUNE_FILTERS]
    if unknown:
        raise InvalidParameter(f"invalid filter '{unknown[0]}'")
    wants_all = any(value.lower() in ("false", "0") for value in filters.get("dangling", ()))
    wanted = {key: values for key, values in filters.items() if key in ("label", "until")}
    unwanted = {"label": filters.get("label!", ())}
    removed: list[Removal] = []
    freed = 0
    for image in engine.images.all():
        is_spared = bool(unwanted["label"]) and is_match(engine, image, unwanted)
        if (image.repo_tags and not wants_all) or is_spared or not is_match(engine, image, wanted):
            continue
        with engine.images.content.exclusive(), suppress(NotFound):  # somebody else removed it meanwhile
            now = engine.images.require(image.id)
            if now.names == image.names and not _containers_of(engine, now):
                removed += [*_untag_all(engine, now), {"Deleted": now.id}]
                freed += _forget(engine, now)[1]
    return removed, freed


def _find_name(image: ImageRecord, reference: str) -> Reference | None:
    """Return which of the image's names *reference* is; `None` if it is an id."""
    with suppress(InvalidReference):
        wanted = parse_reference(reference)
        return next((name for name in image.names if name == wanted), None)
    return None


def _containers_of(engine: ImageEngine, image: ImageRecord, *, running: bool | None = None) -> list[str]:
    records = [container.record for container in engine.containers.all()]
    return [r.id for r in records if r.image_id == image.id and running in (None, r.state.running)]


def _check_last_name(engine: ImageEngine, image: ImageRecord, reference: str, *, force: bool) -> None:
    """Refuse to take the last name of an image that is in use, unless told to."""
    users = _containers_of(engine, image)
    if users and not force:
        raise Conflict(
            f'conflict: unable to remove repository reference "{reference}" (must force) - container {short_id(users[0])} is '
            f"using its referenced image {short_id(image.id)}"
        )


def _check_removable_by_id(engine: ImageEngine, image: ImageRecord, *, force: bool) -> None:
    running, users = _containers_of(engine, image, running=True), _containers_of(engine, image)
    if running:
        raise _conflict(image, "cannot be forced", f"image is being used by running container {short_id(running[0])}")
    if force:
        return
    if len({name.repository for name in image.names}) > 1 or len(image.repo_tags) > 1:
        raise _conflict(image, "must be forced", "image is referenced in multiple repositories")
    if users:
        raise _conflict(image, "must be forced", f"image is being used by stopped container {short_id(users[0])}")


def _conflict(image: ImageRecord, whether: str, reason: str) -> Conflict:
    return Conflict(f"conflict: unable to delete {short_id(image.id)} ({whether}) - {reason}")


def _untag(engine: ImageEngine, image: ImageRecord, name: Reference) -> Removal:
    engine.images.untag(name)
    publish_image_event(engine, "untag", image, name=name.familiar)
    return {"Untagged": name.familiar}


def _untag_all(engine: ImageEngine, image: ImageRecord) -> list[Removal]:
    return [_untag(engine, image, name) for name in image.names]


def _delete(engine: ImageEngine, image: ImageRecord) -> list[Removal]:
    layers, _ = _forget(engine, image)
    return [{"Deleted": image.id}, *({"Deleted": chain_id} for chain_id in layers)]


def _forget(engine: ImageEngine, image: ImageRecord) -> tuple[list[str], int]:
    """Remove an image that has no name any more, but no layer that a container still stands on."""
    gone, freed = engine.images.remove(image.id)
    publish_image_event(engine, "delete", image, name=image.id)
    return gone, freed
