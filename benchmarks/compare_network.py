"""Compare container networks with dockerd's; print Markdown for `docs/benchmarks.md`.

    sudo python3 benchmarks/compare_network.py [--rounds N] [--megabytes N] [--ports N] [--containers N]

What a network adds to a start is measured through the API, in turns. Throughput is measured by one sender and one receiver of our
own, the same for both engines and in turns (the engines' containers stand side by side), each process standing in the network
namespace in question and bound to a processor of its own, because where the scheduler puts the two matters more than any engine:
between two containers, through a published port by the kernel's path, and through the proxy for 127.0.0.1. Two namespaces on a
bridge made by hand, without any engine and any rule, are the yardstick of what the kernel can do. Growth is the start of a
container with one port, beside nothing, beside many published ports and beside many containers, in turns again.
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
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from functools import partial
from pathlib import Path
from typing import Any

CHECKOUT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(CHECKOUT))

from benchmarks.compare_run import Api  # noqa: E402 - needs the checkout on the path
from benchmarks.peers import IMAGE, Engine, Missing, enter_new_network, make_image_tar, start_dockerd, start_minidocker  # noqa: E402
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


def stay_on_processor(number: int) -> None:
    """Bind this process to the *number*-th of the processors that it may use, if there are so many."""
    allowed = sorted(os.sched_getaffinity(0))
    os.sched_setaffinity(0, {allowed[number % len(allowed)]})


def measure_throughput(server_pid: int, client_pid: int, target: tuple[str, int], size: int) -> float:
    """Return the bytes per second from *client_pid*'s namespace to port `PORT` in *server_pid*'s, addressed as *target*."""
    ready_read, ready_write = os.pipe()
    time_read, time_write = os.pipe()

    def serve() -> None:
        stay_on_processor(0)
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
        stay_on_processor(1)
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
    exposed: dict[str, dict[str, str]] = {port: {} for port in bindings}  # dockerd 20.10 publishes none that is not exposed, too
    body = {"Image": IMAGE, "Cmd": ["sleep", "1000"], "ExposedPorts": exposed, "HostConfig": {"NetworkMode": network, "PortBindings": bindings}}
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


@contextmanager
def bridge_by_hand() -> Iterator[tuple[int, int]]:
    """Make two namespaces on a bridge in a third, with no packet filter; yield a process in each of the two."""
    holders = [subprocess.Popen(("sleep", "1000"), preexec_fn=enter_new_network) for _ in range(3)]
    try:
        switch, *ends = (holder.pid for holder in holders)
        steps = ["ip link add br0 type bridge", "ip link set br0 up"]
        for n, pid in enumerate(ends, 1):
            steps += [f"ip link add p{n} type veth peer name eth0 netns {pid}", f"ip link set p{n} master br0 up"]
            steps += [f"nsenter -t {pid} -n ip addr add 10.0.0.{n}/24 dev eth0", f"nsenter -t {pid} -n ip link set eth0 up"]
        subprocess.run(("nsenter", "-t", str(switch), "-n", "sh", "-ec", "\n".join(steps)), check=True)
        yield ends[0], ends[1]
    finally:
        for holder in holders:
            holder.kill()
            holder.wait()


def compare_throughput(engines: list[Engine], rounds: int, size: int) -> None:
    """Print the throughput of three ways, in turns."""
    ways: dict[str, dict[str, Callable[[], float]]] = {}
    made = [(engine, [run_container(engine)[0], run_container(engine, ports=range(18080, 18081))[0]]) for engine in engines]
    for engine, ids in made:
        found = [call_api(engine.socket_path, "GET", f"/containers/{container}/json") for container in ids]
        pids = [c["State"]["Pid"] for c in found]
        address, gateway = found[1]["NetworkSettings"]["IPAddress"], found[1]["NetworkSettings"]["Gateway"]
        for way, arguments in {
            "container to container": (pids[1], pids[0], (address, PORT)),
            "published port, the kernel's path": (pids[1], engine.process_id, (gateway, 18080)),
            "published port, 127.0.0.1 (proxy)": (pids[1], engine.process_id, ("127.0.0.1", 18080)),
        }.items():
            ways.setdefault(way, {})[engine.name] = partial(measure_throughput, *arguments, size)
    with bridge_by_hand() as (one, other):
        ways["container to container"]["by hand"] = partial(measure_throughput, other, one, ("10.0.0.2", PORT), size)
        rates: dict[str, dict[str, list[float]]] = {way: {name: [] for name in by_name} for way, by_name in ways.items()}
        for _ in range(rounds):
            for way, by_name in ways.items():
                for name, measure in by_name.items():
                    rates[way][name].append(measure() / 1e9)
    for engine, ids in made:
        remove(engine, *ids)
    print("#### Throughput, one TCP connection\n\nMedians; the ratio is the median of the turns' ratios, in brackets that of the fastest.\n")
    print("| way | " + " | ".join(e.name for e in engines) + " | ours to theirs | bridge by hand |\n|---|" + "---:|" * (len(engines) + 2))
    for way, measured in rates.items():
        cells = [" | ".join(f"{statistics.median(measured[e.name]):.2f} GB/s" for e in engines)]
        ours, theirs = measured[engines[0].name], measured.get("docker", [0.0])
        ratios = [a / b for a, b in zip(ours, theirs, strict=False) if b]
        cells.append(f"{statistics.median(ratios):.2f} × ({max(ours) / max(theirs):.2f})" if ratios else "")
        cells.append(f"{statistics.median(measured['by hand']):.2f} GB/s" if "by hand" in measured else "")
        print(f"| {way} | {' | '.join(cells)} |")
    print()


def compare_growth(engine: Engine, rounds: int, ports: int, containers: int) -> None:
    """Print what the next container with a port costs, beside nothing, many ports and many containers."""

    def next_ones(count: int) -> list[float]:
        found = []
        for n in range(count):
            container, seconds = run_container(engine, ports=range(30000 + n, 30001 + n))
            found.append(seconds * 1000)
            remove(engine, container)
        return found

    def beside(crowd: Callable[[], list[str]]) -> tuple[float, float]:
        """Return the medians alone (before and after) and in a crowd."""
        before = next_ones(rounds)
        ids = crowd()
        among = next_ones(rounds)
        remove(engine, *ids)
        return statistics.median(before + next_ones(rounds)), statistics.median(among)

    crowds: dict[str, Callable[[], list[str]]] = {
        f"{ports} published ports": lambda: [run_container(engine, ports=range(20000, 20000 + ports))[0]],
        f"{containers} containers on the bridge": lambda: [run_container(engine)[0] for _ in range(containers)],
    }
    print("#### The next container with a published port\n\n| beside | start alone | start beside them | ratio |\n|---|---:|---:|---:|")
    for what, crowd in crowds.items():
        alone, among = beside(crowd)
        print(f"| {what} | {alone:.1f} ms | {among:.1f} ms | {among / alone:.2f} × |")


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
