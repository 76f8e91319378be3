"""The syntax of Go templates: text to nodes.

Pure. The language is that of Go's text/template, as far as Docker's `--format` uses it:

    template = { text | "{{" ["- "] action [" -"] "}}" }
    action   = comment | pipeline | variable (":=" | "=") pipeline | "if" pipeline | "range" [variables ":="] pipeline
             | "with" pipeline | "else" ["if" pipeline] | "end"
    pipeline = command { "|" command }          the value before "|" is the last argument of the command after it
    command  = operand { operand }              a function or a field that takes arguments, or one value
    operand  = "." | field | variable [field] | literal | function | "(" pipeline ")" [field]
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field

from minidocker.errors import InvalidParameter

__all__ = ["Branch", "Call", "Field", "Literal", "Node", "Operand", "Pipeline", "Show", "TemplateError", "Text", "parse_nodes"]

_TOKEN = re.compile(
    r"""\s*(?:(?P<text>"(?:[^"\\\n]|\\.)*"|`[^`]*`|'(?:[^'\\\n]|\\.)')|(?P<number>[-+]?\d[\w.]*)|(?P<assign>:=|=)"""
    r"""|(?P<field>\.[\w.]*)|(?P<variable>\$\w*)|(?P<name>[A-Za-z_]\w*)|(?P<mark>[|(),]))"""
)
_ACTION = re.compile(r"\{\{(- )?(.*?)( -)?\}\}", re.DOTALL)
_ESCAPES = {"n": "\n", "t": "\t", "r": "\r", "\\": "\\", '"': '"', "'": "'", "a": "\a", "b": "\b", "f": "\f", "v": "\v"}
_KEYWORDS = frozenset(("if", "range", "with", "else", "end"))


class TemplateError(InvalidParameter):
    """A template that cannot be parsed, or does not fit the value it meets."""

    def __init__(self, message: str, *, parsing: bool = False) -> None:
        """Keep Go's words; *parsing* says in which half it happened, because Docker words them differently."""
        super().__init__(message)
        self.parsing = parsing


@dataclass(frozen=True, slots=True)
class Literal:
    """A text, a number, true, false or nil."""

    value: object


@dataclass(frozen=True, slots=True)
class Field:
    """Keys to follow from the dot, a variable (`$`, `$name`) or the value of a pipeline."""

    base: str | Pipeline
    keys: tuple[str, ...]
    column: int = field(default=0, compare=False)
    """Where it stands in the template, for messages."""


@dataclass(frozen=True, slots=True)
class Call:
    """The name of a function."""

    function: str


Operand = Literal | Field | Call
"""One word of a command."""


@dataclass(frozen=True, slots=True)
class Pipeline:
    """Commands, each fed with the value before it; perhaps kept in a variable."""

    commands: tuple[tuple[Operand, ...], ...]
    variable: str = ""
    declares: bool = False


@dataclass(frozen=True, slots=True)
class Text:
    """What stands outside of actions."""

    text: str


@dataclass(frozen=True, slots=True)
class Show:
    """An action that prints its value."""

    pipeline: Pipeline


@dataclass(frozen=True, slots=True)
class Branch:
    """`if`, `with` or `range` with its two bodies; *names* are what `range $i, $x :=` declares."""

    keyword: str
    pipeline: Pipeline
    names: tuple[str, ...]
    body: tuple[Node, ...]
    otherwise: tuple[Node, ...]


Node = Text | Show | Branch
"""A part of a template."""


def parse_nodes(text: str, functions: frozenset[str]) -> tuple[Node, ...]:
    """Return the nodes of the template *text*, which may call *functions*.

    Raises:
        TemplateError: `template: :1: …`, as Go says it.
    """
    nodes, closing = _parse_nodes(_Pieces(text, functions))
    if closing:
        raise _parsing_error(f"unexpected {{{{{closing}}}}}")
    return nodes


def _parsing_error(cause: str) -> TemplateError:
    return TemplateError(f"template: :1: {cause}", parsing=True)


class _Pieces:
    """The texts and actions of a template, in order, with trimmed white space."""

    def __init__(self, source: str, functions: frozenset[str]) -> None:
        self.functions = functions
        self._pieces = list(self._split(source))
        self._next = 0

    @staticmethod
    def _split(source: str) -> Iterator[tuple[bool, str, int]]:
        start, trim = 0, False
        for match in _ACTION.finditer(source):
            text = source[start : match.start()]
            text = text.lstrip() if trim else text
            yield False, text.rstrip() if match[1] else text, start
            if not match[2].strip().startswith("/*"):
                yield True, match[2].strip(), match.start(2) + len(match[2]) - len(match[2].lstrip())
            start, trim = match.end(), bool(match[3])
        rest = source[start:]
        if "{{" in rest:
            raise _parsing_error("unclosed action")
        yield False, rest.lstrip() if trim else rest, start

    def take(self) -> tuple[bool, str, int] | None:
        if self._next == len(self._pieces):
            return None
        self._next += 1
        return self._pieces[self._next - 1]


