"""`docker stats`: one look at a container's control groups and links, and a look each second.

Acting: reads files of control groups and `/proc`. A look at a container that does not run is empty, not an error, as in Docker.
"""

from __future__ import annotations

import os
import select
import time
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Final

from minidocker.cgroup.usage import USAGE_FILES, Usage, read_usage
from minidocker.engine.start import group_name

if TYPE_CHECKING:
    from minidocker.engine.engine import Engine
    from minidocker.engine.store import Handle

__all__ = ["LinkCounters", "Sample", "follow_stats", "take_sample"]

PERIOD_S: Final = 1.0
"""The time between two looks of a stream; two looks make a percentage."""
_CPU_FIELDS: Final = 8
"""user nice system idle iowait irq softirq steal: what follows (guest) is counted in these already; see proc(5)."""
_LINK_FIELDS: Final = 16


@dataclass(frozen=True, slots=True, kw_only=True)
class LinkCounters:
    """What passed one network card since it was made."""

    rx_bytes: int
    rx_packets: int
    rx_errors: int
    rx_dropped: int
    tx_bytes: int
    tx_packets: int
    tx_errors: int
    tx_dropped: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Sample:
    """One look at one container."""

    time_ns: int
    """When, in nanoseconds since 1970; 0 for an empty look."""
    usage: Usage = field(default_factory=Usage)
    system_cpu_ns: int = 0
    """What all processors of the machine have done since it started, idle time included."""
    online_cpus: int = 0
    memory_total_bytes: int = 0
    links: dict[str, LinkCounters] = field(default_factory=dict)


def take_sample(engine: Engine, handle: Handle) -> Sample:
    """Return a look at a container now; an empty one if it does not run."""
    record = handle.record
    if not record.state.running:
        return Sample(time_ns=0)
    files: dict[str, str] = {}
    for controller, name in USAGE_FILES.get(engine.layout.version, ()):
        directory = engine.layout.directory(controller, group_name(record))
        with suppress(OSError):  # a controller that the machine lacks, or a group that is just going
            files[name] = Path(directory or "/nonexistent", name).read_text(encoding="ascii")
    return Sample(
        time_ns=time.time_ns(), usage=read_usage(files, version=engine.layout.version), system_cpu_ns=_read_system_cpu(),
        online_cpus=os.cpu_count() or 1, memory_total_bytes=os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE"),
        links={} if record.host_config.network_mode == "host" else _read_links(record.state.pid),
    )  # fmt: skip


def _read_system_cpu() -> int:
    first = Path("/proc/stat").read_text(encoding="ascii").partition("\n")[0].split()
    return sum(map(int, first[1 : 1 + _CPU_FIELDS])) * (1_000_000_000 // os.sysconf("SC_CLK_TCK"))


def _read_links(pid: int) -> dict[str, LinkCounters]:
    """Return the counters of every card of a process's network namespace, except `lo`; see proc(5), `net/dev`."""
    links: dict[str, LinkCounters] = {}
    with suppress(OSError):  # it ended while we looked
        for line in Path(f"/proc/{pid}/net/dev").read_text(encoding="ascii").splitlines()[2:]:
            name, _, rest = line.partition(":")
            counts = [int(word) for word in rest.split()]
            if name.strip() != "lo" and len(counts) >= _LINK_FIELDS:
                links[name.strip()] = LinkCounters(
                    rx_bytes=counts[0], rx_packets=counts[1], rx_errors=counts[2], rx_dropped=counts[3], tx_bytes=counts[8],
                    tx_packets=counts[9], tx_errors=counts[10], tx_dropped=counts[11],
                )  # fmt: skip
    return links


def follow_stats(
    engine: Engine, reference: str, *, stream: bool, one_shot: bool, disconnect_fd: int
) -> Iterator[tuple[Handle, Sample, Sample]]:
    """Yield (container, look, the look before) each second, once without *stream*, until the container or the client goes.

    The first look of a stream, and the only one with *one_shot*, has an empty look before it; a single look without *one_shot*
    takes two, a second apart, so that a percentage can be computed.

    Raises:
        NotFound: there is no such container; raised at once.
    """
    handle = engine.containers.require(reference)
    return _looks(engine, handle, stream=stream, one_shot=one_shot, disconnect_fd=disconnect_fd)


def _looks(
    engine: Engine, handle: Handle, *, stream: bool, one_shot: bool, disconnect_fd: int
) -> Iterator[tuple[Handle, Sample, Sample]]:
    empty = Sample(time_ns=0)
    before = empty
    if not stream and not one_shot and handle.record.state.running:
        before = take_sample(engine, handle)
        if not _pause(disconnect_fd):
            return
    while True:
        look = take_sample(engine, handle)
        yield handle, look, before
        if not stream or not _pause(disconnect_fd) or not engine.containers.holds(handle):
            return
        before = look


def _pause(disconnect_fd: int) -> bool:
    """Wait for the next look; false if the client has gone meanwhile."""
    poll = select.poll()
    if disconnect_fd >= 0:
        poll.register(disconnect_fd, select.POLLRDHUP)
    return not poll.poll(PERIOD_S * 1000)
