"""Docker's resource options as writes into control group files, for v1 and v2.

Pure. `plan_limits` is the table of the options; each row says what it writes in which version and why. The two versions
differ in more than names: v2 counts swap apart from memory, and gives CPU shares another scale. Sources: the kernel's
`admin-guide/cgroup-v1/*.rst` and `cgroup-v2.rst`, and for the conversions the OCI runtime specification.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from types import MappingProxyType

from minidocker.cgroup.layout import CgroupLayout
from minidocker.errors import HostError, InvalidParameter
from minidocker.kernel.flags import Ms
from minidocker.kernel.steps import JoinCgroup, LimitDevices, MakeCgroup, MakeSymlink, Mount, Step, WriteCgroup
from minidocker.spec.container import HostConfig

__all__ = [
    "MIN_MEMORY_BYTES", "THROTTLES", "check_resources", "compute_cpu_weight", "plan_cgroup", "plan_device_rules", "plan_join", "plan_limits",
    "plan_update", "plan_view",
]  # fmt: skip

MIN_MEMORY_BYTES = 6 * 1024 * 1024
"""Docker's smallest `--memory`: less does not even start a process."""
CPU_PERIOD_US = 100_000
"""The kernel's default period of the CPU bandwidth controller."""

THROTTLES = (
    ("read-bps", "blkio_device_read_bps", "read_bps", "rbps"), ("write-bps", "blkio_device_write_bps", "write_bps", "wbps"),
    ("read-iops", "blkio_device_read_iops", "read_iops", "riops"), ("write-iops", "blkio_device_write_iops", "write_iops", "wiops"),
)  # fmt: skip
"""Limits on a block device: option, field, and the words of v1 and of v2."""

Write = tuple[str, str, str, bool, str]
"""Controller, file, value, whether the file may be missing, why."""


def check_resources(host: HostConfig, *, cpus: int) -> None:
    """Refuse resource options that cannot be meant.

    Raises:
        InvalidParameter: with Docker's words.
    """
    if 0 < host.memory < MIN_MEMORY_BYTES:
        raise InvalidParameter("Minimum memory limit allowed is 6MB")
    if host.memory > 0 and 0 < host.memory_swap < host.memory:
        raise InvalidParameter("Minimum memoryswap limit should be larger than memory limit, see usage")
    if host.memory == 0 and host.memory_swap > 0:
        raise InvalidParameter("You should always set the Memory limit when using Memoryswap limit, see usage")
    if host.memory_reservation > host.memory > 0:
        raise InvalidParameter("Minimum memory limit can not be less than memory reservation limit, see usage")
    if host.nano_cpus and (host.cpu_period or host.cpu_quota):
        raise InvalidParameter("Conflicting options: Nano CPUs and CPU Period/Quota cannot both be set")
    if host.nano_cpus < 0 or host.nano_cpus > cpus * 1_000_000_000:
        text = f"Range of CPUs is from 0.01 to {cpus}.00, as there are only {cpus} CPUs available"
        raise InvalidParameter(text)


def plan_cgroup(layout: CgroupLayout, name: str) -> tuple[Step, ...]:
    """Return the steps that make group *name* in every tree."""
    return tuple(
        MakeCgroup(
            path=f"{tree.mount_point}/{name}", root=tree.mount_point,
            controllers=tree.controllers if layout.version == 2 else (),
            inherit=("cpuset.cpus", "cpuset.mems") if layout.version == 1 and "cpuset" in tree.controllers else (),
            why=f"a control group of its own to count and limit: {', '.join(tree.controllers) or 'membership'}",
        )
        for tree in layout.hierarchies
    )  # fmt: skip


def plan_join(layout: CgroupLayout, name: str) -> tuple[Step, ...]:
    """Return the steps with which a process moves itself into group *name*."""
    return tuple(
        JoinCgroup(path=f"{tree.mount_point}/{name}", why="the process and all its children are counted there")
        for tree in layout.hierarchies
    )


def plan_device_rules(layout: CgroupLayout, name: str, rules: tuple[str, ...]) -> tuple[Step, ...]:
    """Return the steps that let group *name* use the devices in *rules* (`c 1:3 rwm`) and no others."""
    if layout.version == 2:
        why = "no device but those of the list: v2 asks a program instead of reading files"
        return (LimitDevices(path=f"{layout.hierarchies[0].mount_point}/{name}", rules=rules, why=why),)
    directory = layout.directory("devices", name)
    if directory is None:
        return ()
    deny = WriteCgroup(path=f"{directory}/devices.deny", value="a", why="no device at all …")
    allowed = (WriteCgroup(path=f"{directory}/devices.allow", value=rule, why="… but this one") for rule in rules)
    return (deny, *allowed)


