"""What takes up the disk, how high layers stack, and what `prune` lets go: a server with all of it."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from minidocker.client.fields import maps_at
from minidocker.client import Client

if TYPE_CHECKING:
    from tests.linux.conftest import Server

pytestmark = [pytest.mark.requires("root", "overlayfs"), pytest.mark.chapter(12)]
MAX_LAYERS = 127


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    """Return a server of this module's own: what it stores is counted."""
    from tests.linux.conftest import Server as RunningServer

    running = RunningServer()
    yield running
    running.close()


def do(server: Server, *arguments: str) -> str:
    """Run a command that must succeed and return what it prints."""
    result = server.run(*arguments)
    assert result.returncode == 0, result.stderr
    return result.stdout


def read_usage(server: Server, kind: str) -> list[Any]:
    """Return what `GET /system/df` lists under *kind*, as docker-py's `df()` reads it."""
    with Client(server.host) as docker:
        return [*maps_at(docker.disk_usage(), kind)]


def count_layers(server: Server, image: str) -> int:
    """Return how many layers an image has."""
    return len(json.loads(do(server, "image", "inspect", image))[0]["RootFS"]["Layers"])


def test_image_has_127_layers_and_not_one_more(server: Server, tmp_path: Path) -> None:
    """Docker's limit: all directories stand in the one page that mount(2) takes, so their names are short and relative."""
    (tmp_path / "f").write_text("x")

    def write(layers: int) -> None:
        steps = "".join(f"COPY f /n{number}\n" for number in range(layers - count_layers(server, "toolbox")))
        (tmp_path / "Dockerfile").write_text(f"FROM toolbox\n{steps}")

    do(server, "pull", "-q", "toolbox")
    write(MAX_LAYERS)
    do(server, "build", "-q", "-t", "deep", str(tmp_path))
    assert count_layers(server, "deep") == MAX_LAYERS
    archive = str(tmp_path / "deep.tar")
    do(server, "save", "-o", archive, "deep")
    do(server, "rmi", "deep")
    do(server, "builder", "prune", "-af")
    do(server, "load", "-i", archive)
    assert do(server, "run", "--network", "none", "--name", "top", "deep", "sh", "-c", "touch /top; ls -d /n* | wc -l") == "126\n"

    refused = server.run("commit", "top", "deeper")
    assert refused.returncode == 1
    assert "max depth exceeded: an image has at most 127 layers, this one has 128" in refused.stderr
    write(MAX_LAYERS + 1)
    assert "max depth exceeded: an image has at most 127 layers" in server.run("build", "-t", "deeper", str(tmp_path)).stderr
    assert server.run("image", "inspect", "deeper").returncode == 1
    do(server, "rm", "top")


def test_usage_counts_the_build_cache_until_it_is_pruned(server: Server, tmp_path: Path) -> None:
    """A cache is the first thing to go on a full disk; what an image has as well would not become free."""
    do(server, "builder", "prune", "-af")
    (tmp_path / "Dockerfile").write_text("FROM toolbox\nRUN head -c 5000 /dev/zero > /kept\n")
    do(server, "build", "-q", "--network", "none", "-t", "cached", str(tmp_path))
    (record,) = read_usage(server, "BuildCache")
    assert (record["Size"], record["InUse"], record["Type"]) == (5000, True, "regular")
    assert "head -c 5000" in record["Description"]
    assert record["ID"][:12] in do(server, "system", "df", "-v")
    assert do(server, "system", "df").splitlines()[-1].split() == ["Build", "Cache", "1", "1", "5kB", "0B", "(0%)"]
    do(server, "rmi", "cached")
    assert do(server, "system", "df").splitlines()[-1].split() == ["Build", "Cache", "1", "0", "5kB", "5kB", "(100%)"]
    do(server, "builder", "prune", "-af")
    assert read_usage(server, "BuildCache") == []


def test_volume_prune_spares_what_a_label_excludes_and_refuses_what_it_does_not_know(server: Server) -> None:
    """A filter that is mistyped and passed over would remove everything."""
    do(server, "volume", "create", "--label", "keep", "spared")
    do(server, "volume", "create", "doomed")
    refused = server.run("volume", "prune", "-af", "--filter", "lable=x")
    assert (refused.returncode, "invalid filter 'lable'" in refused.stderr) == (1, True)
    assert "doomed" in do(server, "volume", "prune", "-af", "--filter", "label!=keep")
    assert do(server, "volume", "ls", "-q").split() == ["spared"]
