"""A new root for a mount namespace, with the old one out of reach: pivot_root(2), umount2(2).

The function runs in a process with a mount namespace of its own; what became of it is looked at from outside.
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from minidocker.kernel.flags import Ms

LOOK_AROUND = """
import os, sys
from minidocker.kernel.flags import Clone
from minidocker.kernel.namespaces import open_namespace, setns
setns(open_namespace(int(sys.argv[1]), Clone.NEWNS), Clone.NEWNS)
print(*sorted(os.listdir("/")))
"""


@pytest.fixture
def root(learner, tmp_path):
    """A file system in the process's own mount namespace, to become its root."""
    path = tmp_path / "root"
    path.mkdir()
    learner.find("minidocker.kernel.mount:mount")("tmpfs", str(path), fstype="tmpfs", flags=Ms.NODEV)
    (seen_by(learner) / str(path).lstrip("/") / "inside").write_text("the new root")
    return str(path)


def seen_by(learner):
    """The root directory of the process, as a path that we can follow."""
    return Path(f"/proc/{learner.pid}/root")


def options_of_root(learner):
    """The mount options of its root."""
    lines = Path(f"/proc/{learner.pid}/mountinfo").read_text().splitlines()
    return next(line.split()[5].split(",") for line in lines if line.split()[4] == "/")


def test_process_sees_the_new_tree_only(learner, pivot_root, root):
    """`/` is the new tree and has nothing else in it."""
    pivot_root(root, readonly=False)
    assert os.listdir(seen_by(learner)) == ["inside"]
    assert len(Path(f"/proc/{learner.pid}/mountinfo").read_text().splitlines()) == 1


def test_namespace_holds_nothing_of_the_old_root(learner, pivot_root, root):
    """Whoever joins the namespace later, as `docker exec` does, starts at *its* root; after a mere chroot that is still the host's."""
    pivot_root(root, readonly=False)
    command = [sys.executable, "-c", LOOK_AROUND, str(learner.pid)]
    assert subprocess.run(command, capture_output=True, text=True, check=True, env=dict(os.environ, PYTHONPATH=os.pathsep.join(sys.path))).stdout == "inside\n"


def test_working_directory_is_no_way_back(learner, pivot_root, root):
    """A process that still stands in the old root walks through it with `..`; nobody can take that from it any more."""
    pivot_root(root, readonly=False)
    assert os.path.samefile(f"/proc/{learner.pid}/cwd", seen_by(learner))


def test_read_only_root_cannot_be_written(learner, pivot_root, root):
    """`docker run --read-only`: not even root in the container changes its image."""
    pivot_root(root, readonly=True)
    assert "ro" in options_of_root(learner)
    with pytest.raises(OSError, match="Read-only file system"):
        (seen_by(learner) / "new").touch()


def test_other_root_can_be_written(learner, pivot_root, root):
    """Without the option the root stays as it was mounted."""
    pivot_root(root, readonly=False)
    (seen_by(learner) / "new").touch()
    assert "rw" in options_of_root(learner)


def test_read_only_root_keeps_its_other_restrictions(learner, pivot_root, root):
    """A remount sets all flags anew; one that forgets `nodev` hands out devices while it takes away writing."""
    pivot_root(root, readonly=True)
    assert "nodev" in options_of_root(learner)
