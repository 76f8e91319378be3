"""Images on disk: brought in whole or not at all, found by name and id, removed with what only they have."""

from __future__ import annotations

import gzip
import hashlib
import io
import json
import os
import platform
import shutil
import stat
import subprocess
import tarfile
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from minidocker.container.record import ContainerRecord, State, Status
from minidocker.engine.events import Event
from minidocker.engine.image_removal import prune_images, remove_image
from minidocker.engine.images import (
    ContainerUse, history_image, import_image, inspect_image, list_images, load_images, require_image,
    save_images, tag_image,
)  # fmt: skip
from minidocker.errors import Conflict, HostError, InvalidParameter, MinidockerError, NotFound
from minidocker.kernel.copy import copy_stack
from minidocker.image.importer import ImportRequest, import_archive
from minidocker.image.store import ImageStore
from minidocker.builtin.toolbox import gather_toolbox
from minidocker.kernel.flags import Mnt, Ms
from minidocker.kernel.overlay import open_trees
from minidocker.kernel.mount import mount, umount2
from minidocker.reference import parse_reference
from minidocker.spec.container import ContainerConfig, HostConfig

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="needs root: layers have owners")


@dataclass
class Use:
    """A container that uses an image."""

    record: ContainerRecord


@dataclass
class Containers:
    """The containers of an engine."""

    uses: list[Use] = field(default_factory=list)

    def all(self) -> list[ContainerUse]:
        """Return every container."""
        return list(self.uses)


@dataclass
class Events:
    """What was published."""

    seen: list[str] = field(default_factory=list)

    def publish(self, event: Event) -> None:
        """Remember the action."""
        self.seen.append(event.action)


class Engine:
    """An engine that knows images only."""

    def __init__(self, root: Path) -> None:
        self.containers, self.events = Containers(), Events()
        self.images = ImageStore(root, layers_in_use=lambda: {name for use in self.containers.uses for name in use.record.layers})

    def use(self, reference: str, *, running: bool) -> None:
        """Pretend that a container was made from an image."""
        image = require_image(self, reference)
        state = State(status=Status.RUNNING) if running else State(status=Status.EXITED)
        record = ContainerRecord(
            id="c" * 64, name="c", created="", image_id=image.id, config=ContainerConfig(), host_config=HostConfig(),
            layers=self.images.ensure_layers(image), state=state,
        )  # fmt: skip
        self.containers.uses.append(Use(record))


@pytest.fixture
def engine(tmp_path: Path) -> Engine:
    """Return an engine over an empty data root."""
    return Engine(tmp_path / "data")


