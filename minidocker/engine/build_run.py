"""RUN: one command in a container of its own, and the layer that it leaves.

Acting. The container is made like any other, by the launcher from a plan of steps, but it is nobody's to list, inspect or restart: it
has no record, so a start costs no write to the disk, and the server that comes up after a crash kills and forgets it
(`minidocker.engine.recover`). Its directory lies among those of containers, where one without a record is a leftover.

What is lent to it (`RUN --mount`) is the matter of `build_mounts`. Names that exist only because something was mounted on them do not stay in the layer; they are removed below
open directories, so that a command which replaced them by links removes nothing of the host (CVE-2024-23652). Chapter 10.
"""

from __future__ import annotations

import os
import queue
import shutil
import signal
import socket
from collections.abc import Callable, Sequence
from contextlib import ExitStack, suppress
from dataclasses import replace
from typing import TYPE_CHECKING, Final

from minidocker.build.cache import Layer
from minidocker.build.state import RunCommand
from minidocker.build.tree import Tree, split_path
from minidocker.build.workshop import Lent, RunFailed
from minidocker.codec.frames import FrameDecoder
from minidocker.container.plan import plan_container
from minidocker.container.protocol import Attach, Exited, Failed, Kill, Launch
from minidocker.container.record import ContainerRecord
from minidocker.engine.build_mounts import mount_lent
from minidocker.engine.create import complete_host_config, make_container_directory
from minidocker.engine.engine import hasten_moves, now
from minidocker.engine.monitors import MonitorLink, bind_monitor_socket, connect_monitor
from minidocker.engine.name_files import compose_name_service, write_name_files
from minidocker.engine.start import group_name, network_of, surroundings_of
from minidocker.errors import HostError
from minidocker.ids import short_id
from minidocker.kernel.overlay import open_below, open_trees
from minidocker.spec.container import ContainerConfig

if TYPE_CHECKING:
    from minidocker.engine.workshop import EngineWorkshop

__all__ = ["run_command"]

MOUNTED_PATHS: Final = ("/dev", "/proc", "/sys", "/etc/hostname", "/etc/hosts", "/etc/resolv.conf")
"""What every container has something mounted on."""
_READ_BYTES: Final = 64 * 1024


def run_command(
    workshop: EngineWorkshop, command: RunCommand, below: Sequence[Layer], lent: Sequence[Lent], *, container_id: str,
    output: Callable[[int, bytes], None], epoch: int | None,
) -> tuple[Layer | None, str]:  # fmt: skip
    """Run *command* over the layers *below*; return the layer that it made and its ChainID.

    Raises:
        RunFailed: it ended with another code than 0, or could not be executed.
        BuildCancelled: the build was stopped, and the command with it.
        HostError: the machine refused something.
    """
    engine = workshop.engine
    hasten_moves(engine)
    with ExitStack() as stack:
        record = _compose_record(workshop, command, below, container_id)
        directory = engine.containers.directory / record.id
        stack.callback(shutil.rmtree, directory, ignore_errors=True)
        make_container_directory(engine, record)
        mounts, env, stubs = mount_lent(workshop, lent, directory, stack)
        record = replace(record, mounts=mounts, config=replace(record.config, env=(*record.config.env, *env)))
        code = _run_container(workshop, record, output)
        if code:
            raise RunFailed(f"The command '{' '.join(command.argv)}' returned a non-zero code: {code}", code=code)
        with workshop.open_layers(below) as lower_fds:
            view = Tree(lower_fds)
            resolved = [*map(split_path, MOUNTED_PATHS), *map(view.resolve, stubs)]
            source = directory / ("upper" if record.driver == "overlay2" else "rootfs")
            with open_trees([source]) as (own_fd,):
                _remove_stubs(own_fd, lower_fds, resolved)
            kept = workshop.ingest.new_temporary()
            kept.mkdir(mode=0o700)
            source.rename(kept / "diff")
            return workshop.keep_layer(below, kept, lower_fds, epoch=epoch, is_upper=record.driver == "overlay2")


def _compose_record(workshop: EngineWorkshop, command: RunCommand, below: Sequence[Layer], container_id: str) -> ContainerRecord:
    """Return the container of one RUN, in the form in which containers are planned."""
    engine, asked = workshop.engine, workshop.request.host_config
    network = command.network if command.network != "default" else asked.network_mode or "default"
    host_config = replace(asked, network_mode=network, privileged=command.security == "insecure")
    config = ContainerConfig(
        hostname=short_id(container_id) if network != "host" else os.uname().nodename, user=command.user, env=command.env,
        cmd=command.argv, working_dir=command.directory,
    )  # fmt: skip
    return ContainerRecord(
        id=container_id, name=f"build-{short_id(container_id)}", created=now(), image_id="", config=config,
        host_config=complete_host_config(host_config, version=engine.layout.version), layers=workshop.directories(below), driver=engine.driver,
    )  # fmt: skip


