"""What a build tells."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from minidocker.build.progress import Event, EventKind, OrderedEvents, render_classic, render_event

STEP = Event(kind=EventKind.STARTED, stage=1, number=2, text="RUN true")


def test_classic_builder_counts_steps_over_all_stages() -> None:
    """`Step 4/6` is what people and scripts have read for ten years."""
    assert list(render_classic(STEP, first=2, total=6)) == ["Step 4/6 : RUN true\n"]
    cached = Event(kind=EventKind.CACHED, image_id="sha256:" + "a" * 64)
    assert list(render_classic(cached, first=0, total=1)) == [" ---> Using cache\n", " ---> aaaaaaaaaaaa\n"]


@given(st.permutations([(0, 0), (0, 1), (1, 0), (1, 1), (2, 0), (2, 1)]))
def test_ordered_events_give_one_stage_after_the_other(shuffled: list[tuple[int, int]]) -> None:
    """Stages run side by side, and a log that mixes them cannot be read by who does not know the numbers."""
    order = OrderedEvents([0, 1, 2])
    told: list[Event] = []
    left = {0: 2, 1: 2, 2: 2}
    for stage, _ in shuffled:
        left[stage] -= 1
        kind = EventKind.STAGE_ENDED if not left[stage] else EventKind.OUTPUT
        told.extend(order.put(Event(kind=kind, stage=stage)))
    told.extend(order.flush())
    assert [event.stage for event in told] == [0, 0, 1, 1, 2, 2]


def test_held_back_events_are_told_when_the_build_ends_early() -> None:
    """What a stage said before another failed is news all the same."""
    order = OrderedEvents([0, 1])
    later = Event(kind=EventKind.OUTPUT, stage=1, text="x")
    assert list(order.put(later)) == []
    assert list(order.flush()) == [later]


def test_event_for_our_own_client_leaves_out_what_is_empty() -> None:
    """One line of JSON for each piece of output should be short."""
    assert render_event(STEP) == {"build": {"kind": "started", "stage": 1, "number": 2, "text": "RUN true", "stream": 1}}
