r"""`.dockerignore`: which files of a directory are sent to the builder.

Rules that surprise people who know `.gitignore`:

- patterns are anchored: `foo` is the one at the top, `**/foo` is any; `*` and `?` stop at `/`, `**` does not;
- the last rule that matches wins, over the whole list; a rule that matches a directory matches all below it, but a later
  `!a/b` brings back a part of a directory that is out;
- `#` is a comment only in the first column.

A pattern is Go's: it is checked as `filepath.Match` would and then turned into a regular expression, as Docker does, with all
that follows from it (`[^a]` matches a slash). Decisions go down the tree, each made from that of the directory above, because
that is how Docker's clients walk: a rule that was not asked about a directory, as another had it already, does not hold below it.

Pure: who walks the directory is another's business. See the Dockerfile reference, ".dockerignore file". Chapter 9.
"""

from __future__ import annotations

import posixpath
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from minidocker.dockerfile.mistake import DockerfileError, locate
from minidocker.dockerfile.text import SPACE, Span, render_quoted

__all__ = ["IGNORE_FILE", "IgnoreRule", "Verdict", "compile_pattern", "decide", "has_exception_below", "is_ignored", "keep_build_files", "parse_ignore_file"]

IGNORE_FILE: Final = ".dockerignore"
"""At the top of the context; a file beside the Dockerfile that is called like it with this at its end is taken instead."""


@dataclass(frozen=True, slots=True, kw_only=True)
class IgnoreRule:
    """One line."""

    text: str
    """As it was written."""
    pattern: str
    """In its shortest form, without `!` and leading slash."""
    is_exception: bool
    matcher: re.Pattern[str]
    line: int = 0
    """Counted from 1; 0 for a rule that nobody wrote."""

    def matches(self, path: str) -> bool:
        """Whether the pattern fits *path* itself, leaving aside the directories above it."""
        return self.matcher.fullmatch(path) is not None


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """What the rules say about one path."""

    is_ignored: bool = False
    rule: IgnoreRule | None = None
    """The one that decided; None if none matched."""
    hits: tuple[bool, ...] = ()
    """Per rule whether it holds for all below."""


def parse_ignore_file(source: str | bytes, *, name: str = IGNORE_FILE) -> tuple[IgnoreRule, ...]:
    """Return the rules in *source*, in their order.

    Raises:
        DockerfileError: a pattern that means nothing; with its line and column.
    """
    text = source.decode("utf-8", "surrogateescape") if isinstance(source, bytes) else source
    lines = text.removeprefix("\ufeff").split("\n")
    rules: list[IgnoreRule] = []
    for number, line in enumerate(lines, 1):
        written = line.strip(SPACE)
        if line.startswith("#") or not written:
            continue
        try:
            rules.append(_parse_rule(written, number))
        except DockerfileError as error:
            raise locate(error, Span(first=number, last=number), lines, prefix=f"{name} line {{line}}: ", file=name) from error.__cause__
    return tuple(rules)


def _parse_rule(written: str, line: int) -> IgnoreRule:
    bare = written[1:].strip(SPACE) if written.startswith("!") else written
    pattern = _clean(bare) if bare else ""
    if len(pattern) > 1:
        pattern = pattern.removeprefix("/")
    # Docker cleans again with the mark in front, so that `!/` is `!`, and `!../a` the pattern `a` without any mark
    pattern = _clean(f"!{pattern}" if written.startswith("!") else pattern)
    is_exception = pattern.startswith("!")
    pattern = pattern.removeprefix("!")
    if not pattern:
        raise DockerfileError('illegal exclusion pattern: "!"', hint="name what is to be kept", culprit=written)
    _check_syntax(pattern, written)
    return IgnoreRule(text=written, pattern=pattern, is_exception=is_exception, matcher=compile_pattern(pattern), line=line)


def _clean(path: str) -> str:
    """Return the shortest form of *path*, as Go's `filepath.Clean` has it."""
    clean = posixpath.normpath(path)
    return clean[1:] if clean.startswith("//") else clean


def _check_syntax(pattern: str, written: str) -> None:
    """Refuse what `filepath.Match` refuses: a class without end or without a member, and an escape of nothing."""
    at = 0
    while at < len(pattern):
        if pattern[at] == "[":
            match = _CLASS.match(pattern, at)
            if match is None:
                raise DockerfileError(f"syntax error in pattern {render_quoted(written)}", hint="a `[` stands for itself as `\\[`", culprit=written)
            at = match.end()
        elif pattern[at] == "\\" and at + 1 == len(pattern):
            raise DockerfileError(f"syntax error in pattern {render_quoted(written)}", hint="a backslash needs a character", culprit=written)
        else:
            at += 2 if pattern[at] == "\\" else 1


