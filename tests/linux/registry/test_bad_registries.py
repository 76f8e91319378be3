"""Registries that lie, break off or attack: one line each, and always the same end.

A sentence that names what was wrong; no image, no file, nothing half-done; what was there before is still there.
"""

from __future__ import annotations

import gzip
import json
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler
from pathlib import Path

import pytest

from minidocker.engine.pull import pull_image
from minidocker.errors import HostError, MinidockerError
from minidocker.kernel.flags import Mnt, Ms
from minidocker.kernel.mount import mount, umount2
from minidocker.registry.challenge import Credentials
from minidocker.spec.image import DOCKER_MANIFEST, OCI_INDEX, OCI_MANIFEST
from tests.linux.registry.fakes import (
    Engine, FakeRegistry, Image, blob_answer, digest_of, fake_registry, inventory, make_image, make_tar, send,
)  # fmt: skip

ANN = Credentials(username="ann", password="secret")
BASIC = {"WWW-Authenticate": 'Basic realm="x"'}


@pytest.fixture
def registry() -> Iterator[FakeRegistry]:
    """Return a fake registry."""
    with fake_registry() as fake:
        yield fake


@pytest.fixture
def engine(tmp_path: Path) -> Engine:
    """Return an engine that knows no image."""
    return Engine(tmp_path / "data")


def blob_path(content: bytes) -> str:
    return f"/v2/app/blobs/{digest_of(content)}"


Spoil = Callable[[FakeRegistry, Image], None]


def manifest_is(**changes: object) -> Spoil:
    """Serve the manifest with *changes*, as what its own field says."""

    def spoil(registry: FakeRegistry, image: Image) -> None:
        image.manifest.update(changes)
        registry.serve(image)

    return spoil


def layer_is(change: Callable[[bytes], tuple[dict[str, str], bytes]]) -> Spoil:
    """Serve the layer with other headers and bytes."""

    def spoil(registry: FakeRegistry, image: Image) -> None:
        headers, body = change(image.layers[0])
        registry.answers[blob_path(image.layers[0])] = lambda handler: _send_and_close(handler, headers, body)

    return spoil


def _send_and_close(handler: BaseHTTPRequestHandler, headers: dict[str, str], body: bytes) -> None:
    send(handler, 200, headers, body)
    handler.close_connection = True


def layer_without_end(registry: FakeRegistry, image: Image) -> None:
    """Stall in the middle of the layer."""

    def stall(handler: BaseHTTPRequestHandler) -> None:
        handler.send_response(200)
        handler.send_header("Content-Length", str(len(image.layers[0])))
        handler.end_headers()
        handler.wfile.flush()
        threading.Event().wait(4)
        handler.close_connection = True

    registry.answers[blob_path(image.layers[0])] = stall


def redirect_without_end(registry: FakeRegistry, image: Image) -> None:
    """Send whoever asks for the layer in circles."""
    path = blob_path(image.layers[0])
    registry.answers[path] = (307, {"Location": path}, b"")


def other_content_inside(registry: FakeRegistry, image: Image) -> None:
    """A layer whose compressed digest is right, and whose content is not what the configuration promises."""
    other = gzip.compress(make_tar({"file": b"other"}), mtime=0)
    image.layers[0] = other
    image.manifest["layers"][0].update(digest=digest_of(other), size=len(other))
    registry.serve(image)


def manifest_bytes(content: bytes, headers: dict[str, str] | None = None) -> Spoil:
    """Serve *content* in the manifest's place."""

    def spoil(registry: FakeRegistry, _image: Image) -> None:
        registry.answers["/v2/app/manifests/1"] = (200, {"Content-Type": OCI_MANIFEST, **(headers or {})}, content)

    return spoil


def index_of(*platforms: tuple[str, str]) -> Spoil:
    """Serve an index in the manifest's place."""

    def spoil(registry: FakeRegistry, image: Image) -> None:
        entries = [
            {"mediaType": OCI_MANIFEST, "digest": image.digest, "size": len(image.content), "platform": {"os": os, "architecture": architecture}}
            for os, architecture in platforms
        ]
        content = json.dumps({"schemaVersion": 2, "mediaType": OCI_INDEX, "manifests": entries}).encode()
        registry.answers["/v2/app/manifests/1"] = (200, {"Content-Type": OCI_INDEX}, content)

    return spoil


