"""Wrap a connection to the server in TLS.

Acts. An endpoint that verifies checks the server against a CA and shows our own certificate; one that does not
encrypts without checking whom, and so keeps out who only listens. Chapter 14.
"""

from __future__ import annotations

import os
import ssl

from minidocker.errors import HostError

TYPE_CHECKING = False
if TYPE_CHECKING:
    import socket

    from minidocker.client.endpoint import Endpoint

__all__ = ["wrap_socket"]


def wrap_socket(connected: socket.socket, host: str, endpoint: Endpoint) -> socket.socket:
    """Return *connected* encrypted.

    Raises:
        HostError: a certificate is missing, or the server's is not the expected one.
    """
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    if endpoint.verify:
        if endpoint.ca_path:
            context.load_verify_locations(_require(endpoint.ca_path))
        else:
            context.load_default_certs()
    else:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    if endpoint.cert_path and (os.path.exists(endpoint.cert_path) or endpoint.verify):
        context.load_cert_chain(_require(endpoint.cert_path), _require(endpoint.key_path))
    try:
        return context.wrap_socket(connected, server_hostname=host)
    except ssl.SSLError as error:
        connected.close()
        raise HostError(f"connect to `{host}` with TLS: {error}", hint="compare the certificates of both sides") from error


def _require(path: str) -> str:
    if not os.path.exists(path):
        raise HostError(f"could not read TLS certificate `{path}`: no such file", hint="set DOCKER_CERT_PATH")
    return path
