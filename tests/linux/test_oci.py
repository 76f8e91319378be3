"""`minidocker oci` with real bundles: every operation of runc, by hand and by podman's way."""

from __future__ import annotations

import glob
import json
import os
import shutil
import socket
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.linux.conftest import CHECKOUT

pytestmark = pytest.mark.requires("root", "busybox")
RUNTIME = CHECKOUT / "bin" / "minidocker-runtime"
LIMIT_S = 120


class Bundle:
    """A bundle with busybox in it, and the run time with a state directory of its own."""

    def __init__(self, directory: Path) -> None:
        """Make the root file system and the example configuration, without a terminal."""
        self.directory = directory
        programs = directory / "rootfs" / "bin"
        programs.mkdir(parents=True)
        shutil.copy(str(shutil.which("busybox")), programs / "busybox")
        for name in ("sh", "id", "cat", "sleep", "hostname", "true", "ls", "stty", "grep", "kill", "echo", "touch"):
            (programs / name).symlink_to("busybox")
        for name in ("proc", "sys", "dev", "tmp", "etc"):
            (directory / "rootfs" / name).mkdir()
        self.run("spec", "-b", str(directory))
        self.names: set[str] = set()

    def run(self, *words: str, stdin: str | None = None) -> subprocess.CompletedProcess[str]:
        """Carry out one operation to its end."""
        return subprocess.run(
            [sys.executable, RUNTIME, "--root", self.directory / "state", *words], cwd=self.directory, input=stdin, capture_output=True,
            text=True, timeout=LIMIT_S, check=False,
        )  # fmt: skip

    def change(self, act: Callable[[dict[str, Any]], None], *command: str) -> None:
        """Change the configuration; *command* is what runs."""
        path = self.directory / "config.json"
        document = json.loads(path.read_text())
        document["process"]["terminal"] = False
        document["process"]["args"] = list(command) or document["process"]["args"]
        document["linux"]["cgroupsPath"] = f"/minidocker-test-{os.getpid()}/c"
        act(document)
        path.write_text(json.dumps(document))

    def create(self, name: str) -> subprocess.CompletedProcess[str]:
        """Create a container whose output goes to the file `out`."""
        self.names.add(name)
        with open(self.directory / "out", "wb") as out:  # what init inherits must not be a pipe that we read to its end
            return subprocess.run(
                [sys.executable, RUNTIME, "--root", self.directory / "state", "create", "--pid-file", self.directory / "pid", name],
                cwd=self.directory, stdin=subprocess.DEVNULL, stdout=out, stderr=out, text=True, timeout=LIMIT_S, check=False,
            )  # fmt: skip

    def close(self) -> None:
        """Leave nothing behind."""
        for name in self.names:
            self.run("delete", "--force", name)
        for group in map(Path, glob.glob(f"/sys/fs/cgroup/**/minidocker-test-{os.getpid()}/", recursive=True)):
            group.rmdir()
        shutil.rmtree(self.directory)


@pytest.fixture
def bundle() -> Iterator[Bundle]:
    """A bundle of its own for each test."""
    made = Bundle(Path(tempfile.mkdtemp(prefix="oci")))
    yield made
    made.close()


def nothing(_document: dict[str, Any]) -> None:
    """Change nothing but the command."""


def test_run_is_create_start_wait_and_delete(bundle: Bundle) -> None:
    """The command sees its own names and processes, its exit status is ours, and nothing stays."""
    bundle.change(nothing, "sh", "-c", "hostname; echo $$; grep CapEff /proc/self/status; exit 5")
    result = bundle.run("run", "c")
    assert result.returncode == 5, result.stderr
    assert result.stdout.split() == ["minidocker", "1", "CapEff:", "00000000a80425fb"]
    assert list((bundle.directory / "state").iterdir()) == []


def test_container_waits_at_its_gate_between_create_and_start(bundle: Bundle) -> None:
    """`create` makes everything but runs nothing: whoever connects networks needs that moment."""
    bundle.change(nothing, "sh", "-c", "echo ran")
    assert bundle.create("c").returncode == 0
    state = json.loads(bundle.run("state", "c").stdout)
    assert (state["status"], state["pid"]) == ("created", int((bundle.directory / "pid").read_text()))
    assert (bundle.directory / "out").read_text() == ""
    assert bundle.run("delete", "c").returncode == 0 or bundle.run("start", "c").returncode == 0


def test_start_runs_the_command_once(bundle: Bundle) -> None:
    """A second start is refused, and so is deleting what runs."""
    bundle.change(nothing, "sleep", "1000")
    bundle.create("c")
    assert bundle.run("start", "c").returncode == 0
    assert json.loads(bundle.run("state", "c").stdout)["status"] == "running"
    assert "already running" in bundle.run("start", "c").stderr
    assert "not stopped" in bundle.run("delete", "c").stderr
    assert bundle.run("ps", "c").stdout.splitlines()[1:] == [(bundle.directory / "pid").read_text()]
    executed = bundle.run("exec", "-e", "X=y", "c", "sh", "-c", "echo $X; exit 4")
    assert (executed.returncode, executed.stdout) == (4, "y\n")
    assert bundle.run("kill", "c", "KILL").returncode == 0
    assert bundle.run("delete", "--force", "c").returncode == 0
    assert "does not exist" in bundle.run("state", "c").stderr


