"""Lines become statements."""

from __future__ import annotations

import pytest

from minidocker.dockerfile.instructions import Directives
from minidocker.dockerfile.lexer import MAX_LINE_BYTES, Statement, parse_heredoc_mark, read_directives, read_statements, split_lines
from minidocker.dockerfile.mistake import DockerfileError


def _read(text: str) -> list[Statement]:
    lines = split_lines(text)
    directives, start = read_directives(lines)
    return list(read_statements(lines, directives.escape, start=start))


JOINED = [
    ("RUN a\nRUN b\n", ["RUN a", "RUN b"]),
    ("\ufeffRUN a", ["RUN a"]),
    ("  \t RUN a  \r\n", ["RUN a"]),
    ("RUN a \\\n  b\n", ["RUN a   b"]),
    ("RUN a \\ \t\n  b\n", ["RUN a   b"]),
    ("RUN a \\\\\nRUN b\n", ["RUN a \\\\", "RUN b"]),
    ("RUN a \\\n\\\nb\n", ["RUN a b"]),
    ("RUN a \\\n  # gone\n\n b # stays\n", ["RUN a  b # stays"]),
    ("# RUN a \\\nRUN b\n", ["RUN b"]),
    ("RUN a \\", ["RUN a"]),
    ("\n\n  # c\nRUN a\n", ["RUN a"]),
    ("# escape=`\nRUN a `\n b\\\nRUN c", ["RUN a  b\\", "RUN c"]),
    ("RUN a \\\r\n  b\r\n", ["RUN a   b"]),
]


@pytest.mark.parametrize(("text", "expected"), JOINED, ids=[text for text, _ in JOINED])
def test_lines_are_joined(text: str, expected: list[str]) -> None:
    """An escape character at the end continues a line unless it is escaped; comments and empty lines vanish from within."""
    assert [statement.text for statement in _read(text)] == expected


DIRECTIVES = [
    ("# syntax=docker/dockerfile:1\n# escape=`\nFROM a", Directives(syntax="docker/dockerfile:1", escape="`"), 2),
    ("#ESCAPE = `\nFROM a", Directives(escape="`"), 1),
    ("\n# escape=`\nFROM a", Directives(), 0),
    ("# a comment\n# escape=`\nFROM a", Directives(), 0),
    ("# unknown=1\n# escape=`\nFROM a", Directives(), 0),
    ("# check=skip=JSONArgsRecommended;error=true\n", Directives(check="skip=JSONArgsRecommended;error=true"), 1),
    ("#!/usr/bin/env builder\n# syntax=x\n# escape=`\n", Directives(syntax="x"), 3),
]


@pytest.mark.parametrize(("text", "expected", "lines"), DIRECTIVES, ids=[text for text, *_ in DIRECTIVES])
def test_directives_stand_at_the_very_top(text: str, expected: Directives, lines: int) -> None:
    """The first line that is anything else ends them: from there on they are comments."""
    assert read_directives(split_lines(text)) == (expected, lines)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("# escape=`\n# escape=`\n", "only one escape parser directive can be used"),
        ("# escape=x\n", "invalid escape token 'x' does not match ` or \\"),
        ("# syntax=a\n# check=x\n# Syntax=b\n", "only one syntax parser directive can be used"),
    ],
)
def test_directive_that_is_wrong_is_refused(text: str, message: str) -> None:
    """Two of a kind contradict each other, and any other escape character would occur in ordinary text."""
    with pytest.raises(DockerfileError) as caught:
        read_directives(split_lines(text))
    assert caught.value.message.splitlines()[0].endswith(message)


def test_span_covers_continuations_and_heredocs() -> None:
    """A message can show the whole instruction, and the next one begins after it."""
    statements = _read("FROM a\nRUN b \\\n # c\n d\n\nCOPY <<E /\nx\nE\nRUN f\n")
    assert [(one.span.first, one.span.last) for one in statements] == [(1, 1), (2, 4), (6, 8), (9, 9)]


def test_comments_belong_to_the_next_instruction() -> None:
    """They may describe it or switch a rule off for it; an empty comment keeps them apart."""
    statements = _read("# one\n#\n# two\n\n# three\nFROM a\nRUN b\n")
    assert [statement.comments for statement in statements] == [("two", "three"), ()]


def test_empty_line_within_is_remembered() -> None:
    """BuildKit means to make it an error one day, and warns."""
    assert [statement.gap for statement in _read("RUN a \\\n\n b\nRUN c \\\n # d\n e\n")] == [3, 0]


HEREDOCS = [
    ("RUN <<EOF\na\n  b\nEOF\n", [("EOF", "a\n  b\n", True, False)]),
    ("RUN <<-EOF\n\ta\n\tEOF\n", [("EOF", "\ta\n", True, True)]),
    ("RUN <<'EOF'\n$a\nEOF\n", [("EOF", "$a\n", False, False)]),
    ('RUN <<E"O"F\n$a\nEOF\n', [("EOF", "$a\n", False, False)]),
    ("COPY <<A <<B /\n1\nA\n2\nB\n", [("A", "1\n", True, False), ("B", "2\n", True, False)]),
    ("RUN cat <<EOF > /x && echo\nEOF \nEOF\n", [("EOF", "EOF \n", True, False)]),
    ("RUN <<EOF\na\\\n# b\n\nEOF\n", [("EOF", "a\\\n# b\n\n", True, False)]),
    ("RUN <<EOF\r\na\r\nEOF\r\n", [("EOF", "a\r\n", True, False)]),
    ("ONBUILD COPY <<E /\n1\nE\n", [("E", "1\n", True, False)]),
    ("RUN cat <<< word\n", []),
    ("RUN echo '<<EOF'\n", []),
    ('RUN echo "<<EOF\n', []),
    ("CMD <<EOF\n", []),
    ('RUN ["cat", "<<EOF"]\n', []),
    ("RUN echo $((1 <<2))\n2))\n", [("2))", "", True, False)]),
]


@pytest.mark.parametrize(("text", "expected"), HEREDOCS, ids=[text for text, _ in HEREDOCS])
def test_heredoc_is_read(text: str, expected: list[tuple[str, str, bool, bool]]) -> None:
    """Its lines are taken as they are: no comments, no continuations. Only RUN, COPY and ADD have them, and no array does.

    The last case is a trap: a shift in shell arithmetic behind a blank looks like one, to BuildKit too.
    """
    found = [(one.name, one.content, one.expand, one.strip_tabs) for one in _read(text)[0].heredocs]
    assert found == expected


def test_heredoc_mark_needs_one_word() -> None:
    """`<<` alone is nothing, and a number in front is for the shell."""
    assert parse_heredoc_mark("<<") is None
    assert parse_heredoc_mark("a<<E") is None
    mark = parse_heredoc_mark("3<<-E")
    assert mark is not None
    assert (mark.descriptor, mark.strip_tabs) == (3, True)


def test_heredoc_without_end_is_refused() -> None:
    """It would swallow the rest of the file."""
    with pytest.raises(DockerfileError, match="unterminated heredoc"):
        _read("RUN <<EOF\na\n EOF\n")


def test_line_that_is_too_long_is_refused() -> None:
    """At the length at which BuildKit gives up."""
    assert _read("RUN " + "x" * (MAX_LINE_BYTES - 4))[0].name == "RUN"
    with pytest.raises(DockerfileError, match="line greater than max allowed size of 65535"):
        split_lines("RUN a\nRUN " + "x" * (MAX_LINE_BYTES - 3))
