r"""From text to statements: directives, comments, continued lines and heredocs.

A Dockerfile has lines, not tokens: what a line's rest means depends on its first word. Rules that surprise:

- directives (`# escape=…`) end at the first line that is anything else, even an empty one;
- a line is continued by an escape character at its end that is not itself escaped; blanks may follow it;
- lines that are a comment, or empty, vanish from the middle of a continued line; `#` later in a line is an ordinary character;
- blanks in front of a line vanish, those in front of a continuation stay;
- a heredoc's lines are taken as they are, up to one that is its delimiter and nothing else.

Pure. See the Dockerfile reference, "Format", "Parser directives" and "Here-Documents". Chapter 9.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final

from minidocker.dockerfile.expand import expand
from minidocker.dockerfile.instructions import Directives, Heredoc
from minidocker.dockerfile.mistake import DockerfileError, locate
from minidocker.dockerfile.text import SPACE, Span
from minidocker.dockerfile.words import Arguments, split_instruction, split_words

__all__ = ["MAX_LINE_BYTES", "Statement", "parse_heredoc_mark", "read_directives", "read_statements", "split_lines"]

MAX_LINE_BYTES: Final = 64 * 1024 - 1
"""BuildKit reads no longer line (it is the default of Go's `bufio.Scanner`), so nobody has one."""

_DIRECTIVE: Final = re.compile(r"([a-zA-Z][a-zA-Z0-9]*)\s*=\s*(.+?)\s*", re.ASCII)
_HEREDOC: Final = re.compile(r"(\d*)<<(-?)\s*([^<]*)", re.ASCII)
_PLAIN_NAME: Final = re.compile(r"[A-Za-z0-9_.]+")
_HARD_LINE: Final = re.compile(r"""['"\\$]|<<-?\s""")
_CONTINUED: Final = {
    "\\": re.compile(r"(?:(?<=[^\\])|^)\\[ \t]*\Z"),
    "`": re.compile(r"(?:(?<=[^`])|^)`[ \t]*\Z"),
}
_HEREDOC_HOSTS: Final = frozenset({"add", "copy", "run"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Statement:
    """One instruction before anybody asks what it means."""

    name: str
    """As it was written."""
    arguments: Arguments
    heredocs: tuple[Heredoc, ...]
    text: str
    """The joined line."""
    span: Span
    comments: tuple[str, ...]
    """The comments right before it: they may describe a stage or an argument, or switch a lint rule off."""
    gap: int = 0
    """The line after an empty one in the middle, or 0."""


def split_lines(text: str) -> list[str]:
    """Return the lines of *text* without their newlines; carriage returns stay, because a heredoc keeps them."""
    lines = text.removeprefix("\ufeff").split("\n")
    if not lines[-1]:
        lines.pop()
    if len(text) > MAX_LINE_BYTES // 4:
        for number, line in enumerate(lines, 1):
            if len(line) > MAX_LINE_BYTES // 4 and len(line.encode("utf-8", "surrogateescape")) > MAX_LINE_BYTES:
                error = DockerfileError(f"dockerfile line greater than max allowed size of {MAX_LINE_BYTES}")
                raise locate(error, Span(first=number, last=number), lines)
    return lines


def read_directives(lines: Sequence[str]) -> tuple[Directives, int]:
    """Return what the comments at the very top set, and how many lines they are.

    A `#!` line may stand before them; then only `syntax` and `check` count.

    Raises:
        DockerfileError: the same directive twice, or an escape character that is none.
    """
    found: dict[str, str] = {}
    has_interpreter = bool(lines) and lines[0].startswith("#!")
    number = int(has_interpreter)
    for line in lines[has_interpreter:]:
        line = line.strip(SPACE)
        match = _DIRECTIVE.fullmatch(line[1:].lstrip(SPACE)) if line.startswith("#") else None
        name = match[1].lower() if match else ""
        if not match or name not in ("syntax", "escape", "check"):
            break
        number += 1
        span = Span(first=number, last=number)
        if name in found:
            raise locate(DockerfileError(f"only one {name} parser directive can be used", culprit=match[1]), span, lines)
        if name == "escape" and match[2] not in _CONTINUED:
            problem = f"invalid escape token '{match[2]}' does not match ` or \\"
            raise locate(DockerfileError(problem, culprit=match[2]), span, lines)
        found[name] = match[2] if name == "escape" else match[2].partition(" ")[0]
    if has_interpreter:
        found.pop("escape", None)
    return Directives(**found), number


def read_statements(lines: Sequence[str], escape: str, *, start: int = 0) -> Iterator[Statement]:
    """Yield the instructions in *lines* from *start*, one after the other.

    Raises:
        DockerfileError: an instruction whose form is wrong whatever it means, or a heredoc without its end.
    """
    at, count = start, len(lines)
    comments: list[str] = []
    continued = _CONTINUED[escape]
    may_continue = (escape, " ", "\t")
    while at < count:
        line = lines[at].lstrip(SPACE).rstrip("\r")
        at += 1
        if not line:
            continue
        if line[0] == "#":
            comment = line[1:].strip(SPACE)
            comments = [*comments, comment] if comment else []
            continue
        first, gap = at, 0
        if line.endswith(may_continue) and (match := continued.search(line)):
            line, at, gap = _read_continuation(lines, at, line[: match.start()], continued)
        try:
            name, arguments = split_instruction(line, escape)
            heredocs: tuple[Heredoc, ...] = ()
            if "<<" in line and not arguments.is_json and _hosts_heredocs(name, arguments):
                heredocs, at = _read_heredocs(line, lines, at)
        except DockerfileError as error:
            raise locate(error, Span(first=first, last=at), lines) from error.__cause__
        yield Statement(
            name=name, arguments=arguments, heredocs=heredocs, text=line.strip(SPACE), span=Span(first=first, last=at),
            comments=tuple(comments), gap=gap,
        )  # fmt: skip
        if comments:
            comments = []


def _read_continuation(lines: Sequence[str], at: int, start: str, continued: re.Pattern[str]) -> tuple[str, int, int]:
    """Return the whole line that begins with *start*, where the next one begins, and the number of the last one if a gap was in it."""
    parts, has_gap = [start], False
    while at < len(lines):
        line = lines[at].rstrip("\r")
        at += 1
        bare = line.lstrip(SPACE)
        if not bare:
            has_gap = True
        elif bare[0] != "#":
            match = continued.search(line)
            parts.append(line[: match.start()] if match else line)
            if not match:
                break
    return "".join(parts), at, at if has_gap else 0


def _hosts_heredocs(name: str, arguments: Arguments) -> bool:
    name = name.lower()
    if name == "onbuild" and arguments.trigger:
        trigger_name, trigger = arguments.trigger
        return trigger_name.lower() in _HEREDOC_HOSTS and not trigger.is_json
    return name in _HEREDOC_HOSTS


def parse_heredoc_mark(word: str) -> Heredoc | None:
    """Return the heredoc, yet without content, that *word* announces.

    A delimiter of which any part is quoted keeps variables in the content as they are.
    """
    match = _HEREDOC.fullmatch(word)
    if match is None or not match[3]:
        return None
    number, strip_tabs = int(match[1][:9] or 0), bool(match[2])
    if _PLAIN_NAME.fullmatch(match[3]):
        return Heredoc(name=match[3], content="", strip_tabs=strip_tabs, descriptor=number)
    names = expand(match[3], {}, keep_unset=True).words
    if len(names) != 1:
        return None
    raw = "".join(expand(match[3], {}, keep_unset=True, raw_quotes=True).words)
    quoted = raw.count("'") + raw.count('"') != names[0].count("'") + names[0].count('"')
    return Heredoc(name=names[0], content="", expand=not quoted, strip_tabs=strip_tabs, descriptor=number)


def _split_marks(line: str) -> tuple[str, ...]:
    """Return the words of *line* as a shell has them, quotes and all; blanks do not part `<<` from its delimiter."""
    if _HARD_LINE.search(line):
        return expand(line, {}, raw_quotes=True, raw_escapes=True, keep_unset=True).words
    return split_words(line)


def _read_heredocs(line: str, lines: Sequence[str], at: int) -> tuple[tuple[Heredoc, ...], int]:
    """Return the heredocs that *line* announces, read from *lines*, and where the next instruction begins."""
    try:
        words = _split_marks(line)
    except DockerfileError:
        return (), at  # a quote that is not closed: the shell may know better, or complains itself
    found: list[Heredoc] = []
    for word in words:
        mark = parse_heredoc_mark(word)
        if mark is None:
            continue
        start = at
        while at < len(lines):
            line = lines[at].rstrip("\r")
            at += 1
            if (line.lstrip("\t") if mark.strip_tabs else line) == mark.name:
                break
        else:
            raise DockerfileError("unterminated heredoc", hint=f"end it with a line that is only `{mark.name}`", culprit=word)
        content = "".join(f"{text}\n" for text in lines[start : at - 1])
        found.append(
            Heredoc(name=mark.name, content=content, expand=mark.expand, strip_tabs=mark.strip_tabs, descriptor=mark.descriptor)
        )
    return tuple(found), at
