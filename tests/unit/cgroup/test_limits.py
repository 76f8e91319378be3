"""Docker's resource options as control group files: one option, two versions."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from minidocker.cgroup.layout import EXAMPLE_LAYOUT, CgroupLayout, Hierarchy
from minidocker.cgroup.limits import check_resources, compute_cpu_weight, plan_cgroup, plan_join, plan_limits, plan_view
from minidocker.errors import HostError, InvalidParameter
from minidocker.kernel.flags import Ms
from minidocker.kernel.steps import Mount, WriteCgroup
from minidocker.spec.container import HostConfig, ThrottleDevice

V1 = CgroupLayout(
    version=1,
    hierarchies=tuple(
        Hierarchy(mount_point=f"/sys/fs/cgroup/{name}", controllers=tuple(name.split(",")))
        for name in ("memory", "cpu,cpuacct", "pids", "cpuset", "blkio", "devices")
    ),
)
MB = 1 << 20
OPTIONS = {
    "memory": (
        HostConfig(memory=64 * MB),
        {"memory.limit_in_bytes": str(64 * MB), "memory.memsw.limit_in_bytes": str(128 * MB)},
        {"memory.max": str(64 * MB), "memory.swap.max": str(64 * MB)},
    ),
    "memory-without-swap": (
        HostConfig(memory=64 * MB, memory_swap=64 * MB),
        {"memory.limit_in_bytes": str(64 * MB), "memory.memsw.limit_in_bytes": str(64 * MB)},
        {"memory.max": str(64 * MB), "memory.swap.max": "0"},
    ),
    "memory-unlimited-swap": (
        HostConfig(memory=64 * MB, memory_swap=-1),
        {"memory.limit_in_bytes": str(64 * MB), "memory.memsw.limit_in_bytes": "-1"},
        {"memory.max": str(64 * MB), "memory.swap.max": "max"},
    ),
    "cpus": (
        HostConfig(nano_cpus=1_500_000_000),
        {"cpu.cfs_period_us": "100000", "cpu.cfs_quota_us": "150000"},
        {"cpu.max": "150000 100000"},
    ),
    "cpu-shares": (HostConfig(cpu_shares=1024), {"cpu.shares": "1024"}, {"cpu.weight": "100"}),
    "pids": (HostConfig(pids_limit=20), {"pids.max": "20"}, {"pids.max": "20"}),
    "pids-unlimited": (HostConfig(pids_limit=-1), {}, {}),
    "cpuset": (HostConfig(cpuset_cpus="0-1"), {"cpuset.cpus": "0-1"}, {"cpuset.cpus": "0-1"}),
    "nothing": (HostConfig(), {}, {}),
}


def _files(host: HostConfig, layout: CgroupLayout) -> dict[str, str]:
    steps = plan_limits(host, layout, "minidocker/x")
    return {step.path.rpartition("/")[2]: step.value for step in steps if isinstance(step, WriteCgroup)}


@pytest.mark.parametrize(("host", "v1", "v2"), OPTIONS.values(), ids=OPTIONS)
def test_option_writes_the_files_of_its_version(host: HostConfig, v1: dict[str, str], v2: dict[str, str]) -> None:
    """The same option means different files: v1 counts memory and swap together, v2 counts them apart."""
    assert _files(host, V1) == v1
    assert _files(host, EXAMPLE_LAYOUT) == v2


def test_v1_writes_the_memory_limit_before_the_swap_limit() -> None:
    """memory.memsw may not be below memory.limit, so raising both from unlimited has one order that works."""
    names = list(_files(HostConfig(memory=8 * MB), V1))
    assert names.index("memory.limit_in_bytes") < names.index("memory.memsw.limit_in_bytes")


WEIGHTS = {2: 1, 512: 59, 1024: 100, 2048: 174, 262144: 10000}


@pytest.mark.parametrize(("shares", "weight"), WEIGHTS.items(), ids=str)
def test_cpu_shares_convert_with_the_defaults_meeting(shares: int, weight: int) -> None:
    """1024 shares and weight 100 are both "the default", so they have to correspond; the ends of the scales too."""
    assert compute_cpu_weight(shares) == weight


@given(st.integers(0, 300_000), st.integers(0, 300_000))
def test_cpu_weight_grows_with_the_shares(a: int, b: int) -> None:
    """More shares never get a smaller weight, and the weight stays in the kernel's range."""
    low, high = sorted((a, b))
    assert 1 <= compute_cpu_weight(low) <= compute_cpu_weight(high) <= 10000


