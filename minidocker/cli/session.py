"""Find the server: address, TLS, and the client that talks to it.

Acts. The address comes from `-H`, else `MINIDOCKER_HOST`, else `DOCKER_HOST`, else it is the default socket; only there
may a missing server be started (`autostart`). Chapter 14.
"""

from __future__ import annotations

import os
import socket
import sys

from minidocker.cli.client import Client, Response, ServerUnreachable
from minidocker.engine.places import default_socket
from minidocker.errors import InvalidParameter

TYPE_CHECKING = False
if TYPE_CHECKING:
    from minidocker.cli.flags import Options

__all__ = ["Session", "parse_address"]

SOURCE_HEADER = "minidocker-source"
"""The header in which a minidocker server says which source it runs."""


def parse_address(text: str) -> tuple[str, str, int]:
    """Return (`unix`, path, 0) or (`tcp`, host, port) for an address as `DOCKER_HOST` has it.

    Raises:
        InvalidParameter: another scheme, or a port that is none.
    """
    scheme, separator, rest = text.partition("://")
    if not separator:
        scheme, rest = "tcp", text
    if scheme == "unix":
        return "unix", rest or "/var/run/docker.sock", 0
    if scheme not in ("tcp", "http", "https"):
        raise InvalidParameter(f"unable to parse docker host `{text}`: the scheme `{scheme}` is not supported", hint="use unix:// or tcp://")
    host, _, port = rest.partition("/")[0].rpartition(":") if ":" in rest.rpartition("]")[2] else (rest.partition("/")[0], "", "2375")
    if not port.isdigit() or int(port) > 65535:
        raise InvalidParameter(f"unable to parse docker host `{text}`: invalid port `{port}`")
    return "tcp", host.strip("[]") or "127.0.0.1", int(port)


class Session:
    """One run of the program: where the server is, and the connection to it."""

    def __init__(self, options: Options | None = None) -> None:
        """Take the global flags; without any, the environment decides."""
        hosts = options.texts("host") if options else []
        explicit = hosts[-1] if hosts else os.environ.get("MINIDOCKER_HOST") or os.environ.get("DOCKER_HOST") or ""
        self.explicit = bool(explicit)
        """Whether somebody said which server; then none is started."""
        self.address = explicit or f"unix://{default_socket(_user_id(), os.environ)}"
        self._options = options
        self.config_directory = options.text("config") if options else ""
        """Where `config.json` is; empty for the place that the environment names."""
        self._client: Client | None = None

    def client(self) -> Client:
        """Return the client of this session's server; it connects when it is first used."""
        if self._client is None:
            self._client = Client(self._connect, api_version=os.environ.get("DOCKER_API_VERSION", ""))
            self._client.config_directory = self.config_directory
            self._client.on_answer = self._compare_source
        return self._client

    def _connect(self) -> socket.socket:
        kind, place, port = parse_address(self.address)
        try:
            connected = _connect_unix(place) if kind == "unix" else self._connect_tcp(place, port)
        except (FileNotFoundError, ConnectionRefusedError) as error:
            if self.explicit or kind != "unix":
                raise _unreachable(self.address, error) from error
            from minidocker.cli.autostart import start_server

            start_server(place)
            connected = _connect_unix(place)
        except OSError as error:
            raise _unreachable(self.address, error) from error
        return connected

    def _connect_tcp(self, host: str, port: int) -> socket.socket:
        connected = socket.create_connection((host, port))
        connected.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        verify = bool(os.environ.get("DOCKER_TLS_VERIFY")) or bool(self._options and self._options.switch("tlsverify"))
        if not (verify or self.address.startswith("https://") or (self._options and self._options.switch("tls"))):
            return connected
        from minidocker.cli.tls import wrap_socket

        return wrap_socket(connected, host, verify=verify, options=self._options)

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


def _user_id() -> int:
    return os.geteuid() if sys.platform != "win32" else 1


def _connect_unix(path: str) -> socket.socket:
    if sys.platform == "win32":
        raise OSError("unix sockets are not available on Windows; say -H tcp://HOST:PORT")
    connected = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        connected.connect(path)
    except OSError:
        connected.close()
        raise
    return connected


def _unreachable(address: str, error: OSError) -> ServerUnreachable:
    if isinstance(error, PermissionError):
        return ServerUnreachable(
            f"permission denied while trying to connect to the Docker daemon socket at {address}",
            hint="run it with sudo, or as a member of the socket's group",
        )
    if isinstance(error, FileNotFoundError | ConnectionRefusedError):
        return ServerUnreachable(
            f"Cannot connect to the Docker daemon at {address}. Is the docker daemon running?",
            hint=f"start one there with `minidocker daemon -H {address}`, or leave the address out and one is started for you",
        )
    return ServerUnreachable(f"error during connect: {address}: {error}")
