"""The real `docker` command line against our server: output and exit codes as with Docker.

One server for all tests; each makes containers under names of its own and removes them. The image is the built-in `toolbox`.
"""

from __future__ import annotations

import json
import os
import secrets
import select
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

pytestmark = pytest.mark.requires("root", "docker", "overlayfs", "cgroup")

CHECKOUT = Path(__file__).resolve().parents[2]
START_LIMIT_S = 30.0

Docker = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture(scope="module")
def docker() -> Iterator[Docker]:
    """Return a function that runs `docker` against a server of this module."""
    directory = Path(tempfile.mkdtemp(prefix="md"))  # short: a socket's path has 108 bytes
    address = f"unix://{directory}/s"
    arguments = ["--data-root", f"{directory}/data", "--exec-root", f"{directory}/exec", "--pidfile", f"{directory}/pid"]
    with open(directory / "log", "wb") as log:
        server = subprocess.Popen(
            [sys.executable, "-m", "minidocker", "daemon", "-H", address, *arguments], cwd=CHECKOUT,
            stdin=subprocess.DEVNULL, stdout=log, stderr=log,
        )  # fmt: skip

    def run(*words: str, text: str | None = None) -> subprocess.CompletedProcess[str]:
        stdin = subprocess.DEVNULL if text is None else None
        environment = {**os.environ, "DOCKER_HOST": address, "DOCKER_CONFIG": str(directory)}
        return subprocess.run(
            ["docker", *words], env=environment, stdin=stdin, input=text, capture_output=True, text=True, timeout=60, check=False
        )

    try:
        _wait_until_listening(directory / "s", server)
        yield run
        ids = run("ps", "-aq").stdout.split()
        if ids:
            run("rm", "-f", "-v", *ids)
    finally:
        server.terminate()
        server.wait(30)
        shutil.rmtree(directory, ignore_errors=True)


def _wait_until_listening(path: Path, server: subprocess.Popen[bytes]) -> None:
    deadline = time.monotonic() + START_LIMIT_S
    while True:
        with socket.socket(socket.AF_UNIX) as probe:
            if probe.connect_ex(str(path)) == 0:
                return
        assert server.poll() is None, (path.parent / "log").read_text()
        assert time.monotonic() < deadline, "the server does not start"
        select.select([], [], [], 0.02)


@pytest.fixture
def sleeper(docker: Docker) -> Iterator[str]:
    """Return the name of a running container."""
    name = f"t{secrets.token_hex(4)}"
    result = docker("run", "-d", "--name", name, "--label", f"test={name}", "toolbox", "sleep", "600")
    assert result.returncode == 0, result.stderr
    yield name
    docker("rm", "-f", "-v", name)


def test_version_and_info_are_printed_without_warnings(docker: Docker) -> None:
    """The first two commands anybody tries; each reads a dozen fields of our answer."""
    version = docker("version", "--format", "{{.Server.APIVersion}} {{.Server.MinAPIVersion}} {{.Server.Os}}")
    assert version.stdout == "1.50 1.24 linux\n"
    info = docker("info")
    assert info.returncode == 0
    warnings = [line for line in info.stderr.splitlines() if "WARNING" in line]
    # Clients before 28 warn of a kernel setting that our network does not use.
    assert all("bridge-nf-call" in line for line in warnings)
    assert " Server Version: 28.0.0-minidocker" in info.stdout


EXIT_CODES = {
    "own": (["sh", "-c", "exit 7"], 7, ""),
    "killed": (["sh", "-c", "sh -c 'kill -9 $$'; exit $?"], 137, ""),
    "not found": (["no-such-program"], 127, "executable file not found in $PATH"),
    "not executable": (["/etc/passwd"], 126, "permission denied"),
    "a directory": (["/etc"], 126, ""),
}


