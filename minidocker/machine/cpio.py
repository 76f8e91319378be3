"""Cpio archives in the `newc` form: what the kernel unpacks into its first root file system.

A member is a header of 110 characters (a magic number and thirteen numbers in eight hexadecimal digits each), its name ending in
NUL, and its content; name and content are padded to four bytes. A member named `TRAILER!!!` ends the archive. Several archives
may follow each other: the kernel unpacks one after the other over the same root, so a machine can be put together from a large
part that stays the same and a small one that does not.

Pure. Equal trees give equal bytes: inode numbers are counted, times are zero, everybody is root.
See `Documentation/driver-api/early-userspace/buffer-format.rst` of the kernel. Chapter 20.
"""

from __future__ import annotations

import stat
from typing import Final

__all__ = ["END_OF_ARCHIVE", "MAGIC", "render_member"]

MAGIC: Final = b"070701"
"""`newc` without checksums."""

_ALIGN: Final = 4
_BLOCK_BYTES: Final = 512
_FIELD_LIMIT: Final = 1 << 32


def render_member(
    name: bytes, *, inode: int, mode: int, content: bytes = b"", device: tuple[int, int] = (0, 0), mtime: int = 0
) -> bytes:
    """Return one member: a file, or a directory, device or symbolic link by the type bits of *mode* (a link's *content* is its target).

    Raises:
        ValueError: a name with a NUL, or a content that eight hexadecimal digits cannot count.
    """
    if b"\0" in name or not name:
        raise ValueError(f"a member cannot be named {name!r}")
    if len(content) >= _FIELD_LIMIT:
        raise ValueError(f"{len(content)} bytes are too many for one member")
    numbers = (
        inode, mode,
        0, 0,  # uid, gid: everything belongs to root
        2 if stat.S_ISDIR(mode) else 1,  # nlink
        mtime, len(content),
        0, 0,  # the device that the member lay on
        *device,
        len(name) + 1,
        0,  # checksum: only in archives with the magic 070702
    )  # fmt: skip
    header = MAGIC + b"".join(b"%08X" % number for number in numbers)
    return _padded(header + name + b"\0") + _padded(content)


def _padded(data: bytes, align: int = _ALIGN) -> bytes:
    return data + bytes(-len(data) % align)


END_OF_ARCHIVE: Final = _padded(render_member(b"TRAILER!!!", inode=0, mode=0), _BLOCK_BYTES)
"""The last member, padded so that another archive may follow."""
