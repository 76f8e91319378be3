"""Mounts, and paths that cannot leave a container's root; see mount(2), openat2(2), pivot_root(2).

A path inside a container is never handed to the kernel as a string of the host: it is opened with the container's root
as `/` (`open_in_root`) and then used through `/proc/self/fd/N`. A symbolic link planted in an image, or swapped while we
look, then leads to a place inside the root at worst (CVE-2021-30465, CVE-2025-52881). Chapter 16.
"""

from __future__ import annotations

import ctypes
import errno
import os
import socket
import stat
from contextlib import suppress
from pathlib import Path, PurePosixPath

from minidocker.codec.mountinfo import parse_mountinfo
from minidocker.kernel.flags import Clone, Mnt, Ms, Resolve
from minidocker.kernel.libc import LIBC, check, raw_syscall
from minidocker.kernel.namespaces import open_namespace, setns
from minidocker.kernel.process import exit_child

__all__ = [
    "bind_readonly", "borrow_tree", "fd_path", "make_directories", "make_file", "mask_path", "mount", "mount_on_fd", "move_root",
    "move_tree", "open_in_root", "open_tree", "pivot_root", "require_filesystem", "restrict_tree", "separate_from_parent",
    "separate_mounts", "umount2",
]  # fmt: skip

_AT_FDCWD = -100
_AT_EMPTY_PATH = 0x1000
_AT_RECURSIVE = 0x8000
_OPEN_TREE_CLONE = 1
_MOVE_MOUNT_F_EMPTY_PATH = 4
_MOVE_MOUNT_T_SYMLINKS = 0x10

PROC_SUPER_MAGIC = 0x9FA0
"""`f_type` of procfs in `<linux/magic.h>`."""


class _OpenHow(ctypes.Structure):
    """`struct open_how` of `<linux/openat2.h>`."""

    _fields_ = (("flags", ctypes.c_uint64), ("mode", ctypes.c_uint64), ("resolve", ctypes.c_uint64))


class _MountAttr(ctypes.Structure):
    """`struct mount_attr` of `<linux/mount.h>`."""

    _fields_ = (
        ("attr_set", ctypes.c_uint64), ("attr_clr", ctypes.c_uint64), ("propagation", ctypes.c_uint64),
        ("userns_fd", ctypes.c_uint64),
    )  # fmt: skip


def mount(source: str | None, target: str, *, fstype: str = "", flags: Ms = Ms(0), data: str = "") -> None:
    """Attach a file system, a bind or a new propagation to *target*, as mount(2) does."""
    words = [os.fsencode(word) if word else None for word in (source, fstype, data)]
    check("mount", lambda: LIBC.mount(words[0], os.fsencode(target), words[1], int(flags), words[2]), path=target)


def separate_mounts(propagation: Ms) -> None:
    """Give the whole mount tree of a new mount namespace *propagation*, so that nothing mounted here shows on the host.

    Preconditions: this process is single-threaded and has just unshared its mount namespace.
    Postconditions: its root is the root of the namespace, its working directory is `/`.
    """
    _leave_chroot()
    mount(None, "/", flags=propagation | Ms.REC)


