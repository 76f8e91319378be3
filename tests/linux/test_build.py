"""Builds on a real kernel, through our own client: what comes out, what is used again, and what is left behind: nothing."""

from __future__ import annotations

import http.server
import io
import json
import os
import secrets
import socket
import subprocess
import tarfile
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from tests.linux.conftest import Server

pytestmark = [pytest.mark.requires("root", "overlayfs"), pytest.mark.chapter(10)]

Build = Callable[..., str]


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    """Return a server of this module's own: its cache is emptied, and it is killed."""
    from tests.linux.conftest import Server as RunningServer

    running = RunningServer()
    yield running
    running.close()


@pytest.fixture(scope="module")
def other_server() -> Iterator[Server]:
    """Return a second one, as if on another machine."""
    from tests.linux.conftest import Server as RunningServer

    running = RunningServer()
    yield running
    running.close()


def outcome(server: Server, directory: Path, dockerfile: str, *flags: str) -> subprocess.CompletedProcess[str]:
    """Run a build whose Dockerfile is *dockerfile*."""
    (directory / "Dockerfile").write_text(dockerfile)
    return server.run("build", "--progress", "plain", *flags, str(directory))


@pytest.fixture
def build(server: Server, tmp_path: Path) -> Build:
    """Return a function that builds, must succeed, and returns what was told."""

    def run(dockerfile: str, *flags: str) -> str:
        result = outcome(server, tmp_path, dockerfile, *flags)
        assert result.returncode == 0, result.stderr
        return result.stdout + result.stderr

    return run


def show(server: Server, image: str, script: str) -> str:
    """Return what *script* prints in a container of *image*."""
    result = server.run("run", "--rm", "--network", "none", image, "sh", "-c", script)
    assert result.returncode == 0, result.stderr
    return result.stdout


def inspect(server: Server, image: str) -> dict[str, Any]:
    """Return what is known about an image."""
    found: dict[str, Any] = json.loads(server.run("image", "inspect", image).stdout)[0]
    return found


def assert_nothing_left(server: Server) -> None:
    """No container, no unfinished file, no monitor, no mount."""
    deadline = time.monotonic() + 30
    places = [server.directory / "data/containers", server.directory / "data/tmp", server.directory / "exec"]
    while any(any(entry.is_dir() and len(entry.name) >= 24 for entry in place.iterdir()) for place in places):
        assert time.monotonic() < deadline, [list(place.iterdir()) for place in places]
        time.sleep(0.05)
    assert str(server.directory) not in Path("/proc/self/mountinfo").read_text()


def test_image_has_what_its_instructions_say(server: Server, build: Build, tmp_path: Path) -> None:
    """Files, environment, working directory, command, labels, history: one of each."""
    (tmp_path / "f.txt").write_text("file\n")
    build(
        'FROM toolbox\nENV A=1\nARG B=2\nRUN echo $A$B > /x\nCOPY f.txt /d/\nWORKDIR /w\nLABEL l=v\nEXPOSE 80\nCMD ["cat", "/x", "/d/f.txt"]',
        "-t", "whole",
    )  # fmt: skip
    assert server.run("run", "--rm", "--network", "none", "whole").stdout == "12\nfile\n"
    config = inspect(server, "whole")["Config"]
    assert (config["WorkingDir"], config["Labels"]["l"], list(config["ExposedPorts"])) == ("/w", "v", ["80/tcp"])
    assert not any(word.startswith("B=") for word in config["Env"])
    assert show(server, "whole", "ls -A /dev /proc /sys | wc -l; stat -c '%u:%g %a' /d/f.txt").endswith("0:0 644\n")


def test_second_build_does_nothing_and_gives_the_same_image(server: Server, build: Build) -> None:
    """A cache that gives another id each time would make every push a new one."""
    dockerfile = "FROM toolbox\nRUN date > /time\nENV X=1\nWORKDIR /w"
    build(dockerfile, "-t", "same:1")
    assert "DONE" not in build(dockerfile, "-t", "same:2").partition("RUN date")[2]
    assert inspect(server, "same:1")["Id"] == inspect(server, "same:2")["Id"]


