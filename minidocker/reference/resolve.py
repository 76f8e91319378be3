"""Say which image is meant: by a name, which may mean another one tomorrow, or by an id, which never does.

Pure. Chapter 6.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import Final

from minidocker.errors import InvalidParameter
from minidocker.reference.reference import parse_reference

__all__ = ["resolve_name"]

DIGEST_DIGITS: Final = 64
_ID_PREFIX = re.compile(r"(?:sha256:)?([0-9a-f]{1,64})")


def resolve_name(text: str, by_name: Mapping[str, str], ids: Iterable[str]) -> str:
    """Return the id of the image with this name, id or unique beginning of an id; nothing if there is none.

    Args:
        text: what somebody typed.
        by_name: the complete form of each name, and the id that it means now.
        ids: those of all images, each `sha256:` and 64 digits.

    Raises:
        InvalidReference: *text* has the form of none of them.
        InvalidParameter: the beginning fits several.
    """
    prefix = _ID_PREFIX.fullmatch(text)
    if not (prefix and (text.startswith("sha256:") or len(prefix[1]) == DIGEST_DIGITS)):
        wanted = parse_reference(text)
        wanted = replace(wanted, tag="") if wanted.digest else wanted  # a digest says more than a tag
        if wanted.canonical in by_name:
            return by_name[wanted.canonical]
    matches = [image_id for image_id in ids if prefix and image_id.startswith(f"sha256:{prefix[1]}")]
    if len(matches) > 1:
        raise InvalidParameter(f"multiple IDs found with provided prefix: {text.removeprefix('sha256:')}")
    return matches[0] if matches else ""
