"""`docker cp`: archives out of and into containers that run and that do not, and every known way to break out through them."""

from __future__ import annotations

import base64
import http.client
import io
import json
import lzma
import os
import socket
import tarfile
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

import pytest

from minidocker.engine.archive import go_file_mode

if TYPE_CHECKING:
    from tests.linux.conftest import Server

pytestmark = pytest.mark.requires("root")

SETUP = """
mkdir -p /data/sub && echo content > /data/file && ln -s /data /link && ln -s file /data/relative && ln -s /none /dangling
echo vol > /vol/v; mkfifo /data/fifo; chmod 1777 /data/sub; chmod 4750 /data/file
touch /ready
"""


def ask(server: Server, method: str, target: str, body: bytes | None = None) -> tuple[int, dict[str, str], bytes]:
    """Send one request, as any client could, and return status, headers and body."""
    connection = http.client.HTTPConnection("x", timeout=60)
    connection.sock = socket.socket(socket.AF_UNIX)
    connection.sock.settimeout(60)
    connection.sock.connect(f"{server.directory}/s")
    connection.request(method, target, body)
    answer = connection.getresponse()
    headers, content = {name.lower(): value for name, value in answer.getheaders()}, answer.read()
    connection.close()
    return answer.status, headers, content


class Box:
    """A container with files."""

    def __init__(self, server: Server, name: str) -> None:
        self.server, self.name = server, name

    def head(self, path: str) -> dict[str, Any]:
        """Return what the header says about a path."""
        status, headers, _ = ask(self.server, "HEAD", f"/containers/{self.name}/archive?path={quote(path)}")
        assert status == 200
        document: dict[str, Any] = json.loads(base64.b64decode(headers["x-docker-container-path-stat"]))
        return document

    def get(self, path: str) -> dict[str, tarfile.TarInfo]:
        """Return the entries of an archive."""
        status, _, content = ask(self.server, "GET", f"/containers/{self.name}/archive?path={quote(path)}")
        assert status == 200, content
        with tarfile.open(fileobj=io.BytesIO(content)) as archive:
            return {member.name: member for member in archive}

    def read(self, path: str) -> bytes:
        """Return the content of a file."""
        status, _, content = ask(self.server, "GET", f"/containers/{self.name}/archive?path={quote(path)}")
        assert status == 200, content
        with tarfile.open(fileobj=io.BytesIO(content)) as archive:
            file = archive.extractfile(archive.getmembers()[0])
            assert file is not None
            return file.read()

    def put(self, path: str, content: bytes, query: str = "") -> tuple[int, str]:
        """Unpack an archive; return status and message."""
        status, _, body = ask(self.server, "PUT", f"/containers/{self.name}/archive?path={quote(path)}{query}", content)
        return status, json.loads(body)["message"] if body else ""


@pytest.fixture(params=["running", "stopped"])
def box(server: Server, request: pytest.FixtureRequest) -> Iterator[Box]:
    """A container with files and a volume, which runs or does not run any more."""
    name = server.new_name()
    script = SETUP + ("exec sleep 1000" if request.param == "running" else "")
    arguments = ["run", "-d", "--name", name, "-v", "/vol", "-v", f"{name}:/ro:ro"]
    result = server.run(*arguments, "toolbox", "sh", "-c", script)
    assert result.returncode == 0, result.stderr
    if request.param == "stopped":
        server.run("wait", name)
    else:
        assert server.run("exec", name, "sh", "-c", "while ! test -e /ready; do sleep 0.01; done").returncode == 0
    yield Box(server, name)
    server.run("rm", "-f", "-v", name)
    server.run("volume", "rm", name)