def make_tar(files: dict[str, bytes]) -> bytes:
    """Return an archive of *files*; a name that ends in `/` is a directory."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as archive:
        for name, data in files.items():
            info = tarfile.TarInfo(name.rstrip("/"))
            info.size, info.type = len(data), tarfile.DIRTYPE if name.endswith("/") else tarfile.REGTYPE
            info.mode = 0o755 if name.endswith("/") else 0o644
            archive.addfile(info, io.BytesIO(data))
    return buffer.getvalue()


def inventory(root: Path) -> set[str]:
    """Return everything below *root* but what is always there."""
    fixed = {"oci-layout", "index.json", "blobs", "blobs/sha256", "layers", "tmp"}
    return {str(path.relative_to(root)) for path in root.rglob("*")} - fixed


def bring(engine: Engine, name: str, files: dict[str, bytes], **options: str) -> str:
    """Import *files* as the image *name*; return its id."""
    (line,) = import_image(engine, io.BytesIO(make_tar(files)), repository=name, **options)
    assert isinstance(line, dict)
    return str(line["status"])


@pytest.mark.parametrize("name", ["hello", "docker.io/library/hello", "hello:latest"])
def test_built_in_image_comes_into_being_when_it_is_named(engine: Engine, name: str) -> None:
    """The first command of a newcomer works without a network."""
    image = require_image(engine, name)
    assert image.repo_tags == ("hello:latest",)
    assert require_image(engine, image.id[7:19]).id == image.id


@pytest.mark.skipif(platform.machine() not in ("x86_64", "aarch64"), reason="no instructions known for this machine")
def test_hello_is_a_program_that_greets(engine: Engine, tmp_path: Path) -> None:
    """The kernel is the judge of our ELF file."""
    (layer,) = engine.images.ensure_layers(require_image(engine, "hello"))
    program = engine.images.content.layers / layer / "hello"
    done = subprocess.run([program], capture_output=True, check=False, env={})
    assert (done.returncode, done.stderr) == (0, b"")
    assert done.stdout.startswith(b"Hello from a container!\n")
    assert done.stdout.endswith(b"toolbox sh\n")


def test_toolbox_runs_without_anything_of_the_host(engine: Engine) -> None:
    """Every program has its loader and libraries in the image, so that a root of its own is enough."""
    (layer,) = engine.images.ensure_layers(require_image(engine, "toolbox"))
    root = engine.images.content.layers / layer
    script = "ls -d /proc; echo a | grep -c a; id -u; cat /etc/passwd | head -n 1; stat -c %a /tmp; true && ! false && echo $((6 * 7))"
    def enter() -> None:
        os.chroot(root)
        os.chdir("/")

    done = subprocess.run(
        ["/bin/sh", "-c", script], capture_output=True, text=True, check=False, env={"PATH": "/bin"}, preexec_fn=enter
    )
    assert (done.stderr, done.returncode) == ("", 0)
    assert done.stdout.split("\n")[:6] == ["/proc", "1", "0", "root:x:0:0:root:/root:/bin/sh", "1777", "42"]


def test_built_in_images_are_the_same_again(engine: Engine, tmp_path: Path) -> None:
    """Equal hosts make equal images: nothing of the moment is in them."""
    other = Engine(tmp_path / "other")
    assert [require_image(e, "toolbox").manifest_digest for e in (engine, other)].count(
        require_image(engine, "toolbox").manifest_digest
    ) == 2


def test_host_without_a_shell_is_told_so(tmp_path: Path) -> None:
    """One sentence, with the next step, instead of an image in which nothing starts."""
    with pytest.raises(HostError, match=r"no shell.*install busybox"):
        gather_toolbox(platform.machine(), root=tmp_path)


def test_unknown_image_gets_dockers_words(engine: Engine) -> None:
    """docker-py pulls when it reads these; the message has the tag that was meant."""
    with pytest.raises(NotFound, match=r"^No such image: nosuch:latest$"):
        require_image(engine, "nosuch")
    with pytest.raises(NotFound, match=f"^No such image: {'e' * 64}$"):
        require_image(engine, "e" * 64)


def test_save_and_load_bring_images_to_another_store(engine: Engine, tmp_path: Path) -> None:
    """Names, ids and layers arrive, compressed or not, and the archive of equal images is equal."""
    image_id = bring(engine, "a/b:1", {"etc/": b"", "etc/x": b"1"}, message="note")
    tag_image(engine, "a/b:1", repository="other", tag="2")
    archive = b"".join(save_images(engine, ["a/b:1", "other:2"]))
    assert archive == b"".join(save_images(engine, ["other:2", "a/b:1"]))
    target = Engine(tmp_path / "target")
    lines = list(load_images(target, io.BytesIO(gzip.compress(archive, mtime=0))))
    assert lines == [{"stream": "Loaded image: a/b:1\n"}, {"stream": "Loaded image: other:2\n"}]
    assert [(image.id, image.repo_tags) for image in list_images(target, filters={})] == [(image_id, ("a/b:1", "other:2"))]
    assert history_image(target, "other:2")[0]["Comment"] == "note"
    assert inspect_image(target, "other:2")["Id"] == image_id
    reopened = ImageStore(tmp_path / "target")
    assert reopened.require("other:2").id == image_id
    (tmp_path / "saved.tar").write_bytes(archive)
    if shutil.which("skopeo"):  # the judge, where it is there
        for place in (f"docker-archive:{tmp_path}/saved.tar:a/b:1", f"oci-archive:{tmp_path}/saved.tar"):
            done = subprocess.run(["skopeo", "inspect", "--config", place], capture_output=True, text=True, check=False)
            assert (done.returncode == 0 and image_id) or "more than one image" in done.stderr, done.stderr


def old_docker_archive(layer: bytes) -> bytes:
    """Return an archive as Docker wrote them before OCI layouts: layers in directories, one of them a link."""
    diff_id = f"sha256:{hashlib.sha256(layer).hexdigest()}"
    config = {"architecture": "amd64", "os": "linux", "config": {"Cmd": ["x"]}, "rootfs": {"type": "layers", "diff_ids": [diff_id] * 2}}
    manifest = [{"Config": "c.json", "RepoTags": ["old:1"], "Layers": ["1/layer.tar", "2/layer.tar"]}]
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as archive:
        for name, data in {"1/layer.tar": layer, "c.json": json.dumps(config).encode(), "manifest.json": json.dumps(manifest).encode()}.items():
            info = tarfile.TarInfo(name)
            info.size = len(data)
            archive.addfile(info, io.BytesIO(data))
        link = tarfile.TarInfo("2/layer.tar")
        link.type, link.linkname = tarfile.SYMTYPE, "../1/layer.tar"
        archive.addfile(link)
    return buffer.getvalue()


def test_old_form_of_docker_save_is_read(engine: Engine) -> None:
    """Archives live longer than the programs that wrote them."""
    assert list(load_images(engine, io.BytesIO(old_docker_archive(make_tar({"f": b"1"}))))) == [{"stream": "Loaded image: old:1\n"}]
    assert len(engine.images.ensure_layers(require_image(engine, "old:1"))) == 2


GOOD = old_docker_archive(make_tar({"f": b"1"}))
DAMAGED: dict[str, tuple[bytes, str]] = {
    "empty": (b"", "neither `manifest.json` nor `index.json`"),
    "no tar": (b"nonsense" * 200, "this is not a tar archive"),
    "cut off": (GOOD[:5000], "cut off"),
    "no manifest": (make_tar({"etc/passwd": b""}), "minidocker import"),
    "manifest is no JSON": (make_tar({"manifest.json": b"{"}), "is not JSON"),
    "manifest is no list": (make_tar({"manifest.json": b"3"}), "must be a list"),
    "file is missing": (make_tar({"manifest.json": b'[{"Config": "x", "Layers": []}]'}), "has no `x`"),
    "path as a name": (make_tar({"manifest.json": b'[{"Config": "../../etc/passwd", "Layers": []}]'}), "has no `"),
    "layer climbs out": (old_docker_archive(make_tar({"../x": b"1"})), "climbs out"),
    "layout without layers": (make_tar({"index.json": b'{"manifests": []}', "oci-layout": b"{}"}), "no image for Linux"),
    "digest as a path": (
        make_tar({"index.json": json.dumps({"manifests": [{"mediaType": "application/vnd.oci.image.manifest.v1+json",
                 "digest": "sha256:../../x", "size": 1}]}).encode(), "oci-layout": b"{}"}), "has no `blobs/",
    ),
    "unknown compression": (b"\x28\xb5\x2f\xfd" + bytes(600), "zstd"),
    "gzip cut off": (gzip.compress(GOOD)[:-50], "cut off"),
}  # fmt: skip


@pytest.mark.parametrize(("archive", "reason"), DAMAGED.values(), ids=DAMAGED)
def test_damaged_archive_leaves_nothing(engine: Engine, archive: bytes, reason: str) -> None:
    """One sentence with the cause; no blob, no layer, no name stays of what came before the damage."""
    with pytest.raises(MinidockerError, match=reason):
        list(load_images(engine, io.BytesIO(archive)))
    assert inventory(engine.images.content.root) == set()
    assert list_images(engine, filters={}) == []


def test_layer_that_is_not_what_the_image_says_is_refused(engine: Engine) -> None:
    """The configuration names the digest of each layer's content: a compressed layer is checked while it is unpacked."""
    layer = make_tar({"f": b"1"})
    content = old_docker_archive(layer)
    other = gzip.compress(make_tar({"f": b"2"}), mtime=0)
    buffer = io.BytesIO()
    with tarfile.open(fileobj=io.BytesIO(content)) as source, tarfile.open(fileobj=buffer, mode="w") as target:
        for member in source.getmembers():
            data = source.extractfile(member) if member.isreg() else None
            body = other if member.name == "1/layer.tar" else data.read() if data else b""
            member.size = len(body)
            target.addfile(member, io.BytesIO(body))
    with pytest.raises(InvalidParameter, match="the image says"):
        list(load_images(engine, io.BytesIO(buffer.getvalue())))
    assert inventory(engine.images.content.root) == set()


