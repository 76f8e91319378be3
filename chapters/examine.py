"""Look at a learner's file without running it: can it be read, and are the functions still there, with their signatures?

Pure. Every answer is one sentence that says what to do; the file is the learner's, and is never changed here.
"""

from __future__ import annotations

import ast

from chapters.manifest import Exercise
from chapters.stub import Function, find_functions

__all__ = ["find_problem", "is_stub"]

MAX_BYTES = 1 << 20


def find_problem(exercise: Exercise, module: str, *, name: str, ours: bytes, theirs: bytes) -> str:
    """Return what keeps the learner's copy *theirs* of *module* from being checked, or nothing.

    Args:
        exercise: what is asked for.
        module: the module of which it is a copy.
        name: the file as the learner knows it.
        ours: our own source of that module.
        theirs: what the learner wrote.
    """
    afresh = f"`python3 -m chapters reset {exercise.id}` gives you a fresh copy and keeps yours"
    if not theirs.strip():
        return f"{name} is empty: {afresh}"
    if len(theirs) > MAX_BYTES:
        return f"{name} has {len(theirs)} bytes, more than a module of this book ever needs: {afresh}"
    try:
        tree = ast.parse(theirs)
    except SyntaxError as error:
        return f"{name}, line {error.lineno or 1}: Python cannot read this: {error.msg}"
    except (ValueError, RecursionError, MemoryError) as error:  # a null byte, or brackets without end
        return f"{name}: Python cannot read this file: {error}"
    found, wanted = find_functions(tree), find_functions(ast.parse(ours))
    for qualname in exercise.targets_in(module):
        if qualname not in found:
            return f"{name} has no function `{qualname}` any more: put it back, or start afresh: {afresh}"
        if _shape(found[qualname]) != _shape(wanted[qualname]):
            return f"{name}, line {found[qualname].lineno}: the signature of `{qualname}` must stay `({ast.unparse(wanted[qualname].args)})`, because others call it"
    return ""


def is_stub(source: bytes, qualname: str) -> bool:
    """Whether a function is still as `start` made it."""
    body = find_functions(ast.parse(source))[qualname].body
    last = body[-1]
    return isinstance(last, ast.Raise) and "NotImplementedError('exercise " in ast.unparse(last) and len(body) <= 2


def _shape(node: Function) -> tuple[object, ...]:
    """Return what a caller sees of a signature: names, kinds and which have a default; annotations are the author's affair."""
    args = node.args
    positional = [arg.arg for arg in (*args.posonlyargs, *args.args)]
    named = [(arg.arg, default is not None) for arg, default in zip(args.kwonlyargs, args.kw_defaults, strict=True)]
    rest = [arg.arg if arg else "" for arg in (args.vararg, args.kwarg)]
    return positional, len(args.posonlyargs), len(args.defaults), named, rest, type(node)