def tar(*members: tarfile.TarInfo, data: bytes = b"new") -> bytes:
    """Return an archive; every file has the same content."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w", format=tarfile.PAX_FORMAT) as archive:
        for member in members:
            if member.isreg():
                member.size = len(data)
            archive.addfile(member, io.BytesIO(data) if member.isreg() else None)
    return buffer.getvalue()


def member(name: str, kind: bytes = tarfile.REGTYPE, link: str = "", mode: int = 0o644, uid: int = 0) -> tarfile.TarInfo:
    """Return one entry."""
    info = tarfile.TarInfo(name)
    info.type, info.linkname, info.mode, info.uid, info.gid = kind, link, mode, uid, uid
    return info


MODES = {
    "file": (0o100644, 0o644),
    "directory": (0o040755, 0o755 | 1 << 31),
    "link": (0o120777, 0o777 | 1 << 27),
    "setuid": (0o104755, 0o755 | 1 << 23),
    "setgid": (0o102755, 0o755 | 1 << 22),
    "sticky directory": (0o041777, 0o777 | 1 << 20 | 1 << 31),
    "character device": (0o020620, 0o620 | 1 << 26 | 1 << 21),
    "block device": (0o060660, 0o660 | 1 << 26),
    "pipe": (0o010600, 0o600 | 1 << 25),
    "socket": (0o140600, 0o600 | 1 << 24),
}


@pytest.mark.parametrize(("mode", "expected"), MODES.values(), ids=MODES)
def test_mode_is_told_in_gos_bits(mode: int, expected: int) -> None:
    """Clients are written in Go: the header has `os.FileMode`, whose types stand at the top of 32 bits."""
    assert go_file_mode(mode) == expected


def test_header_says_what_is_at_a_path(box: Box) -> None:
    """`HEAD` is how a client decides between "into" and "as"; a link is told as itself, with where it leads."""
    file = box.head("/data/file")
    assert (file["name"], file["size"], file["mode"], file["linkTarget"]) == ("file", 8, 0o750 | 1 << 23, "")
    assert box.head("/data/sub")["mode"] == 0o777 | 1 << 20 | 1 << 31
    assert box.head("/link")["linkTarget"] == "/data"
    assert box.head("/data/relative")["linkTarget"] == "/data/file"
    assert box.head("/dangling")["linkTarget"] == "/none"
    assert (box.head("/link/")["mode"], box.head("/data/.")["name"]) == (0o755 | 1 << 31, ".")
    assert box.head("/../../..")["mode"] & 1 << 31


ERRORS = {
    "no such path": ("GET", "/none", 404, "Could not find the file /none in container "),
    "below a file": ("GET", "/data/file/x", 400, "not a directory"),
    "no path": ("GET", "", 400, "path cannot be empty"),
    "into nothing": ("PUT", "/none", 404, "Could not find the file /none in container "),
    "into a file": ("PUT", "/data/file", 400, "extraction point is not a directory"),
    "into a read-only volume": ("PUT", "/ro", 403, "mounted volume is marked read-only"),
}


def test_what_is_wrong_is_said_in_dockers_words(box: Box) -> None:
    """Scripts look for these words."""
    for method, path, status, text in ERRORS.values():
        got, _, body = ask(box.server, method, f"/containers/{box.name}/archive?path={quote(path)}", tar(member("x")) if method == "PUT" else None)
        assert (got, text in json.loads(body)["message"]) == (status, True), (path, body)


def test_archive_has_the_last_name_of_the_path(box: Box) -> None:
    """The client renames by the first part of every name, so it must be what the path ends in."""
    assert set(box.get("/data/file")) == {"file"}
    assert set(box.get("/data")) == {"data", "data/file", "data/relative", "data/fifo", "data/sub"}
    assert set(box.get("/data/.")) == {".", "./file", "./relative", "./fifo", "./sub"}
    assert box.get("/link")["link"].issym()
    assert set(box.get("/link/")) == {"link", "link/file", "link/relative", "link/fifo", "link/sub"}
    assert (box.read("/vol/v"), set(box.get("/vol"))) == (b"vol\n", {"vol", "vol/v"})


def test_whole_container_has_its_volumes_and_not_the_kernels_files(box: Box) -> None:
    """`/proc` is no part of a container's files, a volume is."""
    names = set(box.get("/"))
    assert {"bin", "data/file", "vol/v", "etc/hostname"} <= names
    assert not [name for name in names if name.startswith(("proc/", "sys/", "dev/pts"))]


def test_files_are_put_where_they_belong(box: Box) -> None:
    """Into a directory, through a link to one, into a volume; they are there when the container runs again."""
    content = tar(member("new", mode=0o601, uid=77), member("deep/er", mode=0o600))
    for path in ("/data", "/link/sub", "/vol"):
        assert box.put(path, content) == (200, "")
    assert (box.read("/data/new"), box.get("/data/new")["new"].uid, box.get("/data/new")["new"].mode) == (b"new", 77, 0o601)
    assert (box.read("/data/sub/deep/er"), box.read("/vol/new")) == (b"new", b"new")
    box.server.run("restart", "-t", "0", box.name)


