"""`minidocker run`: a real container, seen from inside and from outside.

Every test starts real containers on a private server. What is claimed about isolation is looked up in the container's own
`/proc`, because that is what a program in it would see.
"""

from __future__ import annotations

import json
import os
import signal
import socket
import struct
import subprocess
import time
from pathlib import Path

import pytest

from tests.linux.conftest import PATIENCE

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tests.linux.conftest import Server

pytestmark = pytest.mark.requires("root")

INSIDE = {
    "own-hostname": ("hostname", lambda out: len(out.strip()) == 12, "the short id, unless a name is given"),
    "own-processes": ("ps | grep -c '[p]s'", lambda out: int(out) >= 1, "ps sees itself …"),
    "pid-one": ("echo $$", lambda out: out.strip() == "1", "… and the command is process 1 of its namespace"),
    "root-is-not-the-hosts": ("ls /.checkout 2>&1; ls -d /etc", lambda out: "/etc" in out, "a root file system of its own"),
    "own-cgroup": ("cat /proc/self/cgroup", lambda out: all(line.endswith(":/") for line in out.split()), "its group is the root it sees"),
    "own-loopback": ("cat /sys/class/net/lo/operstate", lambda out: out.strip() in ("unknown", "up"), "lo exists and is up"),
    "fourteen-capabilities": ("grep CapEff /proc/self/status", lambda out: out.split()[1] == "00000000a80425fb", "Docker's default set"),
    "nothing-inheritable": ("grep CapInh /proc/self/status", lambda out: int(out.split()[1], 16) == 0, "CVE-2022-24769"),
    "filtered": ("grep Seccomp: /proc/self/status", lambda out: out.split()[1] == "2", "a seccomp filter is installed"),
    "no-host-descriptors": ("ls /proc/1/fd | tr '\\n' ' '", lambda out: out.split()[:3] == ["0", "1", "2"] and len(out.split()) <= 4, "nothing leaks (CVE-2024-21626)"),
    "proc-sys-read-only": ("echo 1 > /proc/sys/kernel/sysrq; echo rc $?", lambda out: "rc 0" not in out, "a parameter of the whole machine"),
    "kcore-hidden": ("head -c 1 /proc/kcore | wc -c", lambda out: out.strip() == "0", "the kernel's memory is masked"),
    "sys-read-only": ("touch /sys/kernel/x; echo rc $?", lambda out: "rc 0" not in out, "devices of the whole machine"),
    "dev-null-is-a-device": ("test -c /dev/null && echo yes", lambda out: out.strip() == "yes", "not a file of the image"),
    "environment": ("env | sort | cut -d= -f1 | tr '\\n' ' '", lambda out: {"HOME", "HOSTNAME", "PATH"} <= set(out.split()), "Docker's three words"),
    "hosts-file": ("cat /etc/hosts", lambda out: "127.0.0.1\tlocalhost" in out, "written for this container"),
    "umask": ("umask", lambda out: out.strip() in ("0022", "022"), "not the server's"),
}  # fmt: skip


@pytest.mark.parametrize(("command", "holds", "why"), INSIDE.values(), ids=INSIDE)
def test_container_sees_only_its_own_world(server: Server, command: str, holds: object, why: str) -> None:
    """What a process in a container can see of the machine is the whole point of a container."""
    result = server.run("run", "--rm", "toolbox", "sh", "-c", command)
    assert callable(holds)
    assert holds(result.stdout), f"{why}: {result.stdout!r} {result.stderr!r}"


EXIT_CODES = {
    "zero": (["true"], 0),
    "own": (["sh", "-c", "exit 7"], 7),
    "not-found": (["no-such-program"], 127),
    "path-not-found": (["/no/such/program"], 127),
    "not-executable": (["/etc/passwd"], 126),
    "directory": (["/etc"], 126),
    "killed": (["sh", "-c", "kill -KILL $$"], 137),
    "terminated": (["sh", "-c", "trap 'exit 143' TERM; kill -TERM $$; sleep 5"], 143),
}


