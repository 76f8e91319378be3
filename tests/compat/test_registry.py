"""Images between minidocker and the rest of the world: docker, podman and skopeo with our registry, we with Debian's docker-registry.

Every program runs in a network namespace of the test's own, so that ports and the loopback are nobody else's. The real docker
command line talks to our server; the images are the built-in ones.
"""

from __future__ import annotations

import json
import os
import shutil
import ssl
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from minidocker.kernel.flags import Clone
from minidocker.kernel.namespaces import unshare
from minidocker.kernel.netlink import open_route_socket, set_loopback_up

pytestmark = pytest.mark.requires("root", "overlayfs")

CHECKOUT = Path(__file__).resolve().parents[2]
START_LIMIT_S = 60.0
PASSWORD_LINE = "ann:$2y$05$m0CrhHm10qJ3lXRY.5zDGOAqUKnMTrSF75QMUJt86UyYZb08DKhIq\n"
"""Made by crypt(3) for the password `a`."""
OURS, THEIRS = "localhost:5000", "localhost:5001"
OURS_TLS, THEIRS_TLS = "localhost:5443", "localhost:5444"


class World:
    """A network namespace with our server, two registries of ours and two of Debian's."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.processes: list[subprocess.Popen[bytes]] = []
        holder = subprocess.Popen(["sleep", "600"], preexec_fn=_enter_new_network)
        self.processes.append(holder)
        self.network = f"/proc/{holder.pid}/ns/net"

    def start(self, *words: str, log: str) -> None:
        """Run a server in the namespace."""
        with open(self.directory / log, "wb") as output:
            process = subprocess.Popen(
                ["nsenter", f"--net={self.network}", *words], cwd=CHECKOUT, stdin=subprocess.DEVNULL, stdout=output, stderr=output
            )
        self.processes.append(process)

    def run(self, *words: str, text: str | None = None, check: bool = True) -> subprocess.CompletedProcess[str]:
        """Run a client in the namespace."""
        environment = {
            **os.environ, "DOCKER_HOST": f"unix://{self.directory}/s", "DOCKER_CONFIG": f"{self.directory}/config",
            "PYTHONPATH": str(CHECKOUT), "REGISTRY_AUTH_FILE": f"{self.directory}/auth.json",
        }  # fmt: skip
        done = subprocess.run(
            ["nsenter", f"--net={self.network}", *words], env=environment, capture_output=True, text=True, timeout=120, check=False,
            stdin=subprocess.DEVNULL if text is None else None, input=text, cwd=CHECKOUT,
        )  # fmt: skip
        assert not check or done.returncode == 0, f"{' '.join(words)}: {done.stdout[-1000:]}{done.stderr[-1000:]}"
        return done

    def wait_for(self, *words: str) -> None:
        """Wait until a command succeeds."""
        deadline = time.monotonic() + START_LIMIT_S
        while self.run(*words, check=False).returncode != 0:
            assert time.monotonic() < deadline, f"{' '.join(words)}: {''.join(log.read_text() for log in self.directory.glob('*.log'))}"

    def end(self) -> None:
        """End everything that was started, the last first."""
        for process in reversed(self.processes):
            process.terminate()
            process.wait(30)


def _enter_new_network() -> None:
    unshare(Clone.NEWNET)
    with open_route_socket() as route:
        set_loopback_up(route)


def _make_certificate(directory: Path) -> None:
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", "/CN=localhost", "-addext",
         "subjectAltName=DNS:localhost", "-keyout", directory / "key.pem", "-out", directory / "cert.pem"], check=True, capture_output=True,
    )  # fmt: skip
    ssl.create_default_context().load_verify_locations(directory / "cert.pem")


@pytest.fixture(scope="module")
def world() -> Iterator[World]:
    """Return the world, with an image `toolbox` in our server."""
    directory = Path(tempfile.mkdtemp(prefix="md"))
    _make_certificate(directory)
    (directory / "passwords").write_text(PASSWORD_LINE)
    (directory / "auth.json").write_text("{}")
    world = World(directory)
    try:
        ours = (sys.executable, "-m", "minidocker")
        places = ("--data-root", f"{directory}/data", "--exec-root", f"{directory}/exec", "--pidfile", f"{directory}/pid")
        world.start(*ours, "daemon", "-H", f"unix://{directory}/s", *places, log="daemon.log")
        secured = ("--tlscert", f"{directory}/cert.pem", "--tlskey", f"{directory}/key.pem", "--htpasswd", f"{directory}/passwords")
        world.start(*ours, "registry", "serve", "--listen", "127.0.0.1:5000", "--root", f"{directory}/own", "--delete", log="own.log")
        world.start(*ours, "registry", "serve", "--listen", "127.0.0.1:5443", "--root", f"{directory}/own2", *secured, log="own2.log")
        if shutil.which("docker-registry"):
            tls = f"tls: {{certificate: {directory}/cert.pem, key: {directory}/key.pem}}"
            auth = f"auth: {{htpasswd: {{realm: x, path: {directory}/passwords}}}}\n"
            for port, more, last in ((5001, "", ""), (5444, f", {tls}", auth)):
                settings = f"version: 0.1\nstorage: {{filesystem: {{rootdirectory: {directory}/deb{port}}}}}\nhttp: {{addr: '127.0.0.1:{port}'{more}}}\n{last}"
                (directory / f"{port}.yml").write_text(settings)
                world.start("docker-registry", "serve", f"{directory}/{port}.yml", log=f"{port}.log")
        world.wait_for(*ours, "version")
        for port in (5000, 5443, *((5001, 5444) if shutil.which("docker-registry") else ())):
            world.wait_for(sys.executable, "-c", f"import socket; socket.create_connection(('127.0.0.1', {port})).close()")
        world.run(*ours, "pull", "-q", "toolbox")
        yield world
    finally:
        world.end()
        shutil.rmtree(directory, ignore_errors=True)


def minidocker(world: World, *words: str, **more: object) -> subprocess.CompletedProcess[str]:
    """Run our client."""
    return world.run(sys.executable, "-m", "minidocker", *words, **more)  # type: ignore[arg-type]  # what `run` takes


def image_id(world: World, name: str) -> str:
    return minidocker(world, "image", "inspect", "-f", "{{.Id}}", name).stdout.strip()


def diff_ids(world: World, name: str) -> str:
    return minidocker(world, "image", "inspect", "-f", "{{.RootFS.Layers}}", name).stdout.strip()


def registry_of(host: str) -> list[pytest.MarkDecorator]:
    """Return the marks of a test that needs the registry at *host*."""
    return [pytest.mark.requires("docker-registry")] if host in (THEIRS, THEIRS_TLS) else []


HOSTS = [pytest.param(host, marks=registry_of(host)) for host in (OURS, THEIRS)]
TLS_HOSTS = [pytest.param(host, marks=registry_of(host)) for host in (OURS_TLS, THEIRS_TLS)]


@pytest.mark.parametrize("host", HOSTS)
def test_image_goes_out_and_comes_back(world: World, host: str) -> None:
    """With id, digest and content; the second time nothing travels."""
    name = f"{host}/team/tool:1"
    before = image_id(world, "toolbox")
    minidocker(world, "tag", "toolbox", name)
    pushed = minidocker(world, "push", name).stdout
    assert ": Pushed" in pushed
    assert "Layer already exists" in minidocker(world, "push", name).stdout
    digest = pushed.rpartition("digest: ")[2].partition(" ")[0]
    minidocker(world, "rmi", name)
    assert f"Digest: {digest}" in minidocker(world, "pull", name).stdout
    assert image_id(world, name) == before
    assert minidocker(world, "pull", f"{host}/team/tool@{digest}").returncode == 0
    assert json.loads(minidocker(world, "manifest", "inspect", name).stdout)["config"]["digest"] == before
    assert "manifest unknown" in minidocker(world, "pull", f"{host}/team/tool:none", check=False).stderr


@pytest.mark.parametrize("host", TLS_HOSTS)
def test_password_and_tls(world: World, host: str) -> None:
    """Nobody gets in without a login; the loopback may show any certificate."""
    name = f"{host}/private/tool:1"
    minidocker(world, "tag", "toolbox", name)
    assert "unauthorized" in minidocker(world, "push", name, check=False).stderr
    assert minidocker(world, "login", "-u", "ann", "--password-stdin", host, text="wrong", check=False).returncode == 1
    assert "Login Succeeded" in minidocker(world, "login", "-u", "ann", "--password-stdin", host, text="a\n").stdout
    assert ": Pushed" in minidocker(world, "push", name).stdout
    minidocker(world, "rmi", name)
    assert "Downloaded newer image" in minidocker(world, "pull", name).stdout
    minidocker(world, "logout", host)
    assert "may require 'docker login'" in minidocker(world, "pull", name, check=False).stderr


@pytest.mark.requires("docker")
@pytest.mark.parametrize("host", HOSTS)
def test_real_docker_command_line_pushes_and_pulls_through_our_server(world: World, host: str) -> None:
    """It reads our progress, and takes its last line for the digest."""
    name = f"{host}/docker/tool:1"
    world.run("docker", "tag", "toolbox", name)
    assert "1: digest: sha256:" in world.run("docker", "push", name).stdout
    world.run("docker", "rmi", name)
    assert f"Status: Downloaded newer image for {name}" in world.run("docker", "pull", name).stdout


@pytest.mark.requires("skopeo")
@pytest.mark.parametrize("host", HOSTS)
def test_skopeo_reads_what_we_pushed_and_we_what_it_copied(world: World, host: str) -> None:
    """A second implementation is the judge, in both of the formats that there are."""
    name = f"{host}/skopeo/tool:1"
    minidocker(world, "tag", "toolbox", name)
    minidocker(world, "push", name)
    inspected = json.loads(world.run("skopeo", "inspect", "--tls-verify=false", f"docker://{name}").stdout)
    assert inspected["RepoTags"] == ["1"]
    for form in ("oci", "v2s2"):
        copy = f"{host}/skopeo/{form}:1"
        world.run("skopeo", "copy", "--format", form, "--src-tls-verify=false", "--dest-tls-verify=false", f"docker://{name}", f"docker://{copy}")
        minidocker(world, "pull", copy)
        assert diff_ids(world, copy) == diff_ids(world, "toolbox")
    world.run("skopeo", "copy", "--src-tls-verify=false", f"docker://{name}", f"dir:{world.directory}/{host[-4:]}")


@pytest.mark.requires("podman")
def test_podman_pushes_to_our_registry_and_pulls_from_it(world: World) -> None:
    """With its own store, which needs no containers for it."""
    place = ("--root", f"{world.directory}/podman", "--runroot", f"{world.directory}/podman-run", "--storage-driver", "vfs")
    name = f"{OURS}/podman/tool:1"
    minidocker(world, "tag", "toolbox", name)
    minidocker(world, "push", name)
    world.run("podman", *place, "pull", "--tls-verify=false", name)
    world.run("podman", *place, "tag", name, f"{OURS}/podman/back:2")
    world.run("podman", *place, "push", "--tls-verify=false", f"{OURS}/podman/back:2")
    minidocker(world, "pull", f"{OURS}/podman/back:2")
    assert diff_ids(world, f"{OURS}/podman/back:2") == diff_ids(world, "toolbox")


@pytest.mark.requires("skopeo")
def test_skopeo_deletes_from_our_registry_and_logs_in_to_it(world: World) -> None:
    """Deletion where it was switched on; a password over TLS."""
    name = f"{OURS}/skopeo/gone:1"
    minidocker(world, "tag", "toolbox", name)
    minidocker(world, "push", name)
    world.run("skopeo", "delete", "--tls-verify=false", f"docker://{name}")
    assert world.run("skopeo", "inspect", "--tls-verify=false", f"docker://{name}", check=False).returncode != 0
    world.run("skopeo", "login", "--tls-verify=false", "-u", "ann", "-p", "a", OURS_TLS)
    minidocker(world, "push", name)
    insecure = ("--src-tls-verify=false", "--dest-tls-verify=false")
    world.run("skopeo", "copy", *insecure, f"docker://{name}", f"docker://{OURS_TLS}/private/skopeo:1")


@pytest.mark.requires("docker", "dockerd", "iptables")
def test_real_dockerd_pushes_to_our_registry_and_pulls_from_it(world: World) -> None:
    """It streams layers in chunks of its own, asks for mounts, and checks what it gets."""
    place, name = world.directory / "dockerd", f"{OURS}/dockerd/tool:1"
    places = ("--data-root", f"{place}/data", "--exec-root", f"{place}/exec", "--pidfile", f"{place}/pid", "--storage-driver", "vfs")
    world.start("dockerd", "-H", f"unix://{place}/s", *places, "--bridge", "none", "--iptables=false", log="dockerd.log")
    docker = ("docker", "-H", f"unix://{place}/s")
    minidocker(world, "tag", "toolbox", name)
    minidocker(world, "push", name)
    world.wait_for(*docker, "version")
    world.run(*docker, "pull", name)
    layers = world.run(*docker, "image", "inspect", "-f", "{{.RootFS.Layers}}", name).stdout.strip()
    assert layers == diff_ids(world, "toolbox")
    for back in (f"{OURS}/dockerd/back:1", f"{OURS}/dockerd/again:1"):
        world.run(*docker, "tag", name, back)
        world.run(*docker, "push", back)
        minidocker(world, "pull", back)
        assert diff_ids(world, back) == layers
