"""A server without root: what an ordinary user can have, and the sentence for what he cannot.

The tests are root and let somebody else run the program, who has a home in a temporary directory and nothing more.
"""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from minidocker.kernel.probe import probe_features
from tests.linux.conftest import CHECKOUT, PATIENCE

pytestmark = pytest.mark.requires("root", "userns")
NOBODY = 65534
LIMIT_S = 60 * PATIENCE


def find_python() -> str:
    """Return an interpreter that an ordinary user can run, with our checkout."""
    refusal = ""
    for program in (sys.executable, "/usr/bin/python3"):
        command = [program, "-c", "import sys; assert sys.version_info >= (3, 11); import minidocker.cli.main"]
        try:
            tried = subprocess.run(command, user=NOBODY, group=NOBODY, extra_groups=[], cwd=CHECKOUT, capture_output=True, text=True, check=False)
        except OSError as error:
            refusal = str(error)
            continue
        if not tried.returncode:
            return program
        refusal = tried.stderr.strip().rpartition("\n")[2]
    pytest.skip(f"needs userns with an interpreter and a checkout that an ordinary user can read: {refusal}")


class Person:
    """An ordinary user with a home and a run-time directory."""

    def __init__(self) -> None:
        """Make the home."""
        self.python = find_python()
        self.home = Path(tempfile.mkdtemp(prefix="mdu"))
        (self.home / "run").mkdir(mode=0o700)
        for path in (self.home, self.home / "run"):
            os.chown(path, NOBODY, NOBODY)
        self.data = self.home / ".local/share/minidocker"
        self.environ = {"HOME": str(self.home), "XDG_RUNTIME_DIR": f"{self.home}/run", "PATH": "/usr/bin:/bin:/usr/sbin:/sbin", "PYTHONDONTWRITEBYTECODE": "1"}

    def run(self, *words: str) -> subprocess.CompletedProcess[str]:
        """Run the client, which starts a server by itself."""
        return subprocess.run(
            [self.python, "-m", "minidocker", *words], user=NOBODY, group=NOBODY, extra_groups=[], env=self.environ, cwd=CHECKOUT,
            stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=LIMIT_S, check=False,
        )  # fmt: skip

    def start_server(self, group: Path) -> subprocess.Popen[bytes]:
        """Start a server in a control group, as an administrator would, and return when it listens."""
        home = Path("/sys/fs/cgroup" + Path("/proc/self/cgroup").read_text().strip().rpartition("0::")[2]) / "cgroup.procs"
        (group / "cgroup.procs").write_text(str(os.getpid()))
        try:
            server = subprocess.Popen(
                [self.python, "-m", "minidocker", "daemon"], user=NOBODY, group=NOBODY, extra_groups=[], env=self.environ, cwd=CHECKOUT,
                stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
            )  # fmt: skip
        finally:
            home.write_text(str(os.getpid()))
        deadline = time.monotonic() + LIMIT_S
        while time.monotonic() < deadline and not (self.home / "run/minidocker.pid").exists():
            time.sleep(0.02)  # until it is ready
        return server

    def server(self) -> int:
        """Return the pid of the server."""
        return int((self.home / "run/minidocker.pid").read_text())

    def processes(self) -> list[int]:
        """Return everything that runs for this home."""
        found = []
        for path in Path("/proc").glob("[0-9]*"):
            with suppress(OSError):
                if f"HOME={self.home}".encode() in (path / "environ").read_bytes() and (path / "stat").read_text().rpartition(")")[2].split()[0] != "Z":
                    found.append(int(path.name))
        return found

    def close(self) -> None:
        """End everything, in order and then not."""
        names = self.run("ps", "-aq").stdout.split()
        if names:
            self.run("rm", "-f", *names)
        self.run("daemon", "--stop")
        for pid in self.processes():
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        shutil.rmtree(self.home, ignore_errors=True)


def wait_listening(port: int) -> None:
    """Return once somebody accepts connections on a port of this host."""
    deadline = time.monotonic() + LIMIT_S
    while time.monotonic() < deadline:
        with suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=5):
            return
        time.sleep(0.02)  # until it listens
    raise AssertionError(f"nobody listens on {port}")


@pytest.fixture(scope="module")
def person() -> Iterator[Person]:
    """Somebody to whom nobody lent numbers."""
    somebody = Person()
    yield somebody
    somebody.close()


@pytest.fixture(scope="module")
def web(person: Person) -> str:
    """A container that answers on a published port; returns the port."""
    started = person.run("run", "-d", "--name", "web", "-p", "127.0.0.1::8000", "-v", "kept:/v", "toolbox", "sh", "-c", "while true; do echo hello | nc -l -p 8000; done")
    assert started.returncode == 0, started.stderr + (person.home / ".local/state/minidocker.log").read_text()
    return person.run("port", "web", "8000").stdout.strip().rpartition(":")[2]


