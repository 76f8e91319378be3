"""Go templates, as far as `--format` needs them: parse once, render per value.

Pure. The language is that of Go's text/template with Docker's functions; a field of a missing key renders as
`<no value>`, and calling what is no function is an error in Docker's words. Chapter 5.

    template = { text | "{{" ["-"] action ["-"] "}}" }
    action   = comment | pipeline | variable (":=" | "=") pipeline | "if" pipeline | "range" [variables] pipeline
             | "with" pipeline | "else" ["if" pipeline] | "end"
    pipeline = command { "|" command }          the value before "|" is the last argument of the command after it
    command  = operand { operand }              a function or a field that takes arguments, or one value
    operand  = "." | field | variable [field] | literal | function | "(" pipeline ")" [field]
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from minidocker.errors import InvalidParameter

__all__ = ["Template", "Value", "parse_template", "unescape"]

Value = object
"""JSON values, and functions for fields that take arguments."""

_TOKEN = re.compile(
    r"""\s*(?:(?P<text>"(?:[^"\\\n]|\\.)*"|`[^`]*`|'(?:[^'\\\n]|\\.)')|(?P<number>[-+]?\d[\w.]*)|(?P<assign>:=|=)"""
    r"""|(?P<field>\.[\w.]*)|(?P<variable>\$\w*)|(?P<name>[A-Za-z_]\w*)|(?P<mark>[|(),]))"""
)
_ACTION = re.compile(r"\{\{(- )?(.*?)( -)?\}\}", re.DOTALL)
_ESCAPES = {"n": "\n", "t": "\t", "r": "\r", "\\": "\\", '"': '"', "'": "'", "a": "\a", "b": "\b", "f": "\f", "v": "\v"}
_KEYWORDS = frozenset(("if", "range", "with", "else", "end"))


def unescape(text: str) -> str:
    r"""Return *text* with `\t` and `\n` as the characters they mean, because shells pass them on unread."""
    return text.replace(r"\t", "\t").replace(r"\n", "\n")


class TemplateError(InvalidParameter):
    """A template that cannot be parsed or does not fit the value."""


@dataclass(frozen=True, slots=True)
class _Literal:
    value: Value


@dataclass(frozen=True, slots=True)
class _Field:
    """Keys to follow from the dot, a variable (`$`, `$name`) or the value of a pipeline."""

    base: str | _Pipeline
    keys: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class _Call:
    function: str


_Operand = _Literal | _Field | _Call


@dataclass(frozen=True, slots=True)
class _Pipeline:
    commands: tuple[tuple[_Operand, ...], ...]
    variable: str = ""
    declares: bool = False


@dataclass(frozen=True, slots=True)
class _Text:
    text: str


@dataclass(frozen=True, slots=True)
class _Show:
    pipeline: _Pipeline


@dataclass(frozen=True, slots=True)
class _Branch:
    """`if`, `with` or `range` with its two bodies; *names* are what `range $i, $x :=` declares."""

    keyword: str
    pipeline: _Pipeline
    names: tuple[str, ...]
    body: tuple[_Node, ...]
    otherwise: tuple[_Node, ...]


_Node = _Text | _Show | _Branch


def parse_template(text: str) -> Template:
    """Return the template that *text* spells.

    Raises:
        TemplateError: `template parsing error: …`, as Docker says it.
    """
    pieces = _Pieces(text)
    nodes, closing = _parse_nodes(pieces)
    if closing:
        raise _parsing_error(f"unexpected {{{{{closing}}}}}")
    return Template(nodes)


def _parsing_error(cause: str) -> TemplateError:
    return TemplateError(f"template parsing error: template: :1: {cause}")


class _Pieces:
    """The texts and actions of a template, in order, with trimmed white space."""

    def __init__(self, source: str) -> None:
        self._pieces = list(self._split(source))
        self._next = 0

    @staticmethod
    def _split(source: str) -> Iterator[tuple[bool, str]]:
        start, trim = 0, False
        for match in _ACTION.finditer(source):
            text = source[start : match.start()]
            text = text.lstrip() if trim else text
            yield False, text.rstrip() if match[1] else text
            start, trim = match.end(), bool(match[3])
            if not match[2].strip().startswith("/*"):
                yield True, match[2].strip()
        rest = source[start:]
        if "{{" in rest:
            raise _parsing_error("unclosed action")
        yield False, rest.lstrip() if trim else rest

    def take(self) -> tuple[bool, str] | None:
        if self._next == len(self._pieces):
            return None
        self._next += 1
        return self._pieces[self._next - 1]


