"""401 and what to do about it."""

from __future__ import annotations

import base64
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from minidocker.errors import InvalidParameter, PeerError
from minidocker.registry.challenge import (
    ANONYMOUS, Credentials, find_challenge, may_send_credentials, parse_challenges, parse_registry_auth, parse_token, plan_token_request,
    render_basic,
)  # fmt: skip

HUB = 'Bearer realm="https://auth.docker.io/token",service="registry.docker.io",scope="repository:library/alpine:pull"'
HEADERS: dict[str, list[tuple[str, dict[str, str]]]] = {
    HUB: [("bearer", {"realm": "https://auth.docker.io/token", "service": "registry.docker.io", "scope": "repository:library/alpine:pull"})],
    'Basic realm="x"': [("basic", {"realm": "x"})],
    "Basic": [("basic", {})],
    'Bearer realm=bare , service = "a, \\"b\\""': [("bearer", {"realm": "bare", "service": 'a, "b"'})],
    'Negotiate, Basic realm="x", Bearer realm="y",error="z"': [("negotiate", {}), ("basic", {"realm": "x"}), ("bearer", {"realm": "y", "error": "z"})],
    "": [],
}  # fmt: skip


@pytest.mark.parametrize(("header", "expected"), HEADERS.items(), ids=range(len(HEADERS)))
def test_challenge_is_taken_apart(header: str, expected: list[tuple[str, dict[str, str]]]) -> None:
    """RFC 9110: several in one header, quoted or not, commas inside quotes."""
    assert [(found.scheme, dict(found.parameters)) for found in parse_challenges(header)] == expected


@given(st.text())
def test_garbage_is_no_challenge_and_no_failure(header: str) -> None:
    """The peer may send anything."""
    assert all(isinstance(challenge.scheme, str) for challenge in parse_challenges(header))


def test_token_is_preferred_to_a_password() -> None:
    """It opens one repository for some minutes; a bearer challenge without a realm cannot be answered."""
    assert (find_challenge('Basic realm="a", Bearer realm="b"') or pytest.fail("no challenge")).scheme == "bearer"
    assert (find_challenge('Bearer service="b", Basic realm="a"') or pytest.fail("no challenge")).scheme == "basic"
    assert find_challenge("Negotiate") is None


REALMS = {
    "same host": ("https://r.example:5000", "https://r.example/token", True),
    "another port of the loopback": ("http://127.0.0.1:5000", "http://localhost:5001/token", True),
    "Docker Hub": ("https://registry-1.docker.io", "https://auth.docker.io/token", True),
    "the domain above": ("https://registry.gitlab.com", "https://gitlab.com/jwt/auth", True),
    "relative": ("https://r.example", "https://r.example/v2/token", True),
    "another host": ("https://ghcr.io", "https://evil.io/token", False),
    "looks like it": ("https://registry.example.com", "https://example.com.evil.org/t", False),
    "ends like it": ("https://registry.example.com", "https://notexample.com/t", False),
    "a whole top-level domain": ("https://example.com", "https://evil.com/t", False),
    "a neighbour's address": ("https://10.0.0.1", "https://11.0.0.1/t", False),
    "TLS given up": ("https://r.example", "http://r.example/token", False),
}  # fmt: skip


@pytest.mark.parametrize(("registry", "realm", "allowed"), REALMS.values(), ids=REALMS)
def test_password_goes_only_where_the_registry_belongs(registry: str, realm: str, allowed: bool) -> None:
    """CVE-2026-33540: the realm is what the answer says, so whoever writes the answer would get the password."""
    assert may_send_credentials(registry, realm) is allowed


def test_question_to_the_token_service_names_service_scope_and_account() -> None:
    """Docker Hub's documented form, for somebody, for nobody, and with a token instead of a password."""
    challenge = find_challenge(HUB) or pytest.fail("no challenge")
    scopes = ["repository:library/alpine:pull", "repository:b:pull,push"]
    method, url, headers, body = plan_token_request(challenge, scopes, Credentials(username="ann", password="p"))
    assert (method, body) == ("GET", b"")
    assert url == (
        "https://auth.docker.io/token?service=registry.docker.io&scope=repository:library/alpine:pull&scope=repository:b:pull,push&account=ann"
    )
    assert headers == {"Authorization": "Basic " + base64.b64encode(b"ann:p").decode()}
    assert plan_token_request(challenge, scopes[:1], ANONYMOUS)[2] == {}
    method, url, headers, body = plan_token_request(challenge, scopes[:1], Credentials(identity_token="t"))
    assert (method, url) == ("POST", "https://auth.docker.io/token")
    assert b"grant_type=refresh_token" in body


@pytest.mark.parametrize(("body", "text", "life"), [({"token": "a"}, "a", 60), ({"access_token": "b", "expires_in": 300}, "b", 300), ({"token": "c", "expires_in": -1}, "c", 60)])
def test_token_has_two_names_and_a_life(body: dict[str, object], text: str, life: float) -> None:
    """OAuth calls it `access_token`, Docker `token`; without a life it lives a minute."""
    token = parse_token(json.dumps(body).encode())
    assert (token.text, token.life_s) == (text, life)


@pytest.mark.parametrize("body", [b"", b"[]", b"{}", b'{"token":""}', b'{"token":1}', b'{"token":"a\\nb"}', b"[" * 100_000, b'{"token":"%s"}' % (b"x" * 70_000)])
def test_answer_without_a_token_is_refused(body: bytes) -> None:
    """A line end in a token would be a header of its own."""
    with pytest.raises(PeerError, match="read token"):
        parse_token(body)


def encode(document: object) -> str:
    return base64.urlsafe_b64encode(json.dumps(document).encode()).decode()


AUTHS = {
    "password": (encode({"username": "a", "password": "b", "serveraddress": "x"}), Credentials(username="a", password="b")),
    "identity token": (encode({"identitytoken": "t"}), Credentials(identity_token="t")),
    "registry token": (encode({"registrytoken": "t"}), Credentials(registry_token="t")),
    "as in config.json": (encode({"auth": base64.b64encode(b"a:b:c").decode()}), Credentials(username="a", password="b:c")),
    "without padding": (encode({"username": "a"}).rstrip("="), Credentials(username="a")),
    "nobody": ("e30=", ANONYMOUS), "empty": ("", ANONYMOUS), "garbage": ("!!!", ANONYMOUS),
}  # fmt: skip


@pytest.mark.parametrize(("header", "expected"), AUTHS.values(), ids=AUTHS)
def test_registry_auth_of_every_client_is_read(header: str, expected: Credentials) -> None:
    """Docker pads, docker-py does not always; what cannot be read counts for nobody, as in Docker."""
    assert parse_registry_auth(header) == expected


def test_registry_auth_of_another_form_is_refused() -> None:
    """A list is somebody's mistake."""
    with pytest.raises(InvalidParameter):
        parse_registry_auth(encode([]))


def test_secrets_do_not_show() -> None:
    """Whatever prints a record must not print a password."""
    shown = repr(Credentials(username="ann", password="hidden", identity_token="hidden", registry_token="hidden"))
    assert "ann" in shown
    assert "hidden" not in shown
    assert render_basic(Credentials(username="a", password="ü")).startswith("Basic ")
