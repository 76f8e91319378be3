"""What went wrong in other engines, one row for each way: hostile layers, and images that lie.

A layer is brought in like any other, as an image in an archive for `docker load`. Whatever happens, nothing outside of the store
changes, and what is refused leaves nothing in it.
"""

from __future__ import annotations

import gzip
import hashlib
import io
import json
import os
import stat
import tracemalloc
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from minidocker.codec.tar import END_OF_ARCHIVE, Kind, TarEntry, render_header, render_padding
from minidocker.errors import HostError, MinidockerError
from minidocker.image.archive import load_archive
from minidocker.image.layer import MAX_LAYERS
from minidocker.image.store import ImageStore
from minidocker.kernel.flags import Mnt, Ms
from minidocker.kernel.mount import mount, umount2

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="needs root: layers have owners and devices")

Item = tuple[TarEntry, bytes]
OCI = "application/vnd.oci.image"


def file(name: str, data: bytes = b"evil", mode: int = 0o644) -> Item:
    """Return a file's entry."""
    return TarEntry(name=name.encode(), size=len(data), mode=mode), data


def node(name: str, kind: Kind, link: str = "", mode: int = 0o755) -> Item:
    """Return the entry of anything else; `{outside}` stands for a directory of the host."""
    return TarEntry(name=name.encode(), kind=kind, link_name=link.encode(), mode=mode), b""


def symlink(name: str, to: str) -> Item:
    """Return a symbolic link's entry."""
    return node(name, Kind.SYMLINK, to)


def hard_link(name: str, to: str) -> Item:
    """Return a hard link's entry."""
    return node(name, Kind.HARD_LINK, to)


def directory(name: str) -> Item:
    """Return a directory's entry."""
    return node(name, Kind.DIRECTORY)


def make_tar(*items: Item) -> bytes:
    """Return an archive."""
    return b"".join(render_header(entry) + data + render_padding(len(data)) for entry, data in items) + END_OF_ARCHIVE


def digest_of(content: bytes) -> str:
    """Return a digest."""
    return f"sha256:{hashlib.sha256(content).hexdigest()}"


def as_json(document: object) -> bytes:
    """Return JSON."""
    return json.dumps(document).encode()


def make_layout(*layers: bytes, change: Callable[[dict[str, Any]], None] = lambda parts: None) -> bytes:
    """Return an OCI layout in an archive with one image; *change* may spoil its parts before they get their digests."""
    blobs = {digest_of(layer): layer for layer in layers}
    plain = [gzip.decompress(layer) if layer.startswith(b"\x1f\x8b") else layer for layer in layers]
    parts: dict[str, Any] = {
        "config": {"os": "linux", "architecture": "amd64", "rootfs": {"type": "layers", "diff_ids": [digest_of(p) for p in plain]}},
        "layers": [{"mediaType": f"{OCI}.layer.v1.tar", "digest": digest_of(layer), "size": len(layer)} for layer in layers],
        "manifest": {"schemaVersion": 2, "mediaType": f"{OCI}.manifest.v1+json"}, "index": {}, "blobs": blobs,
    }  # fmt: skip
    change(parts)
    config = as_json(parts["config"])
    manifest = as_json(
        {"config": {"mediaType": f"{OCI}.config.v1+json", "digest": digest_of(config), "size": len(config)}, "layers": parts["layers"], **parts["manifest"]}
    )
    blobs |= {digest_of(config): config, digest_of(manifest): manifest}
    entry = {"mediaType": f"{OCI}.manifest.v1+json", "digest": digest_of(manifest), "size": len(manifest), **parts["index"]}
    files = {f"blobs/{digest.replace(':', '/')}": content for digest, content in blobs.items()}
    files |= {"oci-layout": b'{"imageLayoutVersion": "1.0.0"}', "index.json": as_json({"schemaVersion": 2, "manifests": [entry]})}
    return make_tar(*(file(name, content) for name, content in files.items()))


def inventory(root: Path) -> set[str]:
    """Return everything in the store but what is always there."""
    fixed = {"oci-layout", "index.json", "blobs", "blobs/sha256", "layers", "tmp"}
    return {str(path.relative_to(root)) for path in root.rglob("*")} - fixed


