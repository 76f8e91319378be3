"""`pull`, and the progress that a server reports line by line.

Acts. On a terminal each layer keeps its line; elsewhere every change of state is a line of its own. Chapter 14.
"""

from __future__ import annotations

import sys

from minidocker.cli.command import Command
from minidocker.client.credentials import registry_auth
from minidocker.client.fields import number_at, text_at, value_at
from minidocker.client.progress import read_progress
from minidocker.cli.flags import BOOL, STRING, Flag
from minidocker.client.image_name import split_image_name

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable
    from typing import TextIO

    from minidocker.client.transport import Transport
    from minidocker.cli.flags import Options
    from minidocker.cli.session import Session
    from minidocker.spec.record import Json

__all__ = ["PULL", "full_name", "pull_image", "show_progress"]


def pull_image(client: Transport, image: str, *, platform: str = "", quiet: bool = False, all_tags: bool = False, out: TextIO) -> None:
    """Let the server download *image*, and show its progress on *out*.

    Raises:
        DaemonError: the server cannot.
    """
    repository, tag = split_image_name(image)
    query: dict[str, str | list[str]] = {"fromImage": repository}
    if not all_tags:
        query["tag"] = tag or "latest"
    if platform:
        query["platform"] = platform
    progress = read_progress(client.open("POST", "/images/create", query, headers=registry_auth(client.config_directory, image)).lines())
    if quiet:
        for _ in progress:
            pass
    else:
        show_progress(progress, out)


def show_progress(events: Iterable[Json], out: TextIO) -> None:
    """Write *events* to *out* until they end."""
    terminal = out.isatty()
    rows: dict[str, int] = {}
    for event in events:
        stream = text_at(event, "stream")
        name, status, bar = text_at(event, "id"), text_at(event, "status"), text_at(event, "progress")
        if stream:
            out.write(stream)
        elif status and not terminal:
            if not bar and not value_at(event, "progressDetail", "current"):
                out.write(f"{name}: {status}\n" if name else f"{status}\n")
        elif status and not name:
            out.write(f"{status}\n")
            rows = {}
        elif status:
            bar = bar or _render_bar(number_at(event, "progressDetail", "current"), number_at(event, "progressDetail", "total"))
            _write_row(out, rows, name, f"{name}: {status} {bar}".rstrip())
        out.flush()


def _render_bar(current: int, total: int) -> str:
    if not current or not total:
        return ""
    from minidocker.cli.units import render_size

    filled = min(50 * current // total, 49)
    return f"[{'=' * filled}>{' ' * (49 - filled)}] {render_size(current):>8}/{render_size(total)}"


def _write_row(out: TextIO, rows: dict[str, int], name: str, text: str) -> None:
    """Write *text* into the row of *name*: move up, clear, write, move down."""
    if name not in rows:
        rows[name] = len(rows)
        out.write("\n")
    up = len(rows) - rows[name]
    out.write(f"\x1b[{up}A\x1b[2K\r{text}\r\x1b[{up}B")


def pull(session: Session, options: Options) -> int:
    """Download an image."""
    image = options.arguments[0]
    repository, tag = split_image_name(image)
    if not tag and not options.switch("all-tags") and not options.switch("quiet"):
        print("Using default tag: latest")
    pull_image(
        session.client(), image, platform=options.text("platform"), quiet=options.switch("quiet"),
        all_tags=options.switch("all-tags"), out=sys.stdout,
    )  # fmt: skip
    print(full_name(repository, tag or ("" if options.switch("all-tags") else "latest")))
    return 0


def full_name(repository: str, tag: str) -> str:
    """Return the complete name of an image."""
    host = repository.partition("/")[0] if "/" in repository else ""
    has_host = "." in host or ":" in host or host == "localhost"
    separator = ("@" if tag.startswith("sha256:") else ":") if tag else ""
    return f"{'' if has_host else 'docker.io/' + ('' if '/' in repository else 'library/')}{repository}{separator}{tag}"


PULL = Command(
    "[OPTIONS] NAME[:TAG|@DIGEST]",
    pull,
    (
        Flag("all-tags", BOOL, "Download all tagged images in the repository", short="a"),
        Flag("disable-content-trust", BOOL, "Skip image verification", default=True),
        Flag("platform", STRING, "Set platform if server is multi-platform capable"),
        Flag("quiet", BOOL, "Suppress verbose output", short="q"),
    ),
    minimum=1,
    maximum=1,
)
