"""`container prune`, `image prune`, `volume prune`, `network prune`: remove what nobody uses, after asking. Acts. Chapter 14."""

from __future__ import annotations

import sys

from minidocker.cli.command import Command
from minidocker.cli.containers import parse_filters
from minidocker.client.fields import maps_at, number_at, text_at, texts_at
from minidocker.cli.flags import BOOL, LIST, Flag
from minidocker.cli.units import render_size

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

    from minidocker.cli.flags import Options
    from minidocker.cli.session import Session
    from minidocker.spec.record import Json

__all__ = ["CONTAINER_PRUNE", "IMAGE_PRUNE", "NETWORK_PRUNE", "VOLUME_PRUNE", "confirm"]


def confirm(options: Options, what: str) -> bool:
    """Whether the person wants it; `--force` says so in advance."""
    if options.switch("force"):
        return True
    print(f"WARNING! This will remove {what}.\nAre you sure you want to continue? [y/N] ", end="", flush=True)
    return sys.stdin.readline().strip().lower() == "y"


def _prune(session: Session, options: Options, kind: str, what: str, filters: Sequence[str] = ()) -> Json:
    """Return the server's report, or nothing if the person said no."""
    if not confirm(options, what):
        return None
    texts = [*options.texts("filter"), *filters]
    return session.client().post(f"/{kind}/prune", {"filters": parse_filters(texts)} if texts else None)


def _report(title: str, lines: Sequence[str], report: Json) -> int:
    if report is None:
        return 0
    if lines:
        print(title, *lines, "", sep="\n")
    print(f"Total reclaimed space: {render_size(number_at(report, 'SpaceReclaimed'))}")
    return 0


def prune_containers(session: Session, options: Options) -> int:
    """Remove all stopped containers."""
    report = _prune(session, options, "containers", "all stopped containers")
    return _report("Deleted Containers:", texts_at(report, "ContainersDeleted"), report)


def prune_images(session: Session, options: Options) -> int:
    """Remove images without a name, or all that no container uses."""
    what = "all images without at least one container associated to them" if options.switch("all") else "all dangling images"
    filters = ["dangling=false"] if options.switch("all") else ["dangling=true"]
    report = _prune(session, options, "images", what, filters)
    changes = maps_at(report, "ImagesDeleted")
    lines = [
        f"untagged: {text_at(change, 'Untagged')}" if text_at(change, "Untagged") else f"deleted: {text_at(change, 'Deleted')}"
        for change in changes
    ]
    return _report("Deleted Images:", lines, report)


def prune_volumes(session: Session, options: Options) -> int:
    """Remove volumes that no container uses: those without a name, or all."""
    what = f"{'all' if options.switch('all') else 'anonymous'} local volumes not used by at least one container"
    report = _prune(session, options, "volumes", what, ["all=true"] if options.switch("all") else [])
    return _report("Deleted Volumes:", texts_at(report, "VolumesDeleted"), report)


def prune_networks(session: Session, options: Options) -> int:
    """Remove networks that no container is in."""
    report = _prune(session, options, "networks", "all custom networks not used by at least one container")
    names = texts_at(report, "NetworksDeleted")
    if names:
        print("Deleted Networks:", *names, "", sep="\n")
    return 0


_COMMON = (
    Flag("filter", LIST, 'Provide filter values (e.g. "until=<timestamp>")'),
    Flag("force", BOOL, "Do not prompt for confirmation", short="f"),
)
CONTAINER_PRUNE = Command("[OPTIONS]", prune_containers, _COMMON, maximum=0)
IMAGE_PRUNE = Command(
    "[OPTIONS]", prune_images, (Flag("all", BOOL, "Remove all unused images, not just dangling ones", short="a"), *_COMMON), maximum=0
)
NETWORK_PRUNE = Command("[OPTIONS]", prune_networks, _COMMON, maximum=0)
VOLUME_PRUNE = Command(
    "[OPTIONS]", prune_volumes, (Flag("all", BOOL, "Remove all unused volumes, not just anonymous ones", short="a"), *_COMMON), maximum=0
)
