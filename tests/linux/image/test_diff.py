"""What a container changed, found in an overlay's upper directory or by comparing trees; the kernel is the judge of both."""

from __future__ import annotations

import io
import os
import socket
import stat
import tarfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from minidocker.codec.tar import TarReader
from minidocker.image.diff import ChangeKind, Found, list_changes, walk_tree_changes, walk_upper_changes
from minidocker.image.extract import extract_layer
from minidocker.image.pack import pack_changes, pack_stack
from minidocker.kernel.copy import copy_stack
from minidocker.kernel.mount import mount, umount2
from minidocker.kernel.overlay import open_trees

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="needs root: overlays, owners and devices")

Words = list[tuple[str, str]]


def fill(root: Path) -> None:
    """Make the tree that everything starts from."""
    for name in ("d", "d/e", "empty"):
        (root / name).mkdir()
    for name in ("a", "b", "d/x", "d/y", "d/e/z"):
        (root / name).write_text(f"old {name}")
    (root / "link").symlink_to("a")
    os.link(root / "b", root / "d/hard")


def write(path: Path) -> None:
    """Give a file new content, through whatever it is."""
    path.write_text("new content")


def make_directory(path: Path) -> None:
    """Make a directory with something in it."""
    path.mkdir()
    (path / "inside").write_text("x")


def remove(path: Path) -> None:
    """Remove a file, or a directory with all that is in it."""
    if path.is_dir() and not path.is_symlink():
        for child in path.iterdir():
            remove(child)
        path.rmdir()
    else:
        path.unlink()


def replace_directory(path: Path) -> None:
    """Remove a directory and make it anew: overlayfs marks the new one as opaque."""
    remove(path)
    path.mkdir()


OPERATIONS: dict[str, Callable[[Path], object]] = {
    "write": write,
    "remove": remove,
    "mkdir": make_directory,
    "replace": replace_directory,
    "chmod": lambda path: path.chmod(0o751),
    "chown": lambda path: os.chown(path, 5, 6, follow_symlinks=False),
    "symlink": lambda path: path.symlink_to("d/x"),
    "xattr": lambda path: os.setxattr(path, "user.note", b"n", follow_symlinks=False),
    "fifo": lambda path: os.mkfifo(path),
    "device": lambda path: os.mknod(path, 0o600 | stat.S_IFCHR, os.makedev(1, 3)),
    "link": lambda path: os.link(path.parent / "a", path),
    "touch": lambda path: os.utime(path, ns=(1, 1_000_000_007)),
    "rename": lambda path: path.rename(path.parent / "renamed"),
}
NAMES = ("a", "b", "d", "d/x", "d/y", "d/hard", "d/e", "d/e/z", "d/a", "empty", "link", "new", "new/inside", "d/new", "empty/new")


def perform(root: Path, words: Words) -> None:
    """Do to a tree what *words* say; what is not possible does not happen."""
    for word, name in words:
        with suppress(OSError):
            OPERATIONS[word](root / name)


@contextmanager
def overlay(directory: Path) -> Iterator[tuple[Path, Path, Path]]:
    """Yield the lower, upper and merged directory of a mounted overlay."""
    for name in ("lower", "upper", "work", "merged"):
        (directory / name).mkdir(parents=True)
    fill(directory / "lower")
    data = f"lowerdir={directory}/lower,upperdir={directory}/upper,workdir={directory}/work,redirect_dir=off,metacopy=off,index=off"
    try:
        mount("overlay", str(directory / "merged"), fstype="overlay", data=data)
    except OSError as error:
        pytest.skip(f"needs overlayfs on the file system of the temporary directory: {error}")
    try:
        yield directory / "lower", directory / "upper", directory / "merged"
    finally:
        umount2(str(directory / "merged"))


def found_in(walk: Callable[..., Iterator[Found]], new: Path, *lower: Path, ignored: Sequence[str] = ()) -> list[tuple[str, str]]:
    """Return the changes as (letter, path)."""
    with open_trees([new]) as (new_fd,), open_trees(lower) as lower_fds:
        return [("CAD"[change.kind], change.path) for change in list_changes(walk(new_fd, lower_fds, ignored=ignored))]


def layer_of(walk: Callable[..., Iterator[Found]], new: Path, *lower: Path, latest_ns: int | None = None) -> bytes:
    """Return the layer that holds the changes."""
    with open_trees([new]) as (new_fd,), open_trees(lower) as lower_fds:
        return b"".join(pack_changes(walk(new_fd, lower_fds), latest_ns=latest_ns))


