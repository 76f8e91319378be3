"""`ps`: the list of containers. Acts: one request, one table. Chapter 14."""

from __future__ import annotations

import time

from minidocker.cli.command import Command
from minidocker.client.fields import list_at, map_at, maps_at, number_at, text_at, texts_at
from minidocker.cli.flags import BOOL, INT, LIST, STRING, Flag, UsageError
from minidocker.cli.table import render_list
from minidocker.cli.units import render_age, render_size

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

    from minidocker.cli.flags import Options
    from minidocker.cli.session import Session
    from minidocker.cli.template import Value
    from minidocker.spec.record import Json

__all__ = ["PS", "container_row", "parse_filters", "render_ports"]

COMMAND_WIDTH = 20
SHORT_ID = 12

HEADERS = {
    "ID": "CONTAINER ID", "Image": "IMAGE", "Command": "COMMAND", "RunningFor": "CREATED", "CreatedAt": "CREATED AT", "Status": "STATUS",
    "Ports": "PORTS", "Names": "NAMES", "Size": "SIZE", "Labels": "LABELS", "Mounts": "MOUNTS", "LocalVolumes": "LOCAL VOLUMES",
    "Networks": "NETWORKS", "State": "STATE", "Platform": "PLATFORM",
}  # fmt: skip
SHOWN = ("ID", "Image", "Command", "RunningFor", "Status", "Ports", "Names")


def parse_filters(texts: Sequence[str]) -> str:
    """Return the `filters` of a request for `KEY=VALUE` *texts*.

    Raises:
        UsageError: a filter without `=`.
    """
    filters: dict[str, dict[str, bool]] = {}
    for text in texts:
        key, equals, value = text.partition("=")
        if not equals:
            raise UsageError(f'invalid argument "{text}" for "-f, --filter" flag: bad format of filter (expected name=value)')
        filters.setdefault(key.strip().lower(), {})[value.strip()] = True
    import json

    return json.dumps(filters)


def render_ports(ports: Sequence[dict[str, Json]]) -> str:
    """Return the ports of a container in Docker's words: `0.0.0.0:8080->80/tcp, 90-92/udp`.

    Neighbours are joined where they are not published, or published under their own number.
    """
    keyed = sorted(
        (number_at(port, "PrivatePort"), text_at(port, "IP"), number_at(port, "PublicPort"), text_at(port, "Type") or "tcp")
        for port in ports
    )
    finished: list[str] = []
    mapped: list[str] = []
    open_ranges: dict[tuple[str, str], tuple[int, int]] = {}
    for inside, address, outside, protocol in keyed:
        if address and outside != inside:
            mapped.append(f"{_host(address)}:{outside}->{inside}/{protocol}")
            continue
        first, last = open_ranges.get((address, protocol), (inside, inside))
        if inside > last + 1:
            finished.append(_render_range(address, protocol, first, last))
            first = inside
        open_ranges[address, protocol] = (first, inside)
    finished += [_render_range(*key, *limits) for key, limits in open_ranges.items()]
    return ", ".join(finished + mapped)


def _render_range(address: str, protocol: str, first: int, last: int) -> str:
    ports = str(first) if first == last else f"{first}-{last}"
    return f"{_host(address)}:{ports}->{ports}/{protocol}" if address else f"{ports}/{protocol}"


def _host(address: str) -> str:
    return f"[{address}]" if ":" in address else address


def _shorten(text: str, width: int) -> str:
    return text if len(text) <= width else text[: width - 1] + "…"


def container_row(container: Json, *, now: float, truncate: bool = True) -> dict[str, Value]:
    """Return the fields of one container of `GET /containers/json` as text."""
    image, labels, identity = text_at(container, "Image"), map_at(container, "Labels"), text_at(container, "Id")
    command = text_at(container, "Command")
    names = [name.removeprefix("/") for name in texts_at(container, "Names")]
    if truncate:
        names = [name for name in names if "/" not in name]
        command = _shorten(command, COMMAND_WIDTH)
        image = image.removeprefix("sha256:")[:SHORT_ID] if image.startswith("sha256:") else image
    mounts = [text_at(mount, "Name") or text_at(mount, "Source") for mount in maps_at(container, "Mounts")]
    return {
        "ID": identity[:SHORT_ID] if truncate else identity,
        "Image": image or "<no image>",
        "Command": _quote(command),
        "RunningFor": render_age(now - number_at(container, "Created")) + " ago",
        "CreatedAt": time.strftime("%Y-%m-%d %H:%M:%S %z %Z", time.localtime(number_at(container, "Created"))),
        "Status": text_at(container, "Status"),
        "State": text_at(container, "State"),
        "Ports": render_ports(maps_at(container, "Ports")),
        "Names": ",".join(names),
        "Size": _render_sizes(container),
        "Labels": ",".join(f"{key}={value}" for key, value in labels.items()),
        "Label": lambda *keys: text_at(labels, str(keys[0])) if keys else "",
        "Mounts": ",".join(_shorten(name, 15) if truncate else name for name in mounts),
        "LocalVolumes": str(sum(text_at(mount, "Driver") == "local" for mount in maps_at(container, "Mounts"))),
        "Networks": ",".join(map_at(container, "NetworkSettings", "Networks")),
        "Platform": None,
    }


def _quote(text: str) -> str:
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n").replace("\t", "\\t") + '"'


def _render_sizes(container: Json) -> str:
    own, whole = number_at(container, "SizeRw"), number_at(container, "SizeRootFs")
    return render_size(own) + (f" (virtual {render_size(whole)})" if whole else "")


def ps(session: Session, options: Options) -> int:
    """List containers."""
    query: dict[str, str | list[str]] = {}
    last = 1 if options.switch("latest") else options.number("last")
    if options.switch("all") or last > 0:
        query["all"] = "1"
    if last > 0:
        query["limit"] = str(last)
    template = options.text("format")
    sizes = options.switch("size") or ".Size" in template or "{{json" in template.replace(" ", "")
    if sizes:
        query["size"] = "1"
    if options.texts("filter"):
        query["filters"] = parse_filters(options.texts("filter"))
    containers = list_at({"": session.client().get("/containers/json", query)}, "")
    truncate = not options.switch("no-trunc")
    if options.switch("quiet"):
        for container in containers:
            print(text_at(container, "Id")[: SHORT_ID if truncate else None])
        return 0
    rows = [container_row(container, now=time.time(), truncate=truncate) for container in containers]
    text = render_list(rows, HEADERS, (*SHOWN, "Size") if options.switch("size") else SHOWN, template)
    if text:
        print(text)
    return 0


PS = Command(
    "[OPTIONS]",
    ps,
    (
        Flag("all", BOOL, "Show all containers (default shows just running)", short="a"),
        Flag("filter", LIST, "Filter output based on conditions provided", short="f"),
        Flag("format", STRING, "Format output: table, json, a Go template, or table and a template"),
        Flag("last", INT, "Show n last created containers (includes all states)", short="n", default=-1),
        Flag("latest", BOOL, "Show the latest created container (includes all states)", short="l"),
        Flag("no-trunc", BOOL, "Don't truncate output"),
        Flag("quiet", BOOL, "Only display container IDs", short="q"),
        Flag("size", BOOL, "Display total file sizes", short="s"),
    ),
    maximum=0,
)