@pytest.mark.parametrize(("argv", "code"), EXIT_CODES.values(), ids=EXIT_CODES)
def test_exit_code_is_dockers(server: Server, argv: list[str], code: int) -> None:
    """125 is the engine's failure, 126 a command that cannot run, 127 one that is not there, 128+n death by signal n.

    The kernel ignores signals that process 1 sends to itself without a handler, KILL too: the shell then goes on to 0.
    """
    result = server.run("run", "--rm", "toolbox", *argv)
    allowed = {code, 0} if argv[-1] == "kill -KILL $$" else {code}
    assert result.returncode in allowed, result.stderr


def test_output_and_errors_stay_apart(server: Server) -> None:
    """Without a terminal, stdout and stderr are two streams from the container to the user's shell."""
    result = server.run("run", "--rm", "toolbox", "sh", "-c", "echo out; echo err >&2")
    assert (result.stdout, result.stderr) == ("out\n", "err\n")


def test_large_output_arrives_whole(server: Server) -> None:
    """Eight megabytes pass the pipe, the monitor and the socket without loss, and in order."""
    result = server.run("run", "--rm", "toolbox", "sh", "-c", "i=0; while [ $i -lt 8 ]; do head -c 1048576 /dev/zero | tr '\\0' x; i=$((i+1)); done")
    assert len(result.stdout) == 8 << 20


def test_stdin_reaches_the_command_until_its_end(server: Server) -> None:
    """`-i` passes standard input on, and its end as well: `cat` ends by itself."""
    result = server.run("run", "--rm", "-i", "toolbox", "cat", input="one\ntwo\n")
    assert result.stdout == "one\ntwo\n"


def test_terminal_has_the_size_of_the_users(server: Server) -> None:
    """`-it` under a terminal of 33 by 101: the command finds that size from its first instruction."""
    assert "33 101" in server.in_terminal("run", "--rm", "-it", "toolbox", "sh", "-c", "stty size; tty", rows=33, columns=101)


def test_container_is_gone_after_rm(server: Server) -> None:
    """`--rm` leaves no record, no directory, no control group, no network card, no mount."""
    before = server.inventory()
    server.run("run", "--rm", "toolbox", "true")
    server.assert_unchanged(before)


def test_user_is_looked_up_in_the_container(server: Server) -> None:
    """`--user nobody` means the nobody of the image; and without capabilities, since execve takes them from non-root."""
    result = server.run("run", "--rm", "--user", "nobody", "toolbox", "sh", "-c", "id -u; grep CapEff /proc/self/status")
    uid, caps = result.stdout.split("\n")[:2]
    assert uid == "65534"
    assert int(caps.split()[1], 16) == 0


def test_limits_are_written_to_the_control_group(server: Server) -> None:
    """`--memory`, `--cpus` and `--pids-limit` are files below /sys/fs/cgroup, in both versions."""
    command = (
        "cd /sys/fs/cgroup; cat memory/memory.limit_in_bytes cpu/cpu.cfs_quota_us pids/pids.max 2>/dev/null"
        " || cat memory.max cpu.max pids.max"
    )
    result = server.run("run", "--rm", "--memory", "64m", "--cpus", "0.5", "--pids-limit", "42", "toolbox", "sh", "-c", command)
    assert result.stdout.split()[0] == str(64 << 20)
    assert result.stdout.split()[1] == "50000"
    assert result.stdout.split()[-1] == "42"


def test_out_of_memory_kill_is_reported(server: Server) -> None:
    """The kernel kills, and `inspect` says who did it: 137 alone could be anybody's SIGKILL."""
    name = server.new_name()
    server.run("run", "--name", name, "--memory", "16m", "--memory-swap", "16m", "toolbox", "sh", "-c", "tail /dev/zero")
    state = server.inspect(name)["State"]
    server.run("rm", name)
    assert state["OOMKilled"] is True
    assert state["ExitCode"] == 137


