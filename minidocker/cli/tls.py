"""Wrap a connection to the server in TLS, with the certificates of `DOCKER_CERT_PATH`.

Acts. `--tlsverify` (or `DOCKER_TLS_VERIFY`) checks the server against a CA and shows our own certificate;
`--tls` alone encrypts without checking whom. Chapter 14.
"""

from __future__ import annotations

import os
import ssl
from pathlib import Path

from minidocker.errors import HostError

TYPE_CHECKING = False
if TYPE_CHECKING:
    import socket

    from minidocker.cli.flags import Options

__all__ = ["wrap_socket"]


def wrap_socket(connected: socket.socket, host: str, *, verify: bool, options: Options | None) -> socket.socket:
    """Return *connected* encrypted.

    Raises:
        HostError: a certificate is missing, or the server's is not the expected one.
    """
    folder = Path(
        os.environ.get("DOCKER_CERT_PATH") or os.environ.get("DOCKER_CONFIG") or Path.home() / ".docker"
    )
    places = {
        name: Path(options.text(flag) if options and flag in options.given else folder / f"{name}.pem")
        for name, flag in (("ca", "tlscacert"), ("cert", "tlscert"), ("key", "tlskey"))
    }
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    if verify:
        context.load_verify_locations(_require(places["ca"]))
    else:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    if places["cert"].exists() or verify:
        context.load_cert_chain(_require(places["cert"]), _require(places["key"]))
    try:
        return context.wrap_socket(connected, server_hostname=host)
    except ssl.SSLError as error:
        raise HostError(f"connect to `{host}` with TLS: {error}", hint="compare the certificates of both sides") from error


def _require(path: Path) -> Path:
    if not path.exists():
        raise HostError(f"could not read TLS certificate `{path}`: no such file", hint="set DOCKER_CERT_PATH")
    return path