def test_step_misses_when_what_it_reads_changes_and_only_then(server: Server, build: Build, tmp_path: Path) -> None:
    """Content counts and time does not; the explanation names the file."""
    dockerfile = "FROM toolbox\nCOPY src /src\nRUN cat /src/a"
    source = tmp_path / "src"
    source.mkdir()
    (source / "a").write_text("one")
    build(dockerfile)
    os.utime(source / "a", (1, 1))
    assert build(dockerfile, "--explain-cache").count("CACHED") == 2
    (source / "a").write_text("two")
    told = build(dockerfile, "--explain-cache")
    assert "cache miss: content of `src` changed" in told
    assert "cache miss: a step before it changed" in told


def test_argument_busts_the_commands_after_it_and_not_the_files(build: Build, tmp_path: Path) -> None:
    """ARG is in the environment of RUN, so RUN depends on it; COPY does not see it."""
    (tmp_path / "f").write_text("f")
    dockerfile = "FROM toolbox\nARG V=1\nCOPY f /f\nRUN echo $V"
    build(dockerfile)
    told = build(dockerfile, "--build-arg", "V=2", "--explain-cache")
    assert "cache miss: argument `V` changed" in told
    assert told.count("CACHED") == 1


def test_stages_that_nobody_needs_are_not_built_and_the_others_run_side_by_side(server: Server, build: Build) -> None:
    """Each of two stages waits for a file that the other one makes: one after the other they would never end."""
    wait = "for i in $(seq 600); do test -e /c/{0} && break; sleep 0.1; done; test -e /c/{0}"
    mount = f"--mount=type=cache,target=/c,id={secrets.token_hex(8)}"
    build(
        f"FROM toolbox AS a\nRUN {mount} touch /c/a; {wait.format('b')}; echo a > /a\n"
        f"FROM toolbox AS b\nRUN {mount} touch /c/b; {wait.format('a')}; echo b > /b\n"
        "FROM toolbox AS never\nRUN exit 1\nFROM toolbox\nCOPY --from=a /a /\nCOPY --from=1 /b /",
        "-t", "stages",
    )  # fmt: skip
    assert show(server, "stages", "cat /a /b") == "a\nb\n"


def test_failed_command_says_what_ran_and_keeps_what_went_before(server: Server, build: Build, tmp_path: Path) -> None:
    """The exit code is the command's, its last lines are repeated, and the next try begins where this one ended."""
    result = outcome(server, tmp_path, "FROM toolbox\nRUN echo first\nRUN seq 100; exit 7")
    assert result.returncode == 7
    assert "The command '/bin/sh -c seq 100; exit 7' returned a non-zero code: 7" in result.stderr
    assert "> 91\n" in result.stderr
    assert "> 90\n" not in result.stderr
    assert "CACHED" in outcome(server, tmp_path, "FROM toolbox\nRUN echo first\nRUN seq 100; exit 7").stderr
    assert_nothing_left(server)


def test_command_that_does_not_exist_fails_like_one(server: Server, tmp_path: Path) -> None:
    """127, as a shell has it."""
    result = outcome(server, tmp_path, 'FROM toolbox\nRUN ["/no/such"]')
    assert result.returncode == 127
    assert "/no/such" in result.stderr


def test_secret_is_in_the_command_and_nowhere_else(server: Server, build: Build, tmp_path: Path) -> None:
    """Not in a layer, the history, the cache, its keys or the log; nor does another secret change the key."""
    words = [f"hush{secrets.token_hex(12)}" for _ in range(2)]
    dockerfile = (
        "FROM toolbox\nRUN --mount=type=secret,id=s wc -c < /run/secrets/s; stat -c %a /run/secrets/s\n"
        "RUN --mount=type=secret,id=s,env=S,target=/s test -n \"$S\" && cmp /s /s"
    )
    for word in words:
        secret = tmp_path.parent / "secret"
        secret.write_text(word)
        told = build(dockerfile, "--secret", f"id=s,src={secret}", "-t", "hushed")
        secret.unlink()
    assert told.count("CACHED") == 2
    found = subprocess.run(["grep", "-rlE", "|".join(words), str(server.directory)], capture_output=True, text=True, check=False)
    assert found.stdout == ""
    assert not any(word in server.run("history", "--no-trunc", "hushed").stdout for word in words)
    assert show(server, "hushed", "ls -d /run/secrets /s 2>/dev/null | wc -l") == "0\n"


