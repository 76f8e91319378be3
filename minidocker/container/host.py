"""What a plan has to know about the machine: read once, then a value.

`Host` is pure and can be made up (`EXAMPLE_HOST`): planning works on any system. `read_host` looks at this Linux.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

__all__ = ["EXAMPLE_HOST", "Host", "read_host"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Host:
    """The facts of a machine that change what a container's steps are."""

    machine: str = "x86_64"
    kernel: tuple[int, int] = (6, 1)
    cpus: int = 1
    last_capability: int = 40
    capabilities: frozenset[str] | None = None
    """What the server itself may hand on; None: everything."""
    thermal_paths: tuple[str, ...] = ()
    """`thermal_throttle` directories under `/sys/devices/system/cpu`: they tell the host's load apart."""
    seccomp: bool = True


EXAMPLE_HOST = Host()
"""A plain Linux 6.1: what `--dry-run` assumes where it cannot look."""


def read_host() -> Host:
    """Return the facts of this machine."""
    from minidocker.kernel.capabilities import read_bounding_set, read_last_capability  # Linux only

    release = os.uname().release.split(".")
    return Host(
        machine=os.uname().machine,
        kernel=(int(release[0]), int("".join(c for c in release[1] if c.isdigit()))),
        cpus=len(os.sched_getaffinity(0)),
        last_capability=read_last_capability(),
        capabilities=read_bounding_set(),
        thermal_paths=tuple(sorted(map(str, Path("/sys/devices/system/cpu").glob("cpu[0-9]*/thermal_throttle")))),
        seccomp=Path("/proc/sys/kernel/seccomp/actions_avail").exists(),
    )
