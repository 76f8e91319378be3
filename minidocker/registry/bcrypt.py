"""bcrypt: a hash that is slow on purpose, so that a stolen password file is of little use.

Pure. Blowfish, whose key schedule is run 2^cost times, encrypts a fixed text. Its tables begin as the hexadecimal digits of π: numbers
that nobody can have chosen to hide something in. Here they are computed (Machin's formula) instead of printed. Verified with the
test vectors of its authors: Provos and Mazières, "A Future-Adaptable Password Scheme", USENIX 1999. Chapter 8.

In Python one try takes 0.1 s at cost 5, which `htpasswd -B` uses, and twice as long for each step more.
"""

from __future__ import annotations

import re
import struct
from functools import cache
from typing import Final

__all__ = ["hash_password", "verify_password"]

_WORDS: Final = 18 + 4 * 256
"""The key array P and four substitution boxes S, of 32 bits each."""
_ALPHABET: Final = "./ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789"
_FORM: Final = re.compile(r"\$(2[aby])\$(\d\d)\$([./A-Za-z0-9]{22})([./A-Za-z0-9]{31})")
_TEXT: Final = struct.unpack(">6I", b"OrpheanBeholderScryDoubt")
_MAX_COST: Final = 14
"""A minute in Python; what asks for more is there to keep us busy."""


@cache
def _pi_words() -> tuple[int, ...]:
    """Return the fractional digits of π in words of 32 bits."""
    bits = 32 * _WORDS + 64

    def arctan_of_inverse(x: int) -> int:
        term, total, divisor, sign = (1 << bits) // x, 0, 1, 1
        while term:
            total += sign * (term // divisor)
            term //= x * x
            divisor, sign = divisor + 2, -sign
        return total

    fraction = 4 * (4 * arctan_of_inverse(5) - arctan_of_inverse(239)) - (3 << bits)
    return tuple((fraction >> (bits - 32 * (i + 1))) & 0xFFFFFFFF for i in range(_WORDS))


def _encipher(p: list[int], s: list[int], left: int, right: int) -> tuple[int, int]:
    """Return one block through the sixteen rounds, two of them in one turn."""
    left ^= p[0]
    for i in range(1, 17, 2):
        right ^= (((s[left >> 24] + s[256 + (left >> 16 & 255)] ^ s[512 + (left >> 8 & 255)]) + s[768 + (left & 255)]) & 0xFFFFFFFF) ^ p[i]
        left ^= (((s[right >> 24] + s[256 + (right >> 16 & 255)] ^ s[512 + (right >> 8 & 255)]) + s[768 + (right & 255)]) & 0xFFFFFFFF) ^ p[i + 1]
    return right ^ p[17], left


def _expand(p: list[int], s: list[int], key: list[int], salt: tuple[int, ...]) -> None:
    """Mix *key* into the key array, and the result and *salt* through everything."""
    for i, word in enumerate(key):
        p[i] ^= word
    left = right = turn = 0
    for table in (p, s):
        for i in range(0, len(table), 2):
            left, right = _encipher(p, s, left ^ salt[turn], right ^ salt[turn + 1])
            table[i], table[i + 1] = left, right
            turn = (turn + 2) % len(salt)


def hash_password(password: bytes, salt: bytes, cost: int) -> bytes:
    """Return the 23 bytes that are compared; *salt* has 16, and of *password* 72 count."""
    words = _pi_words()
    p, s = list(words[:18]), list(words[18:])
    key = _key_words(password[:72] + b"\0")
    salt_words = struct.unpack(">4I", salt)
    _expand(p, s, key, salt_words)
    salt_key = _key_words(salt)
    for _ in range(1 << cost):
        _expand(p, s, key, (0, 0))
        _expand(p, s, salt_key, (0, 0))
    text = list(_TEXT)
    for i in range(0, 6, 2):
        for _ in range(64):
            text[i], text[i + 1] = _encipher(p, s, text[i], text[i + 1])
    return struct.pack(">6I", *text)[:23]


def _key_words(key: bytes) -> list[int]:
    """Return *key*, repeated, as the 18 words of the key array."""
    repeated = (key * (72 // len(key) + 1))[:72]
    return list(struct.unpack(">18I", repeated))


def _decode(text: str) -> bytes:
    """Return the bytes of bcrypt's own base64."""
    number = 0
    for letter in text:
        number = number << 6 | _ALPHABET.index(letter)
    spare = len(text) * 6 % 8
    return (number >> spare).to_bytes(len(text) * 6 // 8, "big")


def verify_password(password: bytes, hashed: str) -> bool:
    """Whether *password* is the one of *hashed*, such as `$2y$05$…`; false for another form, or a cost out of all proportion."""
    match = _FORM.fullmatch(hashed)
    if match is None or not 4 <= int(match[2]) <= _MAX_COST:
        return False
    return hash_password(password, _decode(match[3]), int(match[2])) == _decode(match[4])
