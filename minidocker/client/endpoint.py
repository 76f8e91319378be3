"""Which server: the one that a flag, the environment or a context names.

Acts: reads the user's settings. The order is Docker's, with our variable before Docker's: `--context`; `-H`; `MINIDOCKER_HOST`;
`DOCKER_HOST`; `DOCKER_CONTEXT`; the context that `context use` has chosen; the default socket. A context has certificates of its
own; all others take them from the `--tls…` flags, `DOCKER_CERT_PATH` or the directory of settings. Chapter 14.
"""

from __future__ import annotations

import os

from minidocker.client.contexts import DEFAULT, current_context, read_context, tls_directory
from minidocker.engine.places import default_socket
from minidocker.errors import InvalidParameter

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["Endpoint", "choose_address", "choose_context", "config_directory", "find_endpoint"]

HOST_VARIABLES = ("MINIDOCKER_HOST", "DOCKER_HOST")


class Endpoint:
    """A server's address, and how to be sure of it."""

    __slots__ = ("address", "ca_path", "cert_path", "context", "explicit", "key_path", "tls", "verify")

    def __init__(
        self, address: str, *, context: str = DEFAULT, explicit: bool = True, tls: bool = False, verify: bool = False,
        ca_path: str = "", cert_path: str = "", key_path: str = "",
    ) -> None:  # fmt: skip
        """Let *explicit* say whether somebody named this server; then none is started in its place."""
        self.address, self.context, self.explicit = address, context, explicit
        self.tls, self.verify = tls or verify, verify
        self.ca_path, self.cert_path, self.key_path = ca_path, cert_path, key_path


def config_directory(environ: Mapping[str, str], named: str = "") -> str:
    """Return the directory of the user's settings."""
    return named or environ.get("DOCKER_CONFIG") or os.path.join(os.path.expanduser("~"), ".docker")


def choose_address(host: str, environ: Mapping[str, str]) -> str:
    """Return the address that a flag or a variable names; nothing if none does."""
    return host or next((environ[name] for name in HOST_VARIABLES if environ.get(name)), "")


def choose_context(host: str, context: str, environ: Mapping[str, str], current: str) -> str:
    """Return the name of the context that decides; *current* is the one that `context use` has chosen.

    Raises:
        InvalidParameter: a context and an address are given.
    """
    if host and context:
        raise InvalidParameter("conflicting options: cannot specify both --host and --context")
    if context:
        return context
    return DEFAULT if choose_address(host, environ) else environ.get("DOCKER_CONTEXT") or current or DEFAULT


def find_endpoint(
    environ: Mapping[str, str], *, host: str = "", context: str = "", config: str = "", tls: bool = False, verify: bool = False,
    files: Mapping[str, str] | None = None,
) -> Endpoint:  # fmt: skip
    """Return the server that flags and *environ* mean; *files* are `ca`, `cert` and `key` where flags name them.

    Raises:
        NotFound: there is no such context.
        InvalidParameter: flags contradict each other.
    """
    directory = config_directory(environ, config)
    name = choose_context(host, context, environ, current_context(directory) if not (host or context) else "")
    if name != DEFAULT:
        found = read_context(directory, name)
        places = {part: os.path.join(tls_directory(directory, name), f"{part}.pem") for part in ("ca", "cert", "key")}
        given = {part: path if os.path.exists(path) else "" for part, path in places.items()}
        has_tls = any(given.values()) or found.skip_verify
        verify = has_tls and not found.skip_verify
        return Endpoint(found.host, context=name, tls=has_tls, verify=verify, ca_path=given["ca"], cert_path=given["cert"], key_path=given["key"])
    address = choose_address(host, environ)
    folder = environ.get("DOCKER_CERT_PATH") or directory
    paths = {part: os.path.join(folder, f"{part}.pem") for part in ("ca", "cert", "key")} | dict(files or {})
    verify = verify or bool(environ.get("DOCKER_TLS_VERIFY"))
    default = f"unix://{default_socket(_user_id(), environ)}"
    return Endpoint(address or default, explicit=bool(address), tls=tls, verify=verify, ca_path=paths["ca"], cert_path=paths["cert"], key_path=paths["key"])


def _user_id() -> int:
    return os.geteuid() if hasattr(os, "geteuid") else 1  # Windows and browsers have no users of this kind