def test_failure_keeps_what_other_images_share(engine: Engine) -> None:
    """What is cleaned up after a failure is what this attempt brought, not what it found."""
    layer = make_tar({"f": b"1"})
    list(load_images(engine, io.BytesIO(old_docker_archive(layer))))
    before = inventory(engine.images.content.root)
    with pytest.raises(MinidockerError):
        list(load_images(engine, io.BytesIO(old_docker_archive(layer).replace(b'"Cmd"', b'"Xmd"').replace(b'"2/', b'"3/'))))
    assert inventory(engine.images.content.root) == before
    assert engine.images.ensure_layers(require_image(engine, "old:1"))


def test_crash_leaves_the_old_state(engine: Engine, tmp_path: Path) -> None:
    """Killed at any instant: blobs that no index names, unfinished files and layers go when the store is opened again."""
    bring(engine, "kept", {"f": b"1"})
    before = inventory(tmp_path / "data")
    (tmp_path / "data/blobs/sha256" / ("0" * 64)).write_bytes(b"came before its manifest")
    (tmp_path / "data/tmp/half/diff").mkdir(parents=True)
    (tmp_path / "data/layers" / ("0" * 24) / "diff").mkdir(parents=True)
    store = ImageStore(tmp_path / "data")
    store.sweep()
    assert inventory(tmp_path / "data") == before
    assert store.require("kept").repo_tags == ("kept:latest",)


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """Return a file system of one megabyte."""
    disk = tmp_path / "disk"
    disk.mkdir()
    mount("tmpfs", str(disk), fstype="tmpfs", flags=Ms.NOSUID, data="size=1m")
    yield disk
    umount2(str(disk), flags=Mnt.DETACH)


