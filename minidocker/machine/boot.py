"""Start a machine, watch its console, and know when something is wrong with it.

Acting. QEMU is a child process; its standard output is the console of the machine. What can go wrong is told apart: QEMU that does
not start, a kernel that panics, a machine that does not end in time. In every case the last lines of the console are part of the
message, because they say why. Chapter 20.
"""

from __future__ import annotations

import re
import subprocess
import threading
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import IO, Final

from minidocker.errors import HostError

__all__ = ["MachineFailed", "explain_console", "run_machine", "spawn_in_background"]

SHOWN_LINES: Final = 15
"""How much of the console a message shows: a panic of the kernel with its cause."""
KILL_LIMIT_S: Final = 10.0

_ENDED: Final = re.compile(r"machine: the command ended with status (-?\d+), the machine goes off")
_PANIC: Final = re.compile(r"Kernel panic - not syncing: (.*)")
_CONTROL: Final = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]|\x1bc")
"""What the firmware writes to clear the screen."""


class MachineFailed(HostError):
    """A machine did not do what it was started for."""


def run_machine(command: list[str], *, limit_s: float | None, show: Callable[[str], None] | None = None, interactive: bool = False) -> int:
    """Start a machine with QEMU's *command*, wait for its end, and return the status that its command ended with.

    Each line of the console goes to *show*. An *interactive* machine has the terminal, and its lines cannot be seen here.

    Raises:
        MachineFailed: it did not start, panicked, did not end within *limit_s*, or ended without having run its command.
    """
    console = _Console(show)
    try:
        qemu = subprocess.Popen(
            command, stdin=None if interactive else subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, bufsize=0
        )
    except OSError as error:
        raise MachineFailed(f"start machine: `{command[0]}`: {error.strerror}") from error
    assert qemu.stdout is not None
    reader = threading.Thread(target=console.read, args=(qemu.stdout,), daemon=True)
    reader.start()
    try:
        qemu.wait(limit_s)
    except subprocess.TimeoutExpired:
        problem = f"it did not end in {limit_s:.0f} s"
    else:
        problem = ""
    finally:
        _end(qemu)
        reader.join(KILL_LIMIT_S)
        qemu.stdout.close()
    if not problem and console.status is not None:
        return console.status
    raise MachineFailed(console.describe(problem, qemu.returncode))


def _end(qemu: subprocess.Popen[bytes]) -> None:
    """End QEMU if it still runs: a machine must not outlive who watches it."""
    if qemu.poll() is None:
        qemu.terminate()
        with suppress(subprocess.TimeoutExpired):
            qemu.wait(KILL_LIMIT_S)
            return
        qemu.kill()
        qemu.wait()


def spawn_in_background(command: list[str], log: Path) -> subprocess.Popen[bytes]:
    """Start *command* in a session of its own, where Ctrl-C in this terminal does not reach it; what it says goes to *log*.

    Raises:
        MachineFailed: it cannot be started.
    """
    with log.open("ab") as output:
        try:
            return subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=output, stderr=output, start_new_session=True, cwd="/")
        except OSError as error:
            raise MachineFailed(f"start machine: `{command[0]}`: {error.strerror}") from error


def explain_console(path: Path, problem: str) -> str:
    """Return the sentence for a machine that failed, from the log of its console: a panic in there explains more than *problem*."""
    console = _Console(None)
    with suppress(OSError), path.open("rb") as stream:  # a machine that has not begun has none
        console.read(stream)
    return console.describe(problem, 0)


class _Console:
    """What a machine has said so far."""

    def __init__(self, show: Callable[[str], None] | None) -> None:
        self._show = show
        self._last: deque[str] = deque(maxlen=SHOWN_LINES)
        self._panic = ""
        self.status: int | None = None

    def read(self, stream: IO[bytes]) -> None:
        """Read the console to its end."""
        for line in iter(stream.readline, b""):
            self.add(_CONTROL.sub("", line.decode(errors="replace").rstrip()).rpartition("\r")[2])

    def add(self, line: str) -> None:
        """Take in one line."""
        if not line:
            return
        self._last.append(line)
        if match := _PANIC.search(line):
            self._panic = match[1]
        if match := _ENDED.search(line):
            self.status = int(match[1])
        if self._show is not None:
            self._show(line)

    def describe(self, problem: str, status: int) -> str:
        """Return the sentence for a machine that failed, and the last lines of its console."""
        if self._panic:
            cause = f"its kernel panicked: {self._panic}"
        else:
            cause = problem or (f"QEMU ended with status {status}" if status else "it went off without having run its command")
        lines = "".join(f"\n  | {line}" for line in self._last) or "\n  | (it said nothing)"
        return f"run machine: {cause}; its console ended with{lines}"
