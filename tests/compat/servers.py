"""A private server of ours for tests with foreign clients."""

from __future__ import annotations

import select
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

CHECKOUT = Path(__file__).resolve().parents[2]
START_LIMIT_S = 30.0


@contextmanager
def start_server() -> Iterator[str]:
    """Run a server with directories of its own, and give its address."""
    directory = Path(tempfile.mkdtemp(prefix="md"))  # short: a socket's path has 108 bytes
    address = f"unix://{directory}/s"
    places = ["--data-root", f"{directory}/data", "--exec-root", f"{directory}/exec", "--pidfile", f"{directory}/pid"]
    with open(directory / "log", "wb") as log:
        command = [sys.executable, "-m", "minidocker", "daemon", "-H", address, *places]
        server = subprocess.Popen(command, cwd=CHECKOUT, stdin=subprocess.DEVNULL, stdout=log, stderr=log)
    try:
        deadline = time.monotonic() + START_LIMIT_S
        while not _answers(directory / "s"):
            assert server.poll() is None, (directory / "log").read_text()
            assert time.monotonic() < deadline, "the server does not start"
            select.select([], [], [], 0.02)
        yield address
    finally:
        server.terminate()
        server.wait(30)
        shutil.rmtree(directory, ignore_errors=True)


def _answers(path: Path) -> bool:
    with socket.socket(socket.AF_UNIX) as probe:
        return probe.connect_ex(str(path)) == 0
