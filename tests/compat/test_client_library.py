"""`minidocker.client` against our server and against Docker's: a program cannot tell them apart.

Each test runs twice. A peer that is not installed is left out; ours is always there.
"""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from benchmarks.peers import IMAGE, Missing, make_image_tar, start_dockerd, start_minidocker
from minidocker.client import Client
from minidocker.client.fields import list_at, text_at, texts_at
from minidocker.client.transport import DaemonError
from minidocker.errors import PeerError
from minidocker.spec.record import Json

pytestmark = [pytest.mark.requires("root", "overlayfs", "cgroup"), pytest.mark.chapter(14)]


@pytest.fixture(scope="module", params=["ours", pytest.param("dockerd", marks=pytest.mark.requires("docker", "dockerd", "iptables"))])
def docker(request: pytest.FixtureRequest) -> Iterator[Client]:
    """A client of a private server that has one image."""
    directory = Path(tempfile.mkdtemp(prefix="md"))  # short: a socket's path has 108 bytes
    make_image_tar(directory / "root.tar")
    start = start_minidocker if request.param == "ours" else start_dockerd
    try:
        with start(directory / "e", directory / "root.tar") as engine, Client(f"unix://{engine.socket_path}", environ={"DOCKER_CONFIG": str(directory)}) as client:
            yield client
    except Missing as error:
        pytest.skip(f"dockerd does not run here: {error}")
    finally:
        shutil.rmtree(directory, ignore_errors=True)


def test_command_runs_with_input_output_and_exit_code(docker: Client) -> None:
    """The two outputs stay apart, and what is larger than every buffer on the way arrives whole."""
    done = docker.containers.run(IMAGE, ["sh", "-c", "cat; echo problem >&2; exit 3"], input=b"hello")
    assert (done.exit_code, done.stdout, done.stderr) == (3, b"hello", b"problem\n")
    content = os.urandom(2 << 20)
    assert docker.containers.run(IMAGE, ["cat"], input=content).stdout == content
    assert docker.containers.run(IMAGE, ["head", "-c", "3"], input=content).stdout == content[:3], "a reader that stops early ends us too"


def test_running_container_is_watched_entered_and_copied_to(docker: Client, tmp_path: Path) -> None:
    """One life: attach, exec, files both ways, statistics, pause, end of input, exit code, logs."""
    volume = text_at(docker.volumes.create(labels={"made-by": "test"}), "Name")
    box = docker.containers.create(
        IMAGE, ["sh", "-c", 'echo one; while read line; do echo "got $line"; done; exit 5'], stdin=True, host={"Binds": [f"{volume}:/data"]}
    )
    try:
        with box.attach(stdin=True) as attached:
            ended = box.begin_wait("next-exit")
            box.start()
            output = iter(attached)
            assert next(output) == (1, b"one\n")
            attached.send(b"x\n")
            assert next(output) == (1, b"got x\n")
            inside = box.exec(["sh", "-c", 'pwd; cat; echo "$WORD" >&2'], input=b"in", environment={"WORD": "2"}, WorkingDir="/data")
            assert (inside.exit_code, inside.stdout, inside.stderr) == (0, b"/data\nin", b"2\n")
            (tmp_path / "tree").mkdir()
            (tmp_path / "tree" / "file").write_text("text")
            box.copy_in(str(tmp_path / "tree"), "/data")
            (tmp_path / "back").mkdir()
            box.copy_out("/data/tree", str(tmp_path / "back"))
            assert (tmp_path / "back" / "tree" / "file").read_text() == "text"
            assert list_at(box.top(), "Processes")
            assert "memory_stats" in dict(next(iter(box.stats(stream=False))))  # type: ignore[arg-type]  # an object
            box.pause()
            assert text_at(box.inspect(), "State", "Status") == "paused"
            box.unpause()
            attached.half_close()
            assert ended.json() in ({"StatusCode": 5}, {"StatusCode": 5, "Error": None})
        assert list(box.logs(tail="1")) == [(1, b"got x\n")]
        actions = [text_at(event, "Action") for event in docker.events(since="0", until="1", filters={"container": box.id})]
        assert actions == [], "until the second second of 1970 nothing happened"
    finally:
        box.remove(force=True)
        docker.volumes.remove(volume)
    with pytest.raises(DaemonError, match="No such container") as gone:
        docker.containers.get(box.id)
    assert gone.value.http_status == 404