def test_secret_that_is_required_and_missing_is_an_error(server: Server, tmp_path: Path) -> None:
    """Better than a build that goes on with an empty password."""
    result = outcome(server, tmp_path, "FROM toolbox\nRUN --mount=type=secret,id=s,required true")
    assert result.returncode != 0
    assert "secret s: not found" in result.stderr


@pytest.mark.parametrize(
    ("mount", "script", "expected"),
    [
        ("type=bind,target=/m", "cat /m/f; touch /m/f 2>/dev/null || echo ro", "f\nro\n"),
        ("type=bind,source=f,target=/m", "cat /m", "f\n"),
        ("type=bind,target=/m,rw", "echo new > /m/f; cat /m/f", "new\n"),
        ("type=bind,from=other,source=/o,target=/m", "cat /m/x", "other\n"),
        ("type=bind,from=other,source=/o,target=/m,rw", "rm /m/x; ls /m | wc -l", "0\n"),
        ("type=tmpfs,target=/m", "touch /m/x; df -T /m 2>/dev/null | grep -c tmpfs || grep -c ' /m tmpfs' /proc/mounts", "1\n"),
        ("type=cache,target=/m,from=other,source=/o", "cat /m/x", "other\n"),
        ("type=cache,target=/m,uid=5,gid=6,mode=0700", "stat -c '%u:%g %a' /m", "5:6 700\n"),
    ],
    ids=["context", "file", "writable", "stage", "writable stage", "tmpfs", "seeded cache", "cache with owner"],
)
def test_mount_lends_files_and_leaves_no_trace(server: Server, build: Build, tmp_path: Path, mount: str, script: str, expected: str) -> None:
    """What is mounted is no part of the layer, nor is the empty name that it was mounted on."""
    (tmp_path / "f").write_text("f\n")
    cache = f",id={secrets.token_hex(8)}" if "type=cache" in mount else ""
    build(
        "FROM toolbox AS other\nRUN mkdir /o && echo base > /o/x\nRUN echo other > /o/x\n"
        f"FROM toolbox\nRUN --mount={mount}{cache} ({script}) > /out; true",
        "-t", "mounts",
    )  # fmt: skip
    assert show(server, "mounts", "cat /out; test ! -e /m") == expected
    assert (tmp_path / "f").read_text() == "f\n"


def test_cache_mount_lives_from_build_to_build_and_goes_with_prune(server: Server, build: Build) -> None:
    """That is what it is for: packages that were fetched once."""
    dockerfile = f"FROM toolbox\nRUN --mount=type=cache,target=/c,id={secrets.token_hex(8)} echo x >> /c/n; wc -l < /c/n"
    assert "#2 1\n" in build(dockerfile, "--no-cache")
    assert "#2 2\n" in build(dockerfile, "--no-cache")
    assert "Total reclaimed space" in server.run("builder", "prune", "-af").stdout
    assert "#2 1\n" in build(dockerfile, "--no-cache")


def test_pruning_keeps_what_images_have_and_frees_the_rest(server: Server, build: Build, tmp_path: Path) -> None:
    """An image outlives the cache that it came from."""
    build("FROM toolbox\nRUN head -c 1000000 /dev/zero > /zero", "-t", "kept")
    outcome(server, tmp_path, "FROM toolbox\nRUN head -c 2000000 /dev/zero > /lost\nRUN exit 1")
    before = {path.name for path in (server.directory / "data/blobs/sha256").iterdir()}
    assert server.run("builder", "prune", "-af").returncode == 0
    gone = before - {path.name for path in (server.directory / "data/blobs/sha256").iterdir()}
    assert gone
    assert show(server, "kept", "wc -c < /zero") == "1000000\n"


