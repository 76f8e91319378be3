"""The client that programs use: a server, and what it has.

    with Client() as docker:                          # where the environment or a context says, else the default socket
        docker.images.pull("alpine", on_progress=print)
        done = docker.containers.run("alpine", ["cat"], input=b"hello")
        print(done.exit_code, done.stdout)

Acts. Answers are the server's own JSON as dictionaries; refusals are `DaemonError` with the server's words and its status. What has no
method here is one call of `api` away. `docs/library.md` is the guide. Chapter 14.
"""

from __future__ import annotations

import os

from minidocker.client.address import connect, render_unreachable
from minidocker.client.containers import Containers
from minidocker.client.endpoint import Endpoint, config_directory, find_endpoint
from minidocker.client.fields import map_at
from minidocker.client.images import Images
from minidocker.client.progress import read_progress
from minidocker.client.transport import Transport, render_filters
from minidocker.client.volumes import Networks, Volumes

TYPE_CHECKING = False
if TYPE_CHECKING:
    import socket
    from collections.abc import Iterator, Mapping
    from types import TracebackType

    from minidocker.client.transport import Filters
    from minidocker.spec.record import Json

__all__ = ["Client"]


class Client:
    """A Docker server. Close it, or use it in a `with` block."""

    def __init__(
        self, address: str = "", *, context: str = "", endpoint: Endpoint | None = None, environ: Mapping[str, str] | None = None, api_version: str = ""
    ) -> None:
        """Talk to the server at *address*, or of *context*, or that *environ* (by default the process's own) names.

        Args:
            address: such as `unix:///var/run/docker.sock` or `tcp://host:2376`.
            context: the name of a context, as `docker context ls` shows them.
            endpoint: a server with certificates of its own, instead of all this.
            environ: where `DOCKER_HOST`, `DOCKER_CONTEXT`, `DOCKER_CERT_PATH` and the others are looked up.
            api_version: which version to speak; by default the server's newest.

        Raises:
            NotFound: there is no such context.
        """
        environ = os.environ if environ is None else environ
        self.endpoint = endpoint or find_endpoint(environ, host=address, context=context)
        self.api = Transport(self._connect, api_version=api_version or environ.get("DOCKER_API_VERSION", ""))
        """The Remote API itself: `api.get("/info")`."""
        self.api.config_directory = config_directory(environ)
        self.containers, self.images = Containers(self.api), Images(self.api)
        self.volumes, self.networks = Volumes(self.api), Networks(self.api)

    def _connect(self) -> socket.socket:
        try:
            return connect(self.endpoint)
        except OSError as error:
            raise render_unreachable(self.endpoint.address, error) from error

    def __enter__(self) -> Client:
        """Return itself."""
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        """Close it."""
        self.close()

    def close(self) -> None:
        """Drop the connection that short requests share; streams that are open go on."""
        self.api.close()

    def ping(self) -> Mapping[str, str]:
        """Return the headers with which the server says what it is: `api-version`, `server`, `ostype`.

        Raises:
            ServerUnreachable: nobody answers.
        """
        answer = self.api.call("GET", "/_ping")
        answer.read()
        return answer.headers

    def version(self) -> dict[str, Json]:
        """Return what `docker version` shows of the server."""
        return map_at(self.api.get("/version"))

    def info(self) -> dict[str, Json]:
        """Return what `docker info` shows."""
        return map_at(self.api.get("/info"))

    def disk_usage(self) -> dict[str, Json]:
        """Return what `docker system df` counts."""
        return map_at(self.api.get("/system/df"))

    def events(self, *, since: str = "", until: str = "", filters: Filters | None = None) -> Iterator[Json]:
        """Yield what happens, as it happens; with *until* (seconds since 1970) in the past, what has happened.

        The request is sent at once, not with the first `next`: what happens after the call is not missed.
        """
        query: dict[str, str | list[str]] = {**({"since": since} if since else {}), **({"until": until} if until else {}), **render_filters(filters)}
        return read_progress(self.api.open("GET", "/events", query).lines())
