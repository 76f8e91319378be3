"""Hooks: programs of the host's that a bundle wants called at certain moments; see "POSIX-platform Hooks" of the specification.

Acting, and the only place of the run time that starts a program which is not the container's: the bundle names it, with an absolute
path. A hook gets the state of the container on its standard input; if it fails, the container does.
"""

from __future__ import annotations

import json
import signal
import subprocess
from collections.abc import Iterable, Mapping

from minidocker.errors import HostError, InvalidParameter
from minidocker.oci.bundle import Hook
from minidocker.spec.record import Json

__all__ = ["run_hooks"]


def run_hooks(name: str, hooks: Iterable[Hook], state: Mapping[str, Json], *, cwd: str | None = None) -> None:
    """Call *hooks* one after another, in the working directory *cwd*.

    Raises:
        InvalidParameter: a path that is not absolute.
        HostError: one failed or took too long; the rest is not called.
    """
    for hook in hooks:
        if not hook.path.startswith("/"):
            raise InvalidParameter(f"run {name} hook `{hook.path}`: the path must be absolute")
        environment = dict(word.partition("=")[::2] for word in hook.env)
        try:
            result = subprocess.run(
                list(hook.args) or [hook.path], executable=hook.path, input=json.dumps(state).encode(), env=environment, cwd=cwd,
                capture_output=True, timeout=hook.timeout, check=False,
            )  # fmt: skip
        except subprocess.TimeoutExpired as error:
            raise HostError(f"run {name} hook `{hook.path}`: it took longer than {hook.timeout} s") from error
        except OSError as error:
            raise HostError(f"run {name} hook `{hook.path}`: {error.strerror}") from error
        if result.returncode:
            said = result.stderr.decode(errors="replace").strip() or result.stdout.decode(errors="replace").strip()
            how = f"exit status {result.returncode}" if result.returncode > 0 else f"signal: {signal.strsignal(-result.returncode) or ''}".lower()
            raise HostError(f"error running hook: {name} hook `{hook.path}`: {how}{f': {said}' if said else ''}")
