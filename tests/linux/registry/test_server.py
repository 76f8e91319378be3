"""Our own registry, request by request, without sockets: what OCI distribution-spec 1.1 asks for, in its order."""

from __future__ import annotations

import hashlib
import http.client
import io
import json
import os
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from minidocker.registry.collection import collect_garbage, compute_untagged
from minidocker.registry.htpasswd import PasswordFile
from minidocker.registry.server import MAX_PAGE, Call, Registry, Reply, ServerOptions
from minidocker.registry.storage import Storage
from minidocker.spec.image import DOCKER_MANIFEST, OCI_INDEX, OCI_MANIFEST

CONFIG = "application/vnd.oci.image.config.v1+json"
LAYER = "application/vnd.oci.image.layer.v1.tar+gzip"


def digest_of(content: bytes, algorithm: str = "sha256") -> str:
    return f"{algorithm}:{hashlib.new(algorithm, content).hexdigest()}"


class Client:
    """Sends requests to a registry and remembers nothing."""

    def __init__(self, root: Path, **options: Any) -> None:
        self.root = root
        self.storage = Storage(root)
        self.registry = Registry(self.storage, ServerOptions(**{"allow_delete": True, **options}))

    def __call__(self, method: str, path: str, body: bytes = b"", **headers: str) -> Reply:
        """Send one request."""
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        return self.registry.answer(Call(method=method, path=path, headers=named, body=io.BytesIO(body)))

    def push_blob(self, content: bytes, repository: str = "app", algorithm: str = "sha256") -> str:
        """Push a blob in one request; return its digest."""
        digest = digest_of(content, algorithm)
        assert self("POST", f"/v2/{repository}/blobs/uploads/?digest={digest}", content).status == 201
        return digest

    def push_image(self, tag: str, repository: str = "app", **changes: object) -> str:
        """Push an image of one layer, whose content is its tag; return its digest."""
        config = self.push_blob(b"{}", repository)
        layer = self.push_blob(tag.encode(), repository)
        document: dict[str, object] = {
            "schemaVersion": 2, "mediaType": OCI_MANIFEST, "config": {"mediaType": CONFIG, "digest": config, "size": 2},
            "layers": [{"mediaType": LAYER, "digest": layer, "size": len(tag)}], **changes,
        }  # fmt: skip
        content = json.dumps(document).encode()
        reply = self("PUT", f"/v2/{repository}/manifests/{tag}", content, content_type=OCI_MANIFEST)
        assert reply.status == 201, reply.body
        return digest_of(content)


def header(reply: Reply, name: str) -> str:
    return dict(reply.headers)[name]


def content_of(reply: Reply) -> bytes:
    """Return the body, which may be a piece of a file."""
    if reply.file is None:
        return reply.body
    with reply.file.path.open("rb") as file:
        file.seek(reply.file.offset)
        return file.read(reply.file.size)


def code_of(reply: Reply) -> tuple[int, str]:
    return reply.status, json.loads(reply.body)["errors"][0]["code"]


@pytest.fixture
def client(tmp_path: Path) -> Client:
    """Return a client of an empty registry that allows deletion."""
    return Client(tmp_path)


# --- pull


def test_root_says_that_this_is_a_registry(client: Client) -> None:
    """The first request of every client."""
    assert (client("GET", "/v2/").status, client("GET", "/v2/").body) == (200, b"{}")


def test_blob_and_manifest_come_back_as_they_went(client: Client) -> None:
    """Byte by byte, with digest, size and type; HEAD says the same."""
    digest = client.push_image("1")
    for reference in ("1", digest):
        reply = client("GET", f"/v2/app/manifests/{reference}")
        assert (header(reply, "Docker-Content-Digest"), header(reply, "Content-Type")) == (digest, OCI_MANIFEST)
        assert digest_of(reply.body) == digest
    layer = digest_of(b"1")
    assert content_of(client("GET", f"/v2/app/blobs/{layer}")) == b"1"
    head = client("HEAD", f"/v2/app/blobs/{layer}")
    assert head.file is not None
    assert (head.status, head.file.size, header(head, "Docker-Content-Digest")) == (200, 1, layer)


