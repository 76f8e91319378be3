"""`ps` and its tables."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from minidocker.cli.containers import HEADERS, SHOWN, container_row, parse_filters, render_ports
from minidocker.cli.flags import UsageError
from minidocker.cli.table import render_list, render_table
from minidocker.errors import InvalidParameter
from minidocker.spec.record import Json

CONTAINER: Json = {
    "Id": "0123456789abcdef" * 4, "Names": ["/web", "/other/alias"], "Image": "busybox", "Command": "sh -c 'echo a long command line'",
    "Created": 1000, "State": "running", "Status": "Up 5 seconds", "Labels": {"a": "1", "b": "<2>"},
    "Ports": [{"IP": "0.0.0.0", "PrivatePort": 80, "PublicPort": 8080, "Type": "tcp"}],
    "Mounts": [{"Name": "a-name-that-is-longer-than-that", "Driver": "local"}], "NetworkSettings": {"Networks": {"bridge": {}}},
}  # fmt: skip


def port(inside: int, outside: int = 0, address: str = "", protocol: str = "tcp") -> dict[str, Json]:
    return {"IP": address, "PrivatePort": inside, "PublicPort": outside, "Type": protocol}


PORTS = [
    ([], ""),
    ([port(80)], "80/tcp"),
    ([port(80), port(81), port(82)], "80-82/tcp"),
    ([port(80), port(82)], "80/tcp, 82/tcp"),
    ([port(80, protocol="udp"), port(80)], "80/tcp, 80/udp"),
    ([port(80, 8080, "0.0.0.0")], "0.0.0.0:8080->80/tcp"),
    ([port(80, 8080, "::"), port(80, 8080, "0.0.0.0")], "0.0.0.0:8080->80/tcp, [::]:8080->80/tcp"),
    ([port(80, 80, "0.0.0.0"), port(81, 81, "0.0.0.0")], "0.0.0.0:80-81->80-81/tcp"),
    ([port(80, 8080, "0.0.0.0"), port(90)], "90/tcp, 0.0.0.0:8080->80/tcp"),
]


@pytest.mark.parametrize(("ports", "text"), PORTS, ids=[text or "none" for _, text in PORTS])
def test_ports_are_joined_where_they_are_neighbours(ports: list[dict[str, Json]], text: str) -> None:
    """A thousand published ports must fit on a line."""
    assert render_ports(ports) == text


def test_plain_table_is_dockers() -> None:
    """Columns are padded to three spaces, and to ten characters at least."""
    lines = render_list([container_row(CONTAINER, now=1005)], HEADERS, SHOWN, "").splitlines()
    assert lines == [
        "CONTAINER ID   IMAGE     COMMAND                  CREATED         STATUS         PORTS                  NAMES",
        "0123456789ab   busybox   \"sh -c 'echo a long …\"   5 seconds ago   Up 5 seconds   0.0.0.0:8080->80/tcp   web",
    ]


def test_untruncated_row_has_everything() -> None:
    """`--no-trunc` is for programs: whole ids, whole commands, every name."""
    row = container_row(CONTAINER, now=1005, truncate=False)
    assert row["ID"] == "0123456789abcdef" * 4
    assert row["Names"] == "web,other/alias"
    assert row["Command"] == "\"sh -c 'echo a long command line'\""


FORMATS = [
    ("{{.ID}}: {{.Names}}", "0123456789ab: web"),
    ("table {{.ID}}\\t{{.Names}}", "CONTAINER ID   NAMES\n0123456789ab   web"),
    ('table {{.Names}}\\t{{.Label "a"}}', "NAMES     a\nweb       1"),
    ("{{.Mounts}} {{.LocalVolumes}} {{.Networks}}", "a-name-that-is… 1 bridge"),
]


@pytest.mark.parametrize(("template", "text"), FORMATS, ids=[template for template, _ in FORMATS])
def test_format_is_a_template_for_each_row(template: str, text: str) -> None:
    """With `table` the template makes the header too, from the names of its fields."""
    assert render_list([container_row(CONTAINER, now=1005)], HEADERS, SHOWN, template) == text


def test_json_format_is_one_object_a_line() -> None:
    """Programs read a line at a time; `<` is escaped as Go does."""
    text = render_list([container_row(CONTAINER, now=1005)] * 2, HEADERS, SHOWN, "json")
    assert [json.loads(line)["Labels"] for line in text.splitlines()] == ["a=1,b=<2>"] * 2
    assert "\\u003c" in text


@pytest.mark.parametrize(("template", "message"), [("{{.Foo}}", "failed to execute template"), ("{{.ID", "failed to parse template")])
def test_wrong_template_is_explained(template: str, message: str) -> None:
    """A field that does not exist is a mistake, not an empty column."""
    with pytest.raises(InvalidParameter, match=message):
        render_list([container_row(CONTAINER, now=0)], HEADERS, SHOWN, template)


def test_filters_are_grouped_by_key() -> None:
    """Values of one key are alternatives, keys must all hold."""
    assert json.loads(parse_filters(["status=exited", "status=created", "label=a=b"])) == {
        "status": {"exited": True, "created": True}, "label": {"a=b": True},
    }  # fmt: skip


def test_filter_without_value_is_refused() -> None:
    """Docker's sentence."""
    with pytest.raises(UsageError, match="bad format of filter"):
        parse_filters(["status"])


@given(rows=st.lists(st.lists(st.text(st.characters(codec="ascii", categories=["L"]), max_size=12), min_size=3, max_size=3), min_size=1, max_size=5))
def test_columns_stand_below_each_other(rows: list[list[str]]) -> None:
    """Every line has its cells at the same places."""
    widths = [max(10, max(len(row[index]) for row in rows) + 3) for index in range(2)]
    for line, row in zip(render_table(rows).split("\n"), rows, strict=True):
        assert line[widths[0] + widths[1] :] == row[2]
        assert line[widths[0] : widths[0] + widths[1]].rstrip() == row[1]