def separate_from_parent(path: str) -> None:
    """Make the mount that *path* lies on private: pivot_root(2) refuses a root whose parent is shared."""
    infos = os.open("/proc/self/fdinfo", os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        below = path
        while below != "/" and _mount_id(below, infos) == _mount_id(os.path.dirname(below), infos):
            below = os.path.dirname(below)
        mount(None, below, flags=Ms.PRIVATE)
    finally:
        os.close(infos)


def _mount_id(path: str, infos: int) -> str:
    fd = os.open(path, os.O_PATH | os.O_CLOEXEC)
    try:
        return _identify(fd, infos)[0]
    finally:
        os.close(fd)


def restrict_tree(fd: int, flags: Ms) -> None:
    """Set *flags* on the mount that *fd* is on and on all below; see mount_setattr(2), Linux 5.12."""
    names = ((Ms.RDONLY, 1), (Ms.NOSUID, 2), (Ms.NODEV, 4), (Ms.NOEXEC, 8))  # MOUNT_ATTR_* of <linux/mount.h>
    attr = _MountAttr(attr_set=sum(bit for flag, bit in names if flags & flag))
    empty = ctypes.c_char_p(b"")
    raw_syscall("mount_setattr", fd, empty, _AT_EMPTY_PATH | _AT_RECURSIVE, ctypes.byref(attr), ctypes.sizeof(attr))


def _leave_chroot() -> None:
    """Make the tree below `/` all that the mount namespace holds.

    After a chroot(2) the namespace still begins at the host's root. Everything would seem to work, but the root of whoever joins
    the namespace (`exec`) would be the host's, and a process with CAP_SYS_CHROOT could climb there. Joining our own namespace
    takes us to its beginning; where that is another place, a private copy of our tree takes its place. See setns(2), open_tree(2).
    """
    flags = os.O_DIRECTORY | os.O_CLOEXEC
    ours, infos = os.open("/", os.O_PATH | flags), os.open("/proc/self/fdinfo", os.O_RDONLY | flags)
    namespace = open_namespace("self", Clone.NEWNS)
    whole = -1
    try:
        setns(namespace, Clone.NEWNS)
        whole = os.open("/", os.O_PATH | flags)
        if _identify(ours, infos) != _identify(whole, infos):
            _replace_root(ours)
    finally:
        for fd in (ours, infos, namespace, whole):
            if fd != -1:
                os.close(fd)


def _identify(fd: int, infos: int) -> tuple[str, int]:
    """Return mount and inode of a directory; *infos* is `/proc/self/fdinfo`, which may not be found from here."""
    with open(os.open(str(fd), os.O_RDONLY | os.O_CLOEXEC, dir_fd=infos), encoding="ascii") as info:
        mount_id = next(line for line in info if line.startswith("mnt_id:"))
    return mount_id, os.fstat(fd).st_ino


def _replace_root(directory: int) -> None:
    """Put a private copy of the mount tree below *directory* in the place of the namespace's root."""
    empty, recursive = ctypes.c_char_p(b""), _AT_EMPTY_PATH | _AT_RECURSIVE
    tree = raw_syscall("open_tree", directory, empty, _OPEN_TREE_CLONE | recursive | os.O_CLOEXEC)
    private = _MountAttr(propagation=int(Ms.PRIVATE))
    raw_syscall("mount_setattr", tree, empty, recursive, ctypes.byref(private), ctypes.sizeof(private))
    mount(None, "/", flags=Ms.PRIVATE | Ms.REC)
    raw_syscall("move_mount", tree, empty, _AT_FDCWD, ctypes.c_char_p(b"/"), _MOVE_MOUNT_F_EMPTY_PATH)
    os.fchdir(tree)
    os.close(tree)
    _pivot_to_cwd()


def open_tree(path: str, *, recursive: bool) -> int:
    """Return a detached copy of the mount at *path*, and with *recursive* of all below it; see open_tree(2)."""
    flags = _OPEN_TREE_CLONE | os.O_CLOEXEC | (_AT_RECURSIVE if recursive else 0)
    return raw_syscall("open_tree", _AT_FDCWD, ctypes.c_char_p(os.fsencode(path)), flags, path=path)


def borrow_tree(pidfd: int, path: str) -> int:
    """Return a detached copy of the mount at *path* in the mount namespace of another process.

    A child goes there and hands the copy back: who is in a user namespace could not return to a mount namespace of the host.
    """
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    child = os.fork()
    if child == 0:
        try:
            setns(pidfd, Clone.NEWNS)
            socket.send_fds(theirs, [b"0"], [open_tree(path, recursive=True)])
        except OSError as error:
            theirs.send(b"%d" % (error.errno or 0))
        finally:
            exit_child(0)
    theirs.close()
    with ours:
        answer, fds, _flags, _address = socket.recv_fds(ours, 16, 1)
    os.waitpid(child, 0)
    if not fds:
        raise OSError(int(answer or b"0"), os.strerror(int(answer or b"0")), path)
    os.set_inheritable(fds[0], False)
    return fds[0]


def move_tree(tree_fd: int, target: str) -> None:
    """Attach a detached copy at *target*; see move_mount(2)."""
    flags = _MOVE_MOUNT_F_EMPTY_PATH | _MOVE_MOUNT_T_SYMLINKS
    raw_syscall("move_mount", tree_fd, ctypes.c_char_p(b""), _AT_FDCWD, ctypes.c_char_p(os.fsencode(target)), flags, path=target)


def umount2(target: str, *, flags: Mnt = Mnt(0)) -> None:
    """Detach *target* from the mount tree; see umount2(2)."""
    check("umount2", lambda: LIBC.umount2(os.fsencode(target), int(flags)), path=target)


def open_in_root(root_fd: int, path: str, *, flags: int = os.O_PATH, mode: int = 0) -> int:
    """Open *path* as a process whose root is *root_fd* would; magic links of procfs are refused. See openat2(2)."""
    resolve = Resolve.IN_ROOT | Resolve.NO_MAGICLINKS
    how = _OpenHow(flags=flags | os.O_CLOEXEC, mode=mode, resolve=int(resolve))
    where = os.fsencode(path)
    return raw_syscall("openat2", root_fd, ctypes.c_char_p(where), ctypes.byref(how), ctypes.sizeof(how), path=path)


def fd_path(fd: int) -> str:
    """Return the path under which the kernel lets us name an open file."""
    return f"/proc/self/fd/{fd}"


def make_directories(root_fd: int, path: str, *, mode: int = 0o755) -> None:
    """Make *path* and its missing parents inside the root; existing ones stay as they are."""
    parts = PurePosixPath("/" + path).parts[1:]
    for depth, name in enumerate(parts):
        here = "/" + "/".join(parts[: depth + 1])
        try:
            os.close(open_in_root(root_fd, here, flags=os.O_PATH | os.O_DIRECTORY))
        except FileNotFoundError:
            parent = open_in_root(root_fd, "/" + "/".join(parts[:depth]), flags=os.O_PATH | os.O_DIRECTORY)
            try:
                os.mkdir(name, mode, dir_fd=parent)
            finally:
                os.close(parent)


def make_file(root_fd: int, path: str) -> None:
    """Make an empty regular file to mount on, unless something is there already."""
    try:
        os.close(open_in_root(root_fd, path))
    except FileNotFoundError:
        parent = str(PurePosixPath(path).parent)
        make_directories(root_fd, parent)
        parent_fd = open_in_root(root_fd, parent, flags=os.O_PATH | os.O_DIRECTORY)
        try:
            flags = os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC | os.O_WRONLY
            os.close(os.open(PurePosixPath(path).name, flags, 0o644, dir_fd=parent_fd))
        finally:
            os.close(parent_fd)


def mount_on_fd(
    source: str | None, target_fd: int, *, fstype: str = "", flags: Ms = Ms(0), data: str = "", tree_fd: int = -1
) -> None:  # fmt: skip
    """Mount on the file that *target_fd* has open; of a bind, *tree_fd* may be the source as a detached copy.

    A bind with further flags takes two calls: the kernel ignores the flags of the first (mount(2), "Bind mount"). Propagation
    always takes one of its own.
    """
    if flags & Ms.REMOUNT:
        mount(None, fd_path(target_fd), flags=flags)
        return
    propagation = flags & (Ms.PRIVATE | Ms.SLAVE | Ms.SHARED | Ms.UNBINDABLE)
    if not flags & Ms.BIND:
        plain = flags & ~propagation & ~Ms.REC
        mount(source, fd_path(target_fd), fstype=fstype, flags=plain, data=data)
        extra = Ms(0)
    else:
        if tree_fd < 0:
            mount(source, fd_path(target_fd), flags=flags & (Ms.BIND | Ms.REC))
        else:
            move_tree(tree_fd, fd_path(target_fd))
        extra = flags & ~(Ms.BIND | Ms.REC | propagation)
    if not (extra or propagation):
        return
    target = os.readlink(fd_path(target_fd)) if tree_fd < 0 else fd_path(tree_fd)
    if extra:
        mount(None, target, flags=Ms.REMOUNT | Ms.BIND | extra | _locked_flags(target))
    if propagation:
        mount(None, target, flags=propagation | (flags & Ms.REC))


def _locked_flags(path: str) -> Ms:
    """Return the flags that a remount has to repeat, because it would otherwise clear them."""
    current = os.statvfs(path).f_flag
    pairs = ((os.ST_NOSUID, Ms.NOSUID), (os.ST_NODEV, Ms.NODEV), (os.ST_NOEXEC, Ms.NOEXEC), (os.ST_RDONLY, Ms.RDONLY))
    flags = Ms(0)
    for bit, flag in pairs:
        if current & bit:
            flags |= flag
    return flags


def bind_readonly(root_fd: int, path: str) -> None:
    """Make *path* read-only by binding it onto itself; a path that does not exist needs no protection."""
    with suppress(FileNotFoundError, NotADirectoryError):
        fd = open_in_root(root_fd, path)
        try:
            mount_on_fd(fd_path(fd), fd, flags=Ms.BIND | Ms.REC | Ms.RDONLY)
        finally:
            os.close(fd)


def mask_path(root_fd: int, path: str, *, null_fd: int) -> None:
    """Hide *path*: a directory under an empty read-only tmpfs, anything else under `/dev/null`.

    Preconditions:
        *null_fd* is an open descriptor of the container's `/dev/null`, verified to be device 1:3 (CVE-2025-31133).
    """
    with suppress(FileNotFoundError, NotADirectoryError):
        fd = open_in_root(root_fd, path)
        try:
            if stat.S_ISDIR(os.fstat(fd).st_mode):
                mount("tmpfs", fd_path(fd), fstype="tmpfs", flags=Ms.RDONLY, data="nr_blocks=1,nr_inodes=1")
            else:
                mount(fd_path(null_fd), fd_path(fd), flags=Ms.BIND)
        finally:
            os.close(fd)


def pivot_root(new_root: str, *, readonly: bool) -> None:
    """Make *new_root* the root of the mount namespace and detach the old one; see pivot_root(2).

    `pivot_root(".", ".")` stacks the old root on the new, so that no directory for it has to exist. The old root is made
    a slave first: its unmounting must not travel back to the host.
    """
    os.chdir(new_root)
    _pivot_to_cwd()
    if readonly:
        _make_root_readonly()


def move_root(new_root: str, *, readonly: bool) -> None:
    """Move *new_root* over the root and chroot(2) there: weaker than `pivot_root`, because the old root lies below, but without it.

    The kernel refuses pivot_root(2) on the root that a machine booted with, a ramdisk; see "switch_root" of util-linux. The host's
    procfs and sysfs go first: while one without masks is visible, a user namespace inside could mount another like it.
    """
    os.chdir(new_root)
    for info in parse_mountinfo(Path("/proc/self/mountinfo").read_text(encoding="utf-8", errors="surrogateescape")):
        if info.fstype in ("proc", "sysfs") and not info.mount_point.startswith(f"{new_root}/"):
            with suppress(OSError):  # below another one that went with it
                umount2(info.mount_point, flags=Mnt.DETACH)
    mount(new_root, "/", flags=Ms.MOVE)
    os.chroot(".")
    os.chdir("/")
    if readonly:
        _make_root_readonly()


def _make_root_readonly() -> None:
    mount(None, "/", flags=Ms.REMOUNT | Ms.BIND | Ms.RDONLY | _locked_flags("/"))


def _pivot_to_cwd() -> None:
    old_root = os.open("/", os.O_DIRECTORY | os.O_PATH | os.O_CLOEXEC)
    raw_syscall("pivot_root", ctypes.c_char_p(b"."), ctypes.c_char_p(b"."))
    os.fchdir(old_root)
    os.close(old_root)
    mount(None, ".", flags=Ms.SLAVE | Ms.REC)
    umount2(".", flags=Mnt.DETACH)
    os.chdir("/")


class _Statfs(ctypes.Structure):
    """The head of `struct statfs` on 64-bit machines; the rest is not looked at."""

    _fields_ = (("f_type", ctypes.c_long), ("rest", ctypes.c_byte * 256))


def require_filesystem(fd: int, magic: int, *, path: str) -> None:
    """Raise unless the file lies on the file system with *magic*: a fake `/proc` must not be written to.

    Raises:
        OSError: `EXDEV`, naming *path*; see statfs(2) and CVE-2019-16884.
    """
    result = _Statfs()
    check("fstatfs", lambda: LIBC.fstatfs(fd, ctypes.byref(result)), path=path)
    if result.f_type != magic:
        raise OSError(errno.EXDEV, f"unexpected file system type {result.f_type:#x}", path)
