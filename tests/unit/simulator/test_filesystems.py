"""File systems: whose they are, and how they print their options."""

from __future__ import annotations

import errno

import pytest

from minidocker.kernel.flags import Clone, Ms
from minidocker.simulator.files import exists, make_directories, make_node, read_file
from minidocker.simulator.linux import Linux, Node
from minidocker.simulator.mounts import mount
from minidocker.simulator.processes import end_process, fork, unshare
from minidocker.simulator.views import list_mounts
from tests.unit.simulator.small import start

OPTIONS = {
    "nothing-said": ("tmpfs", "", ()),
    "size-in-pages": ("tmpfs", "size=5000", ("size=8k",)),
    "usual-mode": ("tmpfs", "mode=1777,size=1m", ("size=1024k",)),
    "blocks": ("tmpfs", "nr_blocks=1,nr_inodes=1", ("size=4k", "nr_inodes=1")),
    "owner": ("tmpfs", "gid=5,uid=0,mode=0755", ("mode=755", "gid=5")),
    "terminals": ("devpts", "newinstance,ptmxmode=0666,mode=0620,gid=5", ("gid=5", "mode=620", "ptmxmode=666")),
    "terminals-by-default": ("devpts", "", ("mode=600", "ptmxmode=000")),
}


@pytest.mark.parametrize(("fstype", "data", "shown"), OPTIONS.values(), ids=OPTIONS)
def test_options_come_back_in_the_kernels_words(fstype: str, data: str, shown: tuple[str, ...]) -> None:
    """tmpfs(5): sizes are rounded to pages, and what is usual is not said."""
    linux, pid = start()
    linux = mount(linux, pid, source="x", target="/a", fstype=fstype, data=data)
    assert list_mounts(linux, pid)[-1].super_options == ("rw", *shown)


def devices(linux: Linux, pid: int, fstype: str) -> list[str]:
    """Mount *fstype* and return the devices of all its mounts."""
    linux = mount(linux, pid, source="x", target="/a", fstype=fstype)
    return [m.device for m in list_mounts(linux, pid) if m.fstype == fstype]


SHARED = {"sysfs": Clone.NEWNET, "mqueue": Clone.NEWIPC}


@pytest.mark.parametrize(("fstype", "kind"), SHARED.items(), ids=SHARED)
def test_file_system_belongs_to_a_namespace(fstype: str, kind: Clone) -> None:
    """Mounted again in the same namespace it is the same one; in a new namespace it is another."""
    linux, pid = start()
    assert len(set(devices(linux, pid, fstype))) == 1
    assert len(set(devices(unshare(linux, pid, kind), pid, fstype))) == 2


def test_procfs_of_a_dead_namespace_cannot_be_mounted() -> None:
    """It shows the processes of the namespace of whoever mounts it, and there are none."""
    linux, pid = start()
    linux = unshare(linux, pid, Clone.NEWPID)
    linux, first = fork(linux, pid)
    linux, second = fork(linux, first)
    survivor = linux.processes[second]
    linux = end_process(linux, first).with_process(survivor)
    with pytest.raises(OSError) as caught:
        mount(linux, second, source="proc", target="/a", fstype="proc")
    assert caught.value.errno == errno.EINVAL


def test_overlay_shows_the_upper_of_two_files() -> None:
    """The first lower directory lies above the second, and the upper one above all."""
    linux, pid = start()
    root = linux.processes[pid].root
    for name, files in {"one": ("x", "y", "z"), "two": ("x", "y"), "up": ("x",), "work": (), "m": ()}.items():
        linux = make_directories(linux, root, f"/l/{name}")
        for file in files:
            linux = make_node(linux, root, f"/l/{name}/{file}", Node(content=name))
    linux = mount(linux, pid, source="o", target="/l/m", fstype="overlay", data="lowerdir=/l/two:/l/one,upperdir=/l/up,workdir=/l/work")
    assert [read_file(linux, root, f"/l/m/{file}") for file in "xyz"] == ["up", "two", "one"]
    with pytest.raises(FileNotFoundError):
        mount(linux, pid, source="o", target="/l/m", fstype="overlay", data="lowerdir=/l/three")
    read_only = mount(linux, pid, source="o", target="/l/m", fstype="overlay", data="lowerdir=/l/one")
    with pytest.raises(OSError, match="read-only"):
        make_directories(read_only, root, "/l/m/new")
    assert not exists(read_only, root, "/l/m/up")


def test_same_file_system_twice_at_one_place_is_refused() -> None:
    """EBUSY, mount(2): it would hide itself."""
    linux, pid = start()
    linux = mount(linux, pid, source="x", target="/a", fstype="sysfs", flags=Ms.RDONLY)
    with pytest.raises(OSError) as caught:
        mount(linux, pid, source="x", target="/a", fstype="sysfs")
    assert caught.value.errno == errno.EBUSY
