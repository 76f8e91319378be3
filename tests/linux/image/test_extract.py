"""Unpacking hostile and honest archives; most of it needs no root, because the entries belong to whoever runs the tests."""

from __future__ import annotations

import io
import os
import stat
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from minidocker.codec.tar import END_OF_ARCHIVE, InvalidArchive, Kind, TarEntry, TarReader, render_header, render_padding
from minidocker.errors import MinidockerError
from minidocker.image.extract import MAX_DEPTH, MAX_OPEN_DIRECTORIES, OPAQUE_XATTR, UnsafeEntry, extract_layer

needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="needs root: owners, devices and trusted attributes")
Item = tuple[TarEntry, bytes]


def file(name: str, data: bytes = b"data", mode: int = 0o644) -> Item:
    """Return a file's entry."""
    return TarEntry(name=name.encode(), size=len(data), mode=mode, uid=os.getuid(), gid=os.getgid(), mtime_ns=1_000_000_001), data


def node(name: str, kind: Kind, *, link: str = "", mode: int = 0o755, mtime_ns: int = 0) -> Item:
    """Return the entry of anything else."""
    return TarEntry(
        name=name.encode(), kind=kind, link_name=link.encode(), mode=mode, uid=os.getuid(), gid=os.getgid(), mtime_ns=mtime_ns
    ), b""  # fmt: skip


def directory(name: str, mode: int = 0o755, mtime_ns: int = 0) -> Item:
    """Return a directory's entry."""
    return node(name, Kind.DIRECTORY, mode=mode, mtime_ns=mtime_ns)


def symlink(name: str, to: str) -> Item:
    """Return a symbolic link's entry."""
    return node(name, Kind.SYMLINK, link=to)


def hard_link(name: str, to: str) -> Item:
    """Return a hard link's entry."""
    return node(name, Kind.HARD_LINK, link=to)


def unpack(target: Path, *items: Item, lower: tuple[Path, ...] = (), opaque_xattr: str = OPAQUE_XATTR) -> int:
    """Unpack an archive of *items* into *target*, made if missing."""
    content = b"".join(render_header(entry) + data + render_padding(len(data)) for entry, data in items) + END_OF_ARCHIVE
    target.mkdir(exist_ok=True)
    fds = [os.open(path, os.O_RDONLY | os.O_DIRECTORY) for path in (target, *lower)]
    try:
        return extract_layer(TarReader(io.BytesIO(content)), fds[0], lower_fds=fds[1:], opaque_xattr=opaque_xattr)
    finally:
        for fd in fds:
            os.close(fd)


REFUSED = {
    "parent directory": ([file("../a")], "climbs out"),
    "through a symlink": ([symlink("a", "/etc"), file("a/x")], "symbolic link"),
    "through a file": ([file("a"), file("a/x")], "symbolic link or a file"),
    "hard link to nothing": ([hard_link("a", "b")], "no file before it"),
    "hard link to a directory": ([directory("b"), hard_link("a", "b")], "no file before it"),
    "whiteout of nothing": ([file(".wh.", b"")], "names no file"),
    "whiteout of the directory": ([file("d/.wh..", b"")], "names no file"),
    "root replaced": ([file(".", b"")], "root directory"),
    "too deep": ([file("a/" * (MAX_DEPTH + 1) + "x")], "levels of directories"),
    "name too long": ([file("n" * 300)], "File name too long"),
    "user id out of range": ([(replace(file("a")[0], uid=2**40), b"data")], "out of range"),
}


@pytest.mark.parametrize(("items", "reason"), REFUSED.values(), ids=REFUSED)
def test_entry_that_cannot_be_unpacked_is_named(tmp_path: Path, items: list[Item], reason: str) -> None:
    """One sentence with the entry and the cause: who made the archive must find it."""
    with pytest.raises((UnsafeEntry, InvalidArchive), match=reason):
        unpack(tmp_path / "root", *items)


def test_leading_slash_is_dropped(tmp_path: Path) -> None:
    """Docker and GNU tar do so too: archives with absolute names are common and mean the root of the tree."""
    unpack(tmp_path / "root", file("/etc/motd", b"hi"), file("./etc//issue", b"ho"))
    assert (tmp_path / "root/etc/motd").read_text() + (tmp_path / "root/etc/issue").read_text() == "hiho"