MISSING = {
    "/v2/app/blobs/sha256:" + "a" * 64: (404, "BLOB_UNKNOWN"), "/v2/app/manifests/none": (404, "MANIFEST_UNKNOWN"),
    "/v2/app/manifests/sha256:" + "a" * 64: (404, "MANIFEST_UNKNOWN"), "/v2/none/tags/list": (404, "NAME_UNKNOWN"),
    "/v2/app/manifests/sha256:baddigeststring": (400, "DIGEST_INVALID"), "/v2/app/blobs/sha256:../../x": (404, "NAME_UNKNOWN"),
    "/v2/app/blobs/sha256%3A..%2F..%2Fx": (404, "NAME_UNKNOWN"), "/v2/APP/manifests/1": (400, "NAME_INVALID"),
    "/v2/../x/manifests/1": (400, "NAME_INVALID"), "/v2/a/_tags/tags/list": (400, "NAME_INVALID"), "/v2/app/manifests/.x": (400, "TAG_INVALID"),
    "/v2/app/referrers/x": (400, "DIGEST_INVALID"), "/v2/app/blobs/uploads/" + "0" * 32: (404, "BLOB_UPLOAD_UNKNOWN"),
    "/v2/app/blobs/uploads/..": (404, "BLOB_UPLOAD_UNKNOWN"), "/elsewhere": (404, "NAME_UNKNOWN"),
    "/v2/_catalog?n=x": (400, "PAGINATION_NUMBER_INVALID"),
}  # fmt: skip


@pytest.mark.parametrize(("path", "expected"), MISSING.items(), ids=MISSING)
def test_what_is_not_there_is_refused_with_a_code(client: Client, path: str, expected: tuple[int, str]) -> None:
    """Clients decide by the code; nothing in an address reaches the disk before it was found to be a name."""
    assert code_of(client("GET", path)) == expected


def test_range_of_a_blob_is_a_part(client: Client) -> None:
    """So that a download which broke off goes on."""
    content = os.urandom(2048)
    digest = client.push_blob(content)
    reply = client("GET", f"/v2/app/blobs/{digest}", range="bytes=500-1499")
    assert (reply.status, header(reply, "Content-Range")) == (206, "bytes 500-1499/2048")
    assert content_of(reply) == content[500:1500]
    assert code_of(client("GET", f"/v2/app/blobs/{digest}", range="bytes=5000-10000")) == (416, "RANGE_INVALID")


# --- push


@pytest.mark.parametrize("algorithm", ["sha256", "sha512"])
@pytest.mark.parametrize("content", [b"", b"{}", os.urandom(3000)], ids=["empty", "json", "bytes"])
def test_blob_is_pushed_in_every_way(client: Client, content: bytes, algorithm: str) -> None:
    """One POST; POST and PUT; a stream; chunks, the last one in the PUT or not."""
    digest = digest_of(content, algorithm)
    for way in ("post", "put", "stream", "chunks", "chunk in put"):
        if way == "post":
            reply = client("POST", f"/v2/app/blobs/uploads/?digest={digest}", content)
        else:
            started = client("POST", "/v2/app/blobs/uploads/")
            assert started.status == 202
            where, rest, place = header(started, "Location"), content, {}
            if way == "stream":
                streamed = client("PATCH", where, content)
                assert (streamed.status, rest := b"") == (202, b"")
                assert header(streamed, "Range") == f"0-{max(0, len(content) - 1)}"
            elif way.startswith("chunk") and len(content) > 1000:
                chunk = client("PATCH", where, content[:1000], content_range="0-999")
                assert (chunk.status, header(chunk, "Range")) == (202, "0-999")
                rest, where = content[1000:], header(chunk, "Location")
                if way == "chunks":
                    assert client("PATCH", where, rest, content_range=f"1000-{len(content) - 1}").status == 202
                    rest = b""
                else:
                    place = {"content_range": f"1000-{len(content) - 1}"}
            reply = client("PUT", f"{where}?digest={digest}", rest, **place)
        assert (reply.status, header(reply, "Docker-Content-Digest")) == (201, digest), way
        assert content_of(client("GET", header(reply, "Location"))) == content
        assert client("DELETE", f"/v2/app/blobs/{digest}").status == 202
    assert list((client.root / "uploads").iterdir()) == []


