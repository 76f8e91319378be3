"""The client between a person's terminal and a container: keys, sizes, signals, ends of input, exit statuses."""

from __future__ import annotations

import os
import pty
import re
import select
import signal
import subprocess
import sys
import termios
import textwrap
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from minidocker.kernel.terminal import set_window_size

if TYPE_CHECKING:
    from tests.linux.conftest import Server

pytestmark = pytest.mark.requires("root")

CHECKOUT = Path(__file__).resolve().parents[2]


class Terminal:
    """A client in a terminal of ours."""

    def __init__(self, command: list[str]) -> None:
        """Start *command* with the terminal as its controlling one."""
        self.master, slave = pty.openpty()
        set_window_size(self.master, rows=24, columns=80)
        self.settings = termios.tcgetattr(slave)
        self.shown = b""
        self._slave = slave
        self.process = subprocess.Popen(
            [sys.executable, "-c", "import fcntl, os, sys, termios; fcntl.ioctl(0, termios.TIOCSCTTY, 0); os.execv(sys.argv[1], sys.argv[1:])", *command],
            stdin=slave, stdout=slave, stderr=slave, start_new_session=True, cwd=CHECKOUT,
        )  # fmt: skip

    def type(self, keys: bytes) -> None:
        """Press *keys*."""
        os.write(self.master, keys)

    def wait_for(self, pattern: bytes) -> bytes:
        """Read until *pattern* is shown, and return what matched."""
        while not (match := re.search(pattern, self.shown)):
            assert select.select([self.master], [], [], 30)[0], f"waited for {pattern!r}, saw {self.shown!r}"
            self.shown += os.read(self.master, 65536)
        self.shown = self.shown[match.end() :]
        return match[0]

    def current_settings(self) -> list[object]:
        """Return what the terminal is set to now."""
        settings: list[object] = termios.tcgetattr(self._slave)
        return settings

    def close(self) -> None:
        """End the client if it still runs."""
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait()
        os.close(self.master)
        os.close(self._slave)


@pytest.fixture
def terminal(server: Server) -> Iterator[Callable[..., Terminal]]:
    """Start clients in terminals; they are gone at the end."""
    opened = []

    def start(*arguments: str) -> Terminal:
        opened.append(Terminal(server.command(*arguments)))
        return opened[-1]

    yield start
    for one in opened:
        one.close()


def test_shell_in_a_terminal_gives_its_exit_status_and_the_terminal_back(server: Server, terminal: Callable[..., Terminal]) -> None:
    """Raw mode lasts as long as the container: who forgets it leaves the person without echo."""
    client = terminal("run", "--rm", "-it", "toolbox", "sh")
    client.type(b"echo $((40 + 2))\r")
    client.wait_for(rb"\n42\r\n")
    assert client.current_settings() != client.settings
    client.type(b"exit 5\r")
    assert client.process.wait(timeout=30) == 5
    assert client.current_settings() == client.settings


def test_terminal_is_given_back_when_the_client_is_told_to_end(server: Server, terminal: Callable[..., Terminal]) -> None:
    """A signal from outside is passed on; the container ends, and the client in order."""
    client = terminal("run", "--rm", "-it", "toolbox", "sh", "-c", "trap 'exit 9' TERM; echo ready; while :; do sleep 0.05; done")
    client.wait_for(b"ready")
    client.process.send_signal(signal.SIGTERM)
    assert client.process.wait(timeout=30) == 9
    assert client.current_settings() == client.settings


def test_ctrl_c_is_a_key_of_the_containers_terminal(server: Server, terminal: Callable[..., Terminal]) -> None:
    """In raw mode it travels as a byte, and the container's terminal makes SIGINT of it: 130 is 128 + 2."""
    client = terminal("run", "--rm", "-it", "toolbox", "sh", "-c", "echo ready; (trap - INT; exec sleep 1000); exit $?")
    client.wait_for(b"ready")
    client.type(b"\x03")
    assert client.process.wait(timeout=30) == 130


def test_detaching_leaves_the_container_running(server: Server, terminal: Callable[..., Terminal]) -> None:
    """Ctrl-P Ctrl-Q goes home without ending the work; `attach` comes back to it."""
    name = server.new_name()
    client = terminal("run", "-it", "--name", name, "toolbox", "sh")
    client.type(b"echo $((1 + 1))ready\r")
    client.wait_for(rb"\n2ready")
    client.type(b"\x10\x11")
    assert client.process.wait(timeout=30) == 0
    assert client.current_settings() == client.settings
    assert server.inspect(name)["State"]["Running"]
    again = terminal("attach", name)
    again.type(b"echo $((3 + 3))back\r")
    again.wait_for(rb"\n6back")
    again.type(b"exit 4\r")
    assert again.process.wait(timeout=30) == 4


