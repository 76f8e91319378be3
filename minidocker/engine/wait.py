"""Wait for a container: Docker's three conditions, as something a thread can select on."""

from __future__ import annotations

import os
import threading
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from minidocker.container.record import Status
from minidocker.errors import InvalidParameter

if TYPE_CHECKING:
    from minidocker.engine.engine import Engine
    from minidocker.engine.store import Handle

__all__ = ["CONDITIONS", "ExitResult", "Waiter", "resolve_waiters", "wait_container"]

CONDITIONS: Final = ("not-running", "next-exit", "removed")


@dataclass(frozen=True, slots=True, kw_only=True)
class ExitResult:
    """How it ended."""

    status_code: int
    error: str = ""


class Waiter:
    """One party that waits; readable when the result is there."""

    def __init__(self, condition: str) -> None:
        """Wait for *condition*."""
        self.condition = condition
        self.result: ExitResult | None = None
        self._event = os.eventfd(0, os.EFD_CLOEXEC)
        self._lock = threading.Lock()

    def fileno(self) -> int:
        """Return the descriptor to select on."""
        return self._event

    def resolve(self, result: ExitResult) -> None:
        """Set the result, once."""
        with self._lock:
            if self.result is None:
                self.result = result
                if self._event >= 0:  # else closed by a client that has gone
                    os.eventfd_write(self._event, 1)

    def close(self) -> None:
        """Give the descriptor back."""
        with self._lock:  # a number that is closed may be somebody else's the next moment
            os.close(self._event)
            self._event = -1


def wait_container(engine: Engine, reference: str, condition: str) -> Waiter:
    """Return a waiter for *condition* of a container; `not-running` may hold already.

    Raises:
        InvalidParameter: a condition that Docker does not know.
    """
    handle = engine.containers.require(reference)
    if (condition or "not-running") not in CONDITIONS:
        raise InvalidParameter(f'invalid condition: "{condition}"')
    waiter = Waiter(condition or "not-running")
    with handle.lock:
        state = handle.record.state
        is_over = waiter.condition == "not-running" and not state.running and state.status is not Status.RESTARTING
        if is_over or state.status is Status.REMOVING:  # a short container under --rm may end and go while we wait for the lock
            waiter.resolve(ExitResult(status_code=state.exit_code))
        else:
            handle.waiters.append(waiter)
    return waiter


def resolve_waiters(handle: Handle, conditions: tuple[str, ...], result: ExitResult) -> None:
    """Give *result* to everybody who waits for one of *conditions*."""
    for waiter in [w for w in handle.waiters if w.condition in conditions]:
        handle.waiters.remove(waiter)
        waiter.resolve(result)
