"""A private server for the tests that start real containers, and the inventory that shows what they leave behind."""

from __future__ import annotations

import json
import glob
import os
import pty
import secrets
import select
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from minidocker.engine.networks import Networks
from minidocker.kernel.terminal import set_window_size
from tests.linux.worlds import DATA_ROOT, World, make_world

CHECKOUT = Path(__file__).resolve().parents[2]
PATIENCE = float(os.environ.get("MINIDOCKER_TEST_PATIENCE", "1"))
"""By how much everything takes longer here than on an ordinary computer: more than 1 in an emulated machine."""
START_LIMIT_S = 30.0 * PATIENCE
SETTLE_LIMIT_S = 5.0 * PATIENCE
"""How long the kernel may take to bury a network namespace: it does so in the background."""


class Server:
    """One server with directories of its own, and the client talking to it."""

    def __init__(self, *options: str) -> None:
        """Start it; *options* go to `minidocker daemon`."""
        self.directory = Path(tempfile.mkdtemp(prefix="md"))  # short: a socket's path has 108 bytes
        self.data = self.directory / "data"
        self.host = f"unix://{self.directory}/s"
        self._options = options
        self._process: subprocess.Popen[bytes] | None = None
        self.start()

    def start(self) -> None:
        """Start the server process and wait until it accepts connections."""
        arguments = [
            "daemon", "-H", self.host, "--data-root", f"{self.directory}/data", "--exec-root", f"{self.directory}/exec",
            "--pidfile", f"{self.directory}/pid", *self._options,
        ]  # fmt: skip
        with open(self.directory / "log", "ab") as log:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "minidocker", *arguments], cwd=CHECKOUT, stdin=subprocess.DEVNULL, stdout=log, stderr=log
            )
        deadline = time.monotonic() + START_LIMIT_S
        while not self._answers():
            if self._process.poll() is not None or time.monotonic() > deadline:
                raise AssertionError(f"the server does not start:\n{self.log()}")
            select.select([], [], [], 0.01)

    def _answers(self) -> bool:
        with socket.socket(socket.AF_UNIX) as probe:
            return probe.connect_ex(f"{self.directory}/s") == 0

    def log(self) -> str:
        """Return what the server printed."""
        return (self.directory / "log").read_text(errors="replace")

    def kill9(self) -> None:
        """Kill the server as a crash would."""
        assert self._process is not None
        self._process.kill()
        self._process.wait()

    def stop(self) -> int:
        """End the server in order and return its exit status."""
        assert self._process is not None
        self._process.terminate()
        return self._process.wait(timeout=30 * PATIENCE)

    def descendants(self, title: str) -> list[int]:
        """Return the processes below this server that carry *title*."""
        assert self._process is not None
        parents, found = {self._process.pid}, []
        stats = [path.read_text(errors="replace") for path in Path("/proc").glob("[0-9]*/stat") if path.exists()]
        for stat in sorted(stats, key=lambda text: int(text.split()[0])):
            pid, name, parent = int(stat.split()[0]), stat[stat.index("(") + 1 : stat.rindex(")")], int(stat.rpartition(")")[2].split()[1])
            if parent in parents:
                parents.add(pid)
                found += [pid] if name == title else []
        return found

    def close(self) -> None:
        """Remove every container, end the server, remove its directories."""
        assert self._process is not None
        if self._process.poll() is None:
            names = self.run("ps", "-aq").stdout.split()
            if names:
                self.run("rm", "-f", "-v", *names)
            self.stop()
        shutil.rmtree(self.directory, ignore_errors=True)

    def command(self, *arguments: str) -> list[str]:
        """Return the command line of our client."""
        return [sys.executable, "-m", "minidocker", "-H", self.host, *arguments]

    def run(self, *arguments: str, input: str | None = None, timeout: float = 120) -> subprocess.CompletedProcess[str]:
        """Run our client to its end."""
        stdin = subprocess.DEVNULL if input is None else None
        return subprocess.run(
            self.command(*arguments), cwd=CHECKOUT, stdin=stdin, input=input, capture_output=True, text=True, timeout=timeout * PATIENCE,
            check=False,
        )  # fmt: skip

    def docker(self, *arguments: str, input: str | None = None) -> subprocess.CompletedProcess[str]:
        """Run the real `docker` CLI against this server."""
        stdin = subprocess.DEVNULL if input is None else None
        return subprocess.run(
            ["docker", "-H", self.host, *arguments], stdin=stdin, input=input, capture_output=True, text=True, timeout=120 * PATIENCE, check=False
        )

    def in_terminal(self, *arguments: str, rows: int = 24, columns: int = 80, typed: bytes = b"", docker: bool = False) -> str:
        """Run a client in a terminal of its own, type *typed*, and return all that it shows."""
        command = ["docker", "-H", self.host, *arguments] if docker else self.command(*arguments)
        pid, master = pty.fork()
        if pid == 0:
            os.chdir(CHECKOUT)
            os.execvp(command[0], command)
        set_window_size(master, rows=rows, columns=columns)
        shown = b""
        if typed:
            os.write(master, typed)
        while True:
            try:
                piece = os.read(master, 65536)
            except OSError:  # EIO: the last process of the terminal is gone
                break
            if not piece:
                break
            shown += piece
        os.waitpid(pid, 0)
        os.close(master)
        return shown.decode(errors="replace")

    def inspect(self, name: str) -> dict[str, Any]:
        """Return what `inspect` says of a container."""
        result = self.run("inspect", name)
        assert result.returncode == 0, result.stderr
        document: dict[str, Any] = json.loads(result.stdout)[0]
        return document

    def new_name(self) -> str:
        """Return a name that nothing has yet."""
        return f"t{secrets.token_hex(4)}"

    def wait_readable(self, fd: int) -> None:
        """Wait until *fd* is readable; a pidfd is when its process has ended."""
        assert select.select([fd], [], [], 30 * PATIENCE)[0], "waited in vain"

    def connect_until_answer(self, port: int) -> bytes:
        """Connect to a port of ours until the program behind it is up, and return what it says."""
        deadline = time.monotonic() + 15 * PATIENCE
        while time.monotonic() < deadline:
            with suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=5) as client:
                answer = b""
                while piece := client.recv(4096):
                    answer += piece
                if answer:
                    return answer
            select.select([], [], [], 0.05)
        raise AssertionError(f"nothing answers on port {port}")

    def inventory(self) -> dict[str, frozenset[str]]:
        """Return everything that a container could leave behind: on the machine, and in this server's directories."""
        mounts = Path("/proc/self/mountinfo").read_text().splitlines()
        return {
            "mounts": frozenset(line.split()[4] for line in mounts),
            "control groups": frozenset(path for path in glob.glob("/sys/fs/cgroup/**/minidocker/*/", recursive=True) if len(Path(path).name) == 64),
            "network links": frozenset(name for name in os.listdir("/sys/class/net") if name.startswith("veth")),
            "containers": frozenset(os.listdir(self.data / "containers")),
            "volumes": frozenset(os.listdir(self.data / "volumes")),
            "monitor sockets": frozenset(os.listdir(self.directory / "exec")),
        }

    def assert_unchanged(self, before: dict[str, frozenset[str]]) -> None:
        """Fail with what is left over; network links get a moment, because the kernel removes them in the background."""
        deadline = time.monotonic() + SETTLE_LIMIT_S
        while True:
            left = {kind: sorted(now - before[kind]) for kind, now in self.inventory().items() if now - before[kind]}
            if not left or time.monotonic() > deadline:
                break
            select.select([], [], [], 0.02)
        assert not left


@pytest.fixture(scope="session")
def server() -> Iterator[Server]:
    """One server for the whole session; tests use names of their own."""
    running = Server()
    yield running
    running.close()


@pytest.fixture
def world() -> Iterator[World]:
    """Stand in a host of its own that has a neighbour outside."""
    with make_world() as made:
        yield made


@pytest.fixture
def networks(world: World) -> Iterator[Networks]:
    """Return the networks of a server on that host."""
    networks = Networks(DATA_ROOT)
    yield networks
    networks.close()
