"""A monitor with clients that come and go: whatever they do, the container goes on."""

from __future__ import annotations

import socket
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from tests.linux.conftest import Server

pytestmark = pytest.mark.requires("root", "overlayfs", "cgroup")


def _attach(server: Server, name: str) -> socket.socket:
    """Attach to a container's streams as a client of the API does; return the hijacked connection."""
    client = socket.socket(socket.AF_UNIX)
    client.connect(f"{server.directory}/s")
    query = "stream=1&stdin=1&stdout=1&stderr=1"
    client.sendall(f"POST /containers/{name}/attach?{query} HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: tcp\r\n\r\n".encode())
    assert b"101" in client.recv(4096)
    return client


def test_clients_that_vanish_while_output_flows_do_not_harm_the_container(server: Server) -> None:
    """A client can be readable (it left) and unwritable in the same turn of the monitor's loop.

    The container's output must go on: the monitor is the parent of its first process, and its end would be the container's.
    """
    name = server.new_name()
    command = "while :; do echo x; done"
    server.run("run", "-d", "-i", "--log-driver", "none", "--name", name, "toolbox", "sh", "-c", command)
    for _ in range(100):
        clients = [_attach(server, name) for _ in range(3)]
        for client in clients:
            client.sendall(b"input\n")
            client.close()
    state = server.inspect(name)["State"]
    server.run("rm", "-f", name)
    assert state["Running"], state
