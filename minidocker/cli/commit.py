"""`commit` and `diff`: what a container changed, made into an image or shown. Acts. Chapter 14."""

from __future__ import annotations

from minidocker.cli.command import Command
from minidocker.client.fields import list_at, number_at, text_at
from minidocker.cli.flags import BOOL, LIST, STRING, Flag
from minidocker.client.image_name import split_image_name

TYPE_CHECKING = False
if TYPE_CHECKING:
    from minidocker.cli.flags import Options
    from minidocker.cli.session import Session

__all__ = ["COMMIT", "DIFF"]

KIND_LETTERS = ("C", "A", "D")
"""Changed, added, deleted, by the numbers of the Remote API."""


def commit(session: Session, options: Options) -> int:
    """Make an image of a container and print its id."""
    container, *target = options.arguments
    query: dict[str, str | list[str]] = {
        "container": container, "comment": options.text("message"), "author": options.text("author"),
        "pause": "1" if options.switch("pause") else "0",
    }  # fmt: skip
    if target:
        query["repo"], name = split_image_name(target[0])
        query["tag"] = name or "latest"
    if options.texts("change"):
        query["changes"] = options.texts("change")
    print(text_at(session.client().post("/commit", query), "Id"))
    return 0


def diff(session: Session, options: Options) -> int:
    """Show what a container changed."""
    for change in list_at({"": session.client().get(f"/containers/{options.arguments[0]}/changes")}, ""):
        print(KIND_LETTERS[number_at(change, "Kind")], text_at(change, "Path"))
    return 0


COMMIT = Command(
    "[OPTIONS] CONTAINER [REPOSITORY[:TAG]]",
    commit,
    (
        Flag("author", STRING, 'Author (e.g., "John Hannibal Smith <hannibal@a-team.com>")', short="a"),
        Flag("change", LIST, "Apply Dockerfile instruction to the created image", short="c"),
        Flag("message", STRING, "Commit message", short="m"),
        Flag("pause", BOOL, "Pause container during commit", short="p", default=True),
    ),
    minimum=1,
    maximum=2,
)
DIFF = Command("CONTAINER", diff, minimum=1, maximum=1)