def test_limits_on_devices_go_by_their_numbers() -> None:
    """The kernel knows devices by number; v2 has one file for all four limits, v1 a file for each."""
    disk, part = ThrottleDevice(path="/dev/vda", rate=1024), ThrottleDevice(path="/dev/vdb", rate=7)
    host = HostConfig(blkio_device_read_bps=(disk, part), blkio_device_write_iops=(part,))
    numbers = {"/dev/vda": "254:0", "/dev/vdb": "254:16"}
    found = [
        [(step.path.rpartition("/")[2], step.value) for step in plan_limits(host, layout, "x", devices=numbers) if isinstance(step, WriteCgroup)]
        for layout in (EXAMPLE_LAYOUT, V1)
    ]
    assert found[0] == [("io.max", "254:0 rbps=1024"), ("io.max", "254:16 rbps=7"), ("io.max", "254:16 wiops=7")]
    assert found[1] == [
        ("blkio.throttle.read_bps_device", "254:0 1024"), ("blkio.throttle.read_bps_device", "254:16 7"),
        ("blkio.throttle.write_iops_device", "254:16 7"),
    ]  # fmt: skip


def test_limit_without_its_controller_says_what_is_missing() -> None:
    """A limit that silently does nothing is worse than an error."""
    with pytest.raises(HostError, match="no `memory` control group"):
        plan_limits(HostConfig(memory=64 * MB), CgroupLayout(version=0), "x")


REFUSED = {
    "too-little": (HostConfig(memory=1 * MB), "Minimum memory limit allowed is 6MB"),
    "swap-below-memory": (HostConfig(memory=64 * MB, memory_swap=32 * MB), "memoryswap limit should be larger"),
    "swap-alone": (HostConfig(memory_swap=64 * MB), "You should always set the Memory limit"),
    "reservation": (HostConfig(memory=64 * MB, memory_reservation=65 * MB), "can not be less than memory reservation"),
    "cpus-and-quota": (HostConfig(nano_cpus=1, cpu_quota=1), "Conflicting options"),
    "too-many-cpus": (HostConfig(nano_cpus=3_000_000_000), "as there are only 2 CPUs available"),
}


@pytest.mark.parametrize(("host", "text"), REFUSED.values(), ids=REFUSED)
def test_contradiction_is_refused_in_dockers_words(host: HostConfig, text: str) -> None:
    """These texts are what users find when they search for the problem."""
    with pytest.raises(InvalidParameter, match=text):
        check_resources(host, cpus=2)


def test_every_tree_of_v1_gets_a_group_and_is_joined() -> None:
    """A process is in one group of each tree; one that is forgotten stays in the server's group, and counts there."""
    made = [step.path for step in plan_cgroup(V1, "minidocker/x") if hasattr(step, "path")]
    joined = [step.path for step in plan_join(V1, "minidocker/x") if hasattr(step, "path")]
    assert made == joined == [f"{tree.mount_point}/minidocker/x" for tree in V1.hierarchies]


@pytest.mark.parametrize("layout", [V1, EXAMPLE_LAYOUT], ids=["v1", "v2"])
def test_container_sees_its_groups_read_only(layout: CgroupLayout) -> None:
    """A container that could write its groups could lift its limits, and on v1 run programs on the host (CVE-2022-0492)."""
    mounts = [step for step in plan_view(layout, writable=False) if isinstance(step, Mount)]
    last_word = {mount.target: mount.flags for mount in mounts}
    assert last_word
    assert all(flags & Ms.RDONLY for flags in last_word.values())