@pytest.mark.parametrize("size", [100_000, 700_000, 3_000_000], ids=["fits", "unpacked does not fit", "blob does not fit"])
def test_full_disk_leaves_nothing(small_disk: Path, size: int) -> None:
    """A layer exists twice, as a blob and unpacked; whichever does not fit, both go, and the sentence says what to do."""
    engine = Engine(small_disk / "data")
    stream = io.BytesIO(make_tar({"big": os.urandom(size)}))
    if size == 100_000:
        assert list(import_image(engine, stream, repository="a"))
        return
    with pytest.raises(HostError, match=r"No space left on device.*free some space"):
        list(import_image(engine, stream, repository="a"))
    assert inventory(small_disk / "data") == set()
    assert engine.images.all() == ()


def test_name_moves_to_the_newer_image(engine: Engine) -> None:
    """A tag belongs to one image; the one that loses it stays without a name, `dangling`."""
    old, new = bring(engine, "app", {"f": b"1"}), bring(engine, "app", {"f": b"2"})
    assert require_image(engine, "app").id == new
    assert [image.id for image in list_images(engine, filters={"dangling": ["true"]})] == [old]
    removed, freed = prune_images(engine, {})
    assert {"Deleted": old} in removed
    assert freed == 1
    assert [image.id for image in list_images(engine, filters={})] == [new]


def test_removing_a_name_takes_the_image_with_its_last(engine: Engine) -> None:
    """`docker rmi` shows names as `Untagged`, the image and the layers that nobody else has as `Deleted`."""
    image_id = bring(engine, "app:1", {"f": b"1"})
    tag_image(engine, "app:1", repository="app", tag="2")
    (chain_id,) = require_image(engine, "app:1").chain_ids
    assert remove_image(engine, "app:1") == [{"Untagged": "app:1"}]
    assert remove_image(engine, "app:2") == [{"Untagged": "app:2"}, {"Deleted": image_id}, {"Deleted": chain_id}]
    assert inventory(engine.images.content.root) == set()