INSIDE, REFUSED = "kept inside", "refused"
LAYERS: dict[str, tuple[list[Item], str]] = {
    # symbolic links and names that lead out
    "CVE-2014-9356: parent directory": ([file("../outside/secret")], REFUSED),
    "CVE-2014-9356: parent in the middle": ([directory("a"), file("a/../../outside/secret")], REFUSED),
    "CVE-2014-9357: absolute name": ([file("{outside}/secret")], INSIDE),
    "CVE-2014-6407: symlink, then through it": ([symlink("a", "../outside"), file("a/secret")], REFUSED),
    "CVE-2014-6407: absolute symlink, then through it": ([symlink("a", "{outside}"), file("a/secret")], REFUSED),
    "CVE-2018-15664: two symlinks": ([directory("d"), symlink("d/up", ".."), symlink("a", "d/up/../outside"), file("a/secret")], REFUSED),
    "CVE-2024-12718: directory's mode through a symlink": ([symlink("a", "{outside}"), node("a", Kind.DIRECTORY, mode=0o777)], INSIDE),
    "CVE-2025-4517: symlink over a very long path": ([symlink("a", "b/" * 1500 + "../" * 1600 + "{outside}"), file("a/secret")], REFUSED),
    "duplicate name: directory, then a symlink, then a child": ([directory("a"), file("a/x"), symlink("a", "{outside}"), file("a/secret")], REFUSED),
    "symlink, then a directory in it": ([symlink("a", "{outside}"), directory("a/secret")], REFUSED),
    "file over a symlink": ([symlink("x", "{outside}/secret"), file("x")], INSIDE),
    "root replaced by a symlink": ([symlink(".", "{outside}")], REFUSED),
    # hard links
    "CVE-2020-27534: hard link to a file outside": ([hard_link("x", "../outside/secret"), file("x")], REFUSED),
    "CVE-2014-6407: hard link to an absolute path": ([hard_link("x", "{outside}/secret"), file("x")], REFUSED),
    "CVE-2026-17106: hard link through a symlink": ([symlink("a", "{outside}"), hard_link("x", "a/secret")], REFUSED),
    "CVE-2026-17106: hard link to a symlink, then written": ([symlink("s", "{outside}/secret"), hard_link("x", "s"), file("x")], INSIDE),
    # attributes and devices
    "CVE-2021-41089: mode through a symlink": ([symlink("x", "{outside}/secret"), node("x", Kind.FIFO, mode=0o777)], INSIDE),
    "device over a symlink": ([symlink("x", "{outside}/secret"), node("x", Kind.CHARACTER_DEVICE, mode=0o666)], INSIDE),
    "CVE-2021-41091: setuid file": ([file("x", mode=0o4755)], INSIDE),
    # whiteouts
    "whiteout of no name": ([file(".wh.", b"")], REFUSED),
    "whiteout of the parent": ([file(".wh...", b"")], REFUSED),
    "whiteout of the directory": ([directory("d"), file("d/.wh..", b"")], REFUSED),
    "whiteout in a parent": ([file("../.wh.outside", b"")], REFUSED),
    "whiteout through a symlink": ([symlink("a", "{outside}"), file("a/.wh.secret", b"")], REFUSED),
    "opaque through a symlink": ([symlink("a", "{outside}"), file("a/.wh..wh..opq", b"")], REFUSED),
    "whiteout as a directory": ([directory(".wh.x"), file(".wh.x/y")], REFUSED),
    # sizes
    "sparse file of exabytes": ([(TarEntry(name=b"x", size=0, mode=0o644), b"")], INSIDE),
    "a million attributes": ([(TarEntry(name=b"x", xattrs={b"user.%07d" % n: b"" for n in range(100_000)}), b"")], REFUSED),
    "deeper than a walk can go": ([file("a/" * 5000 + "x")], REFUSED),
    "owner out of range": ([(replace(file("x")[0], uid=2**40), b"evil")], REFUSED),
}


@pytest.fixture
def store(tmp_path: Path) -> ImageStore:
    """An empty store."""
    return ImageStore(tmp_path / "data")


