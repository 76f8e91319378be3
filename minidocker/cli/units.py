"""Sizes, durations and moments as people write and read them.

Pure. Sizes that are typed count in 1024 (`64m`, see `minidocker.spec.quantity`), sizes that are shown count in 1000 (`1.24kB`),
as in Docker. Chapter 14.
"""

from __future__ import annotations

from minidocker.spec.quantity import parse_bytes, parse_duration_ns

__all__ = ["parse_bytes", "parse_duration_ns", "parse_timestamp", "render_age", "render_binary_size", "render_size"]

_BINARY_WORDS = ("B", "KiB", "MiB", "GiB", "TiB", "PiB", "EiB")
_DECIMAL = ("B", "kB", "MB", "GB", "TB", "PB", "EB")


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
