"""Names for containers nobody named: an adjective and a person who did something for operating systems or networks. Pure."""

from __future__ import annotations

import re
from typing import Final

from minidocker.errors import InvalidParameter

__all__ = ["compose_name", "parse_container_name"]

_NAME = re.compile(r"[a-zA-Z0-9][a-zA-Z0-9_.-]+")

_ADJECTIVES: Final = ["able", "agile", "alert", "amber", "apt", "bold", "brave", "brisk", "bright", "calm", "candid", "civil", "clear", "clever", "cosmic", "curious", "daring", "deft", "eager", "early", "earnest", "easy", "exact", "fair", "fond", "frank", "fresh", "gentle", "glad", "golden", "happy", "hardy", "honest", "humble", "jolly", "keen", "kind", "lively", "lucid", "merry", "mild", "modest", "neat", "nimble", "noble", "open", "patient", "plain", "polite", "proud", "quick", "quiet", "ready", "serene", "sharp", "silent", "simple", "sincere", "smooth", "sober", "solid", "steady", "sturdy", "subtle", "swift", "tidy", "vivid", "warm", "witty"]
_PEOPLE: Final = ["allen", "allman", "baran", "bartik", "bell", "borg", "brooks", "cerf", "clark", "corbato", "cray", "dahl", "daley", "dijkstra", "engelbart", "estrin", "feinler", "floyd", "goldberg", "hamilton", "hamming", "hoare", "holberton", "hopper", "johnson", "joy", "kahn", "kay", "kernighan", "kildall", "kleinrock", "knuth", "lamport", "lamarr", "lampson", "liskov", "lovelace", "mauchly", "mccarthy", "mcilroy", "metcalfe", "milner", "neumann", "nygaard", "ossanna", "perlman", "pike", "postel", "quarterman", "ritchie", "roberts", "saltzer", "shannon", "spencer", "stallings", "stevens", "tanenbaum", "thompson", "tomlinson", "torvalds", "turing", "wilkes", "wirth", "zuse"]


def compose_name(seed: int, *, retry: int = 0) -> str:
    """Return the name for *seed*, a large random number; a *retry* adds a digit, for the day all are taken."""
    name = f"{_ADJECTIVES[seed % len(_ADJECTIVES)]}_{_PEOPLE[seed // len(_ADJECTIVES) % len(_PEOPLE)]}"
    return f"{name}{seed % 10}" if retry else name


def parse_container_name(text: str) -> str:
    """Return the name that *text* gives, without the slash that the Remote API shows before it.

    Raises:
        InvalidParameter: other characters, in Docker's words.
    """
    name = text.removeprefix("/")
    if not _NAME.fullmatch(name):
        raise InvalidParameter(f"Invalid container name ({text}), only [a-zA-Z0-9][a-zA-Z0-9_.-] are allowed")
    return name
