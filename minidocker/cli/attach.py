"""`attach` and `start`: connect to a container that exists. Acts; see `run` for why the requests have this order. Chapter 14."""

from __future__ import annotations

import os
import sys

from minidocker.client.transport import DaemonError
from minidocker.cli.command import Command
from minidocker.client.fields import text_at, value_at
from minidocker.cli.flags import BOOL, STRING, Flag
from minidocker.cli.run import read_exit, start_failure_status
from minidocker.errors import Conflict

TYPE_CHECKING = False
if TYPE_CHECKING:
    from minidocker.client.transport import Transport
    from minidocker.cli.flags import Options
    from minidocker.cli.session import Session
    from minidocker.spec.record import Json

__all__ = ["ATTACH", "START"]


def attach(session: Session, options: Options) -> int:
    """Connect to a running container; return its exit status, or 0 if the person detaches."""
    client, name = session.client(), options.arguments[0]
    container = client.get(f"/containers/{name}/json")
    for key, complaint in (
        ("Running", "You cannot attach to a stopped container, start it first"),
        ("Paused", "You cannot attach to a paused container, unpause it first"),
        ("Restarting", "You cannot attach to a restarting container, wait until it is running"),
    ):
        if bool(value_at(container, "State", key)) == (key != "Running"):
            raise Conflict(complaint)
    ended = client.open("POST", f"/containers/{name}/wait")
    wants_input = not options.switch("no-stdin") and bool(value_at(container, "Config", "OpenStdin"))
    detached = _connect(client, options, container, wants_input=wants_input, proxy=options.switch("sig-proxy"), start=False)
    return 0 if detached else read_exit(ended)


def _connect(client: Transport, options: Options, container: Json, *, wants_input: bool, proxy: bool, start: bool) -> bool:
    """Attach to *container*, start it if asked for, and copy streams; return whether the person detached."""
    from minidocker.cli.signals import forward_signals, resize_terminal
    from minidocker.cli.stream import connect_streams

    identity, terminal = text_at(container, "Id"), bool(value_at(container, "Config", "Tty"))
    if wants_input and terminal and not os.isatty(0):
        raise Conflict("the input device is not a TTY")
    query: dict[str, str | list[str]] = {"stream": "1", "stdout": "1", "stderr": "1"}
    if wants_input:
        query["stdin"] = "1"
    keys = options.text("detach-keys")
    if keys:
        query["detachKeys"] = keys
    stream = client.hijack(f"/containers/{identity}/attach", query)
    with forward_signals(client, identity, wanted=proxy and not terminal):
        if start:
            client.call("POST", f"/containers/{identity}/start").read()
        with resize_terminal(client, f"/containers/{identity}", wanted=terminal):
            return connect_streams(stream, terminal=terminal, send_input=wants_input, detach_keys=keys)


def start(session: Session, options: Options) -> int:
    """Start containers; with `--attach` or `--interactive` one of them, and stay with it."""
    if options.switch("attach") or options.switch("interactive"):
        if len(options.arguments) > 1:
            print("you cannot start and attach multiple containers at once", file=sys.stderr)
            return 1
        return _start_attached(session.client(), options)
    failed = []
    for name in options.arguments:
        try:
            session.client().call("POST", f"/containers/{name}/start").read()
            print(name)
        except DaemonError as error:
            print(error.message, file=sys.stderr)
            failed.append(name)
    if failed:
        print(f"Error: failed to start containers: {', '.join(failed)}", file=sys.stderr)
    return 1 if failed else 0


def _start_attached(client: Transport, options: Options) -> int:
    name = options.arguments[0]
    container = client.get(f"/containers/{name}/json")
    wants_input = options.switch("interactive") and bool(value_at(container, "Config", "OpenStdin"))
    condition = "removed" if value_at(container, "HostConfig", "AutoRemove") else "next-exit"
    ended = client.open("POST", f"/containers/{name}/wait", {"condition": condition})
    try:
        detached = _connect(client, options, container, wants_input=wants_input, proxy=True, start=True)
    except DaemonError as error:
        print(error.message, file=sys.stderr)
        status = start_failure_status(error.text)
        return 1 if status == 125 else status
    return 0 if detached else read_exit(ended)


ATTACH = Command(
    "[OPTIONS] CONTAINER",
    attach,
    (
        Flag("detach-keys", STRING, "Override the key sequence for detaching a container"),
        Flag("no-stdin", BOOL, "Do not attach STDIN"),
        Flag("sig-proxy", BOOL, "Proxy all received signals to the process", default=True),
    ),
    minimum=1,
    maximum=1,
)
START = Command(
    "[OPTIONS] CONTAINER [CONTAINER...]",
    start,
    (
        Flag("attach", BOOL, "Attach STDOUT/STDERR and forward signals", short="a"),
        Flag("detach-keys", STRING, "Override the key sequence for detaching a container"),
        Flag("interactive", BOOL, "Attach container's STDIN", short="i"),
    ),
    minimum=1,
)