@pytest.mark.parametrize(("command", "code", "text"), EXIT_CODES.values(), ids=EXIT_CODES.keys())
def test_run_ends_with_the_exit_code_of_the_command(docker: Docker, command: list[str], code: int, text: str) -> None:
    """The CLI takes 126 and 127 from words in our error text."""
    result = docker("run", "--rm", "toolbox", *command)
    if command == ["/etc"] and int(docker("version", "--format", "{{.Client.Version}}").stdout.partition(".")[0]) < 23:
        code = 125  # clients before 23 do not know the words "is a directory"
    assert result.returncode == code, result.stderr
    assert text in result.stderr


def test_run_of_an_unknown_image_ends_with_125(docker: Docker) -> None:
    """The CLI tries to pull first: our 404 must say "No such image"."""
    result = docker("run", "--rm", "no-such-image")
    assert result.returncode == 125
    assert "Unable to find image 'no-such-image:latest' locally" in result.stderr


def test_run_keeps_output_and_errors_apart(docker: Docker) -> None:
    """Two streams over one connection, in frames."""
    result = docker("run", "--rm", "toolbox", "sh", "-c", "echo out; echo err >&2")
    assert (result.stdout, result.stderr) == ("out\n", "err\n")


def test_run_passes_input_and_its_end_on(docker: Docker) -> None:
    """The half-close of the client is the end of the container's input; the output still comes."""
    result = docker("run", "--rm", "-i", "toolbox", "sh", "-c", "while read line; do echo \"<$line>\"; done; echo end", text="a\nb\n")
    assert result.stdout == "<a>\n<b>\nend\n"


def test_large_output_arrives_whole(docker: Docker) -> None:
    """More than any buffer on the way holds."""
    result = docker("run", "--rm", "toolbox", "sh", "-c", "i=0; while [ $i -lt 20000 ]; do echo line $i; i=$((i+1)); done")
    assert result.stdout == "".join(f"line {number}\n" for number in range(20_000))


def test_ps_shows_a_running_container_in_dockers_words(docker: Docker, sleeper: str) -> None:
    """`Up …` is made by the server, the rest by the client."""
    line = docker("ps", "--filter", f"label=test={sleeper}", "--format", "{{.Names}}|{{.Image}}|{{.Command}}|{{.Status}}").stdout
    name, image, command, status = line.strip().split("|")
    assert (name, image, command) == (sleeper, "toolbox", '"sleep 600"')
    assert status.startswith("Up ")


def test_logs_repeat_what_was_written(docker: Docker) -> None:
    """After the end, the last lines, and with the time before each."""
    name = f"t{secrets.token_hex(4)}"
    docker("run", "--name", name, "toolbox", "sh", "-c", "echo one; echo two >&2; echo three")
    whole, stamped = docker("logs", name), docker("logs", "--tail", "3", "-t", name).stdout
    followed = docker("logs", "-f", name)
    docker("rm", name)
    assert (whole.stdout, whole.stderr) == ("one\nthree\n", "two\n")
    assert followed.stdout == whole.stdout
    assert [line.partition("Z ")[2] for line in stamped.splitlines()] == ["one", "three"]


@pytest.mark.parametrize("code", [0, 9], ids=str)
def test_exec_ends_with_the_exit_code_of_the_command(docker: Docker, sleeper: str, code: int) -> None:
    """The CLI asks for it the moment the output ends."""
    for _ in range(5):
        result = docker("exec", sleeper, "sh", "-c", f"echo here; exit {code}")
        assert (result.stdout, result.returncode) == ("here\n", code)


@pytest.mark.parametrize(
    ("words", "text"),
    [
        (["{}", "no-such-program"], "executable file not found in $PATH"),
        (["{}", "/etc/passwd"], "permission denied"),
        (["-w", "/nowhere", "{}", "pwd"], 'chdir to cwd ("/nowhere") set in config.json failed: no such file or directory'),
        (["-u", "nosuch", "{}", "id"], "unable to find user nosuch: no matching entries in passwd file"),
    ],
)
def test_exec_that_cannot_be_started_ends_with_126(docker: Docker, sleeper: str, words: list[str], text: str) -> None:
    """The connection is a stream already: the text comes as output, the code from inspect; other than `run`, it is the same for every reason."""
    result = docker("exec", *(word.format(sleeper) for word in words))
    assert result.returncode == 126
    assert text in result.stdout + result.stderr


