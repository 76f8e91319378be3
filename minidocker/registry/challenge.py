"""401 and what to do about it: the challenge of a registry, the question to its token service, the answer.

Pure. A registry that wants to know who asks answers 401 with `WWW-Authenticate`. *Basic*: send name and password with every request.
*Bearer*: get a token for this scope from the service named by `realm`, and send that. Docker Hub gives tokens to anonymous users
too. The realm is what the registry says it is, so it could be anybody's: name and password are sent only where the registry's
owner would have them sent (`may_send_credentials`, CVE-2026-33540). See RFC 9110, section 11, and distribution's "Token
Authentication Specification". Chapter 8.
"""

from __future__ import annotations

import base64
import binascii
import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final
from urllib.parse import quote, urlencode, urlsplit

from minidocker.errors import InvalidParameter, PeerError
from minidocker.registry.endpoints import is_loopback, split_host

__all__ = [
    "ANONYMOUS", "Challenge", "Credentials", "Token", "find_challenge", "may_send_credentials", "parse_challenges",
    "parse_registry_auth", "parse_token", "plan_token_request", "render_basic",
]  # fmt: skip

DEFAULT_LIFE_S: Final = 60.0
"""How long a token lives whose answer does not say."""
MAX_TOKEN_CHARS: Final = 64 << 10
CLIENT_ID: Final = "minidocker"

_TOKEN: Final = r"[!#$%&'*+.^_`|~0-9A-Za-z-]+"
_SCHEME: Final = re.compile(rf"[\s,]*({_TOKEN})(?=\s|,|$)\s*")
_PARAMETER: Final = re.compile(rf'\s*,*\s*({_TOKEN})\s*=\s*(?:"((?:[^"\\]|\\.)*)"|({_TOKEN}))\s*')


@dataclass(frozen=True, slots=True, kw_only=True)
class Credentials:
    """What somebody proves who they are with; empty for nobody."""

    username: str = ""
    password: str = field(default="", repr=False)
    identity_token: str = field(default="", repr=False)
    """A refresh token, which stands for a password at the token service."""
    registry_token: str = field(default="", repr=False)
    """A token that is sent to the registry as it is."""

    def __bool__(self) -> bool:
        """Whether there is anything to send."""
        return bool(self.username or self.password or self.identity_token or self.registry_token)


ANONYMOUS: Final = Credentials()


@dataclass(frozen=True, slots=True, kw_only=True)
class Challenge:
    """One way in that a registry offers."""

    scheme: str
    """Lower case: `basic`, `bearer`."""
    parameters: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Token:
    """An answer of a token service."""

    text: str = field(repr=False)
    life_s: float
    identity_token: str = field(default="", repr=False)


def parse_challenges(header: str) -> list[Challenge]:
    """Return the challenges in a `WWW-Authenticate` header; what cannot be understood ends it."""
    found: list[Challenge] = []
    position = 0
    while position < len(header):
        match = _SCHEME.match(header, position)
        if match is None:
            break
        position = match.end()
        parameters: dict[str, str] = {}
        while (item := _PARAMETER.match(header, position)) is not None:
            value = re.sub(r"\\(.)", r"\1", item[2]) if item[2] is not None else item[3]
            parameters.setdefault(item[1].lower(), value)
            position = item.end()
        found.append(Challenge(scheme=match[1].lower(), parameters=parameters))
    return found


def find_challenge(header: str) -> Challenge | None:
    """Return the challenge to take: a token if there is one to be had, as it opens less than a password."""
    challenges = parse_challenges(header)
    for scheme in ("bearer", "basic"):
        for challenge in challenges:
            if challenge.scheme == scheme and (scheme == "basic" or challenge.parameters.get("realm")):
                return challenge
    return None