@pytest.fixture
def outside(tmp_path: Path) -> Iterator[Path]:
    """A directory of the host, which must be afterwards what it was before."""
    place = tmp_path / "outside"
    place.mkdir()
    (place / "secret").write_text("secret")

    def show() -> list[tuple[object, ...]]:
        statuses = [path.lstat() for path in (place, place / "secret")]
        return [(s.st_mode, s.st_uid, s.st_mtime_ns, s.st_nlink, s.st_ino) for s in statuses]

    before = show()
    yield place
    assert (place / "secret").read_text() == "secret"
    assert show() == before


@pytest.mark.parametrize(("items", "outcome"), LAYERS.values(), ids=LAYERS)
def test_hostile_layer_changes_nothing_outside(store: ImageStore, outside: Path, items: list[Item], outcome: str) -> None:
    """Refused with a sentence, or unpacked inside; never outside."""
    filled = []
    for entry, data in items:
        name, link = (text.replace(b"{outside}", os.fsencode(outside)) for text in (entry.name, entry.link_name))
        filled.append((replace(entry, name=name, link_name=link), data))
    archive = make_layout(make_tar(*filled))
    if outcome == INSIDE:
        (loaded,) = load_archive(store, io.BytesIO(archive))
        assert store.ensure_layers(loaded.image)
        assert stat.S_IMODE((store.content.layers).stat().st_mode) == 0o700, "nobody else reaches what is setuid in there"
    else:
        with pytest.raises(MinidockerError):
            load_archive(store, io.BytesIO(archive))
        assert inventory(store.content.root) == set()


PLAIN = make_tar(file("etc/motd", b"hello"))


def _set(*path: object, value: object) -> Callable[[dict[str, Any]], None]:
    """Return what puts *value* at *path* in the parts of an image."""

    def change(parts: dict[str, Any]) -> None:
        place: Any = parts
        for key in path[:-1]:
            place = place[key]
        place[path[-1]] = value

    return change


LIES: dict[str, tuple[bytes, str]] = {
    "CVE-2021-41190: manifest and index at once": (make_layout(PLAIN, change=_set("manifest", "manifests", value=[])), "both a manifest and an index"),
    "CVE-2024-3727: digest of a layer is a path": (make_layout(PLAIN, change=_set("layers", 0, "digest", value="sha256:../../../etc/passwd")), "has no `|invalid digest"),
    "CVE-2024-3727: diff_id is a path": (make_layout(PLAIN, change=_set("config", "rootfs", "diff_ids", value=["sha256:../../x"])), "digest|the image says"),
    "CVE-2024-3727: digest of another algorithm": (make_layout(PLAIN, change=_set("index", "digest", value="md5:" + "0" * 32)), "has no `|invalid digest"),
    "CVE-2017-11468: manifest of 5 MB": (make_layout(PLAIN, change=_set("manifest", "annotations", value={"x": "y" * 5_000_000})), "too many for a JSON document"),
    "configuration of 5 MB": (make_layout(PLAIN, change=_set("config", "x", value="y" * 5_000_000)), "too many for a JSON document"),
    "diff_id is not the content's": (make_layout(PLAIN, change=_set("config", "rootfs", "diff_ids", value=["sha256:" + "0" * 64])), "the image says"),
    "diff_id of a compressed layer is not the content's": (
        make_layout(gzip.compress(PLAIN), change=_set("config", "rootfs", "diff_ids", value=["sha256:" + "0" * 64])), "the image says",
    ),
    "blob is not what its name says": (make_layout(PLAIN, change=_set("blobs", digest_of(PLAIN), value=PLAIN + b"more")), "the content of blob"),
    "layer is missing": (make_layout(PLAIN, change=_set("layers", 0, "digest", value="sha256:" + "1" * 64)), "has no `"),
    "more diff_ids than layers": (make_layout(PLAIN, change=_set("config", "rootfs", "diff_ids", value=["sha256:" + "0" * 64] * 2)), "names 2 layers, and there are 1"),
    "too many layers": (make_layout(*[PLAIN] * (MAX_LAYERS + 1)), "max depth exceeded"),
    "another operating system": (make_layout(PLAIN, change=_set("config", "os", value="windows")), "containers here run Linux"),
    "wrong type in the configuration": (make_layout(PLAIN, change=_set("config", "config", value={"Env": 3})), "must be"),
    "nested beyond any parser": (make_tar(file("manifest.json", b"[" * 100_000 + b"]" * 100_000)), "is not JSON"),
    "more files than any image": (make_tar(*(file(f"f{n}", b"") for n in range(201))), "more than 200 files"),
}  # fmt: skip


