"""X.509 certificates with Ed25519 keys, and keys in PKCS #8: what TLS wants to see.

A certificate says: the owner of this public key is called so, from then until then, for these uses, and somebody signs it. What it
says beyond name and key is in extensions: whether it may sign others, what its key is for, and the addresses of a server (the name
itself is not looked at any more). Pure: times and random numbers come in. See RFC 5280, RFC 8410. Chapter 20.
"""

from __future__ import annotations

import base64
import hashlib
import ipaddress
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from minidocker.tls.der import SEQUENCE, render_bits, render_boolean, render_integer, render_name, render_octets, render_oid, render_time, render_value
from minidocker.tls.ed25519 import compute_public_key, sign

__all__ = ["Subject", "make_subject", "render_certificate", "render_pem", "render_private_key"]

ORGANISATION: Final = "minidocker"
_ED25519: Final = render_value(SEQUENCE, render_oid("1.3.101.112"))
_SERVER_USE, _CLIENT_USE = "1.3.6.1.5.5.7.3.1", "1.3.6.1.5.5.7.3.2"


@dataclass(frozen=True, slots=True, kw_only=True)
class Subject:
    """Whom a certificate is for."""

    name: str
    public_key: bytes
    is_authority: bool = False
    hosts: tuple[str, ...] = ()
    """Names and addresses of a server; whoever has none is a client."""


def render_certificate(subject: Subject, *, issuer: Subject, issuer_key: bytes, serial: int, begin: datetime, end: datetime) -> bytes:
    """Return the certificate for *subject*, signed with the private *issuer_key*, in DER."""
    body = render_value(
        SEQUENCE,
        render_value(0xA0, render_integer(2)),  # version 3, the one with extensions
        render_integer(serial),
        _ED25519,
        render_name(issuer.name, ORGANISATION),
        render_value(SEQUENCE, render_time(begin), render_time(end)),
        render_name(subject.name, ORGANISATION),
        render_value(SEQUENCE, _ED25519, render_bits(subject.public_key)),
        render_value(0xA3, render_value(SEQUENCE, *_render_extensions(subject, issuer))),
    )
    return render_value(SEQUENCE, body, _ED25519, render_bits(sign(issuer_key, body)))


def _render_extensions(subject: Subject, issuer: Subject) -> Iterator[bytes]:
    constraints = render_value(SEQUENCE, render_boolean(True)) if subject.is_authority else render_value(SEQUENCE)
    yield _render_extension("2.5.29.19", constraints, critical=True)
    # keyUsage, counted from the highest bit: digitalSignature is 0, keyCertSign 5, cRLSign 6.
    usage = render_bits(b"\x06", unused=1) if subject.is_authority else render_bits(b"\x80", unused=7)
    yield _render_extension("2.5.29.15", usage, critical=True)
    if not subject.is_authority:
        use = _SERVER_USE if subject.hosts else _CLIENT_USE
        yield _render_extension("2.5.29.37", render_value(SEQUENCE, render_oid(use)))
    if subject.hosts:
        yield _render_extension("2.5.29.17", render_value(SEQUENCE, *map(_render_host, subject.hosts)))
    yield _render_extension("2.5.29.14", render_octets(_key_id(subject)))
    yield _render_extension("2.5.29.35", render_value(SEQUENCE, render_value(0x80, _key_id(issuer))))


def _render_extension(oid: str, content: bytes, *, critical: bool = False) -> bytes:
    """Return an extension; one that is *critical* must be understood by whoever uses the certificate."""
    return render_value(SEQUENCE, render_oid(oid), render_boolean(True) if critical else b"", render_octets(content))


def _render_host(host: str) -> bytes:
    """Return a name or an address as a GeneralName."""
    try:
        return render_value(0x87, ipaddress.ip_address(host).packed)
    except ValueError:
        return render_value(0x82, host.encode("idna"))


def _key_id(subject: Subject) -> bytes:
    return hashlib.sha256(subject.public_key).digest()[:20]


def render_private_key(private_key: bytes) -> bytes:
    """Return a private key in DER, as PKCS #8 has it."""
    return render_value(SEQUENCE, render_integer(0), _ED25519, render_octets(render_octets(private_key)))


def make_subject(name: str, private_key: bytes, *, is_authority: bool = False, hosts: tuple[str, ...] = ()) -> Subject:
    """Return the subject that owns *private_key*."""
    return Subject(name=name, public_key=compute_public_key(private_key), is_authority=is_authority, hosts=hosts)


def render_pem(label: str, content: bytes) -> str:
    """Return *content* as text between two lines that say what it is."""
    text = base64.b64encode(content).decode("ascii")
    lines = [text[start : start + 64] for start in range(0, len(text), 64)]
    return "\n".join([f"-----BEGIN {label}-----", *lines, f"-----END {label}-----", ""])
