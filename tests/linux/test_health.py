"""Health checks, statistics and updates of containers that run."""

from __future__ import annotations

import json
import select
import time
from typing import TYPE_CHECKING

import pytest

from tests.linux.conftest import PATIENCE

if TYPE_CHECKING:
    from tests.linux.conftest import Server

pytestmark = pytest.mark.requires("root")
LIMIT_S = 30.0 * PATIENCE


def wait_health(server: Server, name: str, wanted: str) -> None:
    """Wait until a container's health is *wanted*."""
    deadline = time.monotonic() + LIMIT_S
    while (health := server.inspect(name)["State"]["Health"])["Status"] != wanted:
        assert time.monotonic() < deadline, f"{wanted} was awaited for {LIMIT_S:.0f} s: {health}"
        select.select([], [], [], 0.05)


def test_health_follows_the_test_and_survives_the_server(server: Server) -> None:
    """Starting, unhealthy, healthy: each change is an event; a server that comes back goes on testing."""
    name, since = server.new_name(), str(int(time.time()) - 1)
    check = ["--health-cmd", "echo said; test -e /ok", "--health-interval", "50ms", "--health-retries", "2"]
    assert server.run("run", "-d", "--name", name, *check, "toolbox", "sleep", "1000").returncode == 0
    wait_health(server, name, "unhealthy")
    assert "(unhealthy)" in server.run("ps", "--filter", "health=unhealthy").stdout
    server.run("exec", name, "touch", "/ok")
    wait_health(server, name, "healthy")
    probe = server.inspect(name)["State"]["Health"]["Log"][-1]
    assert (probe["ExitCode"], probe["Output"]) == (0, "said\n")
    server.kill9()
    server.start()
    server.run("exec", name, "rm", "/ok")
    wait_health(server, name, "unhealthy")
    events = server.run("events", "--since", since, "--until", str(int(time.time()) + 1), "--filter", f"container={name}", "--filter", "event=health_status").stdout
    assert "health_status: unhealthy" in events
    server.run("rm", "-f", name)


def test_health_check_that_hangs_is_killed(server: Server) -> None:
    """A test that takes too long has failed, and leaves no process behind."""
    name = server.new_name()
    check = ["--health-cmd", "exec sleep 1000", "--health-interval", "50ms", "--health-timeout", "200ms", "--health-retries", "1"]
    server.run("run", "-d", "--name", name, *check, "toolbox", "sleep", "1000")
    wait_health(server, name, "unhealthy")
    assert "exceeded timeout" in server.inspect(name)["State"]["Health"]["Log"][0]["Output"]
    server.run("rm", "-f", name)


@pytest.mark.requires("limits")
def test_update_changes_the_limits_of_a_running_container(server: Server) -> None:
    """The kernel's files change, not only the record; a refused change changes neither."""
    name = server.new_name()
    server.run("run", "-d", "--name", name, "-m", "64m", "toolbox", "sleep", "1000")
    assert server.run("update", "-m", "96m", "--memory-swap", "192m", "--pids-limit", "50", name).stdout.strip() == name
    files = "cat /sys/fs/cgroup/memory/memory.limit_in_bytes /sys/fs/cgroup/memory.max /sys/fs/cgroup/pids/pids.max /sys/fs/cgroup/pids.max 2>/dev/null"
    assert server.run("exec", name, "sh", "-c", files).stdout.split() == [str(96 << 20), "50"]
    refused = server.run("update", "-m", "1g", name)
    assert (refused.returncode, "update the memoryswap at the same time" in refused.stderr) == (1, True)
    assert server.inspect(name)["HostConfig"]["Memory"] == 96 << 20
    server.run("rm", "-f", name)


@pytest.mark.requires("limits")
def test_stats_show_a_busy_container_at_work(server: Server) -> None:
    """A loop uses processor time, within its memory limit; one that does not run has an empty line, not an error."""
    name = server.new_name()
    server.run("run", "-d", "--name", name, "-m", "64m", "toolbox", "sh", "-c", "while :; do :; done")
    line = json.loads(server.run("stats", "--no-stream", "--format", "json", name).stdout)
    assert line["Name"] == name
    assert float(line["CPUPerc"].rstrip("%")) > 1
    assert line["MemUsage"].endswith("/ 64MiB")
    server.run("stop", "-t", "0", name)
    stopped = json.loads(server.run("stats", "--no-stream", "--format", "json", name).stdout)
    assert stopped["CPUPerc"] == "0.00%"
    server.run("rm", "-f", name)
