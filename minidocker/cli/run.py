"""`run` and `create`: make a container, and for `run` stay with it until it ends.

Acts. The order of requests is the content of this module; each line waits for the answer of the one before:

    create → (404: pull, create again) → attach → wait → start → copy streams → the answer to wait

*attach* comes before *start* so that no output is lost, *wait* comes before *start* so that no exit is missed, and its
header arrives at once, its body when the container has ended. Exit status: the command's own, 128 + N when signal N
killed it, 125 when Docker failed, 126 and 127 when the command cannot be run or is not there. Chapter 14.
"""

from __future__ import annotations

import os
import sys
from contextlib import suppress

from minidocker.client.transport import DaemonError
from minidocker.cli.command import Command
from minidocker.client.fields import number_at, text_at, texts_at
from minidocker.cli.flags import UsageError
from minidocker.client.image_name import name_with_tag, split_image_name
from minidocker.cli.run_body import Surroundings, build_create_body
from minidocker.cli.run_flags import CREATE_FLAGS, RUN_FLAGS
from minidocker.errors import InvalidParameter, MinidockerError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from minidocker.client.transport import Response, Stream, Transport
    from minidocker.cli.flags import Options
    from minidocker.cli.session import Session
    from minidocker.spec.record import Json

__all__ = ["CREATE", "RUN", "exit_status_of", "read_exit", "start_failure_status"]

FAILED = 125
NOT_EXECUTABLE = 126
NOT_FOUND = 127


def start_failure_status(message: str) -> int:
    """Return the exit status for a container whose command could not be started, by the words of the server."""
    text = message.lower()
    if "executable file not found" in text or "no such file or directory" in text or "system cannot find the file" in text:
        return NOT_FOUND
    if "permission denied" in text or "is a directory" in text or "exec format error" in text:
        return NOT_EXECUTABLE
    return FAILED


def exit_status_of(error: MinidockerError) -> int:
    """Return 125, or what `start_failure_status` makes of a server's refusal."""
    return start_failure_status(error.text) if isinstance(error, DaemonError) else FAILED


def read_exit(response: Response) -> int:
    """Return the exit status in the answer to a wait, once the container has ended."""
    result = response.json()
    failure = text_at(result, "Error", "Message")
    if failure:
        print(f"Error waiting for container: {failure}", file=sys.stderr)
        return FAILED
    return number_at(result, "StatusCode")


def create(session: Session, options: Options) -> int:
    """Create a container and print its id."""
    body = _request_body(options)
    if _explain(session, options, body):
        return 0
    print(create_container(session.client(), options, body))
    return 0


def run(session: Session, options: Options) -> int:
    """Create a container, start it and stay with it; return its exit status."""
    if options.switch("detach") and options.texts("attach"):
        print("conflicting options: cannot specify both --attach and --detach", file=sys.stderr)
        return 1
    body = _request_body(options)
    try:
        if _explain(session, options, body):
            return 0
        if body.get("AttachStdin") and body.get("Tty") and not os.isatty(0):
            print("the input device is not a TTY", file=sys.stderr)
            return 1
        if body.get("Tty"):
            _say_console_size(body)
        return _run(session.client(), options, body)
    except (MinidockerError, ConnectionError) as error:
        hint = f"\n  {error.hint}" if isinstance(error, MinidockerError) and error.hint else ""
        message = error.message if isinstance(error, MinidockerError) else f"the connection to the server broke: {error}"
        print(f"minidocker: {message}{hint}\n\nRun 'minidocker run --help' for more information", file=sys.stderr)
        return exit_status_of(error) if isinstance(error, MinidockerError) else FAILED


def _request_body(options: Options) -> dict[str, Json]:
    """Return the body of the request, after the checks that need no server.

    Raises:
        UsageError: a flag or the image's name is wrong.
    """
    if options.text("pull") not in ("always", "missing", "never"):
        raise UsageError(f"invalid pull option: '{options.text('pull')}': must be one of \"always\", \"missing\" or \"never\"", prefix=True, brief=True)
    body = build_create_body(options, Surroundings(os.environ, os.getcwd(), _read_text))
    try:
        split_image_name(options.arguments[0])
    except InvalidParameter as error:
        raise UsageError(error.message, prefix=True, brief=True) from error
    return body


def _say_console_size(body: dict[str, Json]) -> None:
    """Tell the server our terminal's size with the request, so that the command finds it from its first instruction."""
    from minidocker.cli.terminal import terminal_size

    rows, columns = terminal_size()
    host = body["HostConfig"]
    if isinstance(host, dict) and rows:
        host["ConsoleSize"] = [rows, columns]


