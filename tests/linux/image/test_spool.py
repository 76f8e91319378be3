"""Blobs that are read while they still arrive, and manifests that are kept as they came."""

from __future__ import annotations

import gzip
import hashlib
import io
import json
import tarfile
import threading
from contextlib import closing
from pathlib import Path

import pytest

from minidocker.errors import PeerError
from minidocker.image.spool import Spool
from minidocker.image.store import ImageStore
from minidocker.reference.reference import parse_reference
from minidocker.spec.image import OCI_LAYER_GZIP, OCI_MANIFEST, Descriptor


def digest_of(content: bytes) -> str:
    return f"sha256:{hashlib.sha256(content).hexdigest()}"


def send(spool: Spool, content: bytes) -> None:
    spool.write(content)
    spool.finish()


def make_layer() -> tuple[bytes, str]:
    """Return a compressed layer with one file, and its diff_id."""
    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode="w") as archive:
        entry = tarfile.TarInfo("file")
        entry.size = 3
        archive.addfile(entry, io.BytesIO(b"abc"))
    return gzip.compress(stream.getvalue()), digest_of(stream.getvalue())


def test_reader_follows_the_writer_and_ends_after_the_check(tmp_path: Path) -> None:
    """Unpacking goes on while the download does; the last read waits until the digest was found right."""
    content = bytes(range(256)) * 1000
    spool = Spool(tmp_path / "blob", digest=digest_of(content), size=len(content))
    seen: list[bytes] = []

    def follow() -> None:
        reader = spool.open_reader()
        seen.extend(iter(lambda: reader.read(1000), b""))

    thread = threading.Thread(target=follow)
    thread.start()
    for start in range(0, len(content), 7000):
        spool.write(content[start : start + 7000])
    (tmp_path / "blob").rename(tmp_path / "its place")  # a blob that is finished moves, while somebody may still read
    spool.finish()
    thread.join(30)
    spool.close()
    assert b"".join(seen) == content


@pytest.mark.parametrize("sent", [b"other", b"shor", b"longer"], ids=["digest", "short", "long"])
def test_wrong_content_never_ends_for_a_reader(tmp_path: Path, sent: bytes) -> None:
    """A layer that was unpacked from it must not be published: its reader gets the failure instead of an end."""
    with closing(Spool(tmp_path / "blob", digest=digest_of(b"right"), size=5)) as spool:
        reader = spool.open_reader()
        with pytest.raises(PeerError, match="receive blob `sha256:") as caught:
            send(spool, sent)
        spool.fail(caught.value)
        with pytest.raises(PeerError):
            list(iter(lambda: reader.read(100), b""))


def test_manifest_that_came_along_keeps_its_bytes(tmp_path: Path) -> None:
    """Its digest is what others call the image by; one made anew from the parsed fields would have another."""
    layer, diff_id = make_layer()
    config = json.dumps({"architecture": "amd64", "os": "linux", "rootfs": {"type": "layers", "diff_ids": [diff_id]}}).encode()
    descriptor = Descriptor(media_type=OCI_LAYER_GZIP, digest=digest_of(layer), size=len(layer))
    manifest = json.dumps(
        {
            "schemaVersion": 2, "mediaType": OCI_MANIFEST, "x-unknown": [1],
            "config": {"mediaType": "application/vnd.oci.image.config.v1+json", "digest": digest_of(config), "size": len(config)},
            "layers": [{"mediaType": OCI_LAYER_GZIP, "digest": digest_of(layer), "size": len(layer)}],
        }, indent=3,
    ).encode()  # fmt: skip
    store = ImageStore(tmp_path)
    name = parse_reference(f"team/app@{digest_of(manifest)}")
    with store.ingest() as ingest:
        spool = ingest.expect(digest=digest_of(layer), size=len(layer))
        spool.write(layer)
        ingest.keep(spool.finish())
        image = store.commit(ingest, config=config, layers=[descriptor], names=[name], manifest=manifest)
    assert image.manifest_digest == digest_of(manifest)
    assert store.content.read_document(image.manifest_digest) == manifest
    reopened = ImageStore(tmp_path).require(name.canonical)
    assert (reopened.manifest_size, reopened.repo_digests) == (len(manifest), (f"team/app@{digest_of(manifest)}",))


def test_manifest_that_came_later_replaces_ours(tmp_path: Path) -> None:
    """The same image loaded from a file and then pulled: what the registry has counts, and nothing is stored twice."""
    layer, diff_id = make_layer()
    config = json.dumps({"architecture": "amd64", "os": "linux", "rootfs": {"type": "layers", "diff_ids": [diff_id]}}).encode()
    plain = gzip.decompress(layer)
    store = ImageStore(tmp_path)
    with store.ingest() as ingest:
        ingest.keep(ingest.spool(io.BytesIO(plain)))
        first = Descriptor(media_type="application/vnd.oci.image.layer.v1.tar", digest=diff_id, size=len(plain))
        store.commit(ingest, config=config, layers=[first], names=[parse_reference("a:1")])
    packed = {"mediaType": OCI_LAYER_GZIP, "digest": digest_of(layer), "size": len(layer)}
    described = {"mediaType": "application/vnd.oci.image.config.v1+json", "digest": digest_of(config), "size": len(config)}
    manifest = json.dumps({"schemaVersion": 2, "config": described, "layers": [packed]}).encode()
    with store.ingest() as ingest:
        ingest.keep(ingest.spool(io.BytesIO(layer)))
        descriptor = Descriptor(media_type=OCI_LAYER_GZIP, digest=digest_of(layer), size=len(layer))
        image = store.commit(ingest, config=config, layers=[descriptor], manifest=manifest)
    assert image.manifest_digest == digest_of(manifest)
    assert [name.familiar for name in image.names] == ["a:1"]
    assert store.content.list_digests() == {digest_of(config), digest_of(layer), digest_of(manifest)}
