"""`RUN --mount`: what is lent becomes mounts, and the places that caches have between builds.

Acting. What is static (layers, the context) is looked up below open directories, links resolved inside their root, and then has a path
without links. What a running command may change, a cache, is looked up by init at the moment of mounting (`subpath`, openat2(2)), so
that a link which another build put there leads nowhere (CVE-2024-23651). A cache's id names a directory by its digest, because an id is a
client's text and may be `../..` (CVE-2024-9675). Secrets lie in memory: in a directory on tmpfs, for as long as the command. Chapter 10.
"""

from __future__ import annotations

import hashlib
import os
import posixpath
import shutil
import tempfile
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Final

from minidocker.codec.idmap import IDENTITY
from minidocker.build.tree import Tree
from minidocker.build.workshop import Lent
from minidocker.container.record import MountPoint
from minidocker.dockerfile.instructions import Mount, MountType, Sharing
from minidocker.errors import NotFound
from minidocker.kernel.copy import copy_stack
from minidocker.kernel.mount import make_directories, require_filesystem
from minidocker.kernel.overlay import open_trees

if TYPE_CHECKING:
    from minidocker.engine.workshop import EngineWorkshop

__all__ = ["CacheMounts", "mount_lent"]

TMPFS_MAGIC: Final = 0x01021994
"""`f_type` of tmpfs in `<linux/magic.h>`."""
MAX_OPTIONS_BYTES: Final = 4000
"""mount(2) takes one page of options."""
LOCK_PAUSE_S: Final = 0.05
SECRETS: Final = "minidocker-secrets-"


class CacheMounts:
    """The directories of `--mount=type=cache`, and who has them."""

    def __init__(self, directory: Path) -> None:
        """Keep them in *directory*, which is made when it is needed."""
        self.directory = directory
        self._lock = threading.Lock()
        self._taken: set[str] = set()

    @contextmanager
    def borrow(self, mount: Mount, workshop: EngineWorkshop) -> Iterator[tuple[Path, bool]]:
        """Give out the directory of a cache and whether it is new; `locked` waits, `private` takes another one."""
        name = hashlib.sha256((mount.id or mount.target).encode("utf-8", "surrogateescape")).hexdigest()[:32]
        taken = ""
        if mount.sharing is Sharing.LOCKED:
            taken = name
            while not self._take(taken):
                workshop.check()
                time.sleep(LOCK_PAUSE_S)
        elif mount.sharing is Sharing.PRIVATE:
            number = 0
            while not self._take(taken := f"{name}.{number}"):
                number += 1
            name = taken
        try:
            path = self.directory / name
            is_new = not path.exists()
            path.mkdir(mode=0o700, parents=True, exist_ok=True)
            yield path, is_new
        finally:
            with self._lock:
                self._taken.discard(taken)

    def _take(self, name: str) -> bool:
        with self._lock:
            is_free = name not in self._taken
            self._taken.add(name)
            return is_free

    def prune(self) -> tuple[list[str], int]:
        """Remove every cache that nobody has; return names and bytes."""
        removed, freed = [], 0
        for path in self.directory.iterdir() if self.directory.exists() else ():
            if path.name not in self._taken:
                freed += sum(file.lstat().st_size for file in path.rglob("*") if not file.is_symlink() and file.is_file())
                shutil.rmtree(path, ignore_errors=True)
                removed.append(path.name)
        return removed, freed


def mount_lent(
    workshop: EngineWorkshop, lent: Sequence[Lent], directory: Path, stack: ExitStack
) -> tuple[tuple[MountPoint, ...], tuple[str, ...], tuple[str, ...]]:
    """Return mounts, words of the environment, and the names that mounting makes; *stack* takes everything back.

    Raises:
        NotFound: a bind's source is not there.
    """
    mounts: list[MountPoint] = []
    env: list[str] = []
    for number, one in enumerate(lent):
        mount = one.mount
        place = directory / f"lent-{number}"
        match mount.type:
            case MountType.BIND:
                mounts.append(_mount_bind(workshop, one, place, stack))
            case MountType.CACHE:
                mounts.append(_mount_cache(workshop, one, stack))
            case MountType.TMPFS:
                options = f"mode=1777,size={mount.size_bytes}" if mount.size_bytes else "mode=1777"
                mounts.append(MountPoint(type="tmpfs", source="", destination=mount.target, options=options))
            case MountType.SECRET:
                if mount.env and one.content is not None:
                    env.append(f"{mount.env}={one.content.decode('utf-8', 'surrogateescape')}")
                if mount.target or not mount.env:
                    mounts.append(_mount_secret(workshop, one, stack))
            case MountType.SSH:
                target = mount.target or f"/run/buildkit/ssh_agent.{number}"
                env.append(f"SSH_AUTH_SOCK={target}")
                mounts.append(MountPoint(type="bind", source=one.socket, destination=target, options="file"))
    return tuple(mounts), tuple(env), tuple(mount.destination for mount in mounts)


