"""What the client itself must know about image names: the default tag, and where the name ends.

Pure. The full grammar is `minidocker.reference`'s; this is the part that `run` and `pull` need before they ask. Chapter 14.
"""

from __future__ import annotations

from minidocker.errors import InvalidParameter

__all__ = ["name_with_tag", "split_image_name"]

_ALLOWED = frozenset("abcdefghijklmnopqrstuvwxyz0123456789._-/:@[]")


def split_image_name(text: str) -> tuple[str, str]:
    """Return (repository, tag or digest); the tag is empty if none is given.

    Raises:
        InvalidParameter: no image can be called that.
    """
    name, at, digest = text.partition("@")
    before, colon, tag = name.rpartition(":")
    if not colon or "/" in tag:
        before, tag = name, ""
    elif not tag:
        raise InvalidParameter("invalid reference format", hint=f"something is missing after character {len(name)}, `:`")
    path = before.partition("/")[2] if _has_host(before) else before
    if not before or before.startswith(("/", "-", ".")) or before.endswith("/") or set(before.lower()) - _ALLOWED:
        raise InvalidParameter("invalid reference format", hint=_point_at(before))
    if path != path.lower():
        full = path if "/" in path or _has_host(before) else f"library/{path}"
        position = len(before) - len(path) + next(i for i, character in enumerate(path) if character != character.lower())
        hint = f"character {position + 1}, `{before[position]}`, cannot stand there"
        raise InvalidParameter(f"invalid reference format: repository name ({full}) must be lowercase", hint=hint)
    return before, digest if at else tag


def _point_at(name: str) -> str:
    """Return which character is wrong, with the words of `minidocker.reference`."""
    for position, character in enumerate(name):
        if character.lower() not in _ALLOWED or (position == 0 and character in "/-."):
            return f"character {position + 1}, `{character}`, cannot stand there"
    return f"something is missing after character {len(name)}, `{name[-1]}`" if name else "the name is empty"


def _has_host(name: str) -> bool:
    host, slash, _ = name.partition("/")
    return bool(slash) and ("." in host or ":" in host or host == "localhost" or host != host.lower())


def name_with_tag(text: str) -> str:
    """Return *text* with `:latest` if it says neither tag nor digest."""
    repository, tag = split_image_name(text)
    return text if tag else f"{repository}:latest"
