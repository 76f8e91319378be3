"""A server inside a chroot: its containers must end there, too, for whoever joins them and whoever tries to climb out."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

CHECKOUT = Path(__file__).resolve().parents[2]

pytestmark = pytest.mark.requires("root", "namespaces")

PREPARE = """
import os, sys
from minidocker.kernel.flags import Clone, Ms
from minidocker.kernel.mount import mount, separate_mounts
from minidocker.kernel.namespaces import open_namespace, setns, unshare

unshare(Clone.NEWNS)
separate_mounts(Ms.PRIVATE)
directory = sys.argv[1]
if sys.argv[2] == "mount-point":
    mount(directory, directory, flags=Ms.BIND)
os.makedirs(f"{directory}/proc")
mount("proc", f"{directory}/proc", fstype="proc")
os.chroot(directory)
os.chdir("/")
unshare(Clone.NEWNS)
separate_mounts(Ms.PRIVATE)
"""

WAYS_OUT = {
    "joining-the-namespace": "setns(open_namespace('self', Clone.NEWNS), Clone.NEWNS)",
    "climbing": "os.mkdir('/x'); os.chroot('/x'); [os.chdir('..') for _ in range(64)]; os.chroot('.'); os.rmdir('/x')",
    "staying": "pass",
}


@pytest.mark.parametrize("kind", ["directory", "mount-point"])
@pytest.mark.parametrize("way", WAYS_OUT.values(), ids=WAYS_OUT)
def test_mount_namespace_made_in_a_chroot_ends_there(tmp_path: Path, kind: str, way: str) -> None:
    """`exec` joins a container's mount namespace and gets *its* root: were that the host's, so would be the command's."""
    script = f"{PREPARE}\n{way}\nprint(*sorted(os.listdir('/')))"
    (tmp_path / "inside").touch()
    result = subprocess.run(
        [sys.executable, "-c", script, str(tmp_path), kind], cwd=CHECKOUT, capture_output=True, text=True, check=False
    )
    assert (result.stdout.split(), result.stderr) == (["inside", "proc"], "")


def test_mounts_made_in_a_chroot_stay_in_the_namespace(tmp_path: Path) -> None:
    """What a container mounts must not show up outside, or every `run` would leave something behind."""
    script = f"{PREPARE}\nos.mkdir('/m')\nmount('tmpfs', '/m', fstype='tmpfs')\nprint(open('/proc/self/mountinfo').read().count(' /m '))"
    result = subprocess.run(
        [sys.executable, "-c", script, str(tmp_path), "directory"], cwd=CHECKOUT, capture_output=True, text=True, check=False
    )
    assert (result.stdout, result.stderr) == ("1\n", "")
    assert str(tmp_path) not in Path("/proc/self/mountinfo").read_text()
