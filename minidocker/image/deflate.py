"""gzip, the same bytes every time, on all processors.

Acting (threads, as zlib lets others run while it works). Blocks are compressed side by side, each with the end of what came before as
its dictionary, and put together as one member: whoever unpacks it notices nothing, and how many processors there were does not
show. What cannot be compressed (pictures, archives, keys) is found out by a sample and stored as it is: deflate would spend most of its
time on it for nothing. No name and no date goes into the header. A few blocks are in memory, whatever the size.
See RFC 1951, RFC 1952, pigz(1). Chapter 5.
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

SEGMENT_BYTES: Final = 1 << 15
"""What is judged by one sample; at most 65535, the longest stored block."""
BLOCK_BYTES: Final = 8 * SEGMENT_BYTES
"""One task: large enough that handing it over costs nothing, small enough that all processors have work."""
_WINDOW_BYTES: Final = 1 << 15
"""How far deflate looks back."""
_SAMPLES: Final = 4
_SAMPLE_BYTES: Final = 512
_LEVEL: Final = 4
"""The first with lazy matching: nearly as small as 6 and half again as fast. Part of the promise of equal bytes."""
_HEADER: Final = b"\x1f\x8b\x08\0\0\0\0\0\0\xff"
"""gzip, deflate, no flags, no date, no extra flags, unknown system."""
_LAST_BLOCK: Final = b"\x03\0"
"""An empty block that says it is the last: every other one can then be made without knowing whether it is."""


def compress_gzip(source: ByteSource) -> Iterator[bytes]:
    """Yield what *source* gives, compressed."""
    workers = max(1, os.cpu_count() or 1)
    checksum = size = 0
    window = b""
    yield _HEADER
    with ThreadPoolExecutor(workers, thread_name_prefix="md:deflate") as pool:
        under_way: deque[Future[bytes]] = deque()
        while block := _read_block(source):
            under_way.append(pool.submit(_deflate, block, window))
            checksum, size, window = zlib.crc32(block, checksum), size + len(block), block[-_WINDOW_BYTES:]
            if len(under_way) > 2 * workers:
                yield under_way.popleft().result()
        for future in under_way:
            yield future.result()
    yield _LAST_BLOCK + struct.pack("<II", checksum, size & 0xFFFFFFFF)


def _read_block(source: ByteSource) -> bytes:
    """Return exactly one block, fewer bytes only at the end."""
    pieces: list[bytes] = []
    missing = BLOCK_BYTES
    while missing and (piece := source.read(missing)):
        pieces.append(piece)
        missing -= len(piece)
    return b"".join(pieces)


def _deflate(block: bytes, window: bytes) -> bytes:
    """Return *block* as whole deflate blocks that end on a byte; *window* came before it."""
    pieces: list[bytes] = []
    start = 0
    while start < len(block):
        end, is_worth_it = start, _is_compressible(block, start)
        while end < len(block) and _is_compressible(block, end) == is_worth_it:
            end = min(end + SEGMENT_BYTES, len(block))
        if is_worth_it:
            before = (window + block[:start])[-_WINDOW_BYTES:]
            deflater = _new_deflater(before)
            pieces += [deflater.compress(block[start:end]), deflater.flush(zlib.Z_SYNC_FLUSH)]
        else:
            for at in range(start, end, SEGMENT_BYTES):
                piece = block[at : min(at + SEGMENT_BYTES, end)]
                pieces += [struct.pack("<BHH", 0, len(piece), len(piece) ^ 0xFFFF), piece]
        start = end
    return b"".join(pieces)


def _new_deflater(dictionary: bytes) -> zlib._Compress:
    if dictionary:
        return zlib.compressobj(_LEVEL, zlib.DEFLATED, -zlib.MAX_WBITS, zdict=dictionary)
    return zlib.compressobj(_LEVEL, zlib.DEFLATED, -zlib.MAX_WBITS)


def _is_compressible(block: bytes, start: int) -> bool:
    """Whether a sample of the segment at *start* becomes smaller."""
    end = min(start + SEGMENT_BYTES, len(block))
    step = max((end - start) // _SAMPLES, 1)
    sample = b"".join(block[at : min(at + _SAMPLE_BYTES, end)] for at in range(start, end, step))
    return len(zlib.compress(sample, 1)) < len(sample) - len(sample) // 32
