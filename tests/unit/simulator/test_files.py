"""Paths: how the kernel walks them for a process whose root is not the machine's."""

from __future__ import annotations

import errno

import pytest
from hypothesis import given
from hypothesis import strategies as st

from minidocker.simulator.files import absolute, is_under, make_directories, make_node, resolve
from minidocker.simulator.linux import Linux, Node, NodeKind, Place
from tests.unit.simulator.small import start, tmpfs


def jail() -> tuple[Linux, Place]:
    """Return a machine and a root below which there are links to all sides."""
    linux, pid = start()
    linux = tmpfs(linux, pid, "/new", "etc", "deep/er")
    root = resolve(linux, linux.processes[pid].root, "/new")
    for name, target in {"abs": "/etc", "up": "../../../../etc", "loop": "loop", "rel": "deep/er/../.."}.items():
        linux = make_node(linux, root, f"/{name}", Node(kind=NodeKind.SYMLINK, content=target))
    return linux, root


LINKS = {"abs": "/etc", "up": "/etc", "rel": "/", "deep/er/../../abs": "/etc"}


@pytest.mark.parametrize(("path", "expected"), LINKS.items(), ids=LINKS)
def test_link_cannot_lead_out_of_the_root(path: str, expected: str) -> None:
    """An absolute link starts at the process's root and `..` stops there: CVE-2021-30465 is what happens otherwise."""
    linux, root = jail()
    assert resolve(linux, root, path, start=root) == Place(mount=root.mount, path=expected)


def test_circle_of_links_is_an_error() -> None:
    """path_resolution(7): ELOOP after forty."""
    linux, root = jail()
    with pytest.raises(OSError, match="too many") as caught:
        resolve(linux, root, "/loop")
    assert caught.value.errno == errno.ELOOP
    assert linux.node_at(resolve(linux, root, "/loop", follow=False)).content == "loop"


@given(st.lists(st.sampled_from(["..", ".", "", "etc", "abs", "up", "rel", "deep", "er"]), max_size=8).map("/".join))
def test_no_path_leaves_the_root(path: str) -> None:
    """For every path: it leads to a place below the root, or nowhere."""
    linux, root = jail()
    try:
        found = resolve(linux, root, path)
    except OSError:
        return
    assert found.mount == root.mount


def test_walk_crosses_into_what_is_mounted() -> None:
    """A mount hides what lies below it, and the latest one at a place is the one that is seen."""
    linux, pid = start()
    root = linux.processes[pid].root
    linux = tmpfs(tmpfs(linux, pid, "/a", "first"), pid, "/a", "second")
    assert resolve(linux, root, "/a/second").path == "/second"
    assert resolve(linux, root, "/a/second/../..") == root
    for hidden in ("/a/first", "/a/x"):
        with pytest.raises(FileNotFoundError):
            resolve(linux, root, hidden)


def test_directory_through_a_file_is_refused() -> None:
    """ENOTDIR, as mkdir(2) says it."""
    linux, pid = start()
    with pytest.raises(NotADirectoryError):
        make_directories(linux, linux.processes[pid].root, "/proc/kcore/x")


def test_paths_are_compared_by_whole_names() -> None:
    """`/ab` does not lie in `/a`; two slashes at the beginning are one, which normpath would keep."""
    assert [is_under(p, "/a") for p in ("/a", "/a/b", "/ab", "/")] == [True, True, False, False]
    assert absolute("//a/../b/") == "/b"
