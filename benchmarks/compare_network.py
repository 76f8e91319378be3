"""Compare container networks with dockerd's; print Markdown for `docs/benchmarks.md`.

    sudo python3 benchmarks/compare_network.py [--rounds N] [--megabytes N] [--ports N] [--containers N]

What a network adds to a start is measured through the API, in turns. Throughput is measured by one sender and one receiver of our
own, the same for both engines, each process standing in the network namespace in question: between two containers, through a
published port by the kernel's path, and through the proxy for 127.0.0.1. Growth is the start of a container with one port,
beside nothing, beside many published ports and beside many containers.
"""

from __future__ import annotations

import argparse
import json
import os
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from typing import Any

CHECKOUT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(CHECKOUT))

from benchmarks.compare_run import Api  # noqa: E402 - needs the checkout on the path
from benchmarks.peers import IMAGE, Engine, Missing, make_image_tar, start_dockerd, start_minidocker  # noqa: E402
from minidocker.kernel.flags import Clone  # noqa: E402
from minidocker.kernel.namespaces import open_namespace, setns  # noqa: E402

CHUNK = b"\0" * (1 << 17)
PORT = 5001


def call_api(path: str, method: str, target: str, body: object = None) -> Any:
    """Make one call."""
    return Api(path).call(method, target, body)


def in_namespace(pid: int, act: Callable[[], None]) -> int:
    """Fork a child that does *act* in the network namespace of *pid*; return its process id."""
    child = os.fork()
    if child == 0:
        status = 1
        try:
            setns(open_namespace(pid, Clone.NEWNET), Clone.NEWNET)
            act()
            status = 0
        except OSError as error:
            print(f"left out: {error}", file=sys.stderr)
        finally:
            os._exit(status)
    return child


