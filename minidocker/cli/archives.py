"""`load`, `save`, `import` and `export`: images and containers as tar files. Acts; whatever the size, one chunk is in memory. Chapter 14."""

from __future__ import annotations

import os
import sys

from minidocker.client.transport import CHUNK_BYTES
from minidocker.cli.command import Command
from minidocker.client.fields import text_at
from minidocker.client.progress import read_progress
from minidocker.cli.flags import BOOL, LIST, STRING, Flag
from minidocker.client.image_name import split_image_name
from minidocker.cli.pull import show_progress
from minidocker.errors import HostError, InvalidParameter

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import BinaryIO

    from minidocker.cli.flags import Options
    from minidocker.cli.session import Session

__all__ = ["EXPORT", "IMPORT", "LOAD", "SAVE"]


def _open(path: str) -> BinaryIO:
    try:
        return open(path, "rb")
    except OSError as error:
        raise HostError(f"open {path}: {(error.strerror or '').lower()}") from error


def _chunks(file: BinaryIO) -> Iterator[bytes]:
    with file:
        while chunk := file.read1(CHUNK_BYTES) if hasattr(file, "read1") else file.read(CHUNK_BYTES):
            yield chunk


def load(session: Session, options: Options) -> int:
    """Load images from an archive."""
    if options.text("input"):
        source = _open(options.text("input"))
    elif os.isatty(0):
        raise InvalidParameter("requested load from stdin, but stdin is empty")
    else:
        source = sys.stdin.buffer
    quiet = options.switch("quiet") or not sys.stdout.isatty()
    answer = session.client().open(
        "POST", "/images/load", {"quiet": "1" if quiet else "0"}, _chunks(source), content_type="application/x-tar"
    )
    show_progress(read_progress(answer.lines()), sys.stdout)
    return 0


def save(session: Session, options: Options) -> int:
    """Write images into an archive."""
    return receive(session, options, "image", "/images/get", {"names": options.arguments})


def export(session: Session, options: Options) -> int:
    """Write all files of a container into an archive."""
    return receive(session, options, "container", f"/containers/{options.arguments[0]}/export", {})


def receive(session: Session, options: Options, what: str, path: str, query: dict[str, str | list[str]]) -> int:
    """Write the archive at *path* to the file that `--output` names, or to standard output."""
    output = options.text("output")
    if not output and os.isatty(1):
        verb = "save" if what == "image" else "export"
        raise InvalidParameter(f"cowardly refusing to {verb} to a terminal. Use the -o flag or redirect")
    answer = session.client().open("GET", path, query)
    if not output:
        for piece in answer.iterate():
            sys.stdout.buffer.write(piece)
        return 0
    # A name of its own until it is whole: an interruption leaves no half archive under the wanted name.
    partial = f"{output}.partial-{os.getpid()}"
    try:
        with open(partial, "xb", opener=lambda path, flags: os.open(path, flags, 0o600)) as file:
            for piece in answer.iterate():
                file.write(piece)
        os.replace(partial, output)
    except OSError as error:
        verb = "save image" if what == "image" else "export container"
        raise HostError(f"failed to {verb}: `{output}`: {(error.strerror or str(error)).lower()}") from error
    finally:
        if os.path.exists(partial):
            os.unlink(partial)
    return 0


def import_image(session: Session, options: Options) -> int:
    """Make an image of one layer from an archive of a root file system."""
    source, *target = options.arguments
    query: dict[str, str | list[str]] = {"fromSrc": source if "://" in source else "-"}
    if target:
        query["repo"], name = split_image_name(target[0])
        query["tag"] = name or "latest"
    for flag, key in (("message", "message"), ("platform", "platform")):
        if options.text(flag):
            query[key] = options.text(flag)
    if options.texts("change"):
        query["changes"] = options.texts("change")
    content: Iterator[bytes] | bytes = b""
    if "://" not in source:
        content = _chunks(sys.stdin.buffer if source == "-" else _open(source))
    answer = session.client().open("POST", "/images/create", query, content, content_type="application/x-tar")
    for event in read_progress(answer.lines()):
        status = text_at(event, "status")
        if status.startswith("sha256:") or sys.stdout.isatty():
            print(status)
    return 0


LOAD = Command(
    "[OPTIONS]",
    load,
    (
        Flag("input", STRING, "Read from tar archive file, instead of STDIN", short="i"),
        Flag("quiet", BOOL, "Suppress the load output", short="q"),
    ),
    maximum=0,
)
SAVE = Command(
    "[OPTIONS] IMAGE [IMAGE...]",
    save,
    (Flag("output", STRING, "Write to a file, instead of STDOUT", short="o"),),
    minimum=1,
)
EXPORT = Command(
    "[OPTIONS] CONTAINER",
    export,
    (Flag("output", STRING, "Write to a file, instead of STDOUT", short="o"),),
    minimum=1,
    maximum=1,
)
IMPORT = Command(
    "[OPTIONS] file|URL|- [REPOSITORY[:TAG]]",
    import_image,
    (
        Flag("change", LIST, "Apply Dockerfile instruction to the created image", short="c"),
        Flag("message", STRING, "Set commit message for imported image", short="m"),
        Flag("platform", STRING, "Set platform if server is multi-platform capable"),
    ),
    minimum=1,
    maximum=2,
)
