"""`stats`: the formulas that people compare with `top`."""

from __future__ import annotations

from minidocker.cli.stats import compute_cpu_percent, compute_memory_bytes, stats_row
from minidocker.cli.units import render_binary_size
from minidocker.spec.record import Json


def look(**more: Json) -> Json:
    """Return a look at a container that used one of two processors for half a second."""
    return {
        "id": "0123456789abcdef", "name": "/web",
        "cpu_stats": {"cpu_usage": {"total_usage": 1_500}, "system_cpu_usage": 12_000, "online_cpus": 2},
        "precpu_stats": {"cpu_usage": {"total_usage": 1_000}, "system_cpu_usage": 10_000},
        "memory_stats": {"usage": 3 << 20, "limit": 64 << 20, "stats": {"inactive_file": 1 << 20}}, "pids_stats": {"current": 4},
        "networks": {"eth0": {"rx_bytes": 1000, "tx_bytes": 10}, "eth1": {"rx_bytes": 500, "tx_bytes": 0}},
        "blkio_stats": {"io_service_bytes_recursive": [{"op": "Read", "value": 5}, {"op": "write", "value": 7}]}, **more,
    }  # fmt: skip


def test_percentage_is_of_one_processor() -> None:
    """Two processors busy all the time are 200 %, as in `top`: used, divided by passed, times processors."""
    assert compute_cpu_percent(look()) == 50.0


def test_first_look_has_no_percentage() -> None:
    """Without a look before it there is nothing to divide by."""
    assert compute_cpu_percent(look(precpu_stats={}, cpu_stats={})) == 0.0


def test_memory_leaves_out_what_could_go_at_once() -> None:
    """The kernel keeps files that were read; they are not what the container needs."""
    assert compute_memory_bytes(look()) == 2 << 20
    assert compute_memory_bytes({"memory_stats": {"usage": 10, "stats": {"total_inactive_file": 3, "inactive_file": 9}}}) == 7


def test_row_shows_what_docker_shows() -> None:
    """Network and disk are sums over all cards and disks, received and read first."""
    row = stats_row("web", look(), truncate=True)
    assert (row["ID"], row["Name"], row["MemUsage"], row["MemPerc"]) == ("0123456789ab", "web", "2MiB / 64MiB", "3.12%")
    assert (row["NetIO"], row["BlockIO"], row["PIDs"]) == ("1.5kB / 10B", "5B / 7B", "4")


def test_row_of_a_container_that_does_not_run_has_its_name_only() -> None:
    """The line stays while the first look is awaited."""
    row = stats_row("web", None, truncate=True)
    assert (row["Container"], row["ID"], row["MemUsage"]) == ("web", "--", "-- / --")


def test_memory_is_shown_in_powers_of_1024() -> None:
    """Memory is sold so; everything else counts in 1000."""
    assert [render_binary_size(size) for size in (0, 1023, 1 << 20, 15.54 * (1 << 30))] == ["0B", "1023B", "1MiB", "15.54GiB"]
