"""Performing one step, `Mount`: the one with the most to say.

Acting, in init. The mount point is found, and if need be made, inside the container's root; the source of a bind is found on the host,
and a part of a volume inside that volume. See mount(2). Chapter 16.
"""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import replace

from minidocker.kernel import mount
from minidocker.kernel.copy import copy_stack
from minidocker.kernel.flags import Ms
from minidocker.kernel.steps import Mount

__all__ = ["attach", "attach_on_host", "on_fd"]


def on_fd(root_fd: int, path: str, action: Callable[[int], None]) -> None:
    """Call *action* with a descriptor of *path* inside the root."""
    fd = mount.open_in_root(root_fd, path)
    try:
        action(fd)
    finally:
        os.close(fd)


def attach_on_host(step: Mount, tree_fd: int = -1) -> None:
    """Mount on a path of the host: the propagation of everything, and the root file system itself.

    As a detached copy that goes on the working directory: whoever may not walk the path stands in it already.
    """
    if tree_fd >= 0:
        mount.move_tree(tree_fd, ".")
        return
    if step.cwd:
        os.chdir(step.cwd)
    if step.target == "/":
        mount.separate_mounts(step.flags & ~Ms.REC)
    else:
        if step.source == step.target:
            mount.separate_from_parent(step.target)
        mount.mount(step.source or None, step.target, fstype=step.fstype, flags=step.flags, data=step.data)


def attach(step: Mount, root_fd: int, tree_fd: int = -1) -> None:
    """Mount on a path inside the root; the mount point is made if the step says so. *tree_fd*: see `mount_on_fd`."""
    with ExitStack() as stack:
        source, create = step.source, step.create
        if tree_fd >= 0:
            if create == "source" or step.subpath:
                create = "dir" if stat.S_ISDIR(os.fstat(tree_fd).st_mode) else "file"
        elif step.subpath:
            source, create = _open_subpath(step, stack)
        elif create == "source":
            create = "dir" if os.path.isdir(source) else "file"
        existing = _find_mode(step, root_fd)
        if create == "dir":
            mount.make_directories(root_fd, step.target)
        elif create == "file":
            mount.make_file(root_fd, step.target)
        if existing and step.fstype == "tmpfs" and "mode=" not in step.data:
            # What the image says about the directory holds for the empty one over it; a new one is open to all, like /tmp.
            step = replace(step, data=",".join(filter(None, (step.data, f"mode={existing:o}"))))
        if existing and step.copy_up:
            _copy_up(step, root_fd)
        else:
            _attach(step, source, root_fd, tree_fd)
        if step.recursive:
            on_fd(root_fd, step.target, lambda fd: mount.restrict_tree(fd, step.recursive))


def _find_mode(step: Mount, root_fd: int) -> int:
    """Return the permissions of the directory that a tmpfs is to cover; 0 if there is none."""
    if step.fstype != "tmpfs":
        return 0
    try:
        fd = mount.open_in_root(root_fd, step.target, flags=os.O_PATH | os.O_DIRECTORY)
    except OSError:
        return 0
    try:
        return stat.S_IMODE(os.fstat(fd).st_mode)
    finally:
        os.close(fd)


def _copy_up(step: Mount, root_fd: int) -> None:
    """Mount an empty file system over a directory and give it that directory's content."""
    below = mount.open_in_root(root_fd, step.target, flags=os.O_RDONLY | os.O_DIRECTORY)
    try:
        _attach(step, step.source, root_fd)
        above = mount.open_in_root(root_fd, step.target, flags=os.O_RDONLY | os.O_DIRECTORY)
        try:
            copy_stack((below,), above)
        finally:
            os.close(above)
    finally:
        os.close(below)


def _open_subpath(step: Mount, stack: ExitStack) -> tuple[str, str]:
    """Return a name for what *subpath* means inside the source, and what kind of mount point it needs."""
    root = os.open(step.source, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    stack.callback(os.close, root)
    fd = mount.open_in_root(root, step.subpath)
    stack.callback(os.close, fd)
    return mount.fd_path(fd), "dir" if stat.S_ISDIR(os.fstat(fd).st_mode) else "file"


def _attach(step: Mount, source: str, root_fd: int, tree_fd: int = -1) -> None:
    def act(fd: int) -> None:
        mount.mount_on_fd(source or None, fd, fstype=step.fstype, flags=step.flags, data=step.data, tree_fd=tree_fd)

    try:
        on_fd(root_fd, step.target, act)
    except OSError as error:
        if not (step.optional and error.errno in (errno.ENODEV, errno.EPERM, errno.EINVAL, errno.ENOENT, errno.EBUSY)):
            raise OSError(error.errno, error.strerror, step.target) from error
