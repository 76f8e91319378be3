"""`image tree`: the layers of an image with what made each, what it adds, changes and hides, and what is wasted.

Acts: asks the server for the image as `save` does, so it works with any Docker server. Shown in the terminal, as JSON for programs,
or as a page of HTML that needs nothing else. Chapter 14.
"""

from __future__ import annotations

import json
import os

from minidocker.cli.command import Command
from minidocker.cli.flags import BOOL, STRING, Flag
from minidocker.cli.layer_stack import LayerReport, compute_reports, read_image
from minidocker.cli.units import render_size
from minidocker.codec.tar import TarReader
from minidocker.errors import HostError, InvalidParameter

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from minidocker.cli.flags import Options
    from minidocker.cli.session import Session
    from minidocker.spec.record import Json

__all__ = ["TREE", "render_json", "render_page", "render_tree"]

SHOWN_FILES = 8
MARKS = (("+", "added"), ("~", "changed"), ("-", "hidden"))


class Pieces:
    """The pieces of an answer as a source that is read."""

    def __init__(self, pieces: Iterator[bytes]) -> None:
        """Give out *pieces* as they come."""
        self._pieces, self._rest = pieces, b""

    def read(self, size: int, /) -> bytes:
        """Return up to *size* bytes."""
        if not self._rest:
            self._rest = next(self._pieces, b"")
        piece, self._rest = self._rest[:size], self._rest[size:]
        return piece


def tree(session: Session, options: Options) -> int:
    """Show the layers of an image."""
    name = options.arguments[0]
    form, page = options.text("format"), options.text("html")
    if form not in ("", "json"):
        raise InvalidParameter(f'unknown format "{form}": there is only json', hint="leave it out for the terminal")
    answer = session.client().open("GET", f"/images/{name}/get")
    reports = compute_reports(read_image(TarReader(Pieces(answer.iterate()))))
    answer.close()
    if page:
        try:
            with open(page, "w", encoding="utf-8") as file:
                file.write(render_page(name, reports))
        except OSError as error:
            raise HostError(f"write `{page}`: {error.strerror}") from error
    if form == "json":
        print(json.dumps(render_json(name, reports), indent=2, ensure_ascii=False))
    elif not page:
        everything = options.switch("all")
        print("\n".join(render_tree(name, reports, shown=None if everything else SHOWN_FILES, width=_width())))
    return 0


def _width() -> int:
    try:
        return os.get_terminal_size().columns
    except OSError:  # no terminal
        return 120


def _totals(reports: Sequence[LayerReport]) -> tuple[int, int, str]:
    size, wasted = sum(report.size for report in reports), sum(report.wasted for report in reports)
    return size, wasted, f"{100 * wasted / size if size else 0:.0f} %"


def _instruction(report: LayerReport) -> str:
    text = " ".join(report.created_by.split()).removeprefix("/bin/sh -c ").removeprefix("#(nop) ").strip()
    return text or report.comment or "<unknown>"


def _largest(report: LayerReport, kind: str, shown: int | None) -> list[tuple[str, int]]:
    files: tuple[tuple[str, int], ...] = getattr(report, kind)
    return sorted(files, key=lambda pair: (-pair[1], pair[0]))[:shown]


def render_tree(name: str, reports: Sequence[LayerReport], *, shown: int | None, width: int) -> list[str]:
    """Return the lines for a terminal: of each layer the *shown* largest files of each kind, or all."""
    size, wasted, part = _totals(reports)
    layers = sum(1 for report in reports if report.number)
    lines = [f"{name}: {layers} layer{'' if layers == 1 else 's'}, {render_size(size)}, wasted {render_size(wasted)} ({part})"]
    for index, report in enumerate(reports):
        is_last = index == len(reports) - 1
        head = f"{report.number:>3}  {render_size(report.size):>8}" if report.number else f"{'-':>3}  {'':>8}"
        lines.append(_cut(f"{'└─' if is_last else '├─'}{head}  {_instruction(report)}", width))
        bar = "  " if is_last else "│ "
        if report.number:
            counts = ", ".join(f"{mark}{len(getattr(report, kind))} {kind}" for mark, kind in MARKS)
            lines.append(f"{bar}     {counts}" + (f"; wastes {render_size(report.wasted)} of lower layers" if report.wasted else ""))
        for mark, kind in MARKS:
            files = _largest(report, kind, shown)
            lines += [_cut(f"{bar}     {mark} {render_size(bytes_):>8}  {path}", width) for path, bytes_ in files]
            more = len(getattr(report, kind)) - len(files)
            if more:
                lines.append(f"{bar}     {mark}           … and {more} more (--all shows them)")
    return lines


