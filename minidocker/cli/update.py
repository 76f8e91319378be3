"""`update`: other limits and another restart policy. Acts: one request for each named container. Chapter 14."""

from __future__ import annotations

import sys

from minidocker.cli.command import Command
from minidocker.client.fields import texts_at
from minidocker.cli.flags import UsageError
from minidocker.cli.lifecycle import for_each
from minidocker.cli.run_flags import CREATE_FLAGS
from minidocker.cli.run_values import read_restart

TYPE_CHECKING = False
if TYPE_CHECKING:
    from minidocker.cli.flags import Options
    from minidocker.cli.session import Session
    from minidocker.spec.record import Json

__all__ = ["UPDATE"]

TEXTS = (("cpuset-cpus", "CpusetCpus"), ("cpuset-mems", "CpusetMems"))
NUMBERS = (
    ("blkio-weight", "BlkioWeight"), ("cpu-period", "CpuPeriod"), ("cpu-quota", "CpuQuota"), ("cpu-rt-period", "CpuRealtimePeriod"),
    ("cpu-rt-runtime", "CpuRealtimeRuntime"), ("cpu-shares", "CpuShares"), ("cpus", "NanoCpus"), ("memory", "Memory"),
    ("memory-reservation", "MemoryReservation"), ("memory-swap", "MemorySwap"), ("pids-limit", "PidsLimit"),
)  # fmt: skip
"""Flags of `run` that can be changed later, and their keys in the body."""


def update(session: Session, options: Options) -> int:
    """Change limits of containers."""
    body: dict[str, Json] = {key: options.text(flag) for flag, key in TEXTS if options.text(flag)}
    body |= {key: options.number(flag) for flag, key in NUMBERS if flag in options.given}
    if "restart" in options.given:
        try:
            body["RestartPolicy"] = read_restart(options.text("restart"))
        except ValueError as error:
            raise UsageError(str(error), prefix=True, brief=True) from error
    if not body:
        raise UsageError("you must provide one or more flags when using this command", exit_status=1)

    def change(name: str) -> str:
        answer = session.client().post(f"/containers/{name}/update", None, body)
        for warning in texts_at(answer, "Warnings"):
            print(warning, file=sys.stderr)
        return name

    return for_each(options.arguments, change)


UPDATE = Command(
    "[OPTIONS] CONTAINER [CONTAINER...]",
    update,
    tuple(flag for flag in CREATE_FLAGS if flag.name in {"restart", *(name for name, _ in (*TEXTS, *NUMBERS))}),
    minimum=1,
)
