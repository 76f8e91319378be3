"""`build -o`: the result as a directory or an archive on this machine.

Acts. An archive of the image is what `save` gives: an OCI layout with Docker's own index beside it. The files alone come from a
container that never runs. A directory is filled by Python's own extractor with its filter for data: whoever builds from a
stranger's Dockerfile should not have files written elsewhere. Chapter 14.
"""

from __future__ import annotations

import io
import os
import sys

from minidocker.client.fields import text_at, texts_at
from minidocker.errors import HostError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from minidocker.cli.session import Session

__all__ = ["write_outputs"]


def write_outputs(session: Session, image_id: str, outputs: Sequence[str], *, tags: Sequence[str]) -> None:
    """Write the image to each of *outputs*; one that has no tag goes from the server afterwards.

    Raises:
        InvalidParameter: an output that is none.
    """
    from minidocker.build.request import parse_output

    wanted = [parse_output(text) for text in outputs]
    for output in wanted:
        if output.type in ("oci", "docker"):
            _save(output.destination, session.client().open("GET", f"/images/{tags[0] if tags else image_id}/get").iterate())
        elif output.type in ("tar", "local"):
            _export(session, image_id, output.type, output.destination)
    is_kept = tags or any(output.type == "image" for output in wanted)
    if not is_kept and not texts_at(session.client().get(f"/images/{image_id}/json"), "RepoTags"):
        session.client().call("DELETE", f"/images/{image_id}").read()


def _save(destination: str, pieces: Iterator[bytes]) -> None:
    if destination in ("", "-"):
        for piece in pieces:
            sys.stdout.buffer.write(piece)
        return
    partial = f"{destination}.partial-{os.getpid()}"
    try:
        with open(partial, "xb") as file:
            for piece in pieces:
                file.write(piece)
        os.replace(partial, destination)
    except OSError as error:
        raise HostError(f"write `{destination}`: {error.strerror}") from error
    finally:
        if os.path.exists(partial):
            os.unlink(partial)


def _export(session: Session, image_id: str, kind: str, destination: str) -> None:
    """Write the files of the image."""
    client = session.client()
    container = text_at(client.post("/containers/create", None, {"Image": image_id, "Cmd": ["-"], "NetworkDisabled": True}), "Id")
    try:
        pieces = client.open("GET", f"/containers/{container}/export").iterate()
        if kind == "tar":
            _save(destination, pieces)
        else:
            _unpack(destination, pieces)
    finally:
        client.call("DELETE", f"/containers/{container}", {"force": "1"}).read()


class _Source(io.RawIOBase):
    """Pieces as a file that is read."""

    def __init__(self, pieces: Iterator[bytes]) -> None:
        self._pieces, self._rest = pieces, b""

    def read(self, size: int = -1) -> bytes:
        while len(self._rest) < size and (piece := next(self._pieces, b"")):
            self._rest += piece
        taken, self._rest = self._rest[:size], self._rest[size:]
        return taken


def _unpack(destination: str, pieces: Iterator[bytes]) -> None:
    import tarfile

    os.makedirs(destination, exist_ok=True)

    def choose(member: tarfile.TarInfo, path: str) -> tarfile.TarInfo | None:
        if member.isdev() and not member.isfifo():
            return None
        try:
            return tarfile.tar_filter(member, path).replace(uid=os.getuid() if hasattr(os, "getuid") else 0, deep=False)
        except tarfile.FilterError:
            return None

    with tarfile.open(fileobj=_Source(pieces), mode="r|") as archive:
        for member in archive:
            if member.issym():
                _link(destination, member)
            elif (chosen := choose(member, destination)) is not None:
                archive.extract(chosen, destination, filter="fully_trusted", numeric_owner=True)


def _link(destination: str, member: object) -> None:
    """Make a symbolic link as it stands in the image: `/bin/sh` means the image's, and nothing is written through it."""
    name, target = getattr(member, "name", ""), getattr(member, "linkname", "")
    path = os.path.join(destination, name)
    if os.path.realpath(os.path.dirname(path)).startswith(os.path.realpath(destination)):
        if os.path.islink(path):
            os.unlink(path)
        os.symlink(target, path)
