"""Parse and render image names, with Docker's grammar, defaults and error texts.

Pure. The grammar is that of the "distribution" project, which Docker, containerd and podman share::

    reference   := name [ ":" tag ] [ "@" digest ]
    name        := [ domain "/" ] component { "/" component }
    domain      := host [ ":" port ]          host: dotted names, an IPv4 address, or an IPv6 address in brackets
    component   := alphanumeric { separator alphanumeric }
    separator   := "." | "_" | "__" | any number of "-"
    tag         := [A-Za-z0-9_] up to 127 of [A-Za-z0-9_.-]

What stands before the first `/` is a domain only if it could be one: it has a dot or a colon, is `localhost`, or has capital
letters. So `team/app` lives on Docker Hub and `team.example/app` does not. Chapter 6.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final

from minidocker.errors import InvalidParameter
from minidocker.ids import parse_digest

__all__ = ["DEFAULT_DOMAIN", "DEFAULT_TAG", "InvalidReference", "Reference", "parse_reference"]

DEFAULT_DOMAIN: Final = "docker.io"
DEFAULT_TAG: Final = "latest"
OFFICIAL_PREFIX: Final = "library/"
"""Where Docker Hub keeps the images that have no owner in their name."""
MAX_NAME_LENGTH: Final = 255
"""Of domain and path together, as the distribution project limits it."""

_LABEL = r"(?:[a-zA-Z0-9]|[a-zA-Z0-9][a-zA-Z0-9-]*[a-zA-Z0-9])"
_DOMAIN = re.compile(rf"(?:{_LABEL}(?:\.{_LABEL})*|\[[a-fA-F0-9:]+\])(?::[0-9]+)?")
_COMPONENT = r"[a-z0-9]+(?:(?:\.|_|__|-+)[a-z0-9]+)*"
_PATH = re.compile(rf"{_COMPONENT}(?:/{_COMPONENT})*")
_TAG = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,127}")
_IDENTIFIER = re.compile(r"[a-f0-9]{64}")


class InvalidReference(InvalidParameter):
    """The text is not the name of an image."""


@dataclass(frozen=True, slots=True, order=True)
class Reference:
    """The name of an image. A tag, a digest, both, or neither (a repository)."""

    domain: str
    path: str
    tag: str = ""
    digest: str = ""

    @property
    def repository(self) -> str:
        """The whole name without tag and digest: `docker.io/library/alpine`."""
        return f"{self.domain}/{self.path}"

    @property
    def familiar_repository(self) -> str:
        """The name without tag and digest, without what everybody leaves out: `alpine`."""
        if self.domain != DEFAULT_DOMAIN:
            return self.repository
        short = self.path.removeprefix(OFFICIAL_PREFIX)
        return self.path if "/" in short else short

    @property
    def familiar(self) -> str:
        """What people type and read: `alpine:3.19`."""
        return self.familiar_repository + self._suffix

    @property
    def canonical(self) -> str:
        """The complete form, equal for equal names: `docker.io/library/alpine:3.19`."""
        return self.repository + self._suffix

    @property
    def _suffix(self) -> str:
        return (f":{self.tag}" if self.tag else "") + (f"@{self.digest}" if self.digest else "")

    def __str__(self) -> str:
        """The form that people read."""
        return self.familiar


def parse_reference(text: str, *, default_tag: str = DEFAULT_TAG) -> Reference:
    """Return the image that *text* names; a name with neither tag nor digest gets *default_tag*.

    Raises:
        InvalidReference: with Docker's text; capital letters in the repository get a text of their own.
    """
    if _IDENTIFIER.fullmatch(text):
        raise InvalidReference(f"invalid repository name ({text}), cannot specify 64-byte hexadecimal strings")
    rest, at, digest = text.partition("@")
    domain, path = _split_domain(rest)
    path, _, tag = path.partition(":")
    if path != path.lower():
        raise InvalidReference(f"invalid reference format: repository name ({path}) must be lowercase")
    is_tagged = ":" in rest.rsplit("/", 1)[-1]
    if not _DOMAIN.fullmatch(domain) or not _PATH.fullmatch(path) or (is_tagged and not _TAG.fullmatch(tag)):
        raise InvalidReference("invalid reference format")
    if at:
        _check_digest(digest)
    if len(domain) + 1 + len(path) > MAX_NAME_LENGTH:
        raise InvalidReference(f"invalid reference format: repository name must not be more than {MAX_NAME_LENGTH} characters")
    return Reference(domain, path, tag or ("" if digest else default_tag), digest)


def _split_domain(text: str) -> tuple[str, str]:
    """Return the domain and the rest, with Docker Hub's defaults."""
    first, slash, rest = text.partition("/")
    is_domain = slash and (any(c in first for c in ".:") or first == "localhost" or first.lower() != first)
    domain, path = (first, rest) if is_domain else (DEFAULT_DOMAIN, text)
    if domain == "index.docker.io":  # the name under which Docker Hub was known first
        domain = DEFAULT_DOMAIN
    if domain == DEFAULT_DOMAIN and "/" not in path:
        path = OFFICIAL_PREFIX + path
    return domain, path


def _check_digest(text: str) -> None:
    try:
        parse_digest(text)
    except InvalidParameter as error:
        raise InvalidReference("invalid reference format") from error
