"""Compare pulling and pushing an image with dockerd and Debian's docker-registry; print Markdown for `docs/benchmarks.md`.

    sudo python3 benchmarks/compare_registry.py [--mib 1024] [--rounds 3]

Everything runs in one network namespace of this process's own, whose loopback the servers share. The image has four layers of
files of which half cannot be compressed. The candidates take turns, and
what was written is synced before each. What is timed is the `docker` command line, from fork to exit, with
each engine: so the client is the same. A push goes to a registry that has just been emptied; a pull comes after the image
was removed. The peak of a server's memory is what the kernel counted during the turns (`VmHWM`).
"""

from __future__ import annotations

import argparse
import io
import json
import os
import random
import shlex
import shutil
import statistics
import subprocess
import sys
import tarfile
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path

CHECKOUT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(CHECKOUT))

from benchmarks.compare_run import describe_machine  # noqa: E402 - needs the checkout on the path
from benchmarks.peers import PYTHON, Missing, enter_new_network, require_program, wait_for_socket  # noqa: E402

LAYERS = 4
BLOCK = 64 << 10
PORTS = {"minidocker": 5000, "docker-registry": 5001}
AIM = 1.2


@dataclass
class Server:
    """A process that is measured."""

    name: str
    command: list[str]
    log: Path
    process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Run it."""
        with open(self.log, "ab") as output:
            self.process = subprocess.Popen(self.command, cwd=CHECKOUT, stdin=subprocess.DEVNULL, stdout=output, stderr=output)

    def stop(self) -> None:
        """End it."""
        if self.process is not None:
            self.process.terminate()
            self.process.wait(60)

    def peak_mib(self) -> float:
        """Return the most memory that it had at once."""
        assert self.process is not None
        status = Path(f"/proc/{self.process.pid}/status").read_text(encoding="ascii")
        return int(next(line.split()[1] for line in status.splitlines() if line.startswith("VmHWM"))) / 1024


@dataclass
class Row:
    """The times of one candidate."""

    engine: str
    registry: str
    seconds: list[float] = field(default_factory=list)


def make_archive(path: Path, mib: int) -> None:
    """Write an image of *mib* megabytes in the form that `docker load` takes."""
    source = random.Random(1)
    diff_ids, names = [], []
    with tarfile.open(path, "w") as archive:
        for number in range(LAYERS):
            layer = path.with_name(f"layer{number}.tar")
            with tarfile.open(layer, "w") as inner:
                for file in range(mib // LAYERS // 16):
                    text = b"".join(b"line %d of file %d in layer %d\n" % (line, file, number) for line in range(BLOCK // 16))[:BLOCK]
                    content = b"".join(source.randbytes(BLOCK) + text for _ in range(128))
                    member = tarfile.TarInfo(f"layer{number}/file{file}")
                    member.size = len(content)
                    inner.addfile(member, io.BytesIO(content))
            with open(layer, "rb") as stream:
                diff_ids.append(_digest(stream))
            names.append(f"layer{number}.tar")
            archive.add(layer, names[-1])
            layer.unlink()
        config = json.dumps({"architecture": "amd64", "os": "linux", "rootfs": {"type": "layers", "diff_ids": diff_ids}}).encode()
        manifest = json.dumps([{"Config": "config.json", "RepoTags": ["big:1"], "Layers": names}]).encode()
        for name, document in (("config.json", config), ("manifest.json", manifest)):
            member = tarfile.TarInfo(name)
            member.size = len(document)
            archive.addfile(member, io.BytesIO(document))


def _digest(stream: io.BufferedReader) -> str:
    import hashlib

    return f"sha256:{hashlib.file_digest(stream, 'sha256').hexdigest()}"


class Field:
    """The engines and registries, ready to be measured."""

    def __init__(self, directory: Path, stack: ExitStack) -> None:
        """Start two engines in *directory*."""
        self.directory = directory
        docker, dockerd = require_program("docker", "docker.io"), require_program("dockerd", "docker.io")
        require_program("iptables", "iptables")
        self._registry_program = require_program("docker-registry", "docker-registry")
        self.docker = docker
        self.engines: dict[str, Server] = {}
        for name, program in (("minidocker", [PYTHON, "-m", "minidocker", "daemon"]), ("docker", [dockerd])):
            place = directory / name
            place.mkdir()
            arguments = ["--data-root", f"{place}/data", "--exec-root", f"{place}/exec", "--pidfile", f"{place}/pid", "-H", f"unix://{place}/s"]
            server = Server(name, [*program, *arguments], place / "log")
            server.start()
            stack.callback(server.stop)
            assert server.process is not None
            wait_for_socket(f"{place}/s", server.process, server.log)
            self.engines[name] = server

    def run(self, engine: str, *words: str) -> float:
        """Run the docker command line against an engine; return how long it took.

        Raises:
            Missing: it fails.
        """
        environment = {**os.environ, "DOCKER_HOST": f"unix://{self.directory}/{engine}/s", "DOCKER_CONFIG": str(self.directory)}
        begin = time.perf_counter()
        done = subprocess.run([self.docker, *words], env=environment, capture_output=True, text=True, check=False, timeout=900)
        if done.returncode:
            raise Missing(f"`docker {shlex.join(words)}` with {engine} fails: {done.stderr.strip()[-300:]}")
        return time.perf_counter() - begin

    @contextmanager
    def registry(self, name: str, *, root: Path) -> Iterator[Server]:
        """Run a registry over *root* for the time of the block."""
        address = f"127.0.0.1:{PORTS[name]}"
        if name == "minidocker":
            command = [PYTHON, "-m", "minidocker", "registry", "serve", "--listen", address, "--root", str(root)]
        else:
            settings = self.directory / "registry.yml"
            settings.write_text(f"version: 0.1\nlog: {{accesslog: {{disabled: true}}, level: error}}\nstorage: {{filesystem: {{rootdirectory: {root}}}}}\nhttp: {{addr: '{address}'}}\n")
            command = [self._registry_program, "serve", str(settings)]
        server = Server(name, command, self.directory / f"{name}.registry.log")
        server.start()
        try:
            _wait_for_port(PORTS[name])
            yield server
        finally:
            server.stop()


def _wait_for_port(port: int) -> None:
    import select
    import socket

    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)) == 0:
                return
        select.select([], [], [], 0.05)
    raise Missing(f"nothing listens at port {port}")


def compare(field_: Field, archive: Path, rounds: int) -> tuple[list[Row], list[Row], dict[str, float]]:
    """Return the rows of push and pull, and the peaks of memory in MiB."""
    pairs = [("minidocker", "minidocker"), ("minidocker", "docker-registry"), ("docker", "docker-registry"), ("docker", "minidocker")]
    pushes, pulls = [Row(*pair) for pair in pairs], [Row(*pair) for pair in pairs]
    peaks: dict[str, float] = {}
    for turn in range(rounds):
        for place in range(len(pairs)):
            number = (turn + place) % len(pairs)  # each begins once: nobody always comes after the same neighbour
            engine, registry = pairs[number]
            name, root = f"localhost:{PORTS[registry]}/bench/big:1", field_.directory / "root"
            field_.run(engine, "load", "-i", str(archive))
            field_.run(engine, "tag", "big:1", name)
            with field_.registry(registry, root=root) as server:
                os.sync()  # what was written before is not this one's to wait for
                pushes[number].seconds.append(field_.run(engine, "push", name))
                field_.run(engine, "rmi", name, "big:1")
                os.sync()
                pulls[number].seconds.append(field_.run(engine, "pull", name))
                field_.run(engine, "rmi", name)
                peaks[f"{registry} (registry)"] = max(peaks.get(f"{registry} (registry)", 0), server.peak_mib())
            shutil.rmtree(root)
    for name, engine_server in field_.engines.items():
        peaks[f"{name} (engine)"] = engine_server.peak_mib()
    return pushes, pulls, peaks


def render(title: str, rows: Sequence[Row]) -> str:
    """Return a Markdown table; docker with docker-registry is the measure."""
    measure = next(row for row in rows if (row.engine, row.registry) == ("docker", "docker-registry"))
    lines = [f"#### {title}", "", "| engine | registry | median | min | max | of docker + docker-registry | aim |", "|---|---|---:|---:|---:|---:|---:|"]
    for row in rows:
        ratio = statistics.median(mine / other for mine, other in zip(row.seconds, measure.seconds, strict=True))
        shown = "" if row is measure else f"{ratio:.2f} ×"
        aim = f"≤ {AIM:.1f} ×" if row.engine == "minidocker" else ""
        lines.append(
            f"| {row.engine} | {row.registry} | {statistics.median(row.seconds):.1f} s | {min(row.seconds):.1f} | {max(row.seconds):.1f} | {shown} | {aim} |"
        )
    return "\n".join(lines) + "\n"


def main(arguments: Sequence[str]) -> int:
    """Measure and print."""
    parser = argparse.ArgumentParser(description="Compare pull and push with dockerd and docker-registry.")
    parser.add_argument("--mib", type=int, default=1024, help="size of the image (default: 1024)")
    parser.add_argument("--rounds", type=int, default=3, help="turns (default: 3)")
    options = parser.parse_args(arguments)
    if sys.platform != "linux" or os.geteuid() != 0:
        print("compare_registry: starts engines, and needs Linux and root for it", file=sys.stderr)
        return 2
    enter_new_network()
    directory = Path(tempfile.mkdtemp(prefix="mdb"))  # short: a socket's path has 108 bytes
    try:
        archive = directory / "image.tar"
        make_archive(archive, options.mib)
        with ExitStack() as stack:
            pushes, pulls, peaks = compare(Field(directory, stack), archive, options.rounds)
        print(f"Measured on {describe_machine()}, by:\n")
        print(f"```sh\nsudo python3 benchmarks/compare_registry.py {shlex.join(arguments)}".rstrip() + "\n```\n")
        print(render(f"Push of {options.mib} MiB in {LAYERS} layers, fresh from `load`, to an empty registry", pushes))
        print(render(f"Pull of {options.mib} MiB in {LAYERS} layers", pulls))
        print("Peak memory: " + ", ".join(f"{name} {peak:.0f} MiB" for name, peak in peaks.items()) + ".")
    except Missing as error:
        print(f"compare_registry: {error}", file=sys.stderr)
        return 2
    finally:
        shutil.rmtree(directory, ignore_errors=True)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
