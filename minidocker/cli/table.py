"""Lists as Docker prints them: columns, `--quiet`, `--format`.

Pure. A column is as wide as its widest cell and three spaces, at least ten; the last one is not padded. `--format`
takes `table`, `json`, a template, or `table` and a template; only templates import the template engine. Chapter 14.
"""

from __future__ import annotations

from minidocker.errors import InvalidParameter

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from minidocker.cli.template import Value

__all__ = ["render_list", "render_table"]

COLUMN_MINIMUM = 10
COLUMN_GAP = 3


def render_table(rows: Sequence[Sequence[str]], *, minimum: int = COLUMN_MINIMUM) -> str:
    """Return *rows*, the header first, as lines of padded columns."""
    widths = [max(minimum, max(map(len, column)) + COLUMN_GAP) for column in zip(*rows, strict=True)]
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

        from minidocker.cli.output import escape_html

        texts = (json.dumps(_plain(row), ensure_ascii=False, separators=(",", ":"), sort_keys=True) for row in rows)
        return "\n".join(map(escape_html, texts))
    return _render_template(rows, headers, template)


def _render_template(rows: Sequence[Mapping[str, Value]], headers: Mapping[str, str], template: str) -> str:
    from minidocker.cli.template import TemplateError, parse_template, unescape

    text = unescape(template.strip())
    as_table = text.startswith("table")
    try:
        compiled = parse_template(text.removeprefix("table").strip(), absent="can't evaluate field {} in this list")
        lines = [compiled.render(dict(sorted(row.items()))) for row in ((_header_row(headers), *rows) if as_table else rows)]
    except TemplateError as error:
        raise InvalidParameter(f"failed to {'parse' if error.parsing else 'execute'} template: {error.message}") from error
    return render_table([line.split("\t") for line in lines]) if as_table else "\n".join(lines)


def _plain(row: Mapping[str, Value]) -> dict[str, Value]:
    return {key: value for key, value in row.items() if not callable(value)}


def _header_row(headers: Mapping[str, str]) -> dict[str, Value]:
    """Return the headers as a row; a field that takes arguments, such as `.Label`, heads its column with them."""
    return {**headers, "Label": lambda *names: str(names[0]) if names else "LABEL"}
