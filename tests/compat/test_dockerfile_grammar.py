"""The same acceptance and the same words as the official parser, which the package `dockerfile` of PyPI carries (Go, from BuildKit).

It reads instructions without asking what they mean, so it is compared with `read_statements`. It is older than BuildKit's newest;
`KNOWN_DIFFERENCES` says where we follow that, or where it is wrong.
"""

from __future__ import annotations

import re
from typing import NamedTuple

import pytest
from hypothesis import example, given, settings

from minidocker.dockerfile.lexer import read_directives, read_statements, split_lines
from minidocker.dockerfile.mistake import DockerfileError
from minidocker.dockerfile.words import SHAPES
from tests.unit.dockerfile.fragments import TEXTS

official = pytest.importorskip("dockerfile", reason="needs the official parser: pip install dockerfile")


class Line(NamedTuple):
    """One instruction as both have it."""

    name: str
    trigger: str
    is_json: bool
    span: tuple[int, int]
    flags: tuple[str, ...]
    words: tuple[str, ...]
    heredocs: tuple[tuple[str, int, str], ...]
    """Those of ONBUILD are left out: the package does not show them, though it reads over them."""


KNOWN_DIFFERENCES = {
    "text behind an array": (
        re.compile(r"\[.*\][ \t]*[^\s]", re.DOTALL),
        "it takes `CMD [\"a\"] b` for an array and drops ` b`; today's BuildKit takes the whole for a shell's line",
    ),
    "blank before a heredoc's name": (re.compile(r"<<-?[ \t\v\f\r]"), "to today's BuildKit `<< EOF` is a heredoc, as it is to a shell"),
    "the backtick as escape in a flag": (re.compile(r"#\s*escape\s*=\s*`.*--", re.DOTALL), "it knows only the backslash there"),
    "the directive `check`": (re.compile(r"#\s*check", re.IGNORECASE), "it does not know it yet: to it the line is a comment, and ends the directives"),
    "a null byte": (re.compile("\0"), "it ends the text: the package hands it over as a string of C"),
    "letters beyond ASCII in a quoted or escaped flag": (
        re.compile(r"--.*[^\x00-\x7f]", re.DOTALL), "it reads flags byte by byte and garbles them",
    ),
}  # fmt: skip
"""Name → (texts that may differ, why)."""


def _read_ours(text: str) -> list[Line] | None:
    """Return what we read, or None if it is refused."""
    try:
        lines = split_lines(text)
        directives, start = read_directives(lines)
        statements = list(read_statements(lines, directives.escape, start=start))
    except DockerfileError:
        return None
    return [
        Line(
            name=one.name, trigger=one.arguments.trigger[0].lower() if one.arguments.trigger else "", is_json=one.arguments.is_json,
            span=(one.span.first, one.span.last), flags=one.arguments.flags, words=one.arguments.words,
            heredocs=() if one.arguments.trigger else tuple((heredoc.name, heredoc.descriptor, heredoc.content) for heredoc in one.heredocs),
        )
        for one in statements
    ] or None  # fmt: skip


def _read_theirs(text: str) -> list[Line] | None:
    try:
        commands = official.parse_string(text)
    except official.GoParseError:
        return None
    return [
        Line(
            name=one.cmd or "", trigger=(one.sub_cmd or "").lower(), is_json=one.json, span=(one.start_line, one.end_line), flags=one.flags,
            words=one.value if (one.cmd or "").upper() in SHAPES and not one.sub_cmd else (),
            heredocs=tuple((heredoc.name, heredoc.file_descriptor, heredoc.content) for heredoc in one.heredocs),
        )
        for one in commands
    ]  # fmt: skip


@settings(max_examples=1500)
@given(TEXTS)
@example("FROM a\nRUN b \\\n# c\n\n  d\nCMD ['e']\n")
@example("# escape=`\nFROM a\nENV b `\n c")
@example('FROM a\nENV b="c\\" d" e=\'f g\' h\\ i=j\nLABEL k l  m\n')
@example("FROM a\nRUN <<A cat <<-'B'\n1\nA\n\t2\n\tB\nONBUILD COPY <<C /\n3\nC\n")
@example("FROM a\nHEALTHCHECK --interval=3s CMD b c\nHEALTHCHECK NONE\n")
def test_any_text_is_read_as_the_official_parser_reads_it(text: str) -> None:
    """Generated texts, well-formed and broken: both refuse, or both find the same names, flags, words, lines and heredocs."""
    ours, theirs = _read_ours(text), _read_theirs(text)
    if ours != theirs and not any(pattern.search(text) for pattern, _ in KNOWN_DIFFERENCES.values()):
        assert ours == theirs, text


DIFFERING = {
    "text behind an array": 'CMD ["a"] b',
    "blank before a heredoc's name": "RUN cat << E\nE",
    "the backtick as escape in a flag": "# escape=`\nCOPY --chown=a` b c d",
    "the directive `check`": "# check=skip=all\n# check=skip=all\nRUN a",
    "a null byte": "RUN a\0b",
    "letters beyond ASCII in a quoted or escaped flag": "COPY --chown='ä' a b",
}


@pytest.mark.parametrize("name", KNOWN_DIFFERENCES)
def test_known_difference_is_still_one(name: str) -> None:
    """An exception that is none any more would hide a mistake."""
    pattern, reason = KNOWN_DIFFERENCES[name]
    assert pattern.search(DIFFERING[name])
    assert _read_ours(DIFFERING[name]) != _read_theirs(DIFFERING[name]), reason
