"""The store against a model, with crashes at every write: whatever happens, nothing is lost and nothing is left.

A crash is simulated by an audit hook (see `sys.addaudithook`): from the chosen change of the file system on, every further change
fails, clean-up included, as for a process that is no more. Then the store is opened again, and must show the state before the
interrupted operation, or the one after it, or one of the steps that Docker's operation is made of.
"""

from __future__ import annotations

import hashlib
import io
import os
import shutil
import sys
import tempfile
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from minidocker.codec.tar import END_OF_ARCHIVE, TarEntry, render_header, render_padding
from minidocker.engine.image_removal import prune_images, remove_image
from minidocker.errors import Conflict, NotFound
from minidocker.image.archive import Selection, load_archive, render_archive
from minidocker.image.commit import commit_layer
from minidocker.image.diff import walk_tree_changes
from minidocker.image.importer import ImportRequest, import_archive
from minidocker.image.ingest import ChunkSource
from minidocker.image.layer import layer_name
from minidocker.image.store import ImageStore
from minidocker.kernel.overlay import open_trees
from minidocker.reference import parse_reference
from minidocker.spec.container import ContainerConfig
from minidocker.spec.image import History

MEMORY = "/dev/shm" if os.access("/dev/shm", os.W_OK) else None
"""Where fsync(2) costs nothing, as the disk is not what is tested."""
CHANGES = frozenset({"os.rename", "os.remove", "os.mkdir", "os.rmdir", "os.link", "os.symlink", "os.chmod", "os.chown", "os.utime"})


class Crash(BaseException):
    """The process is no more."""


class _Fuse(threading.local):
    """How many changes are left; negative: no crash is planned."""

    left = -1


FUSE = _Fuse()


def _audit(event: str, arguments: tuple[Any, ...]) -> None:
    if FUSE.left < 0:
        return
    is_write = event == "open" and isinstance(arguments[2], int) and arguments[2] & (os.O_WRONLY | os.O_RDWR | os.O_CREAT)
    if event in CHANGES or is_write:
        if FUSE.left == 0:
            raise Crash
        FUSE.left -= 1


sys.addaudithook(_audit)


@contextmanager
def dying_after(changes: int) -> Iterator[None]:
    """Let the file system change so often, and not once more."""
    FUSE.left = changes
    try:
        yield
    finally:
        FUSE.left = -1


@dataclass
class Record:
    """What a container says about its image."""

    id: str
    image_id: str
    layers: tuple[str, ...]
    state: Any = field(default_factory=lambda: type("State", (), {"running": False})())


@dataclass
class Use:
    """A container."""

    record: Any


class Fake:
    """An engine that knows images only."""

    def __init__(self, root: Path, uses: list[Use]) -> None:
        self.uses = uses
        self.images = ImageStore(root, layers_in_use=lambda: {name for use in self.uses for name in use.record.layers})
        self.containers: Any = self
        self.events: Any = self

    def all(self) -> list[Use]:
        """Return every container."""
        return list(self.uses)

    def publish(self, event: object) -> None:
        """Tell nobody."""


def make_tar(name: str) -> bytes:
    """Return the archive of a tree with one file."""
    entry = TarEntry(name=name.encode(), size=len(name), uid=os.geteuid(), gid=os.getegid())
    return render_header(entry) + name.encode() + render_padding(len(name)) + END_OF_ARCHIVE


State = dict[str, frozenset[str]]
"""Image id → its names."""

NAMES = st.sampled_from(["a:1", "a:2", "b:1"])
CRASHES = st.one_of(st.none(), st.integers(0, 40))


