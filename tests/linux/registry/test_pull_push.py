"""Pulls and pushes that must work although the way is bad, several want the same, or something else answers."""

from __future__ import annotations

import json
import threading
from collections.abc import Generator, Iterator
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from typing import Any

import pytest

from minidocker.api.registry import RegistryOptions, make_registry_server
from minidocker.engine.pull import pull_image
from minidocker.engine.push import push_image
from minidocker.engine.registries import Unauthorized, describe_distribution, log_in, search_hub
from minidocker.errors import InvalidParameter, MinidockerError, NotFound
from minidocker.image.deflate import compress_gzip
from minidocker.reference.reference import parse_reference
from minidocker.registry.challenge import Credentials
from minidocker.registry.endpoints import Endpoint, RegistryConfig
from minidocker.registry.session import RepositorySession, TokenCache
from minidocker.spec.image import OCI_INDEX, OCI_LAYER, OCI_MANIFEST, Descriptor
from tests.linux.registry.fakes import (
    Engine, FakeRegistry, Image, blob_answer, digest_of, fake_registry, inventory, make_image, make_tar, send,
)  # fmt: skip

ANN = Credentials(username="ann", password="secret")


@pytest.fixture
def registry() -> Iterator[FakeRegistry]:
    """Return a fake registry."""
    with fake_registry() as fake:
        yield fake


@pytest.fixture
def engine(tmp_path: Path) -> Engine:
    """Return an engine that knows no image."""
    return Engine(tmp_path / "data")


@pytest.fixture
def own(tmp_path: Path) -> Iterator[str]:
    """Return the address of a registry of ours."""
    server, (address,) = make_registry_server(RegistryOptions(listen=("127.0.0.1:0",), root=str(tmp_path / "registry"), delete=True))
    thread = threading.Thread(target=server.run)
    thread.start()
    yield address.removeprefix("tcp://")
    server.stop()
    thread.join(30)


def statuses(lines: Iterator[Any]) -> list[str]:
    """Return what progress says, without how far."""
    return [line.get("status", "") for line in lines if not line.get("progressDetail")]


# --- pull


def test_pull_says_dockers_words(engine: Engine, registry: FakeRegistry) -> None:
    """Docker and docker-py find out from them what happened."""
    image = make_image({"a": b"1"}, {"b": b"2"})
    registry.serve(image)
    lines = list(pull_image(engine, f"{registry.host}/app:1"))
    assert lines[0] == {"status": "Pulling from app", "id": "1"}
    assert lines[-2:] == [{"status": f"Digest: {image.digest}"}, {"status": f"Status: Downloaded newer image for {registry.host}/app:1"}]
    short = digest_of(image.layers[0])[7:19]
    assert [line["status"] for line in lines if isinstance(line, dict) and line.get("id") == short and not line["progressDetail"]] == [
        "Pulling fs layer", "Verifying Checksum", "Download complete", "Pull complete"
    ]  # fmt: skip
    again = statuses(pull_image(engine, f"{registry.host}/app:1"))
    assert again == ["Pulling from app", f"Digest: {image.digest}", f"Status: Image is up to date for {registry.host}/app:1"]
    (stored,) = engine.images.all()
    assert stored.repo_digests == (f"{registry.host}/app@{image.digest}",)
    name = f"{registry.host}/app"
    assert [(e.action, e.actor_id, e.attributes["name"]) for e in engine.events.seen] == [("pull", f"{name}:1", name)] * 2


