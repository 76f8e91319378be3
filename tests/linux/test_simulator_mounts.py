"""Mounts, propagation and pivot_root: the model and the kernel do the same thing after the same calls.

Random calls are made in two mount namespaces, the second of which is a copy of the first at some moment, and the model makes them, too.
Every single call must have the same error, and at the end both tables must be the same in both namespaces.
"""

from __future__ import annotations

import json
import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from minidocker.codec.mountinfo import parse_mountinfo
from minidocker.kernel import mount as kernel
from minidocker.kernel.flags import Clone, Mnt, Ms
from minidocker.kernel.namespaces import unshare
from minidocker.kernel.process import exit_child
from minidocker.simulator import mounts as model
from minidocker.simulator import processes
from minidocker.simulator.files import make_directories
from minidocker.simulator.linux import Linux
from minidocker.simulator.machine import EXAMPLE_FACTS, boot
from minidocker.simulator.views import list_mounts
from tests.linux.mount_tables import canonical, in_order_of_paths

pytestmark = pytest.mark.requires("root")

Call = tuple[int, str, str, str, int]
"""Which namespace, what, source, target, flags."""

PLACES = ("/a", "/b", "/c", "/a/x", "/b/x")
KINDS = (Ms.SHARED, Ms.PRIVATE, Ms.SLAVE, Ms.UNBINDABLE)
CALLS = st.one_of(
    st.tuples(st.integers(0, 1), st.sampled_from(["tmpfs", "umount", "detach"]), st.just(""), st.sampled_from(PLACES), st.just(0)),
    st.tuples(st.integers(0, 1), st.just("bind"), st.sampled_from(PLACES), st.sampled_from(PLACES), st.sampled_from([int(Ms.BIND), int(Ms.BIND | Ms.REC)])),
    st.tuples(st.integers(0, 1), st.just("change"), st.just(""), st.sampled_from(("", *PLACES)), st.sampled_from([int(k | r) for k in KINDS for r in (Ms(0), Ms.REC)])),
    st.tuples(st.integers(0, 1), st.just("change"), st.just(""), st.sampled_from(PLACES), st.just(int(Ms.REMOUNT | Ms.BIND | Ms.RDONLY | Ms.NOSUID))),
)  # fmt: skip


class Kernel:
    """Two processes in mount namespaces of their own that make calls when asked."""

    def __init__(self, scratch: Path) -> None:
        """Start the first; it mounts a tmpfs on *scratch*, so that everything ends with the namespace."""
        self.scratch = str(scratch)
        self._asks: list[socket.socket] = []
        self._children: list[int] = []
        self._start()

    def _start(self) -> None:
        ours, theirs = socket.socketpair()
        child = os.fork()
        if child == 0:
            ours.close()
            try:
                unshare(Clone.NEWNS)
                kernel.mount(None, "/", flags=Ms.PRIVATE | Ms.REC)
                kernel.mount("tmpfs", self.scratch, fstype="tmpfs")
                for place in PLACES:
                    os.makedirs(self.scratch + place)
                _serve(theirs, self.scratch)
            finally:
                exit_child(1)
        theirs.close()
        self._children.append(child)
        self._asks.append(ours)
        self.table(0)

    def split(self) -> None:
        """Let a child of the first process have a copy of its namespace."""
        ours, theirs = socket.socketpair()
        socket.send_fds(self._asks[0], [b'["split"]\n'], [theirs.fileno()])
        theirs.close()
        self._asks.append(ours)
        self.table(1)

    def call(self, call: Call) -> int:
        """Make a call and return its error number."""
        self._asks[call[0]].sendall(json.dumps(call[1:]).encode() + b"\n")
        return int(_line(self._asks[call[0]]))

    def table(self, which: int) -> str:
        """Return the mount table of one namespace."""
        self._asks[which].sendall(b'["table"]\n')
        return str(json.loads(_line(self._asks[which])))

    def close(self) -> None:
        """End the processes; their namespaces go with them."""
        for ask in self._asks:
            ask.close()
        for child in self._children:
            os.waitpid(child, 0)


def _line(connection: socket.socket) -> bytes:
    line = b""
    while not line.endswith(b"\n"):
        piece = connection.recv(1 << 20)
        if not piece:
            raise AssertionError("the process in the namespace has ended")
        line += piece
    return line


