"""A container for one worker, made with minidocker's own calls: no network, no files but what it needs, nobody's rights, few processes.

Runs as `python3 -I confine.py SETUP` (JSON) and becomes the worker. As root it makes the namespaces directly, otherwise inside a user
namespace. The new root is a small tmpfs with read-only binds of the interpreter, the system's libraries and `minidocker`; where the
submission replaces a module, our own source of it is hidden, compiled or not, and tests are nowhere. Process 1 is the worker, so
whatever it leaves behind ends with it. See the chapters on namespaces and on security.
"""

from __future__ import annotations

import json
import os
import shutil
import sys
from contextlib import suppress
from pathlib import Path
from typing import Any

NOBODY = 65534
FIRST_UID = 1_000_000_000
"""As root each worker is a user of its own, so that the limit of processes is its own, too."""
MAX_PROCESSES = 16
MAX_OPEN_FILES = 256
SYSTEM = ("/usr", "/lib", "/lib64", "/lib32", "/bin", "/sbin", "/etc/ld.so.cache")
DEVICES = ("null", "zero", "full", "urandom")
WORKER_FILES = ("__init__.py", "worker.py", "wire.py")


def main() -> None:
    """Make the container around this process and execute the worker in it."""
    setup: dict[str, Any] = json.loads(sys.argv[1])
    sys.path.insert(0, setup["root"])
    import resource  # noqa: F401  # now, because after the change of roots there is nothing to load from

    import minidocker.kernel.process  # noqa: F401  # likewise
    from minidocker.kernel.flags import Clone
    from minidocker.kernel.namespaces import unshare

    uid, gid = os.getuid(), os.getgid()
    if uid:
        unshare(Clone.NEWUSER)
        for name, text in (("setgroups", "deny"), ("uid_map", f"{NOBODY} {uid} 1"), ("gid_map", f"{NOBODY} {gid} 1")):
            Path(f"/proc/self/{name}").write_text(text, encoding="ascii")
    unshare(Clone.NEWNS | Clone.NEWPID | Clone.NEWNET | Clone.NEWIPC | Clone.NEWUTS)
    child = os.fork()
    if child:
        _wait_for(child)
    _make_root(setup)
    _drop_rights(FIRST_UID + setup["number"] if not uid else 0)
    python = setup["python"]
    os.execve(python, [python, "-I", "-S", *setup["options"], "/checkout/chapters/worker.py"], {"PATH": "/usr/bin:/bin", "TMPDIR": "/tmp"})


def _wait_for(child: int) -> None:
    """Who we are: the parent, outside. Pass the worker's pipes to nobody else, and end as it ends."""
    for fd in (0, 1):
        os.close(fd)
    _, status = os.waitpid(child, 0)
    os._exit(os.waitstatus_to_exitcode(status) & 0xFF)


def _make_root(setup: dict[str, Any]) -> None:
    """Who we are: process 1 of the new namespaces, with the rights to mount."""
    from minidocker.kernel.flags import Ms
    from minidocker.kernel.mount import mount, pivot_root, separate_mounts

    separate_mounts(Ms.PRIVATE)
    root = Path(setup["directory"])
    mount("tmpfs", str(root), fstype="tmpfs", flags=Ms.NOSUID | Ms.NODEV, data="size=8m,mode=755")
    for path in dict.fromkeys([*SYSTEM, *setup["prefixes"]]):
        _bring(root, Path(path))
    _bring(root, Path(setup["root"], "minidocker"), as_path="/checkout/minidocker", hidden=setup["hidden"])
    chapters = root / "checkout/chapters"
    chapters.mkdir()
    for name in WORKER_FILES:
        shutil.copyfile(Path(setup["root"], "chapters", name), chapters / name)
    for name, source in setup["files"].items():
        (root / name.lstrip("/")).parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(source, root / name.lstrip("/"))
    for name in ("tmp", "proc", "dev"):
        (root / name).mkdir(exist_ok=True)
    for name in DEVICES:
        _bring(root, Path("/dev", name))
    mount("proc", str(root / "proc"), fstype="proc", flags=Ms.NOSUID | Ms.NODEV | Ms.NOEXEC)
    mount("tmpfs", str(root / "tmp"), fstype="tmpfs", flags=Ms.NOSUID | Ms.NODEV, data="size=16m,nr_inodes=4k,mode=1777")
    pivot_root(str(root), readonly=True)
    os.chdir("/tmp")


def _bring(root: Path, path: Path, *, as_path: str = "", hidden: list[str] | None = None) -> None:
    """Show *path* of the host in the new root, read-only (devices stay as they are); what is *hidden* below it is covered."""
    from minidocker.kernel.flags import Ms
    from minidocker.kernel.mount import mount

    target = root / (as_path or str(path)).lstrip("/")
    if not os.path.lexists(path) or os.path.lexists(target):
        return
    target.parent.mkdir(parents=True, exist_ok=True)
    if path.is_symlink():
        target.symlink_to(os.readlink(path))
        return
    if path.is_dir():
        target.mkdir()
    else:
        target.touch()
    mount(str(path), str(target), flags=Ms.BIND | Ms.REC)
    for name in hidden or ():
        covered = target / name
        if covered.is_dir():
            mount("tmpfs", str(covered), fstype="tmpfs", flags=Ms.RDONLY, data="size=4k")
        elif covered.is_file():
            mount("/dev/null", str(covered), flags=Ms.BIND)
    if path.parent != Path("/dev"):
        locked = Ms.NOEXEC if os.statvfs(target).f_flag & os.ST_NOEXEC else Ms(0)  # a remount must repeat what others have set
        mount(None, str(target), flags=Ms.REMOUNT | Ms.BIND | Ms.RDONLY | Ms.NOSUID | Ms.NODEV | locked)


def _drop_rights(uid: int) -> None:
    """Become nobody for good, with few processes and files."""
    import resource

    from minidocker.kernel.process import set_no_new_privileges

    with suppress(OSError, ValueError):
        resource.setrlimit(resource.RLIMIT_NPROC, (MAX_PROCESSES, MAX_PROCESSES))
    resource.setrlimit(resource.RLIMIT_NOFILE, (MAX_OPEN_FILES, MAX_OPEN_FILES))
    set_no_new_privileges()
    if uid:
        os.setgroups([])
        os.setgid(NOBODY)
        os.setuid(uid)


if __name__ == "__main__":
    main()
