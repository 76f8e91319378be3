"""What two of Docker's options mean, before any file is written: docker-run(1), `--memory-swap` and `--cpus`."""

from __future__ import annotations

import pytest

from minidocker.spec.container import HostConfig


def test_swap_without_an_option_is_as_much_as_memory(swap_total):
    """`--memory 100` alone allows 200 of memory and swap together: Docker's default, which surprises many."""
    assert swap_total(HostConfig(memory=100)) == 200


@pytest.mark.parametrize("given", [150, 100, -1])
def test_option_gives_the_sum(swap_total, given):
    """`--memory 100 --memory-swap 150` is 50 of swap; equal numbers mean no swap at all, and -1 no limit."""
    assert swap_total(HostConfig(memory=100, memory_swap=given)) == given


@pytest.mark.parametrize(("nano", "quota"), [(1_000_000_000, 100_000), (500_000_000, 50_000), (2_500_000_000, 250_000)], ids=["1", "0.5", "2.5"])
def test_processors_become_time_in_a_period(cpu_quota, nano, quota):
    """`--cpus 0.5` is 50 milliseconds of every 100; more than one processor is more time than passes."""
    assert cpu_quota(HostConfig(nano_cpus=nano)) == (quota, 100_000)


def test_quota_and_period_are_taken_as_given(cpu_quota):
    """The older options say it themselves; the period is the kernel's where none is given."""
    assert cpu_quota(HostConfig(cpu_quota=20_000, cpu_period=50_000)) == (20_000, 50_000)
    assert cpu_quota(HostConfig(cpu_quota=20_000)) == (20_000, 100_000)


def test_nothing_asked_is_no_limit(cpu_quota):
    """A quota of 0 stands for no limit; nobody wants a container that never runs."""
    assert cpu_quota(HostConfig())[0] == 0