def test_index_leads_to_the_image_for_this_machine_or_the_one_asked_for(engine: Engine, registry: FakeRegistry) -> None:
    """The digest that is kept is the index's: it is what the name led to."""
    ours, other = make_image({"f": b"ours"}), make_image({"f": b"other"}, architecture="s390x")
    architecture = json.loads(ours.config)["architecture"]
    entries = [
        {"mediaType": OCI_MANIFEST, "digest": image.digest, "size": len(image.content), "platform": {"os": "linux", "architecture": name}}
        for image, name in ((other, "s390x"), (ours, architecture))
    ]
    index = json.dumps({"schemaVersion": 2, "mediaType": OCI_INDEX, "manifests": entries}).encode()
    registry.serve(ours)
    registry.serve(other)
    registry.answers["/v2/app/manifests/1"] = (200, {"Content-Type": OCI_INDEX}, index)
    assert f"Digest: {digest_of(index)}" in statuses(pull_image(engine, f"{registry.host}/app:1"))
    assert engine.images.require(f"{registry.host}/app:1").id == digest_of(ours.config)
    list(pull_image(engine, f"{registry.host}/app:1", platform="linux/s390x"))
    assert engine.images.require(f"{registry.host}/app:1").id == digest_of(other.config)
    described = describe_distribution(engine, f"{registry.host}/app:1")
    assert described["Platforms"] == [{"architecture": "s390x", "os": "linux"}, {"architecture": architecture, "os": "linux"}]


def test_image_for_another_platform_than_the_one_asked_for_is_refused(engine: Engine, registry: FakeRegistry) -> None:
    """Without an index there is nothing to choose; without being asked, what the name leads to is taken."""
    registry.serve(make_image(architecture="s390x"))
    with pytest.raises(NotFound, match="does not match the specified platform: wanted linux/arm64, actual: linux/s390x"):
        list(pull_image(engine, f"{registry.host}/app:1", platform="linux/arm64"))
    assert engine.images.all() == ()
    list(pull_image(engine, f"{registry.host}/app:1"))
    assert len(engine.images.all()) == 1


class Broken:
    """A blob whose connection breaks after each *step* bytes."""

    def __init__(self, content: bytes, step: int, *, takes_ranges: bool) -> None:
        self.content, self.step, self.takes_ranges = content, step, takes_ranges
        self.turns = 0

    def __call__(self, handler: BaseHTTPRequestHandler) -> None:
        """Send the next piece and break off."""
        self.turns += 1
        asked = int(handler.headers.get("Range", "bytes=0-").removeprefix("bytes=").rstrip("-"))
        first = asked if self.takes_ranges else 0
        rest = self.content[first:]
        handler.send_response(206 if first else 200)
        handler.send_header("Content-Length", str(len(rest)))
        if first:
            handler.send_header("Content-Range", f"bytes {first}-{len(self.content) - 1}/{len(self.content)}")
        handler.end_headers()
        handler.wfile.write(rest[: asked - first + self.step])
        handler.close_connection = True


@pytest.mark.parametrize("takes_ranges", [True, False], ids=["goes on", "begins anew"])
def test_download_survives_many_breaks(engine: Engine, registry: FakeRegistry, takes_ranges: bool) -> None:
    """As long as each attempt brings something; a server without ranges sends again what is there already."""
    import os

    image = make_image({"random": os.urandom(100_000)})
    registry.serve(image)
    broken = Broken(image.layers[0], 30_000, takes_ranges=takes_ranges)
    registry.answers[f"/v2/app/blobs/{digest_of(image.layers[0])}"] = broken
    list(pull_image(engine, f"{registry.host}/app:1"))
    assert broken.turns == 4


def test_busy_registry_is_asked_again(engine: Engine, registry: FakeRegistry) -> None:
    """429 and 503 pass."""
    image = make_image()
    registry.serve(image)
    good = registry.answers["/v2/app/manifests/1"]
    refusals = iter([429, 503])

    def act(handler: BaseHTTPRequestHandler) -> None:
        status = next(refusals, 0)
        if status:
            send(handler, status, {"Retry-After": "1"}, b"")
        else:
            assert isinstance(good, tuple)
            send(handler, *good)

    registry.answers["/v2/app/manifests/1"] = act
    list(pull_image(engine, f"{registry.host}/app:1"))
    assert registry.count("/v2/app/manifests/1") == 3