def _read_text(path: str) -> str:
    with open(path, encoding="utf-8") as file:
        return file.read()


def _explain(session: Session, options: Options, body: dict[str, Json]) -> bool:
    """Print how the container would be made, or what it would see, if that is asked for; return whether that was all."""
    explained = "explain" in options.given
    if options.switch("simulate"):
        from minidocker.cli.simulate import simulate_run

        simulate_run(body, options.arguments[0], explained=explained)
        return True
    if not explained and not options.switch("dry-run"):
        return False
    from minidocker.cli.explain import explain_run

    dry_run = options.switch("dry-run")
    explain_run(body, options.arguments[0], dry_run, options.text("explain") or "text", None if dry_run else session.client())
    return dry_run


def create_container(client: Transport, options: Options, body: dict[str, Json]) -> str:
    """Return the id of a new container; a missing image is downloaded first.

    Raises:
        UsageError: the file for the id exists already.
        DaemonError: the server refuses.
    """
    cidfile = options.text("cidfile")
    if cidfile and os.path.exists(cidfile):
        raise UsageError(f"container ID file found, make sure the other container isn't running or delete {cidfile}", prefix=True, brief=True)
    query: dict[str, str | list[str]] = {key: options.text(key) for key in ("name", "platform") if options.text(key)}
    if options.text("pull") == "always":
        _pull(client, options)
    try:
        created = client.post("/containers/create", query, body)
    except DaemonError as error:
        if error.http_status != 404 or "no such image" not in error.text.lower() or options.text("pull") == "never":
            raise
        if not options.switch("quiet"):
            print(f"Unable to find image '{name_with_tag(options.arguments[0])}' locally", file=sys.stderr)
        _pull(client, options)
        created = client.post("/containers/create", query, body)
    for warning in texts_at(created, "Warnings"):
        print(f"WARNING: {warning}", file=sys.stderr)
    container = text_at(created, "Id")
    if cidfile:
        with open(cidfile, "x", encoding="ascii") as file:
            file.write(container)
    return container


def _pull(client: Transport, options: Options) -> None:
    from minidocker.cli.pull import pull_image

    pull_image(client, options.arguments[0], platform=options.text("platform"), quiet=options.switch("quiet"), out=sys.stderr)


def _run(client: Transport, options: Options, body: dict[str, Json]) -> int:
    container = create_container(client, options, body)
    if options.switch("detach"):
        client.call("POST", f"/containers/{container}/start").read()
        print(container)
        return 0
    from minidocker.cli.signals import forward_signals

    with forward_signals(client, container, wanted=options.switch("sig-proxy")):
        return _run_attached(client, options, body, container)


def _run_attached(client: Transport, options: Options, body: dict[str, Json], container: str) -> int:
    query: dict[str, str | list[str]] = {
        name.lower(): "1" for name in ("Stdin", "Stdout", "Stderr") if body.get(f"Attach{name}")
    }
    if options.text("detach-keys"):
        query["detachKeys"] = options.text("detach-keys")
    stream = client.hijack(f"/containers/{container}/attach", {"stream": "1", **query})
    condition = "removed" if options.switch("rm") else "next-exit"
    ended = client.open("POST", f"/containers/{container}/wait", {"condition": condition})
    try:
        client.call("POST", f"/containers/{container}/start").read()
    except DaemonError:
        stream.close()
        if options.switch("rm"):
            with suppress(MinidockerError, OSError):  # the refusal is what matters
                ended.read()
        raise
    return _stay(client, options, body, container, stream, ended)


def _stay(client: Transport, options: Options, body: dict[str, Json], container: str, stream: Stream, ended: Response) -> int:
    from minidocker.cli.signals import resize_terminal
    from minidocker.cli.stream import connect_streams

    terminal = bool(body.get("Tty"))
    with resize_terminal(client, f"/containers/{container}", wanted=terminal):
        detached = connect_streams(
            stream, terminal=terminal, send_input=bool(body.get("AttachStdin")), detach_keys=options.text("detach-keys")
        )
    return 0 if detached else read_exit(ended)


_USAGE = "[OPTIONS] IMAGE [COMMAND] [ARG...]"
RUN = Command(_USAGE, run, RUN_FLAGS, minimum=1, interspersed=False)
CREATE = Command(_USAGE, create, CREATE_FLAGS, minimum=1, interspersed=False)