def unpack(layer: bytes, target: Path, *lower: Path) -> None:
    """Unpack a layer."""
    target.mkdir()
    with open_trees([target]) as (target_fd,), open_trees(lower) as lower_fds:
        extract_layer(TarReader(io.BytesIO(layer)), target_fd, lower_fds=lower_fds)


def describe(root: Path) -> dict[str, tuple[object, ...]]:
    """Return everything that an image says about the files below *root*; times of directories are left out."""
    shown: dict[str, tuple[object, ...]] = {}
    for path in sorted(root.rglob("*")):
        status = path.lstat()
        xattrs = {key: os.getxattr(path, key, follow_symlinks=False) for key in os.listxattr(path, follow_symlinks=False)}
        content = path.read_bytes() if stat.S_ISREG(status.st_mode) else os.readlink(path).encode() if path.is_symlink() else b""
        times = () if stat.S_ISDIR(status.st_mode) else (status.st_mtime_ns, status.st_rdev)
        plain = {key: value for key, value in xattrs.items() if ".overlay." not in key}
        shown[str(path.relative_to(root))] = (status.st_mode, status.st_uid, status.st_gid, content, plain, *times)
    return shown


@given(words=st.lists(st.tuples(st.sampled_from(sorted(OPERATIONS)), st.sampled_from(NAMES)), min_size=1, max_size=8))
@example(words=[("replace", "d"), ("write", "d/x")])
@example(words=[("remove", "d"), ("symlink", "d")])
@example(words=[("remove", "a"), ("mkdir", "a"), ("remove", "d/e")])
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_layer_on_its_image_is_what_the_container_saw(tmp_path_factory: pytest.TempPathFactory, words: Words) -> None:
    """Diff and apply are inverse to each other, and the upper directory and the plain comparison make the same layer."""
    directory = tmp_path_factory.mktemp("o")
    with overlay(directory) as (lower, upper, merged):
        perform(merged, words)
        layer = layer_of(walk_upper_changes, upper, lower)
        whole = layer_of(walk_tree_changes, merged, lower)
        unpack(layer, directory / "layer", lower)
        (directory / "plain").mkdir()
        with open_trees([directory / "layer", lower]) as fds, open_trees([directory / "plain"]) as (plain_fd,):
            copy_stack(fds, plain_fd)
        expected = describe(merged)
        assert describe(directory / "plain") == expected
        unpack(whole, directory / "again", lower)
        (directory / "plain2").mkdir()
        with open_trees([directory / "again", lower]) as fds, open_trees([directory / "plain2"]) as (plain_fd,):
            copy_stack(fds, plain_fd)
        assert describe(directory / "plain2") == expected


CASES: dict[str, tuple[Words, list[tuple[str, str]]]] = {
    "nothing": ([], []),
    "new file": ([("write", "new")], [("A", "/new")]),
    "changed file, and so its directories": ([("write", "d/e/z")], [("C", "/d"), ("C", "/d/e"), ("C", "/d/e/z")]),
    "removed file": ([("remove", "d/x")], [("C", "/d"), ("D", "/d/x")]),
    "removed directory, told once": ([("remove", "d")], [("D", "/d")]),
    "new directory": ([("mkdir", "new")], [("A", "/new"), ("A", "/new/inside")]),
    "mode of a directory": ([("chmod", "empty")], [("C", "/empty")]),
    "opaque directory, told name by name": (
        [("replace", "d"), ("write", "d/x")], [("C", "/d"), ("D", "/d/e"), ("D", "/d/hard"), ("C", "/d/x"), ("D", "/d/y")],
    ),
    "directory becomes a link": ([("remove", "d"), ("symlink", "d")], [("C", "/d")]),
    "file becomes a directory": ([("remove", "a"), ("mkdir", "a")], [("C", "/a"), ("A", "/a/inside")]),
    "name that came and went": ([("write", "d/new"), ("remove", "d/new")], []),
}  # fmt: skip


@pytest.mark.parametrize(("words", "expected"), CASES.values(), ids=CASES)
def test_changes_are_told_as_docker_tells_them(tmp_path: Path, words: Words, expected: list[tuple[str, str]]) -> None:
    """`docker diff`: changed, added, deleted; with a file, the directories above it count as changed."""
    with overlay(tmp_path) as (lower, upper, merged):
        perform(merged, words)
        assert found_in(walk_upper_changes, upper, lower) == sorted(expected, key=lambda pair: pair[1])
        assert found_in(walk_tree_changes, merged, lower) == sorted(expected, key=lambda pair: pair[1])