def test_layer_that_several_pulls_want_is_downloaded_once(engine: Engine, registry: FakeRegistry) -> None:
    """The second waits for the first, whatever image it belongs to; both have it in the end."""
    first, second = make_image({"shared": b"1"}, {"a": b"2"}), make_image({"shared": b"1"}, {"b": b"3"})
    registry.serve(first, tag="1")
    registry.serve(second, tag="2")
    path = f"/v2/app/blobs/{digest_of(first.layers[0])}"
    begun, go_on = threading.Event(), threading.Event()

    def slow(handler: BaseHTTPRequestHandler) -> None:
        begun.set()
        go_on.wait(30)
        blob_answer(first.layers[0])(handler)

    registry.answers[path] = slow
    failures: list[BaseException] = []

    def pull(tag: str) -> None:
        try:
            list(pull_image(engine, f"{registry.host}/app:{tag}"))
        except BaseException as error:  # noqa: BLE001 - asserted below
            failures.append(error)

    threads = [threading.Thread(target=pull, args=(tag,)) for tag in ("1", "2")]
    threads[0].start()
    assert begun.wait(30)
    threads[1].start()
    go_on.set()
    for thread in threads:
        thread.join(60)
    assert (failures, registry.count(path), len(engine.images.all())) == ([], 1, 2)


def test_pull_whose_client_left_leaves_nothing(engine: Engine, registry: FakeRegistry) -> None:
    """Ctrl-C: at the next line, or while no line comes."""
    image = make_image()
    registry.serve(image)
    go_on = threading.Event()

    def hang(_handler: BaseHTTPRequestHandler) -> None:
        go_on.wait(60)

    registry.answers[f"/v2/app/blobs/{digest_of(image.layers[0])}"] = hang
    try:
        lines = pull_image(engine, f"{registry.host}/app:1")
        assert isinstance(lines, Generator)
        next(lines)
        next(lines)
        lines.close()
        assert inventory(engine.images.content.root) == set()
        with pytest.raises(MinidockerError, match="client went away"):
            list(pull_image(engine, f"{registry.host}/app:1", is_gone=lambda: True))
        assert inventory(engine.images.content.root) == set()
    finally:
        go_on.set()


def test_all_tags_come_page_by_page(engine: Engine, registry: FakeRegistry) -> None:
    """`docker pull -a`; the link leads on."""
    for tag in ("1", "2", "3"):
        registry.serve(make_image({"f": tag.encode()}), tag=tag)
    pages = iter([({"Link": '</v2/app/tags/list?last=2>; rel="next"'}, ["1", "2"]), ({}, ["3"])])

    def act(handler: BaseHTTPRequestHandler) -> None:
        headers, tags = next(pages)
        send(handler, 200, headers, json.dumps({"name": "app", "tags": tags}).encode())

    registry.answers["/v2/app/tags/list"] = act
    list(pull_image(engine, f"{registry.host}/app", all_tags=True))
    assert {name.tag for image in engine.images.all() for name in image.names if name.tag} == {"1", "2", "3"}


def test_mirror_is_asked_before_docker_hub_without_a_password(tmp_path: Path, registry: FakeRegistry) -> None:
    """A name without a host; what the mirror has comes from there, and it does not get Docker Hub's password."""
    engine = Engine(tmp_path / "data", RegistryConfig(mirrors=(f"http://{registry.host}",)))
    registry.serve(make_image(), repository="library/app")
    list(pull_image(engine, "app:1", credentials=ANN))
    assert engine.images.require("app:1").repo_tags == ("app:1",)
    assert all("authorization" not in headers for _, _, headers in registry.asked)


# --- authorization


