"""Which events a filter lets through."""

from __future__ import annotations

from collections.abc import Mapping

import pytest

from minidocker.engine.events import Event, is_match

DIE = Event(
    type="container", action="die", actor_id="abcdef012345", time_ns=1,
    attributes={"name": "web", "image": "localhost:5000/nginx:1", "color": "blue", "exitCode": "1"},
)  # fmt: skip
EXEC = Event(type="container", action="exec_create: ls -l", actor_id="abc", attributes={"image": "a:1"}, time_ns=2)
TAG = Event(type="image", action="tag", actor_id="sha256:1", attributes={"name": "alpine:latest"}, time_ns=3)

MATCHES: list[tuple[str, Event, Mapping[str, tuple[str, ...]], bool]] = [
    ("no filter", DIE, {}, True),
    ("empty filter", DIE, {"type": ()}, True),
    ("type", DIE, {"type": ("container",)}, True),
    ("other type", DIE, {"type": ("image", "network")}, False),
    ("any of several types", DIE, {"type": ("image", "container")}, True),
    ("action", DIE, {"event": ("die",)}, True),
    ("beginning of an action", DIE, {"event": ("di",)}, False),
    ("action with detail by its word", EXEC, {"event": ("exec_create",)}, True),
    ("action with detail in full", EXEC, {"event": ("exec_create: ls -l",)}, True),
    ("container by name", DIE, {"container": ("web",)}, True),
    ("container by id", DIE, {"container": ("abcdef012345",)}, True),
    ("container by prefix", DIE, {"container": ("abcd",)}, True),
    ("container by the beginning of its name", DIE, {"container": ("we",)}, False),
    ("object of another type", TAG, {"container": ("alpine:latest",)}, False),
    ("label", DIE, {"label": ("color",)}, True),
    ("label with value", DIE, {"label": ("color=blue",)}, True),
    ("label with another value", DIE, {"label": ("color=red",)}, False),
    ("all labels needed", DIE, {"label": ("color", "size")}, False),
    ("image of a container", DIE, {"image": ("localhost:5000/nginx:1",)}, True),
    ("image without its tag", DIE, {"image": ("localhost:5000/nginx",)}, True),
    ("port is no tag", DIE, {"image": ("localhost",)}, False),
    ("image event by name", TAG, {"image": ("alpine",)}, True),
    ("image event by id", TAG, {"image": ("sha256:1",)}, True),
    ("scope", DIE, {"scope": ("local",)}, True),
    ("other scope", DIE, {"scope": ("swarm",)}, False),
    ("two keys, both needed", DIE, {"type": ("container",), "event": ("start",)}, False),
]


@pytest.mark.parametrize(("event", "filters", "expected"), [case[1:] for case in MATCHES], ids=[case[0] for case in MATCHES])
def test_event_passes_when_every_key_matches(event: Event, filters: Mapping[str, tuple[str, ...]], expected: bool) -> None:
    """Keys narrow, values of one key widen, labels must all be there: `docker events --filter`."""
    assert is_match(event, filters) is expected
