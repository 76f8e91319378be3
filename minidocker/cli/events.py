"""`events`: what happens on the server, as it happens. Acts. Chapter 14."""

from __future__ import annotations

import time

from minidocker.cli.command import Command
from minidocker.cli.containers import parse_filters
from minidocker.client.fields import map_at, number_at, text_at
from minidocker.client.progress import read_progress
from minidocker.cli.flags import LIST, STRING, Flag
from minidocker.cli.logs import parse_moment
from minidocker.cli.output import compile_format

TYPE_CHECKING = False
if TYPE_CHECKING:
    from minidocker.cli.flags import Options
    from minidocker.cli.session import Session
    from minidocker.spec.record import Json

__all__ = ["EVENTS", "render_event"]

NS = 1_000_000_000


def render_event(event: Json) -> str:
    """Return one event as a line: moment, type, action, id, attributes in order."""
    moment = number_at(event, "timeNano") or number_at(event, "time") * NS
    seconds, nanoseconds = divmod(moment, NS)
    local = time.localtime(seconds)
    zone = "Z" if local.tm_gmtoff == 0 else time.strftime("%z", local)
    zone = zone if zone == "Z" else f"{zone[:3]}:{zone[3:]}"
    attributes = ", ".join(f"{key}={value}" for key, value in sorted(map_at(event, "Actor", "Attributes").items()))
    words = [
        f"{time.strftime('%Y-%m-%dT%H:%M:%S', local)}.{nanoseconds:09d}{zone}",
        text_at(event, "Type"),
        text_at(event, "Action"),
        text_at(event, "Actor", "ID"),
    ]
    return " ".join(word for word in words if word) + (f" ({attributes})" if attributes else "")


def events(session: Session, options: Options) -> int:
    """Print events until told otherwise."""
    now = time.time()
    query: dict[str, str | list[str]] = {
        name: parse_moment(options.text(name), now) for name in ("since", "until") if options.text(name)
    }
    if options.texts("filter"):
        query["filters"] = parse_filters(options.texts("filter"))
    render = compile_format(options.text("format")) if options.text("format") else render_event
    for event in read_progress(session.client().open("GET", "/events", query).lines()):
        print(render(event), flush=True)
    return 0


EVENTS = Command(
    "[OPTIONS]",
    events,
    (
        Flag("filter", LIST, "Filter output based on conditions provided", short="f"),
        Flag("format", STRING, "Format output: json or a Go template"),
        Flag("since", STRING, "Show all events created since a moment or an age"),
        Flag("until", STRING, "Stream events until a moment"),
    ),
    maximum=0,
)
