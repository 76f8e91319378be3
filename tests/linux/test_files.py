"""The files of containers through the Remote API: `diff`, `commit`, `export`."""

from __future__ import annotations

import io
import json
import subprocess
import tarfile
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from tests.linux.conftest import Server

pytestmark = pytest.mark.requires("root")


def run(server: Server, *arguments: str) -> str:
    """Run our client; it must succeed."""
    result = server.run(*arguments)
    assert result.returncode == 0, result.stderr
    return result.stdout


def make(server: Server, script: str) -> str:
    """Run *script* in a container and keep it; return its name."""
    name = server.new_name()
    run(server, "run", "--name", name, "toolbox", "sh", "-c", script)
    return name


def test_diff_of_an_idle_container_is_empty(server: Server) -> None:
    """What the engine itself put there to mount on is not the user's business."""
    assert run(server, "diff", make(server, "true")) == ""


def test_committed_container_becomes_an_image_that_has_its_files_and_changes(server: Server) -> None:
    """`docker commit`: the quickest way from an experiment to an image."""
    name, image = make(server, "echo content > /kept; rm /bin/awk"), server.new_name()
    assert run(server, "diff", name) == "C /bin\nD /bin/awk\nA /kept\n"
    digest = run(server, "commit", "-m", "note", "-a", "A <a@b.c>", "-c", 'CMD ["cat", "/kept"]', "-c", "ENV X=1", name, f"{image}:2").strip()
    assert run(server, "run", "--rm", f"{image}:2") == "content\n"
    assert run(server, "run", "--rm", f"{image}:2", "sh", "-c", "test ! -e /bin/awk && echo $X") == "1\n"
    document = json.loads(run(server, "image", "inspect", f"{image}:2"))[0]
    assert (document["Id"], document["Author"], document["Comment"]) == (digest, "A <a@b.c>", "note")
    assert len(document["RootFS"]["Layers"]) == 2


def test_commit_without_changes_adds_no_layer(server: Server) -> None:
    """A layer that changes nothing would only cost a mount; the history says so."""
    digest = run(server, "commit", make(server, "true")).strip()
    document = json.loads(run(server, "image", "inspect", digest))[0]
    assert len(document["RootFS"]["Layers"]) == 1


@pytest.mark.parametrize("pause", ["true", "false"])
def test_running_container_is_committed_and_runs_on(server: Server, pause: str) -> None:
    """By default it is frozen meanwhile, so that the image is a state that existed; afterwards it goes on."""
    name = server.new_name()
    run(server, "run", "-d", "--name", name, "toolbox", "sh", "-c", "while :; do date >> /dates; done")
    digest = run(server, "commit", f"--pause={pause}", name, name).strip()
    assert run(server, "run", "--rm", digest, "ls", "/dates") == "/dates\n"
    state = server.inspect(name)["State"]
    assert (state["Running"], state["Paused"]) == (True, False)
    run(server, "rm", "-f", name)


def test_commit_of_nothing_leaves_nothing(server: Server) -> None:
    """Whatever is wrong with the request is said before anything is stored."""
    name, before = make(server, "touch /x"), run(server, "images", "-aq")
    for arguments in (["no-such"], ["-c", "MAINTAINER me", name], [name, "Capital"]):
        assert server.run("commit", *arguments).returncode == 1
    assert run(server, "images", "-aq") == before


def test_tree_of_an_image_says_what_each_layer_does(server: Server) -> None:
    """A file that is removed later still travels with every pull: the tree calls it wasted."""
    name, image = make(server, "head -c 5000 /dev/zero > /big"), server.new_name()
    run(server, "commit", name, f"{image}:1")
    name = server.new_name()
    run(server, "run", "--name", name, f"{image}:1", "sh", "-c", "rm /big; echo 1 > /small")
    run(server, "commit", name, f"{image}:2")
    shown = json.loads(run(server, "image", "tree", "--format", "json", f"{image}:2"))
    assert [layer["added"] for layer in shown["layers"][1:]] == [[{"path": "/big", "size": 5000}], [{"path": "/small", "size": 2}]]
    assert (shown["layers"][2]["hidden"], shown["wasted"]) == ([{"path": "/big", "size": 5000}], 5000)


def export(server: Server, name: str) -> dict[str, tarfile.TarInfo]:
    """Return the entries of an export, of which the archive must be whole."""
    done = subprocess.run(server.command("export", name), cwd=".", capture_output=True, check=True, timeout=60)
    with tarfile.open(fileobj=io.BytesIO(done.stdout)) as archive:
        return {member.name: member for member in archive}


def test_export_has_what_the_container_sees_and_no_volume(server: Server) -> None:
    """`docker export` is one flat tree: layers, changes and whiteouts are resolved; volumes stay out."""
    name = server.new_name()
    run(server, "run", "--name", name, "-v", "/vol", "toolbox", "sh", "-c", "rm /bin/awk; echo 1 > /new; echo 2 > /vol/x; ln /new /newer")
    entries = export(server, name)
    assert "bin/busybox" in entries or "bin/sh" in entries
    assert "bin/awk" not in entries
    assert not [entry for entry in entries if ".wh." in entry or entry.startswith(("vol/", "proc/"))]
    assert (entries["new"].size, entries["newer"].linkname) == (2, "new")
    run(server, "rm", "-v", name)


def test_exported_container_can_be_imported(server: Server) -> None:
    """Out and in again: the same files, in one layer."""
    name, image = make(server, "echo kept > /file"), server.new_name()
    content = subprocess.run(server.command("export", name), capture_output=True, check=True, timeout=60).stdout
    done = subprocess.run(server.command("import", "-", image), input=content, capture_output=True, check=True, timeout=60)
    assert done.stdout.startswith(b"sha256:")
    assert run(server, "run", "--rm", image, "cat", "/file") == "kept\n"


def test_disk_usage_accounts_for_every_byte(server: Server) -> None:
    """`system df -v`: the sum of all kinds is what the data root holds; a log and a layer that nobody has are in it."""
    make(server, "echo a line")
    orphan = server.directory / "data/layers/orphan"
    orphan.mkdir()
    (orphan / "file").write_bytes(bytes(4321))
    shown = run(server, "system", "df", "-v")
    assert "logs" in shown
    assert "4.32kB" in next(line for line in shown.splitlines() if line.startswith("orphans"))
    (orphan / "file").unlink()
    orphan.rmdir()
    assert run(server, "system", "df").startswith("TYPE")