@pytest.mark.parametrize(
    ("instruction", "script", "expected"),
    [
        ("COPY d /x", "cd /x; find . | sort | tr '\\n' ' '", ". ./e ./e/g ./f "),
        ("COPY d/f /x", "cat /x", "f\n"),
        ("COPY d/f /x/", "ls /x", "f\n"),
        ("COPY d/f top /x/", "ls /x | tr '\\n' ' '", "f top "),
        ("COPY d/* /x/", "ls /x | tr '\\n' ' '", "f g "),
        ("COPY t?p /x", "cat /x", "top\n"),
        ("COPY nothing* /x/", "test ! -e /x/nothing && echo none", "none\n"),
        ("COPY ../../d/./f /x", "cat /x", "f\n"),
        ("COPY link /x", "cat /x", "top\n"),
        ("COPY links /x/", "readlink /x/up", "../../../etc/passwd\n"),
        ("COPY --chown=7:8 --chmod=u=rwx,go= d /x", "stat -c '%u:%g %a' /x/f /x/e | tr '\\n' ' '", "7:8 700 7:8 700 "),
        ("COPY --chown=owner top /x", "stat -c '%u:%g' /x", "1234:4321\n"),
        ("COPY --parents d/./e/g /x/", "find /x -type f", "/x/e/g\n"),
        ("COPY --parents **/g /x/", "find /x -type f", "/x/d/e/g\n"),
        ("COPY --exclude=e d /x", "ls /x", "f\n"),
        ("COPY --exclude=* --exclude=!e/g d /x", "find /x -type f", "/x/e/g\n"),
        ("COPY --link top /deep/er/", "cat /deep/er/top", "top\n"),
        ("COPY top /ln/", "cat /real/top", "top\n"),
        ("COPY <<a <<'b' /x/\n$W\na\n$W\nb", "cat /x/a /x/b; stat -c %a /x/a", "word\n$W\n644\n"),
        ("ADD a.tar.xz /x", "cat /x/in", "in\n"),
        ("ADD --unpack=false a.tar.xz /x/", "ls /x", "a.tar.xz\n"),
        ("COPY a.tar.xz /x/", "ls /x", "a.tar.xz\n"),
    ],
)  # fmt: skip
def test_copy_follows_the_rules_of_the_reference(server: Server, build: Build, tmp_path: Path, instruction: str, script: str, expected: str) -> None:
    """Directories are their contents, links are followed inside the context, owners are root unless told."""
    (tmp_path / "d/e").mkdir(parents=True)
    for name in ("d/f", "d/e/g", "top"):
        (tmp_path / name).write_text(f"{Path(name).name}\n")
    (tmp_path / "link").symlink_to("/top")
    (tmp_path / "links").mkdir()
    (tmp_path / "links/up").symlink_to("../../../etc/passwd")
    with tarfile.open(tmp_path / "a.tar.xz", "w:xz") as archive:
        member = tarfile.TarInfo("in")
        member.size = 3
        archive.addfile(member, io.BytesIO(b"in\n"))
    build(
        "FROM toolbox\nENV W=word\nRUN echo owner:x:1234:4321::/: >> /etc/passwd; mkdir /real; ln -s /real /ln\n" + instruction, "-t", "copied"
    )
    assert show(server, "copied", script) == expected


@pytest.mark.parametrize(
    ("instruction", "problem"),
    [
        ("COPY missing /x", "missing: file does not exist"),
        ("COPY d /etc/passwd", "not a directory"),
        ("COPY out /x", "file does not exist"),
        ("COPY --from=nowhere.invalid/x / /", "nowhere.invalid"),
        ("COPY https://h.invalid/x /", "can't be a URL"),
    ],
)
def test_copy_of_what_cannot_be_is_refused_with_its_line(server: Server, tmp_path: Path, instruction: str, problem: str) -> None:
    """A link that leads out of the context leads nowhere."""
    (tmp_path / "d").mkdir()
    (tmp_path / "d/f").write_text("")
    (tmp_path / "out").symlink_to("../../../../../../etc/hostname")
    result = outcome(server, tmp_path, f"FROM toolbox\n{instruction}")
    assert result.returncode != 0
    assert problem in result.stderr


def test_layer_shows_what_was_removed_below_it(server: Server, build: Build) -> None:
    """Whiteouts and opaque directories: the layers of a build are those of containers."""
    build("FROM toolbox\nRUN mkdir /d && touch /d/a /d/b\nRUN rm -r /d && mkdir /d && touch /d/c && rm /bin/awk", "-t", "less")
    assert show(server, "less", "ls /d; ls /bin/awk 2>/dev/null | wc -l") == "c\n0\n"
    archive = server.directory / "less.tar"
    server.run("save", "-o", str(archive), "less")
    server.run("image", "rm", "less")
    server.run("builder", "prune", "-af")
    assert server.run("load", "-i", str(archive)).returncode == 0
    assert show(server, "less", "ls /d; ls /bin/awk 2>/dev/null | wc -l") == "c\n0\n"