def test_size_follows_the_persons_terminal(server: Server, terminal: Callable[..., Terminal]) -> None:
    """The first size comes with the request, later ones with SIGWINCH."""
    client = terminal("run", "--rm", "-it", "toolbox", "sh", "-c", 'stty size; while [ "$(stty size)" = "24 80" ]; do :; done; stty size')
    client.wait_for(b"24 80")
    set_window_size(client.master, rows=33, columns=99)
    client.wait_for(b"33 99")
    assert client.process.wait(timeout=30) == 0


def test_terminal_without_one_is_refused(server: Server) -> None:
    """`-it` in a script is a mistake that would hang; it is said before a container is made."""
    result = server.run("run", "--rm", "-it", "toolbox", "true")
    assert (result.returncode, result.stderr) == (1, "the input device is not a TTY\n")


def test_more_input_and_output_than_any_buffer_does_not_stall(server: Server) -> None:
    """Both directions are full at once: whoever writes without reading hangs here."""
    text = "0123456789abcdef" * 65536 * 4
    result = server.run("run", "--rm", "-i", "toolbox", "cat", input=text)
    assert (result.returncode, result.stdout == text) == (0, True)


def test_end_of_input_reaches_exec_and_start(server: Server) -> None:
    """`cat` ends when its input does, and its output still comes back."""
    name = server.new_name()
    server.run("create", "-i", "--name", name, "toolbox", "sh", "-c", "cat; exit 3")
    started = server.run("start", "-ai", name, input="through start\n")
    assert (started.returncode, started.stdout) == (3, "through start\n")
    server.run("run", "-d", "--name", f"{name}x", "toolbox", "sleep", "1000")
    executed = server.run("exec", "-i", f"{name}x", "sh", "-c", "cat; echo error >&2; exit 6", input="through exec\n")
    assert (executed.returncode, executed.stdout, executed.stderr) == (6, "through exec\n", "error\n")


STATUSES = [
    (("run", "--rm", "toolbox", "sh", "-c", "exit 42"), 42),
    (("run", "--rm", "toolbox", "nosuch"), 127),
    (("run", "--rm", "toolbox", "/etc"), 126),
    (("run", "--rm", "--pull", "never", "nosuchimage"), 125),
    (("run", "--rm", "--memory", "x", "toolbox"), 125),
    (("exec", "nosuchcontainer", "true"), 1),
    (("rm", "nosuchcontainer"), 1),
    (("rm", "-f", "nosuchcontainer"), 0),
]


@pytest.mark.parametrize(("arguments", "status"), STATUSES, ids=[" ".join(arguments) for arguments, _ in STATUSES])
def test_exit_status_says_whose_failure_it_was(server: Server, arguments: tuple[str, ...], status: int) -> None:
    """The command's own, 126 and 127 as in a shell, 125 for Docker."""
    assert server.run(*arguments).returncode == status


def test_cidfile_holds_the_id_and_is_never_overwritten(server: Server, tmp_path: Path) -> None:
    """A second container must not take the file of the first."""
    path = tmp_path / "cid"
    first = server.run("run", "-d", "--cidfile", str(path), "toolbox", "true")
    assert path.read_text() == first.stdout.strip()
    second = server.run("run", "-d", "--cidfile", str(path), "toolbox", "true")
    assert second.returncode == 125
    assert "container ID file found" in second.stderr


AUTOSTART = """
    import os, subprocess, sys
    from minidocker.kernel.flags import Clone, Ms
    from minidocker.kernel.mount import mount, separate_mounts
    from minidocker.kernel.namespaces import unshare

    unshare(Clone.NEWNS | Clone.NEWNET)
    checkout = os.getcwd()
    separate_mounts(Ms.PRIVATE)
    os.chdir(checkout)
    for directory in ("/run", "/var/lib", "/var/log"):
        mount("tmpfs", directory, fstype="tmpfs")
    client = [sys.executable, "-m", "minidocker"]
    running = [subprocess.Popen([*client, "run", "--rm", "--network", "none", "hello"], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) for _ in range(2)]
    for one in running:
        out, err = one.communicate(timeout=60)
        print(one.returncode, out.splitlines()[:1], err.count("started a server"))
    stopped = subprocess.run([*client, "daemon", "--stop"], timeout=60)
    again = subprocess.run([*client, "daemon", "--stop"], timeout=60, capture_output=True)
    print("stopped", stopped.returncode, again.returncode)
"""


def test_two_clients_start_one_server() -> None:
    """Nobody listens at the default socket: one client starts a server and says so, the other waits for it.

    In mount and network namespaces of its own, because the default places are the machine's.
    """
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(AUTOSTART)], cwd=CHECKOUT, capture_output=True, text=True, timeout=120, check=False,
        env={key: value for key, value in os.environ.items() if not key.endswith("DOCKER_HOST")},
    )  # fmt: skip
    lines = done.stdout.splitlines()
    assert sorted(lines[:2]) == ["0 ['Hello from a container!'] 0", "0 ['Hello from a container!'] 1"], done.stderr
    assert lines[2] == "stopped 0 1"