def test_chunk_out_of_order_is_refused_and_the_upload_goes_on(client: Client) -> None:
    """416; a GET says how far it came."""
    where = header(client("POST", "/v2/app/blobs/uploads/"), "Location")
    assert code_of(client("PATCH", where, b"x" * 10, content_range="10-19"))[0] == 416
    assert client("PATCH", where, b"a" * 10, content_range="0-9").status == 202
    for method, path in (("PATCH", where), ("PUT", f"{where}?digest={digest_of(b'a' * 10 + b'b' * 5)}")):
        assert client(method, path, b"a" * 10, content_range="0-9").status == 416
    state = client("GET", where)
    assert (state.status, header(state, "Range")) == (204, "0-9")
    assert client("PUT", f"{where}?digest={digest_of(b'a' * 10 + b'b' * 5)}", b"b" * 5, content_range="10-14").status == 201


def test_chunk_of_another_length_than_it_says_is_taken_back(client: Client) -> None:
    """A connection that broke in the middle must not leave half a chunk that the client does not know of."""
    where = header(client("POST", "/v2/app/blobs/uploads/"), "Location")
    assert code_of(client("PATCH", where, b"abc", content_range="0-9")) == (400, "SIZE_INVALID")
    assert client("PATCH", where, b"abc", content_range="0-2").status == 202
    assert client("PUT", f"{where}?digest={digest_of(b'abc')}").status == 201


def test_wrong_digest_leaves_no_blob(client: Client) -> None:
    """Neither under the digest that was promised nor under the one that came."""
    for path in (f"?digest={digest_of(b'right')}", f"?digest={digest_of(b'right', 'sha512')}"):
        assert code_of(client("POST", f"/v2/app/blobs/uploads/{path}", b"wrong")) == (400, "DIGEST_INVALID")
    for digest in (digest_of(b"right"), digest_of(b"wrong")):
        assert client("GET", f"/v2/app/blobs/{digest}").status == 404
    assert [path for path in client.root.rglob("*") if path.is_file() and path.name != "lock"] == []


def test_upload_survives_the_death_of_the_server(client: Client) -> None:
    """What is on disk counts: the next server reads the first half again for its hash."""
    where = header(client("POST", "/v2/app/blobs/uploads/"), "Location")
    client("PATCH", where, b"first ")
    reborn = Client(client.root)
    assert header(reborn("GET", where), "Range") == "0-5"
    assert reborn("PUT", f"{where}?digest={digest_of(b'first second')}", b"second", content_range="6-11").status == 201


def test_blob_that_lost_its_end_counts_as_missing(client: Client) -> None:
    """After a power failure: the next push must not be told that it is there already."""
    digest = client.push_blob(b"whole")
    os.truncate(client.storage.blob_path(digest), 2)
    assert client("HEAD", f"/v2/app/blobs/{digest}").status == 404
    assert client("POST", f"/v2/other/blobs/uploads/?mount={digest}&from=app").status == 202
    client.push_blob(b"whole")
    assert content_of(client("GET", f"/v2/app/blobs/{digest}")) == b"whole"


def test_upload_belongs_to_its_repository_and_can_be_cancelled(client: Client) -> None:
    """Its name alone must not open it from another repository."""
    where = header(client("POST", "/v2/app/blobs/uploads/"), "Location")
    assert client("GET", where.replace("/app/", "/other/")).status == 404
    assert client("DELETE", where).status == 204
    assert code_of(client("PATCH", where, b"x")) == (404, "BLOB_UPLOAD_UNKNOWN")


