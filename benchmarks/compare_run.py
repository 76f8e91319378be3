"""Compare running containers with dockerd, podman and runc; print Markdown for `docs/benchmarks.md`.

    sudo python3 benchmarks/compare_run.py [--rounds N] [--only run,api,exec,client]

Whole processes are timed from fork to exit, API calls from the first byte sent to the last received. The candidates of a
comparison take turns (A B A B …) after a warm-up, so that whatever else the machine does hits all of them. A ratio is the median
of the ratios within each turn, and says how long ours takes for each unit of the other's time: below 1 is faster.
"""

from __future__ import annotations

import argparse
import http.client
import json
import os
import platform
import shlex
import shutil
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack, closing
from dataclasses import dataclass
from pathlib import Path

CHECKOUT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(CHECKOUT))

from benchmarks.peers import (  # noqa: E402 - needs the checkout on the path
    IMAGE, PYTHON, Engine, Missing, make_image_tar, start_dockerd, start_minidocker, start_podman, start_runc,
)  # fmt: skip

WARM_UP_ROUNDS = 3
OURS = "minidocker"
RAISES_NO_LIMITS = ("--ulimit", "nofile=1024:1024", "--ulimit", "nproc=1024:1024")
"""podman raises these limits by default, which root without CAP_SYS_RESOURCE may not."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Candidate:
    """One way of doing the work of a comparison."""

    name: str
    act: Callable[[], None]
    target: float | None = None
    """The aim for the ratio of ours to this one."""


class _UnixConnection(http.client.HTTPConnection):
    """HTTP over a unix socket."""

    def __init__(self, path: str) -> None:
        super().__init__("localhost", timeout=60)
        self._path = path

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.settimeout(60)
        self.sock.connect(self._path)


class Api:
    """The few calls of the Engine API that the comparisons make; one kept connection and one for each stream."""

    def __init__(self, path: str) -> None:
        self._path = path
        self._kept = _UnixConnection(path)

    def call(self, method: str, target: str, body: object = None) -> dict[str, object]:
        """Make a call and return its JSON answer."""
        content = None if body is None else json.dumps(body)
        self._kept.request(method, target, content, {"Content-Type": "application/json"} if content else {})
        response = self._kept.getresponse()
        answer = response.read()
        if response.status >= 300:
            raise RuntimeError(f"{method} {target}: {response.status} {answer.decode(errors='replace')}")
        document: dict[str, object] = json.loads(answer) if answer else {}
        return document

    def open_stream(self, target: str, body: object = None) -> socket.socket:
        """Post, and return the raw connection behind the answer's header."""
        stream = socket.socket(socket.AF_UNIX)
        stream.connect(self._path)
        content = json.dumps(body).encode() if body is not None else b""
        head = (
            f"POST {target} HTTP/1.1\r\nHost: localhost\r\nConnection: Upgrade\r\nUpgrade: tcp\r\n"
            f"Content-Type: application/json\r\nContent-Length: {len(content)}\r\n\r\n"
        )
        stream.sendall(head.encode() + content)
        received = b""
        while b"\r\n\r\n" not in received:
            piece = stream.recv(1)  # not a byte of the output
            if not piece:
                raise RuntimeError(f"POST {target}: the server closed the connection")
            received += piece
        if received.split()[1] not in (b"101", b"200"):
            raise RuntimeError(f"POST {target}: {received.decode(errors='replace')}")
        return stream

    def start_wait(self, container_id: str, condition: str) -> _UnixConnection:
        """Begin to wait for the end of a container."""
        connection = _UnixConnection(self._path)
        connection.request("POST", f"/containers/{container_id}/wait?condition={condition}")
        return connection


def drain(stream: socket.socket) -> bytes:
    """Return everything up to the end of the stream, and close it."""
    with closing(stream):
        return b"".join(iter(lambda: stream.recv(65536), b""))


def run_through_api(api: Api) -> None:
    """Create, attach, wait, start; return when the container has ended and is gone."""
    body = {
        "Image": IMAGE, "Cmd": ["true"], "AttachStdout": True, "AttachStderr": True,
        "HostConfig": {"NetworkMode": "none", "AutoRemove": True},
    }  # fmt: skip
    container_id = str(api.call("POST", "/containers/create", body)["Id"])
    stream = api.open_stream(f"/containers/{container_id}/attach?stream=1&stdout=1&stderr=1")
    with closing(api.start_wait(container_id, "removed")) as waiting:
        api.call("POST", f"/containers/{container_id}/start")
        drain(stream)
        answer = json.loads(waiting.getresponse().read())
    if answer["StatusCode"] != 0:
        raise RuntimeError(f"the container ended with {answer}")