def test_same_changes_give_the_same_bytes(tmp_path: Path) -> None:
    """A digest names content: who makes the same files on another day, in another order, must get the same layer."""
    layers: list[bytes] = []
    for order in (NAMES, NAMES[::-1]):
        root = tmp_path / str(len(layers))
        root.mkdir()
        for name in order:
            (root / name.replace("/", "-")).write_text(name)
        layers.append(layer_of(walk_tree_changes, root, latest_ns=1_000_000_000))
    assert layers[0] == layers[1]
    with tarfile.open(fileobj=io.BytesIO(layers[0])) as archive:
        assert {member.mtime for member in archive} == {1}


def test_archive_says_everything_about_a_file(tmp_path: Path) -> None:
    """GNU tar's rules in pax form: what one engine packs, every other one must unpack to the same thing."""
    root = tmp_path / "root"
    root.mkdir()
    long = "n" * 150 + "/" + "ü" * 60
    (root / long).parent.mkdir()
    (root / long).write_text("long")
    (root / "setuid").write_text("s")
    os.chown(root / "setuid", 3_000_000_000, 70_000)
    (root / "setuid").chmod(0o4755)
    os.setxattr(root / "setuid", "user.note", b"\x00\xff=\n")
    os.link(root / "setuid", root / "zz")
    os.symlink("t" * 200, root / "symlink")
    os.mkfifo(root / "fifo", 0o640)
    os.mknod(root / "null", 0o600 | stat.S_IFBLK, os.makedev(7, 300))
    os.utime(root / "setuid", ns=(5, -1_234_567_891))
    with open(root / "sparse", "wb") as file:
        file.truncate(3 << 20)
        file.seek(1 << 20)
        file.write(b"middle")
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(str(root / "socket"))
    layer = layer_of(walk_tree_changes, root)
    unpack(layer, tmp_path / "again")
    expected = describe(root)
    del expected["socket"]
    assert describe(tmp_path / "again") == expected
    assert os.path.samefile(tmp_path / "again/setuid", tmp_path / "again/zz")
    with tarfile.open(fileobj=io.BytesIO(layer)) as archive:
        members = {member.name: member for member in archive}
    assert members["zz"].linkname == "setuid"
    assert (members["setuid"].uid, members[long].size, members["null"].devminor) == (3_000_000_000, 4, 300)


def test_places_that_were_mounted_on_are_no_change(tmp_path: Path) -> None:
    """Starting a container makes `/etc/hosts` to mount on; `docker diff` of one that did nothing says nothing."""
    root, lower = tmp_path / "root", tmp_path / "lower"
    lower.mkdir()
    (root / "etc").mkdir(parents=True)
    (root / "etc/hosts").touch()
    ignored = ("/etc", "/etc/hosts")
    assert found_in(walk_tree_changes, root, lower, ignored=ignored) == []
    (root / "etc/passwd").touch()
    assert found_in(walk_tree_changes, root, lower, ignored=ignored) == [("A", "/etc"), ("A", "/etc/passwd")]
    (root / "etc/hosts").write_text("127.0.0.1 me")
    assert ("A", "/etc/hosts") in found_in(walk_tree_changes, root, lower, ignored=ignored)


def test_file_that_changes_while_it_is_packed_keeps_the_archive_whole(tmp_path: Path) -> None:
    """A running container writes on; the header has promised a size, and the archive must not fall apart."""
    root = tmp_path / "root"
    root.mkdir()
    (root / "log").write_bytes(b"x" * 3_000_000)
    (root / "next").write_text("after")
    with open_trees([root]) as fds:
        pieces = pack_stack(fds)
        packed = [next(pieces), next(pieces)]
        os.truncate(root / "log", 10)
        packed += pieces
    with tarfile.open(fileobj=io.BytesIO(b"".join(packed))) as archive:
        assert [(member.name, member.size) for member in archive] == [("log", 3_000_000), ("next", 5)]


def test_whiteouts_have_nothing_of_the_moment(tmp_path: Path) -> None:
    """A deletion has no owner and no date of its own."""
    lower, root = tmp_path / "lower", tmp_path / "root"
    lower.mkdir()
    root.mkdir()
    (lower / "gone").touch()
    with tarfile.open(fileobj=io.BytesIO(layer_of(walk_tree_changes, root, lower))) as archive:
        (member,) = archive
    assert (member.name, member.size, member.mtime, member.uid) == (".wh.gone", 0, 0, 0)
    assert found_in(walk_tree_changes, root, lower) == [("D", "/gone")]
    assert int(ChangeKind.DELETED) == 2, "the number of the Remote API"
