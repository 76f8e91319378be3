"""Errors that point at their cause."""

from __future__ import annotations

import pytest

from minidocker.dockerfile.text import Span
from minidocker.dockerfile.mistake import DockerfileError, find_suggestion, locate, render_excerpt


def test_error_shows_line_and_caret() -> None:
    """The first line is BuildKit's, which people search for; below it stands the place."""
    error = locate(DockerfileError("unknown flag: --form", hint="did you mean from?", culprit="--form"), Span(first=2, last=3), ["FROM a", "COPY \\", "  --form=b c d"])
    assert str(error) == (
        "dockerfile parse error on line 2: unknown flag: --form (did you mean from?)\n"
        "Dockerfile:3:3\n"
        " 3 |   --form=b c d\n"
        "   |   ^^^^^^"
    )  # fmt: skip
    assert (error.span, error.column) == (Span(first=2, last=3), 3)


def test_error_keeps_the_first_place_it_got() -> None:
    """Whoever knows best comes first: the lexer before the parser, the parser before the builder."""
    error = locate(DockerfileError("x", culprit="b"), Span(first=1, last=1), ["a b"])
    assert locate(error, Span(first=9, last=9), []).span.first == 1


def test_culprit_that_was_folded_gives_the_line() -> None:
    """A word that a continuation cut in two stands nowhere as such: the instruction is pointed at."""
    error = locate(DockerfileError("x", culprit="ab"), Span(first=1, last=2), ["  RUN a\\", "b"])
    assert error.message.partition("\n")[2] == "Dockerfile:1:3\n 1 |   RUN a\\\n   |   ^^"


def test_excerpt_of_a_long_line_is_cut_around_the_caret() -> None:
    """A line of 60,000 letters would hide what it is about; control characters and stray bytes would garble the terminal."""
    excerpt = render_excerpt(["x" * 5000 + "\x1b\udcff" + "y" * 5000], 1, 5001)
    assert max(map(len, excerpt.splitlines())) < 130
    assert "\x1b" not in excerpt
    assert excerpt.encode()


def test_message_can_travel() -> None:
    """A file that is no UTF-8 still gives a message that is."""
    assert str(DockerfileError("unknown instruction: \udcff")).encode() == b"unknown instruction: ?"


@pytest.mark.parametrize(
    ("word", "expected"), [("RUNN", "did you mean RUN?"), ("cpoy", "did you mean COPY?"), ("run", ""), ("XYZW", ""), ("", ""), ("r" * 10_000, "")]
)
def test_suggestion_is_at_most_two_typing_errors_away(word: str, expected: str) -> None:
    """Farther off it would be a guess; and a word that is right is not what was wrong."""
    assert find_suggestion(word, ("RUN", "COPY", "ENTRYPOINT")) == expected
