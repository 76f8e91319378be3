"""docker-py against our server: what it depends on beyond the words of the API."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import docker
import pytest

from tests.linux.conftest import Server

if TYPE_CHECKING:
    from docker.models.containers import Container

pytestmark = pytest.mark.requires("root")


@pytest.fixture(scope="module")
def container() -> Iterator[Container]:
    """A container that runs, as docker-py sees it."""
    server = Server()
    client = docker.DockerClient(base_url=server.host)
    yield client.containers.run("toolbox", ["sleep", "1000"], detach=True)
    client.close()
    server.close()


@pytest.mark.parametrize("told", [False, True], ids=["frames", "bare"])
def test_start_of_an_exec_decides_whether_output_is_framed(container: Container, told: bool) -> None:
    """The exec has a terminal, but only the start says whether the client knows: docker-py reads frames unless told."""
    api = container.client.api
    identifier = api.exec_create(container.id, ["printf", "hello"], tty=True)["Id"]
    assert api.exec_start(identifier, tty=told) == b"hello"


def test_keys_with_which_a_client_detaches_come_in_its_own_spelling(container: Container) -> None:
    """docker-py writes `detachKeys` where the API says `DetachKeys`; Go does not mind, so nobody noticed."""
    api = container.client.api
    identifier = api.exec_create(container.id, ["cat"], stdin=True, tty=True, detach_keys="ctrl-x,q")["Id"]
    stream = api.exec_start(identifier, tty=True, socket=True)
    connection = getattr(stream, "_sock", stream)
    connection.settimeout(30)
    connection.sendall(b"\x18q")
    assert b"".join(iter(lambda: connection.recv(100), b"")) == b""
    connection.close()
    stream.close()
