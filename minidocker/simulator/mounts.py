"""The system calls of the mount table: mount, umount2, pivot_root, and what unshare does to it.

Pure. One call mount(2) is five, told apart by its flags; `mount` below is that `switch`, in the kernel's order. What a mount shows
is `minidocker.simulator.filesystems`, where else it appears `minidocker.simulator.propagation`. See mount(2), umount2(2),
pivot_root(2). Chapter 16.
"""

from __future__ import annotations

import errno
import posixpath
from dataclasses import replace
from typing import Final

from minidocker.kernel.flags import Clone, Mnt, Ms
from minidocker.simulator.files import resolve, rise
from minidocker.simulator.filesystems import open_file_system
from minidocker.simulator.linux import Linux, Mount, Mounts, NodeKind, Place, fail, require_capability
from minidocker.simulator.propagation import (
    DETACHED, attach, change_propagation, children_of, copy_tree, detach, is_in_use, require_one_propagation, subtree,
)  # fmt: skip

__all__ = ["copy_mount_namespace", "mount", "pivot_root", "umount"]

_ATIME: Final = Ms.NOATIME | Ms.NODIRATIME | Ms.RELATIME
_OF_MOUNT: Final = Ms.RDONLY | Ms.NOSUID | Ms.NODEV | Ms.NOEXEC | _ATIME
"""Flags that belong to a mount; of these RDONLY belongs to the file system as well."""
_PROPAGATION: Final = Ms.SHARED | Ms.PRIVATE | Ms.SLAVE | Ms.UNBINDABLE


def mount(
    linux: Linux, pid: int, *, source: str | Place, target: str | Place, fstype: str = "", flags: Ms = Ms(0), data: str = ""
) -> Linux:
    """Do what mount(2) does.

    A `Place` stands for a path through `/proc/self/fd/N`, which leads to an open file and nowhere else.

    Raises:
        OSError: EPERM without CAP_SYS_ADMIN; EINVAL, ENOENT, ENOTDIR, ENODEV, EBUSY as the page says.
    """
    process = linux.processes[pid]
    require_capability(process, "CAP_SYS_ADMIN", "mount")
    here = target if isinstance(target, Place) else resolve(linux, process.root, target, start=process.cwd)
    _require_own(linux, pid, here)
    at = linux.mounts[here.mount]
    if flags & Ms.REMOUNT:
        _require_mount_point(linux, here)
        return linux.with_mounts(replace(at, flags=_mount_flags(flags, before=at.flags))) if flags & Ms.BIND else _reconfigure(linux, at, flags)
    if flags & Ms.BIND:
        place = source if isinstance(source, Place) else resolve(linux, process.root, source, start=process.cwd)
        return _bind(linux, pid, place, here, recursive=bool(flags & Ms.REC))
    if flags & _PROPAGATION:
        _require_mount_point(linux, here)
        kind = require_one_propagation(flags)
        return change_propagation(linux, subtree(linux, at.id) if flags & Ms.REC else [at], kind)
    linux, number, root = open_file_system(linux, pid, fstype, data, readonly=bool(flags & Ms.RDONLY))
    below = linux.mounts[here.mount]
    if below.file_system == number and here.path == below.root:
        raise fail(errno.EBUSY, "this file system is mounted right here already")
    _require_same_kind(linux, linux.file_systems[number].files[root].kind, here)
    linux, new = linux.new_id()
    name = source if isinstance(source, str) else ""
    detached = Mount(
        id=new, parent=new, mount_point="/", namespace=DETACHED, file_system=number, root=root, source=name, flags=_mount_flags(flags)
    )
    return attach(linux.with_mounts(detached), new, here)


def _mount_flags(flags: Ms, *, before: Ms | None = None) -> Ms:
    """Return the flags of a mount: relatime unless told otherwise; a remount that says nothing of access times keeps them."""
    if before is not None and not flags & (_ATIME | Ms.STRICTATIME):
        return flags & _OF_MOUNT & ~_ATIME | before & _ATIME
    kept = flags & _OF_MOUNT
    if flags & Ms.STRICTATIME:
        return kept & ~_ATIME
    return kept if flags & Ms.NOATIME else kept | Ms.RELATIME


def _reconfigure(linux: Linux, at: Mount, flags: Ms) -> Linux:
    """MS_REMOUNT without MS_BIND: the file system itself changes, for all its mounts."""
    file_system = replace(linux.file_systems[at.file_system], readonly=bool(flags & Ms.RDONLY))
    return linux.with_file_system(file_system).with_mounts(replace(at, flags=_mount_flags(flags, before=at.flags)))


def _bind(linux: Linux, pid: int, source: Place, target: Place, *, recursive: bool) -> Linux:
    """MS_BIND: show a file or directory at a second place. All flags but REC are ignored: they are the source's."""
    if linux.mounts[source.mount].unbindable:
        raise fail(errno.EINVAL, "the source is unbindable")
    _require_own(linux, pid, source)
    _require_same_kind(linux, linux.node_at(source).kind, target)
    linux, copy = copy_tree(linux, source.mount, source.path, recursive=recursive)
    return attach(linux, copy, target)


def _require_same_kind(linux: Linux, kind: str, target: Place) -> None:
    if (kind == NodeKind.DIRECTORY) != (linux.node_at(target).kind == NodeKind.DIRECTORY):
        raise fail(errno.ENOTDIR, "a directory goes on a directory, a file on a file", target.path)


def _require_own(linux: Linux, pid: int, place: Place) -> None:
    """Raise unless *place* is in the caller's mount namespace."""
    if linux.mounts[place.mount].namespace != linux.processes[pid].namespaces[Clone.NEWNS]:
        raise fail(errno.EINVAL, "a mount of another namespace", place.path)