def test_fork_bomb_stops_at_the_pids_limit(server: Server) -> None:
    """The kernel refuses the next fork, and only in this container."""
    result = server.run("run", "--rm", "--pids-limit", "8", "toolbox", "sh", "-c", "for i in 1 2 3 4 5 6 7 8 9 10 11 12; do sleep 1 & done; wait")
    assert "fork" in (result.stderr + result.stdout).lower()


def test_bind_mount_shows_the_hosts_files_and_ro_protects_them(server: Server, tmp_path: Path) -> None:
    """A bind is the directory itself; `:ro` keeps the container from changing it."""
    (tmp_path / "f").write_text("from the host\n")
    result = server.run("run", "--rm", "-v", f"{tmp_path}:/data", "toolbox", "sh", "-c", "cat /data/f; echo back > /data/g")
    assert result.stdout == "from the host\n"
    assert (tmp_path / "g").read_text() == "back\n"
    result = server.run("run", "--rm", "-v", f"{tmp_path}:/data:ro", "toolbox", "sh", "-c", "echo x > /data/h")
    assert result.returncode != 0
    assert not (tmp_path / "h").exists()


def test_named_volume_outlives_its_containers(server: Server) -> None:
    """Data belongs to a volume, programs to an image, and containers can be thrown away."""
    volume = server.new_name()
    server.run("run", "--rm", "-v", f"{volume}:/data", "toolbox", "sh", "-c", "echo kept > /data/f")
    assert server.run("run", "--rm", "-v", f"{volume}:/data", "toolbox", "cat", "/data/f").stdout == "kept\n"
    server.run("volume", "rm", volume)


def test_subpath_of_a_volume_is_mounted_and_a_link_cannot_lead_out_of_the_volume(server: Server) -> None:
    """Two applications share one volume, each its own part; a link that one of them leaves means nothing outside."""
    volume = server.new_name()
    server.run("run", "--rm", "-v", f"{volume}:/data", "toolbox", "sh", "-c", "mkdir -p /data/a/b; echo part > /data/a/b/f; ln -s /etc /data/out")
    mount = f"type=volume,source={volume},target=/mnt,volume-subpath="
    assert server.run("run", "--rm", "--mount", mount + "a/b", "toolbox", "cat", "/mnt/f").stdout == "part\n"
    assert server.run("run", "--rm", "--mount", mount + "a/b/f", "toolbox", "cat", "/mnt").stdout == "part\n"
    assert server.run("run", "--rm", "--mount", mount + "out", "toolbox", "ls", "/mnt").returncode != 0
    assert "relative path" in server.run("run", "--rm", "--mount", mount + "../..", "toolbox", "ls", "/mnt").stderr
    server.run("volume", "rm", volume)


def test_new_volume_begins_with_the_images_files(server: Server) -> None:
    """An empty volume over a directory of the image is filled with what is there."""
    volume = server.new_name()
    result = server.run("run", "--rm", "-v", f"{volume}:/etc", "toolbox", "ls", "/etc")
    server.run("volume", "rm", volume)
    assert "passwd" in result.stdout


def test_container_reaches_the_gateway_and_has_an_address(server: Server) -> None:
    """One network card, one address, one default route through the bridge."""
    result = server.run("run", "--rm", "toolbox", "sh", "-c", "cat /proc/net/route /proc/net/fib_trie; ls /sys/class/net")
    assert "eth0" in result.stdout
    assert "00000000" in result.stdout


def test_published_port_is_reached_from_localhost(server: Server) -> None:
    """`-p 0:80` binds a free port here and leads it to the container's port 80."""
    if server.run("run", "--rm", "toolbox", "sh", "-c", "command -v nc").returncode != 0:
        pytest.skip("the toolbox of this machine has no nc: install busybox-static")
    name = server.new_name()
    server.run("run", "-d", "--rm", "--name", name, "-p", "127.0.0.1::80", "toolbox", "sh", "-c", "echo hello | nc -l -p 80")
    port = int(server.inspect(name)["NetworkSettings"]["Ports"]["80/tcp"][0]["HostPort"])
    answer = server.connect_until_answer(port)
    server.run("rm", "-f", name)
    assert answer == b"hello\n"


