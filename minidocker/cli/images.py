"""`images`, `rmi`, `tag` and `history`. Acts. Chapter 14."""

from __future__ import annotations

import sys
import time

from minidocker.client.transport import DaemonError
from minidocker.cli.command import Command
from minidocker.cli.containers import SHORT_ID, parse_filters
from minidocker.client.fields import list_at, number_at, text_at, texts_at
from minidocker.cli.flags import BOOL, LIST, STRING, Flag
from minidocker.client.image_name import split_image_name
from minidocker.cli.table import render_list
from minidocker.cli.units import render_age, render_size
from minidocker.errors import InvalidParameter

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

    from minidocker.cli.flags import Options
    from minidocker.cli.session import Session
    from minidocker.cli.template import Value
    from minidocker.spec.record import Json

__all__ = ["HISTORY", "IMAGES", "RMI", "TAG"]

NOTHING = "<none>"
CREATED_BY_WIDTH = 45

IMAGE_HEADERS = {
    "Repository": "REPOSITORY", "Tag": "TAG", "Digest": "DIGEST", "ID": "IMAGE ID", "CreatedSince": "CREATED", "CreatedAt": "CREATED AT",
    "Size": "SIZE", "Containers": "CONTAINERS", "VirtualSize": "SIZE", "SharedSize": "SHARED SIZE", "UniqueSize": "UNIQUE SIZE",
}  # fmt: skip
HISTORY_HEADERS = {
    "ID": "IMAGE", "CreatedSince": "CREATED", "CreatedAt": "CREATED AT", "CreatedBy": "CREATED BY", "Size": "SIZE", "Comment": "COMMENT",
}  # fmt: skip


def _short(image: str, *, truncate: bool) -> str:
    return image.removeprefix("sha256:")[:SHORT_ID] if truncate else image


def _moment(seconds: float) -> str:
    return time.strftime("%Y-%m-%d %H:%M:%S %z %Z", time.localtime(seconds))


def _names_of(image: Json, *, digests: bool) -> Iterator[tuple[str, str, str]]:
    """Yield (repository, tag, digest) for each name of *image*; an image without a name has one row of nothing."""
    by_repository = dict(text.partition("@")[::2] for text in texts_at(image, "RepoDigests"))
    tagged = False
    for name in texts_at(image, "RepoTags"):
        repository, tag = name.rpartition(":")[::2]
        if repository != NOTHING:
            tagged = True
            yield repository, tag, by_repository.get(repository, NOTHING)
    if not tagged:
        for repository, digest in by_repository.items() if digests else ():
            yield repository, NOTHING, digest
        if not (digests and by_repository):
            yield next(iter(by_repository), NOTHING), NOTHING, NOTHING


def images(session: Session, options: Options) -> int:
    """List images."""
    filters = list(options.texts("filter"))
    filters += [f"reference={name}" for name in options.arguments]
    query: dict[str, str | list[str]] = {"filters": parse_filters(filters)} if filters else {}
    if options.switch("all"):
        query["all"] = "1"
    found = list_at({"": session.client().get("/images/json", query)}, "")
    found.sort(key=lambda image: number_at(image, "Created"), reverse=True)
    truncate, now = not options.switch("no-trunc"), time.time()
    rows: list[dict[str, Value]] = []
    for image in found:
        created, size = number_at(image, "Created"), render_size(number_at(image, "Size"))
        for repository, tag, digest in _names_of(image, digests=options.switch("digests")):
            rows.append({
                "Repository": repository, "Tag": tag, "Digest": digest, "ID": _short(text_at(image, "Id"), truncate=truncate),
                "CreatedSince": render_age(now - created) + " ago", "CreatedAt": _moment(created), "Size": size,
                "Containers": "N/A", "VirtualSize": size, "SharedSize": "N/A", "UniqueSize": "N/A",
            })  # fmt: skip
    if options.switch("quiet"):
        for row in rows:
            print(row["ID"])
        return 0
    shown = ["Repository", "Tag", "Digest", "ID", "CreatedSince", "Size"]
    if not options.switch("digests"):
        shown.remove("Digest")
    text = render_list(rows, IMAGE_HEADERS, shown, options.text("format"))
    if text:
        print(text)
    return 0


