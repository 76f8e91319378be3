"""How the host talks to a machine: a socket plays QEMU's monitor."""

from __future__ import annotations

import socket
import sys
import tempfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from minidocker.errors import HostError, InvalidParameter

if sys.platform == "win32":
    pytest.skip("the monitor is a unix socket", allow_module_level=True)

from minidocker.machine.kernel_image import KernelImage
from minidocker.machine.kernels import Kernel
from minidocker.machine.serve import fill_directory, forward_port, order_off, require_free_port, settings_of
from minidocker.machine.store import MachineRecord


@contextmanager
def listener(name: str, answer: bytes) -> Iterator[tuple[Path, list[bytes]]]:
    """Listen as QEMU does: a prompt, then an order is read and *answer* given."""
    heard: list[bytes] = []
    with tempfile.TemporaryDirectory() as folder, socket.socket(socket.AF_UNIX) as server:
        server.bind(f"{folder}/{name}")
        server.listen()

        def serve() -> None:
            with server.accept()[0] as channel:
                channel.sendall(b"QEMU 7.2 monitor\r\n(qemu) ")
                heard.append(channel.recv(4096))
                channel.sendall(answer)

        thread = threading.Thread(target=serve, daemon=True)
        thread.start()
        yield Path(folder), heard
        thread.join(30)


ANSWERS = {
    "done": (b"hostfwd_add net tcp:127.0.0.1:80-:80\r\n(qemu) ", ""),
    "taken": (b"hostfwd_add ...\r\ncould not set up host forwarding rule 'tcp:127.0.0.1:80-:80'\r\n(qemu) ", "could not set up host forwarding rule 'tcp:127.0.0.1:80-:80'"),
    "gone": (b"", ""),
}


@pytest.mark.parametrize(("answer", "problem"), ANSWERS.values(), ids=ANSWERS)
def test_port_is_forwarded_or_the_problem_is_qemus(answer: bytes, problem: str) -> None:
    """The order is echoed, then QEMU says something only if it has something against it."""
    with listener("monitor", answer) as (directory, heard):
        assert forward_port(directory, "tcp", 80, wanted=True) == problem
    assert heard == [b"hostfwd_add net tcp:127.0.0.1:80-:80\n"]


def test_machine_that_is_gone_hears_nothing(tmp_path: Path) -> None:
    """A killed QEMU leaves its sockets behind; asking them is no error."""
    assert not order_off(tmp_path)
    assert forward_port(tmp_path, "tcp", 80, wanted=False)


def test_port_that_is_taken_is_named() -> None:
    """QEMU would end with a sentence of its own, in a log that nobody reads."""
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        with pytest.raises(HostError, match=rf"start machine `box`: port {port} of this host is taken"):
            require_free_port(port, "box")
    require_free_port(port, "box")


def test_share_may_not_cover_the_machines_own_files(tmp_path: Path) -> None:
    """A folder of the host over the interpreter, and the machine's next program would be the host's, or none."""
    record = MachineRecord(name="box", machine="x86_64", shares=(str(tmp_path),))
    kernel = Kernel(path=tmp_path / "k", image=KernelImage(machine="x86_64"))
    with pytest.raises(InvalidParameter, match="would cover the machine's own files"):
        fill_directory(tmp_path, record, kernel, tmp_path / "s", {}, own_paths=(f"{tmp_path}/bin/python3",))


def test_server_in_a_machine_asks_for_certificates() -> None:
    """Its port is on the host's loopback, where other users are, too."""
    settings = settings_of(MachineRecord(name="box", machine="x86_64"))
    assert "--tlsverify" in settings.command
    assert settings.data_disk
    assert settings.hostname == "box"