class TokenService:
    """A registry that wants a token, and the service that gives one, on another port."""

    def __init__(self, registry: FakeRegistry, service: FakeRegistry) -> None:
        self.registry, self.service = registry, service
        self.challenge = {"WWW-Authenticate": f'Bearer realm="http://{service.host}/token",service="reg",scope="ignored"'}
        service.answers["/token"] = self.give
        for path, answer in list(registry.answers.items()):
            registry.answers[path] = self.guard(answer)

    def give(self, handler: BaseHTTPRequestHandler) -> None:
        """Give a token to who knows the password."""
        import base64

        known = handler.headers.get("Authorization") == "Basic " + base64.b64encode(b"ann:secret").decode()
        send(handler, 200 if known else 401, {}, b'{"token":"t0","expires_in":300}' if known else b'{"details":"incorrect username or password"}')

    def guard(self, answer: Any) -> Any:
        """Let nobody in without the token."""

        def act(handler: BaseHTTPRequestHandler) -> None:
            if handler.headers.get("Authorization") != "Bearer t0":
                send(handler, 401, self.challenge, b"{}")
            elif callable(answer):
                answer(handler)
            else:
                send(handler, *answer)

        return act


def test_token_is_fetched_once_and_used_for_everything(engine: Engine, registry: FakeRegistry) -> None:
    """The service gets the password, the registry the token; the next pull still has it."""
    registry.serve(make_image({"a": b"1"}, {"b": b"2"}))
    with fake_registry() as service:
        TokenService(registry, service)
        for _ in range(2):
            list(pull_image(engine, f"{registry.host}/app:1", credentials=ANN))
        assert service.count("/token") == 1
        assert {headers.get("authorization", "") for _, _, headers in registry.asked} == {"", "Bearer t0"}
        with pytest.raises(MinidockerError, match=r"pull access denied for .* may require 'docker login'"):
            list(pull_image(engine, f"{registry.host}/app:1", credentials=Credentials(username="ann", password="wrong")))
        assert log_in(engine, registry.host, ANN)["Status"] == "Login Succeeded"
        with pytest.raises(Unauthorized):
            log_in(engine, registry.host, Credentials(username="ann", password="wrong"))


class Recorder:
    """A transport that has a registry with a realm on another host."""

    is_closed = False

    def __init__(self, realm: str) -> None:
        self.realm, self.sent = realm, list[tuple[str, dict[str, str]]]()

    def send(self, _method: str, url: str, headers: dict[str, str], _body: object = None, **_options: object) -> Any:
        """Answer 401 at the registry, a token at the realm."""
        self.sent.append((url, headers))
        is_realm = url.startswith(self.realm)
        has_token = headers.get("Authorization") == "Bearer t"
        challenge = {"www-authenticate": f'Bearer realm="{self.realm}",service="s"'}
        return _Reply(url, 200 if is_realm or has_token else 401, challenge, b'{"token":"t"}' if is_realm else b"{}")


class _Reply:
    def __init__(self, url: str, status: int, headers: dict[str, str], body: bytes) -> None:
        self.url, self.status, self.headers, self._body = url, status, headers, body

    def read(self, _limit: int) -> bytes:
        return self._body

    def close(self) -> None:
        pass


@pytest.mark.parametrize(("realm", "is_sent"), [("https://auth.example.com/t", True), ("https://evil.org/t", False)])
def test_realm_on_another_host_gets_no_password(realm: str, is_sent: bool) -> None:
    """CVE-2026-33540: a token for nobody is asked for instead."""
    transport = Recorder(realm)
    session = RepositorySession(transport, Endpoint(host="registry.example.com"), "app", credentials=ANN, tokens=TokenCache())  # type: ignore[arg-type]  # a fake
    session.ping()
    (headers,) = (headers for url, headers in transport.sent if url.startswith(realm))
    assert ("Authorization" in headers) is is_sent


# --- push


def load(engine: Engine, name: str, *files: dict[str, bytes]) -> Image:
    """Bring an image with plain layers into *engine*."""
    import io

    image = make_image(*files)
    tars = [make_tar(content) for content in files]
    with engine.images.ingest() as ingest:
        for tar in tars:
            ingest.keep(ingest.spool(io.BytesIO(tar)))
        layers = [Descriptor(media_type=OCI_LAYER, digest=digest_of(tar), size=len(tar)) for tar in tars]
        engine.images.commit(ingest, config=image.config, layers=layers, names=[parse_reference(name)])
    return image


