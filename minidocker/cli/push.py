"""`push` and `search`. Acts. Chapter 14."""

from __future__ import annotations

import sys

from minidocker.cli.command import Command
from minidocker.cli.containers import parse_filters
from minidocker.client.credentials import registry_auth
from minidocker.client.fields import list_at, number_at, text_at, value_at
from minidocker.client.progress import read_progress
from minidocker.cli.flags import BOOL, INT, LIST, STRING, Flag
from minidocker.client.image_name import split_image_name
from minidocker.cli.pull import full_name, show_progress
from minidocker.cli.table import render_list
from minidocker.errors import InvalidParameter

TYPE_CHECKING = False
if TYPE_CHECKING:
    from minidocker.cli.flags import Options
    from minidocker.cli.session import Session
    from minidocker.cli.template import Value

__all__ = ["PUSH", "SEARCH"]

DESCRIPTION_WIDTH = 45
SEARCH_HEADERS = {"Name": "NAME", "Description": "DESCRIPTION", "StarCount": "STARS", "IsOfficial": "OFFICIAL", "IsAutomated": "AUTOMATED"}


def push(session: Session, options: Options) -> int:
    """Send an image to its registry."""
    image = options.arguments[0]
    repository, tag = split_image_name(image)
    if options.switch("all-tags") and tag:
        raise InvalidParameter("tag can't be used with --all-tags/-a")
    if not tag and not options.switch("all-tags"):
        tag = "latest"
        if not options.switch("quiet"):
            print(f"Using default tag: {tag}")
    client = session.client()
    query: dict[str, str | list[str]] = {"tag": tag} if tag else {}
    headers = registry_auth(session.config_directory, image)
    progress = read_progress(client.open("POST", f"/images/{repository}/push", query, headers=headers).lines())
    if not options.switch("quiet"):
        show_progress(progress, sys.stdout)
        return 0
    for _ in progress:
        pass
    print(full_name(repository, tag))
    return 0


def search(session: Session, options: Options) -> int:
    """Look for images on Docker Hub."""
    term = options.arguments[0]
    query: dict[str, str | list[str]] = {"term": term}
    if "limit" in options.given:
        query["limit"] = str(options.number("limit"))
    if options.texts("filter"):
        query["filters"] = parse_filters(options.texts("filter"))
    headers = registry_auth(session.config_directory, term)
    found = list_at({"": session.client().open("GET", "/images/search", query, headers=headers).json()}, "")
    rows: list[dict[str, Value]] = []
    for line in sorted(found, key=lambda line: -number_at(line, "star_count")):
        text = " ".join(text_at(line, "description").split())
        if not options.switch("no-trunc") and len(text) > DESCRIPTION_WIDTH:
            text = text[: DESCRIPTION_WIDTH - 1] + "…"
        marks = {key: "[OK]" if value_at(line, name) else "" for key, name in (("IsOfficial", "is_official"), ("IsAutomated", "is_automated"))}
        rows.append({"Name": text_at(line, "name"), "Description": text, "StarCount": str(number_at(line, "star_count")), **marks})
    print(render_list(rows, SEARCH_HEADERS, ("Name", "Description", "StarCount", "IsOfficial"), options.text("format")))
    return 0


PUSH = Command(
    "[OPTIONS] NAME[:TAG]",
    push,
    (
        Flag("all-tags", BOOL, "Push all tags of an image to the repository", short="a"),
        Flag("disable-content-trust", BOOL, "Skip image signing", default=True),
        Flag("quiet", BOOL, "Suppress verbose output", short="q"),
    ),
    minimum=1,
    maximum=1,
)
SEARCH = Command(
    "[OPTIONS] TERM",
    search,
    (
        Flag("filter", LIST, "Filter output based on conditions provided", short="f"),
        Flag("format", STRING, "Pretty-print search using a Go template"),
        Flag("limit", INT, "Max number of search results"),
        Flag("no-trunc", BOOL, "Don't truncate output"),
    ),
    minimum=1,
    maximum=1,
)