def test_trigger_runs_in_the_next_build_and_not_in_the_one_after(server: Server, build: Build) -> None:
    """ONBUILD is text that an image keeps for whoever builds on it."""
    build("FROM toolbox\nONBUILD RUN echo trigger >> /t\nONBUILD ENV T=1", "-t", "parent")
    build("FROM parent\nRUN cat /t", "-t", "child")
    build("FROM child", "-t", "grandchild")
    assert show(server, "grandchild", "cat /t; echo $T") == "trigger\n1\n"
    assert not inspect(server, "child")["Config"]["OnBuild"]


def test_same_epoch_gives_the_same_image_in_two_data_roots(server: Server, other_server: Server, tmp_path: Path) -> None:
    """Reproducible: whoever doubts a published image builds it again and compares one digest."""
    (tmp_path / "f").write_text("f")
    (tmp_path / "Dockerfile").write_text("FROM toolbox\nCOPY f /a/b/f\nRUN date +%N > /dev/null; mkdir /new; echo x > /new/y\nWORKDIR /w\nENV A=1")
    ids: list[str] = []
    for one in (server, other_server, server):
        os.utime(tmp_path / "f", (len(ids) + 2e9, len(ids) + 2e9))
        result = one.run("build", "-q", "--no-cache", "--build-arg", "SOURCE_DATE_EPOCH=1700000000", str(tmp_path))
        assert result.returncode == 0, result.stderr
        ids.append(result.stdout)
    assert ids[0] == ids[1] == ids[2]
    assert inspect(server, ids[0].strip())["Created"] == "2023-11-14T22:13:20Z"


@pytest.mark.parametrize("how", ["client", "cancel"])
def test_build_that_nobody_waits_for_stops_and_leaves_nothing(server: Server, tmp_path: Path, how: str) -> None:
    """The connection is the build's life: a command that says nothing for an hour must not run on for nobody."""
    marker = f"9{secrets.randbelow(10**8):08d}"
    (tmp_path / "Dockerfile").write_text(f"FROM toolbox\nRUN sleep {marker}")
    client = subprocess.Popen(server.command("build", str(tmp_path)), stdout=subprocess.PIPE, stderr=subprocess.STDOUT, cwd=Path(__file__).parents[2])

    def is_running() -> bool:
        return any(marker.encode() in _command_line(path) for path in Path("/proc").glob("[0-9]*/cmdline"))

    _wait_for(is_running)
    if how == "client":
        client.kill()
    else:
        server.stop()
        server.start()
    client.communicate(timeout=60)
    _wait_for(lambda: not is_running())
    assert_nothing_left(server)