def measure_throughput(server_pid: int, client_pid: int, target: tuple[str, int], size: int) -> float:
    """Return the bytes per second from *client_pid*'s namespace to port `PORT` in *server_pid*'s, addressed as *target*."""
    ready_read, ready_write = os.pipe()
    time_read, time_write = os.pipe()

    def serve() -> None:
        with socket.create_server(("0.0.0.0", PORT)) as server:
            os.write(ready_write, b"1")
            connection, _ = server.accept()
            with connection:
                received = 0
                started = time.perf_counter()
                while data := connection.recv(1 << 18):
                    received += len(data)
                os.write(time_write, json.dumps([received, time.perf_counter() - started]).encode())

    def send() -> None:
        with socket.create_connection(target, timeout=60) as client:
            for _ in range(size // len(CHUNK)):
                client.sendall(CHUNK)

    server = in_namespace(server_pid, serve)
    os.read(ready_read, 1)
    client = in_namespace(client_pid, send)
    if os.waitpid(client, 0)[1]:
        os.kill(server, 9)
        os.waitpid(server, 0)
        return 0.0  # this engine does not serve this way here
    os.waitpid(server, 0)
    received, seconds = json.loads(os.read(time_read, 100))
    for fd in (ready_read, ready_write, time_read, time_write):
        os.close(fd)
    return float(received / seconds)


def run_container(engine: Engine, *, network: str = "bridge", ports: range | None = None) -> tuple[str, float]:
    """Create and start a container; return its id and how long the start took."""
    bindings = {f"{PORT + n}/tcp": [{"HostPort": str(port)}] for n, port in enumerate(ports or ())}
    body = {"Image": IMAGE, "Cmd": ["sleep", "1000"], "HostConfig": {"NetworkMode": network, "PortBindings": bindings}}
    made = call_api(engine.socket_path, "POST", "/containers/create", body)
    started = time.perf_counter()
    call_api(engine.socket_path, "POST", f"/containers/{made['Id']}/start")
    return made["Id"], time.perf_counter() - started


def remove(engine: Engine, *ids: str) -> None:
    """Remove containers."""
    for container in ids:
        call_api(engine.socket_path, "DELETE", f"/containers/{container}?force=1")


def compare_setup(engines: list[Engine], rounds: int) -> None:
    """Print what a network adds to a start."""
    print("#### What a network adds to a start\n")
    print("Medians; what is added is the difference within each turn, and in brackets the difference of the fastest.\n")
    print("| | none | default bridge | network of one's own | added, default | added, own |\n|---|---:|---:|---:|---:|---:|")
    for engine in engines:
        call_api(engine.socket_path, "POST", "/networks/create", {"Name": "own"})
        times: dict[str, list[float]] = {"none": [], "bridge": [], "own": []}
        for _ in range(rounds):
            for network, found in times.items():
                container, seconds = run_container(engine, network=network)
                found.append(seconds * 1000)
                remove(engine, container)
        none, bridge, own = (statistics.median(found) for found in times.values())
        added = [statistics.median(b - a for a, b in zip(times["none"], times[n], strict=True)) for n in ("bridge", "own")]
        fastest = [min(times[n]) - min(times["none"]) for n in ("bridge", "own")]
        differences = " | ".join(f"{a:+.1f} ms ({f:+.1f})" for a, f in zip(added, fastest, strict=True))
        print(f"| {engine.name} | {none:.1f} ms | {bridge:.1f} ms | {own:.1f} ms | {differences} |")
    print()


def compare_throughput(engines: list[Engine], rounds: int, size: int) -> None:
    """Print the throughput of three ways, in turns."""
    ways: dict[str, dict[str, list[float]]] = {}
    for engine in engines:
        ids = [run_container(engine)[0], run_container(engine, ports=range(18080, 18081))[0]]
        found = [call_api(engine.socket_path, "GET", f"/containers/{container}/json") for container in ids]
        pids = [c["State"]["Pid"] for c in found]
        address, gateway = found[1]["NetworkSettings"]["IPAddress"], found[1]["NetworkSettings"]["Gateway"]
        measured = {
            "container to container": (pids[1], pids[0], (address, PORT)),
            "published port, the kernel's path": (pids[1], engine.process_id, (gateway, 18080)),
            "published port, 127.0.0.1 (proxy)": (pids[1], engine.process_id, ("127.0.0.1", 18080)),
        }
        for way, arguments in measured.items():
            ways.setdefault(way, {})[engine.name] = [measure_throughput(*arguments, size) / 1e9 for _ in range(rounds)]
        remove(engine, *ids)
    print("#### Throughput, one TCP connection\n\n| way | " + " | ".join(e.name for e in engines) + " | ours to theirs |\n|---|" + "---:|" * (len(engines) + 1))
    for way, by_engine in ways.items():
        medians = [statistics.median(found) for found in by_engine.values()]
        ratio = f"{medians[0] / medians[1]:.2f} ×" if len(medians) > 1 and medians[1] else ""
        print(f"| {way} | " + " | ".join(f"{m:.2f} GB/s" if m else "refused" for m in medians) + f" | {ratio} |")
    print()


def compare_growth(engine: Engine, rounds: int, ports: int, containers: int) -> None:
    """Print what the next container with a port costs, beside nothing, many ports and many containers."""

    def next_one() -> float:
        found = []
        for n in range(rounds):
            container, seconds = run_container(engine, ports=range(30000 + n, 30001 + n))
            found.append(seconds * 1000)
            remove(engine, container)
        return statistics.median(found)

    alone = next_one()
    crowd, _ = run_container(engine, ports=range(20000, 20000 + ports))
    with_ports = next_one()
    remove(engine, crowd)
    many = [run_container(engine)[0] for _ in range(containers)]
    with_containers = next_one()
    remove(engine, *many)
    print("#### The next container with a published port\n\n| beside | start | to the first |\n|---|---:|---:|")
    for what, found in (("nothing", alone), (f"{ports} published ports", with_ports), (f"{containers} containers on the bridge", with_containers)):
        print(f"| {what} | {found:.1f} ms | {found / alone:.2f} × |")


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    for name, default in (("--rounds", 15), ("--megabytes", 1000), ("--ports", 1000), ("--containers", 200)):
        parser.add_argument(name, type=int, default=default)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="md") as name, ExitStack() as stack:
        directory = Path(name)
        make_image_tar(directory / "image.tar")
        engines = [stack.enter_context(start_minidocker(directory / "ours", directory / "image.tar"))]
        try:
            engines.append(stack.enter_context(start_dockerd(directory / "docker", directory / "image.tar")))
        except Missing as missing:
            print(f"docker is left out: {missing}\n")
        print("Measured with " + ", ".join(f"{e.name} ({e.version})" for e in engines) + f" on {subprocess.getoutput('uname -sr')}.\n")
        compare_setup(engines, options.rounds)
        compare_throughput(engines, max(3, options.rounds // 3), options.megabytes << 20)
        compare_growth(engines[0], options.rounds, options.ports, options.containers)


if __name__ == "__main__":
    main()
