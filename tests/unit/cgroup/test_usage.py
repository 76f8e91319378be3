"""The numbers behind `docker stats`: two versions of control groups, one record."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from minidocker.cgroup.usage import USAGE_FILES, IoEntry, Usage, parse_keyed, read_usage

V2 = {
    "cpu.stat": "usage_usec 1500\nuser_usec 1000\nsystem_usec 500\nnr_periods 4\nnr_throttled 1\nthrottled_usec 7\n",
    "memory.current": "4096\n", "memory.max": "max\n", "memory.stat": "anon 100\ninactive_file 50\n", "pids.current": "3\n",
    "pids.max": "10\n", "io.stat": "8:0 rbytes=10 wbytes=20 rios=1 wios=2 dbytes=0 dios=0\n",
}  # fmt: skip
V1 = {
    "cpuacct.usage": "1500000\n", "cpuacct.usage_percpu": "1000000 500000 \n", "cpuacct.stat": "user 2\nsystem 1\n",
    "cpu.stat": "nr_periods 4\nnr_throttled 1\nthrottled_time 7000\n", "memory.usage_in_bytes": "4096\n",
    "memory.max_usage_in_bytes": "8192\n", "memory.failcnt": "0\n", "memory.limit_in_bytes": "9223372036854771712\n",
    "memory.stat": "cache 1\ntotal_inactive_file 50\n", "pids.current": "3\n", "pids.max": "max\n",
    "blkio.throttle.io_service_bytes_recursive": "8:0 Read 10\n8:0 Write 20\nTotal 30\n",
    "blkio.throttle.io_serviced_recursive": "",
}  # fmt: skip


def test_version_2_counts_in_microseconds() -> None:
    """The API speaks of nanoseconds whatever the kernel does."""
    usage = read_usage(V2, version=2)
    assert (usage.cpu_total_ns, usage.cpu_user_ns, usage.cpu_kernel_ns, usage.throttled_ns) == (1_500_000, 1_000_000, 500_000, 7_000)
    assert (usage.memory_bytes, usage.memory_limit_bytes, usage.memory_stat["inactive_file"]) == (4096, None, 50)
    assert (usage.pids, usage.pids_limit) == (3, 10)
    assert usage.io_bytes == (IoEntry(major=8, minor=0, op="read", value=10), IoEntry(major=8, minor=0, op="write", value=20))


def test_version_1_has_a_number_for_no_limit() -> None:
    """v1 prints the largest number of whole pages where v2 says `max`; neither is a limit."""
    usage = read_usage(V1, version=1)
    assert (usage.cpu_total_ns, usage.cpu_user_ns, usage.cpu_kernel_ns) == (1_500_000, 20_000_000, 10_000_000)
    assert usage.per_cpu_ns == (1_000_000, 500_000)
    assert (usage.memory_limit_bytes, usage.memory_max_bytes, usage.pids_limit) == (None, 8192, None)
    assert [entry.value for entry in usage.io_bytes] == [10, 20]


def test_missing_files_are_zeros() -> None:
    """Which controllers exist is the machine's choice: a number that nobody counts must not hide the others."""
    assert read_usage({}, version=2) == read_usage({}, version=1) == Usage()
    assert set(V2) == {name for _, name in USAGE_FILES[2]}
    assert set(V1) == {name for _, name in USAGE_FILES[1]}


@given(st.dictionaries(st.from_regex(r"[a-z_]{1,20}", fullmatch=True), st.integers(min_value=0, max_value=2**64)))
def test_keyed_file_reads_back_what_the_kernel_wrote(values: dict[str, int]) -> None:
    """`name number` a line is the kernel's form; see cgroup-v2.rst, "Interface Files"."""
    assert parse_keyed("".join(f"{name} {number}\n" for name, number in values.items())) == values
