"""The event bus, which wakes its listeners through descriptors of Linux."""

from __future__ import annotations

import os
import socket
import threading
import time

from minidocker.engine.events import MAX_WAITING_EVENTS, Event, EventBus, Subscription


def make_event(number: int, *, kind: str = "container") -> Event:
    """Return an event whose time and id are *number*."""
    return Event(type=kind, action="start", actor_id=str(number), time_ns=number)


def listen(bus: EventBus, *, since_ns: int | None = None, until_ns: int | None = None, fd: int = -1) -> Subscription:
    """Return a subscription to every container event."""
    subscription = Subscription(bus, until_ns=until_ns, filters={"type": ("container",)}, disconnect_fd=fd)
    bus.add(subscription, since_ns=since_ns)
    return subscription


def test_past_events_come_only_when_asked_for() -> None:
    """Without `since`, `docker events` begins now; with it, the ring buffer answers, and `until` ends it."""
    bus = EventBus(history=3)
    for number in range(1, 6):
        bus.publish(make_event(number))
    with listen(bus, until_ns=100) as plain, listen(bus, since_ns=4, until_ns=100) as since, listen(bus, since_ns=0, until_ns=4) as all_:
        assert [*plain] == []
        assert [event.actor_id for event in since] == ["4", "5"]
        assert [event.actor_id for event in all_] == ["3", "4"]


def test_event_between_subscribing_and_reading_is_not_lost() -> None:
    """The client has the head of the answer already and may cause the event itself."""
    bus = EventBus()
    with listen(bus) as subscription:
        bus.publish(make_event(1))
        bus.publish(make_event(2, kind="image"))
        bus.publish(make_event(3))
        events = iter(subscription)
        assert [next(events).actor_id, next(events).actor_id] == ["1", "3"]


def test_listener_that_waits_is_woken_by_the_next_event() -> None:
    """A thread blocks in poll(2); publishing wakes it."""
    bus = EventBus()
    with listen(bus) as subscription:
        found: list[str] = []
        thread = threading.Thread(target=lambda: found.append(next(iter(subscription)).actor_id))
        thread.start()
        bus.publish(make_event(7))
        thread.join(10)
    assert found == ["7"]


def test_listener_ends_when_its_client_has_gone() -> None:
    """`docker events` interrupted: no thread may wait for it for ever."""
    ours, theirs = socket.socketpair()
    bus = EventBus()
    with ours, listen(bus, fd=ours.fileno()) as subscription:
        theirs.close()
        assert [*subscription] == []


def test_listener_ends_at_its_time() -> None:
    """`--until` in the future: nothing happens, and the stream ends by the clock."""
    bus = EventBus()
    with listen(bus, until_ns=time.time_ns() + 20_000_000) as subscription:
        assert [*subscription] == []


def test_listener_that_falls_behind_is_cut_off_rather_than_shown_a_gap() -> None:
    """Publishing never waits for a reader; memory stays bounded all the same."""
    bus = EventBus()
    with listen(bus) as subscription:
        for number in range(MAX_WAITING_EVENTS + 100):
            bus.publish(make_event(number))
        assert [event.actor_id for event in subscription] == [str(n) for n in range(MAX_WAITING_EVENTS + 1)]


def test_closed_listener_gives_its_descriptor_back_and_hears_no_more() -> None:
    """A thousand `docker events` later the server must have as many descriptors as before."""
    bus = EventBus()
    before = len(os.listdir("/proc/self/fd"))
    subscription = listen(bus)
    subscription.close()
    subscription.close()
    bus.publish(make_event(1))
    assert bus.listeners == 0
    assert len(os.listdir("/proc/self/fd")) == before
