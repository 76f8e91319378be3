"""The key of a step: everything that its result depends on, and nothing else.

Pure. A key is the digest of named parts: the state before (itself a key, so that a change shows in every step after it), what
the step says after expansion, the arguments that RUN sees, the content of the files that COPY reads. Not in it: the time, the
order of files, who builds, secrets (what they are must not be found out from a digest), the proxies of this machine.

HEALTHCHECK, ONBUILD and SHELL are part of it as well: a cache that compares fewer fields can be fed with an image that
was made for that (CVE-2024-24557). And an image that was pulled is never a result, unless `--cache-from` names it. Chapter 10.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Final

__all__ = ["KeyParts", "compute_key", "describe_difference", "explain_miss", "follow_key"]

PARENT: Final = "parent"


@dataclass(frozen=True, slots=True, kw_only=True)
class KeyParts:
    """What the result of a step depends on, by name."""

    parent: str
    """The key of the state before; empty for a step that does not look at it (`COPY --link`)."""
    instruction: str
    """What it says, after expansion."""
    arguments: Mapping[str, str] = field(default_factory=dict)
    """ARG values that RUN has in its environment."""
    content: Mapping[str, str] = field(default_factory=dict)
    """Digests of what it reads, by the name under which it asks for it."""
    options: Mapping[str, str] = field(default_factory=dict)
    """What the command line of the build adds: network, limits of time."""


def compute_key(parts: KeyParts) -> str:
    """Return the key; equal parts give equal keys, whatever their order."""
    document = {
        PARENT: parts.parent, "instruction": parts.instruction, "arguments": dict(parts.arguments),
        "content": dict(parts.content), "options": dict(parts.options),
    }  # fmt: skip
    return hashlib.sha256(json.dumps(document, sort_keys=True, separators=(",", ":")).encode("utf-8", "surrogatepass")).hexdigest()


def follow_key(parent: str, *words: str) -> str:
    """Return the key of a state that follows from *parent* without anything being read: an image, a linked layer."""
    return compute_key(KeyParts(parent=parent, instruction="\0".join(words)))


def explain_miss(parts: KeyParts, known: Iterable[KeyParts]) -> str:
    """Return why a step has to be carried out: what is different from the nearest of the *known* steps.

    Nearest is a step that says the same, then one that follows the same state; among them the one with the fewest differences.
    """
    same = [other for other in known if other.instruction == parts.instruction]
    following = [other for other in known if other.parent == parts.parent]
    if same:
        return min((describe_difference(parts, other) for other in same), key=lambda text: text.count(";"))
    if following:
        return f"the instruction changed: it was `{min(following, key=lambda other: other.instruction).instruction[:120]}`"
    return "nothing like it was built before"


def describe_difference(parts: KeyParts, other: KeyParts) -> str:
    """Return in words which parts differ."""
    found = []
    if parts.parent != other.parent:
        found.append("a step before it changed")
    for what, new, old in (
        ("argument", parts.arguments, other.arguments), ("content of", parts.content, other.content), ("option", parts.options, other.options),
    ):  # fmt: skip
        changed = sorted(name for name in {*new, *old} if new.get(name) != old.get(name))
        found.extend(f"{what} `{name}` {_verb(name in new, name in old)}" for name in changed[:5])
    return "; ".join(found) or "its result is gone"


def _verb(is_new: bool, was_there: bool) -> str:
    return "changed" if is_new and was_there else ("is new" if is_new else "is gone")
