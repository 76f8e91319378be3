"""Builds by the real `docker` command line and by docker-py: the streams, ids, errors and exit codes that they depend on."""

from __future__ import annotations

import gc
import io
import tarfile
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from tests.linux.conftest import Server

pytestmark = [
    pytest.mark.requires("root", "overlayfs"), pytest.mark.chapter(10),
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),  # docker-py leaves sockets of streams to the collector
]  # fmt: skip

DOCKERFILE = "FROM toolbox\nARG WHO=world\nRUN echo hello $WHO | tee /said\nCOPY . /c/\n"


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    """Return a server of this module's own."""
    from tests.linux.conftest import Server as RunningServer

    running = RunningServer()
    yield running
    running.close()


def write(directory: Path, dockerfile: str = DOCKERFILE) -> str:
    """Write a context; return its path."""
    (directory / "Dockerfile").write_text(dockerfile)
    (directory / "f").write_text("f\n")
    return str(directory)


@pytest.mark.requires("docker")
def test_docker_shows_the_lines_of_the_classic_builder(server: Server, tmp_path: Path) -> None:
    """Scripts look for these words; they are older than BuildKit."""
    first = server.docker("build", "-t", "d:1", "-t", "d:2", "--build-arg", "WHO=docker", "--build-arg", "NOBODY=1", "--label", "l=v", write(tmp_path))
    assert first.returncode == 0, first.stderr
    lines = first.stdout.splitlines()
    assert "Step 1/4 : FROM toolbox" in lines
    assert "Step 3/4 : RUN echo hello $WHO | tee /said" in lines
    assert "hello docker" in lines
    assert any(line.startswith(" ---> Running in ") for line in lines)
    assert "[Warning] One or more build-args [NOBODY] were not consumed" in lines
    assert lines[-2:] == ["Successfully tagged d:1", "Successfully tagged d:2"]
    assert lines[-3].startswith("Successfully built ")
    assert server.docker("build", "--build-arg", "WHO=docker", "--label", "l=v", str(tmp_path)).stdout.count(" ---> Using cache") == 2
    assert server.docker("image", "inspect", "--format", "{{.Config.Labels.l}}", "d:2").stdout == "v\n"


@pytest.mark.requires("docker")
@pytest.mark.parametrize("flags", [(), ("-q",)], ids=["loud", "quiet"])
def test_docker_ends_with_the_exit_code_of_the_command(server: Server, tmp_path: Path, flags: tuple[str, ...]) -> None:
    """`errorDetail.code` travels in the stream, because the status has long been sent."""
    failed = server.docker("build", *flags, write(tmp_path, "FROM toolbox\nRUN exit 42"))
    assert failed.returncode == 42
    assert "The command '/bin/sh -c exit 42' returned a non-zero code: 42" in failed.stderr


@pytest.mark.requires("docker")
def test_docker_gets_just_the_id_when_quiet(server: Server, tmp_path: Path) -> None:
    """`docker run $(docker build -q .)`."""
    quiet = server.docker("build", "-q", write(tmp_path))
    assert quiet.stdout.startswith("sha256:")
    assert len(quiet.stdout) == len("sha256:\n") + 64
    assert server.docker("run", "--rm", "--network", "none", quiet.stdout.strip(), "cat", "/c/f").stdout == "f\n"


@pytest.mark.requires("docker")
@pytest.mark.parametrize(
    ("dockerfile", "problem"),
    [("FROM", "FROM requires"), ("NONSENSE x", "unknown instruction"), ("FROM toolbox\nCOPY missing /", "missing"), ("", "empty")],
    ids=["no image", "unknown instruction", "no file", "empty"],
)  # fmt: skip
def test_docker_shows_what_is_wrong_with_the_dockerfile(server: Server, tmp_path: Path, dockerfile: str, problem: str) -> None:
    """A mistake in the file is the client's: an error, no traceback, and the server goes on."""
    failed = server.docker("build", write(tmp_path, dockerfile))
    assert failed.returncode != 0
    assert problem.lower() in failed.stderr.lower()
    assert "Traceback" not in failed.stderr + server.log()


