"""Whiteouts: how a layer says that something below it is gone, and what a stack of layers shows.

Pure. In an archive the names of empty files say it: `.wh.NAME` hides NAME of the lower layers, `.wh..wh..opq` all that they have
in its directory. Both speak about lower layers only, whatever their place in the archive. Other names that begin with `.wh..wh.`
were the bookkeeping of an older file system and mean nothing. In a directory that overlayfs stacks, a character device 0:0 with
the name itself says the same. See OCI image-spec `layer.md`, "Whiteouts"; overlayfs.rst. Chapter 4.
"""

from __future__ import annotations

from collections.abc import Iterable
from enum import StrEnum
from typing import Final

from minidocker.errors import InvalidParameter

__all__ = ["WHITEOUT_PREFIX", "Meaning", "UnsafeEntry", "compute_shown", "parse_whiteout", "render_whiteout"]

WHITEOUT_PREFIX: Final = b".wh."
_OPAQUE: Final = b".wh..wh..opq"
_BOOKKEEPING: Final = b".wh..wh."


class UnsafeEntry(InvalidParameter):
    """An archive's entry leads out of the directory that it is unpacked into, or through a symbolic link."""


class Meaning(StrEnum):
    """What a file of an archive stands for."""

    ITSELF = "itself"
    """An ordinary file."""
    GONE = "gone"
    """A whiteout: a name of the lower layers is not there any more."""
    OPAQUE = "opaque"
    """Everything that lower layers have in this directory is not there any more."""
    NOTHING = "nothing"
    """Bookkeeping, to be left out."""


def parse_whiteout(name: bytes) -> tuple[Meaning, bytes]:
    """Return what a file called *name* stands for, and the name that it is about (empty for a directory as a whole).

    Raises:
        UnsafeEntry: a whiteout of no name, or of the directory or its parent.
    """
    if not name.startswith(WHITEOUT_PREFIX):
        return Meaning.ITSELF, name
    if name == _OPAQUE:
        return Meaning.OPAQUE, b""
    if name.startswith(_BOOKKEEPING):
        return Meaning.NOTHING, b""
    hidden = name.removeprefix(WHITEOUT_PREFIX)
    if hidden in (b"", b".", b".."):
        raise UnsafeEntry(f"unpack layer: the whiteout `{name.decode(errors='replace')}` names no file")
    return Meaning.GONE, hidden


def render_whiteout(path: str) -> str:
    """Return the name of the archive's file that hides *path*."""
    parent, slash, name = path.rpartition("/")
    return f"{parent}{slash}{WHITEOUT_PREFIX.decode()}{name}"


def compute_shown(layers: Iterable[Iterable[tuple[str, bool]]]) -> dict[str, int]:
    """Return the names that a stack of directories shows, each with the number of the layer that it comes from.

    Args:
        layers: the highest first; the names in each, and whether that name is a whiteout there.
    """
    decided: dict[str, int | None] = {}
    for number, names in enumerate(layers):
        for name, is_gone in names:
            decided.setdefault(name, None if is_gone else number)
    return {name: number for name, number in decided.items() if number is not None}
