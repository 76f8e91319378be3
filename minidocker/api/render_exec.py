"""An exec as the Remote API shows it; pure. See the Docker Engine API 1.50, `ExecInspectResponse`."""

from __future__ import annotations

from typing import TYPE_CHECKING

from minidocker.spec.record import Json

if TYPE_CHECKING:
    from minidocker.engine.exec import ExecRecord

__all__ = ["render_exec"]


def render_exec(record: ExecRecord) -> dict[str, Json]:
    """Return the body of `GET /exec/{id}/json`; the exit code is null until there is one."""
    request = record.request
    process: dict[str, Json] = {
        "tty": request.tty,
        "entrypoint": request.cmd[0] if request.cmd else "",
        "arguments": [*request.cmd[1:]],
        "privileged": request.privileged,
    }
    if request.user:
        process["user"] = request.user
    return {
        "ID": record.id,
        "Running": record.running,
        "ExitCode": record.exit_code,
        "ProcessConfig": process,
        "OpenStdin": request.attach_stdin,
        "OpenStderr": request.attach_stderr,
        "OpenStdout": request.attach_stdout,
        "CanRemove": False,
        "ContainerID": record.container_id,
        "DetachKeys": request.detach_keys,
        "Pid": record.pid,
    }
