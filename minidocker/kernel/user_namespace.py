"""User namespaces: make one with a map, become its root, take along what only the host's root may reach; see user_namespaces(7).

A process cannot write its own map, apart from the one line that says who it is itself. So a child makes the namespace, we write the
map from outside, keep the namespace by a descriptor, and enter it ourselves.

Acting, in a process with one thread. Chapter 16.
"""

from __future__ import annotations

import os
import signal
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress

from minidocker.codec.idmap import IdRange, find_outside, render_id_map
from minidocker.kernel import mount, process
from minidocker.kernel.flags import Clone, Ms
from minidocker.kernel.namespaces import open_namespace, setns, unshare
from minidocker.kernel.steps import BindDevice, EnterUserNamespace, Mount, PopulateVolume, Step

__all__ = ["become_root", "enter_user_namespace", "hold_sources", "make_user_namespace", "start_anchor", "write_id_maps"]


def write_id_maps(pid: int, uid_map: Sequence[IdRange], gid_map: Sequence[IdRange]) -> None:
    """Say which numbers of ours the numbers in the user namespace of process *pid* are; only once, before anybody in it is root.

    Who is not root here may map nobody but himself, and has to give up setgroups(2) for it: dropping a group could give access.
    """
    if os.geteuid() != 0:
        _write(f"/proc/{pid}/setgroups", "deny")
    _write(f"/proc/{pid}/gid_map", render_id_map(gid_map))
    _write(f"/proc/{pid}/uid_map", render_id_map(uid_map))


def _write(path: str, text: str) -> None:
    fd = os.open(path, os.O_WRONLY | os.O_CLOEXEC)
    try:
        os.write(fd, text.encode())
    except OSError as error:
        raise OSError(error.errno, error.strerror, path) from error
    finally:
        os.close(fd)


def start_anchor(map_users: Callable[[int], None], prepare: Callable[[], None], *, title: str) -> int:
    """Return the pid of a new process that holds a user namespace and a network namespace in it until it is killed.

    *map_users* gets the pid while nobody is root in there, and writes the maps; *prepare* is called inside, as root.
    """
    told, tell = os.pipe2(os.O_CLOEXEC)
    mapped, go = os.pipe2(os.O_CLOEXEC)
    child = os.fork()
    if child == 0:
        os.close(go)
        _be_anchor(tell, mapped, prepare, title)
    os.close(tell)
    os.close(mapped)
    try:
        _expect(told, b"made")
        map_users(child)
        os.write(go, b"go")
        _expect(told, b"held")
    except BaseException:
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
        raise
    finally:
        os.close(told)
        os.close(go)
    return child


def _expect(told: int, word: bytes) -> None:
    answer = os.read(told, 16)
    if answer != word:
        number = int(answer or b"0")
        raise OSError(number, f"unshare: {os.strerror(number)}", "/proc/sys/user/max_user_namespaces")


def _be_anchor(tell: int, mapped: int, prepare: Callable[[], None], title: str) -> None:
    try:
        os.setsid()
        unshare(Clone.NEWUSER)
        os.write(tell, b"made")
        if os.read(mapped, 16) == b"go":
            become_root()
            unshare(Clone.NEWNET)
            prepare()
            process.set_title(title)
            for fd in range(3):
                os.dup2(os.open("/dev/null", os.O_RDWR), fd)
            os.chdir("/")
            for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
                signal.signal(number, signal.SIG_IGN)
            os.write(tell, b"held")
            os.closerange(3, 1024)
            while True:
                signal.pause()
    except OSError as error:
        os.write(tell, b"%d" % (error.errno or 0))
    finally:
        process.exit_child(0)


def become_root() -> None:
    """Be the root of the user namespace that we are in."""
    with suppress(PermissionError):  # a user who may map nobody else may not change groups either
        os.setgroups(())
    os.setresgid(0, 0, 0)
    os.setresuid(0, 0, 0)


def make_user_namespace(uid_map: Sequence[IdRange], gid_map: Sequence[IdRange]) -> int:
    """Return a descriptor of a new user namespace with these maps, a child of ours."""
    told, tell = os.pipe2(os.O_CLOEXEC)
    child = os.fork()
    if child == 0:
        _make_and_wait(tell)
    os.close(tell)
    try:
        _expect(told, b"made")
        write_id_maps(child, uid_map, gid_map)
        return open_namespace(child, Clone.NEWUSER)
    finally:
        os.close(told)
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)


def _make_and_wait(tell: int) -> None:
    """Make the namespace and hold it until we are killed: it lives as long as somebody is in it, or has it open."""
    try:
        unshare(Clone.NEWUSER)
        os.write(tell, b"made")
        while True:
            signal.pause()
    except OSError as error:
        os.write(tell, b"%d" % (error.errno or 0))
    finally:
        process.exit_child(0)


def hold_sources(steps: Iterable[Step]) -> dict[Step, int]:
    """Return detached copies of what *steps* bind from the host: they can be attached where their paths cannot be walked any more."""
    held: dict[Step, int] = {}
    for step in steps:
        if isinstance(step, Mount) and step.flags & (Ms.BIND | Ms.REMOUNT) == Ms.BIND and not step.source_pid:
            held[step] = _copy_tree(step)
        elif isinstance(step, BindDevice):
            held[step] = mount.open_tree(step.host_path, recursive=False)
        elif isinstance(step, PopulateVolume):
            held[step] = os.open(step.volume, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    return held


def _copy_tree(step: Mount) -> int:
    recursive = bool(step.flags & Ms.REC)
    if not step.subpath:
        return mount.open_tree(step.source, recursive=recursive)
    root = os.open(step.source, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        part = mount.open_in_root(root, step.subpath)
        try:
            return mount.open_tree(mount.fd_path(part), recursive=recursive)
        finally:
            os.close(part)
    finally:
        os.close(root)


def enter_user_namespace(step: EnterUserNamespace, pidfd: int = -1) -> None:
    """Become root of the namespace that *step* describes; *pidfd* is open if it says a process.

    Our standard streams go over to the new root, who could otherwise not open them again as `/dev/stdout`.
    """
    _give_streams(find_outside(step.uid_map, 0), find_outside(step.gid_map, 0))
    fd = pidfd
    if pidfd < 0:
        fd = os.open(step.path, os.O_RDONLY | os.O_CLOEXEC) if step.path else make_user_namespace(step.uid_map, step.gid_map)
    try:
        setns(fd, Clone.NEWUSER)
    finally:
        if pidfd < 0:
            os.close(fd)
    become_root()


def _give_streams(uid: int | None, gid: int | None) -> None:
    if uid is None or gid is None:
        return
    for fd in range(3):
        with suppress(OSError):  # closed, or a file whose owner may not be changed
            if not os.path.samestat(os.fstat(fd), os.stat("/dev/null")):
                os.fchown(fd, uid, gid)
