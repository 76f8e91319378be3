"""What follows an instruction's name: flags, and then a JSON array, words, or the rest of the line as it is.

Rule: which of the three it is depends on the instruction, see `Shape`. An array that is not JSON (single quotes!) is silently
taken as words or as a line, because a shell command may begin with a bracket; only an array of anything but texts is an error.
Nothing is expanded here, and words keep their quotes. Pure. See the Dockerfile reference, "Shell and exec form". Chapter 9.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum, auto
from functools import cache
from typing import Final

from minidocker.dockerfile.mistake import DockerfileError
from minidocker.dockerfile.text import SPACE, render_quoted

__all__ = ["SHAPES", "Arguments", "Shape", "parse_json_words", "split_instruction", "split_words"]

BLANK: Final = "\t\v\f\r "
"""What separates words where quotes mean nothing."""

_SPLIT_BLANK: Final = re.compile(f"[{BLANK}]+")
_SPLIT_SPACE: Final = re.compile(f"[{SPACE}]+")
_EASY_FLAG: Final = re.compile(rf"""(--[^{SPACE}'"\\`]+)(?:[{SPACE}]+|\Z)""")


class Shape(Enum):
    """How the text behind an instruction's name is read."""

    LINE = auto()
    """One argument: the whole rest."""
    JSON_OR_LINE = auto()
    WORDS = auto()
    """Separated by blanks; quotes mean nothing."""
    JSON_OR_WORDS = auto()
    PAIRS = auto()
    """`name=value …`, or in the old form `name rest of the line`."""
    QUOTED_WORDS = auto()
    """Separated by blanks that are not quoted."""
    HEALTHCHECK = auto()
    """A type, then JSON or a line."""
    TRIGGER = auto()
    """Another instruction."""


SHAPES: Final[Mapping[str, Shape]] = {
    "ADD": Shape.JSON_OR_WORDS, "ARG": Shape.QUOTED_WORDS, "CMD": Shape.JSON_OR_LINE, "COPY": Shape.JSON_OR_WORDS,
    "ENTRYPOINT": Shape.JSON_OR_LINE, "ENV": Shape.PAIRS, "EXPOSE": Shape.WORDS, "FROM": Shape.WORDS,
    "HEALTHCHECK": Shape.HEALTHCHECK, "LABEL": Shape.PAIRS, "MAINTAINER": Shape.LINE, "ONBUILD": Shape.TRIGGER,
    "RUN": Shape.JSON_OR_LINE, "SHELL": Shape.JSON_OR_LINE, "STOPSIGNAL": Shape.LINE, "USER": Shape.LINE,
    "VOLUME": Shape.JSON_OR_WORDS, "WORKDIR": Shape.LINE,
}  # fmt: skip
"""The 18 instructions."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Arguments:
    """What follows an instruction's name, split."""

    words: tuple[str, ...] = ()
    """For `Shape.PAIRS` name and value in turn."""
    flags: tuple[str, ...] = ()
    """As written, without quotes: `--chown=app`."""
    is_json: bool = False
    is_legacy: bool = False
    """ENV or LABEL without `=`."""
    trigger: tuple[str, Arguments] | None = None
    """Behind ONBUILD: a name and its arguments."""
    rest: str = ""
    """Everything behind the flags."""


def split_instruction(line: str, escape: str) -> tuple[str, Arguments]:
    """Return the name that *line* begins with, and its arguments.

    Raises:
        DockerfileError: ENV or LABEL without a value, or an array of anything but texts.
    """
    name, *rest = _SPLIT_BLANK.split(line.strip(SPACE), maxsplit=1)
    if not rest:
        return name, Arguments()
    text = rest[0]
    flags: tuple[str, ...] = ()
    if text.startswith("--"):
        flags, text = _take_flags(text, escape)
    text = text.strip(SPACE)
    match SHAPES.get(name.upper()) if text else None:
        case Shape.LINE:
            return name, Arguments(words=(text,), flags=flags, rest=text)
        case Shape.JSON_OR_LINE | Shape.JSON_OR_WORDS as shape:
            json_words = parse_json_words(text)
            if json_words is not None:
                return name, Arguments(words=json_words, flags=flags, is_json=True, rest=text)
            words = (text,) if shape is Shape.JSON_OR_LINE else tuple(_SPLIT_BLANK.split(text))
            return name, Arguments(words=words, flags=flags, rest=text)
        case Shape.WORDS:
            return name, Arguments(words=tuple(_SPLIT_BLANK.split(text)), flags=flags, rest=text)
        case Shape.QUOTED_WORDS:
            return name, Arguments(words=split_words(text, escape), flags=flags, rest=text)
        case Shape.PAIRS:
            words, is_legacy = _split_pairs(name.upper(), text, escape)
            return name, Arguments(words=words, flags=flags, is_legacy=is_legacy, rest=text)
        case Shape.HEALTHCHECK:
            kind, *command = _SPLIT_SPACE.split(text, maxsplit=1)
            json_words = parse_json_words(command[0]) if command else None
            words = (kind, *(command if json_words is None else json_words))
            return name, Arguments(words=words, flags=flags, is_json=json_words is not None, rest=text)
        case Shape.TRIGGER:
            return name, Arguments(flags=flags, trigger=split_instruction(text, escape), rest=text)
    return name, Arguments(flags=flags, rest=text)


def _take_flags(text: str, escape: str) -> tuple[tuple[str, ...], str]:
    """Return the words at the start of *text* that begin with `--`, and what follows; a bare `--` ends them."""
    flags: list[str] = []
    at = 0
    while text.startswith("--", at):
        match = _EASY_FLAG.match(text, at)
        if match:
            flag, at = match[1], match.end()
        else:
            flag, at = _take_hard_flag(text, at, escape)
        if flag == "--":
            break
        flags.append(flag)
    return tuple(flags), text[at:]


def _take_hard_flag(text: str, at: int, escape: str) -> tuple[str, int]:
    """Return one flag with quotes or escapes in it, and where the next word begins."""
    characters: list[str] = []
    quote = ""
    while at < len(text):
        character = text[at]
        at += 1
        if character == escape:
            characters.append(text[at : at + 1])
            at += 1
        elif character == quote:
            quote = ""
        elif quote:
            characters.append(character)
        elif character in "'\"":
            quote = character
        elif character in SPACE:
            break
        else:
            characters.append(character)
    while at < len(text) and text[at] in SPACE:
        at += 1
    return "".join(characters), at


@cache
def _word_pattern(escape: str) -> re.Pattern[str]:
    """Return what a word is: anything but blanks, and blanks that are escaped or in quotes."""
    e = re.escape(escape)
    return re.compile(rf"""(?:[^{SPACE}'"{e}]+|{e}.|'[^']*'?|"(?:[^"{e}]+|{e}.)*"?)+""", re.DOTALL)


def split_words(text: str, escape: str = "\\") -> tuple[str, ...]:
    """Return the words of *text*, their quotes and escapes still in them."""
    if "'" in text or '"' in text or escape in text or not text.isprintable():
        return tuple(_word_pattern(escape).findall(text))
    return tuple(text.split())


def _split_pairs(name: str, text: str, escape: str) -> tuple[tuple[str, ...], bool]:
    words = split_words(text, escape)
    if words and "=" not in words[0]:
        parts = _SPLIT_BLANK.split(text, maxsplit=1)
        if len(parts) < 2:
            raise DockerfileError(f"{name} must have two arguments", culprit=text)
        return tuple(parts), True
    pairs: list[str] = []
    for word in words:
        key, equals, value = word.partition("=")
        if not equals:
            problem = f"Syntax error - can't find = in {render_quoted(word)}. Must be of the form: name=value"
            raise DockerfileError(problem, culprit=word)
        pairs += key, value
    return tuple(pairs), False


def _refuse_constant(name: str) -> None:
    raise ValueError(f"{name} is not JSON")


_DECODER: Final = json.JSONDecoder(parse_int=str.encode, parse_float=str.encode, parse_constant=_refuse_constant)
"""Numbers are wrong here anyway; as bytes they cost nothing, however many digits they have."""


def parse_json_words(text: str) -> tuple[str, ...] | None:
    """Return the texts of a JSON array, or None if *text* is none.

    Raises:
        DockerfileError: an array with something else in it.
    """
    if not text.startswith("["):
        return None
    try:
        values = _DECODER.decode(text)
    except (ValueError, RecursionError):
        return None
    for value in values:
        if not isinstance(value, str):
            raise DockerfileError("when using JSON array syntax, arrays must be comprised of strings only", culprit=text)
    return tuple(value.encode("utf-16", "surrogatepass").decode("utf-16", "replace") if not value.isascii() else value for value in values)
