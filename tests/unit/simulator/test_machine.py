"""A machine from its own description."""

from __future__ import annotations

from dataclasses import replace

from minidocker.kernel.flags import Ms, Rlimit
from minidocker.kernel.steps import Mount
from minidocker.simulator.files import read_file, resolve
from minidocker.simulator.machine import EXAMPLE_FACTS, EXAMPLE_IMAGE, boot, prepare
from minidocker.simulator.views import render_cgroup, render_limits, render_mounts, render_status


def test_machine_shows_what_it_was_made_from() -> None:
    """Reading and rendering are inverse: the model of a machine begins where the machine is."""
    linux, pid = boot(EXAMPLE_FACTS)
    assert render_mounts(linux, pid) == EXAMPLE_FACTS.mountinfo
    assert render_cgroup(linux, pid) == EXAMPLE_FACTS.cgroup
    assert [line.split() for line in render_limits(linux, pid).splitlines()] == [line.split() for line in EXAMPLE_FACTS.limits.splitlines()]
    shown = render_status(linux, pid).splitlines()
    assert all(line in shown for line in EXAMPLE_FACTS.status.splitlines())
    assert linux.processes[pid].limits[Rlimit.CORE] == (0, -1)


def test_root_is_what_is_stacked_uppermost() -> None:
    """A machine that was booted from a file system in memory has two mounts at `/`."""
    stacked = EXAMPLE_FACTS.mountinfo.replace("26 1 254:1 / / rw", "40 40 0:2 / / rw - rootfs rootfs rw\n26 40 254:1 / / rw")
    linux, pid = boot(replace(EXAMPLE_FACTS, mountinfo=stacked))
    assert linux.file_system_at(linux.processes[pid].root).fstype == "ext4"


def test_plan_finds_what_it_takes_for_granted() -> None:
    """Layers with the image's files, sources of bind mounts."""
    linux, pid = boot(EXAMPLE_FACTS)
    steps = (
        Mount(source="overlay", target="/m", fstype="overlay", host_target=True, cwd="/l", data="lowerdir=b:a,upperdir=../u,workdir=../w"),
        Mount(source="/srv/data", target="/data", flags=Ms.BIND),
    )
    linux = prepare(linux, pid, steps, EXAMPLE_IMAGE)
    root = linux.processes[pid].root
    assert "nobody" in read_file(linux, root, "/l/a/etc/passwd")
    assert all(resolve(linux, root, path) for path in ("/u", "/w", "/srv/data"))
    assert read_file(linux, root, "/nothing") == ""