def test_blob_is_mounted_from_a_repository_that_has_it(client: Client) -> None:
    """201 without a byte sent; from one that has not, or never heard of, an upload begins."""
    digest = client.push_blob(b"shared", "one")
    assert client("POST", f"/v2/two/blobs/uploads/?mount={digest}&from=three").status == 202
    assert client("GET", f"/v2/two/blobs/{digest}").status == 404
    mounted = client("POST", f"/v2/two/blobs/uploads/?mount={digest}&from=one")
    assert (mounted.status, header(mounted, "Location")) == (201, f"/v2/two/blobs/{digest}")
    assert client("POST", f"/v2/four/blobs/uploads/?mount={digest}").status == 201  # automatic content discovery
    assert client("POST", f"/v2/two/blobs/uploads/?mount={digest_of(b'none')}&from=one").status == 202


def test_blob_that_a_repository_removed_is_gone_for_it(client: Client) -> None:
    """CVE-2026-35172: others still have the bytes, but they are not this repository's any more."""
    digest = client.push_blob(b"shared", "one")
    client.push_blob(b"shared", "two")
    assert client("DELETE", f"/v2/one/blobs/{digest}").status == 202
    assert code_of(client("GET", f"/v2/one/blobs/{digest}")) == (404, "BLOB_UNKNOWN")
    assert client("GET", f"/v2/two/blobs/{digest}").status == 200
    assert client("POST", f"/v2/three/blobs/uploads/?mount={digest}&from=one").status == 202


REFUSED_MANIFESTS = {
    "a layer that is missing": ({"layers": [{"mediaType": LAYER, "digest": digest_of(b"none"), "size": 1}]}, OCI_MANIFEST, (404, "MANIFEST_BLOB_UNKNOWN")),
    "both kinds": ({"manifests": []}, OCI_MANIFEST, (400, "MANIFEST_INVALID")),
    "another type": ({}, DOCKER_MANIFEST, (400, "MANIFEST_INVALID")),
    "schema 1": ({"schemaVersion": 1}, "", (400, "MANIFEST_INVALID")),
}  # fmt: skip


@pytest.mark.parametrize(("changes", "kind", "expected"), REFUSED_MANIFESTS.values(), ids=REFUSED_MANIFESTS)
def test_manifest_that_nobody_could_use_is_refused(client: Client, changes: dict[str, object], kind: str, expected: tuple[int, str]) -> None:
    """A tag always leads to something that can be pulled."""
    digest = client.push_image("1")
    document = {**json.loads(client("GET", f"/v2/app/manifests/{digest}").body), **changes}
    assert code_of(client("PUT", "/v2/app/manifests/2", json.dumps(document).encode(), content_type=kind)) == expected
    assert client("GET", "/v2/app/manifests/2").status == 404


def test_manifest_by_another_digest_or_too_long_is_refused(client: Client) -> None:
    """Spaces behind it change the digest; 4 MiB are the limit (CVE-2017-11468)."""
    digest = client.push_image("1")
    content = client("GET", "/v2/app/manifests/1").body
    assert code_of(client("PUT", f"/v2/app/manifests/{digest}", content + b"  ", content_type=OCI_MANIFEST)) == (400, "DIGEST_INVALID")
    assert code_of(client("PUT", "/v2/app/manifests/2", b" " * (4 << 20) + content))[0] == 413


def test_several_tags_can_come_with_one_manifest(client: Client) -> None:
    """`?tag=` of the next version of the specification."""
    digest = client.push_image("1")
    content = client("GET", "/v2/app/manifests/1").body
    reply = client("PUT", f"/v2/app/manifests/{digest}?tag=a&tag=b", content, content_type=OCI_MANIFEST)
    assert header(reply, "OCI-Tag") == "a, b"
    assert client("HEAD", "/v2/app/manifests/b").status == 200


# --- content discovery


