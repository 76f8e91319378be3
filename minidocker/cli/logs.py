"""`logs`: what a container wrote. Acts. Chapter 14."""

from __future__ import annotations

import time

from minidocker.cli.command import Command
from minidocker.client.fields import value_at
from minidocker.cli.flags import BOOL, STRING, Flag
from minidocker.cli.units import parse_duration_ns, parse_timestamp
from minidocker.errors import InvalidParameter

TYPE_CHECKING = False
if TYPE_CHECKING:
    from minidocker.cli.flags import Options
    from minidocker.cli.session import Session

__all__ = ["LOGS", "parse_moment"]


def parse_moment(text: str, now: float) -> str:
    """Return the moment *text* as seconds since 1970: seconds, an age (`42m`), or a date with as much time as it has.

    Raises:
        InvalidParameter: none of these.
    """
    whole, _, fraction = text.partition(".")
    if whole.isdigit() and (fraction.isdigit() or not fraction):
        return text
    try:
        return f"{now - parse_duration_ns(text) / 1e9:.9f}"
    except ValueError:
        pass
    try:
        return f"{_parse_date(text):.9f}"
    except ValueError as error:
        raise InvalidParameter(f'invalid value for "since" or "until": failed to parse value as time or duration: "{text}"') from error


def _parse_date(text: str) -> float:
    """Return seconds since 1970; a date without a zone is local time."""
    from datetime import datetime

    if text.endswith("Z") or (len(text) > 6 and text[-6] in "+-" and "T" in text and ":" in text[-5:]):
        return parse_timestamp(text)
    return datetime.fromisoformat(text).timestamp()


def logs(session: Session, options: Options) -> int:
    """Print what a container wrote, and with `--follow` what it goes on writing."""
    container = options.arguments[0]
    client = session.client()
    terminal = bool(value_at(client.get(f"/containers/{container}/json"), "Config", "Tty"))
    query: dict[str, str | list[str]] = {"stdout": "1", "stderr": "1", "tail": options.text("tail")}
    query.update({name: "1" for name in ("follow", "timestamps", "details") if options.switch(name)})
    query.update({name: parse_moment(options.text(name), time.time()) for name in ("since", "until") if options.text(name)})
    from minidocker.cli.stream import copy_output

    copy_output(client.open("GET", f"/containers/{container}/logs", query).iterate(), framed=not terminal)
    return 0


LOGS = Command(
    "[OPTIONS] CONTAINER",
    logs,
    (
        Flag("details", BOOL, "Show extra details provided to logs"),
        Flag("follow", BOOL, "Follow log output", short="f"),
        Flag("since", STRING, 'Show logs since a moment ("2013-01-02T13:23:37Z") or an age ("42m")'),
        Flag("tail", STRING, "Number of lines to show from the end of the logs", short="n", default="all"),
        Flag("timestamps", BOOL, "Show timestamps", short="t"),
        Flag("until", STRING, 'Show logs before a moment ("2013-01-02T13:23:37Z") or an age ("42m")'),
    ),
    minimum=1,
    maximum=1,
)
