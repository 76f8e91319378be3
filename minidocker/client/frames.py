"""Take a container's two streams out of one connection.

Output of a container without a terminal comes in frames (Docker Engine API, "Stream format"):

    byte 0: 1 stdout, 2 stderr, 3 an error of the server · bytes 1-3: 0 · bytes 4-7: length, big-endian · payload

Unlike `codec.frames`, which gives whole frames, this gives what there is of a long one: a client prints it at once. Pure. Chapter 14.
"""

from __future__ import annotations

from minidocker.errors import PeerError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

__all__ = ["split_frames"]

HEADER_BYTES = 8
SERVER_ERROR = 3


def split_frames(pieces: Iterable[bytes]) -> Iterator[tuple[int, bytes]]:
    """Yield (stream, payload) for the frames in *pieces*; a long frame comes in parts, as they arrive.

    Raises:
        PeerError: the server reports an error of its own in the stream.
    """
    header, stream, missing = b"", 0, 0
    for piece in pieces:
        rest = memoryview(piece)
        while rest:
            if missing:
                payload, rest = rest[:missing], rest[missing:]
                missing -= len(payload)
                if stream == SERVER_ERROR:
                    raise PeerError(f"error from daemon in stream: {bytes(payload).decode(errors='replace')}")
                yield stream, bytes(payload)
                continue
            taken = min(HEADER_BYTES - len(header), len(rest))
            header, rest = header + bytes(rest[:taken]), rest[taken:]
            if len(header) == HEADER_BYTES:
                stream, missing, header = header[0], int.from_bytes(header[4:], "big"), b""
