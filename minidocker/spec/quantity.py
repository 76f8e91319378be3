"""Quantities as people type them: sizes (`64m`) and durations (`1m30s`).

Pure. Sizes count in 1024, with or without the `i`; durations are Go's, in nanoseconds. Chapter 14.
"""

from __future__ import annotations

__all__ = ["parse_bytes", "parse_duration_ns"]

_BINARY = "kmgtp"
_MAX = 2**63 - 1
"""Go keeps both in 64 bits."""
_DURATION_NS = {
    "ns": 1, "us": 1_000, "µs": 1_000, "μs": 1_000, "ms": 1_000_000, "s": 1_000_000_000, "m": 60_000_000_000, "h": 3_600_000_000_000,
}  # fmt: skip


def parse_bytes(text: str) -> int:
    """Return the bytes that *text* means: a number with `b k m g t p`, `kb` or `kib`; letters count in 1024.

    Raises:
        ValueError: not a number, negative, beyond 64 bits or an unknown suffix.
    """
    digits = len(text)
    while digits and not (text[digits - 1].isdigit() or text[digits - 1] == "."):
        digits -= 1
    number, suffix = text[:digits], text[digits:].strip().lower()
    try:
        value = float(number)
    except ValueError:
        raise ValueError(f"invalid size: '{text}'") from None
    if suffix not in ("", "b"):
        if suffix[0] not in _BINARY or suffix[1:] not in ("", "b", "ib"):
            raise ValueError(f"invalid suffix: '{suffix}'")
        value *= 1024 ** (_BINARY.index(suffix[0]) + 1)
    if not 0 <= value <= _MAX:
        raise ValueError(f"invalid size: '{text}'")
    return int(value)


def parse_duration_ns(text: str) -> int:
    """Return the nanoseconds of a Go duration: numbers with units, such as `1h2m3.5s`; `0` needs none.

    Raises:
        ValueError: no number, no unit or an unknown one, or beyond 64 bits.
    """
    rest = text[1:] if text[:1] in ("-", "+") else text
    if rest == "0":
        return 0
    if not rest:
        raise ValueError(f'time: invalid duration "{text}"')
    total = 0.0
    while rest:
        digits = _span(rest, "0123456789.")
        letters = digits + _span_until(rest[digits:], "0123456789.")
        number, unit = rest[:digits], rest[digits:letters]
        if not number.strip(".") or number.count(".") > 1:
            raise ValueError(f'time: invalid duration "{text}"')
        if not unit:
            raise ValueError(f'time: missing unit in duration "{text}"')
        if unit not in _DURATION_NS:
            raise ValueError(f'time: unknown unit "{unit}" in duration "{text}"')
        total += float(number) * _DURATION_NS[unit]
        rest = rest[letters:]
    if total > _MAX:
        raise ValueError(f'time: invalid duration "{text}"')
    return -round(total) if text.startswith("-") else round(total)


def _span(text: str, letters: str) -> int:
    return len(text) - len(text.lstrip(letters))


def _span_until(text: str, letters: str) -> int:
    return next((index for index, letter in enumerate(text) if letter in letters), len(text))
