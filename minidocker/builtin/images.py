"""The images that need no network: `hello` and `toolbox`, made by the server when they are first named.

Acting: reads the host's programs. Rule: the same host gives the same image, byte for byte; so nothing of the moment goes in, and
entries are sorted. `hello` is one program of ours. `toolbox` is a small root file system put together by `toolbox`. Both go
through the same writer, blob and unpacking as any other image. Chapter 7.
"""

from __future__ import annotations

import platform
from collections.abc import Iterator, Sequence
from typing import Final

from minidocker.builtin.toolbox import TreeFile, gather_toolbox
from minidocker.codec.elf import render_greeting_program
from minidocker.codec.tar import END_OF_ARCHIVE, Kind, TarEntry, render_header, render_padding
from minidocker.image.commit import compose_config
from minidocker.image.ingest import ChunkSource, describe_layer
from minidocker.image.store import ImageRecord, ImageStore, render_json
from minidocker.reference.reference import Reference, parse_reference
from minidocker.spec.container import ContainerConfig
from minidocker.spec.image import History
from minidocker.spec.record import render_record

__all__ = ["BUILT_IN_NAMES", "find_built_in", "make_built_in"]

BUILT_IN_NAMES: Final = ("hello", "toolbox")
BUILT_IN_CREATED: Final = "2026-01-01T00:00:00Z"
"""A fixed date, so that equal hosts make equal images."""

GREETING: Final = b"""
Hello from a container!

You see this because four things worked together:
 1. The client sent your command to the server, over its socket.
 2. The server looked for the image "hello". It is built in, so the server made it on the spot: one
    layer with one file, a program of a few dozen bytes of machine code. Any other image would be loaded.
 3. The server put a container together: namespaces of its own for processes, mounts, host name and
    network, and the image's files as its root. In it, that program started as process number 1.
 4. The program wrote this text, and the server handed it to the client, which shows it to you.

Now look around inside a container of your own:
  minidocker run --rm -it toolbox sh
""".lstrip()


def find_built_in(reference: str) -> str:
    """Return which built-in image *reference* names, or nothing."""
    parsed = parse_reference(reference)
    is_plain = parsed.domain == "docker.io" and parsed.tag == "latest" and not parsed.digest
    name = parsed.path.removeprefix("library/")
    return name if is_plain and name in BUILT_IN_NAMES and parsed.path == f"library/{name}" else ""


def make_built_in(store: ImageStore, name: str) -> ImageRecord:
    """Make the built-in image *name* and give it its name.

    Raises:
        HostError: this machine lacks what it is made of.
        NotSupported: no program can be written for this machine.
    """
    if name == "hello":
        program = render_greeting_program(GREETING, machine=platform.machine())
        tree: Sequence[TreeFile] = (TreeFile(path="hello", mode=0o755, content=program),)
        config = ContainerConfig(cmd=("/hello",), working_dir="/")
        comment = "one static program, written by minidocker itself"
    else:
        tree = gather_toolbox(platform.machine())
        config = ContainerConfig(cmd=("sh",), working_dir="/", env=("PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",))
        comment = "the usual commands, put together from the host's own"
    return _commit(store, tree, config=config, comment=comment, name=parse_reference(name))


def _commit(store: ImageStore, tree: Sequence[TreeFile], *, config: ContainerConfig, comment: str, name: Reference) -> ImageRecord:
    """Store *tree* as an image of one layer."""
    with store.ingest() as ingest:
        layer = ingest.spool(ChunkSource(_render_tree(tree)))
        ingest.keep(layer)
        history = History(created=BUILT_IN_CREATED, created_by="minidocker", comment=comment)
        image = compose_config(None, config=config, history=history, diff_id=layer.digest)
        content = render_json(render_record(image))
        return store.commit(ingest, config=content, layers=(describe_layer(layer),), names=(name,))


def _render_tree(tree: Sequence[TreeFile]) -> Iterator[bytes]:
    """Yield the archive of *tree*, sorted, with nothing of the moment in it."""
    for file in sorted(tree, key=lambda file: file.path.split("/")):
        content = b"" if file.kind is not Kind.FILE else file.read()
        yield render_header(
            TarEntry(
                name=file.path.encode(), kind=file.kind, mode=file.mode, size=len(content), link_name=file.link.encode(),
            )
        )  # fmt: skip
        yield content
        yield render_padding(len(content))
    yield END_OF_ARCHIVE