def big_config(registry: FakeRegistry, image: Image) -> None:
    """Announce a configuration of a gigabyte."""
    image.manifest["config"]["size"] = 1 << 30
    registry.serve(image)


LAYER = {"mediaType": "application/vnd.oci.image.layer.v1.tar+gzip", "size": 1}

BAD: dict[str, tuple[Spoil, str]] = {
    # what                                   how                                                                    the sentence
    "CVE-2021-41190: manifest and index":    (manifest_is(manifests=[]),                                            "both a manifest and an index"),
    "CVE-2021-41190: other Content-Type":    (manifest_bytes(make_image().content, {"Content-Type": DOCKER_MANIFEST}), "it says `application/vnd.oci.*came as"),
    "CVE-2024-3727: a path for a digest":    (manifest_is(layers=[{**LAYER, "digest": "sha256:../../../etc/x"}]),   "is no digest"),
    "CVE-2017-11468: manifest of 100 MB":    (manifest_bytes(b" " * 100_000_000),                                   "more than 4194304 bytes"),
    "manifest without length or end":        (manifest_bytes(b"[" * (5 << 20), {"Transfer-Encoding": "identity"}),  "more than 4194304 bytes"),
    "CVE-2021-21285: no JSON":               (manifest_bytes(b"{"),                                                 "not JSON"),
    "schema 1":                              (manifest_is(schemaVersion=1),                                         "schema version 1"),
    "configuration of a gigabyte":           (big_config,                                                           "too many for a JSON document"),
    "wrong digest":                          (layer_is(lambda layer: ({}, b"x" * len(layer))),                      "verification failed"),
    "too short":                             (layer_is(lambda layer: ({}, layer[:-1])),                             r"sends \d+ bytes, the descriptor says"),
    "too long":                              (layer_is(lambda layer: ({}, layer + b"x")),                           r"sends \d+ bytes, the descriptor says"),
    "lying Content-Length":                  (layer_is(lambda layer: ({"Content-Length": str(len(layer))}, layer[:5])), "download blob `sha256:.*ended before"),
    "missing blob":                          (lambda r, i: r.answers.pop(blob_path(i.layers[0])) and None,          "blob unknown"),
    "missing configuration":                 (lambda r, i: r.answers.pop(blob_path(i.config)) and None,             "blob unknown"),
    "other content than its diff_id":        (other_content_inside,                                                 "its content is `sha256:.*the image says"),
    "damaged inside":                        (manifest_is(),                                                        ""),
    "stalled":                               (layer_without_end,                                                    "download blob `sha256:.*said nothing for too long"),
    "endless redirects":                     (redirect_without_end,                                                 "more than 10 redirects"),
    "nothing for this machine":              (index_of(("linux", "s390x"), ("windows", "amd64")),                   "no matching manifest for linux/"),
    "an artifact, no image":                 (manifest_is(layers=[]),                                               "may be an artifact"),
}  # fmt: skip
del BAD["damaged inside"]


@pytest.mark.parametrize(("spoil", "sentence"), BAD.values(), ids=BAD)
def test_bad_registry_leaves_nothing_but_a_sentence(engine: Engine, registry: FakeRegistry, spoil: Spoil, sentence: str) -> None:
    """Whatever it sends."""
    kept = make_image({"kept": b"1"})
    registry.serve(kept, tag="kept")
    list(pull_image(engine, f"{registry.host}/app:kept"))
    before = inventory(engine.images.content.root)
    image = make_image()
    registry.serve(image)
    spoil(registry, image)
    with pytest.raises(MinidockerError, match=f"(?s){sentence}"):
        list(pull_image(engine, f"{registry.host}/app:1"))
    assert inventory(engine.images.content.root) == before
    assert [name.tag for name in engine.images.all()[0].names if name.tag] == ["kept"]