def test_image_in_use_stays(engine: Engine) -> None:
    """Docker's texts; force is enough for a stopped container, whose layers stay, and never for a running one."""
    image_id = bring(engine, "app", {"f": b"1"})
    engine.use("app", running=False)
    with pytest.raises(Conflict, match=r'unable to remove repository reference "app" \(must force\) - container cccccccccccc is using'):
        remove_image(engine, "app")
    with pytest.raises(Conflict, match=r"\(must be forced\) - image is being used by stopped container cccccccccccc"):
        remove_image(engine, image_id)
    layers = engine.images.ensure_layers(require_image(engine, "app"))
    assert remove_image(engine, "app", force=True) == [{"Untagged": "app:latest"}, {"Deleted": image_id}]
    assert (engine.images.content.layers / layers[0] / "f").exists()
    engine.images.sweep()
    assert (engine.images.content.layers / layers[0] / "f").exists()
    engine.containers.uses.clear()
    engine.images.sweep()
    assert inventory(engine.images.content.root) == set()


@pytest.mark.parametrize("force", [False, True])
def test_image_of_a_running_container_stays_even_with_force(engine: Engine, force: bool) -> None:
    """Its files are in use: with force the name goes, and the image stays without one."""
    image_id = bring(engine, "app", {"f": b"1"})
    engine.use("app", running=True)
    with pytest.raises(Conflict, match=r"\(cannot be forced\) - image is being used by running container"):
        remove_image(engine, image_id, force=force)
    if force:
        assert remove_image(engine, "app", force=True) == [{"Untagged": "app:latest"}]
    else:
        with pytest.raises(Conflict, match="must force"):
            remove_image(engine, "app")
    assert require_image(engine, image_id).id == image_id


def stack(engine: Engine, *layers: dict[str, bytes]) -> tuple[str, ...]:
    """Return the directories of an image with these layers."""
    hashes = [f"sha256:{hashlib.sha256(make_tar(layer)).hexdigest()}" for layer in layers]
    config = json.dumps({"architecture": "amd64", "os": "linux", "rootfs": {"type": "layers", "diff_ids": hashes}}).encode()
    files = {f"{n}.tar": make_tar(layer) for n, layer in enumerate(layers)}
    manifest = [{"Config": "config", "RepoTags": ["stack:1"], "Layers": list(files)}]
    files |= {"config": config, "manifest.json": json.dumps(manifest).encode()}
    list(load_images(engine, io.BytesIO(make_tar(files))))
    return engine.images.ensure_layers(require_image(engine, "stack:1"))


def show(root: Path) -> dict[str, tuple[int, bytes]]:
    """Return mode and content of everything below *root*."""
    return {
        str(path.relative_to(root)): (path.lstat().st_mode, path.read_bytes() if path.is_file() else b"")
        for path in root.rglob("*")
    }


STACKS: dict[str, tuple[dict[str, bytes], ...]] = {
    "file over file": ({"a": b"1", "b": b"1"}, {"a": b"2"}),
    "whiteout": ({"d/": b"", "d/a": b"1", "d/b": b"1"}, {"d/.wh.a": b""}),
    "whiteout of a directory": ({"d/": b"", "d/a": b"1"}, {".wh.d": b""}),
    "directory again": ({"d/": b"", "d/a": b"1"}, {".wh.d": b""}, {"d/": b"", "d/b": b"2"}),
    "directory replaced in one layer": ({"d/": b"", "d/a": b"1"}, {".wh.d": b"", "d/": b"", "d/b": b"2"}),
    "opaque": ({"d/": b"", "d/a": b"1", "d/e/": b"", "d/e/x": b"1"}, {"d/.wh..wh..opq": b"", "d/b": b"2"}),
    "file over directory": ({"d/": b"", "d/a": b"1"}, {"d": b"file"}),
    "directory over file": ({"d": b"file"}, {"d/": b"", "d/a": b"1"}),
    "hidden and never there": ({"a": b"1"}, {".wh.b": b""}),
}


