"""The functions of Go templates, with those that Docker's client adds, and how Go prints values.

Pure. A key that is not there gives `MISSING`, which prints as `<no value>`. See text/template, "Functions"; docker's
documentation, "Format command and log output".
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping

from minidocker.cli.template_syntax import TemplateError

__all__ = ["FUNCTIONS", "MISSING", "Value", "is_true", "show", "type_name"]

Value = object
"""JSON values, and functions for fields that take arguments."""


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


def type_name(value: Value) -> str:
    """Return what Go calls the type of *value*."""
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
        raise TemplateError(f"template: :1: error calling slice: can't slice item of type {type_name(value)}")
    return value[slice(*limits)] if len(limits) > 1 else value[limits[0] if limits else 0 :]


def _length(value: Value) -> Value:
    if isinstance(value, Mapping | list | tuple | str):
        return len(value.encode()) if isinstance(value, str) else len(value)
    raise TemplateError(f"template: :1: error calling len: len of type {type_name(value)}")


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
