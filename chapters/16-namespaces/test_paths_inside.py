"""A path of the container is looked up as the container would: openat2(2), RESOLVE_IN_ROOT.

The function runs in a process of its own; what it opened is looked at from outside, through `/proc/PID/fd`.
"""

from __future__ import annotations

import errno
import os
from pathlib import Path

import pytest

O_CLOEXEC_BIT = 0o2000000


@pytest.fixture
def root(tmp_path):
    """A container's root with links that try to get out, and beside it what they would like to reach."""
    root = tmp_path / "root"
    (root / "etc").mkdir(parents=True)
    (root / "etc/passwd").write_text("the container's")
    (root / "absolute").symlink_to("/etc/passwd")
    (root / "climbing").symlink_to("../" * 20 + "etc/passwd")
    return root


@pytest.fixture
def root_fd(learner, root):
    """The root, opened in the process that will look things up."""
    return learner.find("os:open")(str(root), os.O_PATH | os.O_DIRECTORY)


def opened(learner, fd):
    """What a descriptor of the process refers to."""
    return Path(os.readlink(f"/proc/{learner.pid}/fd/{fd}"))


def test_plain_path_is_opened_inside(learner, open_in_root, root, root_fd):
    """`/etc/passwd` of the container, with or without a leading slash: there is no current directory to start from."""
    assert opened(learner, open_in_root(root_fd, "/etc/passwd")) == root / "etc/passwd"
    assert opened(learner, open_in_root(root_fd, "etc/passwd")) == root / "etc/passwd"


def test_absolute_link_starts_at_the_root_of_the_container(learner, open_in_root, root, root_fd):
    """A link to `/etc/passwd` means the container's own; images are full of honest absolute links, so refusing them is no way."""
    assert opened(learner, open_in_root(root_fd, "absolute")) == root / "etc/passwd"


def test_climbing_stops_at_the_root(learner, open_in_root, root, root_fd):
    """`..` at the top stays at the top, in links and in the path itself."""
    assert opened(learner, open_in_root(root_fd, "climbing")) == root / "etc/passwd"
    assert opened(learner, open_in_root(root_fd, "../../../etc/passwd")) == root / "etc/passwd"


def test_magic_link_is_refused(learner, open_in_root):
    """`/proc/self/exe` is no text: it leads to an object, whatever the root; through it CVE-2019-5736 wrote to the engine itself."""
    whole = learner.find("os:open")("/", os.O_PATH | os.O_DIRECTORY)
    with pytest.raises(OSError) as caught:
        open_in_root(whole, "/proc/self/exe")
    assert caught.value.errno == errno.ELOOP


def test_descriptor_is_closed_on_exec(learner, open_in_root, root_fd):
    """The command would inherit it, and with it a way to files outside its root: CVE-2024-21626 was one forgotten descriptor."""
    fd = open_in_root(root_fd, "/etc/passwd")
    lines = Path(f"/proc/{learner.pid}/fdinfo/{fd}").read_text().splitlines()
    flags = next(int(line.split()[1], 8) for line in lines if line.startswith("flags:"))
    assert flags & O_CLOEXEC_BIT


def test_missing_path_is_named(open_in_root, root_fd):
    """The error is the kernel's, as Python's own type for it, and says which path it was about."""
    with pytest.raises(FileNotFoundError) as caught:
        open_in_root(root_fd, "/etc/shadow")
    assert "/etc/shadow" in str(caught.value)
