"""The blocks that stand before a tar entry's data: its header, and what a header has no room for.

Equal entries give equal bytes: ustar (POSIX 1988) wherever it can say it, else a pax header (POSIX 2001) in front, an entry of
`key=value` records about the next one. Pure; imports nothing but `struct`, because the client packs build contexts with it, and a client
starts fast. See pax(1), section "ustar Interchange Format". Chapter 5.
"""

from __future__ import annotations

import struct

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["BLOCK_BYTES", "END_OF_ARCHIVE", "HEADER", "XATTR_RECORD", "render_blocks", "render_padding"]

BLOCK_BYTES = 512
END_OF_ARCHIVE = bytes(2 * BLOCK_BYTES)
"""What follows the last entry."""
HEADER = struct.Struct("100s8s8s8s12s12s8sc100s8s32s32s8s8s155s12x")
"""name mode uid gid size mtime checksum type linkname magic+version uname gname devmajor devminor prefix."""
XATTR_RECORD = b"SCHILY.xattr."
"""What the records of extended attributes begin with."""
_DIRECTORY = b"5"


def render_blocks(
    name: bytes, kind: bytes, *, mode: int = 0o644, uid: int = 0, gid: int = 0, size: int = 0, mtime_ns: int = 0, link_name: bytes = b"",
    major: int = 0, minor: int = 0, user: bytes = b"", group: bytes = b"", xattrs: Mapping[bytes, bytes] | None = None,
) -> bytes:  # fmt: skip
    """Return what stands before the data of an entry with these fields; *kind* is its type byte."""
    if kind == _DIRECTORY:
        name += b"/"
    prefix, short = _split_name(name)
    records = {XATTR_RECORD + key: value for key, value in (xattrs or {}).items()}
    if not name.isascii() or len(short) > 100:
        records[b"path"] = name
    texts = ((b"linkpath", link_name, 100), (b"uname", user, 31), (b"gname", group, 31))
    records.update({key: text for key, text, room in texts if len(text) > room or not text.isascii()})
    numbers = ((b"uid", uid, 7), (b"gid", gid, 7), (b"size", size, 11))
    records.update({key: b"%d" % number for key, number, digits in numbers if number >= 8**digits})
    if mtime_ns % 1_000_000_000 or not 0 <= mtime_ns < 8**11 * 1_000_000_000:
        records[b"mtime"] = _render_time(mtime_ns)
    header = _render_block(
        name=short, kind=kind, mode=mode, uid=uid, gid=gid, size=size, mtime=mtime_ns // 1_000_000_000, link=link_name[:100],
        user=user[:31], group=group[:31], major=major, minor=minor, prefix=prefix,
    )  # fmt: skip
    if not records:
        return header
    body = b"".join(_render_record(key, records[key]) for key in sorted(records))
    tail = name.rstrip(b"/").rsplit(b"/", 1)[-1][:80]
    extended = _render_block(name=b"PaxHeaders.0/" + tail, kind=b"x", mode=0o644, size=len(body))
    return extended + body + render_padding(len(body)) + header


def render_padding(size: int) -> bytes:
    """Return the zero bytes that follow *size* bytes of data."""
    return bytes(-size % BLOCK_BYTES)


def _render_time(time_ns: int) -> bytes:
    """Return seconds with as many decimals as they need."""
    seconds, fraction = divmod(abs(time_ns), 1_000_000_000)
    return (b"-" if time_ns < 0 else b"") + b"%d" % seconds + (b".%09d" % fraction if fraction else b"").rstrip(b"0")


def _split_name(name: bytes) -> tuple[bytes, bytes]:
    """Return (prefix, name) at a slash so that both fit ustar's 155 and 100 bytes, or nothing and the whole name."""
    if len(name) > 100:
        place = name.find(b"/", len(name) - 101)
        if 0 < place <= 155 and place + 1 < len(name):
            return name[:place], name[place + 1 :]
    return b"", name


def _render_record(key: bytes, value: bytes) -> bytes:
    """Return one pax record; its length counts its own digits too."""
    rest = len(key) + len(value) + 3
    length = rest + len(str(rest))
    if len(str(length)) > len(str(rest)):
        length += 1
    return b"%d %s=%s\n" % (length, key, value)


def _render_block(
    *, name: bytes, kind: bytes, mode: int = 0, uid: int = 0, gid: int = 0, size: int = 0, mtime: int = 0, link: bytes = b"",
    user: bytes = b"", group: bytes = b"", major: int = 0, minor: int = 0, prefix: bytes = b"",
) -> bytes:  # fmt: skip
    """Return one header block with its checksum; numbers that do not fit are 0, a pax record says them."""
    block = HEADER.pack(
        name, _octal(mode, 7), _octal(uid, 7), _octal(gid, 7), _octal(size, 11), _octal(mtime, 11), b" " * 8, kind, link,
        b"ustar\x0000", user, group, _octal(major, 7), _octal(minor, 7), prefix,
    )  # fmt: skip
    return block[:148] + b"%06o\0 " % sum(block) + block[156:]


def _octal(number: int, digits: int) -> bytes:
    return b"%0*o\0" % (digits, number if 0 <= number < 8**digits else 0)