class StoreMachine(RuleBasedStateMachine):
    """Docker's operations on images, in any order, some of them cut off."""

    def __init__(self) -> None:
        super().__init__()
        self.root = Path(tempfile.mkdtemp(prefix="mds", dir=MEMORY))
        self.uses: list[Use] = []
        self.engine = Fake(self.root, self.uses)
        self.model: State = {}

    def teardown(self) -> None:
        """Remove everything."""
        shutil.rmtree(self.root)

    def observe(self) -> State:
        """Return what the store shows."""
        return {image.id: frozenset(str(name) for name in image.names) for image in self.engine.images.all()}

    def reopen(self) -> None:
        """Start again after a crash."""
        self.engine = Fake(self.root, self.uses)
        self.engine.images.sweep()

    def attempt(self, act: Callable[[], object], crash: int | None, *steps: State) -> None:
        """Do something whose steps lead to *steps*, the last of them the end; or die on the way."""
        allowed = [self.model, *steps]
        try:
            if crash is None:
                act()
            else:
                with dying_after(crash):
                    act()
        except Crash:
            self.reopen()
            assert self.observe() in allowed
        else:
            assert self.observe() == allowed[-1]
        self.model = self.observe()

    def named(self, name: str) -> str:
        """Return the id of the image with a name, or nothing."""
        return next((image_id for image_id, names in self.model.items() if name in names), "")

    def with_name(self, image_id: str, name: str) -> State:
        """Return the model after a name was given."""
        state = {known: names - {name} for known, names in self.model.items()}
        return {**state, image_id: state.get(image_id, frozenset()) | {name}}

    def check_new(self, act: Callable[[], Any], crash: int | None, name: str) -> None:
        """Make an image whose id is known only afterwards, or die on the way."""
        before = self.model
        try:
            if crash is None:
                act()
            else:
                with dying_after(crash):
                    act()
        except Crash:
            self.reopen()
        self.model = self.observe()
        if self.model != before:
            new = next(image_id for image_id, names in self.model.items() if name in names)
            after, self.model = self.model, before
            assert after == self.with_name(new, name)
            self.model = after
        else:
            assert crash is not None or self.named(name)

    @rule(content=st.sampled_from(["x", "y", "z"]), name=NAMES, crash=CRASHES)
    def bring_in(self, content: str, name: str, crash: int | None) -> None:
        """`docker import`."""
        request = ImportRequest(name=parse_reference(name), comment=content)
        self.check_new(lambda: import_archive(self.engine.images, io.BytesIO(make_tar(content)), request, time_ns=0), crash, name)

    @precondition(lambda self: self.model)
    @rule(data=st.data(), content=st.sampled_from(["more", "much more"]), name=NAMES, crash=CRASHES)
    def commit(self, data: st.DataObject, content: str, name: str, crash: int | None) -> None:
        """`docker commit`: an image that shares its lower layers with its base."""
        base = self.engine.images.require(data.draw(st.sampled_from(sorted(self.model))))
        tree = Path(tempfile.mkdtemp(dir=self.root, prefix="tree-"))
        (tree / content).write_text(content)
        os.utime(tree / content, (0, 0))

        def act() -> None:
            with open_trees([tree]) as (fd,):
                commit_layer(
                    self.engine.images, base=base, changes=walk_tree_changes(fd, ()), config=ContainerConfig(),
                    history=History(created_by=content), names=(parse_reference(name),),
                )  # fmt: skip

        self.check_new(act, crash, name)
        shutil.rmtree(tree)

    @precondition(lambda self: any(self.model.values()))
    @rule(data=st.data(), crash=CRASHES)
    def save_and_load(self, data: st.DataObject, crash: int | None) -> None:
        """`docker save | docker load`: what is there already stays as it is, under its name."""
        name = data.draw(st.sampled_from(sorted(name for names in self.model.values() for name in names)))
        image = self.engine.images.require(name)
        selection = Selection(image=image, names=(parse_reference(name).canonical,))
        archive = b"".join(render_archive(self.engine.images, [selection]))
        self.attempt(lambda: load_archive(self.engine.images, ChunkSource(iter([archive]))), crash, self.model)

    @precondition(lambda self: self.model)
    @rule(data=st.data(), name=NAMES, crash=CRASHES)
    def tag(self, data: st.DataObject, name: str, crash: int | None) -> None:
        """`docker tag`: a name moves to another image."""
        image_id = data.draw(st.sampled_from(sorted(self.model)))
        self.attempt(lambda: self.engine.images.tag(image_id, parse_reference(name)), crash, self.with_name(image_id, name))

    @rule(name=NAMES, force=st.booleans(), crash=CRASHES)
    def remove(self, name: str, force: bool, crash: int | None) -> None:
        """`docker rmi NAME`: the name goes, and the image with its last one, unless a container was made of it."""
        image_id = self.named(name)
        if not image_id:
            with pytest.raises(NotFound):
                remove_image(self.engine, name)
            return
        untagged = {**self.model, image_id: self.model[image_id] - {name}}
        gone = {known: names for known, names in untagged.items() if known != image_id}
        if untagged[image_id]:
            self.attempt(lambda: remove_image(self.engine, name), crash, untagged)
        elif any(use.record.image_id == image_id for use in self.uses) and not force:
            with pytest.raises(Conflict):
                remove_image(self.engine, name)
        else:
            self.attempt(lambda: remove_image(self.engine, name, force=force), crash, untagged, gone)

    @rule(crash=CRASHES)
    def prune(self, crash: int | None) -> None:
        """`docker image prune`: images without a name that no container was made of, one after the other."""
        used = {use.record.image_id for use in self.uses}
        states = [self.model]
        for image in self.engine.images.all():
            if not self.model[image.id] and image.id not in used:
                states.append({known: names for known, names in states[-1].items() if known != image.id})
        self.attempt(lambda: prune_images(self.engine, {}), crash, *states[1:], states[-1])

    @precondition(lambda self: self.model)
    @rule(data=st.data())
    def use(self, data: st.DataObject) -> None:
        """`docker create`."""
        image = self.engine.images.require(data.draw(st.sampled_from(sorted(self.model))))
        with self.engine.images.hold_layers(image) as layers:
            self.uses.append(Use(Record(id=os.urandom(4).hex(), image_id=image.id, layers=layers)))

    @precondition(lambda self: self.uses)
    @rule()
    def drop(self) -> None:
        """`docker rm`."""
        self.uses.pop()

    @invariant()
    def nothing_is_lost(self) -> None:
        """Every image has all of its blobs, as their names say, and every layer that somebody needs has its files."""
        content = self.engine.images.content
        for image in self.engine.images.all():
            for digest in (image.id, image.manifest_digest, *(layer.digest for layer in image.manifest.layers)):
                assert f"sha256:{hashlib.sha256(content.blob_path(digest).read_bytes()).hexdigest()}" == digest
            for name in self.engine.images.ensure_layers(image):
                assert any((content.layers / name).iterdir())
        for use in self.uses:
            for name in use.record.layers:
                assert any((content.layers / name).iterdir()), "the files of a container"

    @invariant()
    def nothing_is_left(self) -> None:
        """What no image refers to is not there, but for layers that containers stand on or stood on."""
        content, images = self.engine.images.content, self.engine.images.all()
        wanted = {d for image in images for d in (image.id, image.manifest_digest, *(layer.digest for layer in image.manifest.layers))}
        assert content.list_digests() == wanted
        assert not list((self.root / "tmp").iterdir())
        self.engine.images.sweep()
        layers = {layer_name(chain_id) for image in images for chain_id in image.chain_ids}
        assert content.list_layers() == layers | {name.partition("/")[0] for use in self.uses for name in use.record.layers}


TestStore = StoreMachine.TestCase
TestStore.settings = settings(max_examples=40, stateful_step_count=25, suppress_health_check=[HealthCheck.too_slow])
