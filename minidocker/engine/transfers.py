"""What pulls and pushes share: threads that report progress, endpoints that stand in for each other, one download of one layer.

Acting. The thread of the request yields what the workers report. When its client goes away, when a worker fails or when the
generator is closed, everything is broken off: sockets are shut down, waits end, and only then what was brought in is let go. Chapter 8.
"""

from __future__ import annotations

import queue
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Final, Protocol, TypeVar

from minidocker.errors import MinidockerError, PeerError
from minidocker.registry.challenge import ANONYMOUS, Credentials
from minidocker.registry.connection import STALL_TIMEOUT_S, BrokenConnection, Transport
from minidocker.registry.endpoints import Endpoint, RegistryConfig, plan_endpoints
from minidocker.registry.session import RepositorySession, TokenCache
from minidocker.spec.record import Json

__all__ = ["Crew", "Registries", "RegistryEngine", "first_that_works", "progress_line"]

POLL_S: Final = 0.25
"""How often a transfer looks whether its client is still there."""
REPORT_S: Final = 0.1
"""How often a layer reports, as with Docker: a terminal shows no more."""

R = TypeVar("R")


class Registries:
    """What an engine knows of registries; shared by all its transfers."""

    def __init__(self, config: RegistryConfig, *, stall_timeout_s: float = STALL_TIMEOUT_S, patience: float = 1.0) -> None:
        """Follow *config*; pauses between attempts are multiplied by *patience*."""
        self.config, self._stall_timeout_s, self.patience = config, stall_timeout_s, patience
        self.tokens = TokenCache()
        self._plain: dict[str, Endpoint] = {}
        self._lock = threading.Lock()
        self._locks: dict[str, threading.Lock] = {}
        self._users: Counter[str] = Counter()

    def new_transport(self) -> Transport:
        """Return connections for one operation."""
        return Transport(certificate_directories=self.config.certificate_directories, stall_timeout_s=self._stall_timeout_s)

    def new_crew(self, transport: Transport, *, is_gone: Callable[[], bool]) -> Crew:
        """Return workers for one operation."""
        return Crew(transport, is_gone=is_gone, patience=self.patience)

    def open_sessions(
        self, transport: Transport, domain: str, path: str, *, credentials: Credentials, for_push: bool = False,
        sleep: Callable[[float], object] = time.sleep,
    ) -> list[RepositorySession]:  # fmt: skip
        """Return one session for each endpoint of *domain*, in the order in which to try; mirrors get no credentials."""
        endpoints = plan_endpoints(domain, self.config, for_push=for_push)
        if domain in self._plain:  # it was found out before whether it has TLS
            endpoints = (self._plain[domain],)
        return [
            RepositorySession(
                transport, endpoint, path, credentials=ANONYMOUS if endpoint.is_mirror else credentials, tokens=self.tokens, sleep=sleep
            )
            for endpoint in endpoints
        ]

    def remember(self, domain: str, endpoint: Endpoint) -> None:
        """Ask *domain* at *endpoint* from now on."""
        if endpoint.scheme == "http" and not endpoint.is_mirror:
            self._plain[domain] = endpoint

    @contextmanager
    def alone(self, key: str, crew: Crew) -> Iterator[None]:
        """Work on *key* while nobody else does: who comes second finds what the first one brought."""
        with self._lock:
            lock = self._locks.setdefault(key, threading.Lock())
            self._users[key] += 1
        try:
            while not lock.acquire(timeout=POLL_S):
                crew.check()
            try:
                yield
            finally:
                lock.release()
        finally:
            with self._lock:
                self._users[key] -= 1
                if not self._users[key]:
                    del self._users[key], self._locks[key]


class RegistryEngine(Protocol):
    """What these verbs need of an engine."""

    @property
    def registries(self) -> Registries:
        """What it knows of registries."""


