"""`stop`, `restart`, `kill`, `rm`, `pause`, `unpause`, `rename`, `wait`: one request for each named container.

Acts. Every container is tried; what was done is printed by name, what failed goes to standard error at the end, and the
exit status is 1 if anything did. Chapter 14.
"""

from __future__ import annotations

import sys

from minidocker.client.transport import DaemonError
from minidocker.cli.command import Command
from minidocker.client.fields import number_at, text_at
from minidocker.cli.flags import BOOL, INT, STRING, Flag

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from minidocker.cli.flags import Options
    from minidocker.cli.session import Session

__all__ = ["KILL", "PAUSE", "RENAME", "RESTART", "RM", "STOP", "UNPAUSE", "WAIT", "for_each"]


def for_each(names: Iterable[str], act: Callable[[str], str]) -> int:
    """Print what *act* returns for each of *names*, if anything, then what failed; return the exit status."""
    failures = []
    for name in names:
        try:
            done = act(name)
        except DaemonError as error:
            failures.append(error.message)
        else:
            if done:
                print(done, flush=True)
    for failure in failures:
        print(failure, file=sys.stderr)
    return 1 if failures else 0


def _post_each(session: Session, options: Options, verb: str, query: dict[str, str | list[str]] | None = None) -> int:
    def post(name: str) -> str:
        session.client().call("POST", f"/containers/{name}/{verb}", query).read()
        return name

    return for_each(options.arguments, post)


def _stop_query(options: Options) -> dict[str, str | list[str]]:
    query: dict[str, str | list[str]] = {}
    if "timeout" in options.given:
        query["t"] = str(options.number("timeout"))
    if options.text("signal"):
        query["signal"] = options.text("signal")
    return query


def stop(session: Session, options: Options) -> int:
    """Stop containers: their stop signal, and SIGKILL after a while."""
    return _post_each(session, options, "stop", _stop_query(options))


def restart(session: Session, options: Options) -> int:
    """Stop and start containers."""
    return _post_each(session, options, "restart", _stop_query(options))


def kill(session: Session, options: Options) -> int:
    """Send a signal to containers, SIGKILL unless told otherwise."""
    return _post_each(session, options, "kill", {"signal": options.text("signal")} if options.text("signal") else None)


def pause(session: Session, options: Options) -> int:
    """Freeze all processes of containers."""
    return _post_each(session, options, "pause")


def unpause(session: Session, options: Options) -> int:
    """Thaw the processes of paused containers."""
    return _post_each(session, options, "unpause")


def rename(session: Session, options: Options) -> int:
    """Give a container another name."""
    old, new = options.arguments
    try:
        session.client().call("POST", f"/containers/{old}/rename", {"name": new}).read()
    except DaemonError as error:
        print(f"{error.message}\nError: failed to rename container named {old}", file=sys.stderr)
        return 1
    return 0


def remove(session: Session, options: Options) -> int:
    """Remove containers."""
    flags = (("volumes", "v"), ("force", "force"), ("link", "link"))
    query: dict[str, str | list[str]] = {key: "1" for flag, key in flags if options.switch(flag)}

    def delete(name: str) -> str:
        name = name.strip("/")
        try:
            session.client().call("DELETE", f"/containers/{name}", query).read()
        except DaemonError as error:
            if not (options.switch("force") and error.http_status == 404):
                raise
            # `rm -f` of what does not exist succeeds, but says so.
            print(error.message, file=sys.stderr)
            return ""
        return name

    return for_each(options.arguments, delete)


def wait(session: Session, options: Options) -> int:
    """Wait until containers end and print their exit statuses."""

    def wait_for(name: str) -> str:
        result = session.client().open("POST", f"/containers/{name}/wait").json()
        failure = text_at(result, "Error", "Message")
        if failure:
            raise DaemonError(failure, 500)
        return str(number_at(result, "StatusCode"))

    return for_each(options.arguments, wait_for)


_MANY = "CONTAINER [CONTAINER...]"
_STOP_FLAGS = (
    Flag("signal", STRING, "Signal to send to the container", short="s"),
    Flag("time", INT, "Seconds to wait before killing the container", stored_as="timeout", hidden=True),
    Flag("timeout", INT, "Seconds to wait before killing the container", short="t"),
)
STOP = Command(f"[OPTIONS] {_MANY}", stop, _STOP_FLAGS, minimum=1)
RESTART = Command(f"[OPTIONS] {_MANY}", restart, _STOP_FLAGS, minimum=1)
KILL = Command(f"[OPTIONS] {_MANY}", kill, (Flag("signal", STRING, "Signal to send to the container", short="s"),), minimum=1)
RM = Command(
    f"[OPTIONS] {_MANY}",
    remove,
    (
        Flag("force", BOOL, "Force the removal of a running container (uses SIGKILL)", short="f"),
        Flag("link", BOOL, "Remove the specified link", short="l"),
        Flag("volumes", BOOL, "Remove anonymous volumes associated with the container", short="v"),
    ),
    minimum=1,
)
PAUSE = Command(_MANY, pause, minimum=1)
UNPAUSE = Command(_MANY, unpause, minimum=1)
RENAME = Command("CONTAINER NEW_NAME", rename, minimum=2, maximum=2)
WAIT = Command(_MANY, wait, minimum=1)
