"""The devices of a container: which it has, where, and what it may do with them.

Pure. A device file is a door to a driver; its two numbers say which. See `Documentation/admin-guide/devices.txt` of the kernel, mknod(2).
Chapter 16.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

__all__ = ["DEFAULT_DEVICES", "DEVICE_LINKS", "DeviceNode", "device_rules"]


@dataclass(frozen=True, slots=True, kw_only=True)
class DeviceNode:
    """A device file in the container."""

    path: str
    kind: str
    major: int
    minor: int
    mode: int = 0o666
    permissions: str = "rwm"
    host_path: str = ""
    """Where the host has it, if that is another path."""


DEFAULT_DEVICES: Final = tuple(
    DeviceNode(path=f"/dev/{name}", kind="c", major=major, minor=minor)
    for name, major, minor in (
        ("null", 1, 3), ("zero", 1, 5), ("full", 1, 7), ("random", 1, 8), ("urandom", 1, 9), ("tty", 5, 0),
    )
)  # fmt: skip
"""The devices every container has; see `Documentation/admin-guide/devices.txt` of the kernel."""

DEVICE_LINKS: Final = {
    "/dev/fd": "/proc/self/fd", "/dev/stdin": "/proc/self/fd/0", "/dev/stdout": "/proc/self/fd/1",
    "/dev/stderr": "/proc/self/fd/2", "/dev/core": "/proc/kcore", "/dev/ptmx": "pts/ptmx",
}  # fmt: skip
"""Names that programs expect in `/dev`, and where they lead."""


def device_rules(devices: tuple[DeviceNode, ...], extra: tuple[str, ...]) -> tuple[str, ...]:
    """Return the device rules of a container: its own nodes, mknod of anything, terminals, and what the user adds."""
    own = (f"{d.kind} {d.major}:{d.minor} {d.permissions}" for d in devices)
    return ("c *:* m", "b *:* m", "c 5:1 rwm", "c 5:2 rwm", "c 136:* rwm", *own, *extra)
