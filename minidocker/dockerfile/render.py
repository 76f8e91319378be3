"""From values back to text: a Dockerfile that means the same, in one tidy form.

Rule: what `parse_dockerfile` makes of the text that is written here equals what it was written from. Comments and line breaks are
gone; so this is no formatter for files that people keep, but what tests, `--explain` and exercises print. Pure. Chapter 9.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import fields
from typing import Any, Final, assert_never

from minidocker.dockerfile.instructions import (
    Add, Arg, Cmd, Command, Copy, Directives, Dockerfile, Entrypoint, Env, ExecForm, Expose, From, Healthcheck, Heredoc, Instruction,
    Label, Maintainer, OnBuild, Pair, Run, Shell, StopSignal, User, Volume, Workdir,
)  # fmt: skip
from minidocker.dockerfile.words import split_words

__all__ = ["render_dockerfile", "render_instruction"]

_EASY_WORD: Final = re.compile(r"[A-Za-z0-9_./:@*?$%{}+,=~][A-Za-z0-9_./:@*?$%{}+,=~-]*")
_FLAGS: Final[Mapping[str, str]] = {
    "from_": "from", "chown": "chown", "chmod": "chmod", "link": "link", "parents": "parents", "exclude": "exclude",
    "keep_git_dir": "keep-git-dir", "checksum": "checksum", "unpack": "unpack", "platform": "platform", "mounts": "mount",
    "network": "network", "security": "security", "devices": "device",
}  # fmt: skip
"""Field → flag, in the order in which they are written."""


def render_dockerfile(dockerfile: Dockerfile) -> str:
    """Return text that means what *dockerfile* says."""
    escape = dockerfile.directives.escape
    parts = list(_render_directives(dockerfile.directives))
    parts += [render_instruction(argument, escape) for argument in dockerfile.arguments]
    for stage in dockerfile.stages:
        parts += [render_instruction(stage.base, escape), *(render_instruction(one, escape) for one in stage.instructions)]
    return "".join(f"{part}\n" for part in parts)


def _render_directives(directives: Directives) -> Iterator[str]:
    for field in fields(directives):
        value = getattr(directives, field.name)
        if value and value != field.default:
            yield f"# {field.name}={value}"


def render_instruction(instruction: Instruction | From, escape: str = "\\") -> str:
    """Return the lines of one instruction, without the last newline."""
    line, newline, bodies = _render(instruction, escape).partition("\n")
    # a vertical tab is no blank that may follow the mark of a continuation, and vanishes when the line is read
    end = "\v" if line.endswith(escape) else ""
    return f"{line}{end}{newline}{bodies}"


def _render(instruction: Instruction | From, escape: str) -> str:
    match instruction:
        case From():
            name = f" AS {instruction.name}" if instruction.name else ""
            return f"FROM {_flags(instruction, escape)}{instruction.image}{name}"
        case Add() | Copy():
            words = (*instruction.sources, *(_mark(heredoc) for heredoc in instruction.heredocs), instruction.destination)
            paths = " ".join(words) if instruction.heredocs else _words(words)
            name = type(instruction).__name__.upper()
            return f"{name} {_flags(instruction, escape)}{paths}{_bodies(instruction.heredocs)}"
        case Run():
            return f"RUN {_flags(instruction, escape)}{_command(instruction.command)}{_bodies(instruction.heredocs)}"
        case Cmd() | Entrypoint():
            return f"{type(instruction).__name__.upper()} {_command(instruction.command)}".rstrip(" ")
        case Env() | Label():
            return f"{type(instruction).__name__.upper()} {_pairs(instruction.pairs, escape)}"
        case Arg():
            return "ARG " + " ".join(pair.name if pair.value is None else f"{pair.name}={pair.value}" for pair in instruction.pairs)
        case Expose():
            return "EXPOSE " + " ".join(instruction.ports)
        case Healthcheck():
            return _healthcheck(instruction)
        case Shell():
            return f"SHELL {_json(instruction.words)}"
        case Volume():
            return f"VOLUME {_words(instruction.paths)}"
        case Maintainer():
            return f"MAINTAINER {_line(instruction.name)}"
        case OnBuild():
            return f"ONBUILD {instruction.trigger}"
        case StopSignal():
            return f"STOPSIGNAL {_line(instruction.signal)}"
        case User():
            return f"USER {_line(instruction.user)}"
        case Workdir():
            return f"WORKDIR {_line(instruction.path)}"
        case _:
            assert_never(instruction)


def _json(words: Sequence[str]) -> str:
    return json.dumps(list(words), ensure_ascii=False)


def _words(words: Sequence[str]) -> str:
    return " ".join(words) if all(map(_EASY_WORD.fullmatch, words)) else _json(words)


def _line(text: str) -> str:
    """Return a rest of a line; one that looks like a flag needs a mark that it is none."""
    return f"-- {text}" if text.startswith("--") else text


def _command(command: Command) -> str:
    return _json(command.words) if isinstance(command, ExecForm) else _line(command.line)


def _pairs(pairs: Sequence[Pair], escape: str) -> str:
    words = tuple(f"{pair.name}={pair.value}" for pair in pairs)
    text = " ".join(words)
    return text if split_words(text, escape) == words else f"{pairs[0].name} {pairs[0].value}"


def _flags(instruction: Any, escape: str) -> str:
    """Return the flags that say something, each with a blank behind it."""
    written: list[str] = []
    for field in fields(instruction):
        value = getattr(instruction, field.name)
        if field.name not in _FLAGS or value == field.default:
            continue
        for one in value if isinstance(value, tuple) else (value,):
            text = str(one).lower() if isinstance(one, bool) else one
            quoted = re.sub(r"""(['"\s\\`])""", lambda match: f"{escape}{match[0]}", text)
            written.append(f"--{_FLAGS[field.name]}={quoted} ")
    return "".join(sorted(written, key=lambda flag: list(_FLAGS.values()).index(flag[2:].partition("=")[0])))


def _mark(heredoc: Heredoc) -> str:
    number = heredoc.descriptor or ""
    return f"{number}<<{'-' if heredoc.strip_tabs else ''}{heredoc.name if heredoc.expand else repr(heredoc.name)}"


def _bodies(heredocs: Sequence[Heredoc]) -> str:
    return "".join(f"\n{heredoc.content}{heredoc.name}" for heredoc in heredocs)


def _healthcheck(instruction: Healthcheck) -> str:
    config = instruction.config
    if config.test[:1] == ("NONE",):
        return "HEALTHCHECK NONE"
    times = {"interval": config.interval, "timeout": config.timeout, "start-period": config.start_period, "start-interval": config.start_interval}
    flags = "".join(f"--{name}={value}ns " for name, value in times.items() if value)
    flags += f"--retries={config.retries} " if config.retries else ""
    command = _json(config.test[1:]) if config.test[0] == "CMD" else config.test[1]
    return f"HEALTHCHECK {flags}CMD {command}"
