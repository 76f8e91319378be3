"""Signals by name or number, as people type them. Pure. Chapter 11."""

from __future__ import annotations

import signal

from minidocker.errors import InvalidParameter

__all__ = ["parse_signal"]


def parse_signal(text: str) -> int:
    """Return the number of a signal: `9`, `KILL`, `SIGKILL`, `RTMIN+3`; see signal(7).

    Raises:
        InvalidParameter: there is no such signal.
    """
    if text.isdigit() and 0 <= int(text) < signal.NSIG:
        return int(text)
    name = text.upper().removeprefix("SIG")
    base, plus, offset = name.partition("+")
    if base == "RTMIN" and (not plus or offset.isdigit()):
        return int(signal.SIGRTMIN) + int(offset or 0)
    try:
        return int(signal.Signals[f"SIG{name}"])
    except KeyError:
        raise InvalidParameter(f"invalid signal: {text}") from None
