"""What may stand in the address of something in a registry: repository, tag, digest.

Pure. Names become paths on the server's disk and parts of addresses on the client's side, so nothing that is not a name gets
past here (CVE-2024-3727). Grammar of OCI distribution-spec, "Pulling manifests"; digests of image-spec, "Digests". Chapter 8.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable
from typing import TYPE_CHECKING, Final

from minidocker.registry.protocol import RegistryError

if TYPE_CHECKING:
    from hashlib import _Hash

__all__ = ["ALGORITHMS", "MAX_NAME_LENGTH", "is_digest", "is_repository", "is_tag", "new_hash", "require_digest", "require_repository"]

MAX_NAME_LENGTH: Final = 255
"""The specification advises clients to stay below it together with the host; file systems end here too."""

_COMPONENT = r"[a-z0-9]+(?:(?:\.|_|__|-+)[a-z0-9]+)*"
_REPOSITORY: Final = re.compile(rf"{_COMPONENT}(?:/{_COMPONENT})*")
_TAG: Final = re.compile(r"[a-zA-Z0-9_][a-zA-Z0-9._-]{0,127}")
_DIGITS: Final = {"sha256": re.compile(r"[a-f0-9]{64}"), "sha512": re.compile(r"[a-f0-9]{128}")}

ALGORITHMS: Final[dict[str, Callable[[], _Hash]]] = {"sha256": hashlib.sha256, "sha512": hashlib.sha512}
"""The digests that the specification registers."""


def is_repository(text: str) -> bool:
    """Whether *text* can name a repository."""
    return len(text) <= MAX_NAME_LENGTH and _REPOSITORY.fullmatch(text) is not None


def is_tag(text: str) -> bool:
    """Whether *text* can be a tag."""
    return _TAG.fullmatch(text) is not None


def is_digest(text: str) -> bool:
    """Whether *text* is a whole digest of an algorithm that is known here."""
    algorithm, _, digits = text.partition(":")
    return algorithm in _DIGITS and _DIGITS[algorithm].fullmatch(digits) is not None


def require_repository(text: str) -> str:
    """Return *text*.

    Raises:
        RegistryError: NAME_INVALID.
    """
    if not is_repository(text):
        raise RegistryError("NAME_INVALID", f"invalid repository name `{text[:80]}`")
    return text


def require_digest(text: str) -> str:
    """Return *text*.

    Raises:
        RegistryError: DIGEST_INVALID.
    """
    if not is_digest(text):
        raise RegistryError("DIGEST_INVALID", f"invalid digest `{text[:80]}`")
    return text


def new_hash(digest: str) -> _Hash:
    """Return an empty hash of the algorithm of *digest*, which is valid."""
    return ALGORITHMS[digest.partition(":")[0]]()