@pytest.mark.parametrize("layers", STACKS.values(), ids=STACKS)
def test_plain_copy_shows_what_overlayfs_shows(engine: Engine, tmp_path: Path, layers: tuple[dict[str, bytes], ...]) -> None:
    """The driver for hosts without overlayfs must not be seen from inside; the kernel is the judge."""
    names = stack(engine, {"base": b""}, *layers)
    root, directory = tmp_path / "plain", engine.images.content.layers
    for name in ("plain", "upper", "work", "merged"):
        (tmp_path / name).mkdir()
    with open_trees([directory / name for name in reversed(names)]) as fds, open_trees([root]) as (root_fd,):
        copy_stack(fds, root_fd)
    lower = ":".join(str(directory / name) for name in reversed(names))
    data = f"lowerdir={lower},upperdir={tmp_path}/upper,workdir={tmp_path}/work"
    try:
        mount("overlay", str(tmp_path / "merged"), fstype="overlay", data=data)
    except OSError as error:
        pytest.skip(f"needs overlayfs on the file system of the temporary directory: {error}")
    try:
        assert show(root) == show(tmp_path / "merged")
    finally:
        umount2(str(tmp_path / "merged"))
    assert stat.S_IMODE(root.stat().st_mode) == 0o755


def test_index_on_disk_is_an_oci_layout(engine: Engine, tmp_path: Path) -> None:
    """Other tools read the store as it lies there."""
    image_id = bring(engine, "x.example/app:1", {"f": b"1"})
    index = json.loads((tmp_path / "data/index.json").read_bytes())
    (entry,) = index["manifests"]
    assert entry["annotations"] == {
        "io.containerd.image.name": "x.example/app:1", "org.opencontainers.image.ref.name": "1",
    }  # fmt: skip
    manifest = (tmp_path / "data/blobs" / entry["digest"].replace(":", "/")).read_bytes()
    assert len(manifest) == entry["size"]
    assert json.loads(manifest)["config"]["digest"] == image_id


def test_import_takes_changes_and_says_what_it_is(engine: Engine) -> None:
    """`docker import --change --message`: an image is files plus what to run."""
    image = import_archive(
        engine.images, io.BytesIO(make_tar({"f": b"1"})),
        ImportRequest(name=parse_reference("i:1"), comment="note", config=ContainerConfig(cmd=("/f",))), time_ns=1_700_000_000_000_000_001,
    )  # fmt: skip
    assert image.config.config.cmd == ("/f",)
    assert (image.created, image.config.history[0].comment) == ("2023-11-14T22:13:20.000000001Z", "note")


@pytest.mark.parametrize("content", [b"", b"no archive at all" * 50], ids=["empty", "text"])
def test_import_of_something_else_leaves_nothing(engine: Engine, content: bytes) -> None:
    """A wrong file name is the usual cause; nothing may look like an image afterwards."""
    with pytest.raises(InvalidParameter):
        list(import_image(engine, io.BytesIO(content), repository="a"))
    assert inventory(engine.images.content.root) == set()


def test_every_change_is_told(engine: Engine) -> None:
    """`docker events` shows what happened to images."""
    bring(engine, "a", {"f": b"1"})
    tag_image(engine, "a", repository="b")
    remove_image(engine, "a")
    remove_image(engine, "b")
    assert engine.events.seen == ["import", "tag", "untag", "untag", "delete"]


def test_layers_stay_for_a_container_in_the_making(engine: Engine) -> None:
    """`docker create` and `docker rmi -f` at once: between the unpacking and the record nobody else knows of the container."""
    image_id = bring(engine, "app", {"f": b"1"})
    with engine.images.hold_layers(require_image(engine, "app")) as layers:
        assert remove_image(engine, image_id, force=True)[-1] == {"Deleted": image_id}
        assert (engine.images.content.layers / layers[0] / "f").exists()
    engine.images.sweep()
    assert inventory(engine.images.content.root) == set()
