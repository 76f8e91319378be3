"""The person's terminal: is there one, how large is it, raw mode, and the keys that detach.

Acts, except for `parse_detach_keys` and `DetachFilter`. In raw mode the terminal passes every key on: Ctrl-C becomes a
byte that the container's terminal turns into its own SIGINT. See termios(3), ioctl_tty(2). Chapter 14.
"""

from __future__ import annotations

import os
from contextlib import contextmanager, suppress

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["DetachFilter", "is_terminal", "parse_detach_keys", "raw_terminal", "terminal_size"]

DEFAULT_DETACH_KEYS = "ctrl-p,ctrl-q"

_CONTROL_NAMES = {**{chr(ord("a") + index): index + 1 for index in range(26)}, "@": 0, "[": 27, "\\": 28, "]": 29, "^": 30, "_": 31}


def is_terminal(fd: int) -> bool:
    """Whether *fd* is open and a terminal."""
    try:
        return os.isatty(fd)
    except OSError:
        return False


def terminal_size() -> tuple[int, int]:
    """Return (rows, columns) of the terminal on standard output, or zeros without one."""
    with suppress(OSError):  # not a terminal
        size = os.get_terminal_size(1)
        return size.lines, size.columns
    return 0, 0


@contextmanager
def raw_terminal(fd: int, *, wanted: bool) -> Iterator[None]:
    """Switch the terminal *fd* to raw mode for the time of the block, if it is *wanted* and one."""
    if not wanted or not is_terminal(fd) or os.name == "nt":
        yield
        return
    import termios
    import tty

    before = termios.tcgetattr(fd)
    try:
        tty.setraw(fd, termios.TCSADRAIN)
        yield
    finally:
        termios.tcsetattr(fd, termios.TCSADRAIN, before)


def parse_detach_keys(text: str) -> bytes:
    """Return the bytes of a key sequence such as `ctrl-p,ctrl-q` or `a,ctrl-[`.

    Raises:
        ValueError: a key that is none.
    """
    keys = bytearray()
    for name in (text or DEFAULT_DETACH_KEYS).split(","):
        control = name.lower().removeprefix("ctrl-")
        if len(name) == 1:
            keys += name.encode()
        elif name.lower().startswith("ctrl-") and control in _CONTROL_NAMES:
            keys.append(_CONTROL_NAMES[control])
        else:
            raise ValueError(f"invalid detach keys ({text}): unknown character: '{name}'")
    return bytes(keys)


class DetachFilter:
    """Finds the detaching keys in what is typed; until they are complete it holds them back."""

    def __init__(self, keys: bytes) -> None:
        """Look for *keys*."""
        self._keys = keys
        self._matched = 0

    def feed(self, typed: bytes) -> tuple[bytes, bool]:
        """Return (what to pass on, whether the keys were completed)."""
        passed = bytearray()
        for byte in typed:
            if byte != self._keys[self._matched]:
                passed += self._keys[: self._matched]
                self._matched = 0
            if byte == self._keys[self._matched]:
                self._matched += 1
                if self._matched == len(self._keys):
                    return bytes(passed), True
            else:
                passed.append(byte)
        return bytes(passed), False
