"""What a build tells while it works: records, and the lines that clients of the Remote API have always read.

Pure. Steps of different stages run side by side, so their events mix; a person follows them by number. Docker's older clients have no
numbers: they get one stage after the other (`OrderedEvents`), in the words of the classic builder, which scripts look for:
`Step 1/3 : FROM …`, ` ---> Using cache`, and at last, as a chunk of its own, `Successfully built ID`. See the Docker Engine API 1.50,
`POST /build`. Chapter 10.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from enum import StrEnum

from minidocker.ids import short_id
from minidocker.spec.record import Json

__all__ = ["Event", "EventKind", "OrderedEvents", "render_classic", "render_event"]


class EventKind(StrEnum):
    """What happened to a step."""

    STARTED = "started"
    RUNNING = "running"
    """A container was made for it."""
    OUTPUT = "output"
    CACHED = "cached"
    DONE = "done"
    FAILED = "failed"
    STAGE_ENDED = "stage-ended"
    NOTE = "note"
    """A warning, or news about the whole build."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Event:
    """One piece of news."""

    kind: EventKind
    stage: int = 0
    title: str = ""
    """The stage's name."""
    number: int = 0
    """Of the step in its stage, FROM being 1."""
    count: int = 0
    """How many steps the stage has."""
    text: str = ""
    """The instruction, or what is to be said."""
    stream: int = 1
    image_id: str = ""
    """What the state after the step would be called as an image."""
    container_id: str = ""
    why: str = ""
    """Why the cache was used, or not."""
    seconds: float = 0.0


ERROR_STREAM = 2
"""What a step writes to its standard error."""


def render_event(event: Event) -> Json:
    """Return an event as our own client reads it."""
    fields = {
        "kind": event.kind.value, "stage": event.stage, "title": event.title, "number": event.number, "count": event.count,
        "text": event.text, "stream": event.stream, "id": event.image_id, "why": event.why, "seconds": round(event.seconds, 3),
    }  # fmt: skip
    kept: dict[str, Json] = {name: value for name, value in fields.items() if value not in ("", 0, 0.0)}
    return {"build": kept}


def render_classic(event: Event, *, first: int, total: int) -> Iterator[str]:
    """Yield the lines of the classic builder for an event; *first* steps came in the stages before."""
    match event.kind:
        case EventKind.STARTED:
            yield f"Step {first + event.number}/{total} : {event.text}\n"
        case EventKind.RUNNING:
            yield f" ---> Running in {short_id(event.container_id)}\n"
        case EventKind.OUTPUT if event.stream == ERROR_STREAM:
            yield f"\x1b[91m{event.text}\x1b[0m"  # red, in a terminal or not: the classic builder does not ask
        case EventKind.OUTPUT | EventKind.NOTE:
            yield event.text
        case EventKind.CACHED:
            yield " ---> Using cache\n"
            yield f" ---> {short_id(event.image_id)}\n"
        case EventKind.DONE:
            if event.container_id:
                yield f" ---> Removed intermediate container {short_id(event.container_id)}\n"
            yield f" ---> {short_id(event.image_id)}\n"


class OrderedEvents:
    """Holds the events of later stages back until those before have ended."""

    def __init__(self, stages: Sequence[int]) -> None:
        """Expect the events of *stages*, in this order."""
        self._stages = list(stages)
        self._held: dict[int, list[Event]] = {}

    def put(self, event: Event) -> Iterator[Event]:
        """Yield what may be told now."""
        if event.kind is EventKind.NOTE or event.stage not in self._stages or event.kind is EventKind.FAILED:
            yield event
            return
        if event.stage != self._stages[0]:
            self._held.setdefault(event.stage, []).append(event)
            return
        yield event
        while event.kind is EventKind.STAGE_ENDED and self._stages:
            del self._stages[0]
            waiting = self._held.pop(self._stages[0], []) if self._stages else []
            for event in waiting:
                yield event
            if not waiting:
                return

    def flush(self) -> Iterator[Event]:
        """Yield what was held back when the build ended early."""
        for stage in self._stages:
            yield from self._held.pop(stage, [])