def _run_container(workshop: EngineWorkshop, record: ContainerRecord, output: Callable[[int, bytes], None]) -> int:
    """Start the container, pass its output on until it ends, and return its exit code."""
    engine = workshop.engine
    allocation = engine.networks.allocate(record)
    try:
        record = replace(record, endpoints=allocation.endpoints)
        write_name_files(engine.networks, record, engine.containers.directory / record.id, owner=engine.ids.root)
        ours, theirs = socket.socketpair()
        with ours:
            exits: queue.SimpleQueue[Exited | None] = queue.SimpleQueue()
            with theirs:
                link = _launch(workshop, record, exits)
                link.attach(Attach(stdout=True, stderr=True), theirs.fileno())

            def kill() -> None:
                link.tell(Kill(signal=signal.SIGKILL))

            answer = link.start()
            if isinstance(answer, Failed):
                raise RunFailed(f"The command '{' '.join(record.argv)}' could not be started: {answer.text}", code=answer.exit_code)
            try:
                with workshop.killable(kill):
                    _copy_frames(ours, output)
                    exited = exits.get()
            except BaseException:
                kill()
                exits.get()
                raise
        workshop.check()
        if exited is None:
            raise HostError("run command: its monitor ended without a word", hint="see the server's log")
        return exited.exit_code
    finally:
        allocation.close()
        engine.networks.release(allocation.endpoints)
        shutil.rmtree(engine.monitor_directory(record.id), ignore_errors=True)


def _launch(workshop: EngineWorkshop, record: ContainerRecord, exits: queue.SimpleQueue[Exited | None]) -> MonitorLink:
    """Have a monitor forked for *record* and return the link to it; *exits* gets the news of its end."""
    engine, name = workshop.engine, group_name(record)
    around = surroundings_of(engine, record)
    memory = engine.layout.directory("memory", name)
    launch = Launch(
        id=record.id, steps=plan_container(record, engine.host, around),
        cgroups=tuple(f"{tree.mount_point}/{name}" for tree in engine.layout.hierarchies),
        oom_path=f"{memory}/{'memory.events' if engine.layout.version == 2 else 'memory.oom_control'}" if memory else "",
        names=compose_name_service(engine.networks, record), network=network_of(engine, record),
    )  # fmt: skip
    directory = engine.monitor_directory(record.id)
    with bind_monitor_socket(directory) as listener:
        engine.launcher.launch(launch, [listener])
    connected = connect_monitor(directory)
    if connected is None:
        raise HostError("run command: its monitor could not be forked", hint="is the process limit reached?")
    return MonitorLink(connected[0], on_exec_exit=lambda _exec_id, _code: None, on_exit=exits.put)


def _copy_frames(source: socket.socket, output: Callable[[int, bytes], None]) -> None:
    """Pass the command's output on as it comes, until its end."""
    decoder = FrameDecoder()
    while piece := source.recv(_READ_BYTES):
        for frame in decoder.feed(piece):
            output(frame.stream, frame.payload)


def _remove_stubs(own_fd: int, lower_fds: Sequence[int], paths: Sequence[tuple[str, ...]]) -> None:
    """Remove what exists only because something was mounted on it: empty, and in no layer below; then its parents likewise."""
    candidates = {names[:depth] for names in paths for depth in range(1, len(names) + 1)}
    for names in sorted(candidates, key=len, reverse=True):
        if any(_exists(fd, names) for fd in lower_fds):
            continue
        with suppress(OSError):  # it is not there, or not empty: then the command made something of it
            parent = open_below(own_fd, names[:-1])
            try:
                _remove_empty(parent, names[-1])
            finally:
                os.close(parent)


def _remove_empty(parent_fd: int, name: str) -> None:
    status = os.stat(name, dir_fd=parent_fd, follow_symlinks=False)
    if status.st_nlink and (status.st_mode & 0o170000) == 0o040000:
        os.rmdir(name, dir_fd=parent_fd)
    elif (status.st_mode & 0o170000) == 0o100000 and not status.st_size:
        os.unlink(name, dir_fd=parent_fd)


def _exists(root_fd: int, names: Sequence[str]) -> bool:
    try:
        parent = open_below(root_fd, names[:-1])
    except OSError:
        return False
    try:
        os.stat(names[-1], dir_fd=parent, follow_symlinks=False)
    except OSError:
        return False
    finally:
        os.close(parent)
    return True
