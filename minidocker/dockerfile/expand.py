"""What a word means: quotes go, escapes are obeyed, variables are replaced. And the instructions that this is done to.

The builder expands, not the parser, because a value is known only when its turn comes. Rules that surprise: a name that is not
set becomes nothing, without an error; inside single quotes nothing happens; one instruction sees the variables as they were
before it; and RUN, CMD, ENTRYPOINT and HEALTHCHECK are left alone, because the shell in the container does it for them.

    word        = { character | escape character | "'" … "'" | '"' … '"' | variable }
    variable    = "$" name | "${" name [ modifier ] "}"
    modifier    = [":"] ("-" | "+" | "?") word | ("#" | "##" | "%" | "%%") pattern | ("/" | "//") pattern "/" word

Pure. See the Dockerfile reference, "Environment replacement", and sh(1), "Parameter expansion". Chapter 9.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Final, TypeVar

from minidocker.dockerfile.instructions import (
    Add, Copy, Env, Expose, From, Heredoc, Instruction, Label, Pair, StopSignal, User, Volume, Workdir,
)  # fmt: skip
from minidocker.dockerfile.mistake import DockerfileError
from minidocker.dockerfile.text import SPACE, render_quoted

__all__ = ["EXPANDED", "Expansion", "expand", "expand_instruction", "expand_word", "expand_words"]

_SPECIAL_NAMES: Final = frozenset("@*#?-$!0")
_PLAIN: Final = re.compile(r"""[^$'"\\`<\s]*""")


@dataclass(frozen=True, slots=True, kw_only=True)
class Expansion:
    """What became of a text, and which names it asked for."""

    text: str
    words: tuple[str, ...]
    """The same, split at blanks that were not quoted; a variable's value is split, too."""
    used: frozenset[str]
    unset: frozenset[str]


def expand_word(word: str, environment: Mapping[str, str], escape: str = "\\") -> str:
    """Return *word* with quotes removed and variables replaced.

    Raises:
        DockerfileError: a quote or brace without its partner, an unknown modifier, or a `?` that says no.
    """
    return word if _PLAIN.fullmatch(word) else expand(word, environment, escape).text


def expand_words(text: str, environment: Mapping[str, str], escape: str = "\\") -> tuple[str, ...]:
    """Return the words that *text* becomes; blanks in a variable's value separate, too."""
    return (text,) if text and _PLAIN.fullmatch(text) else expand(text, environment, escape).words


def expand(
    text: str, environment: Mapping[str, str], escape: str = "\\", *, raw_quotes: bool = False, raw_escapes: bool = False,
    keep_unset: bool = False, quotes: bool = True,
) -> Expansion:  # fmt: skip
    """Return everything that is to be known about *text*.

    *raw_quotes* and *raw_escapes* leave those characters in, *keep_unset* leaves variables that nobody set, and without *quotes*
    they are ordinary characters, as in a heredoc.
    """
    reader = _Reader(
        text=text, environment=environment, escape=escape, raw_quotes=raw_quotes, raw_escapes=raw_escapes, keep_unset=keep_unset,
        quotes=quotes,
    )  # fmt: skip
    try:
        result, words = reader.read_until("")
    except DockerfileError as error:
        error.message = f"failed to process {render_quoted(text)}: {error.message}"
        error.culprit = error.culprit or text
        raise
    return Expansion(text=result, words=words, used=frozenset(reader.used), unset=frozenset(reader.unset))


class _Words:
    """Collects characters into words."""

    def __init__(self) -> None:
        self.done: list[str] = []
        self.word = ""

    def add(self, text: str, *, raw: bool) -> None:
        if raw:
            self.word += text
            return
        for character in text:
            if character not in SPACE:
                self.word += character
            elif self.word:
                self.done.append(self.word)
                self.word = ""

    def finish(self) -> tuple[str, ...]:
        return (*self.done, self.word) if self.word else tuple(self.done)


@dataclass(slots=True, kw_only=True)
class _Reader:
    """Reads one text from left to right; nested words share the position."""

    text: str
    environment: Mapping[str, str]
    escape: str
    raw_quotes: bool
    raw_escapes: bool
    keep_unset: bool
    quotes: bool
    at: int = 0
    depth: int = 0
    used: set[str] = field(default_factory=set)
    unset: set[str] = field(default_factory=set)

    def peek(self) -> str:
        return self.text[self.at : self.at + 1]

    def next(self) -> str:
        character = self.peek()
        self.at += len(character)
        return character

    def read_until(self, stop: str, *, raw_escapes: bool | None = None) -> tuple[str, tuple[str, ...]]:
        """Return what comes before *stop* (nothing: before the end), as text and as words; *stop* is passed."""
        before, self.raw_escapes = self.raw_escapes, self.raw_escapes if raw_escapes is None else raw_escapes
        parts: list[str] = []
        words = _Words()
        while character := self.peek():
            if character == stop:
                self.at += 1
                self.raw_escapes = before
                return "".join(parts), words.finish()
            raw = True
            if character == "$":
                text, raw = self.read_variable(), False
            elif character in "'\"" and self.quotes:
                text = self.read_single() if character == "'" else self.read_double()
            elif character == "<":
                text = self.read_heredoc_mark()
            elif character == self.escape:
                self.at += 1
                escaped = self.next()
                text = character + escaped if self.raw_escapes else escaped
            else:
                self.at += 1
                text, raw = character, False
            parts.append(text)
            words.add(text, raw=raw)
        if stop:
            raise DockerfileError(f"unexpected end of statement while looking for matching {stop}")
        return "".join(parts), words.finish()

    def read_single(self) -> str:
        end = self.text.find("'", self.at + 1)
        if end < 0:
            raise DockerfileError("unexpected end of statement while looking for matching single-quote", culprit=self.text[self.at :])
        quoted = self.text[self.at : end + 1]
        self.at = end + 1
        return quoted if self.raw_quotes else quoted[1:-1]

    def read_double(self) -> str:
        start = self.at
        self.at += 1
        parts: list[str] = []
        while character := self.peek():
            if character == "$":
                parts.append(self.read_variable())
                continue
            self.at += 1
            if character == '"':
                return f'"{"".join(parts)}"' if self.raw_quotes else "".join(parts)
            if character == self.escape:
                if self.raw_escapes:
                    parts.append(character)
                if not self.peek():
                    break
                if self.peek() in ('"', "$", self.escape):
                    character = self.next()
            parts.append(character)
        raise DockerfileError("unexpected end of statement while looking for matching double-quote", culprit=self.text[start:])

    def read_heredoc_mark(self) -> str:
        """Return `<`, or `<<` with the blanks behind it: they do not part the mark from its delimiter."""
        end = self.at + 1
        if self.text[end : end + 1] == "<":
            end += 1
            while self.text[end : end + 1] in ("\t", "\r", " "):
                end += 1
        mark, self.at = self.text[self.at : end], end
        return mark

    def read_name(self) -> str:
        """Return a name; or a number, or one special character, which the shell knows and we do not."""
        start, first = self.at, self.peek()
        if first.isdecimal():
            while self.peek().isdecimal():
                self.at += 1
        elif first and first in _SPECIAL_NAMES:
            self.at += 1
        else:
            while (character := self.peek()) and (character.isalpha() or character.isdecimal() or character == "_"):
                self.at += 1
        return self.text[start : self.at]

    def look_up(self, name: str) -> str | None:
        value = self.environment.get(name)
        (self.unset if value is None else self.used).add(name)
        return value

    def read_variable(self) -> str:
        start = self.at
        self.at += 1
        if self.peek() != "{":
            name = self.read_name()
            if not name:
                return "$"
            value = self.look_up(name)
            return self.text[start : self.at] if value is None and self.keep_unset else value or ""
        self.at += 1
        if self.peek() in ("", "{", "}", ":"):
            problem = "bad substitution" if self.peek() else "missing '}'"
            raise DockerfileError(f"syntax error: {problem}", culprit=self.text[start:])
        self.depth += 1
        if self.depth > _MAX_DEPTH:
            raise DockerfileError(f"variables are nested more than {_MAX_DEPTH} deep", culprit=self.text[start : start + 40])
        value = self.read_braced(self.read_name())
        self.depth -= 1
        return self.text[start : self.at] if value is None else value

    def read_braced(self, name: str) -> str | None:
        """Return what `${name…}` becomes, the reader being behind the name; None is "leave it as it is"."""
        start = self.at
        modifier = self.next()
        if modifier == "}":
            value = self.look_up(name)
            return None if value is None and self.keep_unset else value or ""
        empty_is_unset = modifier == ":"
        if empty_is_unset:
            modifier = self.next()
        written = self.text[start : self.at]
        if not modifier:
            raise DockerfileError("syntax error: missing '}'", culprit=f"${{{name}")
        if modifier == "/" and not empty_is_unset:
            return self.read_replacement(name)
        if modifier not in "+-?#%" or (empty_is_unset and modifier in "#%"):
            raise DockerfileError(f"unsupported modifier ({written}) in substitution", culprit=f"${{{name}{written}")
        word = self.read_operand("}", raw=modifier in "#%" or None)
        value = self.look_up(name)
        if value is None and self.keep_unset:
            return None
        if modifier in "#%":
            greedy = word.startswith(modifier)
            return _trim(value or "", word[greedy:], end=modifier == "%", greedy=greedy)
        missing = value is None or (empty_is_unset and not value)
        if modifier == "?" and missing:
            raise DockerfileError(f"{name}: {word or 'is not allowed to be ' + ('unset' if value is None else 'empty')}")
        if modifier == "+":
            return "" if missing else word
        return word if missing else value

    def read_operand(self, stop: str, *, raw: bool | None, missing: str = "missing '}'") -> str:
        try:
            return self.read_until(stop, raw_escapes=raw)[0]
        except DockerfileError:
            if not self.peek():
                raise DockerfileError(f"syntax error: {missing}", culprit=self.text) from None
            raise

    def read_replacement(self, name: str) -> str | None:
        everywhere = self.peek() == "/"
        self.at += everywhere
        pattern = self.read_operand("/", raw=True, missing="missing '/' in ${}")
        replacement = self.read_operand("}", raw=True)
        value = self.look_up(name)
        if value is None and self.keep_unset:
            return None
        compiled = _compile_pattern(pattern, greedy=True)
        return compiled.sub(lambda _: replacement, value or "", count=0 if everywhere else 1)


_MAX_DEPTH: Final = 50
"""How deep `${a:-${b:-…}}` may go: nobody writes more than three, and each level costs a few calls of Python."""


def _compile_pattern(pattern: str, *, greedy: bool) -> re.Pattern[str]:
    """Return the regular expression for a pattern of `*`, `?` and escaped characters; brackets mean nothing here."""
    parts: list[str] = []
    characters = iter(pattern)
    for character in characters:
        if character == "\\":
            escaped = next(characters, "")
            if escaped not in ("}", "/", "*", "?", "\\"):
                problem = f"invalid pattern ({pattern}) in substitution: invalid escape '\\{escaped}'"
                raise DockerfileError(problem, culprit=pattern)
            parts.append(re.escape(escaped))
        else:
            parts.append({"*": ".*" if greedy else ".*?", "?": "."}.get(character) or re.escape(character))
    return re.compile("".join(parts))


def _trim(value: str, pattern: str, *, end: bool, greedy: bool) -> str:
    """Return *value* without what *pattern* matches at its start, or its *end*: as little as possible, or as much."""
    if not end:
        match = _compile_pattern(pattern, greedy=greedy).match(value)
        return value[match.end() :] if match else value
    compiled = _compile_pattern(pattern, greedy=greedy)
    starts = range(len(value) + 1) if greedy else range(len(value), -1, -1)
    found = next((start for start in starts if compiled.fullmatch(value, start)), None)
    return value if found is None else value[:found]


AnyInstruction = TypeVar("AnyInstruction", bound=Instruction | From)


def expand_instruction(instruction: AnyInstruction, environment: Mapping[str, str], escape: str = "\\") -> AnyInstruction:
    """Return *instruction* as it is to be carried out: every word expanded of which Docker says so.

    `COPY --from` and the commands of RUN, CMD, ENTRYPOINT and HEALTHCHECK stay as they are. So does ARG: a default counts only
    if nobody gave a value, and sees the names before it on the same line; whoever declares it uses `expand_word`. RUN's mounts
    are expanded where they are parsed, by `minidocker.dockerfile.mounts.parse_mounts`.
    """
    changes: dict[str, Any] = {}
    for name in EXPANDED.get(type(instruction), ()):
        changes[name] = _expand_value(getattr(instruction, name), environment, escape)
    if isinstance(instruction, Expose):
        changes["ports"] = tuple(port for text in sorted(instruction.ports) for port in expand_words(text, environment, escape))
    if isinstance(instruction, Add | Copy):
        changes["heredocs"] = tuple(_expand_heredoc(heredoc, environment) for heredoc in instruction.heredocs)
    return replace(instruction, **changes) if changes else instruction


def _expand_value(value: str | tuple[str | Pair, ...], environment: Mapping[str, str], escape: str) -> str | tuple[str | Pair, ...]:
    if isinstance(value, str):
        return expand_word(value, environment, escape)
    return tuple(
        expand_word(one, environment, escape) if isinstance(one, str)
        else Pair(name=expand_word(one.name, environment, escape), value=expand_word(one.value or "", environment, escape))
        for one in value
    )  # fmt: skip


def _expand_heredoc(heredoc: Heredoc, environment: Mapping[str, str]) -> Heredoc:
    """Return a file with its variables replaced; quotes are ordinary characters in it, and the escape is always a backslash."""
    if not heredoc.expand:
        return heredoc
    return replace(heredoc, content=expand(heredoc.body, environment, quotes=False).text, expand=False, strip_tabs=False)


EXPANDED: Final[Mapping[type, tuple[str, ...]]] = {
    Add: ("sources", "destination", "chown", "chmod", "checksum"), Copy: ("sources", "destination", "chown", "chmod"),
    Env: ("pairs",), From: ("image", "platform"), Label: ("pairs",), StopSignal: ("signal",), User: ("user",), Volume: ("paths",),
    Workdir: ("path",),
}  # fmt: skip
"""Fields that are expanded; besides them EXPOSE's, whose words are split again, and the bodies of heredocs."""
