"""A registry that does what a test tells it, and an engine that knows images only."""

from __future__ import annotations

import gzip
import hashlib
import io
import json
import tarfile
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

from minidocker.engine.events import Event
from minidocker.engine.transfers import Registries
from minidocker.image.store import ImageStore
from minidocker.registry.endpoints import RegistryConfig
from minidocker.spec.image import OCI_CONFIG, OCI_LAYER_GZIP, OCI_MANIFEST

Act = Callable[[BaseHTTPRequestHandler], None]


def digest_of(content: bytes) -> str:
    return f"sha256:{hashlib.sha256(content).hexdigest()}"


def make_tar(files: dict[str, bytes]) -> bytes:
    """Return an archive of *files*."""
    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode="w") as archive:
        for name, content in files.items():
            entry = tarfile.TarInfo(name)
            entry.size = len(content)
            archive.addfile(entry, io.BytesIO(content))
    return stream.getvalue()


@dataclass
class Image:
    """An image as its pieces, which a test may spoil before they are served."""

    layers: list[bytes]
    """Compressed."""
    config: bytes
    manifest: dict[str, Any]
    extra: dict[str, Any] = field(default_factory=dict)

    @property
    def content(self) -> bytes:
        """The manifest's bytes."""
        return json.dumps(self.manifest).encode()

    @property
    def digest(self) -> str:
        """The manifest's digest."""
        return digest_of(self.content)


def make_image(*files: dict[str, bytes], architecture: str = "") -> Image:
    """Return an image with one layer for each of *files*."""
    from minidocker.engine.pull import own_platform

    tars = [make_tar(content) for content in files or ({"file": b"content"},)]
    layers = [gzip.compress(tar, mtime=0) for tar in tars]
    config = json.dumps(
        {"architecture": architecture or own_platform().architecture, "os": "linux", "rootfs": {"type": "layers", "diff_ids": [digest_of(tar) for tar in tars]}}
    ).encode()
    manifest = {
        "schemaVersion": 2, "mediaType": OCI_MANIFEST,
        "config": {"mediaType": OCI_CONFIG, "digest": digest_of(config), "size": len(config)},
        "layers": [{"mediaType": OCI_LAYER_GZIP, "digest": digest_of(layer), "size": len(layer)} for layer in layers],
    }  # fmt: skip
    return Image(layers=layers, config=config, manifest=manifest)


class FakeRegistry:
    """Answers from a table, and remembers what it was asked."""

    def __init__(self) -> None:
        self.answers: dict[str, Act | tuple[int, dict[str, str], bytes]] = {"/v2/": (200, {}, b"{}")}
        """By path, without the query."""
        self.asked: list[tuple[str, str, dict[str, str]]] = []
        self.bodies: list[bytes] = []
        """Of the requests that had one."""
        self.host = ""

    def serve(self, image: Image, repository: str = "app", tag: str = "1") -> None:
        """Put *image* into the table."""
        kind = {"Content-Type": str(image.manifest.get("mediaType", OCI_MANIFEST))}
        for name in (tag, image.digest):
            self.answers[f"/v2/{repository}/manifests/{name}"] = (200, kind, image.content)
        for blob in (*image.layers, image.config):
            self.answers[f"/v2/{repository}/blobs/{digest_of(blob)}"] = blob_answer(blob)

    def count(self, path: str) -> int:
        """Return how often *path* was asked for."""
        return sum(1 for _, asked, _ in self.asked if asked == path)


def blob_answer(content: bytes) -> Act:
    """Return an act that sends *content*, or the part that is asked for."""

    def act(handler: BaseHTTPRequestHandler) -> None:
        first = int(handler.headers.get("Range", "bytes=0-").removeprefix("bytes=").partition("-")[0])
        part = {"Content-Range": f"bytes {first}-{len(content) - 1}/{len(content)}"} if first else {}
        send(handler, 206 if first else 200, part, content[first:])

    return act


def send(handler: BaseHTTPRequestHandler, status: int, headers: dict[str, str], body: bytes) -> None:
    """Send one answer."""
    handler.send_response(status)
    for name, value in {"Content-Length": str(len(body)), **headers}.items():
        handler.send_header(name, value)
    handler.end_headers()
    if handler.command != "HEAD":
        handler.wfile.write(body)


@contextmanager
def fake_registry() -> Iterator[FakeRegistry]:
    """Serve a fake registry on the loopback for the time of the block."""
    registry = FakeRegistry()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def answer(self) -> None:
            path = self.path.partition("?")[0]
            if "content-length" in self.headers and self.command != "GET":
                registry.bodies.append(self.rfile.read(int(self.headers["content-length"])))
            registry.asked.append((self.command, path, {name.lower(): value for name, value in self.headers.items()}))
            found = registry.answers.get(path, (404, {}, b'{"errors":[{"code":"BLOB_UNKNOWN","message":"blob unknown to registry"}]}'))
            if callable(found):
                found(self)
            else:
                send(self, *found)

        do_GET = do_HEAD = do_POST = do_PUT = do_PATCH = answer  # noqa: N815 - names of the standard library

        def log_message(self, *_arguments: object) -> None:
            pass

    class Server(ThreadingHTTPServer):
        daemon_threads = True

        def handle_error(self, *_arguments: object) -> None:  # a client that leaves in the middle is what some tests are about
            pass

    with Server(("127.0.0.1", 0), Handler) as server:
        registry.host = f"127.0.0.1:{server.server_address[1]}"
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
        thread.start()
        try:
            yield registry
        finally:
            server.shutdown()
            thread.join(30)


class Containers:
    """No containers."""

    def all(self) -> list[Any]:
        """Return none."""
        return []


class Events:
    """What was published."""

    def __init__(self) -> None:
        self.seen: list[Event] = []

    def publish(self, event: Event) -> None:
        """Remember it."""
        self.seen.append(event)


class Engine:
    """An engine with images and registries."""

    def __init__(self, root: Path, config: RegistryConfig | None = None) -> None:
        self.images, self.containers, self.events = ImageStore(root), Containers(), Events()
        self.registries = Registries(config or RegistryConfig(), stall_timeout_s=1.0, patience=0.01)


def inventory(root: Path) -> set[str]:
    """Return everything below *root* but what is always there."""
    fixed = {"oci-layout", "index.json", "blobs", "blobs/sha256", "layers", "tmp"}
    return {str(path.relative_to(root)) for path in root.rglob("*")} - fixed


__all__ = ["Engine", "FakeRegistry", "Image", "blob_answer", "digest_of", "fake_registry", "inventory", "make_image", "make_tar", "send"]