def test_digest_in_the_name_is_compared_with_the_bytes(engine: Engine, registry: FakeRegistry) -> None:
    """What the header `Docker-Content-Digest` says is the sender's word for it."""
    image, other = make_image(), make_image({"file": b"other"})
    registry.serve(other)
    registry.answers[f"/v2/app/manifests/{image.digest}"] = (200, {"Content-Type": OCI_MANIFEST, "Docker-Content-Digest": image.digest}, other.content)
    with pytest.raises(MinidockerError, match="manifest verification failed for digest"):
        list(pull_image(engine, f"{registry.host}/app@{image.digest}"))
    assert inventory(engine.images.content.root) == set()


def test_password_does_not_follow_a_redirect_to_another_host(engine: Engine, registry: FakeRegistry) -> None:
    """Blobs may lie in a store of some cloud; whose it is, is not known."""
    image = make_image()
    with fake_registry() as store:
        store.answers["/there"] = blob_answer(image.layers[0])
        registry.serve(image)
        registry.answers[blob_path(image.layers[0])] = (307, {"Location": f"http://{store.host}/there?signature=x"}, b"")
        for path, answer in list(registry.answers.items()):
            registry.answers[path] = _guarded(answer)
        list(pull_image(engine, f"{registry.host}/app:1", credentials=ANN))
        assert [headers.get("authorization") for _, _, headers in store.asked] == [None]
    assert any("authorization" in headers for _, _, headers in registry.asked)


def _guarded(answer: object) -> Callable[[BaseHTTPRequestHandler], None]:
    """Ask for a password first."""

    def act(handler: BaseHTTPRequestHandler) -> None:
        if "Authorization" not in handler.headers:
            send(handler, 401, BASIC, b"{}")
        elif callable(answer):
            answer(handler)
        else:
            assert isinstance(answer, tuple)
            send(handler, *answer)

    return act


def test_addresses_of_a_layer_are_not_asked(engine: Engine, registry: FakeRegistry) -> None:
    """CVE-2020-15157: a manifest that names other hosts for its layers made clients send them their password."""
    image = make_image()
    with fake_registry() as elsewhere:
        image.manifest["layers"][0]["urls"] = [f"http://{elsewhere.host}/layer"]
        registry.serve(image)
        list(pull_image(engine, f"{registry.host}/app:1", credentials=ANN))
        assert elsewhere.asked == []


def test_redirect_to_a_file_or_out_of_the_web_is_refused(engine: Engine, registry: FakeRegistry) -> None:
    """`file:///etc/shadow` would be read by the server and handed to whoever asked."""
    image = make_image()
    registry.serve(image)
    registry.answers[blob_path(image.layers[0])] = (302, {"Location": "file:///etc/shadow"}, b"")
    with pytest.raises(MinidockerError, match="follow redirect"):
        list(pull_image(engine, f"{registry.host}/app:1"))


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """Return a file system of four megabytes."""
    disk = tmp_path / "disk"
    disk.mkdir()
    mount("tmpfs", str(disk), fstype="tmpfs", flags=Ms.NOSUID, data="size=4m")
    yield disk
    umount2(str(disk), flags=Mnt.DETACH)


@pytest.mark.requires("root")
@pytest.mark.parametrize("size", [1_000_000, 64_000_000], ids=["fits", "gzip bomb"])
def test_layer_that_unpacks_to_more_than_the_disk_leaves_it_as_it_was(small_disk: Path, registry: FakeRegistry, size: int) -> None:
    """Sixty kilobytes that become sixty megabytes; the next image still fits."""
    engine = Engine(small_disk / "data")
    registry.serve(make_image({"zeros": bytes(size)}))
    if size > 4_000_000:
        with pytest.raises(HostError, match="No space left on device"):
            list(pull_image(engine, f"{registry.host}/app:1"))
        assert inventory(small_disk / "data") == set()
        registry.serve(make_image())
    list(pull_image(engine, f"{registry.host}/app:1"))
    assert len(engine.images.all()) == 1
