"""What every part of the language needs to know of a text: what is blank, where something stands, how it is quoted.

Imports nothing of the project, because the client reads ignore files with it, and a client starts fast. Pure. Chapter 9.
"""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["NO_SPAN", "SPACE", "Span", "render_quoted"]

SPACE = "\t\n\v\f\r \x85\xa0\u1680\u2000\u2001\u2002\u2003\u2004\u2005\u2006\u2007\u2008\u2009\u200a\u2028\u2029\u202f\u205f\u3000"
"""What Unicode, and so Go, calls white space; Python's own list has four control characters more."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Span:
    """Lines of a text, counted from 1, both ends included."""

    first: int
    last: int


NO_SPAN = Span(first=0, last=0)
"""Where what was not read from a file stands: the trigger of a base image, a `--change`."""


def render_quoted(text: str) -> str:
    """Return *text* in double quotes on one line, as Docker's messages have it; what is long is cut."""
    short = text if len(text) <= 200 else text[:200] + "…"
    return '"' + short.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n").replace("\t", "\\t") + '"'
