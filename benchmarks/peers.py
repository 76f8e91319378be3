"""The engines that benchmarks compare: ours, dockerd, podman and runc, each started apart from the machine's own.

Every engine gets directories and a network namespace of its own, because dockerd rewrites the packet filter of the one that it
runs in (it leaves `FORWARD` at `DROP`). Clients reach a server through a unix socket, which belongs to no network namespace;
podman has no server, so its commands enter the namespace that a sleeping process holds open. A peer that is not here is
`Missing` with its reason. Everything that is started is ended by its process id.
"""

from __future__ import annotations

import io
import json
import os
import platform
import select
import shutil
import socket
import subprocess
import sys
import tarfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from minidocker.codec.tar import Kind
from minidocker.builtin.toolbox import gather_toolbox
from minidocker.kernel.flags import Clone
from minidocker.kernel.namespaces import unshare
from minidocker.kernel.netlink import open_route_socket, set_loopback_up

__all__ = [
    "IMAGE", "PYTHON", "Engine", "Missing", "enter_new_network", "make_image_tar", "require_program", "start_dockerd", "start_minidocker",
    "start_podman", "start_runc", "wait_for_socket",
]  # fmt: skip

CHECKOUT = Path(__file__).resolve().parents[1]
PYTHON = "/usr/bin/python3" if os.path.exists("/usr/bin/python3") else sys.executable
"""The yardstick for start-up times: the distribution's interpreter."""
IMAGE = "bench"
START_LIMIT_S = 60.0


