"""Platforms: `linux/arm64/v8`, or one word of which the rest is clear.

Pure. See the OCI image specification, "Image Index": the words are Go's. Chapter 9.
"""

from __future__ import annotations

import re
from typing import Final

__all__ = ["parse_platform"]

_PART: Final = re.compile(r"[A-Za-z0-9_.-]+")
_ALIASES: Final = {"x86_64": "amd64", "x86-64": "amd64", "aarch64": "arm64", "armhf": "arm", "armel": "arm", "i386": "386", "i686": "386", "macos": "darwin"}
_SYSTEMS: Final = frozenset({"aix", "android", "darwin", "dragonfly", "freebsd", "illumos", "linux", "netbsd", "openbsd", "plan9", "solaris", "wasip1", "windows"})
_ARCHITECTURES: Final = frozenset({"386", "amd64", "arm", "arm64", "loong64", "mips64", "mips64le", "ppc64", "ppc64le", "riscv64", "s390x", "wasm"})


def parse_platform(text: str) -> tuple[str, str] | None:
    """Return system and architecture, the other filled in where only one is named; None if *text* is no platform."""
    parts = [_ALIASES.get(part.lower(), part.lower()) for part in text.split("/")]
    if not 1 <= len(parts) <= 3 or not all(map(_PART.fullmatch, parts)):
        return None
    if len(parts) > 1:
        return parts[0], parts[1]
    if parts[0] in _SYSTEMS:
        return parts[0], "amd64"
    return ("linux", parts[0]) if parts[0] in _ARCHITECTURES else None
