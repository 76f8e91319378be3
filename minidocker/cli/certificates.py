"""`tls init`: certificates for a server that others may use, and for its clients. Acts; no server is needed. Chapter 20."""

from __future__ import annotations

import os

from minidocker.cli.command import Command
from minidocker.cli.flags import INT, LIST, Flag
from minidocker.errors import InvalidParameter

TYPE_CHECKING = False
if TYPE_CHECKING:
    from minidocker.cli.flags import Options
    from minidocker.cli.session import Session

__all__ = ["TLS_INIT"]

DEFAULT_HOSTS = ("localhost", "127.0.0.1", "::1")
DEFAULT_DAYS = 365
MAX_DAYS = 36_500


def init(session: Session, options: Options) -> int:
    """Make an authority, a server's and a client's certificate, and say how to use them."""
    import shlex
    from pathlib import Path

    from minidocker.tls.authority import CLIENT_FILES, SERVER_FILES, write_certificates

    days = options.number("days") or DEFAULT_DAYS
    if not 0 < days <= MAX_DAYS:
        raise InvalidParameter(f'invalid argument "{days}" for "--days" flag: must be from 1 to {MAX_DAYS}')
    named = tuple(options.texts("host"))
    hosts = (*named, *(host for host in DEFAULT_HOSTS if host not in named))
    directory = Path(os.path.abspath(options.arguments[0] if options.arguments else os.path.expanduser("~/.minidocker/tls")))
    write_certificates(directory, hosts, days=days)
    place = shlex.quote(str(directory))
    authority, certificate, key = (f"{place}/{name}" for name in SERVER_FILES)
    print(f"made certificates for {', '.join(hosts)}, valid for {days} days, in {directory}")
    print(f"server: minidocker daemon -H tcp://0.0.0.0:2376 --tlsverify --tlscacert {authority} --tlscert {certificate} --tlskey {key}")
    print(f"client: export DOCKER_HOST=tcp://{hosts[0]}:2376 DOCKER_TLS_VERIFY=1 DOCKER_CERT_PATH={place}   (needs {', '.join(CLIENT_FILES)})")
    return 0


TLS_INIT = Command(
    "[OPTIONS] [DIRECTORY]", init,
    (
        Flag("days", INT, f"How long the certificates are valid (default {DEFAULT_DAYS})"),
        Flag("host", LIST, "Further name or address of the server; localhost is always one"),
    ),
    maximum=1,
)  # fmt: skip
