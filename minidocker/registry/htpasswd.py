"""Password files as Apache's `htpasswd` writes them: one `name:hash` a line.

Pure. The forms: bcrypt (`-B`, the only one that Docker's own registry takes), `$apr1$` (MD5 a thousand times, the default of
`htpasswd`) and `{SHA}` (`-s`). Plain text and DES are refused: their lines let nobody in. A password that was right is remembered
as a keyed hash, because bcrypt takes its time and a push asks a hundred times. See htpasswd(1). Chapter 8.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
from collections.abc import Mapping

from minidocker.registry.bcrypt import verify_password as verify_bcrypt

__all__ = ["PasswordFile", "parse_basic", "parse_htpasswd", "verify_password"]

_ITOA64 = "./0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
MAX_REMEMBERED = 1000
"""Passwords that are remembered as right; more users than that are at work only in an attack."""
MAX_HEADER = 4096
"""Characters of an `Authorization` header that are looked at."""


def parse_htpasswd(text: str) -> dict[str, str]:
    """Return name to hash; comments and empty lines are skipped, the first line of a name counts."""
    users: dict[str, str] = {}
    for line in text.splitlines():
        name, colon, hashed = line.strip().partition(":")
        if colon and name and not name.startswith("#"):
            users.setdefault(name, hashed)
    return users


def parse_basic(header: str) -> tuple[str, str] | None:
    """Return (name, password) of an `Authorization: Basic` header; `None` for anything else."""
    scheme, _, value = header[:MAX_HEADER].partition(" ")
    if scheme.lower() != "basic":
        return None
    try:
        name, colon, password = base64.b64decode(value.strip(), validate=True).decode().partition(":")
    except (binascii.Error, UnicodeDecodeError):
        return None
    return (name, password) if colon else None


def verify_password(password: str, hashed: str) -> bool:
    """Whether *password* is the one of *hashed*."""
    content = password.encode()
    if hashed.startswith("$2"):
        return verify_bcrypt(content, hashed)
    if hashed.startswith("$apr1$"):
        salt = hashed.split("$")[2][:8]
        return hmac.compare_digest(_apr1(content, salt.encode()), hashed.rpartition("$")[2])
    if hashed.startswith("{SHA}"):
        expected = base64.b64encode(hashlib.sha1(content, usedforsecurity=False).digest()).decode()
        return hmac.compare_digest(expected, hashed.removeprefix("{SHA}"))
    return False


def _apr1(password: bytes, salt: bytes) -> str:
    """Return Apache's variant of the MD5 hash of FreeBSD's crypt(3): the salt and the rounds that mix it."""
    inner = hashlib.md5(password + salt + password, usedforsecurity=False).digest()
    outer = password + b"$apr1$" + salt
    outer += (inner * (len(password) // 16 + 1))[: len(password)]
    length = len(password)
    while length:
        outer += b"\0" if length & 1 else password[:1]
        length >>= 1
    digest = hashlib.md5(outer, usedforsecurity=False).digest()
    for turn in range(1000):
        text = password if turn & 1 else digest
        text += (salt if turn % 3 else b"") + (password if turn % 7 else b"")
        digest = hashlib.md5(text + (digest if turn & 1 else password), usedforsecurity=False).digest()
    letters = ""
    for a, b, c in ((0, 6, 12), (1, 7, 13), (2, 8, 14), (3, 9, 15), (4, 10, 5)):
        number = digest[a] << 16 | digest[b] << 8 | digest[c]
        letters += "".join(_ITOA64[number >> shift & 63] for shift in (0, 6, 12, 18))
    return letters + _ITOA64[digest[11] & 63] + _ITOA64[digest[11] >> 6]


class PasswordFile:
    """Who may come in."""

    def __init__(self, users: Mapping[str, str], *, key: bytes) -> None:
        """Take *users* by name; *key* is random and keeps what is remembered from being of use to anybody."""
        self._users, self._key = dict(users), key
        self._known: dict[bytes, str] = {}

    def find_user(self, authorization: str) -> str:
        """Return the name that the header *authorization* proves, nothing if it proves none."""
        credentials = parse_basic(authorization)
        if credentials is None or credentials[0] not in self._users:
            return ""
        name, password = credentials
        mark = hmac.digest(self._key, f"{name}:{password}:{self._users[name]}".encode(), "sha256")
        if mark not in self._known:
            if not verify_password(password, self._users[name]):
                return ""
            if len(self._known) >= MAX_REMEMBERED:
                self._known.clear()
            self._known[mark] = name
        return name