def _parse_nodes(pieces: _Pieces, opened: str = "") -> tuple[tuple[Node, ...], str]:
    """Return the nodes up to `else` or `end`, and that action; *opened* says whose body it is."""
    nodes: list[Node] = []
    while (piece := pieces.take()) is not None:
        is_action, text, column = piece
        if not is_action:
            nodes.append(Text(text))
            continue
        keyword, _, rest = text.partition(" ")
        if keyword in ("else", "end"):
            return tuple(nodes), text
        nodes.append(_parse_branch(pieces, keyword, rest, column) if keyword in _KEYWORDS else Show(_parse_pipeline(text, pieces.functions, column)))
    if opened:
        raise _parsing_error("unexpected EOF")
    return tuple(nodes), ""


def _parse_branch(pieces: _Pieces, keyword: str, rest: str, column: int) -> Branch:
    names: tuple[str, ...] = ()
    if keyword == "range" and ":=" in rest:
        left, _, rest = rest.partition(":=")
        column += len(left) + 2
        names = tuple(name.strip() for name in left.split(","))
    pipeline = _parse_pipeline(rest, pieces.functions, column + len(keyword) + 1)
    body, closing = _parse_nodes(pieces, keyword)
    otherwise: tuple[Node, ...] = ()
    if closing.startswith("else"):
        follow = closing.removeprefix("else").strip()
        if follow:
            next_keyword, _, next_rest = follow.partition(" ")
            return Branch(keyword, pipeline, names, body, (_parse_branch(pieces, next_keyword, next_rest, column),))
        otherwise, closing = _parse_nodes(pieces, keyword)
    if closing != "end":
        raise _parsing_error(f"unexpected {{{{{closing}}}}}")
    return Branch(keyword, pipeline, names, body, otherwise)


class _Token:
    """One word of an action; *touches* says that no space stands before it."""

    __slots__ = ("column", "kind", "text", "touches")

    def __init__(self, kind: str, text: str, column: int, *, touches: bool) -> None:
        self.kind, self.text, self.column, self.touches = kind, text, column, touches


def _tokens(text: str, functions: frozenset[str], column: int) -> list[_Token]:
    tokens, position = [], 0
    text = text.rstrip()
    while position < len(text):
        match = _TOKEN.match(text, position)
        if match is None or match.lastgroup is None:
            raise _parsing_error(f"unexpected {text[position:].strip()[:1]!r} in operand")
        kind, start = match.lastgroup, match.start(match.lastgroup)
        if kind == "name" and match[kind] not in ("true", "false", "nil") and match[kind] not in functions:
            raise _parsing_error(f'function "{match[kind]}" not defined')
        tokens.append(_Token(kind, match[kind], column + start, touches=position == start > 0))
        position = match.end()
    return tokens


def _parse_pipeline(text: str, functions: frozenset[str], column: int) -> Pipeline:
    tokens = list(reversed(_tokens(text, functions, column)))
    if not tokens:
        raise _parsing_error("missing value for command")
    pipeline = _read_pipeline(tokens)
    if tokens:
        raise _parsing_error(f"unexpected {tokens[-1].text!r} in operand")
    return pipeline


def _read_pipeline(tokens: list[_Token]) -> Pipeline:
    variable, declares = "", False
    if len(tokens) > 1 and tokens[-1].kind == "variable" and tokens[-2].kind == "assign":
        variable, declares = tokens.pop().text, tokens.pop().text == ":="
    commands: list[tuple[Operand, ...]] = []
    operands: list[Operand] = []
    while tokens and tokens[-1].text != ")":
        token = tokens.pop()
        if token.kind == "mark" and token.text == "|":
            commands.append(tuple(operands))
            operands = []
        else:
            operands.append(_read_operand(token, tokens))
    commands.append(tuple(operands))
    if not all(commands):
        raise _parsing_error("missing value for command")
    return Pipeline(tuple(commands), variable, declares)


def _read_operand(token: _Token, tokens: list[_Token]) -> Operand:
    match token.kind, token.text:
        case "mark", "(":
            inner = _read_pipeline(tokens)
            if not tokens:
                raise _parsing_error("unclosed left paren")
            tokens.pop()
            return Field(inner, _read_touching_field(tokens), token.column)
        case "text", text:
            return Literal(_read_text(text))
        case "number", text:
            return Literal(_read_number(text))
        case "field", text:
            return Field(".", _split_field(text), token.column)
        case "variable", text:
            return Field(text, _read_touching_field(tokens), token.column)
        case "name", ("true" | "false" | "nil") as text:
            return Literal({"true": True, "false": False, "nil": None}[text])
        case "name", text:
            return Call(text)
        case _, text:
            raise _parsing_error(f"unexpected {text!r} in operand")


def _read_touching_field(tokens: list[_Token]) -> tuple[str, ...]:
    return _split_field(tokens.pop().text) if tokens and tokens[-1].kind == "field" and tokens[-1].touches else ()


def _split_field(text: str) -> tuple[str, ...]:
    keys = text[1:].split(".") if text != "." else []
    if not all(keys):
        raise _parsing_error(f"unexpected <.> in operand {text!r}")
    return tuple(keys)


def _read_text(text: str) -> object:
    body = text[1:-1]
    if text[0] == "`":
        return body
    plain = re.sub(r"\\(.)", lambda match: _ESCAPES.get(match[1], match[0]), body)
    return ord(plain) if text[0] == "'" else plain


def _read_number(text: str) -> object:
    try:
        return int(text, 0)
    except ValueError:
        pass
    try:
        return float(text)
    except ValueError:
        raise _parsing_error(f'bad number syntax: "{text}"') from None
