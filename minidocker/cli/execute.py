"""`exec`: run another command in a running container.

Acts: exec create → exec start, which becomes the stream → exec inspect, for the exit status. Chapter 14.
"""

from __future__ import annotations

import os
import sys

from minidocker.client.transport import DaemonError
from minidocker.cli.command import Command
from minidocker.client.fields import number_at, text_at
from minidocker.cli.flags import BOOL, LIST, STRING, Flag, Kind, UsageError
from minidocker.cli.run import start_failure_status
from minidocker.cli.run_body import Surroundings, read_variables
from minidocker.cli.run_values import check_variable

TYPE_CHECKING = False
if TYPE_CHECKING:
    from minidocker.client.transport import Transport
    from minidocker.cli.flags import Options
    from minidocker.cli.session import Session
    from minidocker.spec.record import Json

__all__ = ["EXEC"]


def execute(session: Session, options: Options) -> int:
    """Run a command in a running container and return its exit status."""
    container, *command = options.arguments
    attached = not options.switch("detach")
    interactive = options.switch("interactive") and attached
    terminal = options.switch("tty")
    if interactive and terminal and not os.isatty(0):
        print("the input device is not a TTY", file=sys.stderr)
        return 1
    body: dict[str, Json] = {"Cmd": list(command), "AttachStdin": interactive, "AttachStdout": attached, "AttachStderr": attached}
    if terminal:
        body.update({"Tty": True, **_console_size()})
    for flag, key in (("user", "User"), ("workdir", "WorkingDir"), ("detach-keys", "DetachKeys")):
        if options.text(flag):
            body[key] = options.text(flag)
    if options.switch("privileged"):
        body["Privileged"] = True
    if variables := _variables(options):
        body["Env"] = list(variables)
    client = session.client()
    identity = text_at(client.post(f"/containers/{container}/exec", None, body), "Id")
    try:
        return _start(client, options, identity, attached=attached, interactive=interactive, terminal=terminal)
    except DaemonError as error:
        print(error.message, file=sys.stderr)
        status = start_failure_status(error.text)
        return status if status != 125 else 1


def _variables(options: Options) -> list[str]:
    try:
        return read_variables(options.texts("env-file"), options.texts("env"), Surroundings(os.environ, os.getcwd(), _read_text))
    except ValueError as error:
        raise UsageError(str(error), prefix=True, brief=True) from error


def _read_text(path: str) -> str:
    with open(path, encoding="utf-8") as file:
        return file.read()


def _console_size() -> dict[str, Json]:
    from minidocker.cli.terminal import terminal_size

    rows, columns = terminal_size()
    return {"ConsoleSize": [rows, columns]} if rows else {}


def _start(client: Transport, options: Options, identity: str, *, attached: bool, interactive: bool, terminal: bool) -> int:
    if not attached:
        client.call("POST", f"/exec/{identity}/start", None, {"Detach": True, "Tty": terminal}).read()
        return 0
    from minidocker.cli.signals import resize_terminal
    from minidocker.cli.stream import connect_streams

    size = _console_size() if terminal else {}
    stream = client.hijack(f"/exec/{identity}/start", None, {"Detach": False, "Tty": terminal, **size})
    with resize_terminal(client, f"/exec/{identity}", wanted=terminal):
        detached = connect_streams(stream, terminal=terminal, send_input=interactive, detach_keys=options.text("detach-keys"))
    return 0 if detached else number_at(client.get(f"/exec/{identity}/json"), "ExitCode")


EXEC = Command(
    "[OPTIONS] CONTAINER COMMAND [ARG...]",
    execute,
    (
        Flag("detach", BOOL, "Detached mode: run command in the background", short="d"),
        Flag("detach-keys", STRING, "Override the key sequence for detaching a container"),
        Flag("env", Kind("list", check_variable, many=True), "Set environment variables", short="e"),
        Flag("env-file", LIST, "Read environment variables from a file"),
        Flag("interactive", BOOL, "Keep STDIN open even if not attached", short="i"),
        Flag("privileged", BOOL, "Give extended privileges to the command"),
        Flag("tty", BOOL, "Allocate a pseudo-TTY", short="t"),
        Flag("user", STRING, 'Username or UID (format: "<name|uid>[:<group|gid>]")', short="u"),
        Flag("workdir", STRING, "Working directory inside the container", short="w"),
    ),
    minimum=2,
    interspersed=False,
)
