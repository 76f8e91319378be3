"""`system df` and `system prune`: what takes up the server's disk, and the removal of all that nobody uses. Acts. Chapter 14."""

from __future__ import annotations

from minidocker.cli.command import Command
from minidocker.cli.containers import parse_filters
from minidocker.client.fields import maps_at, number_at, text_at, texts_at, value_at
from minidocker.cli.flags import BOOL, LIST, Flag
from minidocker.cli.prune import confirm
from minidocker.cli.table import render_table
from minidocker.cli.units import render_size

TYPE_CHECKING = False
if TYPE_CHECKING:
    from minidocker.cli.flags import Options
    from minidocker.cli.session import Session
    from minidocker.spec.record import Json

__all__ = ["SYSTEM_DF", "SYSTEM_PRUNE", "compute_rows"]

HEADER = ("TYPE", "TOTAL", "ACTIVE", "SIZE", "RECLAIMABLE")


def compute_rows(usage: Json) -> list[tuple[str, ...]]:
    """Return the lines of the table for the body of `GET /system/df`."""
    images, containers, volumes = (maps_at(usage, key) for key in ("Images", "Containers", "Volumes"))
    used_images = [image for image in images if number_at(image, "Containers") > 0]
    running = [one for one in containers if text_at(one, "State") in ("running", "paused", "restarting")]
    used_volumes = [volume for volume in volumes if number_at(volume, "UsageData", "RefCount") > 0]
    layers = number_at(usage, "LayersSize")
    image_use = sum(number_at(image, "Size") - max(number_at(image, "SharedSize"), 0) for image in used_images)
    writable, writable_use = (sum(number_at(one, "SizeRw") for one in group) for group in (containers, running))
    stored, stored_use = (sum(number_at(one, "UsageData", "Size") for one in group) for group in (volumes, used_volumes))
    cache = maps_at(usage, "BuildCache")
    active = [one for one in cache if value_at(one, "InUse")]
    cached, cache_use = (sum(number_at(one, "Size") for one in group if not value_at(one, "Shared")) for group in (cache, active))
    return [
        _row("Images", len(images), len(used_images), layers, max(layers - image_use, 0)),
        _row("Containers", len(containers), len(running), writable, writable - writable_use),
        _row("Local Volumes", len(volumes), len(used_volumes), stored, stored - stored_use),
        _row("Build Cache", len(cache), len(active), cached, cached - cache_use),
    ]


def _row(kind: str, total: int, active: int, size: int, free: int) -> tuple[str, ...]:
    part = f" ({100 * free // size}%)" if size else ""
    return kind, str(total), str(active), render_size(size), render_size(free) + part


def usage(session: Session, options: Options) -> int:
    """Show what takes up the disk."""
    body = session.client().get("/system/df")
    if not options.switch("verbose"):
        print(render_table([HEADER, *compute_rows(body)]))
        return 0
    sections: list[tuple[str, list[tuple[str, ...]]]] = [
        ("Images space usage:", [("IMAGE", "SIZE", "CONTAINERS"), *(
            (", ".join(texts_at(image, "RepoTags")) or text_at(image, "Id")[7:19], render_size(number_at(image, "Size")), str(number_at(image, "Containers")))
            for image in maps_at(body, "Images"))]),
        ("Containers space usage:", [("CONTAINER", "IMAGE", "SIZE", "STATUS"), *(
            (text_at(one, "Id")[:12], text_at(one, "Image"), render_size(number_at(one, "SizeRw")), text_at(one, "Status"))
            for one in maps_at(body, "Containers"))]),
        ("Local Volumes space usage:", [("VOLUME NAME", "LINKS", "SIZE"), *(
            (text_at(volume, "Name"), str(number_at(volume, "UsageData", "RefCount")), render_size(number_at(volume, "UsageData", "Size")))
            for volume in maps_at(body, "Volumes"))]),
        ("Build cache usage:", [("CACHE ID", "CACHE TYPE", "SIZE", "USAGE", "INSTRUCTION"), *(
            (text_at(one, "ID")[:12], text_at(one, "Type"), render_size(number_at(one, "Size")), str(number_at(one, "UsageCount")), text_at(one, "Description"))
            for one in maps_at(body, "BuildCache"))]),
    ]  # fmt: skip
    everything = maps_at(body, "Disk")
    if everything:  # Docker's server does not say it
        rows = [(text_at(one, "Kind"), render_size(number_at(one, "Size"))) for one in everything]
        total = render_size(sum(number_at(one, "Size") for one in everything))
        sections.append(("Everything below the data root:", [("KIND", "SIZE"), *rows, ("total", total)]))
    print("\n\n".join(f"{title}\n\n{render_table(rows)}" for title, rows in sections))
    return 0


def prune(session: Session, options: Options) -> int:
    """Remove stopped containers, unused networks, unused images, and with `--volumes` unused anonymous volumes."""
    images = "all images without at least one container associated to them" if options.switch("all") else "all dangling images"
    volumes = ", all anonymous volumes not used by at least one container" if options.switch("volumes") else ""
    if not confirm(options, f"all stopped containers, all networks not used by at least one container{volumes}, {images}"):
        return 0
    given = options.texts("filter")
    freed = 0
    for kind, key, extra in (
        ("containers", "ContainersDeleted", []), ("networks", "NetworksDeleted", []),
        *([("volumes", "VolumesDeleted", [])] if options.switch("volumes") else []),
        ("images", "ImagesDeleted", ["dangling=false" if options.switch("all") else "dangling=true"]),
    ):  # fmt: skip
        texts = [*(text for text in given if kind != "volumes" or not text.startswith("until=")), *extra]
        report = session.client().post(f"/{kind}/prune", {"filters": parse_filters(texts)} if texts else None)
        lines = texts_at(report, key) or [
            f"untagged: {text_at(one, 'Untagged')}" if text_at(one, "Untagged") else f"deleted: {text_at(one, 'Deleted')}"
            for one in maps_at(report, key)
        ]
        if lines:
            print(f"Deleted {kind.capitalize()}:", *lines, "", sep="\n")
        freed += number_at(report, "SpaceReclaimed")
    print(f"Total reclaimed space: {render_size(freed)}")
    return 0


SYSTEM_DF = Command("[OPTIONS]", usage, (Flag("verbose", BOOL, "Show detailed information on space usage", short="v"),), maximum=0)
SYSTEM_PRUNE = Command(
    "[OPTIONS]",
    prune,
    (
        Flag("all", BOOL, "Remove all unused images not just dangling ones", short="a"),
        Flag("filter", LIST, 'Provide filter values (e.g. "label=<key>=<value>")'),
        Flag("force", BOOL, "Do not prompt for confirmation", short="f"),
        Flag("volumes", BOOL, "Prune anonymous volumes"),
    ),
    maximum=0,
)
