"""`docker exec`: one more process in a running container."""

from __future__ import annotations

import os
import secrets
from dataclasses import dataclass, replace
from typing import Final

from minidocker.cgroup.limits import plan_join
from minidocker.container.plan import ExecPlan, Surroundings, plan_exec
from minidocker.container.protocol import Failed, Resize, RunExec
from minidocker.container.record import Status
from minidocker.engine.engine import Engine, hasten_moves, publish_container_event
from minidocker.engine.start import group_name, id_map_of, seccomp_program, split_hint
from minidocker.engine.store import Handle
from minidocker.errors import Conflict, HostError, InvalidParameter, NotFound

__all__ = ["ExecRecord", "ExecRequest", "create_exec", "require_exec", "resize_exec", "start_exec", "top_container"]


CANNOT_EXECUTE: Final = 126
"""The exit code of every exec that could not be started: Docker makes no difference between reasons, other than in `run`."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ExecRequest:
    """The body of `POST /containers/{id}/exec`."""

    attach_stdin: bool = False
    attach_stdout: bool = False
    attach_stderr: bool = False
    detach_keys: str = ""
    tty: bool = False
    cmd: tuple[str, ...] = ()
    env: tuple[str, ...] = ()
    user: str = ""
    working_dir: str = ""
    privileged: bool = False
    console_size: tuple[int, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class ExecRecord:
    """What is known about one exec."""

    id: str
    container_id: str
    request: ExecRequest
    running: bool = False
    exit_code: int | None = None
    pid: int = 0


def create_exec(engine: Engine, reference: str, request: ExecRequest) -> str:
    """Note what shall be executed; return the id to start it with.

    Raises:
        InvalidParameter: no command.
        Conflict: the container does not run, or is paused.
    """
    hasten_moves(engine)
    handle = engine.containers.require(reference)
    if not request.cmd:
        raise InvalidParameter("No exec command specified")
    with handle.lock:
        _require_running(handle, reference)
        exec_id = secrets.token_hex(32)
        handle.execs[exec_id] = ExecRecord(id=exec_id, container_id=handle.record.id, request=request)
    publish_container_event(engine, handle, f"exec_create: {' '.join(request.cmd)}", execID=exec_id)
    return exec_id


def _require_running(handle: Handle, name: str) -> None:
    if handle.record.state.status is Status.PAUSED:
        raise Conflict(f"Container {name} is paused, unpause the container before exec")
    if handle.record.state.status is Status.RESTARTING:
        raise Conflict(f"container {handle.record.id} is restarting, wait until the container is running")
    if not handle.record.state.running or handle.link is None:
        raise Conflict(f"container {handle.record.id} is not running")


def _find(engine: Engine, exec_id: str) -> tuple[Handle, ExecRecord]:
    for handle in engine.containers.all():
        if exec_id in handle.execs:
            return handle, handle.execs[exec_id]
    raise NotFound(f"No such exec instance: {exec_id}")


def require_exec(engine: Engine, exec_id: str) -> ExecRecord:
    """Return an exec by its id.

    Raises:
        NotFound: there is none.
    """
    return _find(engine, exec_id)[1]


def start_exec(
    engine: Engine, exec_id: str, *, detach: bool, tty: bool, rows: int, columns: int, connection_fd: int | None
) -> None:
    """Run an exec for the client whose socket is *connection_fd* (a copy is taken), or for nobody.

    Raises:
        Conflict: the container stopped, or the exec was started already.
        InvalidParameter: the command cannot be executed; the exec's exit code is 126.
    """
    handle, record = _find(engine, exec_id)
    with handle.lock:
        if record.running or record.exit_code is not None:
            raise Conflict(f"Error: Exec command {exec_id} has already run")
        _require_running(handle, handle.record.id)
        message = _compose(engine, handle, record, detach=detach, framed=not tty, rows=rows, columns=columns)
        fds = [os.dup(connection_fd)] if connection_fd is not None and not detach else []
        link = handle.link
        handle.execs[exec_id] = replace(record, running=True)
    # Before it runs: the news of its end comes by another thread, and would overtake this.
    publish_container_event(engine, handle, f"exec_start: {' '.join(record.request.cmd)}", execID=exec_id)
    try:
        assert link is not None
        answer = link.run_exec(message, fds)
    finally:
        for fd in fds:
            os.close(fd)
    _note_answer(engine, handle, exec_id, answer)


def _note_answer(engine: Engine, handle: Handle, exec_id: str, answer: object) -> None:
    with handle.lock:
        present = handle.execs[exec_id]
        if isinstance(answer, Failed):
            handle.execs[exec_id] = replace(present, running=False, exit_code=CANNOT_EXECUTE)
            text, hint = split_hint(answer.text)
            if not text.startswith("unable to find user"):  # Docker looks users up before any run time is asked
                text = f"OCI runtime exec failed: exec failed: unable to start container process: {text}: unknown"
            raise (InvalidParameter if answer.exit_code in (126, 127) else HostError)(text, hint=hint)
        handle.execs[exec_id] = replace(present, pid=getattr(answer, "pid", 0))


def _compose(
    engine: Engine, handle: Handle, record: ExecRecord, *, detach: bool, framed: bool, rows: int, columns: int
) -> RunExec:
    request, container = record.request, handle.record
    program, profile = seccomp_program(engine, container)
    around = Surroundings(
        directory=str(handle.directory), layers_directory=str(engine.data_root / "layers"), seccomp_program=program,
        seccomp_profile=profile, cgroup_join=plan_join(engine.layout, group_name(container)), ids=id_map_of(engine, container),
    )  # fmt: skip
    size = request.console_size if len(request.console_size) == 2 else (0, 0)
    plan = ExecPlan(
        argv=request.cmd, env=request.env, user=request.user, working_dir=request.working_dir, tty=request.tty,
        privileged=request.privileged, rows=rows or size[0], columns=columns or size[1],
    )  # fmt: skip
    return RunExec(
        id=record.id, steps=plan_exec(container, engine.host, around, plan), tty=request.tty,
        stdin=request.attach_stdin and not detach, stdout=request.attach_stdout, stderr=request.attach_stderr,
        framed=framed, detach_keys=request.detach_keys,
    )  # fmt: skip


def resize_exec(engine: Engine, exec_id: str, *, rows: int, columns: int) -> None:
    """Set the window size of an exec's terminal; before it runs there is nothing to set."""
    handle, _record = _find(engine, exec_id)
    with handle.lock:
        if handle.link is not None:
            handle.link.tell(Resize(session=exec_id, rows=rows, columns=columns))


def top_container(engine: Engine, reference: str, ps_args: str) -> tuple[list[str], list[list[str]]]:
    """Return the titles and rows of `docker top`.

    Raises:
        Conflict: the container does not run.
    """
    from minidocker.engine.top import list_processes  # only `top` needs it

    handle = engine.containers.require(reference)
    if not handle.record.state.running:
        raise Conflict(f"container {handle.record.id} is not running")
    return list_processes(engine, handle.record, ps_args)
