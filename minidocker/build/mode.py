"""`--chmod`: octal digits, or words such as `u=rwX,go-w`.

Pure. See chmod(1); `X` gives the right to execute to directories and to files that somebody may execute already. Chapter 10.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Final

from minidocker.dockerfile.mistake import DockerfileError

__all__ = ["parse_mode"]

_CLAUSE: Final = re.compile(r"([ugoa]*)((?:[-+=](?:[ugo]|[rwxXst]*))+)")
_ACTION: Final = re.compile(r"([-+=])([ugo]|[rwxXst]*)")
_SHIFTS: Final = {"u": 6, "g": 3, "o": 0}
_BITS: Final = {"r": 4, "w": 2, "x": 1}


def parse_mode(text: str) -> Callable[[int, bool], int]:
    """Return a function of a mode, and of whether it is a directory's, that gives the mode after `--chmod=TEXT`.

    Raises:
        DockerfileError: neither digits up to 7777 nor words.
    """
    if not text:
        return lambda mode, _is_directory: mode
    if re.fullmatch(r"[0-7]{1,5}", text) and int(text, 8) <= 0o7777:
        number = int(text, 8)
        return lambda _mode, _is_directory: number
    clauses = [_CLAUSE.fullmatch(clause) for clause in text.split(",")]
    if not all(clauses):
        hint = "octal from 0 to 7777, or words such as u=rwX,go=rX"
        raise DockerfileError(f"invalid chmod parameter: '{text}'. it should be octal string and between 0 and 07777", hint=hint, culprit=text)
    actions = [(m[1] or "a", *action.groups()) for m in clauses if m for action in _ACTION.finditer(m[2])]

    def change(mode: int, is_directory: bool) -> int:
        for who, operator, words in actions:
            mode = _apply(mode, who, operator, words, is_directory=is_directory)
        return mode

    return change


def _apply(mode: int, who: str, operator: str, words: str, *, is_directory: bool) -> int:
    classes = "ugo" if "a" in who else who
    bits = 0
    for name in classes:
        if words in _SHIFTS:  # `g=u`: as that class has it
            value = mode >> _SHIFTS[words] & 7
        else:
            value = sum(_BITS[letter] for letter in set(words) & set(_BITS))
            value |= 1 if "X" in words and (is_directory or mode & 0o111) else 0
        bits |= value << _SHIFTS[name]
        bits |= {"u": 0o4000, "g": 0o2000, "o": 0}[name] if "s" in words else 0
    bits |= 0o1000 if "t" in words else 0
    if operator == "+":
        return mode | bits
    if operator == "-":
        return mode & ~bits
    cleared = sum(7 << _SHIFTS[name] for name in classes) | (0o1000 if "t" in words else 0)
    special = sum({"u": 0o4000, "g": 0o2000, "o": 0}[name] for name in classes) if not is_directory else 0
    return mode & ~(cleared | special) | bits