def test_tags_come_in_pages_in_order(client: Client) -> None:
    """`n` and `last`; the link leads through all of them, and a page of none has no link."""
    for tag in ("c", "a", "B", "b"):
        client.push_image(tag)
    assert json.loads(client("GET", "/v2/app/tags/list").body) == {"name": "app", "tags": ["B", "a", "b", "c"]}
    seen, path = [], "/v2/app/tags/list?n=3"
    while path:
        reply = client("GET", path)
        seen += json.loads(reply.body)["tags"]
        path = dict(reply.headers).get("Link", "<>").partition(">")[0].lstrip("<")
    assert seen == ["B", "a", "b", "c"]
    empty = client("GET", "/v2/app/tags/list?n=0")
    assert (json.loads(empty.body)["tags"], "Link" in dict(empty.headers)) == ([], False)
    assert json.loads(client("GET", "/v2/app/tags/list?last=b").body)["tags"] == ["c"]


def test_catalog_is_capped(client: Client) -> None:
    """CVE-2023-2253: `n=10^9` made the server reserve memory for as many."""
    for number in range(3):
        client.push_image("1", f"team/app{number}")
    assert json.loads(client("GET", "/v2/_catalog").body) == {"repositories": ["team/app0", "team/app1", "team/app2"]}
    assert json.loads(client("GET", "/v2/_catalog?n=1&last=team/app0").body) == {"repositories": ["team/app1"]}
    assert client("GET", "/v2/_catalog?n=1000000000").status == 200
    assert MAX_PAGE <= 1000


