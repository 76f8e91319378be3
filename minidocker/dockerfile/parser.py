"""From statements to instructions and stages: what each of the 18 accepts, with its flags.

Rule: everything that can be known from the text alone is checked here, so that a mistake in the last line is found before the
first line is built. What depends on variables is left to the builder. The messages are BuildKit's. Pure. Chapter 9.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any, Final

from minidocker.dockerfile.flags import FlagKind, Flags, parse_flags
from minidocker.dockerfile.instructions import (
    Add, Arg, Cmd, Command, Copy, Dockerfile, Entrypoint, Env, ExecForm, Expose, From, Healthcheck, Heredoc, Instruction,
    Label, Maintainer, OnBuild, Pair, Run, Shell, ShellForm, Stage, StopSignal, User, Volume, Workdir,
)  # fmt: skip
from minidocker.dockerfile.lexer import Statement, parse_heredoc_mark, read_directives, read_statements, split_lines
from minidocker.dockerfile.mistake import DockerfileError, find_suggestion, locate
from minidocker.dockerfile.mounts import check_mount
from minidocker.dockerfile.text import NO_SPAN, SPACE, render_quoted
from minidocker.dockerfile.words import SHAPES
from minidocker.spec.container import HealthConfig
from minidocker.spec.quantity import parse_duration_ns

__all__ = ["parse_dockerfile", "parse_instruction"]

_STAGE_NAME: Final = re.compile(r"[a-z][a-z0-9-_.]*")
_LEADING_ONBUILD: Final = re.compile(f"ONBUILD[{SPACE}]*", re.IGNORECASE)
_MIN_INTERVAL_NS: Final = 1_000_000


def parse_dockerfile(source: str | bytes) -> Dockerfile:
    """Return what *source* says.

    Raises:
        DockerfileError: it says nothing, or something that is wrong; with line, column and, where one is near, a suggestion.
    """
    text = source.decode("utf-8", "surrogateescape") if isinstance(source, bytes) else source
    lines = split_lines(text)
    directives, start = read_directives(lines)
    stages: list[tuple[From, list[Instruction]]] = []
    arguments: list[Arg] = []
    span = NO_SPAN
    for statement in read_statements(lines, directives.escape, start=start):
        span = statement.span
        try:
            parsed = _parse_statement(statement)
            if isinstance(parsed, From):
                stages.append((parsed, []))
            elif stages:
                stages[-1][1].append(parsed)
            elif isinstance(parsed, Arg):
                arguments.append(parsed)
            else:
                raise DockerfileError("no build stage in current context", hint="begin with FROM", culprit=statement.name)
        except DockerfileError as error:
            raise locate(error, statement.span, lines) from error.__cause__
    if not stages:
        problem = "dockerfile contains no stages to build" if arguments else "file with no instructions"
        raise locate(DockerfileError(problem, hint="begin with FROM"), span, lines or [""])
    return Dockerfile(
        stages=tuple(Stage(base=base, instructions=tuple(instructions)) for base, instructions in stages),
        arguments=tuple(arguments), directives=directives,
        lines=(*lines, "") if text.endswith("\n") else tuple(lines),
    )  # fmt: skip


def parse_instruction(text: str, escape: str = "\\") -> Instruction:
    """Return the one instruction in *text*: a trigger that ONBUILD kept, or the change of `commit` and `import`.

    Raises:
        DockerfileError: it is none, several, or FROM.
    """
    lines = split_lines(text)
    statements = list(read_statements(lines, escape))
    if len(statements) != 1:
        raise DockerfileError(f"expected one instruction, found {len(statements)}", culprit=text)
    try:
        parsed = _parse_statement(statements[0])
        if isinstance(parsed, From):
            raise DockerfileError("FROM is not allowed here", culprit=statements[0].name)
    except DockerfileError as error:
        raise locate(error, statements[0].span, lines) from error.__cause__
    return replace(parsed, span=NO_SPAN)


def _parse_statement(statement: Statement) -> Instruction | From:
    name = statement.name.upper()
    parse = _PARSERS.get(name)
    if parse is None:
        hint = find_suggestion(statement.name, SHAPES)
        raise DockerfileError(f"unknown instruction: {statement.name}", hint=hint, culprit=statement.name)
    flags = parse_flags(statement.arguments.flags, _FLAGS.get(name, {})) if _has_flags(name, statement) else {}
    return parse(statement, flags)


def _has_flags(name: str, statement: Statement) -> bool:
    """Whether flags count: ARG, STOPSIGNAL and HEALTHCHECK NONE pass over any, as they always did."""
    if name == "HEALTHCHECK":
        return bool(statement.arguments.words) and statement.arguments.words[0].upper() != "NONE"
    return name not in ("ARG", "STOPSIGNAL") and bool(statement.arguments.flags or name in _FLAGS)


def _words(statement: Statement) -> tuple[str, ...]:
    """Return the arguments, of which there must be one or more."""
    words = statement.arguments.words
    if not words:
        raise DockerfileError(f"{statement.name.upper()} requires at least one argument", culprit=statement.name)
    return words


def _line(statement: Statement) -> str:
    if len(statement.arguments.words) != 1:
        raise DockerfileError(f"{statement.name.upper()} requires exactly one argument", culprit=statement.name)
    return statement.arguments.words[0]


def _command(statement: Statement) -> Command:
    words = statement.arguments.words
    return ExecForm(words=words) if statement.arguments.is_json else ShellForm(line=words[0] if words else "")


def _pairs(statement: Statement) -> tuple[Pair, ...]:
    words = _words(statement)
    pairs = tuple(Pair(name=name, value=value) for name, value in zip(words[::2], words[1::2], strict=True))
    if any(not pair.name for pair in pairs):
        raise DockerfileError(f"{statement.name.upper()} names can not be blank", culprit="=")
    return pairs


def _place(statement: Statement) -> dict[str, Any]:
    return {"span": statement.span, "text": statement.text}


def _parse_files(statement: Statement) -> dict[str, Any]:
    """Return sources, destination and heredocs of ADD and COPY."""
    name, words = statement.name.upper(), statement.arguments.words
    if len(words) < 2:
        problem = f"{name} requires at least two arguments, but only one was provided. Destination could not be determined"
        raise DockerfileError(problem, culprit=words[0] if words else statement.name)
    *sources, destination = words
    if "<<" in destination and parse_heredoc_mark(destination):
        raise DockerfileError(f"{name} cannot accept a heredoc as a destination", culprit=destination)
    contents = {heredoc.name: heredoc.content for heredoc in statement.heredocs}
    paths: list[str] = []
    heredocs: list[Heredoc] = []
    for source in sources:
        mark = parse_heredoc_mark(source) if "<<" in source else None
        if mark and mark.name not in contents:
            raise DockerfileError(f"heredoc {source} has no lines", hint="an array or an open quote hides it", culprit=source)
        if mark:
            heredocs.append(replace(mark, content=contents[mark.name]))
        else:
            paths.append(source)
    return {"sources": tuple(paths), "destination": destination, "heredocs": tuple(heredocs), **_place(statement)}


def _parse_add(statement: Statement, flags: Flags) -> Add:
    return Add(**_parse_files(statement), **flags)


def _parse_copy(statement: Statement, flags: Flags) -> Copy:
    source = flags.get("from_", "")
    if isinstance(source, str) and "$" in source:
        problem = "variable expansion is not supported for --from, define a new stage with FROM using ARG from global scope as a workaround"
        raise DockerfileError(problem, hint=f"write `FROM {source} AS files` first, then `--from=files`", culprit=source)
    return Copy(**_parse_files(statement), **flags)


def _parse_from(statement: Statement, flags: Flags) -> From:
    words = statement.arguments.words
    name = ""
    if len(words) == 3 and words[1].upper() == "AS":
        name = words[2].lower()
        if not _STAGE_NAME.fullmatch(name):
            problem = f"invalid name for build stage: {render_quoted(words[2])}, name can't start with a number or contain symbols"
            raise DockerfileError(problem, culprit=words[2])
    elif len(words) != 1:
        raise DockerfileError("FROM requires either one or three arguments", culprit=words[1] if words else statement.name)
    return From(image=words[0], name=name, **flags, **_place(statement))


def _parse_run(statement: Statement, flags: Flags) -> Run:
    run = Run(command=_command(statement), heredocs=statement.heredocs, **flags, **_place(statement))
    if run.network not in ("default", "none", "host"):
        hint = find_suggestion(run.network, ("default", "none", "host"))
        raise DockerfileError(f"invalid network mode {render_quoted(run.network)}", hint=hint, culprit=run.network)
    if run.security not in ("sandbox", "insecure"):
        raise DockerfileError(f"security {render_quoted(run.security)} is not valid", culprit=run.security)
    for mount in run.mounts:
        check_mount(mount)
    return run


def _parse_arg(statement: Statement, _: Flags) -> Arg:
    parts = [word.partition("=") for word in _words(statement)]
    if any(not name for name, *_ in parts):
        raise DockerfileError("ARG names can not be blank", culprit="=")
    return Arg(pairs=tuple(Pair(name=name, value=value if equals else None) for name, equals, value in parts), **_place(statement))


def _parse_healthcheck(statement: Statement, flags: Flags) -> Healthcheck:
    kind, *command = _words(statement)
    if kind.upper() == "NONE":
        if command:
            raise DockerfileError("HEALTHCHECK NONE takes no arguments", culprit=command[0])
        return Healthcheck(config=HealthConfig(test=("NONE",)), **_place(statement))
    if kind.upper() != "CMD":
        hint = "try CMD"
        raise DockerfileError(f"Unknown type {render_quoted(kind.upper())} in HEALTHCHECK", hint=hint, culprit=kind)
    if not command:
        raise DockerfileError("Missing command after HEALTHCHECK CMD", culprit=kind)
    times = {name: _parse_interval(name, str(text)) for name, text in flags.items() if name != "retries"}
    retries = str(flags.get("retries") or "0")
    if not re.fullmatch("[+-]?[0-9]{1,10}", retries) or int(retries) >= 2**31:
        raise DockerfileError(f"invalid number of retries {render_quoted(retries)}", culprit=retries)
    if int(retries) < 0:
        raise DockerfileError(f"--retries cannot be negative ({int(retries)})", culprit=retries)
    test = ("CMD" if statement.arguments.is_json else "CMD-SHELL", *command)
    return Healthcheck(config=HealthConfig(test=test, retries=int(retries), **times), **_place(statement))


def _parse_interval(name: str, text: str) -> int:
    """Return nanoseconds; nothing, or nought, means Docker's default."""
    try:
        interval = parse_duration_ns(text) if text else 0
    except ValueError as error:
        raise DockerfileError(str(error), hint="such as 30s or 1m30s", culprit=text) from error
    if interval and interval < _MIN_INTERVAL_NS:
        raise DockerfileError(f"Interval {render_quoted(name.replace('_', '-'))} cannot be less than 1ms", culprit=text)
    return interval