def test_push_sends_each_layer_once_and_mounts_what_is_next_door(engine: Engine, own: str, tmp_path: Path) -> None:
    """To another repository of the same registry nothing travels; the digest shown is the one that the registry has."""
    load(engine, f"{own}/team/app:1", {"a": b"1"}, {"b": b"2"})
    lines = list(push_image(engine, f"{own}/team/app", tag="1"))
    assert lines[0] == {"status": f"The push refers to repository [{own}/team/app]"}
    assert statuses(iter(lines)).count("Pushed") == 2
    aux = lines[-1]["aux"] if isinstance(lines[-1], dict) else None
    assert isinstance(aux, dict)
    assert describe_distribution(engine, f"{own}/team/app:1")["Descriptor"] == {"mediaType": OCI_MANIFEST, "digest": aux["Digest"], "size": aux["Size"]}
    assert statuses(push_image(engine, f"{own}/team/app", tag="1")).count("Layer already exists") == 2
    image = engine.images.require(f"{own}/team/app:1")
    engine.images.tag(image.id, parse_reference(f"{own}/other:2"))
    assert statuses(push_image(engine, f"{own}/other")).count("Mounted from team/app") == 2
    fresh = Engine(tmp_path / "fresh")
    list(pull_image(fresh, f"{own}/other:2"))
    pulled = fresh.images.require(f"{own}/other:2")
    assert (pulled.id, pulled.manifest_digest) == (image.id, aux["Digest"])


def test_image_that_was_pulled_is_pushed_byte_by_byte(engine: Engine, registry: FakeRegistry, own: str) -> None:
    """Fields that we do not know survive; the digest is the same on both sides."""
    image = make_image()
    image.manifest["annotations"] = {"org.example": "1"}
    image.manifest["x-unknown"] = [1, 2]
    registry.serve(image)
    list(pull_image(engine, f"{registry.host}/app:1"))
    engine.images.tag(digest_of(image.config), parse_reference(f"{own}/copy:1"))
    assert f"1: digest: {image.digest} size: {len(image.content)}" in statuses(push_image(engine, f"{own}/copy", tag="1"))


def test_push_of_what_is_not_there_is_refused_in_dockers_words(engine: Engine) -> None:
    """After the first line, as Docker has it."""
    lines = push_image(engine, "localhost:1/none", tag="1")
    assert next(lines) == {"status": "The push refers to repository [localhost:1/none]"}
    with pytest.raises(MinidockerError, match="An image does not exist locally with the tag: localhost:1/none"):
        next(lines)


def test_upload_goes_on_where_it_broke_off(engine: Engine, registry: FakeRegistry) -> None:
    """The registry took a part of the body and failed; it says how much, and gets the rest as a chunk."""
    load(engine, f"{registry.host}/app:1", {"a": b"1" * 5000})
    received: dict[str, bytes] = {}
    state = {"fail": True, "size": 0}

    def start(handler: BaseHTTPRequestHandler) -> None:
        send(handler, 202, {"Location": "/v2/app/blobs/uploads/x?state=1"}, b"")

    def upload(handler: BaseHTTPRequestHandler) -> None:
        if handler.command == "GET":
            send(handler, 204, {"Location": "/v2/app/blobs/uploads/x?state=2", "Range": f"0-{state['size'] - 1}"}, b"")
        elif handler.command == "PUT" and state["fail"]:
            state.update(fail=False, size=40)
            send(handler, 503, {}, b"")
        else:
            received[handler.command] = (handler.headers.get("Content-Range") or handler.path).encode()
            send(handler, 201 if handler.command == "PUT" else 202, {"Location": "/v2/app/blobs/uploads/x?state=3"}, b"")

    registry.answers.update({
        "/v2/app/blobs/uploads/": start, "/v2/app/blobs/uploads/x": upload, "/v2/app/manifests/1": (201, {}, b""),
    })  # fmt: skip
    list(push_image(engine, f"{registry.host}/app", tag="1"))
    layer = engine.images.require(f"{registry.host}/app:1").manifest.layers[0]
    assert received["PATCH"] == f"40-{layer.size - 1}".encode()
    asked = [path for method, path, _ in registry.asked if method in ("PUT", "PATCH")]
    assert asked[-1] == "/v2/app/manifests/1"


