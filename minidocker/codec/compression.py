"""Read a stream that may be compressed: the first bytes say how.

Pure: bytes are pulled through a `ByteSource` and handed on as another one; at most one buffer is held, however well the stream
was compressed. Knows gzip (RFC 1952), bzip2 and xz, and zstd (RFC 8878) where Python does. Chapter 5.
"""

from __future__ import annotations

import bz2
import importlib
import lzma
import zlib
from typing import Any, Final, Protocol

from minidocker.codec.tar import ByteSource, InvalidArchive
from minidocker.errors import NotSupported

__all__ = ["open_decompressed", "sniff_compression"]

_READ_BYTES: Final = 1 << 17
_MAX_XZ_MEMORY: Final = 256 << 20
"""Bytes; `xz -9` needs 65 MB to unpack, a file that asks for more than this does so to do harm."""

_MAGIC: Final = (
    (b"\x1f\x8b\x08", "gzip"), (b"BZh", "bzip2"), (b"\xfd7zXZ\0", "xz"), (b"\x28\xb5\x2f\xfd", "zstd"),
)  # fmt: skip


def sniff_compression(head: bytes) -> str:
    """Return `gzip`, `bzip2`, `xz` or `zstd` for a stream that begins with *head*, else nothing."""
    return next((name for magic, name in _MAGIC if head.startswith(magic)), "")


def open_decompressed(source: ByteSource) -> ByteSource:
    """Return *source* itself if it is not compressed, else what it unpacks to.

    Raises:
        NotSupported: zstd, which the standard library cannot read.
    """
    head = b""
    while len(head) < 6:
        piece = source.read(_READ_BYTES)
        if not piece:
            break
        head += piece
    kind = sniff_compression(head)
    prefixed = _Prefixed(head, source)
    if not kind:
        return prefixed
    return _Decompressed(prefixed, kind)


class _Prefixed:
    """A source of which some bytes were read already."""

    def __init__(self, head: bytes, source: ByteSource) -> None:
        self._head, self._source = head, source

    def read(self, size: int, /) -> bytes:
        if self._head:
            piece, self._head = self._head[:size], self._head[size:]
            return piece
        return self._source.read(size)


class _Gzip:
    """zlib's decompressor with the interface of the other two."""

    def __init__(self) -> None:
        self._inner = zlib.decompressobj(wbits=31)

    def decompress(self, data: bytes, max_length: int) -> bytes:
        return self._inner.decompress(self._inner.unconsumed_tail + data, max_length)

    @property
    def eof(self) -> bool:
        return self._inner.eof

    @property
    def needs_input(self) -> bool:
        return not self._inner.unconsumed_tail

    @property
    def unused_data(self) -> bytes:
        return self._inner.unused_data


class _Decompressor(Protocol):
    """What the decompressors of the standard library have in common."""

    @property
    def eof(self) -> bool: ...

    @property
    def needs_input(self) -> bool: ...

    @property
    def unused_data(self) -> bytes: ...

    def decompress(self, data: bytes, max_length: int) -> bytes: ...


def _start_zstd() -> _Decompressor:
    """Return a decompressor for zstd, which Python has since 3.14."""
    try:
        zstd: Any = importlib.import_module("compression.zstd")
    except ImportError:
        raise NotSupported(
            "unpack: the data is compressed with zstd, which this Python cannot read",
            hint="compress it with gzip: `zstd -dc FILE | gzip`; or use Python 3.14",
        ) from None
    decompressor: _Decompressor = zstd.ZstdDecompressor()
    return decompressor


class _Decompressed:
    """The content of one or several compressed streams, one after the other."""

    def __init__(self, source: ByteSource, kind: str) -> None:
        self._source, self._kind = source, kind
        self._inner = self._start()

    def _start(self) -> _Decompressor:
        if self._kind == "gzip":
            return _Gzip()
        if self._kind == "zstd":
            return _start_zstd()
        return bz2.BZ2Decompressor() if self._kind == "bzip2" else lzma.LZMADecompressor(memlimit=_MAX_XZ_MEMORY)

    def read(self, size: int, /) -> bytes:
        while True:
            if self._inner.eof and not self._next_stream():
                return b""
            data = b""
            if self._inner.needs_input:
                data = self._source.read(_READ_BYTES)
                if not data:
                    raise InvalidArchive(f"unpack: the {self._kind} data is cut off")
            piece = self._decompress(data, size)
            if piece:
                return piece

    def _next_stream(self) -> bool:
        """Go on with what follows a compressed stream: another one, or padding; return whether there is one."""
        rest = self._inner.unused_data
        while len(rest) < 6 and (more := self._source.read(_READ_BYTES)):
            rest += more
        if sniff_compression(rest) != self._kind:
            return False
        self._source = _Prefixed(rest, self._source)
        self._inner = self._start()
        return True

    def _decompress(self, data: bytes, size: int) -> bytes:
        try:
            return self._inner.decompress(data, size)
        except Exception as error:
            raise InvalidArchive(f"unpack: the {self._kind} data is damaged: {error}") from error