def plan_view(layout: CgroupLayout, *, writable: bool, name: str = "") -> tuple[Step, ...]:
    """Return the mounts that show a container its own groups under `/sys/fs/cgroup`, read-only unless *writable*.

    A container in the host's cgroup namespace would see the whole tree: on v1 its group *name* is bound instead, as runc does.
    """
    flags = Ms.NOSUID | Ms.NODEV | Ms.NOEXEC | (Ms(0) if writable else Ms.RDONLY)
    where = "/sys/fs/cgroup"
    if layout.version == 0:
        return ()
    if layout.version == 2:
        why = "the tree, whose root is this container's group; read-only, so that limits stay limits"
        return (Mount(source="cgroup", target=where, fstype="cgroup2", flags=flags, why=why),)
    steps: list[Step] = [
        Mount(
            source="tmpfs", target=where, fstype="tmpfs", flags=Ms.NOSUID | Ms.NODEV | Ms.NOEXEC, data="mode=755",
            why="room for one directory for each v1 tree",
        )
    ]  # fmt: skip
    for tree in layout.hierarchies:
        if not tree.controllers:
            continue  # the empty v2 tree of a hybrid machine: for bookkeeping on the host
        tree_name = tree.mount_point.rpartition("/")[2]
        source, fstype, data = ("cgroup", "cgroup", ",".join(tree.controllers)) if not name else (f"{tree.mount_point}/{name}", "", "")
        steps.append(
            Mount(
                source=source, target=f"{where}/{tree_name}", fstype=fstype, flags=flags | (Ms.BIND | Ms.REC if name else Ms(0)), data=data,
                create="dir", why=f"this container's view of the {tree_name} tree",
            )
        )  # fmt: skip
        steps += [
            MakeSymlink(path=f"{where}/{word}", target=tree_name, why="each controller under its own name")
            for word in tree.controllers
            if word != tree_name and "=" not in word
        ]
    if not writable:
        flags = Ms.REMOUNT | Ms.BIND | Ms.RDONLY | Ms.NOSUID | Ms.NODEV | Ms.NOEXEC
        steps.append(Mount(source="", target=where, flags=flags, why="the list of trees is complete"))
    return tuple(steps)


def plan_limits(
    host: HostConfig, layout: CgroupLayout, name: str, *, devices: Mapping[str, str] = MappingProxyType({})
) -> tuple[WriteCgroup, ...]:
    """Return the steps that set the limits *host* asks for on group *name*; *devices* has the numbers (`8:0`) of each block device by path.

    Raises:
        HostError: the machine lacks the controller that a limit needs.
    """
    rows = _limits_v2(host) if layout.version == 2 else _limits_v1(host)
    return tuple(_write(layout, name, row) for row in (*rows, *_throttles(host, layout.version, devices)))


def plan_update(present: HostConfig, wanted: HostConfig, layout: CgroupLayout, name: str) -> tuple[WriteCgroup, ...]:
    """Return the steps that take group *name* from the limits of *present* to those of *wanted*, in an order the kernel accepts.

    On v1 memory may never be above memory and swap together: whoever raises both writes the sum first.

    Raises:
        HostError: the machine lacks the controller that a limit needs.
    """
    compute = _limits_v2 if layout.version == 2 else _limits_v1
    before = {row[1]: row[2] for row in compute(present)}
    rows = [row for row in compute(wanted) if before.get(row[1]) != row[2]]
    if wanted.pids_limit is not None and wanted.pids_limit <= 0 and "pids.max" in before:
        rows.append(("pids", "pids.max", "max", False, "--pids-limit: no limit any more"))
    if layout.version == 1 and wanted.memory > present.memory > 0:
        rows.sort(key=lambda row: row[1] != "memory.memsw.limit_in_bytes")
    return tuple(_write(layout, name, row) for row in rows)


def _write(layout: CgroupLayout, name: str, row: Write) -> WriteCgroup:
    controller, file, value, optional, why = row
    directory = layout.directory(controller, name)
    if directory is None:
        raise HostError(
            f"limit `{file}`: this kernel offers no `{controller}` control group",
            hint="leave the option out, or see `minidocker doctor`",
        )
    return WriteCgroup(path=f"{directory}/{file}", value=value, optional=optional, why=why)


def _cpu_quota(host: HostConfig) -> tuple[int, int]:
    """Return (quota, period) in microseconds; quota 0 means unlimited."""
    if host.nano_cpus:
        return host.nano_cpus * CPU_PERIOD_US // 1_000_000_000, CPU_PERIOD_US
    return host.cpu_quota, host.cpu_period or CPU_PERIOD_US


def _swap_total(host: HostConfig) -> int:
    """Memory and swap together: Docker's default is twice the memory."""
    return host.memory_swap or 2 * host.memory