def remove(session: Session, options: Options) -> int:
    """Remove images, or only names of them."""
    query: dict[str, str | list[str]] = {}
    if options.switch("force"):
        query["force"] = "1"
    if options.switch("no-prune"):
        query["noprune"] = "1"
    failures = []
    for name in options.arguments:
        try:
            for change in list_at({"": session.client().call("DELETE", f"/images/{name}", query).json()}, ""):
                deleted = text_at(change, "Deleted")
                print(f"Deleted: {deleted}" if deleted else f"Untagged: {text_at(change, 'Untagged')}")
        except DaemonError as error:
            if not (options.switch("force") and error.http_status == 404):
                failures.append(error)
            else:
                print(error.message, file=sys.stderr)
    for failure in failures:
        print(failure.message, file=sys.stderr)
    return 1 if failures else 0


def tag(session: Session, options: Options) -> int:
    """Give an image another name."""
    source, target = options.arguments
    split_image_name(source)
    try:
        repository, name = split_image_name(target)
    except InvalidParameter as error:
        message = f'Error parsing reference: "{target}" is not a valid repository/tag: {error.message}'
        raise InvalidParameter(message, hint=error.hint) from error
    session.client().call("POST", f"/images/{source}/tag", {"repo": repository, "tag": name or "latest"}).read()
    return 0


def history(session: Session, options: Options) -> int:
    """Show how an image was built, the newest layer first."""
    truncate, now = not options.switch("no-trunc"), time.time()
    human = options.switch("human")
    rows: list[dict[str, Value]] = []
    for layer in list_at({"": session.client().get(f"/images/{options.arguments[0]}/history")}, ""):
        made_by, created, size = text_at(layer, "CreatedBy").replace("\t", " "), number_at(layer, "Created"), number_at(layer, "Size")
        if truncate and len(made_by) > CREATED_BY_WIDTH:
            made_by = made_by[: CREATED_BY_WIDTH - 1] + "…"
        moment = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(created))
        rows.append({
            "ID": _short(text_at(layer, "Id"), truncate=truncate), "CreatedSince": render_age(now - created) + " ago" if human else moment,
            "CreatedAt": moment, "CreatedBy": made_by, "Size": render_size(size) if human else str(size), "Comment": text_at(layer, "Comment"),
        })  # fmt: skip
    if options.switch("quiet"):
        for row in rows:
            print(row["ID"])
        return 0
    headers = HISTORY_HEADERS if human else {**HISTORY_HEADERS, "CreatedSince": HISTORY_HEADERS["CreatedAt"]}
    print(render_list(rows, headers, ("ID", "CreatedSince", "CreatedBy", "Size", "Comment"), options.text("format")))
    return 0


_FORMAT = Flag("format", STRING, "Format output: table, json, a Go template, or table and a template")
IMAGES = Command(
    "[OPTIONS] [REPOSITORY[:TAG]]",
    images,
    (
        Flag("all", BOOL, "Show all images (default hides intermediate images)", short="a"),
        Flag("digests", BOOL, "Show digests"),
        Flag("filter", LIST, "Filter output based on conditions provided", short="f"),
        _FORMAT,
        Flag("no-trunc", BOOL, "Don't truncate output"),
        Flag("quiet", BOOL, "Only show image IDs", short="q"),
    ),
    maximum=1,
)
RMI = Command(
    "[OPTIONS] IMAGE [IMAGE...]",
    remove,
    (
        Flag("force", BOOL, "Force removal of the image", short="f"),
        Flag("no-prune", BOOL, "Do not delete untagged parents"),
    ),
    minimum=1,
)
TAG = Command("SOURCE_IMAGE[:TAG] TARGET_IMAGE[:TAG]", tag, minimum=2, maximum=2)
HISTORY = Command(
    "[OPTIONS] IMAGE",
    history,
    (
        _FORMAT,
        Flag("human", BOOL, "Print sizes and dates in human readable format", short="H", default=True),
        Flag("no-trunc", BOOL, "Don't truncate output"),
        Flag("quiet", BOOL, "Only show image IDs", short="q"),
    ),
    minimum=1,
    maximum=1,
)