def test_readonly_root_refuses_writes(server: Server) -> None:
    """`--read-only`: the root cannot be written, a tmpfs beside it can."""
    result = server.run("run", "--rm", "--read-only", "--tmpfs", "/scratch", "toolbox", "sh", "-c", "touch /scratch/a && touch /x; echo rc $?")
    assert "rc 0" not in result.stdout
    assert "ead-only" in result.stderr


def test_init_reaps_orphans(server: Server) -> None:
    """With `--init`, process 1 is a small init that collects children whose parents are gone."""
    command = "(sleep 0.1 &) ; sleep 0.4; cat /proc/[0-9]*/status | grep -c '^State:.*zombie'; cat /proc/1/comm"
    result = server.run("run", "--rm", "--init", "toolbox", "sh", "-c", command)
    assert result.stdout.split()[-2:] == ["0", "docker-init"]


def test_host_interpreter_cannot_be_reached_from_the_container(server: Server) -> None:
    """CVE-2019-5736: `/proc/self/exe` as the command, or as a script's interpreter, leads nowhere and changes nothing."""
    result = server.run("run", "--rm", "toolbox", "/proc/self/exe", "-c", "print('host python')")
    assert result.returncode == 126
    assert "host python" not in result.stdout
    script = "printf '#!/proc/self/exe\\nprint(1)\\n' > /s; chmod +x /s; exec /s"
    result = server.run("run", "--rm", "-v", "/s", "toolbox", "sh", "-c", script)
    assert "host python" not in result.stdout


@pytest.fixture
def program(tmp_path: Path) -> Path:
    """A directory to be bound over `/p`, for programs that cannot run."""
    return tmp_path


def _elf_of_another_machine() -> bytes:
    """A 64-bit little-endian ELF header for SPARC V9, machine 43: nothing runs it here."""
    return b"\x7fELF\x02\x01\x01" + bytes(9) + struct.pack("<HHIQQQIHHHHHH", 2, 43, 1, 0, 64, 0, 0, 64, 56, 0, 0, 0, 0) + bytes(64)


BROKEN = {
    "missing-interpreter": (b"#!/opt/nothing/python\nprint(1)\n", 127, "/opt/nothing/python"),
    "crlf": (b"#!/bin/sh\r\necho hi\r\n", 127, "CR"),
    "other-machine": (_elf_of_another_machine(), 126, "exec format error"),
    "empty": (b"", 126, "exec format error"),
}


@pytest.mark.parametrize(("content", "code", "word"), BROKEN.values(), ids=BROKEN)
def test_program_that_cannot_run_is_explained(server: Server, program: Path, content: bytes, code: int, word: str) -> None:
    """The kernel has one error number for many causes; we know the file and say which it is."""
    (program / "x").write_bytes(content)
    (program / "x").chmod(0o755)
    before = server.inventory()
    result = server.run("run", "--rm", "-v", f"{program}:/p", "toolbox", "/p/x")
    assert result.returncode == code, result.stderr
    assert word in result.stderr
    server.assert_unchanged(before)


def test_server_killed_leaves_containers_running_and_the_next_one_finds_them(server: Server) -> None:
    """The monitor is the parent, not the server: output, log and exit code survive `kill -9` of the server."""
    name = server.new_name()
    gate = server.directory / f"{name}.gate"
    os.mkfifo(gate)
    server.run("run", "-d", "--name", name, "-v", f"{gate}:/gate", "toolbox", "sh", "-c", "echo before; read x < /gate; echo after; exit 9")
    pid = server.inspect(name)["State"]["Pid"]
    server.kill9()
    assert Path(f"/proc/{pid}").exists()
    server.start()
    assert server.inspect(name)["State"]["Running"] is True
    gate.write_text("go\n")
    assert server.run("wait", name).stdout.strip() == "9"
    assert server.run("logs", name).stdout == "before\nafter\n"
    server.run("rm", name)


