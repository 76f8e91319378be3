"""Handlers of `/images`: list, bring in, take out, name, remove.

Bodies are archives of any size, so they are never held: the engine reads from the request and writes to the answer while
it works. See the Docker Engine API 1.50, "Images". Chapter 7.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from minidocker.api.render_image import render_image_details, render_image_summary
from minidocker.api.request import Request, query_filters, query_flag, query_text
from minidocker.api.response import Answer, Response, StreamResponse, json_response
from minidocker.api.router import Route
from minidocker.api.streams import is_gone, progress_response
from minidocker.api.distribution import credentials_of
from minidocker.engine.image_removal import prune_images, remove_image
from minidocker.engine.images import (
    history_image,
    import_image,
    inspect_image,
    list_images,
    load_images,
    save_images,
    tag_image,
)
from minidocker.engine.pull import pull_image
from minidocker.errors import InvalidParameter, NotSupported
from minidocker.reference.reference import parse_reference

if TYPE_CHECKING:
    from collections.abc import Sequence

    from minidocker.engine.engine import Engine

__all__ = ["ROUTES"]

TAR_TYPE: Final = "application/x-tar"


def list_all(engine: Engine, request: Request) -> Response:
    """List images."""
    summaries = list_images(engine, all=query_flag(request, "all"), filters=query_filters(request))
    return json_response([render_image_summary(summary, version=request.version) for summary in summaries])


def inspect(engine: Engine, request: Request) -> Response:
    """Show an image."""
    details = inspect_image(engine, request.parameters["name"])
    return json_response(render_image_details(details, version=request.version))


def history(engine: Engine, request: Request) -> Response:
    """Show what made each layer of an image."""
    return json_response([*history_image(engine, request.parameters["name"])])


def create(engine: Engine, request: Request) -> Answer:
    """Pull an image, or import one from the body."""
    name, source = query_text(request, "fromImage"), query_text(request, "fromSrc")
    if name:
        reference, fd = _with_tag(name, query_text(request, "tag")), request.client_fd
        return progress_response(
            pull_image(
                engine, reference, platform=query_text(request, "platform"), credentials=credentials_of(request),
                all_tags=is_repository_only(reference), is_gone=lambda: is_gone(fd),
            )
        )  # fmt: skip
    if source != "-":
        raise NotSupported(
            f"import `{source}`: the server fetches nothing", hint="download the file and import it"
        ) if source else InvalidParameter("create image: `fromImage` or `fromSrc` is needed")
    return progress_response(
        import_image(
            engine, request.body, repository=query_text(request, "repo"), tag=query_text(request, "tag"),
            message=query_text(request, "message"), changes=request.query.get("changes", ()),
            platform=query_text(request, "platform"),
        )
    )  # fmt: skip


def is_repository_only(reference: str) -> bool:
    """Whether neither a tag nor a digest is named: then the API means all tags."""
    name = parse_reference(reference, default_tag="")
    return not name.tag and not name.digest


def _with_tag(name: str, tag: str) -> str:
    """Return the reference that `fromImage` and `tag` mean together; the tag may be a digest."""
    if not tag:
        return name
    return f"{name}@{tag}" if tag.startswith("sha256:") else f"{name}:{tag}"


def load(engine: Engine, request: Request) -> Answer:
    """Load images from the archive in the body."""
    return progress_response(load_images(engine, request.body))


def save(engine: Engine, request: Request) -> Answer:
    """Send an archive of one image."""
    return _archive(engine, (request.parameters["name"],))


def save_several(engine: Engine, request: Request) -> Answer:
    """Send an archive of several images."""
    return _archive(engine, request.query.get("names", ()))


def _archive(engine: Engine, names: Sequence[str]) -> Answer:
    if not names:
        raise InvalidParameter("save images: `names` is needed")
    return StreamResponse(chunks=save_images(engine, names), content_type=TAR_TYPE)


def tag(engine: Engine, request: Request) -> Response:
    """Give an image another name."""
    tag_image(engine, request.parameters["name"], repository=query_text(request, "repo"), tag=query_text(request, "tag"))
    return Response(status=201)


def remove(engine: Engine, request: Request) -> Response:
    """Remove a name, or an image with its last one."""
    removals = remove_image(
        engine, request.parameters["name"], force=query_flag(request, "force"), noprune=query_flag(request, "noprune")
    )
    return json_response([{**removal} for removal in removals])


def prune(engine: Engine, request: Request) -> Response:
    """Remove unused images."""
    removals, freed = prune_images(engine, query_filters(request))
    return json_response({"ImagesDeleted": [{**removal} for removal in removals] or None, "SpaceReclaimed": freed})


ROUTES: Final = (
    Route(method="GET", pattern="/images/json", handler=list_all),
    Route(method="POST", pattern="/images/create", handler=create),
    Route(method="POST", pattern="/images/load", handler=load),
    Route(method="POST", pattern="/images/prune", handler=prune, since=(1, 25)),
    Route(method="GET", pattern="/images/get", handler=save_several),
    Route(method="GET", pattern="/images/{name...}/get", handler=save),
    Route(method="GET", pattern="/images/{name...}/json", handler=inspect),
    Route(method="GET", pattern="/images/{name...}/history", handler=history),
    Route(method="POST", pattern="/images/{name...}/tag", handler=tag),
    Route(method="DELETE", pattern="/images/{name...}", handler=remove),
)
