"""Events: what happened to containers, images, volumes and networks, for whoever listens.

Theory of operation: `EventBus.publish` keeps the last `HISTORY_EVENTS` events and appends each to the queue of every
subscription; it never waits for a listener. A `Subscription` is an iterator over one queue; it wakes through an eventfd,
so that its thread waits for the next event and for the client's departure in the same poll(2). It is registered when it
is made, not when it is first read: what happens between the two is not lost.

`is_match` is pure. Facts of the form: Docker Engine API, `GET /events`. Chapter 11.
"""

from __future__ import annotations

import os
import select
import threading
import time
from collections import deque
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from types import TracebackType
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from minidocker.engine.engine import Engine

__all__ = ["FILTER_KEYS", "Event", "EventBus", "Subscription", "is_match", "subscribe"]

HISTORY_EVENTS: Final = 256
"""How many past events `since` can show; the number that Docker keeps."""
MAX_WAITING_EVENTS: Final = 4096
"""A listener that is this far behind is cut off: memory stays bounded, and a gap in the middle would go unnoticed."""
FILTER_KEYS: Final = frozenset(
    {"config", "container", "daemon", "event", "image", "label", "network", "node", "plugin", "scope", "secret", "service",
     "type", "volume"}
)  # fmt: skip
"""The filters that Docker knows; another one is an error."""
_OBJECT_KEYS: Final = ("container", "daemon", "network", "plugin", "volume", "service", "node", "secret", "config")
_ACTIONS_WITH_DETAIL: Final = ("exec_create", "exec_start", "health_status")
"""Actions that carry a text after a colon; a filter gives the word before it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Event:
    """One thing that happened."""

    type: str
    """`container`, `image`, `volume` or `network`."""
    action: str
    """`create`, `start`, `die`…"""
    actor_id: str
    attributes: Mapping[str, str] = field(default_factory=dict)
    time_ns: int
    """Nanoseconds since 1970."""


class EventBus:
    """Where events are published and subscribed to; safe to use from several threads."""

    def __init__(self, *, history: int = HISTORY_EVENTS) -> None:
        """Remember the last *history* events."""
        self._lock = threading.Lock()
        self._history: deque[Event] = deque(maxlen=history)
        self._subscriptions: set[Subscription] = set()

    def publish(self, event: Event) -> None:
        """Give *event* to every subscription, without waiting for any."""
        with self._lock:
            self._history.append(event)
            for subscription in self._subscriptions:
                subscription.offer(event)

    def add(self, subscription: Subscription, *, since_ns: int | None) -> None:
        """Register *subscription*; past events not older than *since_ns* come first."""
        with self._lock:
            if since_ns is not None:
                for event in self._history:
                    if event.time_ns >= since_ns:
                        subscription.offer(event)
            self._subscriptions.add(subscription)

    def remove(self, subscription: Subscription) -> None:
        """Forget *subscription*."""
        with self._lock:
            self._subscriptions.discard(subscription)

    @property
    def listeners(self) -> int:
        """How many subscriptions there are."""
        return len(self._subscriptions)


class Subscription:
    """The events that one listener asked for; ends at *until_ns*, or when its client has gone."""

    def __init__(
        self, bus: EventBus, *, until_ns: int | None, filters: Mapping[str, tuple[str, ...]], disconnect_fd: int
    ) -> None:
        """Wait for events of *bus* until *until_ns*; *disconnect_fd* is the client's socket, or -1."""
        self._bus, self._until_ns, self._filters = bus, until_ns, filters
        self._queue: deque[Event] = deque()
        self._overrun = self._closed = False
        self._wake = os.eventfd(0, os.EFD_CLOEXEC | os.EFD_NONBLOCK)
        self._poll = select.poll()
        self._poll.register(self._wake, select.POLLIN)
        if disconnect_fd >= 0:
            self._poll.register(disconnect_fd, select.POLLRDHUP)

    def offer(self, event: Event) -> None:
        """Queue *event* if it was asked for; called by the bus under its lock."""
        if self._overrun or not is_match(event, self._filters):
            return
        self._overrun = len(self._queue) >= MAX_WAITING_EVENTS
        self._queue.append(event)
        os.eventfd_write(self._wake, 1)

    def __iter__(self) -> Iterator[Event]:
        """Yield each event as it comes."""
        while True:
            while self._queue:
                event = self._queue.popleft()
                if self._until_ns is not None and event.time_ns > self._until_ns:
                    return
                yield event
            if self._overrun or not self._wait():
                return

    def _wait(self) -> bool:
        """Wait for the next event; whether there is one to look at."""
        timeout_ms = None
        if self._until_ns is not None:
            timeout_ms = max(0, -((time.time_ns() - self._until_ns) // 1_000_000))
        ready = self._poll.poll(timeout_ms)
        with suppress(BlockingIOError):  # woken by the client or by the clock
            os.eventfd_read(self._wake)
        return bool(self._queue) or (bool(ready) and all(fd == self._wake for fd, _ in ready))

    def close(self) -> None:
        """Leave the bus and give the descriptor back."""
        if not self._closed:
            self._closed = True
            self._bus.remove(self)
            os.close(self._wake)

    def __enter__(self) -> Subscription:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.close()


def subscribe(
    engine: Engine, *, since_ns: int | None, until_ns: int | None, filters: Mapping[str, tuple[str, ...]], disconnect_fd: int
) -> Subscription:
    """Return the events of *engine* from now, or from *since_ns*; the caller closes it."""
    subscription = Subscription(engine.events, until_ns=until_ns, filters=filters, disconnect_fd=disconnect_fd)
    engine.events.add(subscription, since_ns=since_ns)
    return subscription


def is_match(event: Event, filters: Mapping[str, tuple[str, ...]]) -> bool:
    """Whether *event* passes: every key must match, by any one of its values; labels must all match."""
    return all(_is_key_match(event, key, values) for key, values in filters.items() if values)


def _is_key_match(event: Event, key: str, values: tuple[str, ...]) -> bool:
    if key == "type":
        return event.type in values
    if key == "event":
        word = event.action.split(":", 1)[0]
        return event.action in values or (word in _ACTIONS_WITH_DETAIL and word in values)
    if key == "scope":
        return "local" in values
    if key == "label":
        return all(_has_label(event.attributes, value) for value in values)
    if key == "image":
        return any(_is_image(event, value) for value in values)
    if key in _OBJECT_KEYS:
        names = (event.actor_id, event.attributes.get("name", ""))
        return event.type == key and any(value in names or event.actor_id.startswith(value) for value in values)
    return False


def _has_label(labels: Mapping[str, str], wanted: str) -> bool:
    name, has_value, value = wanted.partition("=")
    return name in labels and (not has_value or labels[name] == value)


def _is_image(event: Event, wanted: str) -> bool:
    """An image event by id or name, a container's by its image; with or without the tag."""
    if event.type not in ("image", "container"):
        return False
    name = event.attributes.get("name" if event.type == "image" else "image", "")
    own_id = event.actor_id if event.type == "image" else ""
    return wanted in (own_id, name, _without_tag(name))


def _without_tag(name: str) -> str:
    head, colon, tail = name.rpartition(":")
    return head if colon and "/" not in tail else name