def test_container_that_ended_without_a_server_has_its_exit_code(server: Server) -> None:
    """The monitor keeps the exit status in a file for the server that comes next."""
    name = server.new_name()
    gate = server.directory / f"{name}.gate"
    os.mkfifo(gate)
    server.run("run", "-d", "--name", name, "-v", f"{gate}:/gate", "toolbox", "sh", "-c", "read x < /gate; echo last words; exit 5")
    pid = server.inspect(name)["State"]["Pid"]
    server.kill9()
    pidfd = os.pidfd_open(pid)
    gate.write_text("go\n")
    server.wait_readable(pidfd)
    os.close(pidfd)
    server.start()
    assert server.inspect(name)["State"]["ExitCode"] == 5
    assert server.run("logs", name).stdout == "last words\n"
    server.run("rm", name)


def test_stop_sends_term_first(server: Server) -> None:
    """A program that handles SIGTERM ends in its own way, with its own code; no ten seconds pass."""
    name = server.new_name()
    server.run("run", "-d", "--name", name, "toolbox", "sh", "-c", "trap 'exit 3' TERM; while :; do sleep 0.05; done")
    server.run("stop", name)
    code = server.inspect(name)["State"]["ExitCode"]
    server.run("rm", name)
    assert code == 3


def test_pause_freezes_and_unpause_thaws(server: Server) -> None:
    """The freezer stops every process of the group at once; `exec` is refused meanwhile, KILL works."""
    name = server.new_name()
    server.run("run", "-d", "--name", name, "toolbox", "sleep", "1000")
    assert server.run("pause", name).returncode == 0
    assert server.inspect(name)["State"]["Status"] == "paused"
    assert "paused" in server.run("exec", name, "true").stderr
    assert server.run("unpause", name).returncode == 0
    assert server.run("exec", name, "true").returncode == 0
    server.run("pause", name)
    server.run("kill", name)
    assert server.inspect(name)["State"]["ExitCode"] == 137
    server.run("rm", name)


def test_exec_shares_everything_with_the_container(server: Server) -> None:
    """The same hostname, processes, capabilities and filter; another exit code."""
    name = server.new_name()
    server.run("run", "-d", "--name", name, "-h", "box", "toolbox", "sleep", "1000")
    result = server.run("exec", name, "sh", "-c", "hostname; cat /proc/1/comm; grep Seccomp: /proc/self/status; exit 4")
    server.run("rm", "-f", name)
    assert result.stdout.split() == ["box", "sleep", "Seccomp:", "2"]
    assert result.returncode == 4


def test_restart_policy_starts_again_until_the_count(server: Server) -> None:
    """`on-failure:2`: three runs in all, then it stays down with the last exit code."""
    name = server.new_name()
    server.run("run", "-d", "--name", name, "--restart", "on-failure:2", "toolbox", "sh", "-c", "echo run; exit 1")
    assert server.run("wait", name).stdout.strip() == "1"
    deadline = time.monotonic() + 20 * PATIENCE
    while server.inspect(name)["State"]["Status"] != "exited" and time.monotonic() < deadline:
        server.run("wait", name)
    info = server.inspect(name)
    logs = server.run("logs", name).stdout
    server.run("rm", "-f", name)
    assert logs == "run\n" * 3
    assert info["RestartCount"] == 2


def test_wait_returns_though_the_policy_starts_the_container_again(server: Server) -> None:
    """Whoever waits for an exit gets it; `rm` without force then says that the container has to be stopped."""
    name = server.new_name()
    server.run("run", "-d", "--name", name, "--restart", "always", "toolbox", "sh", "-c", "sleep 0.3; exit 3")
    assert server.run("wait", name).stdout == "3\n"
    refused = server.run("rm", name)
    assert (refused.returncode, "stop the container before" in refused.stderr) == (1, True)
    server.run("rm", "-f", name)


def test_explain_shows_the_servers_own_plan(server: Server) -> None:
    """What is printed is the tuple that the kernel then performs: with the machine's control groups and this image."""
    result = server.run("run", "--rm", "--explain", "toolbox", "true")
    assert result.returncode == 0
    assert "pivot_root(" in result.stderr
    assert "execve(true)" in result.stderr


