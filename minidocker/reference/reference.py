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

_LABEL = r"[a-zA-Z0-9](?:[a-zA-Z0-9-]*[a-zA-Z0-9])?"
_DOMAIN = re.compile(rf"(?:{_LABEL}(?:\.{_LABEL})*|\[[a-fA-F0-9:]+\])(?::[0-9]+)?")
_COMPONENT = r"[a-z0-9]+(?:(?:\.|_|__|-+)[a-z0-9]+)*"
_PATH = re.compile(rf"{_COMPONENT}(?:/{_COMPONENT})*")
_TAG = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,127}")
_PATH_HEAD = re.compile(rf"{_PATH.pattern}(?P<separator>/|\.|__?|-+)?")
"""As much of a path as can still become one."""
_DIGEST_HEAD = re.compile(r"sha256:[a-f0-9]{0,64}")
_IDENTIFIER = re.compile(r"[a-f0-9]{64}")


class InvalidReference(InvalidParameter):
    """The text is not the name of an image."""

    def __init__(self, message: str, *, hint: str = "", position: int = -1) -> None:
        """Keep Docker's *message*; its clients do not show the *hint* that points at the character at *position*, ours does."""
        super().__init__(message, hint=hint)
        self.position = position


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
        message = f"invalid repository name ({text}), cannot specify 64-byte hexadecimal strings"
        raise InvalidReference(message, hint="64 hexadecimal digits are an image ID", position=0)
    rest, at, digest = text.partition("@")
    domain, path = _split_domain(rest)
    path, colon, tag = path.partition(":")
    end = len(rest) - len(colon + tag)  # of the path in the text
    if path != path.lower():
        raise _point_at(text, end - len(path) + _first_capital(path), f"invalid reference format: repository name ({path}) must be lowercase")
    is_tagged = ":" in rest.rsplit("/", 1)[-1]
    if not _DOMAIN.fullmatch(domain) or not _PATH.fullmatch(path) or (is_tagged and not _TAG.fullmatch(tag)):
        raise _point_at(text, _find_mistake(rest))
    if at:
        _check_digest(text, digest)
    if len(domain) + 1 + len(path) > MAX_NAME_LENGTH:
        message = f"invalid reference format: repository name must not be more than {MAX_NAME_LENGTH} characters"
        surplus = len(domain) + 1 + len(path) - MAX_NAME_LENGTH
        hint = f"with its registry it has {MAX_NAME_LENGTH + surplus}: leave out {surplus}"
        raise InvalidReference(message, hint=hint, position=max(0, end - surplus))
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


def _check_digest(text: str, digest: str) -> None:
    try:
        parse_digest(digest)
    except InvalidParameter as error:
        start = len(text) - len(digest)
        valid = _DIGEST_HEAD.match(digest)
        raise _point_at(text, start + (valid.end() if valid else 0)) from error


def _first_capital(text: str) -> int:
    return next(i for i, character in enumerate(text) if character != character.lower())


def _find_mistake(name: str) -> int:
    """Return where in *name*, which has no digest, the first character stands that no valid name has there."""
    first, slash, _ = name.partition("/")
    domain = _DOMAIN.match(first)
    has_domain = slash and _split_domain(name)[0] != DEFAULT_DOMAIN
    if has_domain and (domain is None or domain.end() < len(first)):
        return domain.end() if domain else 0
    start = len(first) + 1 if has_domain else 0
    path = _PATH_HEAD.match(name, start)
    end = path.end() if path else start
    if not path or path["separator"] or name[end : end + 1] != ":":
        return end
    tag = _TAG.match(name, end + 1)
    return tag.end() if tag else end + 1


def _point_at(text: str, position: int, message: str = "invalid reference format") -> InvalidReference:
    """Return the error with Docker's words and, beside them, the place of the mistake."""
    if position < len(text):
        hint = f"character {position + 1}, `{text[position]}`, cannot stand there"
    else:
        hint = f"something is missing after character {position}, `{text[-1]}`" if text else "the name is empty"
    return InvalidReference(message, hint=hint, position=position)