def _parse_onbuild(statement: Statement, _: Flags) -> OnBuild:
    if statement.arguments.trigger is None:
        raise DockerfileError("ONBUILD requires at least one argument", culprit=statement.name)
    name = statement.arguments.trigger[0]
    if name.upper() == "ONBUILD":
        raise DockerfileError("Chaining ONBUILD via `ONBUILD ONBUILD` isn't allowed", culprit=statement.name)
    if name.upper() in ("MAINTAINER", "FROM"):
        raise DockerfileError(f"{name.upper()} isn't allowed as an ONBUILD trigger", culprit=name)
    bodies = "".join(f"\n{heredoc.content}{heredoc.name}" for heredoc in statement.heredocs)
    return OnBuild(trigger=_LEADING_ONBUILD.sub("", statement.text, count=1) + bodies, **_place(statement))


def _parse_shell(statement: Statement, _: Flags) -> Shell:
    words = _words(statement)
    if not statement.arguments.is_json:
        raise DockerfileError("SHELL requires the arguments to be in JSON form", hint='such as ["/bin/bash", "-c"]', culprit=words[0])
    return Shell(words=words, **_place(statement))


def _parse_volume(statement: Statement, _: Flags) -> Volume:
    paths = tuple(word.strip(SPACE) for word in _words(statement))
    if not all(paths):
        raise DockerfileError("VOLUME specified can not be an empty string", culprit='""')
    return Volume(paths=paths, **_place(statement))


