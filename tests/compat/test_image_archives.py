"""Images as files, both ways, with the other programs that write and read them: dockerd, podman, skopeo, umoci."""

from __future__ import annotations

import io
import json
import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from benchmarks.peers import Missing, start_dockerd
from minidocker.codec.tar import END_OF_ARCHIVE, Kind, TarEntry, render_header, render_padding
from minidocker.image.archive import Selection, load_archive, render_archive
from minidocker.image.commit import commit_layer
from minidocker.image.diff import walk_tree_changes
from minidocker.image.importer import ImportRequest, import_archive
from minidocker.image.store import ImageRecord, ImageStore
from minidocker.kernel.overlay import open_trees
from minidocker.reference import parse_reference
from minidocker.spec.container import ContainerConfig
from minidocker.spec.image import History

pytestmark = pytest.mark.requires("root")

NAME = "example.test/team/app:1"


def run(*command: str | Path, input: bytes | None = None) -> bytes:
    """Run a peer, which must succeed, and return what it prints."""
    done = subprocess.run(command, input=input, capture_output=True, timeout=300, check=False)
    assert done.returncode == 0, f"{command}: {done.stderr.decode(errors='replace')}"
    return done.stdout


@pytest.fixture
def store(tmp_path: Path) -> ImageStore:
    """A store with one image of two layers; the upper one hides a file, changes one and brings a hard link."""
    store = ImageStore(tmp_path / "data")
    entries = [(TarEntry(name=b"d", kind=Kind.DIRECTORY, mode=0o755), b""), (TarEntry(name=b"d/gone", size=3), b"old"), (TarEntry(name=b"kept", size=3), b"old")]
    base_tar = b"".join(render_header(entry) + data + render_padding(len(data)) for entry, data in entries) + END_OF_ARCHIVE
    base = import_archive(store, io.BytesIO(base_tar), ImportRequest(comment="base"), time_ns=10**18)
    old, new = tmp_path / "old", tmp_path / "new"
    for tree in (old, new):
        (tree / "d").mkdir(parents=True)
        os.chmod(tree / "d", 0o755)
    (old / "d/gone").write_text("old")
    (new / "d/fresh").write_text("fresh")
    os.link(new / "d/fresh", new / "d/linked")
    os.setxattr(new / "d/fresh", "user.note", b"\x00\xff")
    (new / "ü").write_text("unicode")
    (new / ("long" * 40)).write_text("long")
    os.mknod(new / "null", 0o600 | 0o020000, os.makedev(1, 3))
    (new / "setuid").write_text("s")
    os.chmod(new / "setuid", 0o4711)
    with open_trees([new]) as (new_fd,), open_trees([old]) as old_fds:
        commit_layer(
            store, base=base, changes=walk_tree_changes(new_fd, old_fds), names=(parse_reference(NAME),),
            config=ContainerConfig(cmd=("/x",), env=("A=b",)), history=History(created="2026-01-01T00:00:00Z", created_by="test"),
        )  # fmt: skip
    return store


@pytest.fixture
def saved(store: ImageStore, tmp_path: Path) -> Path:
    """The image as `minidocker save` writes it."""
    image = store.require(NAME)
    path = tmp_path / "saved.tar"
    with path.open("wb") as file:
        file.writelines(render_archive(store, [Selection(image=image, names=(parse_reference(NAME).canonical,))]))
    return path


def assert_same(path: Path, store: ImageStore, directory: Path, *, is_named: bool = True) -> None:
    """Load an archive into an empty store: the same id, layers and configuration."""
    other = ImageStore(directory / "other")
    with path.open("rb") as file:
        (loaded,) = load_archive(other, file)
    wanted: ImageRecord = store.require(NAME)
    assert loaded.image.config.rootfs == wanted.config.rootfs
    assert loaded.image.config.config.cmd == ("/x",)
    assert not is_named or loaded.image.repo_tags == (NAME,)
    assert other.ensure_layers(loaded.image)


@pytest.mark.requires("skopeo")
@pytest.mark.parametrize("form", ["docker-archive", "oci-archive"])
def test_skopeo_reads_what_we_save_and_writes_what_we_load(store: ImageStore, saved: Path, tmp_path: Path, form: str) -> None:
    """The saved file is a `docker load` archive and an OCI layout at once."""
    for source in ("docker-archive", "oci-archive"):
        out = tmp_path / f"{source}.tar"
        name = f"{form}:{out}:{NAME}" if form == "docker-archive" else f"{form}:{out}:1"
        run("skopeo", "copy", "--insecure-policy", f"{source}:{saved}", name)
        assert_same(out, store, tmp_path / source, is_named=form == "docker-archive")
        described = json.loads(run("skopeo", "inspect", "--config", f"{source}:{saved}"))
        assert described["config"]["Cmd"] == ["/x"]