def exec_through_api(api: Api, container: str) -> None:
    """Run `true` in a running container; return when its output has ended and its exit code is known."""
    body = {"Cmd": ["true"], "AttachStdout": True, "AttachStderr": True}
    exec_id = str(api.call("POST", f"/containers/{container}/exec", body)["Id"])
    drain(api.open_stream(f"/exec/{exec_id}/start", {"Detach": False, "Tty": False}))
    while (state := api.call("GET", f"/exec/{exec_id}/json"))["Running"]:
        pass
    if state["ExitCode"] != 0:
        raise RuntimeError(f"the exec ended with {state['ExitCode']}")


def run_process(command: Sequence[str], process_id: int = 0) -> None:
    """Run a whole process to its end, in the network namespace of *process_id* if there is one.

    Raises:
        RuntimeError: it failed.
    """
    join = None
    if process_id:
        from minidocker.kernel.flags import Clone
        from minidocker.kernel.namespaces import open_namespace, setns

        network = open_namespace(process_id, Clone.NEWNET)

        def join() -> None:
            setns(network, Clone.NEWNET)

    try:
        result = subprocess.run(
            command, cwd=CHECKOUT, stdin=subprocess.DEVNULL, capture_output=True, check=False, preexec_fn=join, timeout=120
        )
    finally:
        if process_id:
            os.close(network)
    if result.returncode != 0:
        raise RuntimeError(f"{shlex.join(command)}: {result.returncode} {result.stderr.decode(errors='replace')[-500:]}")


def find_able(candidates: Sequence[Candidate], notes: list[str]) -> list[Candidate]:
    """Return the candidates that can do the work at all; the others get a line in *notes*, but ours must."""
    able = []
    for candidate in candidates:
        try:
            candidate.act()
        except RuntimeError as error:
            if candidate is candidates[0]:
                raise
            notes.append(f"- {candidate.name} was left out: {error}")
        else:
            able.append(candidate)
    return able


def measure(candidates: Sequence[Candidate], rounds: int) -> dict[str, list[float]]:
    """Return the times in milliseconds of each candidate, in the order of the turns."""
    times: dict[str, list[float]] = {candidate.name: [] for candidate in candidates}
    for turn in range(-WARM_UP_ROUNDS, rounds):
        for candidate in candidates:
            begin = time.perf_counter_ns()
            candidate.act()
            if turn >= 0:
                times[candidate.name].append((time.perf_counter_ns() - begin) / 1e6)
    return times


def render_comparison(title: str, candidates: Sequence[Candidate], times: dict[str, list[float]]) -> str:
    """Return a Markdown table; the first candidate is ours."""
    ours = times[candidates[0].name]
    lines = [f"### {title}", "", "| | median | min | max | ours takes | aim |", "|---|---:|---:|---:|---:|---:|"]
    for candidate in candidates:
        theirs = times[candidate.name]
        ratio = statistics.median(mine / other for mine, other in zip(ours, theirs, strict=True))
        aim = f"≤ {candidate.target:.2f} ×" if candidate.target is not None else ""
        shown = "" if theirs is ours else f"{ratio:.2f} ×"
        lines.append(
            f"| {candidate.name} | {statistics.median(theirs):.1f} ms | {min(theirs):.1f} | {max(theirs):.1f} | {shown} | {aim} |"
        )
    return "\n".join(lines) + "\n"


def compare_run(engines: dict[str, Engine]) -> list[Candidate]:
    """`run --rm IMAGE true` as whole processes, server warm, default network."""
    arguments = ("run", "--rm", IMAGE, "true")
    targets = {"docker": 0.2}
    candidates = []
    for name in (OURS, "docker", "podman"):
        if engine := engines.get(name):
            inside = engine.process_id if name == "podman" else 0  # it has no server: the client makes the network
            more = RAISES_NO_LIMITS if name == "podman" else ()
            act = _bind(run_process, (*engine.command, "run", *more, *arguments[1:]), inside)
            candidates.append(Candidate(name=f"`{name} run`", act=act, target=targets.get(name)))
    if "docker" in engines:
        mixed = (engines["docker"].command[0], "-H", f"unix://{engines[OURS].socket_path}", *arguments)
        candidates.append(Candidate(name="`docker run` on our server", act=_bind(run_process, mixed, 0)))
    return candidates


def compare_api(engines: dict[str, Engine]) -> list[Candidate]:
    """Create, attach, wait, start, exit and removal through the API, no network, against `runc run`."""
    candidates = [Candidate(name="minidocker API", act=_bind(run_through_api, Api(engines[OURS].socket_path)))]
    if "docker" in engines:
        candidates.append(Candidate(name="docker API", act=_bind(run_through_api, Api(engines["docker"].socket_path))))
    if "runc" in engines:
        candidates.append(Candidate(name="`runc run` on a bundle", act=_bind(run_process, (*engines["runc"].command, "bench"), 0), target=1.0))
    return candidates


