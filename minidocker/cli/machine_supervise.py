"""`machine supervise`: the process that runs one machine in the background. Started by `machine start`, not by people.

Acts. It holds the machine's lock, runs QEMU, and follows the events of the server in it: whatever port a container publishes there is
opened on this host's loopback, for as long as it is published. Chapter 20.
"""

from __future__ import annotations

import contextlib
import socket
import ssl
import sys
import threading
import time
from pathlib import Path

from minidocker.client.transport import Transport
from minidocker.errors import MinidockerError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from minidocker.machine.store import MachineRecord
    from minidocker.spec.record import Json

__all__ = ["connect_to_machine", "published_ports", "supervise"]

RETRY_S = 0.5
CONNECT_LIMIT_S = 10.0


def connect_to_machine(directory: Path, port: int) -> socket.socket:
    """Return an encrypted connection to the server in the machine whose certificates are in *directory*."""
    context = ssl.create_default_context(cafile=str(directory / "tls" / "ca.pem"))
    context.load_cert_chain(directory / "tls" / "cert.pem", directory / "tls" / "key.pem")
    plain = socket.create_connection(("127.0.0.1", port), timeout=CONNECT_LIMIT_S)
    try:
        connected = context.wrap_socket(plain, server_hostname="localhost")
    except BaseException:
        plain.close()
        raise
    connected.settimeout(None)
    return connected


def published_ports(containers: Json) -> set[tuple[str, int]]:
    """Return (protocol, port) of everything that the containers in the answer to `/containers/json` publish."""
    found: set[tuple[str, int]] = set()
    for container in containers if isinstance(containers, list) else []:
        ports = container.get("Ports") if isinstance(container, dict) else None
        for port in ports if isinstance(ports, list) else []:
            if isinstance(port, dict) and isinstance(number := port.get("PublicPort"), int):
                found.add((str(port.get("Type", "tcp")), number))
    return found


def supervise(root: Path, name: str) -> int:
    """Run machine *name* to its end; return QEMU's status."""
    from minidocker.machine.boot import spawn_in_background
    from minidocker.machine.qemu import find_qemu, render_command
    from minidocker.machine.serve import hardware_of
    from minidocker.machine.store import hold_lock, read_machine

    record, directory = read_machine(root, name), root / name
    with hold_lock(directory):
        (directory / "console.log").unlink(missing_ok=True)
        qemu = spawn_in_background(render_command(find_qemu(record.machine), hardware_of(directory, record)), directory / "machine.log")
        (directory / "pid").write_text(str(qemu.pid), encoding="ascii")
        threading.Thread(target=_follow_ports, args=(directory, record), daemon=True).start()
        try:
            return qemu.wait()
        finally:
            (directory / "pid").unlink(missing_ok=True)


def _follow_ports(directory: Path, record: MachineRecord) -> None:
    """Keep this host's ports what the machine's containers publish, for ever."""
    client = Transport(lambda: connect_to_machine(directory, record.port))
    opened: set[tuple[str, int]] = set()
    refused: set[tuple[str, int]] = set()
    while True:
        # The server is not up yet, or on its way down.
        with contextlib.suppress(OSError, MinidockerError):
            events = client.open("GET", "/events", {"filters": '{"type":["container","network"]}'})
            _adjust_ports(directory, published_ports(client.get("/containers/json")), opened, refused)
            for _ in events.lines():
                _adjust_ports(directory, published_ports(client.get("/containers/json")), opened, refused)
        time.sleep(RETRY_S)


def _adjust_ports(directory: Path, wanted: set[tuple[str, int]], opened: set[tuple[str, int]], refused: set[tuple[str, int]]) -> None:
    """Open and close ports until *opened* is *wanted*; one that somebody else has is said once and tried again."""
    from minidocker.machine.serve import forward_port

    for kind, port in sorted(opened - wanted):
        forward_port(directory, kind, port, wanted=False)
        opened.discard((kind, port))
    refused &= wanted
    for kind, port in sorted(wanted - opened):
        problem = forward_port(directory, kind, port, wanted=True)
        if not problem:
            opened.add((kind, port))
        elif (kind, port) not in refused:
            refused.add((kind, port))
            print(f"forward port {port}/{kind}: {problem}", file=sys.stderr, flush=True)
