"""Sizes, durations and moments as people write and read them.

Pure. Sizes that are typed count in 1024 (`64m`), sizes that are shown count in 1000 (`1.24kB`), as in Docker;
durations are Go's (`1m30s`) in nanoseconds. Chapter 14.
"""

from __future__ import annotations

__all__ = ["parse_bytes", "parse_duration_ns", "parse_timestamp", "render_age", "render_binary_size", "render_size"]

_BINARY = "kmgtp"
_BINARY_WORDS = ("B", "KiB", "MiB", "GiB", "TiB", "PiB", "EiB")
_DECIMAL = ("B", "kB", "MB", "GB", "TB", "PB", "EB")
_DURATION_NS = {
    "ns": 1, "us": 1_000, "µs": 1_000, "μs": 1_000, "ms": 1_000_000, "s": 1_000_000_000, "m": 60_000_000_000, "h": 3_600_000_000_000,
}  # fmt: skip


def parse_bytes(text: str) -> int:
    """Return the bytes that *text* means: a number with `b k m g t p`, `kb` or `kib`; letters count in 1024.

    Raises:
        ValueError: not a number, negative or an unknown suffix.
    """
    digits = len(text)
    while digits and not (text[digits - 1].isdigit() or text[digits - 1] == "."):
        digits -= 1
    number, suffix = text[:digits], text[digits:].strip().lower()
    try:
        value = float(number)
    except ValueError:
        raise ValueError(f"invalid size: '{text}'") from None
    if value < 0:
        raise ValueError(f"invalid size: '{text}'")
    if suffix in ("", "b"):
        return int(value)
    if suffix[0] not in _BINARY or suffix[1:] not in ("", "b", "ib"):
        raise ValueError(f"invalid suffix: '{suffix}'")
    return int(value * 1024 ** (_BINARY.index(suffix[0]) + 1))


def parse_duration_ns(text: str) -> int:
    """Return the nanoseconds of a Go duration: numbers with units, such as `1h2m3.5s`; `0` needs none.

    Raises:
        ValueError: no number, no unit or an unknown one.
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
    return -round(total) if text.startswith("-") else round(total)


def _span(text: str, letters: str) -> int:
    return len(text) - len(text.lstrip(letters))


def _span_until(text: str, letters: str) -> int:
    return next((index for index, letter in enumerate(text) if letter in letters), len(text))


def parse_timestamp(text: str) -> float:
    """Return seconds since 1970 of an RFC 3339 moment as the API writes it; nanoseconds are cut to microseconds."""
    from datetime import datetime

    moment, zone = (text[:-1], "+00:00") if text.endswith("Z") else (text[:-6], text[-6:])
    seconds, dot, fraction = moment.partition(".")
    if dot:
        seconds += "." + fraction[:6].ljust(6, "0")
    return datetime.fromisoformat(seconds + zone).timestamp()


def render_age(seconds: float) -> str:
    """Return *seconds* as Docker words an age: `3 minutes`, `About an hour`."""
    whole, hours = int(seconds), int(seconds / 3600 + 0.5)
    if whole < 1:
        return "Less than a second"
    if whole < 60:
        return "1 second" if whole == 1 else f"{whole} seconds"
    if whole < 3600:
        return "About a minute" if whole < 120 else f"{whole // 60} minutes"
    if hours < 48:
        return "About an hour" if hours == 1 else f"{hours} hours"
    for limit_days, days, word in ((14, 1, "days"), (60, 7, "weeks"), (2 * 365, 30, "months")):
        if hours < limit_days * 24:
            return f"{hours // 24 // days} {word}"
    return f"{whole // 86400 // 365} years"


def render_size(size: float) -> str:
    """Return *size* bytes with three significant digits, counting in 1000: `1.24kB`."""
    power = 0
    while abs(size) >= 1000 and power < len(_DECIMAL) - 1:
        size, power = size / 1000, power + 1
    return f"{size:.3g}{_DECIMAL[power]}" if size < 999.5 else f"{size:.0f}{_DECIMAL[power]}"


def render_binary_size(size: float) -> str:
    """Return *size* bytes with four significant digits, counting in 1024, as memory is sold: `15.54GiB`."""
    power = 0
    while size >= 1024 and power < len(_BINARY_WORDS) - 1:
        size, power = size / 1024, power + 1
    return f"{size:.4g}{_BINARY_WORDS[power]}"
