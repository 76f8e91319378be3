"""Drawings made from the code's own tables, as SVG within the page: nothing here knows a fact that the code does not.

Pure, but that the figures are read from their page. Only places are chosen here. Colours are classes of `static/playground.css`, so a drawing follows the page into the dark.
"""

from __future__ import annotations

import html
import itertools
import math
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

__all__ = ["DRAWINGS", "Measured", "draw_birth", "draw_figures", "draw_layers", "draw_packet", "draw_states", "read_figures"]

Point = tuple[float, float]
ROW: Final = 26
CHARACTER: Final = 7.2
"""How wide a letter is, about."""


def _svg(width: float, height: float, body: Iterable[str], title: str) -> str:
    head = '<defs><marker id="tip" viewBox="0 0 8 8" refX="7" refY="4" markerWidth="8" markerHeight="8" orient="auto-start-reverse"><path class="head" d="M0 0 8 4 0 8z"/></marker></defs>'
    name = html.escape(title, quote=True)
    return f'<svg class="drawing" viewBox="0 0 {width:g} {height:g}" width="{width:g}" role="img" aria-label="{name}"><title>{html.escape(title)}</title>{head}{"".join(body)}</svg>'


def _text(x: float, y: float, words: str, *, anchor: str = "middle", css: str = "") -> str:
    return f'<text x="{x:g}" y="{y:g}" text-anchor="{anchor}" class="{css}">{html.escape(words)}</text>'


def _box(x: float, y: float, width: float, height: float, words: str = "", *, css: str = "box") -> str:
    place = f'x="{x:g}" y="{y:g}" width="{width:g}" height="{height:g}" rx="5"'
    paper = f'<rect class="paper" {place}/>' if css == "strong" else ""  # the strong colour is a glaze, and lines would show through
    return f'{paper}<rect class="{css}" {place}/>' + (
        _text(x + width / 2, y + height / 2 + 4.5, words) if words else ""
    )


def _arrow(start: Point, end: Point, *, bend: float = 0) -> str:
    middle = ((start[0] + end[0]) / 2 + bend * (end[1] - start[1]), (start[1] + end[1]) / 2 - bend * (end[0] - start[0]))
    return f'<path class="line" marker-end="url(#tip)" d="M{start[0]:.1f} {start[1]:.1f}Q{middle[0]:.1f} {middle[1]:.1f} {end[0]:.1f} {end[1]:.1f}"/>'


# -- the life of a container ------------------------------------------------------------------------------------------------------

PLACES: Final[Mapping[str, Point]] = {
    "created": (80, 120), "running": (280, 120), "exited": (500, 120), "paused": (280, 30), "restarting": (500, 30),
    "removing": (280, 220), "dead": (500, 220),
}  # fmt: skip
BOX: Final = (96.0, 34.0)


def draw_states() -> str:
    """Draw every change of a container's state that there is."""
    from minidocker.container.record import TRANSITIONS

    edges = {(str(a), str(b)) for a, ends in TRANSITIONS.items() for b in ends}
    parts = [_arrow(*_between(a, b, shifted=(b, a) in edges)) for a, b in sorted(edges) if a != b]
    for name in sorted(a for a, b in edges if a == b):
        x, y = PLACES[name]
        left = x - BOX[0] / 2 if x < 200 else x + BOX[0] / 2
        out = -34 if x < 200 else 34
        parts.append(f'<path class="line" marker-end="url(#tip)" d="M{left:g} {y - 8:g}c{out} -10 {out} 26 0 16"/>')
    parts += [_box(x - BOX[0] / 2, y - BOX[1] / 2, *BOX, name, css="strong" if name == "running" else "box") for name, (x, y) in PLACES.items()]
    return _svg(600, 250, parts, "The states of a container and every change between them")


def _between(a: str, b: str, *, shifted: bool) -> tuple[Point, Point]:
    """Return where an arrow from box *a* to box *b* begins and ends; two of opposite direction keep apart."""
    (ax, ay), (bx, by) = PLACES[a], PLACES[b]
    length = math.hypot(bx - ax, by - ay)
    ux, uy = (bx - ax) / length, (by - ay) / length
    side = 7 if shifted else 0
    ax, ay, bx, by = ax - uy * side, ay + ux * side, bx - uy * side, by + ux * side

    def reach(dx: float, dy: float) -> float:
        return min(BOX[0] / 2 / abs(dx) if dx else 1e9, BOX[1] / 2 / abs(dy) if dy else 1e9) + 2

    return (ax + ux * reach(ux, uy), ay + uy * reach(ux, uy)), (bx - ux * reach(ux, uy), by - uy * reach(ux, uy))


