"""`docker update`: what may change together, in Docker's words."""

from __future__ import annotations

import pytest

from minidocker.cgroup.layout import EXAMPLE_LAYOUT, CgroupLayout, Hierarchy
from minidocker.cgroup.limits import plan_update
from minidocker.engine.update import merge_resources
from minidocker.errors import Conflict, InvalidParameter
from minidocker.spec.container import HostConfig, RestartPolicy

MB = 1 << 20
MEMORY_V1 = CgroupLayout(version=1, hierarchies=(Hierarchy(mount_point="/sys/fs/cgroup/memory", controllers=("memory",)),))


def test_what_is_not_asked_for_stays() -> None:
    """0 and an empty text mean "not asked for" in a request: an update of one limit must not lift the others."""
    present = HostConfig(memory=64 * MB, memory_swap=128 * MB, cpu_shares=512)
    assert merge_resources(present, HostConfig(cpu_shares=256)) == HostConfig(memory=64 * MB, memory_swap=128 * MB, cpu_shares=256)


REFUSED = {
    "memory-above-swap": (HostConfig(memory=64 * MB, memory_swap=64 * MB), HostConfig(memory=128 * MB), Conflict, "update the memoryswap"),
    "cpus-over-quota": (HostConfig(cpu_quota=1000), HostConfig(nano_cpus=10**9), Conflict, "Nano CPUs cannot be updated as CPU Quota"),
    "quota-over-cpus": (HostConfig(nano_cpus=10**9), HostConfig(cpu_period=1000), Conflict, "CPU Period cannot be updated as NanoCPUs"),
    "restart-with-rm": (
        HostConfig(auto_remove=True), HostConfig(restart_policy=RestartPolicy(name="always")), InvalidParameter, "AutoRemove is enabled",
    ),
}  # fmt: skip


@pytest.mark.parametrize(("present", "asked", "error", "words"), REFUSED.values(), ids=REFUSED)
def test_contradiction_is_refused(present: HostConfig, asked: HostConfig, error: type[Exception], words: str) -> None:
    """The kernel would say EINVAL, or worse, do half of it."""
    with pytest.raises(error, match=words):
        merge_resources(present, asked)


@pytest.mark.parametrize(("old", "new", "first"), [(64, 128, "memsw.limit_in_bytes"), (128, 64, "memory.limit_in_bytes")], ids=["raise", "lower"])
def test_order_of_memory_and_swap_follows_the_direction(old: int, new: int, first: str) -> None:
    """On v1 memory may never be above memory and swap together, not even between two writes."""
    present, wanted = (HostConfig(memory=size * MB, memory_swap=2 * size * MB) for size in (old, new))
    steps = plan_update(present, wanted, MEMORY_V1, "c")
    assert len(steps) == 2
    assert steps[0].path.endswith(first)


def test_only_changes_are_written() -> None:
    """A limit that stays is not written again: the file may be busy, or the hierarchy read-only."""
    present = HostConfig(pids_limit=10, cpu_shares=512)
    assert [s.value for s in plan_update(present, HostConfig(pids_limit=20, cpu_shares=512), EXAMPLE_LAYOUT, "c")] == ["20"]
    assert [s.value for s in plan_update(present, HostConfig(pids_limit=-1, cpu_shares=512), EXAMPLE_LAYOUT, "c")] == ["max"]