def compare_exec(engines: dict[str, Engine]) -> list[Candidate]:
    """`exec` of `true` through the API."""
    candidates = []
    for name in (OURS, "docker"):
        if engine := engines.get(name):
            run_process((*engine.command, "run", "-d", "--name", "target", IMAGE, "sleep", "100000"))
            act = _bind(exec_through_api, Api(engine.socket_path), "target")
            candidates.append(Candidate(name=f"{name} API", act=act, target=1 / 3 if name == "docker" else None))
    return candidates


def compare_client(engines: dict[str, Engine]) -> list[Candidate]:
    """Start-up of the client: `ps` against `docker ps` and against an interpreter that does nothing."""
    ours = engines[OURS].command
    candidates = [Candidate(name="`minidocker ps`", act=_bind(run_process, (*ours, "ps"), 0))]
    if "docker" in engines:
        candidates.append(Candidate(name="`docker ps`", act=_bind(run_process, (*engines["docker"].command, "ps"), 0), target=3.0))
    return [
        *candidates,
        Candidate(name="`minidocker --version`", act=_bind(run_process, (*ours, "--version"), 0)),
        Candidate(name="`python3 -I -S -c pass`", act=_bind(run_process, (PYTHON, "-I", "-S", "-c", "pass"), 0)),
        Candidate(name="`python3 -c pass`", act=_bind(run_process, (PYTHON, "-c", "pass"), 0)),
    ]


def _bind(function: Callable[..., None], *arguments: object) -> Callable[[], None]:
    return lambda: function(*arguments)


COMPARISONS: dict[str, tuple[str, Callable[[dict[str, Engine]], list[Candidate]]]] = {
    "run": ("`run --rm IMAGE true`, whole processes, default network", compare_run),
    "api": ("Start to exit and removal through the API, no network", compare_api),
    "exec": ("`exec` through the API", compare_exec),
    "client": ("Start-up of the client", compare_client),
}


def describe_machine() -> str:
    """Return processor, kernel and interpreter in one line."""
    model = platform.machine()
    with open("/proc/cpuinfo", encoding="utf-8") as file:
        model = next((line.partition(":")[2].strip() for line in file if line.startswith("model name")), model)
    python = subprocess.run([PYTHON, "--version"], capture_output=True, text=True, check=True).stdout.strip()
    groups = "v2" if os.path.exists("/sys/fs/cgroup/cgroup.controllers") else "v1"
    return f"{model}, {os.cpu_count()} processors, Linux {platform.release()}, cgroup {groups}, {python}"


def start_engines(stack: ExitStack, directory: Path) -> tuple[dict[str, Engine], list[str]]:
    """Return the engines that this machine has, and a line for each that it has not."""
    image_tar = directory / "image.tar"
    make_image_tar(image_tar)
    engines, notes = {}, []
    starters = {OURS: start_minidocker, "docker": start_dockerd, "podman": start_podman, "runc": start_runc}
    for name, start in starters.items():
        try:
            engines[name] = stack.enter_context(start(directory / name, image_tar))
        except Missing as error:
            if name == OURS:
                raise
            notes.append(f"- `{name}` was left out: {error}")
    return engines, notes


def main(arguments: Sequence[str]) -> int:
    """Measure what was asked for and print it."""
    parser = argparse.ArgumentParser(description="Compare running containers with other engines.")
    parser.add_argument("--rounds", type=int, default=20, help="turns that are counted (default: 20)")
    parser.add_argument("--only", default=",".join(COMPARISONS), help="comparisons, separated by commas (default: %(default)s)")
    options = parser.parse_args(arguments)
    if sys.platform != "linux" or os.geteuid() != 0:
        print("compare_run: starts engines, and needs Linux and root for it", file=sys.stderr)
        return 2
    directory = Path(tempfile.mkdtemp(prefix="mdb"))  # short: a socket's path has 108 bytes
    try:
        with ExitStack() as stack:
            engines, notes = start_engines(stack, directory)
            print(f"Measured on {describe_machine()}, with")
            print(", ".join(f"{engine.name} ({engine.version})" for engine in engines.values()) + ", by:\n")
            print(f"```sh\nsudo python3 benchmarks/compare_run.py {shlex.join(arguments)}".rstrip() + "\n```\n")
            for key in options.only.split(","):
                title, compare = COMPARISONS[key]
                candidates = find_able(compare(engines), notes)
                print(render_comparison(title, candidates, measure(candidates, options.rounds)), flush=True)
            if notes:
                print("\n".join(notes))
    except Missing as error:
        print(f"compare_run: {error}", file=sys.stderr)
        return 2
    finally:
        shutil.rmtree(directory, ignore_errors=True)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