_MEMBER: Final = r"(?:\\.|[^\\\]-])"
_CLASS: Final = re.compile(rf"\[\^?(?:{_MEMBER}(?:-{_MEMBER})?)+\]", re.DOTALL)


def compile_pattern(pattern: str) -> re.Pattern[str]:
    """Return the regular expression that a pattern stands for.

    Three shapes are not what their characters say: `a**` is everything that begins with `a`, `**a` everything that ends so, and
    `**/a` also the `a` at the top.

    Raises:
        DockerfileError: an escape that regular expressions do not have.
    """
    stars = pattern.find("**")
    special = any(character in pattern for character in "?[]\\") or "*" in pattern.replace("**", "", 1)
    if not special and stars < 0:
        return re.compile(re.escape(pattern))
    if not special and stars == 0:
        rest = re.escape(pattern[2:])
        return re.compile(f"(?:.*{rest}|{rest.removeprefix('/')})" if rest.startswith("/") else f".*{rest}", re.DOTALL)
    if not special and stars > 0 and stars + 2 == len(pattern):
        return re.compile(re.escape(pattern[:stars]) + ".*", re.DOTALL)
    try:
        return re.compile(_render_expression(pattern))
    except (re.error, RecursionError, OverflowError) as error:
        raise DockerfileError(f"syntax error in pattern {render_quoted(pattern)}", culprit=pattern) from error


def _render_expression(pattern: str) -> str:
    parts: list[str] = []
    at, in_class = 0, False
    while at < len(pattern):
        character = pattern[at]
        at += 1
        if character == "*" and pattern.startswith("*", at):
            at += 2 if pattern.startswith("/", at + 1) else 1
            parts.append(".*" if at >= len(pattern) else "(?:.*/)?")
        elif character in "*?":
            opening = r"\[" if in_class else "["  # it ends a class, as nobody looks whether one is open
            parts.append(f"{opening}^/]" + ("*" if character == "*" else ""))
            in_class = False
        elif character == "\\":
            escaped = pattern[at : at + 1]
            parts.append(f"\\{escaped}" if not escaped.isspace() else re.escape(escaped))
            at += 1
        elif character in "[]":
            parts.append(character if character == "]" or not in_class else r"\[")
            in_class = character == "["
        elif character == "^" or (in_class and character not in "&|~"):
            parts.append(character)
        else:
            parts.append(re.escape(character))
    return "".join(parts)


def decide(rules: Sequence[IgnoreRule], path: str, above: Verdict = Verdict()) -> Verdict:
    """Return what *rules* say about *path*, given what they say about the directory it is in.

    *path* is relative to the context, with slashes.
    """
    hits: list[bool] = []
    ignored, decider = False, None
    for index, rule in enumerate(rules):
        hit = bool(above.hits) and above.hits[index]
        if not hit and rule.is_exception == ignored:
            hit = rule.matches(path)
        hits.append(hit)
        if hit:
            ignored, decider = not rule.is_exception, rule
    return Verdict(is_ignored=ignored, rule=decider, hits=tuple(hits))


def is_ignored(rules: Sequence[IgnoreRule], path: str) -> bool:
    """Whether *path* stays behind, the directories above it taken into account."""
    verdict = Verdict()
    parts = path.split("/")
    for depth in range(1, len(parts) + 1):
        verdict = decide(rules, "/".join(parts[:depth]), verdict)
    return verdict.is_ignored


def has_exception_below(rules: Sequence[IgnoreRule], directory: str) -> bool:
    """Whether an exception might bring back something below *directory*; if not, a walk may leave an ignored one out whole.

    What stands before the first wildcard of an exception must agree with *directory*.
    """
    names = directory.split("/")
    for rule in rules:
        if rule.is_exception:
            fixed = re.split(r"[*?\[\\]", rule.pattern, maxsplit=1)[0]
            wild = fixed != rule.pattern
            parts = fixed.split("/")
            known = parts[:-1] if wild else parts
            if known[: len(names)] == names[: len(known)] and (wild or len(known) > len(names)):
                return True
    return False


def keep_build_files(rules: tuple[IgnoreRule, ...], dockerfile: str = "") -> tuple[IgnoreRule, ...]:
    """Return *rules* with exceptions for the files that the builder itself reads, where they are ignored.

    They are sent, and the builder keeps them from COPY: `COPY . /` in a file that ignores itself does not copy it.
    """
    own = (dockerfile, f"{dockerfile}{IGNORE_FILE}") if dockerfile else ()
    names = [name for name in (IGNORE_FILE, *own) if is_ignored(rules, name)]
    return (*rules, *(_parse_rule("!" + re.sub(r"([*?\[\\])", r"\\\1", name), 0) for name in names))
