"""What an address may look like, and what is said where nobody answers."""

from __future__ import annotations

import pytest

from minidocker.client.address import parse_address, render_unreachable
from minidocker.errors import InvalidParameter

ADDRESSES = [
    ("unix:///run/x.sock", ("unix", "/run/x.sock", 0)),
    ("tcp://127.0.0.1:2375", ("tcp", "127.0.0.1", 2375)),
    ("tcp://[::1]:2376", ("tcp", "::1", 2376)),
    ("tcp://host", ("tcp", "host", 2375)),
    ("host:1234", ("tcp", "host", 1234)),
]


@pytest.mark.parametrize(("text", "address"), ADDRESSES, ids=[text for text, _ in ADDRESSES])
def test_address_is_read(text: str, address: tuple[str, str, int]) -> None:
    """The forms of `DOCKER_HOST`."""
    assert parse_address(text) == address


@pytest.mark.parametrize("text", ["ssh://host", "fd://", "tcp://host:x", "tcp://host:99999"])
def test_unknown_address_is_refused(text: str) -> None:
    """Said at once, with what can be used instead."""
    with pytest.raises(InvalidParameter, match="unable to parse docker host"):
        parse_address(text)


def test_port_is_the_registered_one_of_the_protocol() -> None:
    """2375 is plain, 2376 is TLS: a client that says `tcp://host` means one of the two."""
    assert parse_address("tcp://host", tls=True) == ("tcp", "host", 2376)
    assert parse_address("tcp://host:1", tls=True) == ("tcp", "host", 1)


REASONS = [
    (PermissionError(13, "Permission denied"), "permission denied while trying to connect to the Docker daemon socket at unix:///x"),
    (FileNotFoundError(2, "No such file"), "Cannot connect to the Docker daemon at unix:///x. Is the docker daemon running?"),
    (ConnectionRefusedError(111, "refused"), "Cannot connect to the Docker daemon at unix:///x. Is the docker daemon running?"),
    (OSError(113, "No route to host"), "error during connect: unix:///x"),
]


@pytest.mark.parametrize(("error", "text"), REASONS, ids=[type(error).__name__ for error, _ in REASONS])
def test_failed_connection_is_said_in_dockers_words(error: OSError, text: str) -> None:
    """Scripts look for these sentences, and people search for them."""
    assert render_unreachable("unix:///x", error).message.startswith(text)