class Missing(Exception):
    """A peer cannot be measured here; the text says why."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Engine:
    """One engine that is ready to run containers from the image `bench`."""

    name: str
    version: str
    command: tuple[str, ...]
    """The client with the options that lead to this engine."""
    socket_path: str = ""
    """Where its API listens; empty without one."""
    process_id: int = 0
    """A process in its network namespace."""


def make_image_tar(path: Path) -> None:
    """Write the root file system that every engine imports: busybox where the host has it, else its shell and libraries."""
    kinds = {Kind.DIRECTORY: tarfile.DIRTYPE, Kind.SYMLINK: tarfile.SYMTYPE}
    with tarfile.open(path, "w") as archive:
        for file in sorted(gather_toolbox(platform.machine()), key=lambda file: file.path):
            member = tarfile.TarInfo(file.path)
            member.type, member.mode, member.linkname = kinds.get(file.kind, tarfile.REGTYPE), file.mode, file.link
            content = file.read() if file.kind is Kind.FILE else b""
            member.size = len(content)
            archive.addfile(member, io.BytesIO(content))


def require_program(name: str, package: str) -> str:
    """Return the path of a program.

    Raises:
        Missing: it is not installed.
    """
    path = shutil.which(name)
    if path is None:
        raise Missing(f"there is no `{name}`: apt-get install {package}")
    return path


def read_output(command: Sequence[str]) -> str:
    """Run a program to its end and return what it prints.

    Raises:
        Missing: it fails, so that its engine cannot be measured.
    """
    result = subprocess.run(command, capture_output=True, text=True, check=False, timeout=120, cwd=CHECKOUT)
    if result.returncode:
        raise Missing(f"`{' '.join(command)}` fails: {result.stderr.strip()[-500:]}")
    return result.stdout


def enter_new_network() -> None:
    """Leave the network for one with only `lo`. Runs in a child, before it becomes an engine."""
    unshare(Clone.NEWNET)
    with open_route_socket() as route:
        set_loopback_up(route)


@contextmanager
def _run_apart(command: Sequence[str], log: Path) -> Iterator[subprocess.Popen[bytes]]:
    """Run *command* in a new network namespace until the block ends."""
    with open(log, "wb") as output:
        process = subprocess.Popen(
            command, cwd=CHECKOUT, stdin=subprocess.DEVNULL, stdout=output, stderr=output, preexec_fn=enter_new_network
        )
    try:
        yield process
    finally:
        process.terminate()
        try:
            process.wait(timeout=30)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


@contextmanager
def _start_server(name: str, server: Sequence[str], client: Sequence[str], directory: Path, image_tar: Path) -> Iterator[Engine]:
    """Run a server with directories of its own, and import the image."""
    directory.mkdir()
    path, log = f"{directory}/s", directory / "log"
    places = ("--data-root", f"{directory}/data", "--exec-root", f"{directory}/exec", "--pidfile", f"{directory}/pid")
    command = (*client, "-H", f"unix://{path}")
    with _run_apart((*server, "-H", f"unix://{path}", *places), log) as process:
        wait_for_socket(path, process, log)
        read_output((*command, "import", str(image_tar), IMAGE))
        version = read_output((*command, "version", "--format", "{{.Server.Version}}")).strip()
        yield Engine(name=name, version=version, command=command, socket_path=path, process_id=process.pid)
        names = read_output((*command, "ps", "-aq")).split()
        if names:
            read_output((*command, "rm", "-f", *names))


def wait_for_socket(path: str, process: subprocess.Popen[bytes], log: Path) -> None:
    """Wait until a server accepts connections.

    Raises:
        Missing: it ended, or does not in time.
    """
    deadline = time.monotonic() + START_LIMIT_S
    while time.monotonic() < deadline and process.poll() is None:
        with socket.socket(socket.AF_UNIX) as probe:
            if probe.connect_ex(path) == 0:
                return
        select.select([], [], [], 0.05)
    raise Missing(f"it does not listen: {log.read_text(errors='replace')[-500:].strip()}")


@contextmanager
def start_minidocker(directory: Path, image_tar: Path) -> Iterator[Engine]:
    """Run a server of this checkout."""
    ours = (PYTHON, "-m", "minidocker")
    with _start_server("minidocker", (*ours, "daemon"), ours, directory, image_tar) as engine:
        yield engine


@contextmanager
def start_dockerd(directory: Path, image_tar: Path) -> Iterator[Engine]:
    """Run a private dockerd."""
    docker, dockerd = require_program("docker", "docker.io"), require_program("dockerd", "docker.io")
    require_program("iptables", "iptables")
    with _start_server("docker", (dockerd,), (docker,), directory, image_tar) as engine:
        yield engine


@contextmanager
def start_podman(directory: Path, image_tar: Path) -> Iterator[Engine]:
    """Give podman a store of its own."""
    podman = require_program("podman", "podman")
    directory.mkdir()
    runtime = ("--runtime", "runc") if shutil.which("runc") else ()  # crun refuses machines with both kinds of cgroups
    places = ("--root", f"{directory}/data", "--runroot", f"{directory}/run", "--cgroup-manager", "cgroupfs")
    client = (podman, *places, *runtime)
    with _run_apart(("sleep", "infinity"), directory / "log") as holder:
        read_output((*client, "import", "--quiet", str(image_tar), IMAGE))
        try:
            yield Engine(name="podman", version=read_output((podman, "--version")).split()[-1], command=client, process_id=holder.pid)
        finally:
            with suppress(Missing):  # podman leaves the directory of its store mounted, with some drivers
                read_output(("umount", "--recursive", f"{directory}/data/overlay"))


@contextmanager
def start_runc(directory: Path, image_tar: Path) -> Iterator[Engine]:
    """Unpack a bundle for runc that runs `true`; `runc spec` gives the rest."""
    runc = require_program("runc", "runc")
    bundle = directory / "bundle"
    (bundle / "rootfs").mkdir(parents=True)
    with tarfile.open(image_tar) as archive:
        archive.extractall(bundle / "rootfs")
    read_output((runc, "spec", "--bundle", str(bundle)))
    config = json.loads((bundle / "config.json").read_text())
    config["process"] |= {"terminal": False, "args": ["true"]}
    (bundle / "config.json").write_text(json.dumps(config))
    version = read_output((runc, "--version")).split()[2]
    yield Engine(name="runc", version=version, command=(runc, "--root", f"{directory}/state", "run", "--bundle", str(bundle)))