class Crew:
    """The workers of one transfer; all of them end when one fails."""

    def __init__(self, transport: Transport, *, is_gone: Callable[[], bool], patience: float) -> None:
        """Shut *transport* down when it is over; *is_gone* says that nobody wants the result any more."""
        self._transport, self._is_gone, self._patience = transport, is_gone, patience
        self._lines: queue.SimpleQueue[Json | None] = queue.SimpleQueue()
        self._cancelled = threading.Event()
        self._failure: BaseException | None = None
        self._threads: list[threading.Thread] = []
        self._last: dict[str, float] = {}

    def start(self, work: Callable[[], None], *, name: str) -> None:
        """Let a thread do *work*."""

        def run() -> None:
            try:
                work()
            except BaseException as error:  # noqa: BLE001 - carried to the thread of the request, which raises it
                if self._failure is None and not (self._cancelled.is_set() and isinstance(error, BrokenConnection)):
                    self._failure = error
                self.cancel()
            self._lines.put(None)

        thread = threading.Thread(target=run, name=f"md:{name}", daemon=True)
        self._threads.append(thread)
        thread.start()

    def say(self, status: str, layer: str = "") -> None:
        """Report a change of state of *layer*."""
        self._lines.put(progress_line(status, layer))

    def measure(self, status: str, layer: str, current: int, total: int) -> None:
        """Report how far *layer* came, if it has not just been said.

        Raises:
            BrokenConnection: the transfer was broken off.
        """
        self.check()
        now = time.monotonic()
        if now - self._last.get(layer, 0.0) >= REPORT_S:
            self._last[layer] = now
            self._lines.put(progress_line(status, layer, current=current, total=total))

    def check(self) -> None:
        """Go on only if the transfer does.

        Raises:
            BrokenConnection: it was broken off.
        """
        if self._cancelled.is_set():
            raise BrokenConnection("the transfer was broken off")

    def sleep(self, seconds: float) -> bool:
        """Wait; return whether the transfer was broken off meanwhile."""
        return self._cancelled.wait(seconds * self._patience)

    def cancel(self) -> None:
        """Break everything off."""
        self._cancelled.set()
        self._transport.close()

    def lines(self) -> Iterator[Json]:
        """Yield what the workers report until they are done.

        Raises:
            MinidockerError: what the first of them raised.
        """
        running = len(self._threads)
        try:
            while running:
                try:
                    line = self._lines.get(timeout=POLL_S)
                except queue.Empty:
                    if self._is_gone():
                        raise BrokenConnection("the client went away") from None
                    continue
                if line is None:
                    running -= 1
                else:
                    yield line
            if self._failure is not None:
                raise self._failure
        finally:
            if running:
                self.cancel()
            for thread in self._threads:
                thread.join()
            self._threads.clear()


def first_that_works(
    registries: Registries, domain: str, sessions: list[RepositorySession], action: Callable[[RepositorySession], R]
) -> tuple[R, list[RepositorySession]]:
    """Return what *action* gives on the first session on which it works, and that session with those behind it.

    Another endpoint of the same registry is tried only where nobody answered; after a mirror, whatever it said.

    Raises:
        PeerError: none worked.
    """
    for number, session in enumerate(sessions):
        try:
            result = action(session)
        except PeerError as error:
            may_go_on = session.endpoint.is_mirror or isinstance(error, BrokenConnection)
            if number == len(sessions) - 1 or not may_go_on:
                raise
            continue
        registries.remember(domain, session.endpoint)
        return result, sessions[number:]
    raise MinidockerError(f"ask `{domain}`: it has no address")


def progress_line(status: str, layer: str = "", *, current: int = 0, total: int = 0) -> dict[str, Json]:
    """Return one object of a progress stream as Docker writes it."""
    line: dict[str, Json] = {"status": status}
    if not layer:
        return line
    detail: dict[str, Json] = {"current": current, "total": total} if current else {}
    line["progressDetail"] = detail
    if current:
        line["progress"] = _render_bar(current, total)
    return {**line, "id": layer}


def _render_bar(current: int, total: int) -> str:
    """Return the bar that older clients show as it is."""
    if not total:
        return _render_size(current)
    filled = min(50 * current // total, 50)
    head = ">" if filled < 50 else ""
    return f"[{'=' * filled}{head}{' ' * (50 - filled - len(head))}]  {_render_size(current)}/{_render_size(total)}"


def _render_size(size: float) -> str:
    for unit in ("B", "kB", "MB", "GB"):
        if size < 1000 or unit == "GB":
            return f"{size:.4g}{unit}"
        size /= 1000
    raise AssertionError("the last unit takes everything")
