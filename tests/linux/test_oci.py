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


def test_hooks_run_where_the_specification_says(bundle: Bundle) -> None:
    """createContainer: a program of the host, in the container's namespaces; startContainer: one of the container, as its user, last of all."""
    inside = {"path": "/bin/sh", "args": ["sh", "-c", "cat > /tmp/inside; id -u >> /tmp/inside; hostname >> /tmp/inside"]}
    before = {"path": "/bin/sh", "args": ["sh", "-c", f"hostname > {bundle.directory}/before; pwd >> {bundle.directory}/before"], "env": ["PATH=/usr/bin:/bin"]}

    def act(document: dict[str, Any]) -> None:
        document.update(hooks={"createContainer": [before], "startContainer": [inside]})
        document["process"]["user"] = {"uid": 7, "gid": 7}
        document["root"]["readonly"] = False

    (bundle.directory / "rootfs" / "tmp").chmod(0o777)
    bundle.change(act, "cat", "/tmp/inside")
    result = bundle.run("run", "c")
    state, uid, name = result.stdout.partition("}")[0] + "}", *result.stdout.partition("}")[2].split()
    assert (json.loads(state)["status"], json.loads(state)["pid"], uid, name) == ("created", 1, "7", "minidocker"), result.stderr
    assert (bundle.directory / "before").read_text().split() == ["minidocker", str(bundle.directory / "rootfs")]


def test_start_container_hook_is_bound_by_the_filter(bundle: Bundle) -> None:
    """What runs in the container must not do what the container may not: the hook is killed, and nothing starts."""
    seccomp = {"defaultAction": "SCMP_ACT_ALLOW", "syscalls": [{"names": ["mkdir", "mkdirat"], "action": "SCMP_ACT_KILL"}]}
    hook = {"path": "/bin/busybox", "args": ["busybox", "mkdir", "/dev/shm/x"]}

    def act(document: dict[str, Any]) -> None:
        document.update(hooks={"startContainer": [hook]})
        document["linux"]["seccomp"] = seccomp

    bundle.change(act, "true")
    result = bundle.run("run", "c")
    assert result.returncode == 1
    assert "bad system call" in result.stderr


def test_filter_that_allows_next_to_nothing_still_lets_the_command_start(bundle: Bundle) -> None:
    """All that init has to do is done before the filter: an old profile knows neither close_range(2) nor openat2(2)."""
    names = ["open", "openat", "stat", "newfstatat", "fstat", "lstat", "mkdir", "close_range", "openat2", "chdir", "getcwd", "prctl"]
    seccomp = {"defaultAction": "SCMP_ACT_ALLOW", "syscalls": [{"names": names[-5:], "action": "SCMP_ACT_ERRNO", "errnoRet": 6}]}

    def act(document: dict[str, Any]) -> None:
        document["linux"]["seccomp"] = seccomp

    bundle.change(act, "echo", "ran")
    assert bundle.run("run", "c").stdout == "ran\n"


@pytest.mark.parametrize("filtered", [False, True], ids=["free", "old-filter"])
def test_interpreter_of_ours_is_not_run_under_an_old_filter_either(bundle: Bundle, filtered: bool) -> None:
    """Where openat2(2) is forbidden before the command is looked at, our own program is known by its inode (CVE-2019-5736)."""
    seccomp = {"defaultAction": "SCMP_ACT_ALLOW", "syscalls": [{"names": ["openat2"], "action": "SCMP_ACT_ERRNO"}]}

    def act(document: dict[str, Any]) -> None:
        document["process"]["noNewPrivileges"] = False
        document["linux"] |= {"seccomp": seccomp} if filtered else {}

    (bundle.directory / "rootfs" / "bin" / "link").symlink_to("/proc/self/exe")
    bundle.change(act, "/bin/link", "-c", "print('host python')")
    result = bundle.run("run", "c")
    assert (result.returncode, result.stdout) == (1, "")
    assert "leads to a file of the host" in result.stderr


def test_descriptors_are_kept_only_when_asked_for(bundle: Bundle) -> None:
    """`--preserve-fds 1` keeps descriptor 3 (socket activation); everything else of the host's is closed."""
    bundle.change(nothing, "sh", "-c", "readlink /proc/self/fd/3; readlink /proc/self/fd/4; exit 0")
    (bundle.directory / "rootfs" / "bin" / "readlink").symlink_to("busybox")
    (bundle.directory / "kept").write_text("")
    found = []
    for words in ([], ["--preserve-fds", "1"]):
        line = 'exec 3<kept 4<kept; exec "$@"'
        result = subprocess.run(
            ["sh", "-c", line, "sh", sys.executable, RUNTIME, "--root", "state", "run", *words, "c"], cwd=bundle.directory,
            capture_output=True, text=True, timeout=LIMIT_S, check=False,
        )  # fmt: skip
        found.append(result.stdout.split())
    assert found == [[], [str(bundle.directory / "kept")]]


