"""A look at a container as `GET /containers/{id}/stats` shows it.

Pure. Key names are those of the Docker Engine API 1.50, `ContainerStatsResponse`: snake_case here, unlike everywhere else. The
formulas of the percentages are the client's; what it needs for them is both looks. Chapter 12.
"""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING

from minidocker.container.logs import format_time
from minidocker.container.record import ZERO_TIME
from minidocker.spec.record import Json

if TYPE_CHECKING:
    from collections.abc import Sequence

    from minidocker.cgroup.usage import IoEntry
    from minidocker.container.record import ContainerRecord
    from minidocker.engine.stats import Sample

__all__ = ["render_stats"]


def render_stats(record: ContainerRecord, look: Sample, before: Sample, *, cgroup_version: int) -> dict[str, Json]:
    """Return one object of the stream: *look*, and the processor times of the look *before*."""
    document: dict[str, Json] = {
        "name": f"/{record.name}",
        "id": record.id,
        "read": _time(look),
        "preread": _time(before),
        "num_procs": 0,
        "pids_stats": _pids(look) if look.time_ns else {},
        "storage_stats": {},
        "blkio_stats": _blkio(look),
        "cpu_stats": _cpu(look, cgroup_version),
        "precpu_stats": _cpu(before, cgroup_version),
        "memory_stats": _memory(look, cgroup_version) if look.time_ns else {},
    }
    if look.links:
        document["networks"] = {name: {**asdict(counters)} for name, counters in look.links.items()}
    return document


def _time(look: Sample) -> str:
    return format_time(look.time_ns) if look.time_ns else ZERO_TIME


def _pids(look: Sample) -> Json:
    document: dict[str, Json] = {"current": look.usage.pids}
    if look.usage.pids_limit is not None:
        document["limit"] = look.usage.pids_limit
    return document


def _cpu(look: Sample, cgroup_version: int) -> Json:
    usage = look.usage
    times: dict[str, Json] = {
        "total_usage": usage.cpu_total_ns, "usage_in_kernelmode": usage.cpu_kernel_ns, "usage_in_usermode": usage.cpu_user_ns,
    }  # fmt: skip
    if cgroup_version == 1 and look.time_ns:
        times["percpu_usage"] = [*usage.per_cpu_ns]
    document: dict[str, Json] = {
        "cpu_usage": times,
        "throttling_data": {
            "periods": usage.periods, "throttled_periods": usage.throttled_periods, "throttled_time": usage.throttled_ns,
        },
    }  # fmt: skip
    if look.time_ns:
        document |= {"system_cpu_usage": look.system_cpu_ns, "online_cpus": look.online_cpus}
    return document


def _memory(look: Sample, cgroup_version: int) -> Json:
    """Return the memory, with the machine's as the limit of a container that has none."""
    usage = look.usage
    document: dict[str, Json] = {
        "usage": usage.memory_bytes, "stats": {**usage.memory_stat},
        "limit": look.memory_total_bytes if usage.memory_limit_bytes is None else usage.memory_limit_bytes,
    }  # fmt: skip
    if cgroup_version == 1:
        document |= {"max_usage": usage.memory_max_bytes, "failcnt": usage.memory_failures}
    return document


def _blkio(look: Sample) -> Json:
    return {
        "io_service_bytes_recursive": _entries(look.usage.io_bytes), "io_serviced_recursive": _entries(look.usage.io_operations),
        "io_queue_recursive": None, "io_service_time_recursive": None, "io_wait_time_recursive": None,
        "io_merged_recursive": None, "io_time_recursive": None, "sectors_recursive": None,
    }  # fmt: skip


def _entries(entries: Sequence[IoEntry]) -> Json:
    return [{"major": e.major, "minor": e.minor, "op": e.op, "value": e.value} for e in entries] or None