def _parse_nodes(pieces: _Pieces, opened: str = "") -> tuple[tuple[_Node, ...], str]:
    """Return the nodes up to `else` or `end`, and that action; *opened* says whose body it is."""
    nodes: list[_Node] = []
    while (piece := pieces.take()) is not None:
        is_action, text = piece
        if not is_action:
            nodes.append(_Text(text))
            continue
        keyword, _, rest = text.partition(" ")
        if keyword in ("else", "end"):
            return tuple(nodes), text
        nodes.append(_parse_branch(pieces, keyword, rest) if keyword in _KEYWORDS else _Show(_parse_pipeline(text)))
    if opened:
        raise _parsing_error("unexpected EOF")
    return tuple(nodes), ""


def _parse_branch(pieces: _Pieces, keyword: str, rest: str) -> _Branch:
    names: tuple[str, ...] = ()
    if keyword == "range" and ":=" in rest:
        left, _, rest = rest.partition(":=")
        names = tuple(name.strip() for name in left.split(","))
    pipeline = _parse_pipeline(rest)
    body, closing = _parse_nodes(pieces, keyword)
    otherwise: tuple[_Node, ...] = ()
    if closing.startswith("else"):
        follow = closing.removeprefix("else").strip()
        if follow:
            next_keyword, _, next_rest = follow.partition(" ")
            return _Branch(keyword, pipeline, names, body, (_parse_branch(pieces, next_keyword, next_rest),))
        otherwise, closing = _parse_nodes(pieces, keyword)
    if closing != "end":
        raise _parsing_error(f"unexpected {{{{{closing}}}}}")
    return _Branch(keyword, pipeline, names, body, otherwise)


def _tokens(text: str) -> list[tuple[str, str, bool]]:
    """Return (kind, text, whether it touches the token before)."""
    tokens, position = [], 0
    text = text.rstrip()
    while position < len(text):
        match = _TOKEN.match(text, position)
        if match is None or match.lastgroup is None:
            raise _parsing_error(f"unexpected {text[position:].strip()[:1]!r} in operand")
        tokens.append((match.lastgroup, match[match.lastgroup], match.start(match.lastgroup) == position and position > 0))
        position = match.end()
    return tokens


def _parse_pipeline(text: str) -> _Pipeline:
    tokens = list(reversed(_tokens(text)))
    if not tokens:
        raise _parsing_error("missing value for command")
    pipeline = _read_pipeline(tokens)
    if tokens:
        raise _parsing_error(f"unexpected {tokens[-1][1]!r}")
    return pipeline


def _read_pipeline(tokens: list[tuple[str, str, bool]]) -> _Pipeline:
    variable, declares = "", False
    if len(tokens) > 1 and tokens[-1][0] == "variable" and tokens[-2][0] == "assign":
        variable, declares = tokens.pop()[1], tokens.pop()[1] == ":="
    commands: list[tuple[_Operand, ...]] = []
    operands: list[_Operand] = []
    while tokens and tokens[-1][1] != ")":
        kind, text, _ = tokens.pop()
        if (kind, text) == ("mark", "|"):
            commands.append(tuple(operands))
            operands = []
        else:
            operands.append(_read_operand(kind, text, tokens))
    commands.append(tuple(operands))
    if not all(commands):
        raise _parsing_error("missing value for command")
    return _Pipeline(tuple(commands), variable, declares)


def _read_operand(kind: str, text: str, tokens: list[tuple[str, str, bool]]) -> _Operand:
    if (kind, text) == ("mark", "("):
        inner = _read_pipeline(tokens)
        if not tokens:
            raise _parsing_error("unclosed left paren")
        tokens.pop()
        return _Field(inner, _read_touching_field(tokens))
    if kind == "text":
        return _Literal(_read_text(text))
    if kind == "number":
        return _Literal(_read_number(text))
    if kind == "field":
        return _Field(".", _split_field(text))
    if kind == "variable":
        return _Field(text, _read_touching_field(tokens))
    if kind == "name":
        if text in ("true", "false", "nil"):
            return _Literal({"true": True, "false": False, "nil": None}[text])
        if text not in FUNCTIONS:
            raise _parsing_error(f'function "{text}" not defined')
        return _Call(text)
    raise _parsing_error(f"unexpected {text!r} in operand")


def _read_touching_field(tokens: list[tuple[str, str, bool]]) -> tuple[str, ...]:
    return _split_field(tokens.pop()[1]) if tokens and tokens[-1][0] == "field" and tokens[-1][2] else ()


def _split_field(text: str) -> tuple[str, ...]:
    keys = text[1:].split(".") if text != "." else []
    if not all(keys):
        raise _parsing_error(f"unexpected <.> in operand {text!r}")
    return tuple(keys)


