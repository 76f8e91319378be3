"""Durations as Docker words them: `3 minutes`, `About an hour`, `2 weeks`.

Pure. The steps are those of Docker's `Status` texts, which people and scripts read; each unit is kept until there are
about two of the next. Chapter 12.
"""

from __future__ import annotations

__all__ = ["human_duration"]

_HOUR_S = 3600
_DAY_H, _WEEK_H, _MONTH_H, _YEAR_H = 24, 24 * 7, 24 * 30, 24 * 365


def human_duration(seconds: float) -> str:
    """Return *seconds* as a person would say it."""
    whole, hours = int(seconds), int(seconds / _HOUR_S + 0.5)
    if whole < 1:
        return "Less than a second"
    if whole < 60:
        return "1 second" if whole == 1 else f"{whole} seconds"
    if whole < _HOUR_S:
        return "About a minute" if whole < 120 else f"{whole // 60} minutes"
    if hours < 2 * _DAY_H:
        return "About an hour" if hours == 1 else f"{hours} hours"
    if hours < 2 * _WEEK_H:
        return f"{hours // _DAY_H} days"
    if hours < 2 * _MONTH_H:
        return f"{hours // _WEEK_H} weeks"
    if hours < 2 * _YEAR_H:
        return f"{hours // _MONTH_H} months"
    return f"{int(seconds / _HOUR_S) // _YEAR_H} years"
