"""What the learner sees: words, and colours where there is a terminal that wants them."""

from __future__ import annotations

import os
import shutil
import sys
import textwrap

__all__ = ["bold", "dim", "green", "red", "say", "sentence_of", "wrap"]


def say(text: str = "") -> None:
    """Print a line; characters that the terminal cannot show become question marks."""
    encoding = sys.stdout.encoding or "ascii"
    print(text.encode(encoding, "replace").decode(encoding), flush=True)


def _paint(code: str, text: str) -> str:
    wanted = sys.stdout.isatty() and "NO_COLOR" not in os.environ and os.environ.get("TERM") != "dumb"
    return f"\x1b[{code}m{text}\x1b[0m" if wanted else text


def bold(text: str) -> str:
    """Return *text* for headings."""
    return _paint("1", text)


def dim(text: str) -> str:
    """Return *text* for what is by the way."""
    return _paint("2", text)


def green(text: str) -> str:
    """Return *text* for what is as it should be."""
    return _paint("32", text)


def red(text: str) -> str:
    """Return *text* for what is not."""
    return _paint("31", text)


def sentence_of(test: str) -> str:
    """Return the name of a test as the sentence it is: `test_a_b_c` reads "a b c"."""
    return test.removeprefix("test_").replace("_", " ")


def wrap(text: str, indent: str = "") -> str:
    """Return prose in lines that fit the terminal, of at most 100 characters; indented lines stay as they are."""
    width = max(40, min(100, shutil.get_terminal_size().columns))
    paragraphs: list[str] = []
    for line in text.strip().splitlines():
        if line.startswith((" ", "\t")) or not line.strip():
            paragraphs.append(indent + line if line.strip() else "")
        else:
            paragraphs.append(textwrap.fill(line, width, initial_indent=indent, subsequent_indent=indent))
    return "\n".join(paragraphs)