def _cut(line: str, width: int) -> str:
    return line if len(line) <= width else line[: width - 1] + "…"


def render_json(name: str, reports: Sequence[LayerReport]) -> Json:
    """Return everything as JSON values."""
    size, wasted, _ = _totals(reports)

    def files(pairs: Sequence[tuple[str, int]]) -> Json:
        return [{"path": path, "size": bytes_} for path, bytes_ in pairs]

    return {
        "image": name, "size": size, "wasted": wasted,
        "layers": [
            {
                "number": report.number, "diffID": report.digest, "created": report.created, "createdBy": report.created_by,
                "comment": report.comment, "size": report.size, "wasted": report.wasted, "added": files(report.added),
                "changed": files(report.changed), "hidden": files(report.hidden),
            }
            for report in reports
        ],
    }  # fmt: skip


STYLE = """body{font:15px/1.5 system-ui,sans-serif;margin:2rem auto;max-width:60rem;padding:0 1rem;color:#222;background:#fff}
summary{cursor:pointer}code{overflow-wrap:anywhere}small{color:#666}details{border-left:3px solid #48c;margin:.5rem 0;padding:0 .8rem}
details.empty{border-color:#ccc}.bar{background:#48c;height:.4rem;border-radius:.2rem}.waste{background:#d64}
table{border-collapse:collapse;width:100%}td{padding:.1rem .5rem;vertical-align:top}td:nth-child(2){text-align:right;white-space:nowrap}
.added td:first-child{color:#285}.changed td:first-child{color:#a60}.hidden td:first-child{color:#b33}
@media(prefers-color-scheme:dark){body{color:#ddd;background:#181818}small{color:#999}}"""


def render_page(name: str, reports: Sequence[LayerReport]) -> str:
    """Return one page of HTML with everything in it; it loads nothing and runs no script."""
    from html import escape

    size, wasted, part = _totals(reports)
    body = [
        f"<h1>{escape(name)}</h1>",
        f"<p>{sum(1 for report in reports if report.number)} layers, {render_size(size)}, wasted {render_size(wasted)} ({part}). "
        "Wasted is what lower layers hold and upper ones replace or hide: it travels with every pull.</p>",
    ]
    body += [_render_section(report, size, escape(_instruction(report)), escape) for report in reports]
    head = f'<!doctype html><html lang="en"><meta charset="utf-8"><title>{escape(name)}</title><style>{STYLE}</style>'
    return head + "\n".join(body) + "</html>\n"


def _render_section(report: LayerReport, size: int, instruction: str, escape: Callable[[str], str]) -> str:
    if not report.number:
        return f'<details class="empty"><summary><code>{instruction}</code></summary><p><small>no layer</small></p></details>'
    rows = "".join(
        f'<tr class="{kind}"><td>{kind}<td>{render_size(bytes_)}<td><code>{escape(path)}</code></tr>'
        for _, kind in MARKS
        for path, bytes_ in _largest(report, kind, None)
    )
    bars = f'<div class="bar" style="width:{100 * report.size / (size or 1):.1f}%"></div>'
    if report.wasted:
        bars += f'<div class="bar waste" style="width:{100 * report.wasted / (size or 1):.1f}%"></div>'
    counts = ", ".join(f"{len(getattr(report, kind))} {kind}" for _, kind in MARKS)
    waste = f", wastes {render_size(report.wasted)}" if report.wasted else ""
    return (
        f"<details><summary>{report.number}. {render_size(report.size)} <code>{instruction}</code></summary>{bars}"
        f"<p><small>{counts}{waste}<br>{escape(report.digest)}</small></p><table>{rows}</table></details>"
    )


TREE = Command(
    "[OPTIONS] IMAGE",
    tree,
    (
        Flag("all", BOOL, "Show every file, not only the largest of each layer", short="a"),
        Flag("format", STRING, "Format output: json"),
        Flag("html", STRING, "Write a page of HTML to this file"),
    ),
    minimum=1,
    maximum=1,
)