def _read_text(text: str) -> Value:
    body = text[1:-1]
    if text[0] == "`":
        return body
    plain = re.sub(r"\\(.)", lambda match: _ESCAPES.get(match[1], match[0]), body)
    return ord(plain) if text[0] == "'" else plain


def _read_number(text: str) -> Value:
    try:
        return int(text, 0)
    except ValueError:
        pass
    try:
        return float(text)
    except ValueError:
        raise _parsing_error(f'bad number syntax: "{text}"') from None


class Template:
    """A parsed template."""

    def __init__(self, nodes: tuple[_Node, ...]) -> None:
        """Keep *nodes*."""
        self._nodes = nodes

    def render(self, value: Value) -> str:
        """Return the template filled in with *value* as the dot.

        Raises:
            TemplateError: an operation does not fit the value it meets.
        """
        return "".join(_render(self._nodes, value, [{"$": value}]))


_Scopes = list[dict[str, Value]]


def _render(nodes: Sequence[_Node], dot: Value, scopes: _Scopes) -> Iterator[str]:
    for node in nodes:
        if isinstance(node, _Text):
            yield node.text
        elif isinstance(node, _Show):
            value = _evaluate(node.pipeline, dot, scopes)
            if not node.pipeline.variable:
                yield show(value)
        elif node.keyword == "range":
            yield from _render_range(node, dot, scopes)
        else:
            inner = [*scopes, {}]
            value = _evaluate(node.pipeline, dot, inner)
            if not is_true(value):
                yield from _render(node.otherwise, dot, inner)
            else:
                yield from _render(node.body, value if node.keyword == "with" else dot, inner)


def _render_range(node: _Branch, dot: Value, scopes: _Scopes) -> Iterator[str]:
    over = _evaluate(node.pipeline, dot, scopes)
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
        yield from _render(node.otherwise, dot, scopes)
    for key, value in pairs:
        names = dict(zip(node.names, (key, value) if len(node.names) == 2 else (value,), strict=False))
        yield from _render(node.body, value, [*scopes, names])


def _evaluate(pipeline: _Pipeline, dot: Value, scopes: _Scopes) -> Value:
    piped: tuple[Value, ...] = ()
    for command in pipeline.commands:
        piped = (_run_command(command, piped, dot, scopes),)
    (value,) = piped
    if pipeline.variable:
        scope = next((scope for scope in reversed(scopes) if not pipeline.declares and pipeline.variable in scope), scopes[-1])
        scope[pipeline.variable] = value
    return value


def _run_command(command: tuple[_Operand, ...], piped: tuple[Value, ...], dot: Value, scopes: _Scopes) -> Value:
    head, *rest = command
    arguments = [*(_operand_value(operand, dot, scopes) for operand in rest), *piped]
    if isinstance(head, _Call):
        return _call(head.function, FUNCTIONS[head.function], arguments)
    if isinstance(head, _Field):
        target = _follow(head, dot, scopes)
        name = ".".join(head.keys)
        if callable(target):
            return _call(name, target, arguments)
    else:
        target, name = head.value, show(head.value)
    if arguments:
        raise TemplateError(f"template: :1: can't give argument to non-function {name}")
    return target


def _operand_value(operand: _Operand, dot: Value, scopes: _Scopes) -> Value:
    return _run_command((operand,), (), dot, scopes)


def _follow(field: _Field, dot: Value, scopes: _Scopes) -> Value:
    if isinstance(field.base, _Pipeline):
        value = _evaluate(field.base, dot, scopes)
    elif field.base == ".":
        value = dot
    else:
        value = _variable(field.base, scopes)
    for key in field.keys:
        if value is None or value is MISSING:
            return MISSING
        if not isinstance(value, Mapping):
            raise TemplateError(f"template: :1: can't evaluate field {key} in type {_type_name(value)}")
        value = value.get(key, MISSING)
    return value


def _variable(name: str, scopes: _Scopes) -> Value:
    for scope in reversed(scopes):
        if name in scope:
            return scope[name]
    raise _parsing_error(f'undefined variable "{name}"')


def _call(name: str, function: Callable[..., Value], arguments: Sequence[Value]) -> Value:
    try:
        return function(*arguments)
    except TemplateError:
        raise
    except (TypeError, ValueError, KeyError, IndexError, AttributeError) as error:
        raise TemplateError(f"template: :1: error calling {name}: {error}") from error


class _Missing:
    """What a key that is not there gives; Go prints it as `<no value>`."""


MISSING = _Missing()


def is_true(value: Value) -> bool:
    """Whether Go's templates take *value* for true: not zero, not empty."""
    return value is not MISSING and bool(value)


