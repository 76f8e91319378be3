"""gzip, the same bytes every time, on all processors.

Acting (threads, as zlib lets others run while it works). Blocks are compressed side by side, each with the end of the one before as
its dictionary, and put together as one member: whoever unpacks it notices nothing, and how many processors there were does not
show. No name and no date goes into the header. A few blocks are in memory, whatever the size. See RFC 1951, RFC 1952, pigz(1). Chapter 5.
"""

from __future__ import annotations

import os
import struct
import zlib
from collections import deque
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Final

from minidocker.codec.tar import ByteSource

__all__ = ["compress_gzip"]

BLOCK_BYTES: Final = 1 << 18
"""Large enough that the cuts between blocks cost nothing, small enough that all processors have work."""
_WINDOW_BYTES: Final = 1 << 15
"""How far deflate looks back."""
_LEVEL: Final = 6
"""gzip's own and Docker's; part of the promise that equal content gives equal bytes."""
_HEADER: Final = b"\x1f\x8b\x08\0\0\0\0\0\0\xff"
"""gzip, deflate, no flags, no date, no extra flags, unknown system."""


def compress_gzip(source: ByteSource) -> Iterator[bytes]:
    """Yield what *source* gives, compressed."""
    workers = max(1, os.cpu_count() or 1)
    checksum = size = 0
    dictionary = b""
    yield _HEADER
    with ThreadPoolExecutor(workers, thread_name_prefix="md:deflate") as pool:
        under_way: deque[Future[bytes]] = deque()
        block = _read_block(source)
        while True:
            following = _read_block(source) if block else b""
            under_way.append(pool.submit(_deflate, block, dictionary, is_last=not following))
            checksum, size, dictionary = zlib.crc32(block, checksum), size + len(block), block[-_WINDOW_BYTES:]
            if not following:
                break
            if len(under_way) > 2 * workers:
                yield under_way.popleft().result()
            block = following
        for future in under_way:
            yield future.result()
    yield struct.pack("<II", checksum, size & 0xFFFFFFFF)


def _read_block(source: ByteSource) -> bytes:
    """Return exactly one block, fewer bytes only at the end."""
    pieces: list[bytes] = []
    missing = BLOCK_BYTES
    while missing and (piece := source.read(missing)):
        pieces.append(piece)
        missing -= len(piece)
    return b"".join(pieces)


def _deflate(block: bytes, dictionary: bytes, *, is_last: bool) -> bytes:
    deflater = zlib.compressobj(_LEVEL, zlib.DEFLATED, -zlib.MAX_WBITS, zdict=dictionary) if dictionary else zlib.compressobj(
        _LEVEL, zlib.DEFLATED, -zlib.MAX_WBITS
    )  # fmt: skip
    return deflater.compress(block) + deflater.flush(zlib.Z_FINISH if is_last else zlib.Z_SYNC_FLUSH)