@pytest.mark.parametrize(("archive", "reason"), LIES.values(), ids=LIES)
def test_image_that_lies_is_refused_whole(store: ImageStore, archive: bytes, reason: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """The sentence names what does not fit; no blob, no layer, no name stays."""
    monkeypatch.setattr("minidocker.image.archive.MAX_ENTRIES", 200)
    with pytest.raises(MinidockerError, match=reason):
        load_archive(store, io.BytesIO(archive))
    assert inventory(store.content.root) == set()
    assert store.all() == ()


def test_compressed_layer_that_is_honest_is_taken(store: ImageStore) -> None:
    """The table above proves something only if the same image without a lie is accepted."""
    load_archive(store, io.BytesIO(make_layout(gzip.compress(PLAIN), PLAIN)))
    assert len(store.all()) == 1


@pytest.fixture
def small_store(tmp_path: Path) -> Iterator[ImageStore]:
    """A store on a disk of eight megabytes, with one image in it."""
    disk = tmp_path / "disk"
    disk.mkdir()
    mount("tmpfs", str(disk), fstype="tmpfs", flags=Ms.NOSUID, data="size=8m")
    store = ImageStore(disk / "data")
    load_archive(store, io.BytesIO(make_layout(PLAIN)))
    yield store
    umount2(str(disk), flags=Mnt.DETACH)


def bomb(size: int) -> bytes:
    """Return a layer of a few kilobytes that unpacks to *size* bytes."""
    content = io.BytesIO()
    with gzip.GzipFile(fileobj=content, mode="wb", mtime=0) as archive:
        archive.write(render_header(TarEntry(name=b"big", size=size)))
        for _ in range(size >> 20):
            archive.write(b"\x01" * (1 << 20))
        archive.write(END_OF_ARCHIVE)
    return content.getvalue()


def test_gzip_bomb_fills_neither_memory_nor_disk_for_good(small_store: ImageStore) -> None:
    """100 MB out of 100 kB: the disk refuses, everything of the image goes, what was there before stays."""
    layer = bomb(100 << 20)
    lie = _set("config", "rootfs", "diff_ids", value=["sha256:" + "0" * 64])
    archive, before = make_layout(layer, change=lie), inventory(small_store.content.root)
    tracemalloc.start()
    with pytest.raises(HostError, match="No space left on device"):
        load_archive(small_store, io.BytesIO(archive))
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 32 << 20
    assert inventory(small_store.content.root) == before
    assert small_store.ensure_layers(small_store.all()[0])


@given(data=st.data())
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_damaged_documents_never_do_more_than_fail(tmp_path: Path, data: st.DataObject) -> None:
    """CVE-2021-21285: a malformed manifest or configuration must not take the server with it."""
    json_values = st.recursive(
        st.none() | st.booleans() | st.integers() | st.floats() | st.text(), lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner)
    )
    places = st.sampled_from(
        [("config", "rootfs"), ("config", "config"), ("config", "history"), ("config", "created"), ("manifest", "schemaVersion"),
         ("manifest", "layers"), ("manifest", "config"), ("index", "annotations"), ("index", "size"), ("index", "platform"), ("config", "os")]
    )  # fmt: skip
    archive = make_layout(PLAIN, change=_set(*data.draw(places), value=data.draw(json_values)))
    store = ImageStore(tmp_path / "data")
    try:
        loaded = load_archive(store, io.BytesIO(archive))
    except MinidockerError:
        assert inventory(store.content.root) == set()
    else:
        reopened = ImageStore(tmp_path / "data")
        assert [image.id for image in reopened.all()] == [loaded[0].image.id], "what was accepted can be read again"
        reopened.content.remove(digests=reopened.content.list_digests(), layers=reopened.content.list_layers())
        (tmp_path / "data/index.json").unlink()
