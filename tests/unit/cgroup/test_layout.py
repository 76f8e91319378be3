"""Where control groups are, read from mount tables as different machines show them."""

from __future__ import annotations

import pytest

from minidocker.cgroup.layout import EXAMPLE_LAYOUT, CgroupLayout, Hierarchy, find_layout, find_own_procs
from minidocker.codec.mountinfo import parse_mountinfo

ROOT = "27 1 254:0 / / rw - ext4 /dev/vda rw\n"
V2 = ROOT + "31 23 0:28 / /sys/fs/cgroup rw,nosuid - cgroup2 cgroup2 rw,nsdelegate\n"
V1 = (
    ROOT
    + "31 23 0:28 / /sys/fs/cgroup rw - tmpfs tmpfs rw,mode=755\n"
    + "32 31 0:29 / /sys/fs/cgroup/cpu,cpuacct rw,relatime - cgroup cgroup rw,cpu,cpuacct\n"
    + "40 31 0:37 / /sys/fs/cgroup/systemd rw,relatime - cgroup cgroup rw,xattr,name=systemd\n"
)
HYBRID = V1 + "41 31 0:38 / /sys/fs/cgroup/unified rw,relatime - cgroup2 cgroup2 rw\n"
TREES = (
    Hierarchy(mount_point="/sys/fs/cgroup/cpu,cpuacct", controllers=("cpu", "cpuacct")),
    Hierarchy(mount_point="/sys/fs/cgroup/systemd", controllers=("name=systemd",)),
)
MACHINES = {
    "v2": (V2, CgroupLayout(version=2, hierarchies=(Hierarchy(mount_point="/sys/fs/cgroup", controllers=("cpu", "io")),))),
    "v1": (V1, CgroupLayout(version=1, hierarchies=TREES)),
    "hybrid-counts-as-v1": (HYBRID, CgroupLayout(version=1, hierarchies=(*TREES, Hierarchy(mount_point="/sys/fs/cgroup/unified", controllers=())))),
    "none": (ROOT, CgroupLayout(version=0)),
}


@pytest.mark.parametrize(("table", "layout"), MACHINES.values(), ids=MACHINES)
def test_layout_is_read_from_the_mount_table(table: str, layout: CgroupLayout) -> None:
    """On a hybrid machine the controllers are in the v1 trees; the v2 tree has none left, but processes are members of its groups, too."""
    assert find_layout(parse_mountinfo(table), v2_controllers="cpu io\n") == layout


def test_controller_is_found_in_the_tree_it_shares() -> None:
    """The controllers cpu and cpuacct are mounted together on most v1 machines, under one directory."""
    layout = CgroupLayout(version=1, hierarchies=TREES)
    assert layout.directory("cpuacct", "minidocker/x") == "/sys/fs/cgroup/cpu,cpuacct/minidocker/x"
    assert layout.directory("memory", "minidocker/x") is None


OWN = {
    "v1": (CgroupLayout(version=1, hierarchies=TREES), "4:cpu,cpuacct:/a/b\n0::/\n", "/sys/fs/cgroup/cpu,cpuacct/a/b/cgroup.procs"),
    "v1-root": (CgroupLayout(version=1, hierarchies=TREES), "1:name=systemd:/\n", "/sys/fs/cgroup/systemd/cgroup.procs"),
    "v2": (EXAMPLE_LAYOUT, "0::/system.slice/x.service\n", "/sys/fs/cgroup/system.slice/x.service/cgroup.procs"),
    "none": (CgroupLayout(version=0), "0::/\n", ""),
}


@pytest.mark.parametrize(("layout", "membership", "path"), OWN.values(), ids=OWN)
def test_own_group_is_read_from_the_membership(layout: CgroupLayout, membership: str, path: str) -> None:
    """`/proc/self/cgroup` names the group below each tree's root; its file is where processes are moved."""
    assert find_own_procs(layout, membership) == path
