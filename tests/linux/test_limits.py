"""What the limits of a container do, seen in the kernel's own files and in what happens to the container.

These hold for both versions of control groups; where the words of the files differ, a table says how.
"""

from __future__ import annotations

import glob
import json
import os
import re
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from tests.linux.conftest import Server

pytestmark = pytest.mark.requires("root", "limits")

OPTIONS = ["--memory", "64m", "--memory-swap", "96m", "--memory-reservation", "32m", "--cpus", "0.25", "--cpu-shares", "512", "--pids-limit", "42", "--cpuset-cpus", "0"]
FILES = {
    2: {
        "memory.max": str(64 << 20), "memory.swap.max": str(32 << 20), "memory.low": str(32 << 20), "cpu.max": "25000 100000", "cpu.weight": "59",
        "pids.max": "42", "cpuset.cpus": "0",
    },
    1: {
        "memory/memory.limit_in_bytes": str(64 << 20), "memory/memory.soft_limit_in_bytes": str(32 << 20), "cpu/cpu.cfs_quota_us": "25000",
        "cpu/cpu.shares": "512", "pids/pids.max": "42", "cpuset/cpuset.cpus": "0",
    },
}  # fmt: skip


def version() -> int:
    """Return which control groups this machine uses for limits."""
    return 2 if Path("/sys/fs/cgroup/cgroup.controllers").exists() else 1


def read(server: Server, name: str, file: str) -> str:
    """Return a file of the container's own group, as a program in it sees it."""
    return server.run("exec", name, "cat", f"/sys/fs/cgroup/{file}").stdout.strip()


def start(server: Server, *options: str, command: tuple[str, ...] = ("sleep", "1000")) -> str:
    """Start a container in the background and return its name."""
    name = server.new_name()
    result = server.run("run", "-d", "--name", name, *options, "toolbox", *command)
    assert result.returncode == 0, result.stderr
    return name


def test_every_limit_is_in_the_file_of_the_kernel(server: Server) -> None:
    """An option that is accepted and not written would be a promise that nobody keeps."""
    name = start(server, *OPTIONS)
    found = {file: read(server, name, file) for file in FILES[version()]}
    server.run("rm", "-f", name)
    optional = {file for file, value in found.items() if file == "memory.swap.max" and not value}  # a kernel may be without swap accounting
    assert {file: value for file, value in found.items() if file not in optional} == {
        file: value for file, value in FILES[version()].items() if file not in optional
    }


def test_container_sees_only_its_own_group(server: Server) -> None:
    """The group is the root of what is seen below /sys/fs/cgroup, and no limit can be lifted from inside."""
    name = start(server, "--pids-limit", "42")
    file = "/sys/fs/cgroup/pids.max" if version() == 2 else "/sys/fs/cgroup/pids/pids.max"
    lifted = server.run("exec", name, "sh", "-c", f"echo max > {file}")
    now = server.run("exec", name, "cat", file).stdout.strip()
    server.run("rm", "-f", name)
    assert lifted.returncode != 0
    assert now == "42"


def test_processor_time_is_throttled(server: Server) -> None:
    """A loop that may use a twentieth of a processor is stopped in most periods; the kernel counts them."""
    loop = "i=0; while [ $i -lt 30000 ]; do i=$((i+1)); done"
    directory = "/sys/fs/cgroup" if version() == 2 else "/sys/fs/cgroup/cpu"
    result = server.run("run", "--rm", "--cpus", "0.05", "toolbox", "sh", "-c", f"{loop}; cat {directory}/cpu.stat")
    counts = dict(line.split() for line in result.stdout.splitlines())
    assert int(counts["nr_throttled"]) > 0


def test_memory_limit_kills_inside_and_spares_the_container(server: Server) -> None:
    """The kernel kills what grows, in this group only; a shell that survives goes on, and the container's own status is its own."""
    name = server.new_name()
    result = server.run("run", "--name", name, "-m", "24m", "--memory-swap", "24m", "toolbox", "sh", "-c", "(tail /dev/zero) ; echo survived $?")
    server.run("rm", name)
    assert "survived 137" in result.stdout


def test_out_of_memory_is_an_event(server: Server) -> None:
    """Whoever watches events hears of it, without asking each container."""
    name = server.new_name()
    server.run("run", "--name", name, "-m", "16m", "--memory-swap", "16m", "toolbox", "tail", "/dev/zero")
    state = server.inspect(name)["State"]
    events = server.run("events", "--since", "1h", "--until", "0s", "--filter", f"container={name}", "--format", "{{.Action}}").stdout.split()
    server.run("rm", name)
    assert (state["OOMKilled"], state["ExitCode"]) == (True, 137)
    assert "oom" in events


