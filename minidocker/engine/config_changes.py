"""`--change` of `commit` and `import`: instructions of a Dockerfile that alter a configuration, read as a build reads them.

Pure. Only what touches no file may change an image that is already there. Chapter 10.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Final

from minidocker.build.state import StageState, apply_instruction
from minidocker.dockerfile.parser import parse_instruction
from minidocker.errors import InvalidParameter
from minidocker.spec.container import ContainerConfig

__all__ = ["apply_changes"]

_ALLOWED: Final = frozenset(
    {"CMD", "ENTRYPOINT", "ENV", "EXPOSE", "HEALTHCHECK", "LABEL", "ONBUILD", "STOPSIGNAL", "USER", "VOLUME", "WORKDIR"}
)


def apply_changes(config: ContainerConfig, changes: Sequence[str]) -> ContainerConfig:
    """Return *config* with the instructions in *changes* carried out, one after the other.

    Raises:
        InvalidParameter: an instruction that is unknown, cannot change a configuration, or has the wrong form.
    """
    scope = dict(word.partition("=")[::2] for word in config.env)
    state = StageState(config=config, scope=scope)
    for line in changes:
        word = line.split(maxsplit=1)[0] if line.strip() else ""
        if not word:
            continue
        if word.upper() not in _ALLOWED:
            raise InvalidParameter(f"{word} is not a valid change command", hint=f"it must be one of {', '.join(sorted(_ALLOWED))}")
        state = apply_instruction(parse_instruction(line), state, given={}, defaults={}).state
    return replace(state.config, args_escaped=config.args_escaped)
