"""One run of the program: which server it means, and the connection to it.

Acts. `minidocker.client.endpoint` finds the server; only at the default socket may a missing one be started (`autostart`).
Chapter 14.
"""

from __future__ import annotations

import os
import sys

from minidocker.client.address import connect, render_unreachable
from minidocker.client.endpoint import Endpoint, config_directory, find_endpoint
from minidocker.client.transport import Response, Transport

TYPE_CHECKING = False
if TYPE_CHECKING:
    import socket

    from minidocker.cli.flags import Options

__all__ = ["SOURCE_HEADER", "Session"]

SOURCE_HEADER = "minidocker-source"
"""The header in which a minidocker server says which source it runs."""
_FILE_FLAGS = (("ca", "tlscacert"), ("cert", "tlscert"), ("key", "tlskey"))


class Session:
    """One run of the program."""

    def __init__(self, options: Options | None = None) -> None:
        """Take the global flags; without any, environment and settings decide."""
        self._options = options
        self.config_directory = config_directory(os.environ, options.text("config") if options else "")
        """Where `config.json` is."""
        self._endpoint: Endpoint | None = None
        self._client: Transport | None = None

    @property
    def endpoint(self) -> Endpoint:
        """The server, looked up when it is first needed: `context ls` must work where `DOCKER_CONTEXT` is wrong."""
        if self._endpoint is None:
            options = self._options
            if options is None:
                self._endpoint = find_endpoint(os.environ, config=self.config_directory)
            else:
                self._endpoint = find_endpoint(
                    os.environ, host=(options.texts("host") or [""])[-1], context=options.text("context"), config=self.config_directory,
                    tls=options.switch("tls"), verify=options.switch("tlsverify"),
                    files={part: options.text(flag) for part, flag in _FILE_FLAGS if flag in options.given},
                )  # fmt: skip
        return self._endpoint

    @property
    def address(self) -> str:
        """The server's address."""
        return self.endpoint.address

    @property
    def explicit(self) -> bool:
        """Whether somebody said which server; then none is started."""
        return self.endpoint.explicit

    def client(self) -> Transport:
        """Return the client of this session's server; it connects when it is first used."""
        if self._client is None:
            self._client = Transport(self._connect, api_version=os.environ.get("DOCKER_API_VERSION", ""))
            self._client.config_directory = self.config_directory
            self._client.on_answer = self._compare_source
        return self._client

    def _connect(self) -> socket.socket:
        endpoint = self.endpoint
        try:
            return connect(endpoint)
        except (FileNotFoundError, ConnectionRefusedError) as error:
            if endpoint.explicit:
                raise render_unreachable(endpoint.address, error) from error
            from minidocker.cli.autostart import start_server

            start_server(endpoint.address.removeprefix("unix://"))
            return connect(endpoint)
        except OSError as error:
            raise render_unreachable(endpoint.address, error) from error

    def _compare_source(self, response: Response) -> None:
        theirs = response.headers.get(SOURCE_HEADER)
        if not theirs or not self.address.startswith("unix:"):
            return  # a server on another machine, or in one, has files of its own
        from minidocker.fingerprint import source_fingerprint

        if theirs != source_fingerprint():
            print(
                "WARNING: the server runs other source code than this client; `minidocker daemon --stop` ends it, "
                "and the next command starts the new one",
                file=sys.stderr,
            )