def test_inspect_is_json_that_a_program_can_read(server: Server) -> None:
    """`inspect` prints a list of objects, and `--format` picks from it."""
    name = server.new_name()
    server.run("create", "--name", name, "toolbox", "true")
    document = json.loads(server.run("inspect", name).stdout)
    assert document[0]["Name"] == f"/{name}"
    assert server.run("inspect", "-f", "{{.State.Status}}", name).stdout == "created\n"
    server.run("rm", name)


def test_host_devices_are_out_of_reach(server: Server, tmp_path: Path) -> None:
    """A container may make device nodes (mknod is Docker's default), but the control group lets it open only harmless ones."""
    disks = [os.stat(f"/dev/{name}") for name in sorted(os.listdir("/dev")) if Path("/dev", name).is_block_device()]
    if not disks:
        pytest.skip("needs a block device on the host")
    number = disks[0].st_rdev
    command = f"mknod /d b {os.major(number)} {os.minor(number)} && head -c 1 /d"
    result = server.run("run", "--rm", "toolbox", "sh", "-c", command)
    assert result.returncode != 0
    assert "not permitted" in result.stderr


def test_signal_to_the_client_reaches_the_command(server: Server) -> None:
    """Without a terminal the client passes signals on: Ctrl-C of a script ends the container's program, not the client."""
    name = server.new_name()
    client = subprocess.Popen(
        server.command("run", "--rm", "--name", name, "toolbox", "sh", "-c", "trap 'exit 6' INT; echo ready; while :; do sleep 0.05; done"),
        stdout=subprocess.PIPE, text=True,
    )  # fmt: skip
    assert client.stdout is not None
    assert client.stdout.readline() == "ready\n"
    client.send_signal(signal.SIGINT)
    assert client.wait(timeout=30) == 6
    client.stdout.close()


BAD_REQUESTS = {
    "unknown-image": (["127.0.0.1:1/no-such-image"], "refused"),
    "malformed-image": (["Not A Name"], "invalid reference format"),
    "unknown-user": (["--user", "stranger", "toolbox", "true"], "unable to find user stranger"),
    "too-little-memory": (["--memory", "1m", "toolbox", "true"], "Minimum memory limit allowed is 6MB"),
    "relative-mount-target": (["-v", "/tmp:data", "toolbox", "true"], "mount path must be absolute"),
    "missing-bind-source": (["--mount", "type=bind,src=/no/such,dst=/x", "toolbox", "true"], "does not exist"),
    "doubled-mount": (["-v", "/tmp:/x", "-v", "/var:/x", "toolbox", "true"], "Duplicate mount point"),
    "mount-over-a-file": (["-v", "/tmp:/etc/passwd", "toolbox", "true"], "not a directory"),
    "unknown-capability": (["--cap-add", "FLY", "toolbox", "true"], "FLY"),
    "unknown-network": (["--network", "nowhere", "toolbox", "true"], "network nowhere not found"),
    "unknown-container-to-join": (["--network", "container:nobody", "toolbox", "true"], "No such container: nobody"),
    "gpus": (["--gpus", "all", "toolbox", "true"], "could not select device driver"),
    "legacy-link": (["--link", "other", "toolbox", "true"], "could not get container for other"),
    "broken-seccomp-profile": (["--security-opt", "seccomp={", "toolbox", "true"], "seccomp"),
    "no-seccomp-file": (["--security-opt", "seccomp=/no/such", "toolbox", "true"], "/no/such"),
}


@pytest.mark.parametrize(("arguments", "text"), BAD_REQUESTS.values(), ids=BAD_REQUESTS)
def test_request_that_cannot_be_met_says_why_and_leaves_nothing(server: Server, arguments: list[str], text: str) -> None:
    """One sentence, exit code 125, and no mount, control group, network link, record or volume stays behind."""
    before = server.inventory()
    result = server.run("run", "--rm", *arguments)
    assert result.returncode == 125, result.stderr
    assert text in result.stderr
    assert "Traceback" not in result.stderr + server.log()
    server.assert_unchanged(before)


