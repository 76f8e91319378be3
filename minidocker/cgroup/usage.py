"""What a control group has used, as the kernel's files say it: the numbers behind `docker stats`.

Pure. The files of v1 and v2 tell the same story in other words: v2 counts CPU time in microseconds where v1 has nanoseconds, and
I/O in one line for each device where v1 has one for each operation. `read_usage` takes the texts of the files, by the names
in `USAGE_FILES`, and returns one record; a missing file leaves zeros, because which controllers exist is the machine's choice.

Sources: the kernel's `admin-guide/cgroup-v2.rst` and `cgroup-v1/{cpuacct,memory,blkio-controller,pids}.rst`.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Final

__all__ = ["USAGE_FILES", "IoEntry", "Usage", "parse_keyed", "read_usage"]

USAGE_FILES: Final[Mapping[int, tuple[tuple[str, str], ...]]] = {
    1: (
        ("cpuacct", "cpuacct.usage"), ("cpuacct", "cpuacct.usage_percpu"), ("cpuacct", "cpuacct.stat"), ("cpu", "cpu.stat"),
        ("memory", "memory.usage_in_bytes"), ("memory", "memory.max_usage_in_bytes"), ("memory", "memory.failcnt"),
        ("memory", "memory.limit_in_bytes"), ("memory", "memory.stat"), ("pids", "pids.current"), ("pids", "pids.max"),
        ("blkio", "blkio.throttle.io_service_bytes_recursive"), ("blkio", "blkio.throttle.io_serviced_recursive"),
    ),
    2: (
        ("cpu", "cpu.stat"), ("memory", "memory.current"), ("memory", "memory.max"), ("memory", "memory.stat"),
        ("pids", "pids.current"), ("pids", "pids.max"), ("io", "io.stat"),
    ),
}  # fmt: skip
"""Version of control groups → controller and file."""

_CLOCK_TICK_NS: Final = 10_000_000
"""USER_HZ is 100 on every Linux that Docker runs on; `cpuacct.stat` counts in it."""
_MICROSECOND_NS: Final = 1000
_V2_OPERATIONS: Final = (("rbytes", "read"), ("wbytes", "write"))
_V2_COUNTS: Final = (("rios", "read"), ("wios", "write"))


@dataclass(frozen=True, slots=True, kw_only=True)
class IoEntry:
    """A count of one operation on one block device."""

    major: int
    minor: int
    op: str
    """`read` or `write`; v1 has more, with a capital."""
    value: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Usage:
    """One look at a control group; times in nanoseconds, sizes in bytes."""

    cpu_total_ns: int = 0
    cpu_kernel_ns: int = 0
    cpu_user_ns: int = 0
    per_cpu_ns: tuple[int, ...] = ()
    """v1 only."""
    periods: int = 0
    throttled_periods: int = 0
    throttled_ns: int = 0
    memory_bytes: int = 0
    memory_max_bytes: int = 0
    """v1 only: the most that it ever was."""
    memory_failures: int = 0
    memory_limit_bytes: int | None = None
    """None: no limit of its own."""
    memory_stat: Mapping[str, int] = field(default_factory=dict)
    pids: int = 0
    pids_limit: int | None = None
    io_bytes: tuple[IoEntry, ...] = ()
    io_operations: tuple[IoEntry, ...] = ()


def parse_keyed(text: str) -> dict[str, int]:
    """Return a flat keyed file (`name number` a line) as a mapping; lines of another form are passed over."""
    pairs = (line.split() for line in text.splitlines())
    return {pair[0]: int(pair[1]) for pair in pairs if len(pair) == 2 and pair[1].isdigit()}


def read_usage(files: Mapping[str, str], *, version: int) -> Usage:
    """Return the usage that the *files* of one group describe, by name."""
    return _read_v2(files) if version == 2 else _read_v1(files)


def _number(text: str) -> int | None:
    """Return the number of a file with one word; None for `max` and for nothing."""
    word = text.strip()
    return int(word) if word.isdigit() else None


def _read_v2(files: Mapping[str, str]) -> Usage:
    cpu = parse_keyed(files.get("cpu.stat", ""))
    io = files.get("io.stat", "")
    return Usage(
        cpu_total_ns=cpu.get("usage_usec", 0) * _MICROSECOND_NS, cpu_kernel_ns=cpu.get("system_usec", 0) * _MICROSECOND_NS,
        cpu_user_ns=cpu.get("user_usec", 0) * _MICROSECOND_NS, periods=cpu.get("nr_periods", 0),
        throttled_periods=cpu.get("nr_throttled", 0), throttled_ns=cpu.get("throttled_usec", 0) * _MICROSECOND_NS,
        memory_bytes=_number(files.get("memory.current", "")) or 0, memory_limit_bytes=_number(files.get("memory.max", "")),
        memory_stat=parse_keyed(files.get("memory.stat", "")), pids=_number(files.get("pids.current", "")) or 0,
        pids_limit=_number(files.get("pids.max", "")), io_bytes=tuple(_io_v2(io, _V2_OPERATIONS)),
        io_operations=tuple(_io_v2(io, _V2_COUNTS)),
    )  # fmt: skip


def _io_v2(text: str, keys: tuple[tuple[str, str], ...]) -> Iterator[IoEntry]:
    """Take `8:0 rbytes=1 wbytes=2 …` apart."""
    for line in text.splitlines():
        device, *words = line.split()
        major, _, minor = device.partition(":")
        values = dict(word.partition("=")[::2] for word in words)
        for key, op in keys:
            if key in values:
                yield IoEntry(major=int(major), minor=int(minor), op=op, value=int(values[key]))


# The kernel has no limit of its own here; this is what it prints for "as much as fits" in 64 bits, in whole pages.
_V1_UNLIMITED: Final = 0x7FFF_FFFF_FFFF_F000


def _read_v1(files: Mapping[str, str]) -> Usage:
    split, bandwidth = parse_keyed(files.get("cpuacct.stat", "")), parse_keyed(files.get("cpu.stat", ""))
    limit = _number(files.get("memory.limit_in_bytes", ""))
    return Usage(
        cpu_total_ns=_number(files.get("cpuacct.usage", "")) or 0, cpu_kernel_ns=split.get("system", 0) * _CLOCK_TICK_NS,
        cpu_user_ns=split.get("user", 0) * _CLOCK_TICK_NS,
        per_cpu_ns=tuple(int(word) for word in files.get("cpuacct.usage_percpu", "").split()),
        periods=bandwidth.get("nr_periods", 0), throttled_periods=bandwidth.get("nr_throttled", 0),
        throttled_ns=bandwidth.get("throttled_time", 0), memory_bytes=_number(files.get("memory.usage_in_bytes", "")) or 0,
        memory_max_bytes=_number(files.get("memory.max_usage_in_bytes", "")) or 0,
        memory_failures=_number(files.get("memory.failcnt", "")) or 0,
        memory_limit_bytes=None if limit is None or limit >= _V1_UNLIMITED else limit,
        memory_stat=parse_keyed(files.get("memory.stat", "")), pids=_number(files.get("pids.current", "")) or 0,
        pids_limit=_number(files.get("pids.max", "")),
        io_bytes=tuple(_io_v1(files.get("blkio.throttle.io_service_bytes_recursive", ""))),
        io_operations=tuple(_io_v1(files.get("blkio.throttle.io_serviced_recursive", ""))),
    )  # fmt: skip


def _io_v1(text: str) -> Iterator[IoEntry]:
    """Take `8:0 Read 1` apart; the last line, a sum over all devices, has no device."""
    for line in text.splitlines():
        words = line.split()
        if len(words) == 3:
            major, _, minor = words[0].partition(":")
            yield IoEntry(major=int(major), minor=int(minor), op=words[1].lower(), value=int(words[2]))