def may_send_credentials(registry_url: str, realm_url: str) -> bool:
    """Whether the token service at *realm_url* may see the name and password for the registry.

    It may on the same host (at any port), below the same domain (`registry.example.com` and `auth.example.com` or
    `example.com`, Docker Hub's `registry-1.docker.io` and `auth.docker.io`), and never in plain text where the registry has TLS.
    """
    registry, realm = urlsplit(registry_url), urlsplit(realm_url)
    ours, theirs = split_host(registry.netloc), split_host(realm.netloc)
    if registry.scheme == "https" and realm.scheme != "https":
        return False
    if ours == theirs or (is_loopback(ours) and is_loopback(theirs)):
        return True
    parent = ours.partition(".")[2]
    is_name = "." in parent and not ours.replace(".", "").isdigit()
    return is_name and (theirs == parent or theirs.endswith(f".{parent}"))


def plan_token_request(
    challenge: Challenge, scopes: Sequence[str], credentials: Credentials
) -> tuple[str, str, dict[str, str], bytes]:
    """Return (method, URL, headers, body) of the question to the token service."""
    realm, service = challenge.parameters["realm"], challenge.parameters.get("service", "")
    if credentials.identity_token:
        form = {"grant_type": "refresh_token", "refresh_token": credentials.identity_token, "service": service, "client_id": CLIENT_ID,
                "scope": " ".join(scopes)}  # fmt: skip
        return "POST", realm, {"Content-Type": "application/x-www-form-urlencoded"}, urlencode(form).encode()
    query = [("service", service)] if service else []
    query += [("scope", scope) for scope in scopes]
    query += [("account", credentials.username)] if credentials.username else []
    headers = {"Authorization": render_basic(credentials)} if credentials.username else {}
    joint = "&" if "?" in realm else "?"
    return "GET", realm + (joint + urlencode(query, quote_via=quote, safe=":/,*") if query else ""), headers, b""


def render_basic(credentials: Credentials) -> str:
    """Return the `Authorization` header for a name and a password."""
    pair = f"{credentials.username}:{credentials.password}".encode()
    return f"Basic {base64.b64encode(pair).decode()}"


def parse_token(body: bytes) -> Token:
    """Return the token in the answer *body*.

    Raises:
        PeerError: there is none.
    """
    try:
        document = json.loads(body)
    except (ValueError, RecursionError) as error:
        raise PeerError(f"read token: the answer is not JSON: {error}") from error
    fields = document if isinstance(document, dict) else {}
    text = fields.get("token") or fields.get("access_token")
    if not isinstance(text, str) or not text or len(text) > MAX_TOKEN_CHARS or not text.isascii() or not text.isprintable():
        raise PeerError("read token: authorization server did not include a token in the response")
    life, identity = fields.get("expires_in"), fields.get("refresh_token")
    life_s = float(life) if isinstance(life, int | float) and not isinstance(life, bool) and life > 0 else DEFAULT_LIFE_S
    return Token(text=text, life_s=life_s, identity_token=identity if isinstance(identity, str) else "")


def parse_registry_auth(header: str) -> Credentials:
    """Return the credentials in `X-Registry-Auth`: base64 (of either alphabet) of JSON; none for an empty or unreadable header.

    Docker's server ignores what it cannot read as well: without credentials the registry decides.

    Raises:
        InvalidParameter: it is JSON of another form.
    """
    try:
        document = json.loads(base64.urlsafe_b64decode(header.replace("+", "-").replace("/", "_") + "=" * (-len(header) % 4)) or b"{}")
    except (binascii.Error, ValueError, RecursionError):
        return ANONYMOUS
    if not isinstance(document, dict):
        raise InvalidParameter("invalid X-Registry-Auth header: expected a JSON object")
    return read_credentials(document)


def read_credentials(document: Mapping[str, object]) -> Credentials:
    """Return the credentials in an object as Docker's API and `config.json` write them."""
    lowered = {str(key).lower(): value for key, value in document.items() if isinstance(value, str)}
    username, password = lowered.get("username", ""), lowered.get("password", "")
    if lowered.get("auth") and not username:
        try:
            username, _, password = base64.b64decode(lowered["auth"]).decode().partition(":")
        except (binascii.Error, UnicodeDecodeError) as error:
            raise InvalidParameter(f"read credentials: `auth` is not base64 of NAME:PASSWORD: {error}") from error
    return Credentials(
        username=username, password=password.rstrip("\0"), identity_token=lowered.get("identitytoken", ""),
        registry_token=lowered.get("registrytoken", ""),
    )  # fmt: skip
