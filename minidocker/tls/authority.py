"""A certificate authority with one server and one client, as the files that Docker's clients and servers look for.

Acting: takes random keys and the time, writes a directory. The client's files have the names that `DOCKER_CERT_PATH` stands for. The
authority's own key is not kept: nobody can sign a further client with a key that is nowhere; `init` again makes everything new.
Chapter 20.
"""

from __future__ import annotations

import ipaddress
import os
import re
import secrets
import shutil
import tempfile
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Final

from minidocker.errors import Conflict, HostError, InvalidParameter
from minidocker.tls.x509 import make_subject, render_certificate, render_pem, render_private_key

__all__ = ["CLIENT_FILES", "SERVER_FILES", "make_certificates", "write_certificates"]

SERVER_FILES: Final = ("ca.pem", "server-cert.pem", "server-key.pem")
"""For `--tlscacert`, `--tlscert` and `--tlskey`."""
CLIENT_FILES: Final = ("ca.pem", "cert.pem", "key.pem")
"""What is looked for in `DOCKER_CERT_PATH`."""

_CLOCK_SLACK: Final = timedelta(days=1)
"""A machine whose clock is slow must not find the certificates to be from the future."""

_HOST: Final = re.compile(r"(\*\.)?[A-Za-z0-9]([A-Za-z0-9._-]{0,251}[A-Za-z0-9])?")


def _is_address(text: str) -> bool:
    try:
        ipaddress.ip_address(text)
    except ValueError:
        return False
    return True


def make_certificates(hosts: tuple[str, ...], *, days: int) -> Mapping[str, str]:
    """Return file → content: an authority, a server at *hosts*, a client, all valid for *days*."""
    keys = {who: secrets.token_bytes(32) for who in ("ca", "server", "client")}
    authority = make_subject("minidocker CA", keys["ca"], is_authority=True)
    server = make_subject(hosts[0], keys["server"], hosts=hosts)
    client = make_subject("client", keys["client"])
    now = datetime.now(UTC).replace(microsecond=0)
    certificates = {
        who: render_certificate(
            subject, issuer=authority, issuer_key=keys["ca"], serial=secrets.randbits(127) | 1, begin=now - _CLOCK_SLACK,
            end=now + timedelta(days=days),
        )
        for who, subject in (("ca", authority), ("server", server), ("client", client))
    }  # fmt: skip
    return {
        "ca.pem": render_pem("CERTIFICATE", certificates["ca"]),
        "server-cert.pem": render_pem("CERTIFICATE", certificates["server"]),
        "server-key.pem": render_pem("PRIVATE KEY", render_private_key(keys["server"])),
        "cert.pem": render_pem("CERTIFICATE", certificates["client"]),
        "key.pem": render_pem("PRIVATE KEY", render_private_key(keys["client"])),
    }


def write_certificates(directory: Path, hosts: tuple[str, ...], *, days: int) -> None:
    """Make certificates for a server at *hosts* and write them to *directory*, which appears whole or not at all.

    Raises:
        InvalidParameter: a host that is none.
        Conflict: there are some already; they may be in use.
        HostError: it cannot be written.
    """
    for host in hosts:
        if not _HOST.fullmatch(host) and not _is_address(host):
            raise InvalidParameter(f"make certificates: `{host}` is no host name and no address")
    if directory.exists() and any(directory.iterdir()):
        raise Conflict(f"make certificates: `{directory}` is not empty", hint="remove it, or name another directory")
    try:
        directory.parent.mkdir(parents=True, exist_ok=True)
        partial = Path(tempfile.mkdtemp(dir=directory.parent, prefix=".partial-"))
    except OSError as error:
        raise HostError(f"make certificates: {error.strerror}: `{error.filename}`") from error
    try:
        for name, content in make_certificates(hosts, days=days).items():
            mode = 0o600 if "key" in name else 0o644
            with open(os.open(partial / name, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode), "w", encoding="ascii", newline="\n") as file:
                file.write(content)
        if directory.exists():
            directory.rmdir()
        os.rename(partial, directory)
    except OSError as error:
        raise HostError(f"make certificates: {error.strerror}: `{error.filename}`") from error
    finally:
        shutil.rmtree(partial, ignore_errors=True)