def test_events_are_followed_from_the_call_on(docker: Client) -> None:
    """The request is sent by the call, so nothing that happens after it is missed."""
    events = docker.events(filters={"type": "container", "event": ["create", "destroy"]})
    box = docker.containers.create(IMAGE, ["true"], labels={"a": "b"})
    assert [text_at(c, "Id") for c in docker.containers.list(all=True, filters={"label": "a=b"})] == [box.id]
    box.remove()
    assert [(text_at(e, "Action"), text_at(e, "Actor", "ID")) for e in (next(events), next(events))] == [("create", box.id), ("destroy", box.id)]


def test_image_is_built_named_saved_and_loaded(docker: Client, tmp_path: Path) -> None:
    """The context of a build is packed here, without what `.dockerignore` leaves out."""
    (tmp_path / "Dockerfile").write_text(f"FROM {IMAGE}\nARG WORD\nCOPY . /context\nRUN echo $WORD > /word\n")
    (tmp_path / ".dockerignore").write_text("secret\n.dockerignore\nDockerfile\n")
    (tmp_path / "secret").write_text("x")
    (tmp_path / "file").write_text("y")
    seen: list[Json] = []
    image = docker.images.build(str(tmp_path), tags=["library:1"], arguments={"WORD": "yes"}, on_progress=seen.append)
    assert text_at(docker.images.inspect("library:1"), "Id") == image
    assert seen
    assert docker.containers.run("library:1", ["sh", "-c", "ls /context; cat /word"]).stdout == b"file\nyes\n"
    with pytest.raises(PeerError, match="returned a non-zero code: 3"):
        docker.images.build([_archive(f"FROM {IMAGE}\nRUN exit 3\n")])
    docker.images.tag("library:1", "library:2")
    saved = b"".join(docker.images.save("library:2"))
    docker.images.remove("library:1")
    docker.images.remove("library:2")
    docker.images.load([saved], on_progress=seen.append)
    assert seen[-1] == {"stream": "Loaded image: library:2\n"}
    assert docker.images.history("library:2")
    assert docker.images.remove("library:2")[0] == {"Untagged": "library:2"}


def _archive(dockerfile: str) -> bytes:
    from minidocker.codec.tar import END_OF_ARCHIVE, TarEntry, render_header, render_padding

    content = dockerfile.encode()
    return render_header(TarEntry(name=b"Dockerfile", size=len(content))) + content + render_padding(len(content)) + END_OF_ARCHIVE


def test_networks_take_containers_in(docker: Client) -> None:
    """Connected before it starts, as `docker network connect` allows."""
    network = docker.networks.create("library", labels={"a": "b"})
    box = docker.containers.create(IMAGE, ["true"])
    try:
        docker.networks.connect("library", box.id, Aliases=["db"])
        assert "db" in texts_at(box.inspect(), "NetworkSettings", "Networks", "library", "Aliases")
        docker.networks.disconnect("library", box.id)
    finally:
        box.remove()
        docker.networks.remove(network)
    assert not docker.networks.list({"name": "library"})


def test_refusals_have_the_servers_words_and_status(docker: Client) -> None:
    """A program decides by the status; a person reads the words."""
    with pytest.raises(DaemonError, match="No such image") as refused:
        docker.containers.create("no-such-image")
    assert refused.value.http_status == 404
    with pytest.raises(DaemonError):
        docker.images.pull("localhost:1/nothing:1")