def _limits_v1(host: HostConfig) -> Iterator[Write]:
    if host.memory:
        yield "memory", "memory.limit_in_bytes", str(host.memory), False, "--memory: more is reclaimed, then killed for"
    if host.memory or host.memory_swap:
        yield (
            "memory", "memory.memsw.limit_in_bytes", str(_swap_total(host)), True,
            "--memory-swap: memory and swap together; written second, because it may not be below the first",
        )  # fmt: skip
    if host.memory_reservation:
        yield "memory", "memory.soft_limit_in_bytes", str(host.memory_reservation), False, "--memory-reservation"
    if host.memory_swappiness is not None and host.memory_swappiness >= 0:
        yield "memory", "memory.swappiness", str(host.memory_swappiness), True, "--memory-swappiness"
    if host.oom_kill_disable:
        yield "memory", "memory.oom_control", "1", False, "--oom-kill-disable: wait instead of killing"
    quota, period = _cpu_quota(host)
    if host.nano_cpus or host.cpu_period:
        yield "cpu", "cpu.cfs_period_us", str(period), False, "the period that the quota refers to"
    if quota:
        yield "cpu", "cpu.cfs_quota_us", str(quota), False, "--cpus: microseconds of CPU time in each period"
    if host.cpu_realtime_period:
        yield "cpu", "cpu.rt_period_us", str(host.cpu_realtime_period), False, "--cpu-rt-period"
    if host.cpu_realtime_runtime:
        yield "cpu", "cpu.rt_runtime_us", str(host.cpu_realtime_runtime), False, "--cpu-rt-runtime: for programs that must not wait"
    if host.cpu_shares:
        yield "cpu", "cpu.shares", str(host.cpu_shares), False, "--cpu-shares: the share under contention"
    yield from _cpuset(host)
    if host.pids_limit and host.pids_limit > 0:
        yield "pids", "pids.max", str(host.pids_limit), False, "--pids-limit: a fork bomb stops here"
    if host.blkio_weight:
        yield "blkio", "blkio.bfq.weight", str(host.blkio_weight), True, "--blkio-weight"


def _limits_v2(host: HostConfig) -> Iterator[Write]:
    if host.memory:
        yield "memory", "memory.max", "max" if host.memory < 0 else str(host.memory), False, "--memory: more is reclaimed, then killed for"
        total = _swap_total(host)
        swap = "max" if total < 0 else str(total - host.memory)
        yield "memory", "memory.swap.max", swap, True, "--memory-swap: v2 counts swap apart from memory"
    if host.memory_reservation:
        yield "memory", "memory.low", str(host.memory_reservation), False, "--memory-reservation"
    quota, period = _cpu_quota(host)
    if quota or host.cpu_period:
        yield "cpu", "cpu.max", f"{quota if quota > 0 else 'max'} {period}", False, "--cpus: microseconds of CPU time in each period"
    if host.cpu_shares:
        yield "cpu", "cpu.weight", str(compute_cpu_weight(host.cpu_shares)), False, "--cpu-shares on the scale of v2"
    yield from _cpuset(host)
    if host.pids_limit and host.pids_limit > 0:
        yield "pids", "pids.max", str(host.pids_limit), False, "--pids-limit: a fork bomb stops here"
    if host.blkio_weight:
        weight = 1 + (host.blkio_weight - 10) * 9999 // 990
        yield "io", "io.weight", str(weight), True, "--blkio-weight on the scale of v2"


def _throttles(host: HostConfig, version: int, devices: Mapping[str, str]) -> Iterator[Write]:
    """Yield a line for each device and limit: v2 has one file for all four, v1 a file for each."""
    for option, field, v1_file, v2_key in THROTTLES:
        for device in getattr(host, field):
            number, why = devices.get(device.path, device.path), f"--device-{option}: reads and writes of {device.path} wait"
            if version == 2:
                yield "io", "io.max", f"{number} {v2_key}={device.rate}", False, why
            else:
                yield "blkio", f"blkio.throttle.{v1_file}_device", f"{number} {device.rate}", False, why
    for weighted in host.blkio_weight_device:
        controller, file = ("io", "io.bfq.weight") if version == 2 else ("blkio", "blkio.bfq.weight_device")
        value = f"{devices.get(weighted.path, weighted.path)} {weighted.weight}"
        yield controller, file, value, False, f"--blkio-weight-device: the share of {weighted.path}"


def _cpuset(host: HostConfig) -> Iterator[Write]:
    if host.cpuset_cpus:
        yield "cpuset", "cpuset.cpus", host.cpuset_cpus, False, "--cpuset-cpus: run on these processors only"
    if host.cpuset_mems:
        yield "cpuset", "cpuset.mems", host.cpuset_mems, False, "--cpuset-mems: memory of these nodes only"


def compute_cpu_weight(shares: int) -> int:
    """Return the v2 weight (1 to 10000) for v1 *shares* (2 to 262144); 1024 becomes 100, the default of both scales."""
    if shares <= 2:
        return 1
    if shares >= 262144:
        return 10000
    log = math.log2(shares)
    return math.ceil(10 ** ((log * log + 125 * log) / 612 - 7 / 34))
