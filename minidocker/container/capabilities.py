"""Capabilities of a container: root's power in pieces, and which of them Docker leaves.

Pure. Since Linux 2.2 root is a set of capabilities. A container's root gets fourteen of them: enough to install packages
and to change users, not enough to mount, to load modules or to configure the host. `--cap-add` and `--cap-drop` change
the set, `--privileged` gives everything that the kernel has.

See capabilities(7). Chapter 16.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from minidocker.errors import InvalidParameter
from minidocker.kernel.flags import CAPABILITIES

__all__ = ["ALL", "CAPABILITIES", "DEFAULT_CAPABILITIES", "compute_capabilities", "parse_capability"]

ALL: Final = "ALL"
"""The word for all capabilities in `--cap-add` and `--cap-drop`."""

DEFAULT_CAPABILITIES: Final = frozenset(
    f"CAP_{name}"
    for name in (
        "CHOWN", "DAC_OVERRIDE", "FSETID", "FOWNER", "MKNOD", "NET_RAW", "SETGID", "SETUID", "SETFCAP", "SETPCAP",
        "NET_BIND_SERVICE", "SYS_CHROOT", "KILL", "AUDIT_WRITE",
    )
)  # fmt: skip
"""What a container's root can do if nobody says otherwise."""


def compute_capabilities(
    *, cap_add: Iterable[str] = (), cap_drop: Iterable[str] = (), privileged: bool = False, last_cap: int
) -> tuple[str, ...]:
    """Return the capabilities of a container, in the kernel's order.

    `--cap-add ALL` gives all but the dropped ones, `--cap-drop ALL` only the added ones; otherwise the default set loses
    the dropped ones and then gains the added ones. So a capability that is both dropped and added by name is there.

    Args:
        cap_add: names in any case, with or without `CAP_`, or `ALL`.
        cap_drop: the same.
        privileged: whether everything is given; the lists do not matter then.
        last_cap: the highest number that the kernel knows, from `/proc/sys/kernel/cap_last_cap`.

    Raises:
        InvalidParameter: a name that no kernel, or not this kernel, knows.
    """
    known = CAPABILITIES[: last_cap + 1]
    if privileged:
        return known
    added = frozenset(parse_capability(name, last_cap=last_cap) for name in cap_add)
    dropped = frozenset(parse_capability(name, last_cap=last_cap) for name in cap_drop)
    if ALL in added:
        chosen = frozenset(known) - dropped
    elif ALL in dropped:
        chosen = added
    else:
        chosen = (DEFAULT_CAPABILITIES - dropped) | added
    return tuple(name for name in known if name in chosen)


def parse_capability(text: str, *, last_cap: int) -> str:
    """Return the full name of the capability that *text* means, or `ALL`.

    Raises:
        InvalidParameter: a name that no kernel, or not this kernel, knows.
    """
    name = text.upper()
    if name == ALL:
        return name
    if not name.startswith("CAP_"):
        name = f"CAP_{name}"
    if name not in CAPABILITIES:
        raise InvalidParameter(f"unknown capability: `{text[:80]}`", hint=_suggest(name))
    if CAPABILITIES.index(name) > last_cap:
        raise InvalidParameter(
            f"capability `{name}` is not known to this kernel", hint="leave it out, or use a newer kernel"
        )
    return name


def _suggest(name: str) -> str:
    from difflib import get_close_matches  # only needed to word an error

    words = [ALL, *(known.removeprefix("CAP_") for known in CAPABILITIES)]
    near = get_close_matches(name.removeprefix("CAP_")[:80], words, n=1)
    return f"did you mean {near[0]}?" if near else "capabilities(7) lists them"