def show(value: Value) -> str:
    """Return *value* as Go prints it: `map[a:1]`, `[x y]`, `true`, `<no value>`."""
    if value is MISSING or value is None:
        return "<no value>"
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, Mapping):
        return "map[" + " ".join(f"{key}:{_show_inner(item)}" for key, item in sorted(value.items())) + "]"
    if isinstance(value, list | tuple):
        return "[" + " ".join(map(_show_inner, value)) + "]"
    if isinstance(value, float):
        return f"{value:.6g}" if abs(value) >= 1e21 or (value and abs(value) < 1e-4) else f"{value:g}"
    return str(value)


def _show_inner(value: Value) -> str:
    return "<nil>" if value is None else show(value)


def _type_name(value: Value) -> str:
    names = {bool: "bool", int: "int", float: "float64", str: "string", list: "[]interface {}"}
    return names.get(type(value), "interface {}")


def _render_json(value: Value) -> str:
    import json

    plain = None if value is MISSING else value
    if isinstance(plain, Mapping):
        plain = {key: item for key, item in plain.items() if not callable(item)}
    return json.dumps(plain, ensure_ascii=False, separators=(",", ":"))


def _index(value: Value, *keys: Value) -> Value:
    for key in keys:
        if isinstance(value, Mapping):
            value = value.get(key, MISSING)
        elif isinstance(value, list | tuple | str) and isinstance(key, int):
            if not 0 <= key < len(value):
                raise TemplateError(f"template: :1: error calling index: index out of range: {key}")
            value = ord(value[key]) if isinstance(value, str) else value[key]
        else:
            raise TemplateError("template: :1: error calling index: index of untyped nil")
    return value


def _slice(value: Value, *limits: int) -> Value:
    if not isinstance(value, str | list):
        raise TemplateError(f"template: :1: error calling slice: can't slice item of type {_type_name(value)}")
    return value[slice(*limits)] if len(limits) > 1 else value[limits[0] if limits else 0 :]


def _length(value: Value) -> Value:
    if isinstance(value, Mapping | list | tuple | str):
        return len(value.encode()) if isinstance(value, str) else len(value)
    raise TemplateError(f"template: :1: error calling len: len of type {_type_name(value)}")


def _and(*values: Value) -> Value:
    return next((value for value in values if not is_true(value)), values[-1])


def _or(*values: Value) -> Value:
    return next((value for value in values if is_true(value)), values[-1])


def _printf(pattern: str, *values: Value) -> str:
    """Return *values* in Go's verbs; what Python's `%` has under the same letter it does."""
    remaining = list(values)

    def replace(match: re.Match[str]) -> str:
        flags, verb = match[1], match[2]
        if verb == "%":
            return "%"
        if not remaining:
            return f"%!{verb}(MISSING)"
        value = remaining.pop(0)
        if verb == "q":
            return _render_json(show(value))
        if verb in "vst":
            return f"%{flags}s" % show(value)
        return f"%{flags}{verb}" % value

    return re.sub(r"%([-+ #0]*\d*(?:\.\d+)?)([a-zA-Z%])", replace, pattern)


def _print(*values: Value) -> str:
    return "".join(map(show, values))


def _compare(test: Callable[[Value, Value], bool]) -> Callable[[Value, Value], bool]:
    return lambda left, right: test(left, right)


FUNCTIONS: dict[str, Callable[..., Value]] = {
    "and": _and,
    "or": _or,
    "not": lambda value: not is_true(value),
    "eq": lambda first, *others: any(first == other for other in others),
    "ne": lambda left, right: left != right,
    "lt": lambda left, right: left < right,
    "le": lambda left, right: left <= right,
    "gt": lambda left, right: left > right,
    "ge": lambda left, right: left >= right,
    "index": _index,
    "slice": _slice,
    "len": _length,
    "print": _print,
    "println": lambda *values: " ".join(map(show, values)) + "\n",
    "printf": _printf,
    "json": _render_json,
    "join": lambda values, separator: separator.join(map(show, values)),
    "split": lambda text, separator: text.split(separator),
    "upper": lambda text: text.upper(),
    "lower": lambda text: text.lower(),
    "title": lambda text: re.sub(r"\b[a-z]", lambda match: match[0].upper(), text),
    "pad": lambda text, before, after: " " * before + text + " " * after if text else "",
    "truncate": lambda text, length: text[:length],
    "html": lambda text: text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;").replace('"', "&#34;").replace("'", "&#39;"),
    "urlquery": lambda text: __import__("urllib.parse").parse.quote_plus(text),
}
"""Go's own functions, and those that Docker's client adds."""
