"""`volume ls`, `volume create`, `volume rm`. Acts. Chapter 14."""

from __future__ import annotations

from minidocker.cli.command import Command
from minidocker.cli.containers import parse_filters
from minidocker.client.fields import map_at, maps_at, text_at
from minidocker.cli.flags import BOOL, LIST, MAP, STRING, Flag, Kind
from minidocker.cli.lifecycle import for_each
from minidocker.cli.run_values import check_label
from minidocker.cli.table import render_list

TYPE_CHECKING = False
if TYPE_CHECKING:
    from minidocker.cli.flags import Options
    from minidocker.cli.session import Session
    from minidocker.cli.template import Value
    from minidocker.spec.record import Json

__all__ = ["VOLUME_CREATE", "VOLUME_LS", "VOLUME_RM"]

HEADERS = {
    "Driver": "DRIVER", "Name": "VOLUME NAME", "Scope": "SCOPE", "Mountpoint": "MOUNTPOINT", "Labels": "LABELS", "Links": "LINKS",
    "Size": "SIZE", "Availability": "AVAILABILITY", "Group": "GROUP", "Status": "STATUS",
}  # fmt: skip


def _row(volume: Json) -> dict[str, Value]:
    labels = map_at(volume, "Labels")
    return {
        **dict.fromkeys(("Availability", "Group", "Links", "Size", "Status"), "N/A"),
        "Driver": text_at(volume, "Driver"), "Name": text_at(volume, "Name"), "Scope": text_at(volume, "Scope"),
        "Mountpoint": text_at(volume, "Mountpoint"), "Labels": ",".join(f"{key}={value}" for key, value in labels.items()),
        "Label": lambda *keys: text_at(labels, str(keys[0])) if keys else "",
    }  # fmt: skip


def list_volumes(session: Session, options: Options) -> int:
    """List volumes."""
    query: dict[str, str | list[str]] = {"filters": parse_filters(options.texts("filter"))} if options.texts("filter") else {}
    volumes = sorted(maps_at(session.client().get("/volumes", query), "Volumes"), key=lambda volume: text_at(volume, "Name"))
    if options.switch("quiet"):
        for volume in volumes:
            print(text_at(volume, "Name"))
        return 0
    text = render_list([_row(volume) for volume in volumes], HEADERS, ("Driver", "Name"), options.text("format"))
    if text:
        print(text)
    return 0


def create(session: Session, options: Options) -> int:
    """Create a volume and print its name."""
    body: dict[str, Json] = {"Driver": options.text("driver")}
    if options.arguments:
        body["Name"] = options.arguments[0]
    for flag, key in (("opt", "DriverOpts"), ("label", "Labels")):
        if options.texts(flag):
            body[key] = {**options.mapping(flag)}
    print(text_at(session.client().post("/volumes/create", None, body), "Name"))
    return 0


def remove(session: Session, options: Options) -> int:
    """Remove volumes that no container uses."""

    def delete(name: str) -> str:
        session.client().call("DELETE", f"/volumes/{name}", {"force": "1"} if options.switch("force") else None).read()
        return name

    return for_each(options.arguments, delete)


VOLUME_LS = Command(
    "[OPTIONS]",
    list_volumes,
    (
        Flag("filter", LIST, 'Provide filter values (e.g. "dangling=true")', short="f"),
        Flag("format", STRING, "Format output: table, json, a Go template, or table and a template"),
        Flag("quiet", BOOL, "Only display volume names", short="q"),
    ),
    maximum=0,
)
VOLUME_CREATE = Command(
    "[OPTIONS] [VOLUME]",
    create,
    (
        Flag("driver", STRING, "Specify volume driver name", short="d", default="local"),
        Flag("label", Kind("list", check_label, many=True), "Set metadata for a volume"),
        Flag("opt", MAP, "Set driver specific options", short="o"),
    ),
    maximum=1,
)
VOLUME_RM = Command(
    "[OPTIONS] VOLUME [VOLUME...]",
    remove,
    (Flag("force", BOOL, "Force the removal of one or more volumes", short="f"),),
    minimum=1,
)
