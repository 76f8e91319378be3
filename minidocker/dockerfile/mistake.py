"""A mistake in a Dockerfile: what is wrong, where it stands, and what was probably meant.

The first line of the message is BuildKit's, word for word where BuildKit has one, because people search for it; then come the
line with a caret under the culprit. Whoever finds a mistake names the culprit's text; its column is looked up here, so that
the parser keeps no books for the case that goes well. Pure. Chapter 9.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from minidocker.dockerfile.text import NO_SPAN, Span
from minidocker.errors import InvalidParameter

__all__ = ["DockerfileError", "find_close", "find_suggestion", "locate", "render_excerpt"]


class DockerfileError(InvalidParameter):
    """What stands in a Dockerfile cannot be understood or carried out."""

    def __init__(self, message: str, *, hint: str = "", culprit: str = "") -> None:
        """Keep what is wrong; *culprit* is the text to point at, as it was written."""
        super().__init__(_readable(message), hint=_readable(hint))
        self.culprit = culprit
        self.span = NO_SPAN
        self.column = 0
        """Counted from 1; 0 while the place is not known."""


def _readable(text: str) -> str:
    """Return *text* without the bytes that were no UTF-8: a message must be able to travel."""
    return text if text.isascii() else text.encode("utf-8", "replace").decode()


def locate(
    error: DockerfileError, span: Span, lines: Sequence[str], *, prefix: str = "dockerfile parse error on line {line}: ",
    file: str = "Dockerfile",
) -> DockerfileError:  # fmt: skip
    """Give *error* its place in *lines*, unless it has one; *prefix* comes before the message, *file* names the place.

    From here on the message has everything: hint and excerpt travel with it to clients that show nothing else.
    """
    if not error.column:
        error.span = span
        line, column = _find_culprit(error.culprit, span, lines)
        error.column = column
        excerpt = render_excerpt(lines, line, column, max(1, len(error.culprit)), file=file)
        error.message, error.hint = f"{prefix.format(line=span.first)}{error}\n{excerpt}", ""
    return error


def render_excerpt(lines: Sequence[str], line: int, column: int, width: int = 1, *, file: str = "Dockerfile") -> str:
    """Return place, line and caret; nothing of a line longer than a screen is shown that is far from the caret."""
    text = lines[line - 1] if 0 < line <= len(lines) else ""
    start = max(0, column - 60)
    shown = "".join(character if character.isprintable() else " " for character in text[start : start + 120])
    carets = "^" * max(1, min(width, len(shown) - (column - 1 - start)))
    margin = " " * len(str(line))
    return f"{file}:{line}:{column}\n {line} | {shown}\n {margin} | {' ' * (column - 1 - start)}{carets}"


def _find_culprit(culprit: str, span: Span, lines: Sequence[str]) -> tuple[int, int]:
    """Return line and column of *culprit*, or of the first thing in the span if it is not there as such (it was folded)."""
    for number in range(max(1, span.first), min(span.last, len(lines)) + 1):
        at = lines[number - 1].find(culprit) if culprit else -1
        if at >= 0:
            return number, at + 1
    first = lines[span.first - 1] if 0 < span.first <= len(lines) else ""
    return max(1, span.first), len(first) - len(first.lstrip()) + 1


def find_suggestion(word: str, known: Iterable[str]) -> str:
    """Return the one of *known* that *word* probably was to be, as a question; nothing if none is near."""
    close = find_close({name.lower(): name for name in known}, word.lower())
    return f"did you mean {close}?" if close else ""


def find_close(known: Mapping[str, str], word: str) -> str:
    """Return the value of the key that is within two typing errors of *word*; nothing if none is, or if one is *word*."""
    errors, name = min(((_count_errors(word, key), key) for key in known), default=(3, ""))
    return known[name] if 0 < errors < 3 else ""


def _count_errors(one: str, other: str) -> int:
    """Return how many letters must be added, dropped or changed (Levenshtein's distance); beyond 3 it does not matter."""
    if abs(len(one) - len(other)) > 2:
        return 3
    row = list(range(len(other) + 1))
    for i, left in enumerate(one, 1):
        diagonal, row[0] = row[0], i
        for j, right in enumerate(other, 1):
            diagonal, row[j] = row[j], min(row[j] + 1, row[j - 1] + 1, diagonal + (left != right))
    return row[-1]