def test_user_runs_a_container_without_asking_anybody(person: Person, web: str) -> None:
    """Root inside is the user outside; nothing of it all ran as root."""
    assert person.run("exec", "web", "sh", "-c", "id -u; cat /proc/self/uid_map").stdout.split() == ["0", "0", str(NOBODY), "1"]
    owners = {Path(f"/proc/{pid}").stat().st_uid for pid in person.processes()} | {path.lstat().st_uid for path in person.data.rglob("*")}
    assert owners == {NOBODY}
    assert "name=rootless" in person.run("info", "-f", "{{.SecurityOptions}}").stdout


def test_port_of_a_container_is_reached_without_a_helper(person: Person, web: str) -> None:
    """The server binds the port on the host; the monitor, who lives beside the container's bridge, connects."""
    deadline, answer = time.monotonic() + LIMIT_S, b""
    while not answer and time.monotonic() < deadline:
        with suppress(OSError), socket.create_connection(("127.0.0.1", int(web)), timeout=5) as client:
            answer = client.recv(100)
    assert answer == b"hello\n"
    assert "172." in person.run("exec", "web", "ip", "addr", "show", "eth0").stdout


def test_there_is_one_owner_and_chown_says_so(person: Person, web: str) -> None:
    """With one number in the map there is nobody to give a file to: the kernel says EINVAL, the server says why, once."""
    refused = person.run("exec", "web", "sh", "-c", "touch /v/x; chown 1000 /v/x")
    assert (refused.returncode, "Invalid argument" in refused.stderr) == (1, True)
    user = person.run("run", "--rm", "-u", "1000", "toolbox", "true")
    assert "user 1000:0 has no number outside" in user.stderr
    log = (person.home / ".local/state/minidocker.log").read_text()
    assert log.count("containers have one user, you") == 1


def test_image_is_built_with_one_owner(person: Person) -> None:
    """What belongs to others is made root's, on the way in and by COPY --chown."""
    context = person.home / "context"
    context.mkdir()
    (context / "Dockerfile").write_text("FROM toolbox\nCOPY --chown=5:6 Dockerfile /f\nRUN touch /r && stat -c %u:%g /f /r\n")
    built = person.run("build", "-t", "mine", str(context))
    assert built.returncode == 0, built.stderr
    assert person.run("run", "--rm", "mine", "stat", "-c", "%u:%g", "/f", "/r").stdout.split() == ["0:0", "0:0"]
    (context / "file").write_text("x")
    assert person.run("cp", f"{context}/file", "web:/tmp/file").returncode == 0
    assert person.run("exec", "web", "cat", "/tmp/file").stdout == "x"


def test_image_travels_through_a_registry_of_the_host(person: Person) -> None:
    """The server is in the host's own network, whatever containers have."""
    directory = tempfile.mkdtemp(prefix="mdr")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{free.getsockname()[1]}"
    registry = subprocess.Popen(
        [sys.executable, "-m", "minidocker", "registry", "serve", "--listen", address, "--root", directory], cwd=CHECKOUT,
        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
    )  # fmt: skip
    try:
        wait_listening(int(address.rpartition(":")[2]))
        person.run("tag", "toolbox", f"{address}/box")
        assert person.run("push", f"{address}/box").returncode == 0
        person.run("rmi", f"{address}/box")
        pulled = person.run("pull", f"{address}/box")
        assert pulled.returncode == 0, pulled.stderr
        assert person.run("run", "--rm", f"{address}/box", "echo", "here").stdout == "here\n"
    finally:
        registry.terminate()
        registry.wait()
        shutil.rmtree(directory)


def test_host_network_and_processes_are_shown_not_owned(person: Person) -> None:
    """A sysfs and a procfs of the host's namespaces cannot be mounted anew: they are bound."""
    shown = person.run("run", "--rm", "--network", "host", "--pid", "host", "toolbox", "sh", "-c", "ls -d /sys/class/net/lo; readlink /proc/self/ns/net; touch /sys/x || echo refused")
    assert shown.stdout.split() == ["/sys/class/net/lo", os.readlink("/proc/self/ns/net"), "refused"], shown.stderr
    assert person.run("run", "-d", "--name", "hosted", "--network", "host", "toolbox", "sleep", "1000").returncode == 0
    assert person.run("exec", "hosted", "readlink", "/proc/self/ns/net").stdout.strip() == os.readlink("/proc/self/ns/net")


def test_limit_that_nobody_can_keep_is_one_line(person: Person) -> None:
    """As in Docker the container runs; unlike Docker the line says who could help."""
    result = person.run("run", "--rm", "--memory", "64m", "--cpus", "1", "toolbox", "echo", "ran")
    assert result.stdout == "ran\n"
    assert result.stderr.count("Limitation discarded: --memory, --cpus: no control group was handed over to this user") == 1


def test_control_groups_cannot_be_written(person: Person) -> None:
    """CVE-2023-25809: a rootless container without a cgroup namespace of its own found the host's writable."""
    result = person.run("run", "--rm", "toolbox", "sh", "-c", "for f in $(find /sys/fs/cgroup -name cgroup.procs | head); do echo 1 > $f && echo written; done; true")
    assert "written" not in result.stdout


