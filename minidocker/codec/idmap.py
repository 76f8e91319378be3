"""Who a number is: the maps of user namespaces, and the ranges of numbers that users may lend.

Pure. The kernel knows a file's owner by one number. A user namespace has numbers of its own, and a map says which of the kernel's
each of them is; what has no place in the map is shown as 65534, "nobody", and cannot be given to anybody. See user_namespaces(7),
subuid(5). Chapter 16.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

from minidocker.errors import InvalidParameter

__all__ = [
    "FILE_CAPABILITIES", "IDENTITY", "OVERFLOW_ID", "IdMap", "IdRange", "disown_capabilities", "find_free_start", "find_inside", "find_outside",
    "make_ranges", "own_capabilities", "parse_id_map", "parse_subids", "render_id_map",
]  # fmt: skip

OVERFLOW_ID: Final = 65534
"""What the kernel shows for an owner that a namespace has no number for."""
_ALL_IDS: Final = 1 << 32
FIRST_SUBID: Final = 100_000
"""Where useradd(8) begins to lend numbers."""
SUBIDS: Final = 65_536
"""How many it lends to each user: all that a container's image can name."""


@dataclass(frozen=True, slots=True)
class IdRange:
    """One line of a map: *count* numbers from *inside* on are the numbers from *outside* on."""

    inside: int
    outside: int
    count: int


def find_outside(ranges: Iterable[IdRange], number: int) -> int | None:
    """Return what *number* of the namespace is outside; None: nobody."""
    return next((r.outside + number - r.inside for r in ranges if r.inside <= number < r.inside + r.count), None)


def find_inside(ranges: Iterable[IdRange], number: int) -> int | None:
    """Return what an outside *number* is in the namespace; None: it is not seen there."""
    return next((r.inside + number - r.outside for r in ranges if r.outside <= number < r.outside + r.count), None)


@dataclass(frozen=True, slots=True, kw_only=True)
class IdMap:
    """The two maps of a user namespace."""

    uids: tuple[IdRange, ...]
    gids: tuple[IdRange, ...]
    collapses: bool = False
    """Whether files that belong to a number without a place in the map are made root's, instead of being refused."""

    @property
    def root(self) -> tuple[int, int]:
        """Who the namespace's root is outside."""
        return self.outside(0, 0)

    def outside(self, uid: int, gid: int) -> tuple[int, int]:
        """Return the owner outside of a file that belongs to *uid* and *gid* inside.

        Raises:
            InvalidParameter: a number that the map has no place for.
        """
        found = find_outside(self.uids, uid), find_outside(self.gids, gid)
        if self.collapses:
            found = tuple(find_outside(ranges, 0) if n is None else n for n, ranges in zip(found, (self.uids, self.gids), strict=True))  # type: ignore[assignment]  # two of them
        if found[0] is None or found[1] is None:
            raise InvalidParameter(
                f"owner {uid}:{gid} has no number on the host: the user namespace has room for {sum(r.count for r in self.uids)}",
                hint="give the user that --userns-remap names a longer range in /etc/subuid and /etc/subgid",
            )
        return found[0], found[1]

    def inside(self, uid: int, gid: int) -> tuple[int, int]:
        """Return the owner that the namespace shows for a file that belongs to *uid* and *gid* outside."""
        found = find_inside(self.uids, uid), find_inside(self.gids, gid)
        return OVERFLOW_ID if found[0] is None else found[0], OVERFLOW_ID if found[1] is None else found[1]


FILE_CAPABILITIES: Final = "security.capability"
"""The attribute of a file whose program gets privileges; see capabilities(7), "File capability extended attribute versioning"."""
_CAPABILITY_REVISION: Final = 0x03000000
_CAPABILITY_BYTES: Final = 20


def own_capabilities(value: bytes, root: int) -> bytes:
    """Return file capabilities that count in the user namespace whose root is *root* outside, and nowhere else."""
    magic = int.from_bytes(value[:4], "little")
    if len(value) != _CAPABILITY_BYTES:
        return value
    return (magic & 0xFFFFFF | _CAPABILITY_REVISION).to_bytes(4, "little") + value[4:] + root.to_bytes(4, "little")


def disown_capabilities(value: bytes) -> bytes:
    """Return file capabilities as an archive has them: for whoever unpacks it."""
    magic = int.from_bytes(value[:4], "little")
    if magic & 0xFF000000 != _CAPABILITY_REVISION:
        return value
    return (magic & 0xFFFFFF | 0x02000000).to_bytes(4, "little") + value[4:_CAPABILITY_BYTES]


_EVERYBODY: Final = (IdRange(0, 0, _ALL_IDS - 1),)
IDENTITY: Final = IdMap(uids=_EVERYBODY, gids=_EVERYBODY)
"""The map of the first user namespace: everybody is who they are."""


def render_id_map(ranges: Iterable[IdRange]) -> str:
    """Return the text for `/proc/PID/uid_map` or `gid_map`, a line for each range; it is written at once."""
    return "".join(f"{r.inside} {r.outside} {r.count}\n" for r in ranges)


def parse_id_map(text: str) -> tuple[IdRange, ...]:
    """Return the ranges that `/proc/PID/uid_map` shows."""
    return tuple(IdRange(*map(int, line.split())) for line in text.splitlines() if line.strip())


def parse_subids(text: str, owners: Iterable[str]) -> tuple[tuple[int, int], ...]:
    """Return (start, count) of every range that `/etc/subuid` lends to the first of *owners* who has one: a name, or a number.

    Lines that are none are passed over, as the tools that read this file do.
    """
    lent: dict[str, list[tuple[int, int]]] = {}
    for line in text.splitlines():
        words = line.strip().split(":")
        if len(words) == 3 and words[1].isdigit() and words[2].isdigit():
            lent.setdefault(words[0], []).append((int(words[1]), int(words[2])))
    return next((tuple(lent[owner]) for owner in owners if owner in lent), ())


def make_ranges(lent: Iterable[tuple[int, int]], *, first: int = 0) -> tuple[IdRange, ...]:
    """Return the map that lays the *lent* ranges one after the other, the lowest first, from number *first* on."""
    ranges = []
    for start, count in sorted(lent):
        ranges.append(IdRange(first, start, count))
        first += count
    return tuple(ranges)


def find_free_start(text: str) -> int:
    """Return where the next range may begin so that it meets none in the text of `/etc/subuid`."""
    ends = [int(words[1]) + int(words[2]) for line in text.splitlines() if len(words := line.split(":")) == 3 and words[1].isdigit() and words[2].strip().isdigit()]
    return max([FIRST_SUBID, *ends])