def _serve(connection: socket.socket, scratch: str) -> None:
    """Answer until nobody asks any more. A child for the copied namespace is waited for at the end."""
    child = 0
    while True:
        line, fds, _flags, _address = socket.recv_fds(connection, 1 << 16, 1)
        if not line:
            if child:
                os.waitpid(child, 0)
            exit_child(0)
        what, *rest = json.loads(line)
        if what == "split":
            child = os.fork()
            if child == 0:
                connection.close()
                unshare(Clone.NEWNS)
                _serve(socket.socket(fileno=fds[0]), scratch)
            os.close(fds[0])
        elif what == "table":
            connection.sendall(json.dumps(Path("/proc/thread-self/mountinfo").read_text()).encode() + b"\n")
        else:
            connection.sendall(b"%d\n" % _do(scratch, what, *rest))


def _do(scratch: str, what: str, source: str, target: str, flags: int) -> int:
    """Make one call on the kernel."""
    try:
        if what == "tmpfs":
            kernel.mount("tmpfs", scratch + target, fstype="tmpfs")
            os.mkdir(f"{scratch}{target}/x")
        elif what in ("umount", "detach"):
            kernel.umount2(scratch + target, flags=Mnt.DETACH if what == "detach" else Mnt(0))
        else:
            kernel.mount(scratch + source if source else None, scratch + target, flags=Ms(flags))
    except OSError as error:
        return error.errno or -1
    return 0


def _simulate(linux: Linux, pid: int, scratch: str, call: Call) -> tuple[Linux, int]:
    """Make one call on the model."""
    _, what, source, target, flags = call
    path = scratch + target
    try:
        if what == "tmpfs":
            linux = model.mount(linux, pid, source="tmpfs", target=path, fstype="tmpfs")
            return make_directories(linux, linux.processes[pid].root, f"{path}/x"), 0
        if what in ("umount", "detach"):
            return model.umount(linux, pid, path, flags=Mnt.DETACH if what == "detach" else Mnt(0)), 0
        return model.mount(linux, pid, source=scratch + source, target=path, flags=Ms(flags)), 0
    except OSError as error:
        return linux, error.errno or -1


def model_of(text: str, scratch: str) -> tuple[Linux, int]:
    """Return a machine with the mounts in *text*, and the directories to play with."""
    linux, pid = boot(replace(EXAMPLE_FACTS, mountinfo=text))
    for place in PLACES:
        linux = make_directories(linux, linux.processes[pid].root, scratch + place)
    return linux, pid


@contextmanager
def kernel_at(scratch: Path) -> Iterator[Kernel]:
    """Run the two processes for one example."""
    running = Kernel(scratch)
    try:
        yield running
    finally:
        running.close()


SHARED_PAIR = [(0, "tmpfs", "", "/a", 0), (0, "change", "", "/a", int(Ms.SHARED)), (0, "bind", "/a", "/b", int(Ms.BIND))]
CHAIN = [*SHARED_PAIR, (0, "change", "", "/b", int(Ms.SLAVE)), (0, "change", "", "/b", int(Ms.SHARED)), (0, "bind", "/b", "/c", int(Ms.BIND)), (0, "change", "", "/c", int(Ms.SLAVE))]


@settings(max_examples=settings().max_examples // 2, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])
@example(SHARED_PAIR, [(0, "tmpfs", "", "/a/x", 0), (1, "umount", "", "/b/x", 0)])
@example(CHAIN, [(0, "tmpfs", "", "/a/x", 0), (1, "tmpfs", "", "/b/x", 0), (0, "detach", "", "/b", 0)])
@example([], [(0, "change", "", "/a", int(Ms.SHARED)), (0, "change", "", "", int(Ms.UNBINDABLE)), (0, "change", "", "", int(Ms.SLAVE))])
@given(st.lists(CALLS, max_size=8), st.lists(CALLS, max_size=8))
def test_every_call_ends_as_in_the_kernel(tmp_path: Path, before: list[Call], after: list[Call]) -> None:
    """Errors call by call, tables at the end: parents, peers, masters, options, order."""
    scratch = str(tmp_path)
    with kernel_at(tmp_path) as real:
        linux, first = model_of(real.table(0), scratch)
        for call in [(0, *call[1:]) for call in before if not call[4] & Ms.UNBINDABLE]:  # kernels differ in whether a copied table keeps it
            linux, number = _simulate(linux, first, scratch, call)
            assert (call, number) == (call, real.call(call))
        real.split()
        linux, second = processes.fork(linux, first)
        linux = processes.unshare(linux, second, Clone.NEWNS)
        for call in after:
            linux, number = _simulate(linux, (first, second)[call[0]], scratch, call)
            assert (call, number) == (call, real.call(call))
        for which, pid in enumerate((first, second)):
            tables = (list_mounts(linux, pid), parse_mountinfo(real.table(which)))
            shown, found = (tuple(m for m in table if m.mount_point.startswith(scratch)) for table in tables)  # others belong to others
            assert canonical(in_order_of_paths(shown)) == canonical(in_order_of_paths(found))
