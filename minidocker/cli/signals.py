"""Pass signals on to the container, and tell it when the terminal changes its size.

Acts. Handlers run in the main thread, between two reads; each request they make has a connection of its own, because
the shared one may be in the middle of an answer. See signal(7). Chapter 14.
"""

from __future__ import annotations

import signal
from contextlib import contextmanager, suppress

from minidocker.cli.terminal import terminal_size
from minidocker.errors import MinidockerError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from types import FrameType

    from minidocker.client.transport import Transport

    Handler = Callable[[int, FrameType | None], object]

__all__ = ["forward_signals", "resize_terminal"]

_NOT_FORWARDED = frozenset(
    ("SIGKILL", "SIGSTOP", "SIGCHLD", "SIGCLD", "SIGPIPE", "SIGURG", "SIGWINCH", "SIGTTIN", "SIGTTOU", "SIGSEGV", "SIGBUS", "SIGFPE", "SIGILL")
)
"""What cannot be caught, what is about our own pipes and terminal, and our own crashes."""

PATIENCE = 3
"""After how many SIGINT and SIGTERM the client gives up on a container that ignores them."""


@contextmanager
def _handlers(handlers: dict[int, Handler]) -> Iterator[None]:
    before = {}
    for number, handler in handlers.items():
        with suppress(OSError, ValueError):  # a real-time signal that libc keeps for itself
            before[number] = signal.signal(number, handler)
    try:
        yield
    finally:
        for number, handler_before in before.items():
            signal.signal(number, signal.SIG_DFL if handler_before is None else handler_before)


@contextmanager
def forward_signals(client: Transport, container: str, *, wanted: bool) -> Iterator[None]:
    """Send every signal that reaches this process to *container*, for the time of the block."""
    requests_to_end = 0

    def forward(number: int, frame: FrameType | None) -> None:
        nonlocal requests_to_end
        name = signal.Signals(number).name
        requests_to_end += name in ("SIGINT", "SIGTERM")
        if requests_to_end > PATIENCE:
            raise MinidockerError(f"got {PATIENCE} SIGTERM/SIGINTs, forcefully exiting")
        with suppress(MinidockerError, OSError):  # the container may have ended already
            client.open("POST", f"/containers/{container}/kill", {"signal": name.removeprefix("SIG")}).close()

    numbers = [item for item in signal.Signals if item.name not in _NOT_FORWARDED] if wanted else []
    with _handlers(dict.fromkeys(map(int, numbers), forward)):
        yield


@contextmanager
def resize_terminal(client: Transport, path: str, *, wanted: bool) -> Iterator[None]:
    """Give the terminal behind *path* (`/containers/ID`) our terminal's size, now and whenever that changes."""

    def resize(number: int, frame: FrameType | None) -> None:
        rows, columns = terminal_size()
        if rows and columns:
            with suppress(MinidockerError, OSError):  # it has ended, or has not started: the size is in the request
                client.open("POST", f"{path}/resize", {"h": str(rows), "w": str(columns)}).close()

    if not wanted:
        yield
        return
    resize(0, None)
    with _handlers({int(signal.SIGWINCH): resize} if hasattr(signal, "SIGWINCH") else {}):
        yield