def _require_mount_point(linux: Linux, place: Place) -> None:
    if linux.mounts[place.mount].root != place.path:
        raise fail(errno.EINVAL, "not a mount point", place.path)


def umount(linux: Linux, pid: int, target: str | Place, *, flags: Mnt = Mnt(0)) -> Linux:
    """Do what umount2(2) does. MNT_DETACH takes everything below along and asks nobody; without it, nobody may be there.

    Raises:
        OSError: EPERM; EINVAL where nothing is mounted; EBUSY where something or somebody is in it.
    """
    process = linux.processes[pid]
    require_capability(process, "CAP_SYS_ADMIN", "umount")
    place = target if isinstance(target, Place) else resolve(linux, process.root, target, start=process.cwd)
    _require_mount_point(linux, place)
    _require_own(linux, pid, place)
    if linux.mounts[place.mount].parent == place.mount:
        raise fail(errno.EINVAL, "the top of a mount namespace", place.path)
    if not flags & Mnt.DETACH and (children_of(linux, place.mount) or is_in_use(linux, place.mount)):
        raise fail(errno.EBUSY, "something is mounted, or somebody is, in there", place.path)
    return detach(linux, place.mount)


def pivot_root(linux: Linux, pid: int, new_root: str, put_old: str) -> Linux:
    """Do what pivot_root(2) does: *new_root* goes to the top of the namespace, and the mount that was there to *put_old*.

    Every process of the namespace whose root or working directory was the old root moves to the new one.

    Raises:
        OSError: EPERM, EBUSY or EINVAL; each is one of the page's preconditions, in the kernel's order.
    """
    process = linux.processes[pid]
    require_capability(process, "CAP_SYS_ADMIN", "pivot_root")
    new = resolve(linux, process.root, new_root, start=process.cwd)
    old = resolve(linux, process.root, put_old, start=process.cwd)
    root = process.root
    _check_pivot(linux, pid, new, old, root)
    root_mount, new_mount = linux.mounts[root.mount], linux.mounts[new.mount]
    # take the new root off, put it where the old one is attached, then hang the old one in it
    linux = linux.with_mounts(replace(new_mount, parent=root_mount.parent, mount_point=root_mount.mount_point))
    mounts = {number: m for number, m in linux.mounts.items() if number != root.mount}
    linux = replace(linux, mounts={**mounts, root.mount: replace(root_mount, parent=old.mount, mount_point=old.path)})
    for other in linux.processes.values():
        moved = replace(other, root=new if other.root == root else other.root, cwd=new if other.cwd == root else other.cwd)
        linux = linux.with_process(moved) if moved != other else linux
    return linux


def _check_pivot(linux: Linux, pid: int, new: Place, old: Place, root: Place) -> None:
    """Raise what forbids the pivot; the numbers are those of the kernel's checks."""
    mounts = linux.mounts
    root_mount, new_mount = mounts[root.mount], mounts[new.mount]
    for place in (new, old):
        if linux.node_at(place).kind != NodeKind.DIRECTORY:
            raise fail(errno.ENOTDIR, "not a directory", place.path)
    if mounts[old.mount].peer_group or mounts[new_mount.parent].peer_group or mounts[root_mount.parent].peer_group:
        raise fail(errno.EINVAL, "a shared mount is involved: the move would have to be sent to its peers")
    for place in (root, new, old):
        _require_own(linux, pid, place)
    if root.mount in (new.mount, old.mount):
        raise fail(errno.EBUSY, "the new root is on the current root file system: it has to be a mount of its own")
    for place, name in ((root, "the current root"), (new, "the new root")):
        if mounts[place.mount].root != place.path:
            raise fail(errno.EINVAL, f"{name} is not a mount point")
        if mounts[place.mount].parent == place.mount:
            raise fail(errno.EINVAL, f"{name} is the top of the namespace and cannot be taken off")
    if not _is_below(linux, old, new):
        raise fail(errno.EINVAL, "the place for the old root is not below the new root")
    if not _is_below(linux, new, root):
        raise fail(errno.EINVAL, "the new root is not below the current root")


def _is_below(linux: Linux, place: Place, top: Place) -> bool:
    """Return whether one gets from *place* to *top* by going up."""
    while place.mount != top.mount:
        if linux.mounts[place.mount].parent == place.mount:
            return False
        place = rise(linux, place)
    return place.path == top.path or place.path.startswith(posixpath.join(top.path, ""))


def copy_mount_namespace(linux: Linux, pid: int, number: int) -> Linux:
    """Do CLONE_NEWNS: the new namespace *number* is a copy of the caller's whole mount table, shared mounts as their peers.

    The caller's root and working directory are the same directories, on the copied mounts.
    """
    process = linux.processes[pid]
    old = linux.namespaces[process.namespaces[Clone.NEWNS]]
    assert isinstance(old, Mounts)
    before = subtree(linux, old.top)
    linux, top = copy_tree(linux, old.top, linux.mounts[old.top].root, unbindable=True)
    after = subtree(linux, top)
    twin = {original.id: copy.id for original, copy in zip(before, after, strict=True)}
    linux = linux.with_mounts(*(replace(m, namespace=number) for m in after)).with_namespace(number, Mounts(top=top))
    root, cwd = (replace(p, mount=twin.get(p.mount, top)) for p in (process.root, process.cwd))
    return linux.with_process(replace(process, root=root, cwd=cwd, namespaces={**process.namespaces, Clone.NEWNS: number}))
