"""The file systems that every container gets, and their order: OCI runtime specification, "Default Filesystems"."""

from __future__ import annotations

import pytest

from minidocker.container.plan import Surroundings
from minidocker.container.record import ContainerRecord, MountPoint
from minidocker.kernel.flags import Ms
from minidocker.kernel.steps import Mount
from minidocker.spec.container import ContainerConfig, HostConfig

CGROUPS = Mount(source="cgroup", target="/sys/fs/cgroup", fstype="cgroup2", why="its own control group")
AROUND = Surroundings(directory="/c", layers_directory="/l", cgroup_view=(CGROUPS,))


def record(mounts=(), **options):
    """A container with some options of `docker run`."""
    host = HostConfig(**options)
    return ContainerRecord(id="c" * 64, name="web", created="", image_id="", config=ContainerConfig(), host_config=host, mounts=mounts)


def by_target(steps):
    """The mounts by the place where they are put."""
    return {step.target: step for step in steps}


def test_proc_and_sys_are_mounted_afresh(plan_kernel_mounts):
    """A bind of the host's `/proc` would show the host's processes: what procfs shows is settled when it is mounted, and by whom."""
    mounts = by_target(plan_kernel_mounts(record(), AROUND))
    assert (mounts["/proc"].fstype, mounts["/sys"].fstype) == ("proc", "sysfs")
    assert not (mounts["/proc"].flags | mounts["/sys"].flags) & Ms.BIND


@pytest.mark.parametrize("privileged", [False, True], ids=["ordinary", "privileged"])
def test_sys_can_be_written_by_privileged_containers_only(plan_kernel_mounts, privileged):
    """Most of sysfs belongs to the machine: switches of devices, power, kernel modules."""
    mounts = by_target(plan_kernel_mounts(record(privileged=privileged), AROUND))
    assert bool(mounts["/sys"].flags & Ms.RDONLY) is not privileged


def test_dev_comes_before_everything_below_it(plan_kernel_mounts):
    """A mount on `/dev` hides what was mounted below it before; then a program asks for a terminal and finds an empty directory."""
    targets = [step.target for step in plan_kernel_mounts(record(), AROUND)]
    below = [targets.index(path) for path in ("/dev/pts", "/dev/mqueue", "/dev/shm")]
    assert targets.index("/dev") < min(below)


def test_control_groups_come_after_sys(plan_kernel_mounts):
    """`/sys/fs/cgroup` is a directory of sysfs; what other packages want mounted there comes in ready-made."""
    steps = list(plan_kernel_mounts(record(), AROUND))
    assert [step.target for step in steps].index("/sys") < steps.index(CGROUPS)


def test_nothing_mounted_here_gives_power_to_files(plan_kernel_mounts):
    """No setuid programs in them anywhere; no devices but in `/dev` itself, which is all devices, and its terminals."""
    mounts = by_target(step for step in plan_kernel_mounts(record(), AROUND) if step != CGROUPS)
    assert all(step.flags & Ms.NOSUID for step in mounts.values())
    assert {path for path, step in mounts.items() if not step.flags & Ms.NODEV} == {"/dev", "/dev/pts"}


def test_terminals_are_an_instance_of_its_own(plan_kernel_mounts):
    """One devpts for the whole machine would let containers open each other's terminals."""
    assert "newinstance" in by_target(plan_kernel_mounts(record(), AROUND))["/dev/pts"].data.split(",")


def test_shared_memory_has_a_limit(plan_kernel_mounts):
    """A tmpfs is memory: without a size a container could fill the machine. Docker gives 64 MiB, `--shm-size` another amount."""
    assert "size=67108864" in by_target(plan_kernel_mounts(record(), AROUND))["/dev/shm"].data.split(",")
    assert "size=1048576" in by_target(plan_kernel_mounts(record(shm_size=1 << 20), AROUND))["/dev/shm"].data.split(",")


def test_own_shared_memory_replaces_ours(plan_kernel_mounts):
    """With `-v …:/dev/shm` the user's directory belongs there; ours on top would hide it."""
    own = MountPoint(type="bind", source="/fast", destination="/dev/shm")
    assert "/dev/shm" not in by_target(plan_kernel_mounts(record((own,)), AROUND))
