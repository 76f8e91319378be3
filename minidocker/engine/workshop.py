"""The builder's workshop: images from the store, layers from directories, commands in containers.

Acting. One workshop serves one build. Everything that it makes lies in a temporary directory of the store or is pinned by its
ingest, so that the end of the build, whatever it is, leaves the image, the cache and nothing else. A layer is written once: what COPY
or a container put into the upper directory is packed into the blob and then becomes the unpacked layer itself. Chapter 10.
"""

from __future__ import annotations

import os
import stat
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from minidocker.build.cache import Layer
from minidocker.build.request import BuildRequest
from minidocker.build.state import RunCommand
from minidocker.build.tree import Tree
from minidocker.build.workshop import BaseImage, BuildCancelled, Fetched, Fill, Lent
from minidocker.codec.idmap import IDENTITY
from minidocker.codec.tar import TarReader
from minidocker.container.logs import format_time
from minidocker.container.user import MAX_DATABASE_BYTES, resolve_user
from minidocker.engine.build_fetch import fetch_source
from minidocker.engine.images import require_image
from minidocker.engine.pull import pull_image
from minidocker.engine.remap import chown_tree
from minidocker.errors import InvalidParameter, NotFound
from minidocker.codec.compression import open_decompressed
from minidocker.image.diff import Found, walk_tree_changes, walk_upper_changes
from minidocker.image.extract import extract_files
from minidocker.image.ingest import ChunkSource, Ingest, describe_layer
from minidocker.image.layer import compute_chain_ids, layer_name
from minidocker.image.pack import pack_changes
from minidocker.kernel.overlay import open_trees
from minidocker.spec.image import go_architecture

if TYPE_CHECKING:
    from minidocker.engine.engine import Engine

__all__ = ["EngineWorkshop", "host_platform"]

_ARCHIVE_HEAD_BYTES = 512


def host_platform(engine: Engine) -> str:
    """Return this machine's platform, `linux/amd64`."""
    return f"linux/{go_architecture(engine.host.machine)}"


