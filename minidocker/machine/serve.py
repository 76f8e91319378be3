"""A machine with the server in it: what it is booted from, and how the host talks to it.

Acting. The server listens on TLS; its certificates are made for this machine and travel in its initramfs. The host reaches it through
QEMU's own network, which needs no privileges: a port of loopback leads to a port of the machine. Chapter 20.
"""

from __future__ import annotations

import os
import shutil
import socket
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Final

from minidocker.errors import HostError, InvalidParameter
from minidocker.machine.initramfs import PROJECT_DIRECTORY, Interpreter, gather_system, render_extras, write_archive
from minidocker.machine.kernels import Kernel
from minidocker.machine.qemu import Hardware, choose_accelerator
from minidocker.machine.settings import Settings
from minidocker.machine.store import MachineRecord

__all__ = ["SERVER_PORT", "build_system", "fill_directory", "forward_port", "hardware_of", "order_off", "require_free_port"]

SERVER_PORT: Final = 2376
ANSWER_LIMIT_S: Final = 10.0
_CERTIFICATES: Final = "etc/tls"
_ADDRESS, _GATEWAY, _NAME_SERVER = "10.0.2.15/24", "10.0.2.2", "10.0.2.3"
"""How QEMU's own network is laid out."""
_PROMPT: Final = b"(qemu) "


def build_system(interpreter: Interpreter, project: Path, output: Path) -> None:
    """Write the archive with everything that does not depend on the machine: equal inputs give equal bytes."""
    files = sorted(path for path in (project / "minidocker").rglob("*.py") if "__pycache__" not in path.parts)
    names = (".".join(path.relative_to(project).with_suffix("").parts).removesuffix(".__init__") for path in files)
    tree = gather_system(interpreter, project=project, project_files=files, names=names)
    with output.open("wb") as archive:
        write_archive(tree, archive)


def fill_directory(directory: Path, record: MachineRecord, kernel: Kernel, system: Path, certificates: Mapping[str, bytes], own_paths: tuple[str, ...] = ()) -> None:
    """Write into *directory* what machine *record* is booted from; no share may cover one of *own_paths*.

    Raises:
        InvalidParameter: a share that would cover the machine's own files.
    """
    for share in record.shares:
        if any(Path(own).is_relative_to(share) for own in own_paths):
            raise InvalidParameter(
                f"create machine `{record.name}`: share `{share}` would cover the machine's own files", hint="share a folder below it"
            )
    shutil.copyfile(kernel.path, directory / "kernel")
    shutil.copyfile(system, directory / "initramfs")
    files = {f"{_CERTIFICATES}/{name}": content for name, content in certificates.items()}
    with (directory / "initramfs").open("ab") as archive:
        write_archive(render_extras(kernel.modules, settings_of(record), files=files), archive)


def settings_of(record: MachineRecord) -> Settings:
    """Return what the first process of the machine is told."""
    authority, certificate, key = (f"/{_CERTIFICATES}/{name}" for name in ("ca.pem", "server-cert.pem", "server-key.pem"))
    command = (
        "/usr/bin/python3", "-m", "minidocker", "daemon", "-H", "unix:///run/minidocker.sock", "-H", f"tcp://0.0.0.0:{SERVER_PORT}",
        "--tlsverify", "--tlscacert", authority, "--tlscert", certificate, "--tlskey", key,
    )  # fmt: skip
    return Settings(
        command=command, environment={"PYTHONDONTWRITEBYTECODE": "1"}, directory=f"/{PROJECT_DIRECTORY}", hostname=record.name,
        address=_ADDRESS, gateway=_GATEWAY, name_server=_NAME_SERVER, data_disk=True, shares=record.shares, console_shell=True,
    )  # fmt: skip


def hardware_of(directory: Path, record: MachineRecord) -> Hardware:
    """Return the machine as QEMU is to make it."""
    console = f"socket,id=console,path={directory / 'console'},server=on,wait=off,logfile={directory / 'console.log'}"
    return Hardware(
        machine=record.machine, kernel=directory / "kernel", initramfs=directory / "initramfs", accelerator=choose_accelerator(record.machine),
        memory_mib=record.memory_mib, processors=record.processors, disks=(directory / "disk",), control=directory / "control",
        monitor=directory / "monitor", network=True, forwards=((record.port, SERVER_PORT),), console="chardev:console",
        shares=tuple(map(Path, record.shares)), more=("-chardev", console),
    )  # fmt: skip


def require_free_port(port: int, name: str) -> None:
    """Refuse a port of loopback that somebody else has.

    Raises:
        HostError: names the port.
    """
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
        if os.name == "posix":
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError as error:
            raise HostError(
                f"start machine `{name}`: port {port} of this host is taken", hint="end what listens there, or create the machine with another --port"
            ) from error


def order_off(directory: Path) -> bool:
    """Ask the machine to end its server, unmount its disk and go off; return whether anybody heard it."""
    with suppress(OSError), _connect(directory / "control") as channel:
        channel.sendall(b"off\n")
        return True
    return False


def forward_port(directory: Path, kind: str, port: int, *, wanted: bool) -> str:
    """Let *port* of the host lead to the same port of the machine, or no longer; return what QEMU has against it."""
    order = f"hostfwd_add net {kind}:127.0.0.1:{port}-:{port}" if wanted else f"hostfwd_remove net {kind}:127.0.0.1:{port}"
    try:
        with _connect(directory / "monitor") as channel:
            _read_answer(channel)
            channel.sendall(order.encode() + b"\n")
            answer = _read_answer(channel)
    except OSError as error:
        return str(error)
    lines = [line.strip() for line in answer.decode(errors="replace").splitlines()[1:]]
    return " ".join(line for line in lines if line and not line.startswith("host forwarding rule"))


def _connect(path: Path) -> socket.socket:
    channel = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        channel.settimeout(ANSWER_LIMIT_S)
        channel.connect(str(path))
    except OSError:
        channel.close()
        raise
    return channel


def _read_answer(channel: socket.socket) -> bytes:
    """Return what QEMU's monitor says up to its next prompt."""
    answer = b""
    while not answer.endswith(_PROMPT):
        piece = channel.recv(4096)
        if not piece:
            break
        answer += piece
    return answer.removesuffix(_PROMPT)
