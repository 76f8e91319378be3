"""Blobs of any size, there and back: resumed where they broke off, checked where they arrive.

Acting. A download asks for `bytes=N-` after a break and goes on writing; a server that sends everything again is read up to N and
then written. An upload asks the server how far it came and goes on from there. Both give up when several attempts brought
nothing new, not after a fixed number: a long way through a bad network is a way. Chapter 8.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Final, Protocol
from urllib.parse import urljoin, urlsplit

from minidocker.errors import HostError, PeerError
from minidocker.registry.connection import Answer, BrokenConnection
from minidocker.registry.protocol import RegistryError, parse_chunk_range, parse_content_range
from minidocker.registry.session import BACKOFF_S, MAX_WAIT_S, PUSH, RepositorySession

__all__ = ["Sink", "download_blob", "mount_blob", "upload_blob"]

PIECE_BYTES: Final = 1 << 18
FRUITLESS_ATTEMPTS: Final = 3
"""How many attempts in a row may bring nothing."""

Report = Callable[[int], None]
"""Told how many bytes are there; raises to break off."""


class Sink(Protocol):
    """Where a download goes."""

    @property
    def digest(self) -> str:
        """What the blob is called."""

    @property
    def size(self) -> int:
        """How long it is."""

    @property
    def received(self) -> int:
        """How much of it is there."""

    def write(self, piece: bytes | memoryview, /) -> None:
        """Take the next piece."""


def download_blob(session: RepositorySession, sink: Sink, *, report: Report, sleep: Callable[[float], object] = time.sleep) -> None:
    """Fill *sink* with its blob; the digest is the sink's to check.

    Raises:
        PeerError: it cannot be had, or has another size.
    """
    fruitless = 0
    while True:
        before = sink.received
        try:
            _download_rest(session, sink, report)
            return
        except BrokenConnection as error:
            fruitless = 0 if sink.received > before else fruitless + 1
            if fruitless >= FRUITLESS_ATTEMPTS or session.is_closed or sleep(_pause(fruitless)):
                raise PeerError(
                    f"download blob `{sink.digest}` of `{session.repository}`: {error.message}", hint=error.hint
                ) from error


def _pause(fruitless: int) -> float:
    return min(BACKOFF_S * float(2**fruitless), MAX_WAIT_S)


def _download_rest(session: RepositorySession, sink: Sink, report: Report) -> None:
    start = sink.received
    headers = {"Range": f"bytes={start}-"} if start else {}
    with closing(session.request("GET", f"blobs/{sink.digest}", headers=headers)) as answer:
        skip = _check_part(answer, sink, start)
        buffer = memoryview(bytearray(PIECE_BYTES))
        while count := answer.read_into(buffer):
            dropped = min(skip, count)
            skip -= dropped
            if count > dropped:
                sink.write(buffer[dropped:count])
                report(sink.received)
    if sink.received < sink.size and "content-length" not in answer.headers:
        raise BrokenConnection("the connection ended before the blob did")


def _check_part(answer: Answer, sink: Sink, start: int) -> int:
    """Return how many bytes of the answer are known already.

    Raises:
        PeerError: the answer is another part, or another blob.
    """
    if start and answer.status == 206:
        part = parse_content_range(answer.headers.get("content-range", ""))
        if part is None or part[0] != start:
            raise PeerError(f"download blob `{sink.digest}`: the registry sent another part than the one asked for")
        return 0
    length = answer.headers.get("content-length", "")
    if length.isascii() and length.isdigit() and int(length) != sink.size:
        raise PeerError(f"download blob `{sink.digest}`: the registry sends {length} bytes, the descriptor says {sink.size}")
    return start


def mount_blob(session: RepositorySession, digest: str, source: str) -> str:
    """Ask for a blob of repository *source* to be this one's too; return where to upload it otherwise, nothing if it worked.

    Without a *source* an upload begins.

    Raises:
        RegistryError: neither is allowed.
    """
    query = f"?mount={digest}&from={source}" if source else ""
    answer = session.request("POST", f"blobs/uploads/{query}", actions=PUSH, headers={"Content-Length": "0"}, retry=True)
    answer.close()
    if answer.status == 201 and source:
        return ""
    return _location(answer)


def _location(answer: Answer) -> str:
    location = answer.headers.get("location", "")
    if not location:
        raise PeerError(f"upload blob: `{urlsplit(answer.url).netloc}` did not say where to")
    return urljoin(answer.url, location)


def upload_blob(
    session: RepositorySession, path: Path, *, digest: str, location: str, report: Report, sleep: Callable[[float], object] = time.sleep
) -> None:
    """Send the blob in *path* to the upload at *location*.

    Raises:
        PeerError: the registry does not take it.
        HostError: it cannot be read.
    """
    size = path.stat().st_size
    offset = last = fruitless = 0
    is_known = True
    while True:
        try:
            if not is_known:  # never guessed: a byte that is sent twice spoils the blob
                offset, location = _ask_progress(session, location, digest)
                if offset < 0:
                    return
            _finish_upload(session, path, digest=digest, location=location, offset=offset, size=size, report=report)
            return
        except (BrokenConnection, RegistryError) as error:
            is_busy = not isinstance(error, RegistryError) or error.status >= 500 or error.status == 416
            if not is_busy or session.is_closed:
                raise
            is_known, fruitless, last = False, 0 if offset > last else fruitless + 1, offset
            if fruitless >= FRUITLESS_ATTEMPTS or sleep(_pause(fruitless)):
                raise PeerError(f"upload blob `{digest}` to `{session.repository}`: {error.message}", hint=error.hint) from error


def _finish_upload(
    session: RepositorySession, path: Path, *, digest: str, location: str, offset: int, size: int, report: Report
) -> None:
    """Send the rest: in one PUT if it is all, else as a chunk and an empty PUT."""
    headers = {"Content-Type": "application/octet-stream", "Content-Length": str(size - offset)}
    if offset:
        headers["Content-Range"] = f"{offset}-{size - 1}"
        body = None if offset == size else lambda: _pieces(path, offset, report)
        if body is not None:
            location = _location(_checked(session.request("PATCH", location, actions=PUSH, headers=headers, body=body)))
        headers, body = {"Content-Length": "0"}, None
    else:
        body = lambda: _pieces(path, 0, report)  # noqa: E731 - made anew for each attempt
    joint = "&" if "?" in location else "?"
    _checked(session.request("PUT", f"{location}{joint}digest={digest}", actions=PUSH, headers=headers, body=body))


def _checked(answer: Answer) -> Answer:
    answer.close()
    return answer


def _ask_progress(session: RepositorySession, location: str, digest: str) -> tuple[int, str]:
    """Return how many bytes the server has, -1 for a blob that is finished, and where to go on.

    Raises:
        PeerError: nobody says, or the upload is lost and cannot begin anew.
    """
    answer = session.request("GET", location, actions=PUSH, allowed=(404,))
    answer.close()
    if answer.status == 404:
        if session.has_blob(digest):  # the last answer was lost on the way, not the blob
            return -1, location
        return 0, mount_blob(session, digest, "") or location
    reached = parse_chunk_range(answer.headers.get("range", ""))
    if not reached or not reached[1]:  # `0-0` is one byte for some and none for others: a new upload has none for all
        return 0, mount_blob(session, digest, "")
    return reached[1] + 1, urljoin(location, answer.headers.get("location", "") or location)


def _pieces(path: Path, offset: int, report: Report) -> Iterator[bytes]:
    """Yield the file from *offset* on."""
    try:
        with path.open("rb", buffering=0) as file:
            file.seek(offset, os.SEEK_SET)
            while piece := file.read(PIECE_BYTES):
                yield piece
                offset += len(piece)
                report(offset)
    except OSError as error:
        raise HostError(f"read blob `{path.name}`: {error.strerror}") from error