def _mount_bind(workshop: EngineWorkshop, lent: Lent, place: Path, stack: ExitStack) -> MountPoint:
    """Show a place of a stage, an image or the context; what is written there is thrown away."""
    mount, layers = lent.mount, workshop.engine.images.content.layers
    paths = [Path(lent.directory)] if lent.layers is None else [layers / name for name in reversed(workshop.directories(lent.layers))]
    tree = Tree(stack.enter_context(open_trees(paths)))
    names = tree.resolve(mount.source or "/")
    with tree.open_directory(names) as fds:
        found = [Path(os.readlink(f"/proc/self/fd/{fd}")) for fd in fds]
        if not found:
            return _mount_file(mount, tree, names, place)
        if len(found) == 1 and mount.read_only:
            return MountPoint(type="bind", source=str(found[0]), destination=mount.target, read_write=False)
        for name in ("upper", "work", "copy"):
            (place / name).mkdir(mode=0o755, parents=True)
        options = f"lowerdir={':'.join(map(str, found))}"
        options += "" if mount.read_only else f",upperdir={place}/upper,workdir={place}/work"
        may_mount = workshop.engine.driver == "overlay2" and workshop.engine.ids is IDENTITY
        if may_mount and len(options) < MAX_OPTIONS_BYTES and not _has_special(found):
            return MountPoint(type="overlay", source="", destination=mount.target, read_write=not mount.read_only, options=options)
        with open_trees([place / "copy"]) as (copy_fd,):
            os.fchown(copy_fd, *workshop.engine.ids.root)
            copy_stack(fds, copy_fd)
    return MountPoint(type="bind", source=str(place / "copy"), destination=mount.target, read_write=not mount.read_only)


def _has_special(paths: Sequence[Path]) -> bool:
    """Whether a path has a character that means something in mount options."""
    return any(character in str(path) for path in paths for character in ",:\\\n")


def _mount_file(mount: Mount, tree: Tree, names: tuple[str, ...], place: Path) -> MountPoint:
    """Show one file; a writable one is a copy."""
    with tree.open_node(names or ("",)) as node:
        if node is None or not names:
            raise NotFound(f"bind mount `{mount.source or '/'}`: it is not in {mount.from_ or 'the build context'}")
        directory, name = os.readlink(f"/proc/self/fd/{node.fds[0]}"), node.name
        if not mount.read_only:
            place.mkdir(mode=0o755)
            shutil.copy2(f"{directory}/{name}", place / "file", follow_symlinks=False)
            directory, name = str(place), "file"
    return MountPoint(
        type="bind", source=directory, subpath=name, destination=mount.target, read_write=not mount.read_only, options="file"
    )


def _mount_cache(workshop: EngineWorkshop, lent: Lent, stack: ExitStack) -> MountPoint:
    mount = lent.mount
    path, is_new = stack.enter_context(workshop.engine.cache_mounts.borrow(mount, workshop))
    with open_trees([path]) as (root_fd,):
        if is_new:
            if lent.seeds is not None:
                with workshop.open_layers(lent.seeds) as fds:
                    tree = Tree(fds)
                    with tree.open_directory(tree.resolve(mount.source or "/")) as seed_fds:
                        if seed_fds:
                            copy_stack(seed_fds, root_fd)
            os.fchown(root_fd, *workshop.engine.ids.outside(mount.uid or 0, mount.gid or 0))
            os.fchmod(root_fd, 0o755 if mount.mode is None else mount.mode)
        subpath = mount.source if lent.seeds is None else ""
        if subpath:
            make_directories(root_fd, subpath)
    return MountPoint(
        type="bind", source=str(path), subpath=subpath.strip("/"), destination=mount.target, read_write=not mount.read_only
    )


def _mount_secret(workshop: EngineWorkshop, lent: Lent, stack: ExitStack) -> MountPoint:
    mount = lent.mount
    directory = Path(tempfile.mkdtemp(prefix=SECRETS, dir=_memory_directory(workshop.engine.exec_root)))
    stack.callback(shutil.rmtree, directory, ignore_errors=True)
    path = directory / "secret"
    fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    with open(fd, "wb") as file:
        file.write(lent.content or b"")
        os.fchown(fd, *workshop.engine.ids.outside(mount.uid or 0, mount.gid or 0))
        os.fchmod(fd, 0o400 if mount.mode is None else mount.mode)
    target = mount.target or posixpath.join("/run/secrets", mount.id)
    return MountPoint(type="bind", source=str(path), destination=target, read_write=False, options="file")


def _memory_directory(preferred: Path) -> str:
    """Return a directory whose files never reach a disk, if this machine has one."""
    for candidate in (str(preferred), "/dev/shm", "/run"):
        try:
            fd = os.open(candidate, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        except OSError:
            continue
        try:
            require_filesystem(fd, TMPFS_MAGIC, path=candidate)
        except OSError:
            continue
        else:
            return candidate
        finally:
            os.close(fd)
    return str(preferred)