def test_upload_survives_the_death_of_the_registry(engine: Engine) -> None:
    """It is gone for a while, then another process has what the first one wrote: nothing is sent twice, nothing left out."""
    import os

    content = os.urandom(3_000_000)
    with fake_registry() as front:
        load(engine, f"{front.host}/app:1", {"a": content})
        turns = iter(["partly", "gone", "back"])
        state = {"turn": ""}
        received = bytearray()

        def start(handler: BaseHTTPRequestHandler) -> None:
            send(handler, 202, {"Location": "/v2/app/blobs/uploads/x"}, b"")

        def upload(handler: BaseHTTPRequestHandler) -> None:
            body = front.bodies[-1]
            state["turn"] = next(turns, "back") if state["turn"] != "back" else "back"
            if state["turn"] == "partly":
                received.extend(body[:1_000_000])
                handler.close_connection = True
            elif state["turn"] == "gone":
                handler.close_connection = True
            elif handler.command == "GET":
                send(handler, 204, {"Location": "/v2/app/blobs/uploads/x", "Range": f"0-{len(received) - 1}"}, b"")
            else:
                received.extend(body)
                send(handler, 201 if handler.command == "PUT" else 202, {"Location": "/v2/app/blobs/uploads/x"}, b"")

        front.answers.update({"/v2/app/blobs/uploads/": start, "/v2/app/blobs/uploads/x": upload, "/v2/app/manifests/1": (201, {}, b"")})
        front.answers[f"/v2/app/blobs/{engine.images.require(f'{front.host}/app:1').id}"] = (200, {}, b"")
        list(push_image(engine, f"{front.host}/app", tag="1"))
        layer = engine.images.require(f"{front.host}/app:1").manifest.layers[0]
        assert digest_of(bytes(received)) == layer.digest


def test_gzip_is_the_same_every_time_and_stores_what_cannot_shrink(tmp_path: Path) -> None:
    """Equal layers must get equal digests, or every push would send everything again."""
    import gzip
    import io
    import os

    noise, text = os.urandom(300_000), b"words and words " * 40_000
    for content in (b"", b"x", noise, text, text + noise + text, bytes(1_000_000)):
        first, second = (b"".join(compress_gzip(io.BytesIO(content))) for _ in range(2))
        assert first == second
        assert gzip.decompress(first) == content
        assert len(first) < len(content) + len(content) // 1000 + 40
    assert len(b"".join(compress_gzip(io.BytesIO(text)))) < len(text) // 50


# --- search


def test_search_reads_the_index_and_its_filters(engine: Engine, registry: FakeRegistry) -> None:
    """Of a registry of one's own that has the old protocol; Docker Hub's is the same."""
    results = [{"name": "a", "star_count": 5, "is_official": True, "description": None}, {"name": "b", "star_count": 1}]
    registry.answers["/v1/search"] = (200, {"Content-Type": "application/json"}, json.dumps({"results": results}).encode())
    found = search_hub(engine, f"{registry.host}/x", filters={})
    assert found[0] == {"name": "a", "star_count": 5, "is_official": True, "is_automated": False, "description": ""}
    assert [line["name"] for line in search_hub(engine, f"{registry.host}/x", filters={"stars": ["3"]})] == ["a"]
    assert [line["name"] for line in search_hub(engine, f"{registry.host}/x", filters={"is-official": ["false"]})] == ["b"]
    with pytest.raises(InvalidParameter, match="limit 101"):
        search_hub(engine, "x", limit=101, filters={})