def test_update_changes_limits_while_the_container_runs(server: Server) -> None:
    """`update` writes the same files as `run`, and the process does not notice."""
    name = start(server, "--cpus", "0.25", "--pids-limit", "42")
    server.run("update", "--cpus", "0.5", "--pids-limit", "21", name)
    cpu = read(server, name, "cpu.max" if version() == 2 else "cpu/cpu.cfs_quota_us").split()[0]
    pids = read(server, name, "pids.max" if version() == 2 else "pids/pids.max")
    server.run("rm", "-f", name)
    assert (cpu, pids) == ("50000", "21")


def test_frozen_container_does_not_run(server: Server) -> None:
    """`pause` stops every process at once, exec's too, and the kernel says so in its own file; `unpause` lets them go on."""
    name = start(server, command=("sh", "-c", "while :; do :; done"))
    server.run("pause", name)
    group = next(path for path in map(Path, glob.glob("/sys/fs/cgroup/**/minidocker/*", recursive=True)) if path.name == server.inspect(name)["Id"] and is_freezer(path))
    frozen = "frozen 1" in (group / "cgroup.events").read_text() if version() == 2 else (group / "freezer.state").read_text().strip() == "FROZEN"
    status = server.inspect(name)["State"]["Status"]
    server.run("unpause", name)
    thawed = "frozen 0" in (group / "cgroup.events").read_text() if version() == 2 else (group / "freezer.state").read_text().strip() == "THAWED"
    server.run("rm", "-f", name)
    assert (frozen, status, thawed) == (True, "paused", True)


def is_freezer(path: Path) -> bool:
    """Whether this group's files can freeze it."""
    return (path / ("cgroup.freeze" if version() == 2 else "freezer.state")).exists()


THROTTLE_FILES = ("blkio/blkio.throttle.read_bps_device", "blkio/blkio.throttle.write_iops_device")
DEVICES = {
    "null-is-allowed": ("echo x > /dev/null && echo yes", True, "the devices of the default list"),
    "made-node-is-useless": ("mknod /tmp/kmsg c 1 11 && head -c 1 /tmp/kmsg && echo yes", False, "a node can be made (CAP_MKNOD), and not opened"),
    "fuse-is-denied": ("mknod /tmp/fuse c 10 229 && (: < /tmp/fuse) && echo yes", False, "nothing but the list"),
}


@pytest.mark.parametrize(("command", "works", "why"), DEVICES.values(), ids=DEVICES)
def test_devices_outside_the_list_cannot_be_opened(server: Server, command: str, works: bool, why: str) -> None:
    """v1 has files for it, v2 asks a BPF program at each open: either way the list is the law."""
    result = server.run("run", "--rm", "toolbox", "sh", "-c", command)
    assert ("yes" in result.stdout) == works, f"{why}: {result.stdout}{result.stderr}"


def find_disk() -> str:
    """Return a block device whose input and output the kernel can limit, or skip."""
    for name in sorted(os.listdir("/sys/block")):
        if not re.match(r"loop|ram|zram|dm-|sr|fd", name) and Path("/dev", name).exists():
            return f"/dev/{name}"
    pytest.skip("needs a block device")


def test_input_and_output_of_a_device_is_limited(server: Server) -> None:
    """Bytes and operations a second, by the numbers of the device: v1 has a file for each limit, v2 one line for all."""
    disk = find_disk()
    name = start(server, "--device-read-bps", f"{disk}:1mb", "--device-write-iops", f"{disk}:100")
    number = f"{os.major(os.stat(disk).st_rdev)}:{os.minor(os.stat(disk).st_rdev)}"
    found = {file: read(server, name, file) for file in (["io.max"] if version() == 2 else THROTTLE_FILES)}
    server.run("rm", "-f", name)
    assert found == (
        {"io.max": f"{number} rbps=1048576 wbps=max riops=max wiops=100"} if version() == 2
        else {THROTTLE_FILES[0]: f"{number} 1048576", THROTTLE_FILES[1]: f"{number} 100"}
    )  # fmt: skip


def test_limit_on_a_device_that_is_not_there_is_refused(server: Server) -> None:
    """In Docker's words, and before anything is made."""
    result = server.run("run", "--rm", "--device-read-bps", "/dev/no-such-disk:1mb", "toolbox", "true")
    assert result.returncode != 0
    assert "stat /dev/no-such-disk: no such file or directory" in result.stderr


def test_statistics_count_what_the_group_did(server: Server) -> None:
    """`stats` says memory, processes and the limits as the group's files have them."""
    name = start(server, "-m", "64m", "--pids-limit", "42")
    look = json.loads(server.run("stats", "--no-stream", "--format", "json", name).stdout)
    server.run("rm", "-f", name)
    assert look["MemUsage"].endswith("/ 64MiB")
    assert int(look["PIDs"]) == 1
