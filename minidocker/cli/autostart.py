"""Start a server when nobody listens at the default socket.

Acts. One lock beside the socket makes two clients start one server. The server gets a session of its own, so that
Ctrl-C in the client's terminal does not reach it, and a log file, whose name is said if it fails. Chapter 14.
"""

from __future__ import annotations

import os
import socket
import sys
import time
from contextlib import closing, suppress
from pathlib import Path

from minidocker.engine.places import default_log_path
from minidocker.errors import HostError, Unavailable

TYPE_CHECKING = False
if TYPE_CHECKING:
    import subprocess

__all__ = ["start_server"]

START_LIMIT_S = 30.0
"""How long a server may take until it answers: a cold start from a slow disk."""

POLL_S = 0.01
"""How often we look whether it does."""


def start_server(socket_path: str) -> None:
    """Start a server that listens on *socket_path*, and return when it accepts connections.

    Raises:
        Unavailable: this machine or this user cannot run one.
        HostError: it ended instead of listening.
    """
    refusal = why_not_here(sys.platform)
    if refusal is not None:
        raise refusal
    import fcntl

    Path(socket_path).parent.mkdir(parents=True, exist_ok=True)
    with open(f"{socket_path}.lock", "w", encoding="ascii") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if is_answering(socket_path):
            return  # another client was faster
        log_path = Path(default_log_path(_user_id(), os.environ))
        print(f"minidocker: started a server in the background (log: {log_path}; end it: minidocker daemon --stop)", file=sys.stderr)
        _wait_answering(_spawn(log_path), socket_path, log_path)


def why_not_here(platform: str) -> Unavailable | None:
    """Return why no server can be started, or nothing if it can."""
    if platform != "linux":
        return Unavailable(
            f"cannot start a server: containers need a Linux kernel, this is `{platform}`",
            hint="name a server with -H, MINIDOCKER_HOST or DOCKER_HOST",
        )
    return None


def is_answering(socket_path: str) -> bool:
    """Whether somebody accepts connections on *socket_path*."""
    with closing(socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)) as probe:
        try:
            probe.connect(socket_path)
        except OSError:
            return False
    return True


def _spawn(log_path: Path) -> subprocess.Popen[bytes]:
    import subprocess

    log_path.parent.mkdir(parents=True, exist_ok=True)
    checkout = str(Path(__file__).resolve().parents[2])
    inherited = os.environ.get("PYTHONPATH")
    environment = {**os.environ, "PYTHONPATH": f"{checkout}:{inherited}" if inherited else checkout}
    with open(log_path, "ab") as log:
        return subprocess.Popen(
            [sys.executable, "-m", "minidocker", "daemon", "--autostarted"],
            stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True, cwd="/", env=environment,
        )  # fmt: skip


def _wait_answering(server: subprocess.Popen[bytes], socket_path: str, log_path: Path) -> None:
    deadline = time.monotonic() + START_LIMIT_S
    while not is_answering(socket_path):
        status = server.poll()
        if status is not None:
            raise HostError(f"start a server: it ended with status {status}: {_last_line(log_path)}", hint=f"its log is `{log_path}`")
        if time.monotonic() > deadline:
            server.kill()
            raise HostError(f"start a server: it did not listen on `{socket_path}` in {START_LIMIT_S:.0f} s", hint=f"its log is `{log_path}`")
        time.sleep(POLL_S)
    # It outlives this process; without this, Popen's destructor would warn about it.
    server.returncode = 0


def _last_line(log_path: Path) -> str:
    with suppress(OSError, IndexError):  # a log that cannot be read leaves the status alone
        return log_path.read_text(errors="replace").strip().splitlines()[-1]
    return "no message"


def _user_id() -> int:
    return os.geteuid() if hasattr(os, "geteuid") else 1  # Windows and browsers have no users of this kind
