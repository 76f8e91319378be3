"""Identifiers: content digests, random ids, and the short forms that people read.

Pure. A `Digest` names content (OCI image-spec, "Digests"); an *id* is 64 hexadecimal digits that name a container,
an exec or a network.
"""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass
from typing import Final, NewType

from minidocker.errors import InvalidParameter

__all__ = ["SHORT_ID_LENGTH", "ContainerId", "Digest", "compute_digest", "parse_digest", "short_id"]

ContainerId = NewType("ContainerId", str)
"""64 lower-case hexadecimal digits."""

SHORT_ID_LENGTH: Final = 12
"""How many digits Docker prints."""

_SHA256_HEX = re.compile(r"[0-9a-f]{64}")


@dataclass(frozen=True, slots=True, order=True)
class Digest:
    """A content digest. One that exists is valid: `sha256` and 64 lower-case hexadecimal digits."""

    hex: str
    """The 64 digits without the algorithm."""

    def __post_init__(self) -> None:
        """Refuse anything that could be mistaken for a path (CVE-2024-3727)."""
        if not _SHA256_HEX.fullmatch(self.hex):
            raise InvalidParameter(f"invalid digest `sha256:{self.hex[:80]}`: expected 64 lower-case hexadecimal digits")

    def __str__(self) -> str:
        """The form that travels: `sha256:…`."""
        return f"sha256:{self.hex}"


def parse_digest(text: str) -> Digest:
    """Return the digest that *text* spells, such as `sha256:e3b0…`.

    Raises:
        InvalidParameter: another algorithm, or digits of the wrong number or kind.
    """
    algorithm, colon, digits = text.partition(":")
    if not colon or algorithm != "sha256":
        raise InvalidParameter(f"invalid digest `{text[:80]}`: expected `sha256:` and 64 hexadecimal digits")
    return Digest(digits)


def compute_digest(content: bytes) -> Digest:
    """Return the digest of *content*."""
    return Digest(hashlib.sha256(content).hexdigest())


def short_id(full_id: str) -> str:
    """Return the twelve digits that people read, without an algorithm prefix."""
    return full_id.removeprefix("sha256:")[:SHORT_ID_LENGTH]
