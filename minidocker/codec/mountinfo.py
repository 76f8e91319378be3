"""`/proc/self/mountinfo`: the mount table as the kernel prints it; see proc_pid_mountinfo(5).

Pure. One line is

    36 35 98:0 /mnt1 /mnt2 rw,noatime master:1 - ext3 /dev/root rw,errors=continue
    id parent dev root mount-point options optional-fields - type source super-options

Octal escapes stand for blank, tab, newline and backslash. Chapter 16.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

__all__ = ["MountInfo", "parse_mountinfo", "render_mountinfo"]

_ESCAPE = re.compile(r"\\([0-7]{3})")
_SPECIAL = {" ": r"\040", "\t": r"\011", "\n": r"\012", "\\": r"\134"}


@dataclass(frozen=True, slots=True, kw_only=True)
class MountInfo:
    """One mount."""

    mount_id: int
    parent_id: int
    device: str
    root: str
    """The directory of the file system that is the root of this mount."""
    mount_point: str
    options: tuple[str, ...]
    propagation: tuple[str, ...] = ()
    """`shared:N`, `master:N`, `unbindable`."""
    fstype: str
    source: str
    super_options: tuple[str, ...]


def parse_mountinfo(text: str) -> tuple[MountInfo, ...]:
    """Return the mounts in *text*; lines that are not mounts raise `ValueError`."""
    return tuple(_parse_line(line) for line in text.split("\n") if line)


def _parse_line(line: str) -> MountInfo:
    before, separator, after = line.partition(" - ")
    if not separator:
        raise ValueError(f"not a mountinfo line: {line!r:.80}")
    mount_id, parent_id, device, root, mount_point, options, *propagation = before.split(" ")
    fstype, source, super_options = after.split(" ", 2)
    return MountInfo(
        mount_id=int(mount_id), parent_id=int(parent_id), device=device, root=_unescape(root),
        mount_point=_unescape(mount_point), options=tuple(options.split(",")), propagation=tuple(propagation),
        fstype=fstype, source=_unescape(source), super_options=tuple(super_options.split(",")),
    )  # fmt: skip


def render_mountinfo(mounts: tuple[MountInfo, ...]) -> str:
    """Return the table as the kernel would print it."""
    return "".join(
        f"{m.mount_id} {m.parent_id} {m.device} {_escape(m.root)} {_escape(m.mount_point)} {','.join(m.options)}"
        f"{''.join(f' {word}' for word in m.propagation)} - {m.fstype} {_escape(m.source)} {','.join(m.super_options)}\n"
        for m in mounts
    )


def _unescape(text: str) -> str:
    return _ESCAPE.sub(lambda match: chr(int(match[1], 8)), text)


def _escape(text: str) -> str:
    return "".join(_SPECIAL.get(character, character) for character in text)
