"""`top` and `port`: what runs in a container, and what reaches it. Acts. Chapter 14."""

from __future__ import annotations

from minidocker.cli.command import Command
from minidocker.client.fields import list_at, map_at, maps_at, text_at, texts_at
from minidocker.cli.table import render_table
from minidocker.errors import NotFound

TYPE_CHECKING = False
if TYPE_CHECKING:
    from minidocker.cli.flags import Options
    from minidocker.cli.session import Session

__all__ = ["PORT", "TOP"]

TOP_COLUMN_MINIMUM = 20


def top(session: Session, options: Options) -> int:
    """Show the processes of a container, with the columns that the arguments ask of `ps`."""
    name, *arguments = options.arguments
    answer = session.client().get(f"/containers/{name}/top", {"ps_args": " ".join(arguments)} if arguments else None)
    rows = [texts_at({"": row}, "") for row in list_at(answer, "Processes")]
    print(render_table([texts_at(answer, "Titles"), *rows], minimum=TOP_COLUMN_MINIMUM))
    return 0


def port(session: Session, options: Options) -> int:
    """Show where the ports of a container are published."""
    name, *wanted = options.arguments
    container = session.client().get(f"/containers/{name}/json")
    ports = map_at(container, "NetworkSettings", "Ports")
    found = []
    for key in sorted(ports, key=_port_order):
        if wanted and key != (wanted[0] if "/" in wanted[0] else f"{wanted[0]}/tcp"):
            continue
        for binding in maps_at(ports, key):
            address = text_at(binding, "HostIp") or "0.0.0.0"
            address = f"[{address}]" if ":" in address else address
            found.append(("" if wanted else f"{key} -> ") + f"{address}:{text_at(binding, 'HostPort')}")
    if wanted and not found:
        raise NotFound(f"Error: No public port '{wanted[0]}' published for {name}")
    for line in found:
        print(line)
    return 0


def _port_order(key: str) -> tuple[int, str]:
    number, _, protocol = key.partition("/")
    return (int(number) if number.isdigit() else 0), protocol


TOP = Command("CONTAINER [ps OPTIONS]", top, minimum=1, interspersed=False)
PORT = Command("CONTAINER [PRIVATE_PORT[/PROTO]]", port, minimum=1, maximum=2)