def test_root_is_moved_where_it_cannot_be_pivoted(bundle: Bundle) -> None:
    """`--no-pivot`: on a machine that runs from a ramdisk. The container sees its own files, and the bare root cannot be had by unshare."""
    bundle.change(nothing, "sh", "-c", "ls /bin/busybox && ls / | grep -c rootfs")
    assert bundle.run("run", "--no-pivot", "c").stdout == "/bin/busybox\n0\n"


def test_changes_of_the_bundle_after_create_have_no_effect(bundle: Bundle) -> None:
    """The specification demands it: what was checked at `create` is what runs."""
    bundle.change(nothing, "sh", "-c", "echo first")
    bundle.create("c")
    (bundle.directory / "config.json").write_text("{}")
    assert bundle.run("start", "c").returncode == 0
    assert bundle.run("delete", "--force", "c").returncode == 0


@pytest.mark.requires("limits")
def test_frozen_control_group_is_refused_and_left_alone(bundle: Bundle) -> None:
    """Whoever entered it would never get out; it is somebody else's, so it stays."""
    bundle.change(nothing, "true")
    group = next(Path(path) for path in ("/sys/fs/cgroup/freezer", "/sys/fs/cgroup") if Path(path).is_dir()) / f"minidocker-test-{os.getpid()}" / "c"
    group.mkdir(parents=True)
    file, frozen, thawed = ("freezer.state", "FROZEN", "THAWED") if (group / "freezer.state").exists() else ("cgroup.freeze", "1", "0")
    (group / file).write_text(frozen)
    result = bundle.run("run", "c")
    (group / file).write_text(thawed)
    group.rmdir()
    assert (result.returncode, "unexpectedly frozen" in result.stderr) == (1, True)


@pytest.mark.requires("limits")
def test_exec_joins_a_group_below_the_container(bundle: Bundle) -> None:
    """`--cgroup` chooses a group that the container made; it never leads out of the container's."""
    bundle.change(nothing, "sleep", "1000")
    bundle.create("c")
    bundle.run("start", "c")
    for directory in Path("/sys/fs/cgroup").glob(f"**/minidocker-test-{os.getpid()}/c/"):
        (directory / "sub").mkdir()
    assert "is not a sub cgroup path" in bundle.run("exec", "--cgroup", "../x", "c", "true").stderr
    assert "unknown controller" in bundle.run("exec", "--cgroup", "nosuch:sub", "c", "true").stderr
    assert bundle.run("exec", "--cgroup", "sub", "c", "grep", "-c", "/c/sub$", "/proc/self/cgroup").stdout != "0\n"


def test_capability_that_is_named_twice_counts_once(bundle: Bundle) -> None:
    """Tools append to the lists of a bundle; a sum of bits would turn two CAP_MKNOD into one CAP_LEASE."""
    bundle.change(lambda d: d["process"]["capabilities"]["permitted"].append("CAP_MKNOD"), "grep", "CapPrm", "/proc/self/status")
    assert bundle.run("run", "c").stdout.split() == ["CapPrm:", "00000000a80425fb"]


def test_dev_is_made_read_only_after_its_devices(bundle: Bundle) -> None:
    """A bundle may ask for a /dev that cannot be written; it is filled first."""
    bundle.change(lambda d: next(m for m in d["mounts"] if m["destination"] == "/dev")["options"].append("ro"), "grep", "^tmpfs /dev ", "/proc/mounts")
    lines = bundle.run("run", "c").stdout.splitlines()
    assert [line.split()[3].split(",")[0] for line in lines] == ["ro"]


def test_recursively_read_only_bind_covers_the_mounts_below(bundle: Bundle) -> None:
    """`rro`: a plain read-only bind leaves what is mounted below writable."""
    source = bundle.directory / "tree"
    (source / "below").mkdir(parents=True)
    subprocess.run(["mount", "-t", "tmpfs", "none", source / "below"], check=True)
    try:
        mount = {"type": "bind", "source": "tree", "destination": "/mnt", "options": ["rbind", "rro"]}
        bundle.change(lambda d: d["mounts"].append(mount), "sh", "-c", "touch /mnt/x; touch /mnt/below/x; ls -R /mnt")
        result = bundle.run("run", "c")
    finally:
        subprocess.run(["umount", source / "below"], check=True)
    assert result.stderr.count("Read-only file system") == 2
