"""Addresses of servers, and sockets connected to them. Acts, except for `parse_address`. Chapter 14."""

from __future__ import annotations

import socket
import sys

from minidocker.client.transport import ServerUnreachable
from minidocker.errors import InvalidParameter

TYPE_CHECKING = False
if TYPE_CHECKING:
    from minidocker.client.endpoint import Endpoint

__all__ = ["connect", "parse_address", "render_unreachable"]

PLAIN_PORT, TLS_PORT = "2375", "2376"


def parse_address(text: str, *, tls: bool = False) -> tuple[str, str, int]:
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
    place, default = rest.partition("/")[0], TLS_PORT if tls else PLAIN_PORT
    host, _, port = place.rpartition(":") if ":" in place.rpartition("]")[2] else (place, "", default)
    if not port.isdigit() or int(port) > 65535:
        raise InvalidParameter(f"unable to parse docker host `{text}`: invalid port `{port}`")
    return "tcp", host.strip("[]") or "127.0.0.1", int(port)


def connect(endpoint: Endpoint) -> socket.socket:
    """Return a socket that is connected to the server at *endpoint*, encrypted where it says so.

    Raises:
        OSError: nobody answers; `render_unreachable` says it in Docker's words.
        HostError: the certificates do not fit.
    """
    kind, place, port = parse_address(endpoint.address, tls=endpoint.tls)
    if kind == "unix":
        return _connect_unix(place)
    connected = socket.create_connection((place, port))
    connected.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    if not (endpoint.tls or endpoint.address.startswith("https://")):
        return connected
    from minidocker.client.tls import wrap_socket

    return wrap_socket(connected, place, endpoint)


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


def render_unreachable(address: str, error: OSError) -> ServerUnreachable:
    """Return what a failed connection to *address* means to its user."""
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
