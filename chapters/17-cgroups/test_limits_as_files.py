"""Docker's limits as files of a control group: the kernel's cgroup-v2.rst, "Controllers"."""

from __future__ import annotations

import pytest

from minidocker.spec.container import HostConfig


@pytest.fixture
def files(limits_v2):
    """A function that returns what a container's options write: file → text."""
    return lambda **options: {file: text for _controller, file, text, *_ in limits_v2(HostConfig(**options))}


def test_memory_is_a_number_of_bytes(files):
    """A ceiling: beyond it the kernel takes pages back, and if that does not help, kills. Nothing is reserved by it."""
    assert files(memory=104857600)["memory.max"] == "104857600"


def test_swap_is_what_the_sum_leaves(files):
    """Docker's number is memory and swap together, the file's is swap alone. By default there is as much swap as memory."""
    assert files(memory=100, memory_swap=150)["memory.swap.max"] == "50"
    assert files(memory=100)["memory.swap.max"] == "100"
    assert files(memory=100, memory_swap=100)["memory.swap.max"] == "0"


def test_swap_without_limit_is_spelt_max(files):
    """The kernel has a word for it, since -1 would be a very large number of bytes."""
    assert files(memory=100, memory_swap=-1)["memory.swap.max"] == "max"


def test_processor_time_is_quota_and_period_in_one_file(files):
    """v2 takes both in one write, so that they can never disagree, not even for a moment."""
    found = files(nano_cpus=1_500_000_000)
    assert found["cpu.max"] == "150000 100000"
    assert not [name for name in found if "cfs" in name]


def test_number_of_processes_is_bounded(files):
    """Processes cost memory of the kernel that no other limit counts; a fork bomb stops here."""
    assert files(pids_limit=100) == {"pids.max": "100"}


def test_nothing_asked_writes_nothing(limits_v2, files):
    """The kernel's own default is no limit; a 0 would be one. Asking for memory says nothing about processes."""
    assert list(limits_v2(HostConfig())) == []
    assert files(memory=100).keys() == {"memory.max", "memory.swap.max"}


@pytest.mark.parametrize("given", [-1, 0])
def test_unlimited_processes_write_nothing(limits_v2, files, given):
    """`--pids-limit -1` and 0 are Docker's ways to say no limit; the rest is written all the same."""
    assert files(pids_limit=given, memory_reservation=5) == {"memory.low": "5"}