# -- two processes make a container -------------------------------------------------------------------------------------------------


def draw_birth() -> str:
    """Draw who does what, and who waits for whom, from the plan of an ordinary container."""
    from minidocker.cli.explain import plan_dry_run
    from minidocker.kernel.steps import Actor, ForkInit, Step, Synchronise, actor_of

    def label(steps: Sequence[Step]) -> str:
        name = type(steps[0]).__name__
        return name if len(steps) == 1 else f"{name} × {len(steps)}"

    lanes = {Actor.MONITOR: 190.0, Actor.INIT: 430.0}
    y, parts, born = 60.0, list[str](), 0.0
    steps = plan_dry_run({"Image": "toolbox", "Cmd": ["sh"]})
    for (actor, kind), group in itertools.groupby(steps, key=lambda step: (actor_of(step), type(step))):
        run = list(group)
        if kind is ForkInit:
            parts.append(_arrow((lanes[Actor.MONITOR], y), (lanes[Actor.INIT], y)) + _text(310, y - 6, "ForkInit: process 1 is born", css="faint"))
            born = y
        elif kind is Synchronise:
            ends = (lanes[Actor.INIT], y), (lanes[Actor.MONITOR], y)
            parts.append(_arrow(*ends) + _arrow((ends[1][0], y + 9), (ends[0][0], y + 9)) + _text(310, y - 6, "made it · go on", css="faint"))
            y += 9
        else:
            words = label(run)
            width = len(words) * CHARACTER + 14
            x = lanes[actor] - width / 2 if actor in lanes else 310 - width / 2
            parts.append(_box(x, y - 13, width, 20, words, css="strong" if actor == Actor.INIT else "box"))
        y += ROW
    lines = f'<path class="line" d="M190 44V{y:g}M430 {born or 44:g}V{y:g}"/>'
    heads = _box(130, 10, 120, 26, "monitor") + _box(370, 10, 120, 26, "init", css="strong")
    return _svg(620, y + 10, [lines, heads, *parts], "Who does which step of a container's birth, and where the two processes wait for each other")


# -- a stack of layers ------------------------------------------------------------------------------------------------------------------

EXAMPLE_STACK: Final = (
    ("rm secret", (("secret", True),)),
    ("upgrade", (("libc", False), ("app", False))),
    ("add app", (("app", False), ("secret", False))),
    ("base", (("sh", False), ("libc", False))),
)
"""The highest first: the names in a layer, and whether each is a whiteout."""


def draw_layers() -> str:
    """Draw a stack of layers and what is seen of it, as the real code sees it."""
    from minidocker.codec.whiteout import compute_shown

    seen = compute_shown([names for _, names in EXAMPLE_STACK])
    columns = sorted({name for _, names in EXAMPLE_STACK for name, _ in names})
    x_of = {name: 130 + 110 * place for place, name in enumerate(columns)}
    parts = []
    for row, (title, names) in enumerate(EXAMPLE_STACK):
        y = 66 + 44 * row
        parts.append(_text(110, y + 20, title, anchor="end"))
        parts.append(f'<path class="line" d="M122 {y + 34}H{x_of[columns[-1]] + 100}"/>')
        for name, is_gone in names:
            css = "gone" if is_gone else "strong" if seen.get(name) == row else "box"
            parts.append(_box(x_of[name], y, 90, 28, f".wh.{name}" if is_gone else name, css=css))
    parts.append(_text(110, 36, "what is seen", anchor="end"))
    parts += [_box(x_of[name], 16, 90, 28, name if name in seen else "", css="strong" if name in seen else "gone") for name in columns]
    return _svg(130 + 110 * len(columns), 66 + 44 * len(EXAMPLE_STACK) + 6, parts, "A stack of layers, and the files that are seen from above")


# -- the way of a packet ------------------------------------------------------------------------------------------------------------------