def test_server_that_was_killed_is_followed_by_one_that_finds_all(person: Person, web: str) -> None:
    """The namespaces are held by a process of their own; only who is in them may touch the containers."""
    before = person.run("exec", "web", "readlink", "/proc/self/ns/user").stdout
    server = person.server()
    os.kill(server, signal.SIGKILL)
    while Path(f"/proc/{server}/exe").exists():
        time.sleep(0.01)  # until it is gone
    assert person.run("exec", "web", "readlink", "/proc/self/ns/user").stdout == before
    assert person.server() != server
    assert person.run("restart", "-t", "0", "web").returncode == 0


def test_nothing_runs_after_the_end() -> None:
    """Without a container nobody needs the namespaces."""
    somebody = Person()
    try:
        assert somebody.run("run", "--rm", "toolbox", "echo", "x").stdout == "x\n"
        assert somebody.run("daemon", "--stop").returncode == 0
        deadline = time.monotonic() + LIMIT_S
        while somebody.processes() and time.monotonic() < deadline:
            time.sleep(0.02)  # the kernel buries them
        assert somebody.processes() == []
        assert not (somebody.home / "run/minidocker/anchor.json").exists()
    finally:
        somebody.close()


@pytest.mark.requires("newuidmap")
def test_numbers_that_were_lent_make_other_users() -> None:
    """`newuidmap` is the one program with the right to map them; it looks into /etc/subuid."""
    files = {path: path.read_text() if path.exists() else "" for path in (Path("/etc/subuid"), Path("/etc/subgid"))}
    somebody = Person()
    try:
        for path, text in files.items():
            path.write_text(f"{text}{NOBODY}:700000:65536\n")
        script = "cat /proc/self/uid_map; touch /x && chown 1000:1001 /x && stat -c %u:%g /x"
        assert somebody.run("run", "--rm", "toolbox", "sh", "-c", script).stdout.split() == [
            "0", str(NOBODY), "1", "1", "700000", "65536", "1000:1001",
        ]  # fmt: skip
        assert somebody.run("run", "--rm", "-u", "1000", "toolbox", "id", "-u").stdout == "1000\n"
    finally:
        for path, text in files.items():
            path.write_text(text)
        somebody.close()


def test_kernel_that_forbids_it_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    """The limit of user namespaces is each user namespace's own: where it is zero, one sentence names the switch."""
    assert probe_features()["userns"].available
    script = (
        "import os, sys; sys.path.insert(0, os.getcwd())\n"
        "open('/proc/sys/user/max_user_namespaces', 'w').write('0')\n"
        "from pathlib import Path; from minidocker.engine.rootless import enter_rootless; from minidocker.errors import HostError\n"
        "try: enter_rootless(Path(sys.argv[1]))\n"
        "except HostError as error: print(error.message, '/', error.hint)"
    )
    with tempfile.TemporaryDirectory() as place:
        result = subprocess.run(
            ["unshare", "--user", "--map-root-user", sys.executable, "-c", script, place], cwd=CHECKOUT, capture_output=True, text=True, check=False
        )
    assert "start a server without root: " in result.stdout, result.stderr
    assert "sysctl -w user.max_user_namespaces" in result.stdout


@pytest.mark.requires("cgroup2", "limits")
def test_limits_hold_in_a_group_that_was_handed_over() -> None:
    """Delegation is the right to write into one's own group: the server moves to a leaf, and containers get groups beside it."""
    group = Path("/sys/fs/cgroup") / f"mdt{os.getpid()}"
    controllers = group.parent / "cgroup.controllers"
    if not controllers.exists() or not {"memory", "pids"} <= set(controllers.read_text().split()):
        pytest.skip("needs cgroup2 alone, with the controllers memory and pids")
    for name in ("memory", "pids", "cpu"):
        with suppress(OSError):
            (group.parent / "cgroup.subtree_control").write_text(f"+{name}")
    group.mkdir()
    somebody = Person()
    try:
        for path in (group, *(group / name for name in ("cgroup.procs", "cgroup.subtree_control", "cgroup.threads"))):
            os.chown(path, NOBODY, NOBODY)
        server = somebody.start_server(group)
        started = somebody.run("run", "-d", "--name", "limited", "--memory", "32m", "--pids-limit", "50", "toolbox", "sleep", "1000")
        assert (started.returncode, "Limitation discarded" in started.stderr) == (0, False), started.stderr
        container = group / "minidocker" / started.stdout.strip()
        assert [(container / name).read_text().strip() for name in ("memory.max", "pids.max")] == [str(32 << 20), "50"]
        assert somebody.run("pause", "limited").returncode == 0
        assert somebody.run("unpause", "limited").returncode == 0
        killed = somebody.run("run", "--rm", "--memory", "16m", "--memory-swap", "16m", "toolbox", "sh", "-c", "x=a; while true; do x=$x$x; done")
        assert killed.returncode == 137
    finally:
        somebody.close()
        server.wait(timeout=LIMIT_S)
        for path in sorted(group.glob("**/"), key=lambda path: len(path.parts), reverse=True):
            with suppress(OSError):
                path.rmdir()
