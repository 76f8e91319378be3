"""podman with our run time under it, and runc with our bundle: the OCI runtime specification, from both sides."""

from __future__ import annotations

import json
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.linux.conftest import CHECKOUT

pytestmark = pytest.mark.requires("root", "busybox")
RUNTIME = CHECKOUT / "bin" / "minidocker-runtime"
LIMITS = ("--ulimit", "nofile=1024:1024", "--ulimit", "nproc=1024:1024")
"""podman raises these by default, which takes CAP_SYS_RESOURCE; not every machine has it."""


class Podman:
    """A podman with directories of its own."""

    def __init__(self, directory: Path) -> None:
        """Import one busybox image."""
        self.directory = directory
        root = directory / "image"
        for name in ("bin", "proc", "sys", "dev", "tmp", "etc"):
            (root / name).mkdir(parents=True)
        shutil.copy(str(shutil.which("busybox")), root / "bin" / "busybox")
        for name in ("sh", "cat", "sleep", "echo", "grep", "tty", "id"):
            (root / "bin" / name).symlink_to("busybox")
        subprocess.run(["tar", "-C", root, "-cf", directory / "image.tar", "."], check=True)
        assert self.run("import", str(directory / "image.tar"), "bb").returncode == 0

    def run(self, *words: str) -> subprocess.CompletedProcess[str]:
        """Run podman to its end."""
        places = [f"--{name}={self.directory}/{name}" for name in ("root", "runroot", "tmpdir")]
        return subprocess.run(
            ["podman", *places, "--cgroup-manager=cgroupfs", "--events-backend=none", f"--runtime={RUNTIME}", *words],
            stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=180, check=False,
        )  # fmt: skip

    def run_container(self, *words: str) -> subprocess.CompletedProcess[str]:
        """Run a container without a network."""
        return self.run("run", "--network", "none", *LIMITS, *words)

    def close(self) -> None:
        """Remove all of it."""
        self.run("rm", "-f", "-a", "-t", "0")
        self.run("rmi", "-f", "-a")
        subprocess.run(["umount", self.directory / "root" / "overlay"], check=False, capture_output=True)
        shutil.rmtree(self.directory, ignore_errors=True)


@pytest.fixture(scope="module")
def podman() -> Iterator[Podman]:
    """One podman for the module."""
    made = Podman(Path(tempfile.mkdtemp(prefix="pod")))
    yield made
    made.close()


@pytest.mark.requires("podman")
@pytest.mark.parametrize(("command", "code", "output"), [(("echo", "hello"), 0, "hello\n"), (("sh", "-c", "exit 3"), 3, ""), (("nosuch",), 127, "")], ids=["echo", "exit", "missing"])
def test_podman_runs_containers_with_our_run_time(podman: Podman, command: tuple[str, ...], code: int, output: str) -> None:
    """Output, exit status, and the status by which podman says that a command does not exist."""
    result = podman.run_container("--rm", "bb", *command)
    assert (result.returncode, result.stdout) == (code, output), result.stderr


@pytest.mark.requires("podman", "limits")
def test_podman_executes_pauses_and_removes(podman: Podman) -> None:
    """The life of a container, each step one command of ours: nothing of ours runs in between."""
    assert podman.run_container("-d", "--name", "life", "-m", "64m", "bb", "sleep", "1000").returncode == 0
    assert podman.run("exec", "life", "sh", "-c", "exit 4").returncode == 4
    assert podman.run("exec", "life", "cat", "/sys/fs/cgroup/memory/memory.limit_in_bytes", "/sys/fs/cgroup/memory.max").stdout.strip() == str(64 << 20)
    assert podman.run("pause", "life").returncode == 0
    assert json.loads(podman.run("inspect", "life").stdout)[0]["State"]["Status"] == "paused"
    assert podman.run("unpause", "life").returncode == 0
    assert podman.run("stop", "-t", "0", "life").returncode == 0
    assert podman.run("rm", "life").returncode == 0


@pytest.mark.requires("podman")
def test_podman_gets_a_terminal_and_another_user(podman: Podman) -> None:
    """The terminal's master travels over conmon's socket; a user other than root has no capabilities."""
    assert podman.run_container("--rm", "-t", "bb", "tty").stdout == "/dev/pts/0\n"
    result = podman.run_container("--rm", "-u", "1000:1000", "--tmpfs", "/scratch", "-w", "/scratch", "bb", "sh", "-c", "echo > f && grep CapEff /proc/self/status")
    assert result.stdout.split() == ["CapEff:", "0000000000000000"], result.stderr


@pytest.mark.requires("runc")
def test_runc_runs_our_bundle_unchanged(tmp_path: Path) -> None:
    """What `oci spec` writes is the specification's, not ours."""
    root = tmp_path / "rootfs" / "bin"
    root.mkdir(parents=True)
    shutil.copy(str(shutil.which("busybox")), root / "busybox")
    (root / "sh").symlink_to("busybox")
    subprocess.run([RUNTIME, "spec", "-b", tmp_path], check=True)
    path = tmp_path / "config.json"
    document = json.loads(path.read_text())
    document["process"] |= {"terminal": False, "args": ["sh", "-c", "echo $$; exit 6"]}
    path.write_text(json.dumps(document))
    programs: list[list[str]] = [["runc"], [str(RUNTIME)]]
    for program in programs:
        result = subprocess.run([*program, "--root", tmp_path / "state", "run", "-b", tmp_path, "ours"], capture_output=True, text=True, timeout=120, check=False)
        assert (result.returncode, result.stdout) == (6, "1\n"), result.stderr