def draw_packet() -> str:
    """Draw the way of a packet to a published port, and of its answer, as the simulator walks it."""
    from docs.web.playground import describe_network
    from minidocker.engine.packet_model import walk_there_and_back

    model, _ = describe_network("container web 172.17.0.2 8080:80")
    _, *walks = walk_there_and_back(model, "198.51.100.7", ":8080", "tcp")
    lanes = {"host": 170.0, "web": 520.0}
    parts, y, last = [_box(90, 8, 160, 26, "host"), _box(440, 8, 160, 26, "web", css="strong")], 60.0, (40.0, 60.0)
    parts.append(_text(20, 52, "from outside", anchor="start", css="faint"))
    for number, walk in enumerate(filter(None, walks)):
        if number:
            y += 14
            parts.append(_text(510, y - 2, "the answer", anchor="end", css="faint"))
            y += 16
        for event in walk.events:
            x = lanes[model.name_of(event.namespace)]
            words = event.what if len(event.what) < 46 else f"{event.what[:44]}…"
            parts.append(_arrow(last, (x, y - 14)) if last[1] != y else _arrow(last, (x - 52, y)))
            parts.append(_box(x - 50, y - 13, 100, 22, event.hook, css="strong" if event.chain else "box"))
            parts.append(_text(x + 56, y + 3, words, anchor="start", css="faint"))
            last = (x, y + 9)
            y += 34
    parts.append(_arrow(last, (40, y)) + _text(20, y + 14, "to the outside", anchor="start", css="faint"))
    return _svg(860, y + 24, parts, "The way of a packet from outside to a published port of a container, and of its answer")


# -- how fast ----------------------------------------------------------------------------------------------------------------------------

RATIO: Final = re.compile(r"(\d+(?:\.\d+)?) ×")
WIDTH: Final = 300
"""Of a bar that reaches its aim."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Measured:
    """One line of a table of `docs/benchmarks.md` that has a figure and an aim."""

    work: str
    against: str
    ratio: float
    aim: float
    is_ceiling: bool
    """Whether the aim is "at most"; otherwise "at least"."""


def read_figures(text: str) -> list[Measured]:
    """Return every line with a ratio and an aim, in the order of the page."""
    found, heading, above, columns, in_table = [], "", "", 1, False
    for line in text.splitlines():
        cells = [cell.strip() for cell in line.strip().strip("|").split("|")] if line.startswith("|") else []
        if line.startswith("#"):
            heading = above = line.lstrip("# ").replace("`", "")
        elif cells and not in_table:
            above = cells[0].replace("`", "") or heading
            above, columns = (heading, 2) if above == "engine" else (above, 1)
        in_table = bool(cells)
        aims = [(place, cell) for place, cell in enumerate(cells) if cell.startswith(("≤", "≥"))]
        if aims and (aim := RATIO.search(aims[0][1])):
            ratios = [match for place, cell in enumerate(cells) if place != aims[0][0] and (match := RATIO.match(cell))]
            if ratios:
                name = " with ".join(cells[:columns]).replace("`", "")
                work, against = (name, "") if above in ("work", "") else (above, name)
                found.append(Measured(work=work, against=against, ratio=float(ratios[-1][1]), aim=float(aim[1]), is_ceiling=aims[0][1][0] == "≤"))
    return found


def draw_figures() -> str:
    """Draw every figure of the page on benchmarks beside its aim; a bar that crosses the line misses it."""
    figures = read_figures((Path(__file__).resolve().parents[1] / "benchmarks.md").read_text(encoding="utf-8"))
    parts, y, left, work = [], 30.0, 330, ""
    top = y - 8
    for figure in figures:
        if figure.work != work and figure.against:
            work = figure.work
            y += 8
            parts.append(_text(12, y + 4, work, anchor="start"))
            y += 20
        share = figure.ratio / figure.aim if figure.is_ceiling else figure.aim / figure.ratio
        is_met = share <= 1
        label = f"{figure.ratio:g} × ({'at most' if figure.is_ceiling else 'at least'} {figure.aim:g} ×){'' if is_met else ', missed'}"
        parts.append(_text(left - 10, y + 4, (figure.against or figure.work)[:48], anchor="end", css="faint"))
        parts.append(_box(left, y - 8, max(4, min(share, 1.6) * WIDTH), 15, css="strong" if is_met else "box"))
        parts.append(_text(left + max(4, min(share, 1.6) * WIDTH) + 8, y + 4, label, anchor="start", css="faint"))
        y += 21
    aim = f'<path class="line" stroke-dasharray="5 4" d="M{left + WIDTH} {top}V{y:g}"/>' + _text(left + WIDTH, 16, "the aim", css="faint")
    return _svg(1010, y + 6, [*parts, aim], "Figures of the benchmarks beside their aims: shorter is better")


DRAWINGS: Final[dict[str, Callable[[], str]]] = {"birth": draw_birth, "figures": draw_figures, "layers": draw_layers, "packet": draw_packet, "states": draw_states}