_FILE_FLAGS: Final = {"chown": FlagKind.TEXT, "chmod": FlagKind.TEXT, "link": FlagKind.SWITCH, "exclude": FlagKind.LIST}
_FLAGS: Final[Mapping[str, Mapping[str, FlagKind]]] = {
    "ADD": {**_FILE_FLAGS, "keep-git-dir": FlagKind.SWITCH, "checksum": FlagKind.TEXT, "unpack": FlagKind.SWITCH},
    "COPY": {**_FILE_FLAGS, "from": FlagKind.TEXT, "parents": FlagKind.SWITCH},
    "FROM": {"platform": FlagKind.TEXT},
    "HEALTHCHECK": dict.fromkeys(("interval", "timeout", "start-period", "start-interval", "retries"), FlagKind.TEXT),
    "RUN": {"mount": FlagKind.LIST, "network": FlagKind.TEXT, "security": FlagKind.TEXT, "device": FlagKind.LIST},
}
"""Instruction → its flags."""

_PARSERS: Final[Mapping[str, Callable[[Statement, Flags], Instruction | From]]] = {
    "ADD": _parse_add,
    "ARG": _parse_arg,
    "CMD": lambda statement, _: Cmd(command=_command(statement), **_place(statement)),
    "COPY": _parse_copy,
    "ENTRYPOINT": lambda statement, _: Entrypoint(command=_command(statement), **_place(statement)),
    "ENV": lambda statement, _: Env(pairs=_pairs(statement), **_place(statement)),
    "EXPOSE": lambda statement, _: Expose(ports=_words(statement), **_place(statement)),
    "FROM": _parse_from,
    "HEALTHCHECK": _parse_healthcheck,
    "LABEL": lambda statement, _: Label(pairs=_pairs(statement), **_place(statement)),
    "MAINTAINER": lambda statement, _: Maintainer(name=_line(statement), **_place(statement)),
    "ONBUILD": _parse_onbuild,
    "RUN": _parse_run,
    "SHELL": _parse_shell,
    "STOPSIGNAL": lambda statement, _: StopSignal(signal=_line(statement), **_place(statement)),
    "USER": lambda statement, _: User(user=_line(statement), **_place(statement)),
    "VOLUME": _parse_volume,
    "WORKDIR": lambda statement, _: Workdir(path=_line(statement), **_place(statement)),
}
