"""Lists as Docker prints them: columns, `--quiet`, `--format`.

Pure. A column is as wide as its widest cell and three spaces, at least ten; the last one is not padded. `--format`
takes `table`, `json`, a template, or `table` and a template; only templates import the template engine. Chapter 5.
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from minidocker.cli.template import Value

__all__ = ["render_list", "render_table"]

COLUMN_MINIMUM = 10
COLUMN_GAP = 3


def render_table(rows: Sequence[Sequence[str]]) -> str:
    """Return *rows*, the header first, as lines of padded columns."""
    widths = [max(COLUMN_MINIMUM, max(map(len, column)) + COLUMN_GAP) for column in zip(*rows, strict=True)]
    return "\n".join(
        "".join(cell.ljust(width) for cell, width in zip(row[:-1], widths, strict=False)) + row[-1] for row in rows
    )


def render_list(
    rows: Sequence[Mapping[str, Value]], headers: Mapping[str, str], shown: Sequence[str], template: str
) -> str:
    """Return *rows* the way *template* (the value of `--format`) asks for.

    Args:
        rows: one mapping per line, from field to text.
        headers: from field to column header.
        shown: the fields of the plain table, in order.
        template: empty or `table` for the plain table.
    """
    if template in ("", "table"):
        return render_table([[headers[field] for field in shown], *([str(row[field]) for field in shown] for row in rows)])
    if template == "json":
        import json

        return "\n".join(json.dumps(_plain(row), ensure_ascii=False, separators=(",", ":"), sort_keys=True) for row in rows)
    from minidocker.cli.template import parse_template, unescape

    text = unescape(template.strip())
    if not text.startswith("table"):
        compiled = parse_template(text)
        return "\n".join(compiled.render(dict(row)) for row in rows)
    compiled = parse_template(text.removeprefix("table").strip())
    lines = [compiled.render(dict(values)) for values in (_header_row(rows, headers), *rows)]
    return render_table([line.split("\t") for line in lines])


def _plain(row: Mapping[str, Value]) -> dict[str, Value]:
    return {key: value for key, value in row.items() if not callable(value)}


def _header_row(rows: Sequence[Mapping[str, Value]], headers: Mapping[str, str]) -> dict[str, Value]:
    """Return the headers as a row; a field that takes arguments, such as `.Label`, heads its column with them."""
    return {**headers, "Label": lambda *names: str(names[0]) if names else "LABEL"}
