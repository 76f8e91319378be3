"""What a new mount shows: file systems, whose they are and how they print their options.

Pure. Some file systems are new with every mount (tmpfs, devpts, overlay, procfs), some exist once for each namespace (sysfs for
the network, mqueue for ipc) or once for all (control groups); mounting these again shows the one there is. Options come back in
the words of the file system's `show_options`: only what differs from its defaults. See tmpfs(5), proc(5), cgroups(7), and
`Documentation/filesystems/overlayfs.rst` and `devpts.rst` of the kernel. Chapter 16.
"""

from __future__ import annotations

import errno
from collections.abc import Mapping
from dataclasses import replace
from typing import Final

from minidocker.codec.idmap import find_outside
from minidocker.kernel.flags import Clone
from minidocker.simulator.files import absolute, is_under, resolve
from minidocker.simulator.linux import CgroupRoots, FileSystem, Linux, Node, NodeKind, Pid, fail

__all__ = ["PAGE_BYTES", "group_root", "open_file_system"]

PAGE_BYTES: Final = 4096
_TMPFS_DEFAULTS: Final = {"size": "", "nr_inodes": "", "mode": "1777", "uid": "0", "gid": "0"}
_DEVPTS_DEFAULTS: Final = {"uid": "", "gid": "", "mode": "600", "ptmxmode": "000", "max": ""}
_OWNERS: Final = {"proc": Clone.NEWPID, "sysfs": Clone.NEWNET, "mqueue": Clone.NEWIPC}


def open_file_system(linux: Linux, pid: int, fstype: str, data: str, *, readonly: bool) -> tuple[Linux, int, str]:
    """Return the file system that *fstype* with options *data* means to this process, made if need be, and what is its root.

    Raises:
        OSError: ENODEV for an unknown type, EINVAL for an option, ENOENT for a layer that is missing.
    """
    words = _translate_owners(linux, pid, fstype, dict(word.partition("=")[::2] for word in data.split(",") if word))
    match fstype:
        case "tmpfs":
            return _add(linux, FileSystem(id=0, device="", fstype=fstype, options=_tmpfs_options(words), readonly=readonly))
        case "devpts":
            files = {**FileSystem(id=0, device="", fstype="").files, "/ptmx": Node(kind=NodeKind.CHARACTER, content="5:2")}
            return _add(linux, FileSystem(id=0, device="", fstype=fstype, options=_devpts_options(words), readonly=readonly, files=files))
        case "overlay":
            return _add(linux, _stack(linux, pid, words, readonly=readonly))
        case "proc" | "sysfs" | "mqueue":
            return _open_owned(linux, pid, fstype, readonly=readonly)
        case "cgroup" | "cgroup2":
            return _find_tree(linux, pid, fstype, data)
        case _:
            raise fail(errno.ENODEV, f"no file system `{fstype}`")


def _translate_owners(linux: Linux, pid: int, fstype: str, words: dict[str, str]) -> dict[str, str]:
    """Return the options with owners in the machine's own numbers, in which they are printed; a new tmpfs belongs to who mounts it."""
    user = linux.user_of(pid)[1]
    if not user.parent or fstype not in ("tmpfs", "devpts"):
        return words
    asked = {"uid": "0", "gid": "0", **words} if fstype == "tmpfs" else words
    for key, ranges in (("uid", user.uid_map), ("gid", user.gid_map)):
        if key in asked:
            number = find_outside(ranges, int(asked[key]))
            if number is None:
                raise fail(errno.EINVAL, f"{fstype}: {key} {asked[key]} is nobody in this user namespace")
            asked[key] = str(number)
    return asked


def _add(linux: Linux, file_system: FileSystem) -> tuple[Linux, int, str]:
    """Add a new file system, on a device number of its own without a device."""
    linux, number = linux.new_id()
    return linux.with_file_system(replace(file_system, id=number, device=f"0:{number}")), number, "/"


def _open_owned(linux: Linux, pid: int, fstype: str, *, readonly: bool) -> tuple[Linux, int, str]:
    """Return the procfs, sysfs or mqueue of the caller's namespace. A procfs is new each time, with the same content."""
    owner = linux.processes[pid].namespaces[_OWNERS[fstype]]
    number, user = linux.user_of(pid)
    if user.parent and linux.owners.get(owner) != number:
        raise fail(errno.EPERM, f"the namespace that a {fstype} shows belongs to another user namespace")
    found = next((f for f in linux.file_systems.values() if f.fstype == fstype and f.owner == owner), None)
    if found is not None and fstype != "proc":
        return linux, found.id, "/"
    namespace = linux.namespaces[owner]
    if isinstance(namespace, Pid) and namespace.is_dead:
        raise fail(errno.EINVAL, "the pid namespace has no process 1 any more")
    files = linux.trees.get(fstype, FileSystem(id=0, device="", fstype="").files)
    return _add(linux, FileSystem(id=0, device="", fstype=fstype, owner=owner, readonly=readonly, files=files))


