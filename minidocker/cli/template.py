"""`--format`: fill a Go template with a value.

Pure, and imported only when a template is given. `template_syntax` parses, `template_functions` has the functions. Chapter 14.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence

from minidocker.cli.template_functions import FUNCTIONS, MISSING, Value, is_true, show, type_name
from minidocker.cli.template_syntax import Branch, Call, Field, Node, Operand, Pipeline, Show, TemplateError, Text, parse_nodes

__all__ = ["Template", "TemplateError", "Value", "parse_template", "unescape"]

NO_ENTRY = 'map has no entry for key "{}"'
"""What Go says about a missing key of a map."""

_NAMES = frozenset(FUNCTIONS)


def unescape(text: str) -> str:
    r"""Return *text* with `\t` and `\n` as the characters they mean, because shells pass them on unread."""
    return text.replace(r"\t", "\t").replace(r"\n", "\n")


def parse_template(text: str, *, absent: str = "") -> Template:
    """Return the template that *text* spells.

    Args:
        text: in Go's syntax.
        absent: what to say about a missing key, such as `NO_ENTRY`; without it one shows as `<no value>`.

    Raises:
        TemplateError: it cannot be parsed.
    """
    return Template(parse_nodes(text, _NAMES), absent)


class _Filling:
    """One rendering: the variables of the scopes that are open, and what to say about missing keys."""

    __slots__ = ("absent", "scopes")

    def __init__(self, absent: str, scopes: list[dict[str, Value]]) -> None:
        self.absent = absent
        self.scopes = scopes

    def within(self, names: dict[str, Value]) -> _Filling:
        return _Filling(self.absent, [*self.scopes, names])


class Template:
    """A parsed template."""

    def __init__(self, nodes: tuple[Node, ...], absent: str) -> None:
        """Keep *nodes*, and what is said about missing keys."""
        self._nodes = nodes
        self._absent = absent

    def render(self, value: Value) -> str:
        """Return the template filled in with *value* as the dot.

        Raises:
            TemplateError: an operation does not fit the value it meets.
        """
        return "".join(_render(self._nodes, value, _Filling(self._absent, [{"$": value}])))


def _render(nodes: Sequence[Node], dot: Value, filling: _Filling) -> Iterator[str]:
    for node in nodes:
        if isinstance(node, Text):
            yield node.text
        elif isinstance(node, Show):
            value = _evaluate(node.pipeline, dot, filling)
            if not node.pipeline.variable:
                yield "[]" if value is None and filling.absent else show(value)
        elif node.keyword == "range":
            yield from _render_range(node, dot, filling)
        else:
            inner = filling.within({})
            value = _evaluate(node.pipeline, dot, inner)
            if not is_true(value):
                yield from _render(node.otherwise, dot, inner)
            else:
                yield from _render(node.body, value if node.keyword == "with" else dot, inner)


def _render_range(node: Branch, dot: Value, filling: _Filling) -> Iterator[str]:
    over = _evaluate(node.pipeline, dot, filling)
    pairs: Sequence[tuple[Value, Value]]
    if isinstance(over, Mapping):
        pairs = sorted(over.items())
    elif isinstance(over, list | tuple):
        pairs = list(enumerate(over))
    elif isinstance(over, int) and not isinstance(over, bool):
        pairs = [(number, number) for number in range(over)]
    elif over is None:
        pairs = []
    else:
        raise TemplateError(f"template: :1: range can't iterate over {show(over)}")
    if not pairs:
        yield from _render(node.otherwise, dot, filling)
    for key, value in pairs:
        names = dict(zip(node.names, (key, value) if len(node.names) == 2 else (value,), strict=False))
        yield from _render(node.body, value, filling.within(names))


def _evaluate(pipeline: Pipeline, dot: Value, filling: _Filling) -> Value:
    piped: tuple[Value, ...] = ()
    for command in pipeline.commands:
        piped = (_run_command(command, piped, dot, filling),)
    (value,) = piped
    if pipeline.variable:
        scopes = filling.scopes
        scope = next((scope for scope in reversed(scopes) if not pipeline.declares and pipeline.variable in scope), scopes[-1])
        scope[pipeline.variable] = value
    return value


def _run_command(command: tuple[Operand, ...], piped: tuple[Value, ...], dot: Value, filling: _Filling) -> Value:
    head, *rest = command
    arguments = [*(_operand_value(operand, dot, filling) for operand in rest), *piped]
    if isinstance(head, Call):
        return _call(head.function, FUNCTIONS[head.function], arguments)
    if isinstance(head, Field):
        target = _follow(head, dot, filling)
        name = ".".join(head.keys)
        if callable(target):
            return _call(name, target, arguments)
    else:
        target, name = head.value, show(head.value)
    if arguments:
        raise TemplateError(f"template: :1: can't give argument to non-function {name}")
    return target


def _operand_value(operand: Operand, dot: Value, filling: _Filling) -> Value:
    return _run_command((operand,), (), dot, filling)


def _follow(field: Field, dot: Value, filling: _Filling) -> Value:
    if isinstance(field.base, Pipeline):
        value = _evaluate(field.base, dot, filling)
    elif field.base == ".":
        value = dot
    else:
        value = _variable(field.base, filling)
    for index, key in enumerate(field.keys):
        if isinstance(value, Mapping):
            if key not in value and filling.absent:
                raise _field_error(field, index, filling.absent.format(key))
            value = value.get(key, MISSING)
        elif value is None or value is MISSING:
            return MISSING
        else:
            raise _field_error(field, index, f"can't evaluate field {key} in type {type_name(value)}")
    return value


def _field_error(field: Field, index: int, cause: str) -> TemplateError:
    before = "".join(f".{key}" for key in field.keys[:index])
    base = field.base if isinstance(field.base, str) and field.base != "." else ""
    where = f"{base}{before}.{field.keys[index]}"
    return TemplateError(f'template: :1:{field.column + len(base + before)}: executing "" at <{where}>: {cause}')


def _variable(name: str, filling: _Filling) -> Value:
    for scope in reversed(filling.scopes):
        if name in scope:
            return scope[name]
    raise TemplateError(f'template: :1: undefined variable "{name}"', parsing=True)


def _call(name: str, function: Callable[..., Value], arguments: Sequence[Value]) -> Value:
    try:
        return function(*arguments)
    except TemplateError:
        raise
    except (TypeError, ValueError, KeyError, IndexError, AttributeError) as error:
        raise TemplateError(f"template: :1: error calling {name}: {error}") from error
