"""Certificates: a handshake of Python's own TLS decides whether they are any good."""

from __future__ import annotations

import ssl
import stat
import sys
from datetime import UTC, datetime
from pathlib import Path

import pytest

from minidocker.errors import Conflict, InvalidParameter
from minidocker.tls.authority import CLIENT_FILES, SERVER_FILES, write_certificates
from minidocker.tls.x509 import make_subject, render_certificate

HOSTS = ("localhost", "127.0.0.1", "::1", "box.example")


@pytest.fixture(scope="module")
def directory(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A directory of certificates."""
    path = tmp_path_factory.mktemp("tls") / "certs"
    write_certificates(path, HOSTS, days=30)
    return path


def make_context(purpose: ssl.Purpose, directory: Path, files: tuple[str, str, str]) -> ssl.SSLContext:
    """Return a context that has a certificate and wants to see one."""
    authority, certificate, key = (str(directory / name) for name in files)
    context = ssl.create_default_context(purpose, cafile=authority)
    context.verify_mode = ssl.CERT_REQUIRED
    context.load_cert_chain(certificate, key)
    return context


def shake_hands(server_context: ssl.SSLContext, client_context: ssl.SSLContext, host: str) -> ssl.SSLObject:
    """Let a client for *host* and a server meet in memory; return the client's side."""
    pipes = [ssl.MemoryBIO(), ssl.MemoryBIO()]
    client = client_context.wrap_bio(pipes[0], pipes[1], server_hostname=host)
    server = server_context.wrap_bio(pipes[1], pipes[0], server_side=True)
    for _ in range(6):
        for side in (client, server):
            try:
                side.do_handshake()
            except ssl.SSLWantReadError:
                continue
    client.write(b"hello")
    assert server.read(5) == b"hello"
    return client


@pytest.mark.parametrize("host", HOSTS)
def test_both_sides_accept_each_other(directory: Path, host: str) -> None:
    """The server under each of its names, and the client, without a name at all: OpenSSL checks both against the authority."""
    server = make_context(ssl.Purpose.CLIENT_AUTH, directory, SERVER_FILES)
    assert shake_hands(server, make_context(ssl.Purpose.SERVER_AUTH, directory, CLIENT_FILES), host).version() == "TLSv1.3"


def test_server_of_another_name_is_refused(directory: Path) -> None:
    """A certificate for one host is none for another."""
    with pytest.raises(ssl.SSLCertVerificationError, match=r"not valid for 'other\.example'"):
        shake_hands(make_context(ssl.Purpose.CLIENT_AUTH, directory, SERVER_FILES), make_context(ssl.Purpose.SERVER_AUTH, directory, CLIENT_FILES), "other.example")


def test_clients_certificate_does_not_make_a_server(directory: Path) -> None:
    """Each is for one use: who may connect may not pose as the server."""
    posing = make_context(ssl.Purpose.CLIENT_AUTH, directory, CLIENT_FILES)
    with pytest.raises(ssl.SSLCertVerificationError):
        shake_hands(posing, make_context(ssl.Purpose.SERVER_AUTH, directory, CLIENT_FILES), "localhost")


def test_stranger_is_refused(directory: Path, tmp_path: Path) -> None:
    """A certificate of another authority, made by the same program, opens nothing."""
    write_certificates(tmp_path / "c", HOSTS, days=30)
    stranger = make_context(ssl.Purpose.SERVER_AUTH, directory, CLIENT_FILES)
    stranger.load_cert_chain(tmp_path / "c/cert.pem", tmp_path / "c/key.pem")
    with pytest.raises(ssl.SSLError):
        shake_hands(make_context(ssl.Purpose.CLIENT_AUTH, directory, SERVER_FILES), stranger, "localhost")


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no permission bits")
def test_keys_are_their_owners_alone(directory: Path) -> None:
    """Whoever reads a key is its owner."""
    modes = {path.name: stat.S_IMODE(path.stat().st_mode) for path in directory.iterdir()}
    assert modes == {"ca.pem": 0o644, "cert.pem": 0o644, "server-cert.pem": 0o644, "key.pem": 0o600, "server-key.pem": 0o600}


def test_equal_inputs_give_an_equal_certificate() -> None:
    """Ed25519 needs no random number to sign: a certificate is a function of what is in it."""
    key = bytes(range(32))
    subject = make_subject("x", key, is_authority=True)
    moment = datetime(2030, 1, 1, tzinfo=UTC)
    first, second = (render_certificate(subject, issuer=subject, issuer_key=key, serial=1, begin=moment, end=moment) for _ in range(2))
    assert first == second


def test_existing_certificates_are_not_overwritten(directory: Path) -> None:
    """Clients out there trust them: making new ones is a decision."""
    before = (directory / "ca.pem").read_bytes()
    with pytest.raises(Conflict, match="is not empty"):
        write_certificates(directory, HOSTS, days=30)
    assert (directory / "ca.pem").read_bytes() == before


@pytest.mark.parametrize("host", ["", "a b", "http://x", "x:2376", "-x"])
def test_what_is_no_host_is_refused_and_leaves_nothing(tmp_path: Path, host: str) -> None:
    """A certificate for a name that no client ever asks for would fail much later, and elsewhere."""
    with pytest.raises(InvalidParameter, match="no host name and no address"):
        write_certificates(tmp_path / "c", ("localhost", host), days=30)
    assert not list(tmp_path.iterdir())
