"""`network ls`. Acts. Chapter 14."""

from __future__ import annotations

from minidocker.cli.command import Command
from minidocker.cli.containers import SHORT_ID, parse_filters
from minidocker.cli.fields import list_at, map_at, text_at, value_at
from minidocker.cli.flags import BOOL, LIST, STRING, Flag
from minidocker.cli.table import render_list

TYPE_CHECKING = False
if TYPE_CHECKING:
    from minidocker.cli.flags import Options
    from minidocker.cli.session import Session
    from minidocker.cli.template import Value
    from minidocker.spec.record import Json

__all__ = ["NETWORK_LS"]

HEADERS = {
    "ID": "NETWORK ID", "Name": "NAME", "Driver": "DRIVER", "Scope": "SCOPE", "IPv4": "IPV4", "IPv6": "IPV6", "Internal": "INTERNAL",
    "Labels": "LABELS", "CreatedAt": "CREATED AT",
}  # fmt: skip


def _row(network: Json, *, truncate: bool) -> dict[str, Value]:
    labels = map_at(network, "Labels")
    switches = (("IPv4", "EnableIPv4"), ("IPv6", "EnableIPv6"), ("Internal", "Internal"))
    return {
        "ID": text_at(network, "Id")[: SHORT_ID if truncate else None],
        "Name": text_at(network, "Name"),
        "Driver": text_at(network, "Driver"),
        "Scope": text_at(network, "Scope"),
        **{field: str(bool(value_at(network, key))).lower() for field, key in switches},
        "Labels": ",".join(f"{key}={value}" for key, value in labels.items()),
        "Label": lambda *keys: text_at(labels, str(keys[0])) if keys else "",
        "CreatedAt": text_at(network, "Created").replace("T", " ").replace("Z", " +0000 UTC"),
    }


def list_networks(session: Session, options: Options) -> int:
    """List networks."""
    query: dict[str, str | list[str]] = {"filters": parse_filters(options.texts("filter"))} if options.texts("filter") else {}
    networks = list_at({"": session.client().get("/networks", query)}, "")
    networks.sort(key=lambda network: text_at(network, "Name"))
    rows = [_row(network, truncate=not options.switch("no-trunc")) for network in networks]
    if options.switch("quiet"):
        for row in rows:
            print(row["ID"])
        return 0
    text = render_list(rows, HEADERS, ("ID", "Name", "Driver", "Scope"), options.text("format"))
    if text:
        print(text)
    return 0


NETWORK_LS = Command(
    "[OPTIONS]",
    list_networks,
    (
        Flag("filter", LIST, 'Provide filter values (e.g. "driver=bridge")', short="f"),
        Flag("format", STRING, "Format output: table, json, a Go template, or table and a template"),
        Flag("no-trunc", BOOL, "Do not truncate the output"),
        Flag("quiet", BOOL, "Only display network IDs", short="q"),
    ),
    maximum=0,
)
