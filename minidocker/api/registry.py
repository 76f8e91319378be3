"""`minidocker registry serve`: our registry behind the same HTTP server as the Remote API.

Acting. The registry knows nothing of sockets, the server nothing of images; this is where they meet. SIGTERM and SIGINT end it.
Chapter 8.
"""

from __future__ import annotations

import fcntl
import os
import secrets
import signal
import ssl
import sys
import traceback
from contextlib import suppress
from dataclasses import dataclass
from errno import ENOSPC
from pathlib import Path
from typing import Final

from minidocker import VERSION
from minidocker.api.listener import open_listener
from minidocker.api.request import Body
from minidocker.api.response import Answer, FileResponse, Response
from minidocker.api.server import Server
from minidocker.codec import http1
from minidocker.errors import Conflict, HostError, InvalidParameter, MinidockerError
from minidocker.registry.htpasswd import PasswordFile, parse_htpasswd
from minidocker.registry.protocol import render_error
from minidocker.registry.server import Call, Registry, Reply, ServerOptions
from minidocker.registry.storage import Storage

__all__ = ["RegistryOptions", "hold_root", "make_registry_server", "serve_registry"]

HEADERS: Final = (("Docker-Distribution-Api-Version", "registry/2.0"), ("Server", f"minidocker/{VERSION}"), ("X-Content-Type-Options", "nosniff"))
"""What every answer carries; clients take the first for the sign of a registry."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RegistryOptions:
    """The command line of `minidocker registry serve` as a value."""

    listen: tuple[str, ...]
    """`HOST:PORT`, or `unix://PATH`."""
    root: str
    tls_cert: str = ""
    tls_key: str = ""
    htpasswd: str = ""
    delete: bool = False
    read_only: bool = False


def make_registry_server(options: RegistryOptions) -> tuple[Server, tuple[str, ...]]:
    """Return a server that waits to be run, and its addresses.

    Raises:
        HostError, InvalidParameter, Conflict: an address, a file or the root cannot be used.
    """
    try:
        storage = Storage(Path(options.root).absolute())
    except OSError as error:
        raise HostError(f"open registry `{options.root}`: {error.strerror}") from error
    settings = ServerOptions(
        passwords=_Passwords(options.htpasswd) if options.htpasswd else None, read_only=options.read_only, allow_delete=options.delete
    )
    registry = Registry(storage, settings)
    tls = _make_tls(options)
    listeners = [
        open_listener(text if "://" in text else f"tcp://{text}", tls=None if text.startswith("unix://") else tls, is_public=True)
        for text in options.listen
    ]

    def answer(head: http1.Request, body: Body, _client_fd: int) -> Answer:
        return _answer(registry, head, body)

    return Server(listeners, answer, headers=HEADERS), tuple(listener.address for listener in listeners)


def serve_registry(options: RegistryOptions) -> int:
    """Serve until told to end; return the exit status.

    Raises:
        MinidockerError: as `make_registry_server`.
    """
    root = Path(options.root).absolute()
    try:
        root.mkdir(mode=0o700, parents=True, exist_ok=True)
    except OSError as error:
        raise HostError(f"open registry `{root}`: {error.strerror}") from error
    held = hold_root(root)
    server, addresses = make_registry_server(options)
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda _number, _frame: server.stop())
    for address in addresses:
        scheme = "https" if options.tls_cert else "http"
        print(f"minidocker registry: listening on {address.replace('tcp', scheme, 1)}", file=sys.stderr, flush=True)
    server.run()
    os.close(held)
    return 0


def _answer(registry: Registry, head: http1.Request, body: Body) -> Answer:
    """Return the answer to one request; whatever fails, the client gets a document that says so."""
    try:
        target = head.target if head.target.startswith("/") else "/" + head.target.partition("://")[2].partition("/")[2]
        return _convert(registry.answer(Call(method=head.method, path=target, headers=head.headers, body=body)))
    except http1.HttpError:
        raise  # in the body: the connection is beyond repair
    except MinidockerError as error:
        return _failure(507 if isinstance(error, HostError) else error.http_status, str(error))
    except ConnectionError:
        raise
    except OSError as error:
        return _failure(507 if error.errno == ENOSPC else 500, (error.strerror or str(error)).lower())
    except Exception as error:  # noqa: BLE001 - the outermost frame of a request: one client's defect must not end others
        traceback.print_exception(error, file=sys.stderr)
        return _failure(500, f"{type(error).__name__}: {error}")


def _failure(status: int, message: str) -> Response:
    return Response(status=status, body=render_error("UNKNOWN", message), content_type="application/json")


def _convert(reply: Reply) -> Answer:
    if reply.file is None:
        return Response(status=reply.status, headers=reply.headers, body=reply.body)
    part = reply.file
    return FileResponse(path=str(part.path), offset=part.offset, size=part.size, status=reply.status, headers=reply.headers)


class _Passwords:
    """A password file that is read again when it was changed: users come and go while the registry runs."""

    def __init__(self, path: str) -> None:
        self._path, self._key = Path(path), secrets.token_bytes(32)
        self._seen, self._file = self._read()

    def find_user(self, authorization: str) -> str:
        """Return the name that the header *authorization* proves, nothing if it proves none."""
        with suppress(OSError, InvalidParameter):  # being replaced this very moment: what was read last still holds
            if self._path.stat().st_mtime_ns != self._seen:
                self._seen, self._file = self._read()
        return self._file.find_user(authorization)

    def _read(self) -> tuple[int, PasswordFile]:
        try:
            changed = self._path.stat().st_mtime_ns
            return changed, PasswordFile(parse_htpasswd(self._path.read_text(encoding="utf-8")), key=self._key)
        except (OSError, UnicodeDecodeError) as error:
            raise InvalidParameter(
                f"read password file `{self._path}`: {error}", hint="`htpasswd -Bbn NAME PASSWORD` makes a line"
            ) from error


def hold_root(root: Path) -> int:
    """Keep a second server out of the same root: what one has in memory, the other would not know of.

    Raises:
        Conflict: there is one.
    """
    fd = os.open(root / "server", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as error:
        os.close(fd)
        raise Conflict(f"another registry serves `{root}`", hint="give this one another --root") from error
    return fd


def _make_tls(options: RegistryOptions) -> ssl.SSLContext | None:
    if not options.tls_cert and not options.tls_key:
        return None
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    try:
        context.load_cert_chain(options.tls_cert, options.tls_key or None)
    except (OSError, ssl.SSLError) as error:
        raise InvalidParameter(f"use the TLS files: {error}", hint="--tlscert and --tlskey name PEM files") from error
    return context