def test_attributes_arrive(tmp_path: Path) -> None:
    """Mode with setuid, nanoseconds, links; a directory's time is not that of its last entry."""
    size = unpack(
        tmp_path / "root", directory("d", 0o2750, 5_000_000_007), file("d/su", b"12345", 0o4755), symlink("d/l", "su"),
        hard_link("d/h", "d/su"), node("d/p", Kind.FIFO, mode=0o622), directory("d/closed", 0o500), file("d/closed/f"),
    )  # fmt: skip
    found = {path.name: path.lstat() for path in (tmp_path / "root").rglob("*")}
    assert {name: stat.filemode(status.st_mode) for name, status in found.items() if name != "l"} == {
        "d": "drwxr-s---", "su": "-rwsr-xr-x", "h": "-rwsr-xr-x", "p": "prw--w--w-", "closed": "dr-x------", "f": "-rw-r--r--",
    }  # fmt: skip
    assert found["d"].st_mtime_ns == 5_000_000_007
    assert found["su"].st_mtime_ns == 1_000_000_001
    assert found["su"].st_ino == found["h"].st_ino
    assert os.readlink(tmp_path / "root/d/l") == "su"
    assert size == 9


def test_later_entry_replaces_an_earlier_one(tmp_path: Path) -> None:
    """Only a directory over a directory is merged; everything else makes place."""
    unpack(
        tmp_path / "root", file("a", b"old"), file("a", b"new"), directory("d", 0o700), file("d/kept"), directory("d", 0o755),
        directory("gone/below"), file("gone", b"a file now"), file("f"), directory("f"),
    )  # fmt: skip
    root = tmp_path / "root"
    assert (root / "a").read_text() == "new"
    assert (root / "d/kept").exists()
    assert stat.S_IMODE((root / "d").stat().st_mode) == 0o755
    assert (root / "gone").read_text() == "a file now"
    assert (root / "f").is_dir()


def test_many_directories_need_few_descriptors(tmp_path: Path) -> None:
    """Directories are kept open for speed, but a layer may have more than a process may open."""
    count = MAX_OPEN_DIRECTORIES * 2
    deep = "x/" * (MAX_OPEN_DIRECTORIES + 5)
    before = len(os.listdir("/proc/self/fd"))
    unpack(
        tmp_path / "root", *(file(f"d{n}/e/f") for n in range(count)), *(hard_link(f"d{n}/h", f"d{count - 1 - n}/e/f") for n in range(count)),
        file(f"{deep}f", b"deep"), hard_link("h", f"{deep}f"),
    )  # fmt: skip
    assert len(os.listdir("/proc/self/fd")) == before
    assert len(list((tmp_path / "root").glob("d*/h"))) == count
    assert (tmp_path / "root/h").read_bytes() == b"deep"


def test_sparse_file_stays_sparse(tmp_path: Path) -> None:
    """A terabyte of nothing must not fill the disk."""
    records = b"".join(
        b"%d %s=%s\n" % (len(key) + len(value) + 3 + 2, key, value)
        for key, value in ((b"GNU.sparse.major", b"1"), (b"GNU.sparse.minor", b"0"), (b"GNU.sparse.realsize", b"1073741824"))
    )
    header = render_header(TarEntry(name=b"pax", size=len(records)))
    pax = bytearray(header)
    pax[156:157], pax[148:156] = b"x", b" " * 8
    pax[148:156] = b"%06o\0 " % sum(pax)
    entry, _ = file("s", bytes(512 + 4))
    body = b"1\n1073741820\n4\n".ljust(512, b"\0") + b"tail"
    content = bytes(pax) + records + render_padding(len(records)) + render_header(entry) + body + render_padding(4)
    (tmp_path / "root").mkdir()
    fd = os.open(tmp_path / "root", os.O_RDONLY)
    try:
        extract_layer(TarReader(io.BytesIO(content + END_OF_ARCHIVE)), fd)
    finally:
        os.close(fd)
    status = (tmp_path / "root/s").stat()
    assert status.st_size == 1 << 30
    assert status.st_blocks * 512 < 1 << 20


def is_whiteout(path: Path) -> bool:
    """Whether overlayfs takes *path* for a whiteout."""
    status = path.lstat()
    return stat.S_ISCHR(status.st_mode) and status.st_rdev == 0