def _tmpfs_options(words: Mapping[str, str]) -> tuple[str, ...]:
    """Return the options as tmpfs prints them: sizes in whole pages as KiB, the mode unless it is that of `/tmp`."""
    given = dict(words)
    if "nr_blocks" in given:
        given["size"] = str(_parse_size(given.pop("nr_blocks")) * PAGE_BYTES)
    if unknown := given.keys() - _TMPFS_DEFAULTS.keys():
        raise fail(errno.EINVAL, f"tmpfs: unknown option `{min(unknown)}`")
    if "size" in given:
        pages = -(-_parse_size(given["size"]) // PAGE_BYTES)
        given["size"] = f"{pages * PAGE_BYTES // 1024}k" if pages else ""
    if "mode" in given:
        given["mode"] = f"{_parse_octal(given['mode']) & 0o7777:03o}"
    return tuple(f"{name}={given[name]}" for name, usual in _TMPFS_DEFAULTS.items() if given.get(name, usual) != usual)


def _devpts_options(words: Mapping[str, str]) -> tuple[str, ...]:
    given = {name: value for name, value in words.items() if name != "newinstance"}  # every mount is one since Linux 4.7
    if unknown := given.keys() - _DEVPTS_DEFAULTS.keys():
        raise fail(errno.EINVAL, f"devpts: unknown option `{min(unknown)}`")
    given |= {name: f"{_parse_octal(given[name]):03o}" for name in ("mode", "ptmxmode") if name in given}
    merged = {**_DEVPTS_DEFAULTS, **given}
    return tuple(f"{name}={value}" for name, value in merged.items() if value)


def _parse_size(text: str) -> int:
    units = {"k": 1 << 10, "m": 1 << 20, "g": 1 << 30}
    number, unit = (text[:-1], units[text[-1].lower()]) if text[-1:].lower() in units else (text, 1)
    if not number.isdigit():
        raise fail(errno.EINVAL, f"not a size: `{text}`")
    return int(number) * unit


def _parse_octal(text: str) -> int:
    try:
        return int(text, 8)
    except ValueError:
        raise fail(errno.EINVAL, f"not a mode: `{text}`") from None


def _stack(linux: Linux, pid: int, words: Mapping[str, str], *, readonly: bool) -> FileSystem:
    """Return an overlay: the union of its directories, of which the upper one and then the first lower one win.

    Whiteouts are not looked at, and what is written stays in this record: nobody asks the upper directory here.
    """
    lower = words.get("lowerdir", "")
    if not lower:
        raise fail(errno.EINVAL, "overlay: no lower directory")
    process = linux.processes[pid]
    files: dict[str, Node] = {}
    uppers = [words[name] for name in ("workdir", "upperdir") if name in words]
    for directory in [*reversed(lower.split(":")), *uppers]:
        place = resolve(linux, process.root, directory, start=process.cwd)
        if directory == words.get("workdir"):
            continue
        tree = linux.file_system_at(place).files.items()
        files |= {absolute(path[len(place.path) :]): node for path, node in tree if is_under(path, place.path)}
    return FileSystem(
        id=0, device="", fstype="overlay", readonly=readonly or "upperdir" not in words, files=files,
        options=tuple(f"{name}={words[name]}" for name in ("lowerdir", "upperdir", "workdir") if name in words),
    )  # fmt: skip


def _find_tree(linux: Linux, pid: int, fstype: str, data: str) -> tuple[Linux, int, str]:
    """Return a control group tree; its root is that of the caller's cgroup namespace."""
    wanted = tuple(data.split(",")) if fstype == "cgroup" else ()
    for tree in linux.file_systems.values():
        if tree.fstype == fstype and (fstype == "cgroup2" or set(wanted) == set(tree.controllers)):
            return linux, tree.id, group_root(linux, pid, tree)
    raise fail(errno.EINVAL if wanted else errno.ENODEV, f"no control group tree with `{data}`")


def group_root(linux: Linux, pid: int, tree: FileSystem) -> str:
    """Return the group that is the root of *tree* for a process."""
    namespace = linux.namespaces[linux.processes[pid].namespaces[Clone.NEWCGROUP]]
    assert isinstance(namespace, CgroupRoots)
    return namespace.roots.get(tree.hierarchy, "/")