def test_directory_and_file_do_not_replace_each_other_unless_allowed(box: Box) -> None:
    """`noOverwriteDirNonDir`: a whole directory must not vanish because of a slip of the finger."""
    status, text = box.put("/data", tar(member("sub")), "&noOverwriteDirNonDir=true")
    assert (status, "cannot overwrite directory" in text) == (400, True)
    status, text = box.put("/data", tar(member("file", tarfile.DIRTYPE)), "&noOverwriteDirNonDir=1")
    assert (status, "cannot overwrite non-directory" in text) == (400, True)
    assert box.put("/data", tar(member("sub"))) == (200, "")
    assert box.read("/data/sub") == b"new"


@pytest.mark.parametrize("compress", [lambda data: data, lzma.compress], ids=["plain", "xz"])
def test_compressed_archive_is_unpacked_with_nothing_of_the_container(box: Box, compress: Any) -> None:
    """CVE-2019-14271, CVE-2026-41567: an engine that starts `xz` inside the container's root runs the container's program."""
    trap = "#!/bin/sh\ntouch /pwned\n"
    assert box.put("/", tar(member("usr/bin/xz", mode=0o755), member("bin/xz", mode=0o755), data=trap.encode())) == (200, "")
    assert box.put("/data", compress(tar(member("new")))) == (200, "")
    assert box.read("/data/new") == b"new"
    assert ask(box.server, "HEAD", f"/containers/{box.name}/archive?path=/pwned")[0] == 404


def outside(tmp_path: Path) -> Path:
    """Return a directory of the host that nobody may touch."""
    canary = tmp_path / "canary"
    canary.mkdir()
    (canary / "secret").write_text("mine")
    (canary / "secret").chmod(0o600)
    return canary


HOSTILE: dict[str, list[tarfile.TarInfo]] = {
    "parent": [member("../../../../../../../../{canary}/secret")],
    "link, then through it": [member("l", tarfile.SYMTYPE, "{canary}"), member("l/secret")],
    "link that climbs, then through it": [member("l", tarfile.SYMTYPE, "../../../../../../../..{canary}"), member("l/secret")],
    "hard link to an absolute path": [member("h", tarfile.LNKTYPE, "{canary}/secret"), member("h")],
    "mode through a link (CVE-2021-41089)": [member("l", tarfile.SYMTYPE, "{canary}/secret"), member("l", tarfile.DIRTYPE, mode=0o777)],
    "device through a link": [member("l", tarfile.SYMTYPE, "{canary}/secret"), member("l", tarfile.CHRTYPE, mode=0o777)],
}


@pytest.mark.parametrize("entries", HOSTILE.values(), ids=HOSTILE)
def test_hostile_archive_touches_nothing_outside(box: Box, tmp_path: Path, entries: list[tarfile.TarInfo]) -> None:
    """Whatever an archive says, it is about the container's files."""
    canary = outside(tmp_path)
    for entry in entries:
        entry.name, entry.linkname = entry.name.format(canary=canary), entry.linkname.format(canary=canary)
    box.put("/data", tar(*entries, data=b"evil"))
    secret = canary / "secret"
    assert (secret.read_text(), secret.stat().st_mode & 0o7777, os.listdir(canary)) == ("mine", 0o600, ["secret"])


def test_links_in_the_container_lead_to_its_own_files(box: Box, tmp_path: Path) -> None:
    """An absolute link means the container's root; `/proc/self/root` and its like lead nowhere."""
    canary = outside(tmp_path)
    links = tar(
        member("abs", tarfile.SYMTYPE, str(canary)), member("up", tarfile.SYMTYPE, "../" * 30 + str(canary)),
        member("magic", tarfile.SYMTYPE, "/proc/1/root" + str(canary)), member("self", tarfile.SYMTYPE, "/proc/self/cwd"),
    )  # fmt: skip
    assert box.put("/data", links) == (200, "")
    for name in ("abs", "up", "magic"):
        assert ask(box.server, "GET", f"/containers/{box.name}/archive?path=/data/{name}/secret")[0] in (404, 500)
        assert box.put(f"/data/{name}", tar(member("secret"), data=b"evil"))[0] in (404, 500)
    assert (canary / "secret").read_text() == "mine"