@needs_root
def test_whiteouts_become_what_overlayfs_understands(tmp_path: Path) -> None:
    """In an archive they are names, on disk a device 0:0 and an attribute; bookkeeping of aufs is dropped."""
    unpack(tmp_path / "root", file("a/.wh.gone", b""), file("b/.wh..wh..opq", b""), file(".wh..wh.plnk", b""), file("b/x"))
    root = tmp_path / "root"
    assert is_whiteout(root / "a/gone")
    assert os.getxattr(root / "b", OPAQUE_XATTR) == b"y"
    assert sorted(path.name for path in root.rglob("*")) == ["a", "b", "gone", "x"]


@needs_root
@pytest.mark.parametrize("first", [True, False], ids=["whiteout first", "whiteout last"])
def test_whiteout_never_hides_what_its_own_layer_brings(tmp_path: Path, first: bool) -> None:
    """OCI image-spec: whiteouts apply to lower layers only. A directory that replaces one must hide the old one's files."""
    whiteouts = [file(".wh.f", b""), file(".wh.d", b"")]
    brought = [file("f", b"new"), file("d/x", b"new")]
    unpack(tmp_path / "root", *(whiteouts + brought if first else brought + whiteouts))
    root = tmp_path / "root"
    assert (root / "f").read_text() == "new"
    assert (root / "d/x").read_text() == "new"
    assert os.getxattr(root / "d", OPAQUE_XATTR) == b"y"


@needs_root
def test_implied_directory_takes_its_attributes_from_below(tmp_path: Path) -> None:
    """In the overlay it hides the directory below it, which would lose its owner and mode: `/tmp` would not be 1777."""
    unpack(tmp_path / "lower", directory(".", 0o711), (replace(directory("tmp", 0o1777)[0], uid=7), b""))
    unpack(tmp_path / "upper", file("tmp/x"), lower=(tmp_path / "lower",))
    status = (tmp_path / "upper/tmp").stat()
    assert (stat.S_IMODE(status.st_mode), status.st_uid) == (0o1777, 7)
    assert stat.S_IMODE((tmp_path / "upper").stat().st_mode) == 0o711


@needs_root
def test_devices_owners_and_attributes_arrive(tmp_path: Path) -> None:
    """`ping` works through `security.capability`; what would speak to overlayfs itself is dropped."""
    capability = bytes.fromhex("0100000200200000000000000000000000000000")
    xattrs = {b"user.note": b"n", b"security.capability": capability, b"trusted.overlay.redirect": b"/etc"}
    ping = TarEntry(name=b"ping", size=1, mode=0o4755, uid=1234, gid=5678, xattrs=xattrs)
    null = TarEntry(name=b"null", kind=Kind.CHARACTER_DEVICE, mode=0o666, device_major=1, device_minor=3)
    unpack(tmp_path / "root", (ping, b"x"), (null, b""))
    status = (tmp_path / "root/ping").stat()
    assert (status.st_uid, status.st_gid, stat.S_IMODE(status.st_mode)) == (1234, 5678, 0o4755)
    assert os.getxattr(tmp_path / "root/ping", "security.capability") == capability
    assert "trusted.overlay.redirect" not in os.listxattr(tmp_path / "root/ping")
    assert (tmp_path / "root/null").stat().st_rdev == os.makedev(1, 3)


PARTS = st.sampled_from(["a", "b", "..", ".", "", "c"])
PATHS = st.lists(PARTS, min_size=1, max_size=4).map("/".join)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=150, deadline=None)
@given(st.lists(st.tuples(st.sampled_from([file, directory, symlink, hard_link]), PATHS, PATHS), max_size=8))
def test_any_archive_stays_inside(tmp_path: Path, plan: list[tuple[object, str, str]]) -> None:
    """Whatever the order of links, directories and files: the directory around the root keeps its two entries."""
    root = tmp_path / "around" / "root"
    root.mkdir(parents=True, exist_ok=True)
    (tmp_path / "around" / "a").write_text("canary")
    items = [make(name, to) if make in (symlink, hard_link) else make(name) for make, name, to in plan]  # type: ignore[operator]  # one of four functions
    with suppress(MinidockerError):
        unpack(root, *items, opaque_xattr="user.overlay.opaque")
    assert (tmp_path / "around" / "a").read_text() == "canary"
    assert (tmp_path / "around" / "a").stat().st_nlink == 1
    assert sorted(os.listdir(tmp_path / "around")) == ["a", "root"]
    for child in [path for path in root.iterdir() if not path.is_symlink() and path.is_file()]:
        child.unlink()
