"""A Docker client as a library: `from minidocker.client import Client`.

    with Client() as docker:
        print(docker.containers.run("toolbox", ["echo", "hello"]).stdout)

It needs Python alone, speaks to this server and to Docker's, and runs on Linux, macOS and Windows. The command line in
`minidocker.cli` stands on the same floor.

Reading order: `endpoint` finds the server (flags, environment, `contexts`), `address` and `tls` connect to it, `transport` speaks
HTTP, `frames` and `progress` take streams apart, `credentials` are for registries; then `docker` with `containers`, `images` and
`volumes`, which is what a program uses. `fields` reads JSON without trusting its shape.

Rule: what a program gets back are the server's own answers; nothing is cached, and nothing happens that was not asked for. Chapter 14.
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from minidocker.client.docker import Client as Client

__all__ = ["Client"]


def __getattr__(name: str) -> object:
    """Load the library when it is named: the command line uses only the floor below it."""
    if name != "Client":
        raise AttributeError(f"module `{__name__}` has no attribute `{name}`")
    from minidocker.client.docker import Client

    return Client
