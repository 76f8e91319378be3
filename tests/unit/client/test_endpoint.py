"""Which server is meant, and with which certificates."""

from __future__ import annotations

from pathlib import Path

import pytest

from minidocker.client.contexts import Context, use_context, write_context
from minidocker.client.endpoint import choose_context, find_endpoint
from minidocker.errors import InvalidParameter, NotFound

CHOICES = {
    "nothing": ("", "", {}, "", "default"),
    "settings": ("", "", {}, "work", "work"),
    "variable over settings": ("", "", {"DOCKER_CONTEXT": "home"}, "work", "home"),
    "address over contexts": ("", "", {"DOCKER_HOST": "tcp://x", "DOCKER_CONTEXT": "home"}, "work", "default"),
    "our address too": ("", "", {"MINIDOCKER_HOST": "tcp://x"}, "work", "default"),
    "flag over all": ("", "lab", {"DOCKER_HOST": "tcp://x", "DOCKER_CONTEXT": "home"}, "work", "lab"),
    "address flag": ("tcp://y", "", {"DOCKER_CONTEXT": "home"}, "work", "default"),
}


@pytest.mark.parametrize(("host", "context", "environ", "current", "name"), CHOICES.values(), ids=CHOICES.keys())
def test_nearer_word_decides(host: str, context: str, environ: dict[str, str], current: str, name: str) -> None:
    """The command line is nearer than the environment, the environment nearer than a file."""
    assert choose_context(host, context, environ, current) == name


def test_address_and_context_together_are_refused() -> None:
    """Either could be meant, and the wrong machine may lose its containers."""
    with pytest.raises(InvalidParameter, match="cannot specify both --host and --context"):
        choose_context("tcp://x", "lab", {}, "")


def test_context_in_use_names_the_server(tmp_path: Path) -> None:
    """`context use` holds until something else is said."""
    directory = str(tmp_path)
    write_context(directory, Context("lab", "tcp://lab:2376"), {"ca": b"A", "cert": b"B", "key": b"C"})
    use_context(directory, "lab")
    found = find_endpoint({}, config=directory)
    assert (found.address, found.context, found.explicit, found.verify) == ("tcp://lab:2376", "lab", True, True)
    assert Path(found.ca_path).read_bytes() == b"A"
    assert find_endpoint({"DOCKER_HOST": "tcp://b"}, config=directory).address == "tcp://b"
    use_context(directory, "default")
    assert not find_endpoint({}, config=directory).explicit


def test_context_without_certificates_is_spoken_to_in_plain_text(tmp_path: Path) -> None:
    """As Docker's client does; a context that skips verification encrypts all the same."""
    write_context(str(tmp_path), Context("plain", "tcp://lab:2375"))
    write_context(str(tmp_path), Context("blind", "tcp://lab:2376", skip_verify=True))
    plain, blind = (find_endpoint({}, context=name, config=str(tmp_path)) for name in ("plain", "blind"))
    assert (plain.tls, plain.verify, blind.tls, blind.verify) == (False, False, True, False)


def test_unknown_context_is_said(tmp_path: Path) -> None:
    """Never the default server instead: somebody's containers could be removed there."""
    with pytest.raises(NotFound, match='context "gone": context not found'):
        find_endpoint({"DOCKER_CONTEXT": "gone"}, config=str(tmp_path))


def test_certificates_lie_where_the_environment_says() -> None:
    """A flag for one file leaves the others where they are."""
    environ = {"DOCKER_HOST": "tcp://x:2376", "DOCKER_TLS_VERIFY": "1", "DOCKER_CERT_PATH": "/certs"}
    found = find_endpoint(environ, config="/settings", files={"ca": "/other.pem"})
    assert (found.verify, found.ca_path.replace("\\", "/"), found.cert_path.replace("\\", "/")) == (True, "/other.pem", "/certs/cert.pem")
    assert find_endpoint({"DOCKER_HOST": "tcp://x"}, config="/settings", tls=True).key_path.replace("\\", "/") == "/settings/key.pem"