@pytest.mark.requires("skopeo", "umoci")
def test_umoci_unpacks_what_we_save_to_the_same_files(saved: Path, tmp_path: Path) -> None:
    """Whiteouts, hard links, attributes, devices: another implementation of the specification sees them as they were."""
    layout = tmp_path / "layout"
    layout.mkdir()
    run("tar", "-xf", saved, "-C", layout)
    run("umoci", "stat", "--image", f"{layout}:1")
    run("umoci", "unpack", "--image", f"{layout}:1", tmp_path / "bundle")
    root = tmp_path / "bundle/rootfs"
    assert not (root / "d/gone").exists()
    assert (root / "kept").read_text() == "old"
    assert os.path.samefile(root / "d/fresh", root / "d/linked")
    assert os.getxattr(root / "d/fresh", "user.note") == b"\x00\xff"
    assert (root / "null").stat().st_rdev == os.makedev(1, 3)
    assert (root / "setuid").stat().st_mode & 0o7777 == 0o4711
    assert {"ü", "long" * 40} <= set(os.listdir(root))


@pytest.mark.requires("skopeo")
def test_layout_directory_of_skopeo_can_be_loaded(store: ImageStore, saved: Path, tmp_path: Path) -> None:
    """`oci:` is a directory; put into an archive, whatever the order of its files, it is loaded."""
    run("skopeo", "copy", "--insecure-policy", f"docker-archive:{saved}", f"oci:{tmp_path}/dir:1")
    run("tar", "-cf", tmp_path / "dir.tar", "-C", tmp_path / "dir", ".")
    assert_same(tmp_path / "dir.tar", store, tmp_path, is_named=False)


@pytest.mark.requires("podman")
def test_podman_loads_what_we_save_and_saves_what_we_load(store: ImageStore, saved: Path, tmp_path: Path) -> None:
    """Podman keeps images in its own way; the id, a digest of the configuration, is the same."""
    directory = tempfile.mkdtemp(prefix="mdp")
    podman = ("podman", "--root", f"{directory}/r", "--runroot", f"{directory}/run", "--storage-driver", "vfs")
    try:
        run(*podman, "load", "-i", saved)
        assert store.require(NAME).id == f"sha256:{json.loads(run(*podman, 'inspect', NAME))[0]['Id']}"
        run(*podman, "save", "-o", tmp_path / "podman.tar", NAME)
        run(*podman, "save", "--format", "oci-archive", "-o", tmp_path / "oci.tar", NAME)
    finally:
        shutil.rmtree(directory, ignore_errors=True)
    assert_same(tmp_path / "podman.tar", store, tmp_path / "p")
    assert_same(tmp_path / "oci.tar", store, tmp_path / "o", is_named=False)


@pytest.fixture(scope="module")
def dockerd() -> Iterator[tuple[str, ...]]:
    """The client of a private dockerd."""
    directory = Path(tempfile.mkdtemp(prefix="mdd"))
    (directory / "root.tar").write_bytes(render_header(TarEntry(name=b"x")) + END_OF_ARCHIVE)
    try:
        with start_dockerd(directory / "d", directory / "root.tar") as engine:
            yield engine.command
    except Missing as error:
        pytest.skip(f"dockerd does not run here: {error}")
    finally:
        shutil.rmtree(directory, ignore_errors=True)


@pytest.mark.requires("docker", "dockerd")
def test_dockerd_loads_what_we_save_and_saves_what_we_load(
    dockerd: tuple[str, ...], store: ImageStore, saved: Path, tmp_path: Path
) -> None:
    """The id and every diff_id survive the way there and back."""
    assert NAME.encode() in run(*dockerd, "load", "-i", saved)
    document = json.loads(run(*dockerd, "inspect", NAME))[0]
    image = store.require(NAME)
    assert (document["Id"], document["RootFS"]["Layers"]) == (image.id, list(image.config.rootfs.diff_ids))
    run(*dockerd, "save", "-o", tmp_path / "docker.tar", NAME)
    assert_same(tmp_path / "docker.tar", store, tmp_path)
    for suffix, command in (("gz", "gzip"), ("xz", "xz")):
        run(command, "-k", tmp_path / "docker.tar")
        assert_same(tmp_path / f"docker.tar.{suffix}", store, tmp_path / suffix)