def _command_line(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError:
        return b""


def _wait_for(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.05)


def test_server_that_was_killed_in_a_build_comes_back_clean(server: Server, tmp_path: Path) -> None:
    """A monitor outlives its server; the one of a RUN has no meaning without it."""
    marker = f"8{secrets.randbelow(10**8):08d}"
    (tmp_path / "Dockerfile").write_text(f"FROM toolbox\nRUN sleep {marker}")
    client = subprocess.Popen(server.command("build", str(tmp_path)), stdout=subprocess.PIPE, stderr=subprocess.STDOUT, cwd=Path(__file__).parents[2])

    def is_running() -> bool:
        return any(marker.encode() in _command_line(path) for path in Path("/proc").glob("[0-9]*/cmdline"))

    _wait_for(is_running)
    server.kill9()
    client.communicate(timeout=60)
    server.start()
    _wait_for(lambda: not is_running())
    assert_nothing_left(server)


def test_dockerfile_may_not_take_what_was_not_granted(server: Server, build: Build, tmp_path: Path) -> None:
    """The host's network and all capabilities are for whoever starts the build to give (CVE-2024-23653)."""
    for flag, grant in (("--network=host", "network.host"), ("--security=insecure", "security.insecure")):
        result = outcome(server, tmp_path, f"FROM toolbox\nRUN {flag} true")
        assert result.returncode != 0
        assert f"{grant} is not allowed" in result.stderr
        build(f"FROM toolbox\nRUN {flag} true", "--allow", grant)


def test_run_without_network_has_none_and_with_one_has_it(build: Build) -> None:
    """`--network=none` is how a build proves that it fetches nothing."""
    assert "#2 1\n" in build("FROM toolbox\nRUN --network=none grep -c : /proc/net/dev")
    assert "#2 2\n" in build("FROM toolbox\nRUN grep -c : /proc/net/dev")


@pytest.fixture
def web(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[str, Path]]:
    """Serve a directory over HTTP on the loopback; return its address and the directory."""
    directory = tmp_path_factory.mktemp("web")

    class Handler(http.server.SimpleHTTPRequestHandler):
        def __init__(self, *arguments: Any) -> None:
            super().__init__(*arguments, directory=str(directory))

        def log_message(self, *_: Any) -> None:
            pass

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as site:
        thread = threading.Thread(target=site.serve_forever, daemon=True)
        thread.start()
        yield f"http://127.0.0.1:{site.server_port}", directory
        site.shutdown()
        thread.join()


def test_add_fetches_a_file_and_checks_its_digest(server: Server, build: Build, tmp_path: Path, web: tuple[str, Path]) -> None:
    """Mode 0600, the time that the server says, never unpacked; another content than expected is refused."""
    address, directory = web
    (directory / "file").write_text("fetched\n")
    os.utime(directory / "file", (1e9, 1e9))
    digest = "sha256:0000000000000000000000000000000000000000000000000000000000000000"
    build(f"FROM toolbox\nADD {address}/file /x/", "-t", "fetched")
    assert show(server, "fetched", "cat /x/file; stat -c '%a %Y' /x/file") == "fetched\n600 1000000000\n"
    result = outcome(server, tmp_path, f"FROM toolbox\nADD --checksum={digest} {address}/file /x/")
    assert "digest mismatch" in result.stderr
    assert outcome(server, tmp_path, f"FROM toolbox\nADD {address}/none /x/").returncode != 0


@pytest.mark.requires("git")
def test_git_repository_is_a_context_and_a_source(server: Server, build: Build, web: tuple[str, Path]) -> None:
    """`URL#REF:DIRECTORY`; without `.git`, and with nothing of this machine's configuration."""
    address, directory = web
    work = directory / "work"
    (work / "sub").mkdir(parents=True)
    (work / "sub/Dockerfile").write_text("FROM toolbox\nCOPY . /here")
    (work / "sub/file").write_text("from git\n")
    environment = {**os.environ, "GIT_CONFIG_GLOBAL": "/dev/null", "GIT_CONFIG_NOSYSTEM": "1"}
    for words in (
        ["init", "-q", "-b", "main"], ["add", "."], ["-c", "user.name=x", "-c", "user.email=x@y", "commit", "-qm", "x"], ["tag", "v1"],
        ["clone", "-q", "--bare", ".", str(directory / "repo.git")],
    ):  # fmt: skip
        subprocess.run(["git", *words], cwd=work, env=environment, check=True)
    subprocess.run(["git", "update-server-info"], cwd=directory / "repo.git", env=environment, check=True)
    result = server.run("build", "-t", "gitted", f"{address}/repo.git#v1:sub")
    assert result.returncode == 0, result.stderr
    assert show(server, "gitted", "cat /here/file; test ! -e /here/.git") == "from git\n"
    build(f"FROM toolbox\nADD {address}/repo.git#main:sub /here", "-t", "gitted:2")
    assert show(server, "gitted:2", "cat /here/file") == "from git\n"


@pytest.mark.parametrize("way", ["dockerfile on stdin", "archive on stdin", "-f -", "-f outside", "url of an archive", "url of a Dockerfile"])
def test_context_comes_in_every_way_that_docker_knows(server: Server, tmp_path: Path, web: tuple[str, Path], way: str) -> None:
    """A directory, an archive, one file, a place on the web."""
    address, directory = web
    context = tmp_path / "context"
    context.mkdir()
    (context / "f").write_text("f\n")
    plain, copying = "FROM toolbox\nRUN echo f > /f\n", "FROM toolbox\nCOPY f /f\n"
    with tarfile.open(directory / "c.tgz", "w:gz") as archive:
        for name, text in (("Dockerfile", copying), ("f", "f\n")):
            member = tarfile.TarInfo(name)
            member.size = len(text)
            archive.addfile(member, io.BytesIO(text.encode()))
    (directory / "Dockerfile").write_text(plain)
    (tmp_path / "Outside").write_text(copying)
    words: list[str] = {
        "dockerfile on stdin": ["-"], "archive on stdin": ["-"], "-f -": ["-f", "-", str(context)],
        "-f outside": ["-f", str(tmp_path / "Outside"), str(context)], "url of an archive": [f"{address}/c.tgz"],
        "url of a Dockerfile": [f"{address}/Dockerfile"],
    }[way]  # fmt: skip
    given = {"dockerfile on stdin": plain.encode(), "archive on stdin": (directory / "c.tgz").read_bytes(), "-f -": copying.encode()}.get(way, b"")
    result = subprocess.run(
        server.command("build", "-t", "way", *words), input=given, capture_output=True, timeout=120, check=False, cwd=Path(__file__).parents[2]
    )
    assert result.returncode == 0, result.stderr
    assert show(server, "way", "cat /f; ls -A / | grep -c dockerfile.minidocker || true") in ("f\n0\n", "f\n")


def test_ignored_files_do_not_arrive_and_the_dockerfile_does(server: Server, build: Build, tmp_path: Path) -> None:
    """Even where it is ignored itself: the builder needs it, COPY does not get it."""
    (tmp_path / ".dockerignore").write_text("*\n!kept\n")
    for name in ("kept", "dropped"):
        (tmp_path / name).write_text(name)
    build("FROM toolbox\nCOPY . /c/", "-t", "ignoring")
    assert show(server, "ignoring", "ls -A /c") == "kept\n"
    told = server.run("build", "--explain-context", str(tmp_path)).stdout
    assert "ignored  dropped  (line 1: *)" in told
    assert "kept     kept  (line 2: !kept)" in told


@pytest.mark.parametrize("kind", ["tar", "local", "oci"])
def test_output_is_written_where_the_client_is(server: Server, build: Build, tmp_path: Path, kind: str) -> None:
    """Files instead of an image: a build as a compiler."""
    target = tmp_path.parent / f"{tmp_path.name}-out"
    build("FROM scratch\nCOPY Dockerfile /d/made", "-o", f"type={kind},dest={target}")
    if kind == "local":
        assert (target / "d/made").exists()
        return
    with tarfile.open(target) as archive:
        names = archive.getnames()
    assert ("d/made" if kind == "tar" else "oci-layout") in names


def test_cache_of_another_machine_comes_with_the_image(server: Server, other_server: Server, build: Build, tmp_path: Path) -> None:
    """An image is no result by itself (CVE-2024-24557); `--cache-from` says that it may be one."""
    dockerfile = f"FROM toolbox\nRUN echo {secrets.token_hex(4)}; date +%N > /n\nENV X=1"
    build(dockerfile, "-t", "cached:1")
    archive = tmp_path.parent / "cached.tar"
    server.run("save", "-o", str(archive), "cached:1")
    other_server.run("load", "-i", str(archive))
    archive.unlink()
    assert "CACHED" not in outcome(other_server, tmp_path, dockerfile, "-t", "alone").stderr
    other_server.run("builder", "prune", "-af")
    assert outcome(other_server, tmp_path, dockerfile, "--cache-from", "cached:1", "-t", "helped").stderr.count("CACHED") == 2
    assert inspect(other_server, "helped")["Id"] == inspect(server, "cached:1")["Id"]


def test_socket_of_an_agent_is_lent_to_one_command(server: Server, build: Build, tmp_path: Path) -> None:
    """`--ssh`: keys stay with the agent, the command only talks to it."""
    path = tmp_path.parent / "agent"
    with socket.socket(socket.AF_UNIX) as agent:
        agent.bind(str(path))
        agent.listen()
        build(
            "FROM toolbox\nRUN --mount=type=ssh test -S $SSH_AUTH_SOCK\nRUN test -z \"$SSH_AUTH_SOCK\" && test ! -e /run/buildkit",
            "--ssh", f"default={path}",
        )  # fmt: skip
    path.unlink()