def test_race_of_links_never_leads_to_the_host(server: Server, tmp_path: Path) -> None:
    """CVE-2018-15664: a container swaps a directory for a link while the engine is on its way."""
    canary, name = outside(tmp_path), server.new_name()
    swap = f"mkdir /d; ln -s {canary} /l; touch /ready; while :; do mv /d /x; mv /x /d; mv /l /x; mv /x /l; done"
    assert server.run("run", "-d", "--name", name, "toolbox", "sh", "-c", swap).returncode == 0
    assert server.run("exec", name, "sh", "-c", "while ! test -e /ready; do sleep 0.01; done").returncode == 0
    box, seen = Box(server, name), set()
    content = tar(member("secret"), member("deep/er"), data=b"evil")
    for _ in range(150):
        seen.add(box.put("/x", content)[0])
        status, _, body = ask(server, "GET", f"/containers/{name}/archive?path=/x/secret")
        assert b"mine" not in body
        seen.add(status)
    server.run("rm", "-f", name)
    assert seen <= {200, 400, 404, 409, 500}
    assert ((canary / "secret").read_text(), os.listdir(canary)) == ("mine", ["secret"])


def test_mount_point_that_is_a_link_is_found_inside(server: Server, tmp_path: Path) -> None:
    """CVE-2026-41568, CVE-2026-42306: a volume has a link where the next volume is to be mounted."""
    canary, name = outside(tmp_path), server.new_name()
    shared = tmp_path / "shared"
    shared.mkdir()
    assert server.run("create", "--name", name, "-v", f"{shared}:/a", "-v", f"{name}:/a/b", "toolbox", "true").returncode == 0
    (shared / "b").symlink_to(canary)
    box = Box(server, name)
    box.put("/a", tar(member("b/x"), member("ok"), data=b"evil"))
    box.put("/a/b", tar(member("x"), data=b"evil"))
    box.get("/a")
    assert os.listdir(canary) == ["secret"]
    assert str(canary) not in Path("/proc/self/mountinfo").read_text()
    server.run("rm", "-v", name)
    server.run("volume", "rm", name)


def test_copying_leaves_nothing_behind(server: Server) -> None:
    """No mount on the host, no mount point in a container that was only read."""
    name = server.new_name()
    assert server.run("create", "--name", name, "-v", "/vol/deep", "toolbox", "true").returncode == 0
    before = server.inventory()
    Box(server, name).get("/")
    assert server.run("diff", name).stdout == ""
    server.assert_unchanged(before)
    assert server.run("start", "-a", name).returncode == 0
    server.run("rm", "-v", name)


def test_owner_can_be_the_containers_user(server: Server) -> None:
    """`cp -a` into a container that runs as somebody: its process must be able to use the files."""
    name = server.new_name()
    assert server.run("create", "--name", name, "-u", "1234:55", "toolbox", "true").returncode == 0
    box = Box(server, name)
    assert box.put("/tmp", tar(member("mine", uid=9)), "&copyUIDGID=true") == (200, "")
    assert box.put("/tmp", tar(member("kept", uid=9))) == (200, "")
    entries = box.get("/tmp")
    assert [(entries[n].uid, entries[n].gid) for n in ("tmp/mine", "tmp/kept")] == [(1234, 55), (9, 9)]
    server.run("rm", name)


CLIENT_CASES = {
    "file out": (("{c}:/data/file", "{t}/out"), "out", "content\n"),
    "into a directory": (("{c}:/data/file", "{t}"), "file", "content\n"),
    "directory out": (("{c}:/data", "{t}/copy"), "copy/file", "content\n"),
    "content of a directory": (("{c}:/data/.", "{t}/copy"), "copy/file", "content\n"),
    "through a link": (("-L", "{c}:/link", "{t}/copy"), "copy/file", "content\n"),
}


@pytest.mark.parametrize("client", ["ours", pytest.param("docker", marks=pytest.mark.requires("docker"))])
def test_clients_copy_out_and_in(box: Box, tmp_path: Path, client: str) -> None:
    """Our client and Docker's do the same, whichever way."""
    run = box.server.run if client == "ours" else box.server.docker
    for index, (arguments, path, expected) in enumerate(CLIENT_CASES.values()):
        target = tmp_path / str(index)
        target.mkdir()
        result = run("cp", *(word.format(c=box.name, t=target) for word in arguments))
        assert result.returncode == 0, result.stderr
        assert (target / path).read_text() == expected
        assert run("cp", str(target), f"{box.name}:/data/sub").returncode == 0
        assert box.read(f"/data/sub/{index}/{path}") == expected.encode()
    assert "must be a directory" in run("cp", "-", f"{box.name}:/data/file", input="").stderr
