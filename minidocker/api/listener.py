"""Listening sockets: a unix socket, or TCP with and without TLS.

Acting. Rules: whoever may open the socket is root on this host, so a unix socket belongs to root and the group `docker`
(mode 0660), from the first instant it exists; TCP without TLS is refused except on the loopback, and there as well unless
asked for in so many words. A socket file that nobody listens on is a leftover and is replaced; one that somebody
listens on is not. See unix(7), CVE-2025-9074. Chapter 13.
"""

from __future__ import annotations

import grp
import os
import socket
from contextlib import suppress
from dataclasses import dataclass, replace
from ipaddress import ip_address
from typing import TYPE_CHECKING, Final
from urllib.parse import urlsplit

from minidocker.errors import Conflict, Forbidden, HostError, InvalidParameter

if TYPE_CHECKING:
    import ssl

__all__ = ["BACKLOG", "PLAIN_PORT", "TLS_PORT", "Listener", "close_listener", "is_loopback", "open_listener"]

PLAIN_PORT: Final = 2375
"""The registered port of Docker's API without TLS."""
TLS_PORT: Final = 2376
"""The registered port of Docker's API with TLS."""
BACKLOG: Final = 512
"""Connections that may wait to be accepted; the kernel cuts it to net.core.somaxconn."""
PUBLIC_IDLE_TIMEOUT_S: Final = 120.0
"""For clients from anywhere: each connection has a thread, and threads end."""
FIRST_USER_NAMESPACE: Final = 0xEFFFFFFD
"""The inode of the namespace that the machine begins with; see `<linux/proc_ns.h>`."""
SOCKET_GROUP: Final = "docker"
"""Members of this group may use the engine, as with Docker."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Listener:
    """One address on which the server accepts connections."""

    socket: socket.socket
    address: str
    """As the user gave it, with the port filled in: `unix:///run/minidocker.sock`."""
    path: str = ""
    """The socket file, removed at the end; empty for TCP."""
    tls: ssl.SSLContext | None = None
    is_public: bool = False
    """Whether what answers here is meant for everybody who can reach it, as a registry is."""

    @property
    def idle_timeout_s(self) -> float | None:
        """How long a client may be silent; local ones for ever, as one that follows logs is."""
        return PUBLIC_IDLE_TIMEOUT_S if self.is_public else None

    @property
    def checks_host(self) -> bool:
        """Whether `Host` must be an address: a web page can point a name of its own at our loopback."""
        return not self.path and self.tls is None and not self.is_public


def open_listener(
    address: str, *, tls: ssl.SSLContext | None = None, allow_plain_tcp: bool = False, is_public: bool = False
) -> Listener:
    """Return a listener on *address*: `unix://PATH` or `tcp://HOST[:PORT]`.

    Raises:
        InvalidParameter: another form.
        Forbidden: TCP without TLS beyond the loopback, where *allow_plain_tcp* does not say otherwise.
        Conflict: a server listens there already.
        HostError: the system refused.
    """
    scheme, separator, rest = address.partition("://")
    if scheme == "unix" and separator and rest:
        return _open_unix(address, rest)
    if scheme == "tcp" and separator:
        return replace(_open_tcp(rest, tls=tls, allow_plain_tcp=allow_plain_tcp or is_public), is_public=is_public)
    raise InvalidParameter(f"listen on `{address}`: expected `unix://PATH` or `tcp://HOST[:PORT]`")


def _open_unix(address: str, path: str) -> Listener:
    _remove_stale(path)
    os.makedirs(os.path.dirname(path) or ".", exist_ok=True)
    opened = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_CLOEXEC)
    try:
        os.fchmod(opened.fileno(), 0o600)  # the file that bind(2) makes takes this mode: nobody else gets in before us
        opened.bind(path)
        if os.stat("/proc/self/ns/user").st_ino == FIRST_USER_NAMESPACE:  # without root the group means nothing: the owner alone
            with suppress(KeyError, PermissionError):  # no such group
                os.chown(path, -1, grp.getgrnam(SOCKET_GROUP).gr_gid)
        os.chmod(path, 0o660)
        opened.listen(BACKLOG)
    except OSError as error:
        opened.close()
        raise HostError(f"listen on `{address}`: {error.strerror or error}") from error
    return Listener(socket=opened, address=address, path=path)


def _remove_stale(path: str) -> None:
    """Remove the socket file of a server that is gone."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_CLOEXEC) as probe:
        try:
            probe.connect(path)
        except FileNotFoundError:
            return
        except ConnectionRefusedError:
            if not os.path.lexists(path):
                return
            with suppress(FileNotFoundError):  # another server that starts removed it first; one of us fails to bind
                _unlink_socket(path)
            return
        except OSError as error:
            raise HostError(f"listen on `unix://{path}`: {error.strerror or error}") from error
    raise Conflict(
        f"listen on `unix://{path}`: a server answers there already", hint="stop it, or give this one another address with -H"
    )


def _unlink_socket(path: str) -> None:
    import stat

    if not stat.S_ISSOCK(os.lstat(path).st_mode):
        raise HostError(f"listen on `unix://{path}`: a file that is no socket is in the way")
    os.unlink(path)


def _open_tcp(rest: str, *, tls: ssl.SSLContext | None, allow_plain_tcp: bool) -> Listener:
    host, port = _parse_host_port(rest, default_port=TLS_PORT if tls is not None else PLAIN_PORT)
    if tls is None and not allow_plain_tcp and not is_loopback(host):
        raise Forbidden(
            f"listen on `tcp://{rest}`: without TLS everybody on the network would be root on this host",
            hint="use --tlsverify, a unix socket, or ssh://",
        )
    try:
        family, kind, protocol, _, where_to = socket.getaddrinfo(
            host or None, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )[0]
        opened = socket.socket(family, kind | socket.SOCK_CLOEXEC, protocol)
    except OSError as error:
        raise HostError(f"listen on `tcp://{rest}`: {error.strerror or error}") from error
    try:
        opened.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        opened.bind(where_to)
        opened.listen(BACKLOG)
    except OSError as error:
        opened.close()
        raise HostError(f"listen on `tcp://{rest}`: {error.strerror or error}") from error
    shown = f"[{host}]" if ":" in host else host or "0.0.0.0"
    return Listener(socket=opened, address=f"tcp://{shown}:{opened.getsockname()[1]}", tls=tls)


def _parse_host_port(rest: str, *, default_port: int) -> tuple[str, int]:
    try:
        parts = urlsplit(f"//{rest}")
        port = parts.port
    except ValueError as error:
        raise InvalidParameter(f"listen on `tcp://{rest}`: {error}") from None
    if parts.path not in ("", "/") or parts.query or parts.username:
        raise InvalidParameter(f"listen on `tcp://{rest}`: expected `tcp://HOST[:PORT]`")
    return parts.hostname or "", default_port if port is None else port


def is_loopback(host: str) -> bool:
    """Whether *host* is an address of this machine that no other machine reaches."""
    if host == "localhost":
        return True
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return False


def close_listener(listener: Listener) -> None:
    """Stop listening, and remove the socket file."""
    listener.socket.close()
    if listener.path:
        with suppress(FileNotFoundError):  # somebody removed it before us
            os.unlink(listener.path)