@pytest.mark.requires("limits")
def test_pause_freezes_and_resume_thaws(bundle: Bundle) -> None:
    """A frozen container is `paused`; nothing can be executed in it."""
    bundle.change(nothing, "sleep", "1000")
    bundle.create("c")
    bundle.run("start", "c")
    assert bundle.run("pause", "c").returncode == 0
    assert json.loads(bundle.run("state", "c").stdout)["status"] == "paused"
    assert bundle.run("exec", "c", "true").returncode == 255
    assert bundle.run("resume", "c").returncode == 0
    assert bundle.run("exec", "c", "true").returncode == 0


FAILURES = {
    "no-such-command": (nothing, ("nosuch",), "executable file not found in $PATH"),
    "no-root": (lambda d: d["root"].update(path="nowhere"), ("true",), "is no directory"),
    "no-such-namespace": (lambda d: d["linux"]["namespaces"].append({"type": "ipc2"}), ("true",), "there is no such kind"),
    "hook-that-fails": (lambda d: d.update(hooks={"createRuntime": [{"path": "/bin/false"}]}), ("true",), "createRuntime hook `/bin/false`"),
    "hook-that-hangs": (
        lambda d: d.update(hooks={"prestart": [{"path": "/bin/sleep", "args": ["sleep", "100"], "timeout": 1}]}), ("true",), "longer than 1 s",
    ),
    "host-interpreter": (nothing, ("/proc/self/exe",), "leads to a file of the host"),
}  # fmt: skip


@pytest.mark.parametrize(("act", "command", "words"), FAILURES.values(), ids=FAILURES)
def test_create_that_fails_says_why_and_leaves_nothing(
    bundle: Bundle, act: Callable[[dict[str, Any]], None], command: tuple[str, ...], words: str
) -> None:
    """No process, no directory, no control group: the caller may try again under the same name."""
    bundle.change(act, *command)
    log = bundle.directory / "log"
    result = bundle.run("--log", str(log), "--log-format", "json", "run", "c")
    assert result.returncode == 1
    assert words in result.stderr
    assert words in json.loads(log.read_text().splitlines()[-1])["msg"]
    assert list((bundle.directory / "state").glob("*")) == []
    assert not glob.glob(f"/sys/fs/cgroup/**/minidocker-test-{os.getpid()}/c/", recursive=True)


def test_users_and_clocks_of_its_own(bundle: Bundle) -> None:
    """Root inside is user 100000 outside; the machine seems to have run for eleven days more."""

    def change(document: dict[str, Any]) -> None:
        document["linux"]["namespaces"] += [{"type": "user"}, {"type": "time"}]
        for kind in ("uidMappings", "gidMappings"):
            document["linux"][kind] = [{"containerID": 0, "hostID": 100000, "size": 65536}]
        document["linux"]["timeOffsets"] = {"boottime": {"secs": 1000000}}
        document["process"]["rlimits"] = [{"type": "RLIMIT_NOFILE", "soft": 100, "hard": 200}]

    bundle.change(change, "sh", "-c", "id -u; cat /proc/self/uid_map; echo $(($(cat /proc/uptime | cut -d. -f1) > 1000000)); exec sleep 1000")
    for path in (bundle.directory, *bundle.directory.glob("rootfs/**/*")):
        os.chown(path, 100000, 100000, follow_symlinks=False)
    (bundle.directory / "rootfs" / "bin" / "cut").symlink_to("busybox")
    assert bundle.create("c").returncode == 0, (bundle.directory / "out").read_text()
    assert bundle.run("start", "c").returncode == 0
    pid = (bundle.directory / "pid").read_text()
    assert "Uid:\t100000\t100000\t100000\t100000" in Path(f"/proc/{pid}/status").read_text()
    assert any(line.split()[3:5] == ["100", "200"] for line in Path(f"/proc/{pid}/limits").read_text().splitlines() if line.startswith("Max open"))
    script = "id -u; cat /proc/self/uid_map; echo $(($(cat /proc/uptime | cut -d. -f1) > 1000000))"
    executed = bundle.run("exec", "c", "sh", "-c", script)
    assert (executed.returncode, executed.stdout.split()) == (0, ["0", "0", "100000", "65536", "1"])
    assert (bundle.directory / "out").read_text().split() == ["0", "0", "100000", "65536", "1"]


def test_hooks_are_told_about_the_container(bundle: Bundle) -> None:
    """The state comes on standard input; createRuntime sees a process, poststop none."""
    note = f"cat >> {bundle.directory}/said; echo >> {bundle.directory}/said"
    hook = {"path": "/bin/sh", "args": ["sh", "-c", note], "env": ["PATH=/usr/bin:/bin"]}
    bundle.change(lambda d: d.update(hooks={"createRuntime": [hook], "poststart": [hook], "poststop": [hook]}), "true")
    assert bundle.run("run", "c").returncode == 0
    said = [json.loads(line) for line in (bundle.directory / "said").read_text().splitlines()]
    assert [state["id"] for state in said] == ["c", "c", "c"]
    assert said[0]["pid"] > 0
    assert (said[2]["status"], said[2]["pid"]) == ("stopped", 0)


def test_terminal_is_handed_over_a_socket(bundle: Bundle) -> None:
    """Whoever asked for the container owns its terminal: containerd's shim, podman's conmon."""
    bundle.change(lambda d: d["process"].update(terminal=True, consoleSize={"height": 7, "width": 33}), "stty", "size")
    path = str(bundle.directory / "console")
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(path)
        listener.listen(1)
        assert "console socket" in bundle.run("create", "c").stderr
        bundle.names.add("c")
        assert bundle.run("create", "--console-socket", path, "c").returncode == 0
        connection, _address = listener.accept()
        with connection:
            _name, (master,), _flags, _source = socket.recv_fds(connection, 100, 1)
        bundle.run("start", "c")
        assert os.read(master, 100) == b"7 33\r\n"
        os.close(master)