def test_page_of_many_tags_reads_no_directory(client: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    """Tags are listed once; after that a page costs what the page holds."""
    digest = client.push_image("first")
    directory = client.root / "repositories/app/_tags"
    for number in range(2_000):
        (directory / f"t{number:05}").write_text(digest)
    reborn = Client(client.root)
    reborn("GET", "/v2/app/tags/list?n=10")

    def refuse(_path: object) -> list[str]:
        raise AssertionError("the directory is read again")

    monkeypatch.setattr(os, "listdir", refuse)
    page = reborn("GET", "/v2/app/tags/list?n=10&last=t01000")
    assert json.loads(page.body)["tags"] == [f"t{number:05}" for number in range(1001, 1011)]


def test_referrers_are_found_by_subject_and_type(client: Client) -> None:
    """Signatures and the like; the subject may come later, and without any the list is empty, never 404."""
    empty = client("GET", f"/v2/app/referrers/{digest_of(b'none')}")
    assert (empty.status, header(empty, "Content-Type"), json.loads(empty.body)["manifests"]) == (200, OCI_INDEX, [])
    subject = client.push_image("1")
    described = {"mediaType": OCI_MANIFEST, "digest": subject, "size": 1}
    first = client.push_image("s1", subject=described, artifactType="x/signature", annotations={"k": "v"})
    second = client.push_image("s2", subject=described)
    content = client("GET", "/v2/app/manifests/s1").body
    assert header(client("PUT", "/v2/app/manifests/s1", content, content_type=OCI_MANIFEST), "OCI-Subject") == subject
    lines = json.loads(client("GET", f"/v2/app/referrers/{subject}").body)["manifests"]
    assert {line["digest"] for line in lines} == {first, second}
    only = client("GET", f"/v2/app/referrers/{subject}?artifactType=x%2Fsignature")
    assert header(only, "OCI-Filters-Applied") == "artifactType"
    (line,) = json.loads(only.body)["manifests"]
    assert (line["digest"], line["annotations"], line["artifactType"]) == (first, {"k": "v"}, "x/signature")
    client("DELETE", f"/v2/app/manifests/{second}")
    assert len(json.loads(client("GET", f"/v2/app/referrers/{subject}").body)["manifests"]) == 1


# --- content management


def test_tag_goes_alone_and_manifest_takes_its_tags_along(client: Client) -> None:
    """What is deleted is gone at once."""
    digest = client.push_image("1")
    content = client("GET", "/v2/app/manifests/1").body
    client("PUT", "/v2/app/manifests/2", content, content_type=OCI_MANIFEST)
    assert client("DELETE", "/v2/app/manifests/1").status == 202
    assert [client("HEAD", f"/v2/app/manifests/{name}").status for name in ("1", "2", digest)] == [404, 200, 200]
    assert client("DELETE", f"/v2/app/manifests/{digest}").status == 202
    assert [client("HEAD", f"/v2/app/manifests/{name}").status for name in ("2", digest)] == [404, 404]
    assert json.loads(client("GET", "/v2/app/tags/list").body)["tags"] == []
    assert client("DELETE", f"/v2/app/manifests/{digest}").status == 404


MODES = {"deletion off": ({"allow_delete": False}, "DELETE", "manifests/1"), "read-only": ({"read_only": True}, "POST", "blobs/uploads/")}


@pytest.mark.parametrize(("options", "method", "rest"), MODES.values(), ids=MODES)
def test_what_is_switched_off_is_refused(client: Client, options: dict[str, bool], method: str, rest: str) -> None:
    """405, as the specification has it; what may be read is still read."""
    client.push_image("1")
    limited = Client(client.root, **options)
    assert code_of(limited(method, f"/v2/app/{rest}")) == (405, "UNSUPPORTED")
    assert limited("GET", "/v2/app/manifests/1").status == 200


def test_cancelling_an_upload_is_no_deletion(client: Client) -> None:
    """A client that gives up must be able to say so."""
    limited = Client(client.root, allow_delete=False)
    assert limited("DELETE", header(limited("POST", "/v2/app/blobs/uploads/"), "Location")).status == 204


def test_password_is_asked_for_everything(client: Client) -> None:
    """401 with the challenge that clients answer, and nothing said about what is there."""
    people = PasswordFile({"a": "{SHA}5en6G6MezRroT3XKqkdPOmY/BfQ="}, key=b"k")
    closed = Client(client.root, passwords=people)
    refused = closed("GET", "/v2/app/tags/list")
    assert code_of(refused) == (401, "UNAUTHORIZED")
    assert header(refused, "WWW-Authenticate").startswith('Basic realm="')
    assert closed("GET", "/v2/", authorization="Basic YTpzZWNyZXQ=").status == 200
    assert closed("GET", "/v2/", authorization="Basic YTp3cm9uZw==").status == 401


# --- garbage


def test_collection_removes_what_no_manifest_needs(client: Client) -> None:
    """After a tag's manifest was deleted its layers go, unless another one has them; what is young stays."""
    digest = client.push_image("1")
    client.push_image("2")
    client("DELETE", f"/v2/app/manifests/{digest}")
    assert collect_garbage(client.storage).blobs == ()
    would = collect_garbage(client.storage, grace_s=0, dry_run=True)
    found = collect_garbage(client.storage, grace_s=0)
    assert found == would
    assert set(found.blobs) == {digest, digest_of(b"1")}
    assert client("GET", f"/v2/app/blobs/{digest_of(b'1')}").status == 404
    assert client("GET", f"/v2/app/blobs/{digest_of(b'2')}").status == 200
    assert client("GET", f"/v2/app/blobs/{digest_of(b'{}')}").status == 200


def test_collection_of_untagged_follows_indexes_and_subjects(client: Client) -> None:
    """What an index lists and what speaks about a tagged image has no tag of its own, and is needed."""
    child, lone = client.push_image("child"), client.push_image("lone")
    index = {"schemaVersion": 2, "mediaType": OCI_INDEX, "manifests": [{"mediaType": OCI_MANIFEST, "digest": child, "size": 1}]}
    client("PUT", "/v2/app/manifests/all", json.dumps(index).encode(), content_type=OCI_INDEX)
    about = client.push_image("sig", subject={"mediaType": OCI_MANIFEST, "digest": child, "size": 1})
    for tag in ("child", "lone", "sig"):
        client("DELETE", f"/v2/app/manifests/{tag}")
    found = collect_garbage(client.storage, grace_s=0, delete_untagged=True)
    assert found.manifests == (f"app@{lone}",)
    assert [client("HEAD", f"/v2/app/manifests/{digest}").status for digest in (child, about, lone)] == [200, 200, 404]


def test_untagged_is_what_no_path_leads_to() -> None:
    """The rule alone: through indexes down, and from a subject to what is about it."""
    manifests = {"index": frozenset({"child"}), "child": frozenset[str](), "signature": frozenset[str](), "lone": frozenset({"child"})}
    assert compute_untagged(manifests, tagged=frozenset({"index"}), about={"signature": "child"}) == {"lone"}


# --- over the wire


@pytest.fixture
def wire(tmp_path: Path) -> Iterator[Callable[..., Any]]:
    """Return a function that sends a request to a server on the loopback."""
    from minidocker.api.registry import RegistryOptions, make_registry_server

    server, (address,) = make_registry_server(RegistryOptions(listen=("127.0.0.1:0",), root=str(tmp_path), delete=True))
    thread = threading.Thread(target=server.run)
    thread.start()
    connection = http.client.HTTPConnection(address.removeprefix("tcp://"), timeout=30)

    def send(method: str, path: str, body: bytes | Iterator[bytes] | None = None, **headers: str) -> Any:
        connection.request(method, path, body, {name.replace("_", "-"): value for name, value in headers.items()})
        reply = connection.getresponse()
        return reply.status, dict(reply.getheaders()), reply.read()

    yield send
    connection.close()
    server.stop()
    thread.join(30)


def test_server_speaks_http_on_one_connection(wire: Callable[..., Any]) -> None:
    """Keep-alive through chunked bodies, HEAD with a length and no body, files, ranges and refusals; any name of the host."""
    content = os.urandom(3_000_000)
    digest = digest_of(content)
    status, headers, _ = wire("GET", "/v2/", Host="registry:5000")
    assert (status, headers["Docker-Distribution-Api-Version"]) == (200, "registry/2.0")
    where = wire("POST", "/v2/app/blobs/uploads/")[1]["Location"]
    pieces = (content[start : start + 100_000] for start in range(0, len(content), 100_000))
    assert wire("PATCH", where, pieces)[0] == 202
    assert wire("PUT", f"{where}?digest={digest}")[0] == 201
    assert wire("GET", f"/v2/app/blobs/{digest}")[2] == content
    status, headers, body = wire("HEAD", f"/v2/app/blobs/{digest}")
    assert (status, headers["Content-Length"], body) == (200, "3000000", b"")
    assert wire("GET", f"/v2/app/blobs/{digest}", Range="bytes=2999990-")[2] == content[-10:]
    status, headers, body = wire("PUT", "/v2/app/manifests/1", b"{}", Content_Type=OCI_MANIFEST)
    assert (status, headers["Content-Type"]) == (400, "application/json")
    assert wire("GET", "/v2/")[0] == 200


def test_password_file_is_read_again_when_it_changed(tmp_path: Path) -> None:
    """Somebody new gets in, somebody removed does not, and the registry goes on."""
    from minidocker.api.registry import RegistryOptions, make_registry_server

    file = tmp_path / "passwords"
    file.write_text("a:{SHA}5en6G6MezRroT3XKqkdPOmY/BfQ=\n")
    server, (address,) = make_registry_server(RegistryOptions(listen=("127.0.0.1:0",), root=str(tmp_path / "root"), htpasswd=str(file)))
    thread = threading.Thread(target=server.run)
    thread.start()
    connection = http.client.HTTPConnection(address.removeprefix("tcp://"), timeout=30)

    def ask() -> int:
        connection.request("GET", "/v2/", headers={"Authorization": "Basic YTpzZWNyZXQ="})
        answer = connection.getresponse()
        answer.read()
        return answer.status

    try:
        assert ask() == 200
        file.write_text("b:x\n")
        os.utime(file, ns=(1, 1))  # whatever the clock's grain is
        assert ask() == 401
    finally:
        connection.close()
        server.stop()
        thread.join(30)


def test_second_server_of_one_root_is_refused(tmp_path: Path) -> None:
    """Each would have lists of tags that the other does not know of."""
    from minidocker.api.registry import RegistryOptions, hold_root, serve_registry
    from minidocker.errors import Conflict

    tmp_path.mkdir(exist_ok=True)
    held = hold_root(tmp_path)
    try:
        with pytest.raises(Conflict, match="another registry serves"):
            serve_registry(RegistryOptions(listen=("127.0.0.1:0",), root=str(tmp_path)))
    finally:
        os.close(held)
