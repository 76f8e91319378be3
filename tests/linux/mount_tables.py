"""Mount tables, compared: what is left when the kernel's own numbers are taken away."""

from __future__ import annotations

import re

from minidocker.codec.mountinfo import MountInfo

MASKED_OPTIONS = re.compile(r"^(uuid|xino|index|metacopy|redirect_dir|nfs_export)=|^(inode64|inode32|userxattr|volatile|nouserxattr|memory_.*|nsdelegate|favordynmods)$")
"""Options that only some kernels print: no property of the mount."""


def canonical(table: tuple[MountInfo, ...]) -> list[tuple[object, ...]]:
    """Return a table in which ids are replaced by the order in which they first appear."""
    numbers: dict[tuple[str, object], int] = {}

    def rank(kind: str, value: object) -> int:
        return numbers.setdefault((kind, value), len([k for k in numbers if k[0] == kind]))

    rows: list[tuple[object, ...]] = []
    for m in table:
        groups = tuple(f"{word.partition(':')[0]}:{rank('group', word.partition(':')[2])}" for word in m.propagation)
        parent = next((other.mount_point for other in table if other.mount_id == m.parent_id), "")
        options = tuple(sorted(word for word in m.super_options if not MASKED_OPTIONS.match(word)))
        rows.append((m.mount_point, parent, m.fstype, m.source, rank("device", m.device), m.root, m.options, groups, options))
    return rows


def in_order_of_paths(table: tuple[MountInfo, ...]) -> tuple[MountInfo, ...]:
    """Return a table sorted by mount point, what is stacked at one place from the bottom up.

    In which order peers get their copies is the order of a ring of the kernel's, which no page describes.
    """
    by_id = {m.mount_id: m for m in table}

    def level(m: MountInfo) -> int:
        below = by_id.get(m.parent_id)
        return 0 if below is None or below is m or below.mount_point != m.mount_point else level(below) + 1

    return tuple(sorted(table, key=lambda m: (m.mount_point, level(m))))