@pytest.mark.requires("docker")
def test_docker_builds_from_standard_input_and_prunes(server: Server, tmp_path: Path) -> None:
    """A Dockerfile, or `-f -` beside a context; then `builder prune`."""
    assert server.docker("build", "-t", "in", "-", input="FROM toolbox\nRUN echo x > /x").returncode == 0
    assert server.docker("build", "-t", "in", "-f", "-", write(tmp_path), input="FROM toolbox\nCOPY f /f").returncode == 0
    assert "Total" in server.docker("builder", "prune", "-af").stdout
    assert "Build Cache" in server.docker("system", "df").stdout


@pytest.fixture
def client(server: Server) -> Iterator[Any]:
    """Return docker-py's client."""
    docker = pytest.importorskip("docker")
    made = docker.DockerClient(base_url=server.host)
    yield made
    made.close()
    gc.collect()  # what docker-py left open is to be found here, and not in another's test


def test_docker_py_finds_its_image(client: Any, tmp_path: Path) -> None:
    """It takes the id from the line `Successfully built`, which must be a chunk of its own, and inspects it."""
    image, log = client.images.build(path=write(tmp_path), tag="py:1", buildargs={"WHO": "py"}, labels={"a": "b"}, rm=True)
    assert image.tags == ["py:1"]
    assert image.labels == {"a": "b"}
    assert "hello py\n" in [chunk.get("stream") for chunk in log]


def test_docker_py_raises_build_error_with_the_log(client: Any, tmp_path: Path) -> None:
    """`error` in the stream is what it looks for."""
    from docker.errors import BuildError

    with pytest.raises(BuildError, match="returned a non-zero code: 3") as caught:
        client.images.build(path=write(tmp_path, "FROM toolbox\nRUN echo before; exit 3"))
    assert any("before" in chunk.get("stream", "") for chunk in caught.value.build_log)


def _archive(member: tarfile.TarInfo, content: bytes = b"") -> bytes:
    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode="w") as archive:
        dockerfile = tarfile.TarInfo("Dockerfile")
        text = b"FROM toolbox\nCOPY . /c/\n"
        dockerfile.size = len(text)
        archive.addfile(dockerfile, io.BytesIO(text))
        member.size = len(content)
        archive.addfile(member, io.BytesIO(content))
    return stream.getvalue()


def _member(name: str, kind: bytes = tarfile.REGTYPE, link: str = "") -> tarfile.TarInfo:
    member = tarfile.TarInfo(name)
    member.type, member.linkname = kind, link
    return member


@pytest.mark.parametrize(
    ("member", "is_refused"),
    [
        (_member("/etc/absolute"), False), (_member("../../escape"), True), (_member("dev", tarfile.BLKTYPE), True),
        (_member("new\nline"), False), (_member(".wh.name"), False), (_member("hard", tarfile.LNKTYPE, "/etc/passwd"), True),
    ],
    ids=["absolute", "up", "device", "newline", "whiteout", "hard link"],
)  # fmt: skip
def test_context_of_a_stranger_stays_in_its_place(
    client: Any, server: Server, tmp_path: Path, member: tarfile.TarInfo, is_refused: bool
) -> None:
    """An archive by hand, past every client's care: what leads out or is a device is refused, odd names are just names."""

    def build() -> list[dict[str, str]]:
        content = _archive(member, b"x" if member.isreg() else b"")
        return list(client.api.build(fileobj=io.BytesIO(content), custom_context=True, decode=True, tag="odd"))

    if is_refused:
        with pytest.raises(Exception, match=r"400|unpack"):
            build()
        assert not list(server.directory.parent.glob("escape"))
        return
    assert build()[-1] == {"stream": "Successfully tagged odd:latest\n"}
    shown = client.containers.run("odd", ["find", "/c", "-type", "f"], remove=True, network_mode="none").decode()
    assert f"/c/{member.name.lstrip('/')}\n" in shown
