"""Print JSON values the way `inspect` and `--format` show them. Acts: standard output. Chapter 14."""

from __future__ import annotations

from minidocker.errors import InvalidParameter

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from minidocker.spec.record import Json

__all__ = ["compile_format", "escape_html", "print_objects"]


def escape_html(text: str) -> str:
    """Return JSON *text* with `<`, `>` and `&` escaped, as Go's encoder writes them into lists."""
    return text.replace("<", "\\u003c").replace(">", "\\u003e").replace("&", "\\u0026")


def compile_format(text: str) -> Callable[[Json], str]:
    """Return what renders a value as `--format` *text* asks: `json`, or a template that knows each key it names.

    Raises:
        TemplateError: the template cannot be parsed; rendering raises it for keys that are missing.
    """
    import json

    if text == "json":
        return lambda value: escape_html(json.dumps(value, ensure_ascii=False, separators=(",", ":")))
    from minidocker.cli.template import NO_ENTRY, TemplateError, parse_template, unescape

    try:
        template = parse_template(unescape(text), absent=NO_ENTRY)
    except TemplateError as error:
        raise InvalidParameter(f"template parsing error: {error.message}") from error

    def render(value: Json) -> str:
        try:
            return template.render(value)
        except TemplateError as error:
            raise InvalidParameter(f"template parsing error: {error.message}") from error

    return render


def print_objects(values: Sequence[Json], template: str) -> None:
    """Print *values* as `inspect` does: an indented list, or each filled into *template*, one a line."""
    import json

    if not template:
        print(json.dumps(values, indent=4, ensure_ascii=False))
        return
    if template == "json":
        print(compile_format(template)(list(values)))
        return
    try:
        render = compile_format(template)
        if not values:
            print()
        for value in values:
            print(render(value))
    except InvalidParameter:
        # Docker ends the line that it could not fill.
        print()
        raise