def test_port_that_is_taken_is_named(server: Server) -> None:
    """Docker's words, so that a search engine helps."""
    before = server.inventory()
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        result = server.run("run", "--rm", "-p", f"127.0.0.1:{port}:80", "toolbox", "true")
    assert result.returncode == 125
    assert f"127.0.0.1:{port}" in result.stderr
    assert "address already in use" in result.stderr
    server.assert_unchanged(before)


def test_prune_until_spares_what_is_younger(server: Server) -> None:
    """`--filter until=1h` removes what was made more than an hour ago: a filter that is ignored would remove everything."""
    name = server.new_name()
    server.run("create", "--name", name, "toolbox", "true")
    assert server.run("container", "prune", "-f", "--filter", "until=1h").returncode == 0
    assert server.inspect(name)["State"]["Status"] == "created"
    server.run("container", "prune", "-f", "--filter", "until=0s")
    assert server.run("inspect", name).returncode != 0


def test_killed_launcher_is_replaced(server: Server) -> None:
    """It holds nothing: whoever kills it costs the next start some milliseconds, and no container."""
    (launcher,) = server.descendants("md:launcher")
    os.kill(launcher, signal.SIGKILL)
    assert server.run("run", "--rm", "toolbox", "echo", "hello").stdout == "hello\n"
    assert server.descendants("md:launcher") != [launcher]


def test_killed_monitor_takes_its_container_along_and_leaves_nothing(server: Server) -> None:
    """Without its parent a container has no log and no exit code: it ends, as 255, and the server clears up."""
    before = server.inventory()
    name = server.new_name()
    server.run("run", "-d", "--name", name, "toolbox", "sleep", "1000")
    pid = server.inspect(name)["State"]["Pid"]
    monitor = int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1])
    os.kill(monitor, signal.SIGKILL)
    assert server.run("wait", name).stdout.strip() == "255"
    server.run("rm", name)
    server.assert_unchanged(before)  # a control group can only be removed when no process lives in it


def test_container_runs_from_plain_copies_where_overlays_cannot_be_stacked() -> None:
    """`--storage-driver vfs` is what a data root on overlayfs itself needs: slower, the same behaviour."""
    from tests.linux.conftest import Server  # a server of its own, with its own driver

    plain = Server("--storage-driver", "vfs")
    try:
        before = plain.inventory()
        result = plain.run("run", "--rm", "toolbox", "sh", "-c", "echo written > /f; cat /f; ls -d /proc/self")
        assert result.stdout == "written\n/proc/self\n"
        plain.assert_unchanged(before)
    finally:
        plain.close()


def test_shared_memory_is_shared_with_the_ipc_namespace(server: Server) -> None:
    """`--ipc container:` sees the other one's files in /dev/shm; who did not say `shareable` does not share; `none` has none."""
    donor, private = server.new_name(), server.new_name()
    server.run("run", "-d", "--name", donor, "--ipc", "shareable", "toolbox", "sh", "-c", "echo shared > /dev/shm/x; exec sleep 1000")
    server.run("run", "-d", "--name", private, "toolbox", "sleep", "1000")
    script = "until [ -s /dev/shm/x ]; do sleep 0.05; done; cat /dev/shm/x"
    assert server.run("run", "--rm", "--ipc", f"container:{donor}", "toolbox", "sh", "-c", script).stdout == "shared\n"
    refused = server.run("run", "--rm", "--ipc", f"container:{private}", "toolbox", "true")
    assert (refused.returncode, "non-shareable IPC" in refused.stderr) == (125, True)
    assert server.run("run", "--rm", "--ipc", "none", "toolbox", "sh", "-c", "[ -e /dev/shm ] || echo none").stdout == "none\n"
    assert server.run("run", "--rm", "--ipc", "host", "toolbox", "grep", "-c", " /dev/shm ", "/proc/mounts").stdout == "1\n"
    server.run("rm", "-f", donor, private)
