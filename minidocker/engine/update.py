"""`docker update`: other limits for a container, at once if it runs.

What a request leaves out (0, an empty text) stays as it is. The record changes only if the kernel took every limit. Texts are
Docker's.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Final

from minidocker.cgroup.limits import check_resources, plan_update
from minidocker.container.record import Status
from minidocker.engine.engine import Engine, publish_container_event
from minidocker.engine.start import group_name
from minidocker.errors import Conflict, HostError, InvalidParameter
from minidocker.kernel.perform import write_cgroup
from minidocker.spec.container import HostConfig, RestartPolicy

__all__ = ["merge_resources", "update_container"]

_RESOURCES: Final = (
    "blkio_weight", "cpu_shares", "nano_cpus", "cpu_period", "cpu_quota", "cpuset_cpus", "cpuset_mems", "memory", "memory_swap",
    "memory_reservation", "cpu_realtime_period", "cpu_realtime_runtime",
)  # fmt: skip
"""What can be changed; 0 or an empty text means "not asked for"."""


def merge_resources(present: HostConfig, asked: HostConfig) -> HostConfig:
    """Return *present* with what *asked* sets.

    Raises:
        Conflict: the two together contradict each other.
        InvalidParameter: what was asked for cannot be.
    """
    if asked.nano_cpus and (present.cpu_period or present.cpu_quota):
        kind = "Period" if present.cpu_period else "Quota"
        raise Conflict(f"Conflicting options: Nano CPUs cannot be updated as CPU {kind} has already been set")
    if present.nano_cpus and (asked.cpu_period or asked.cpu_quota):
        kind = "Period" if asked.cpu_period else "Quota"
        raise Conflict(f"Conflicting options: CPU {kind} cannot be updated as NanoCPUs has already been set")
    if asked.memory > present.memory_swap and not asked.memory_swap and present.memory_swap != -1:
        text = "Memory limit should be smaller than already set memoryswap limit, update the memoryswap at the same time"
        raise Conflict(text)
    changes = {name: value for name in _RESOURCES if (value := getattr(asked, name))}
    if asked.pids_limit is not None:
        changes["pids_limit"] = asked.pids_limit
    if asked.restart_policy.name:
        if present.auto_remove and asked.restart_policy.name != "no":
            raise InvalidParameter("Restart policy cannot be updated because AutoRemove is enabled for the container")
        changes["restart_policy"] = RestartPolicy(
            name=asked.restart_policy.name, maximum_retry_count=asked.restart_policy.maximum_retry_count
        )
    return replace(present, **changes)


def update_container(engine: Engine, reference: str, asked: HostConfig) -> tuple[str, ...]:
    """Change the limits and the restart policy of a container; return warnings.

    Raises:
        Conflict, InvalidParameter: the change cannot be; nothing was changed.
        HostError: the kernel refuses, most often because more than the new limit is in use.
    """
    handle = engine.containers.require(reference)
    with handle.lock:
        record = handle.record
        if record.state.status in (Status.REMOVING, Status.DEAD):
            raise Conflict(f'Cannot update container {record.id}: Container is marked for removal and cannot be "update".')
        check_resources(replace(asked, memory_swap=0) if not asked.memory else asked, cpus=engine.host.cpus)
        try:
            merged = merge_resources(record.host_config, asked)
        except (Conflict, InvalidParameter) as error:
            raise type(error)(f"Cannot update container {record.id}: {error.message}") from error
        check_resources(merged, cpus=engine.host.cpus)
        if record.state.running:
            _apply(engine, record.host_config, merged, group_name(record), record.id)
        handle.save(replace(record, host_config=merged))
        publish_container_event(engine, handle, "update")
    return ()


def _apply(engine: Engine, present: HostConfig, merged: HostConfig, name: str, container_id: str) -> None:
    for step in plan_update(present, merged, engine.layout, name):
        try:
            write_cgroup(step)
        except OSError as error:
            hint = "the container uses more than that now" if "memory" in step.path else ""
            text = f"Cannot update container {container_id}: write `{step.value}` to `{step.path}`: {error.strerror}"
            raise HostError(text, hint=hint) from error
