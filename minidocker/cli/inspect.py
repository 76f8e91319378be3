"""`inspect`: everything the server knows about containers, images, networks and volumes.

Acts. Plain `inspect` tries the kinds in Docker's order until one has the name. Chapter 14.
"""

from __future__ import annotations

import sys

from minidocker.client.transport import DaemonError
from minidocker.cli.command import Command
from minidocker.cli.flags import BOOL, STRING, Flag
from minidocker.cli.output import print_objects

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from minidocker.client.transport import Transport
    from minidocker.cli.flags import Options
    from minidocker.cli.session import Session
    from minidocker.spec.record import Json

__all__ = ["CONTAINER_INSPECT", "IMAGE_INSPECT", "INSPECT", "NETWORK_INSPECT", "VOLUME_INSPECT"]

PATHS = {
    "container": "/containers/{}/json", "image": "/images/{}/json", "network": "/networks/{}", "volume": "/volumes/{}",
}  # fmt: skip
"""Where each kind of object is asked for, in the order in which plain `inspect` tries them."""


def _get(client: Transport, kind: str, name: str, options: Options) -> Json:
    size = kind == "container" and "size" in options.given and options.switch("size")
    return client.get(PATHS[kind].format(name), {"size": "1"} if size else None)


def _find(client: Transport, name: str, options: Options) -> Json:
    for kind in PATHS:
        try:
            return _get(client, kind, name, options)
        except DaemonError as error:
            if error.http_status != 404:
                raise
    raise DaemonError(f"No such object: {name}", 404)


def _inspect_all(names: Sequence[str], template: str, get: Callable[[str], Json]) -> int:
    """Print what *get* returns for *names*, then what failed."""
    values, failures = [], []
    for name in names:
        try:
            values.append(get(name))
        except DaemonError as error:
            failures.append(f"Error: {error.text}" if error.text.startswith("No such object") else error.message)
    print_objects(values, template)
    for failure in failures:
        print(failure, file=sys.stderr)
    return 1 if failures else 0


def inspect(session: Session, options: Options) -> int:
    """Show objects of any kind, or of one."""
    client, kind = session.client(), options.text("type")
    if kind and kind not in PATHS:
        known = ", ".join(f'"{name}"' for name in PATHS)
        print(f'unknown type: "{kind}": must be one of {known}', file=sys.stderr)
        return 1
    get = (lambda name: _get(client, kind, name, options)) if kind else (lambda name: _find(client, name, options))
    return _inspect_all(options.arguments, options.text("format"), get)


def _inspect_kind(kind: str) -> Callable[[Session, Options], int]:
    def act(session: Session, options: Options) -> int:
        client = session.client()
        return _inspect_all(options.arguments, options.text("format"), lambda name: _get(client, kind, name, options))

    return act


_FORMAT = Flag("format", STRING, "Format output: json or a Go template", short="f")
_SIZE = Flag("size", BOOL, "Display total file sizes of containers", short="s")

INSPECT = Command(
    "[OPTIONS] NAME|ID [NAME|ID...]",
    inspect,
    (_FORMAT, _SIZE, Flag("type", STRING, "Only inspect objects of the given type")),
    minimum=1,
)
CONTAINER_INSPECT = Command("[OPTIONS] CONTAINER [CONTAINER...]", _inspect_kind("container"), (_FORMAT, _SIZE), minimum=1)
IMAGE_INSPECT = Command("[OPTIONS] IMAGE [IMAGE...]", _inspect_kind("image"), (_FORMAT,), minimum=1)
VOLUME_INSPECT = Command("[OPTIONS] VOLUME [VOLUME...]", _inspect_kind("volume"), (_FORMAT,), minimum=1)
NETWORK_INSPECT = Command(
    "[OPTIONS] NETWORK [NETWORK...]",
    _inspect_kind("network"),
    (_FORMAT, Flag("verbose", BOOL, "Verbose output for diagnostics", short="v")),
    minimum=1,
)