def test_exec_passes_input_on(docker: Docker, sleeper: str) -> None:
    """Interactive without a terminal: `docker exec -i`, as scripts use it."""
    assert docker("exec", "-i", sleeper, "cat", text="data\n").stdout == "data\n"


def test_inspect_shows_the_state_and_what_was_asked_for(docker: Docker, sleeper: str) -> None:
    """The whole document parses, and its keys are Docker's."""
    document = json.loads(docker("inspect", sleeper).stdout)[0]
    assert document["Name"] == f"/{sleeper}"
    assert document["State"]["Running"] is True
    assert document["State"]["FinishedAt"] == "0001-01-01T00:00:00Z"
    assert document["Config"]["Labels"] == {"test": sleeper}
    assert document["HostConfig"]["LogConfig"]["Type"] == "json-file"


def test_stop_kill_wait_and_start_move_a_container(docker: Docker, sleeper: str) -> None:
    """A life: each command prints the name, and wait the exit code."""
    assert docker("kill", sleeper).stdout == f"{sleeper}\n"
    assert docker("wait", sleeper).stdout == "137\n"
    assert docker("kill", sleeper).returncode == 1
    assert docker("start", sleeper).stdout == f"{sleeper}\n"
    assert docker("stop", "-t", "0", sleeper).stdout == f"{sleeper}\n"
    assert docker("ps", "-q", "--filter", f"name={sleeper}").stdout == ""
    assert docker("rm", sleeper).stdout == f"{sleeper}\n"
    assert "No such container" in docker("rm", sleeper).stderr


def test_name_in_use_is_a_conflict(docker: Docker, sleeper: str) -> None:
    """The text names the container that has it."""
    result = docker("create", "--name", sleeper, "toolbox")
    assert result.returncode == 1
    assert f'The container name "/{sleeper}" is already in use by container' in result.stderr


def test_archive_saved_and_loaded_brings_the_image_back(docker: Docker, tmp_path: Path) -> None:
    """Out under one name, away, and in again."""
    archive = str(tmp_path / "image.tar")
    assert docker("run", "--rm", "hello").returncode == 0
    assert docker("tag", "hello", "greeting:1").returncode == 0
    assert docker("save", "-o", archive, "greeting:1").returncode == 0
    assert docker("rmi", "greeting:1").stdout.startswith("Untagged: greeting:1\n")
    assert docker("load", "-i", archive).stdout == "Loaded image: greeting:1\n"
    assert docker("images", "--format", "{{.Repository}}:{{.Tag}}", "greeting").stdout == "greeting:1\n"


def test_archive_imported_becomes_an_image(docker: Docker) -> None:
    """`docker import -` reads a root file system; what is no archive is refused with its reason."""
    refused = docker("import", "-", "broken", text="this is no archive\n")
    assert refused.returncode == 1
    assert "Error response from daemon" in refused.stderr


def test_events_of_a_run_come_in_dockers_order(docker: Docker) -> None:
    """create, attach, start, die, destroy."""
    name = f"t{secrets.token_hex(4)}"
    docker("run", "--rm", "--name", name, "toolbox", "true")
    now = f"{time.time():.9f}"  # the CLI cuts an age such as 0s to whole seconds
    words = docker("events", "--since", "10m", "--until", now, "--filter", f"container={name}", "--format", "{{.Action}}")
    assert words.stdout.split() == ["create", "attach", "start", "die", "destroy"]


def test_swarm_and_unknown_things_are_refused_clearly(docker: Docker) -> None:
    """Generic clients ask for these and go on."""
    assert "This node is not a swarm manager" in docker("node", "ls").stderr
    assert docker("plugin", "ls", "-q").stdout == ""
    assert "invalid filter 'nonsense'" in docker("ps", "--filter", "nonsense=1").stderr