class EngineWorkshop:
    """What one build may use of the engine."""

    def __init__(self, engine: Engine, ingest: Ingest, request: BuildRequest, contexts: dict[str, Path], *, stack: ExitStack) -> None:
        """Work for *request*; *contexts* are directories by name, the build context having none. *stack* ends with the build."""
        self.engine, self.ingest, self.request = engine, ingest, request
        self._contexts, self._stack = contexts, stack
        self._trees: dict[str, Tree] = {}
        self._unpacked: set[str] = set()
        self._held: dict[str, bool] = {}
        self._pulled: dict[str, BaseImage] = {}
        self._lock = threading.RLock()
        self._cancelled = threading.Event()
        self._running: set[Callable[[], None]] = set()

    def cancel(self) -> None:
        """Stop: kill what runs; steps that begin after this do not."""
        self._cancelled.set()
        with self._lock:
            running = list(self._running)
        for kill in running:
            kill()

    def check(self) -> None:
        """See `Workshop.check`."""
        if self._cancelled.is_set():
            raise BuildCancelled("build cancelled")

    @contextmanager
    def killable(self, kill: Callable[[], None]) -> Iterator[None]:
        """Have *kill* called if the build is cancelled meanwhile."""
        with self._lock:
            self._running.add(kill)
        try:
            self.check()
            yield
        finally:
            with self._lock:
                self._running.discard(kill)

    def now(self) -> tuple[str, int]:
        """See `Workshop.now`."""
        now_ns = time.time_ns()
        return format_time(now_ns), now_ns

    def context(self, name: str = "") -> tuple[Tree, str]:
        """See `Workshop.context`."""
        if name not in self._contexts:
            raise NotFound(f"build context{f' `{name}`' if name else ''}: there is none", hint="give a directory to build from")
        with self._lock:
            if name not in self._trees:
                fds = self._stack.enter_context(open_trees([self._contexts[name]]))
                self._trees[name] = Tree(fds, may_link=True)
        return self._trees[name], str(self._contexts[name])

    def find_image(self, reference: str, *, platform: str) -> BaseImage:
        """See `Workshop.find_image`."""
        with self._lock:
            known = self._pulled.get(reference)
        if known is None:
            if self.request.pull or self.engine.images.find(reference) is None:
                for _ in pull_image(self.engine, reference, platform=platform, is_gone=self._cancelled.is_set):
                    self.check()
            image = require_image(self.engine, reference)
            layers = tuple(
                Layer(diff_id=diff_id, blob=blob)
                for diff_id, blob in zip(image.config.rootfs.diff_ids, image.manifest.layers, strict=True)
            )
            known = BaseImage(id=image.id, config=image.config, layers=layers)
            for layer in layers:
                self.holds(layer)
            with self._lock:
                self._pulled[reference] = known
        config = known.config
        actual = "/".join(word for word in (config.os, config.architecture, config.variant) if word)
        if platform and config.architecture and platform.split("/")[:2] != actual.split("/")[:2]:
            raise NotFound(
                f"image with reference {reference} was found but does not match the specified platform: wanted {platform}, actual: {actual}"
            )
        return known

    def holds(self, layer: Layer) -> bool:
        """See `Workshop.holds`."""
        digest = layer.blob.digest
        with self._lock:
            if digest not in self._held:
                self._held[digest] = self.ingest.claim(digest)
            return self._held[digest]

    def directories(self, layers: Sequence[Layer]) -> tuple[str, ...]:
        """Return the directories of unpacked layers below `layers`, lowest first."""
        diff_ids = [layer.diff_id for layer in layers]
        chain_ids = compute_chain_ids(diff_ids)
        with self._lock:
            for count, (layer, chain_id) in enumerate(zip(layers, chain_ids, strict=True), start=1):
                if chain_id not in self._unpacked:
                    self.ingest.unpack(diff_ids[:count], layer.blob.digest)
                    self._unpacked.add(chain_id)
        return tuple(f"{layer_name(chain_id)}/diff" for chain_id in chain_ids)

    @contextmanager
    def open_layers(self, layers: Sequence[Layer]) -> Iterator[tuple[int, ...]]:
        """See `Workshop.open_layers`."""
        root = self.engine.images.content.layers
        with open_trees([root / name for name in reversed(self.directories(layers))]) as fds:
            yield fds

    def make_layer(self, below: Sequence[Layer], fill: Fill, *, epoch: int | None) -> tuple[Layer | None, str]:
        """See `Workshop.make_layer`."""
        directory = self.ingest.new_temporary()
        (directory / "diff").mkdir(mode=0o755, parents=True)
        with self.open_layers(below) as lower_fds:
            with open_trees([directory / "diff"]) as (upper_fd,):
                fill(upper_fd, lower_fds)
            return self.keep_layer(below, directory, lower_fds, epoch=epoch)

    def keep_layer(
        self, below: Sequence[Layer], directory: Path, lower_fds: Sequence[int], *, epoch: int | None, is_upper: bool = True
    ) -> tuple[Layer | None, str]:
        """Pack `diff` in *directory* into a blob, and let it be the unpacked layer itself where it is exactly that."""
        sizes = [0]
        with open_trees([directory / "diff"]) as (fd,):
            walk = walk_upper_changes(fd, lower_fds) if is_upper else walk_tree_changes(fd, lower_fds)
            latest_ns = None if epoch is None else epoch * 10**9
            spooled = self.ingest.spool(ChunkSource(pack_changes(_count_sizes(walk, sizes), latest_ns=latest_ns, ids=self.engine.ids)))
        if not spooled.size:
            return None, ""
        self.ingest.keep(spooled)
        layer = Layer(diff_id=spooled.digest, blob=describe_layer(spooled), size=sizes[0])
        diff_ids = [*(one.diff_id for one in below), layer.diff_id]
        if is_upper and epoch is None:
            record = self.ingest.adopt(directory, diff_ids, size=sizes[0])
        else:  # times were changed, or it is a whole tree
            record = self.ingest.unpack(diff_ids, layer.blob.digest)
        with self._lock:
            self._held[layer.blob.digest] = True
            self._unpacked.add(record.chain_id)
        return layer, record.chain_id

    def run(
        self, command: RunCommand, below: Sequence[Layer], lent: Sequence[Lent], *, container_id: str,
        output: Callable[[int, bytes], None], epoch: int | None,
    ) -> tuple[Layer | None, str]:  # fmt: skip
        """See `Workshop.run`."""
        from minidocker.engine.build_run import run_command  # with the whole of starting a container

        return run_command(self, command, below, lent, container_id=container_id, output=output, epoch=epoch)

    def find_unpacker(self, tree: Tree, names: tuple[str, ...]) -> Callable[[int, int, Sequence[int]], None] | None:
        """See `Workshop.find_unpacker`."""
        with tree.open_node(names) as node:
            if node is None or not stat.S_ISREG(node.status.st_mode):
                return None
            fd = os.open(node.name, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=node.fds[0])
            with open(fd, "rb", buffering=0) as file:
                try:
                    head = open_decompressed(file).read(_ARCHIVE_HEAD_BYTES)
                    is_archive = bool(head) and next(iter(TarReader(_Head(head))), None) is not None
                except InvalidParameter:
                    return None
        return self._unpack if is_archive else None

    def _unpack(self, fd: int, target_fd: int, lower_fds: Sequence[int]) -> None:
        with open(fd, "rb", buffering=0, closefd=False) as file:
            extract_files(TarReader(open_decompressed(file)), target_fd, lower_fds=lower_fds, ids=self.engine.ids)

    def fetch(self, source: str, *, checksum: str, keep_git_dir: bool) -> Fetched:
        """See `Workshop.fetch`."""
        directory = self.ingest.new_temporary()
        directory.mkdir(mode=0o700)
        names = fetch_source(source, directory, checksum=checksum, keep_git_dir=keep_git_dir, epoch=self.request.epoch)
        return Fetched(tree=self._open_temporary(directory), names=names)

    def write_files(self, files: Sequence[tuple[str, bytes, int]]) -> Tree:
        """See `Workshop.write_files`."""
        directory = self.ingest.new_temporary()
        directory.mkdir(mode=0o700)
        with open_trees([directory]) as (root_fd,):
            for name, content, mode in files:
                fd = os.open(name, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600, dir_fd=root_fd)
                with open(fd, "wb") as file:
                    file.write(content)
                    os.fchmod(fd, mode)
        return self._open_temporary(directory)

    def _open_temporary(self, directory: Path) -> Tree:
        if self.engine.ids is not IDENTITY:
            chown_tree(directory, self.engine.ids.root)
        with self._lock:
            return Tree(self._stack.enter_context(open_trees([directory])), may_link=True)

    def resolve_owner(self, text: str, tree: Tree) -> tuple[int, int]:
        """See `Workshop.resolve_owner`."""
        user = resolve_user(text, _read_file(tree, "/etc/passwd"), _read_file(tree, "/etc/group"))
        name, colon, _ = text.partition(":")
        return self.engine.ids.outside(user.uid, user.uid if not colon and name.isdigit() else user.gid)


class _Head:
    """The beginning of an archive as a source."""

    def __init__(self, head: bytes) -> None:
        self._head = head

    def read(self, size: int, /) -> bytes:
        piece, self._head = self._head[:size], self._head[size:]
        return piece


def _count_sizes(walk: Iterator[Found], sizes: list[int]) -> Iterator[Found]:
    for found in walk:
        if found.node is not None and stat.S_ISREG(found.node.status.st_mode):
            sizes[0] += found.node.status.st_size
        yield found


def _read_file(tree: Tree, path: str) -> bytes:
    """Return the head of a regular file inside the tree, and nothing for what is missing or no file."""
    names = tree.resolve(path)
    status = tree.find(names) if tree.fds else None
    if status is None or not stat.S_ISREG(status.st_mode):
        return b""
    with tree.open_node(names) as node:
        assert node is not None
        fd = os.open(node.name, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=node.fds[0])
        try:
            return os.pread(fd, MAX_DATABASE_BYTES + 1, 0)
        finally:
            os.close(fd)
