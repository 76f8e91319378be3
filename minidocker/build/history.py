"""What the history of an image says of a step: BuildKit's words, which `docker history` shows and scripts compare.

Pure. The values of arguments stand in front of a RUN's command, in the order of their declaration, which is why an ARG is no place
for a secret. ONBUILD leaves no line. Chapter 10.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final

from minidocker.dockerfile.instructions import (
    Add, Cmd, Copy, Entrypoint, Expose, Healthcheck, Instruction, OnBuild, Run, Shell, Volume,
)  # fmt: skip
from minidocker.spec.container import HealthConfig

__all__ = ["render_history"]

_MARK: Final = " # buildkit"
"""Behind what made a layer: tools take it for the sign of this form."""


def render_history(
    instruction: Instruction, text: str, *, argv: Sequence[str] = (), arguments: Mapping[str, str] | None = None, ports: Sequence[str] = ()
) -> str:  # fmt: skip
    """Return the line for *instruction*, whose words are expanded; empty if it has none.

    Args:
        instruction: the step.
        text: what it says without more ado; right for most.
        argv: what CMD, ENTRYPOINT and RUN execute.
        arguments: what RUN sees of ARG, in the order of declaration.
        ports: what EXPOSE comes to.
    """
    match instruction:
        case Run():
            words = [f"{name}={value}" for name, value in (arguments or {}).items()]
            return " ".join(["RUN", *([f"|{len(words)}", *words] if words else []), *argv]) + _MARK
        case Add() | Copy():
            flags = [*(["--parents"] if isinstance(instruction, Copy) and instruction.parents else [])]
            flags += [f"--{name}={value}" for name in ("chown", "chmod") if (value := getattr(instruction, name))]
            sources = [*instruction.sources, *(f"<<{heredoc.name}" for heredoc in instruction.heredocs)]
            return " ".join([type(instruction).__name__.upper(), *flags, *sources, instruction.destination]) + _MARK
        case Cmd() | Entrypoint():
            return f"{type(instruction).__name__.upper()} [{' '.join(map(_quote, argv))}]"
        case Expose():
            return f"EXPOSE map[{' '.join(f'{port}:{{}}' for port in ports)}]"
        case Volume():
            return f"VOLUME [{' '.join(instruction.paths)}]"
        case Shell():
            return f"SHELL [{' '.join(instruction.words)}]"
        case Healthcheck():
            return f"HEALTHCHECK &{{{_render_health(instruction.config)}}}"
        case OnBuild():
            return ""
    return text


def _quote(word: str) -> str:
    escapes = {'"': '\\"', "\\": "\\\\", "\n": "\\n", "\t": "\\t", "\r": "\\r"}
    return '"' + "".join(escapes.get(character, character) for character in word) + '"'


def _render_health(config: HealthConfig) -> str:
    """Return it as Go prints it: the test as quoted words, times as durations, the number of retries as a character."""
    times = (config.interval, config.timeout, config.start_period, config.start_interval)
    retries = chr(config.retries) if 32 <= config.retries < 127 else f"\\x{config.retries:02x}"
    return f"[{' '.join(map(_quote, config.test))}] {' '.join(_quote(_render_duration(time)) for time in times)} '{retries}'"


def _render_duration(nanoseconds: int) -> str:
    if nanoseconds < 10**9:
        unit, size = ("ms", 10**6) if nanoseconds >= 10**6 else ("s", 10**9)
        return f"{nanoseconds / size:g}{unit}"
    minutes, seconds = divmod(nanoseconds / 10**9, 60)
    hours, minutes = divmod(int(minutes), 60)
    return (f"{hours}h" if hours else "") + (f"{minutes}m" if hours or minutes else "") + f"{seconds:g}s"
