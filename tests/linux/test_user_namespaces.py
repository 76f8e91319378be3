"""`--userns-remap`: the root of a container is nobody outside.

A server of its own, in a directory that only root may enter: nothing of a start may depend on the container's root finding its way
there. Lines that the tests reserve in `/etc/subuid` and `/etc/subgid` are taken back.
"""

from __future__ import annotations

import io
import os
import shutil
import subprocess
import tarfile
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from tests.linux.conftest import Server
from tests.linux.test_explain_shell import CONFIGS, LOOK, build_by_hand, network_of
from tests.linux.mount_tables import canonical, in_order_of_paths
from tests.linux.test_simulator import STATUS_FIELDS, Machine, compare
from minidocker.codec.mountinfo import parse_mountinfo

pytestmark = pytest.mark.requires("root")

SUBIDS = (Path("/etc/subuid"), Path("/etc/subgid"))
ROOT = 100000
"""Replaced by what was really reserved."""


class Remapped(Server):
    """A server whose containers have users of their own."""

    def __init__(self) -> None:
        super().__init__("--userns-remap", "default")
        self.data = next(path for path in self.data.iterdir() if path.name.partition(".")[2].isdigit())
        self.uid, self.gid = (int(number) for number in self.data.name.split("."))


@pytest.fixture(scope="module")
def remapped() -> Iterator[Remapped]:
    """Start the server; take the reservation back at the end."""
    before = [path.read_text() if path.exists() else None for path in SUBIDS]
    server = Remapped()
    server.run("run", "--rm", "toolbox", "true")
    try:
        yield server
    finally:
        server.close()
        for path, text in zip(SUBIDS, before, strict=True):
            if text is None:
                path.unlink()
            else:
                path.write_text(text)


@pytest.fixture(scope="module")
def sleeper(remapped: Remapped) -> str:
    """A container that does nothing, with a volume."""
    name = remapped.new_name()
    assert remapped.run("run", "-d", "--name", name, "-v", "kept:/v", "--ulimit", "nofile=300:400", "toolbox", "sleep", "1000").returncode == 0
    return name


def shell(server: Server, name: str, script: str, *options: str) -> str:
    """Return what a shell in a running container prints."""
    result = server.run("exec", *options, name, "sh", "-c", script)
    assert result.returncode == 0, result.stderr
    return result.stdout


def test_root_of_a_container_is_nobody_outside(remapped: Remapped, sleeper: str) -> None:
    """Inside it is user 0 with the usual capabilities; the kernel knows it by a number that owns nothing on the host."""
    pid = remapped.inspect(sleeper)["State"]["Pid"]
    status = dict(line.split(":\t", 1) for line in Path(f"/proc/{pid}/status").read_text().splitlines() if ":\t" in line)
    assert status["Uid"].split() == [str(remapped.uid)] * 4
    assert status["Gid"].split() == [str(remapped.gid)] * 4
    assert status["Groups"].split() == [str(remapped.gid)]
    assert status["NSpid"].split()[-1] == "1"
    assert shell(remapped, sleeper, "id -u; cat /proc/self/uid_map").split() == ["0", "0", str(remapped.uid), "65536"]
    assert os.readlink(f"/proc/{pid}/ns/user") != os.readlink("/proc/self/ns/user")


def test_server_keeps_images_for_each_map_apart(remapped: Remapped) -> None:
    """Unpacked files belong to the map's numbers. The directory is root's: CVE-2021-21284 was one that the container's root owned."""
    info = remapped.run("info", "-f", "{{.DockerRootDir}} {{.SecurityOptions}}").stdout
    assert info.split()[0] == f"{remapped.directory}/data/{remapped.uid}.{remapped.gid}"
    assert "name=userns" in info
    for path in (remapped.data, remapped.data / "containers", remapped.data / "layers", remapped.data / "volumes"):
        assert path.stat().st_uid == 0
        assert not path.stat().st_mode & 0o022
    owners = {path.lstat().st_uid for path in remapped.data.glob("layers/*/diff/**/*")}
    assert owners == {remapped.uid}


def test_files_of_a_container_are_its_roots(remapped: Remapped, sleeper: str) -> None:
    """The image's files, the engine's own in /etc, and a volume: inside all is root's, outside nobody's."""
    listing = shell(remapped, sleeper, "stat -c %u:%g / /etc /etc/hosts /etc/resolv.conf /etc/hostname /v /dev /dev/pts /dev/shm /tmp; stat -c %u /dev/null")
    assert listing.split() == ["0:0"] * 10 + ["65534"]
    shell(remapped, sleeper, "touch /v/by-root; chown 1000:1000 /v/by-root; echo x >> /etc/hosts")
    status = (remapped.data / "volumes" / "kept" / "_data" / "by-root").stat()
    assert (status.st_uid, status.st_gid) == (remapped.uid + 1000, remapped.gid + 1000)


def test_host_file_that_is_bound_stays_the_hosts(remapped: Remapped, tmp_path: Path) -> None:
    """Root of the container reads what everybody may, and changes nothing; the way there may be closed to it."""
    closed = tmp_path / "closed"
    closed.mkdir(mode=0o700)
    (closed / "shown").mkdir()
    (closed / "shown" / "file").write_text("content\n")
    (closed / "shown" / "secret").touch(mode=0o600)
    script = "cat /b/file; stat -c %u /b/file; cat /b/secret || echo refused; touch /b/new || echo refused; chown 0 /b/file || echo refused"
    result = remapped.run("run", "--rm", "-v", f"{closed}/shown:/b", "toolbox", "sh", "-c", script)
    assert result.stdout.split() == ["content", "65534", "refused", "refused", "refused"]
    made = remapped.run("run", "--rm", "-v", f"{closed}/new:/b", "toolbox", "sh", "-c", "touch /b/x && stat -c %u /b/x")
    assert made.stdout == "0\n", "a directory that is made for the container is its own"


def test_exec_has_limits_and_streams(remapped: Remapped, sleeper: str) -> None:
    """/dev/stdout leads to a pipe of the host's: it is given away, or a program could not open it."""
    assert shell(remapped, sleeper, "echo out > /dev/stdout; echo err > /dev/stderr; id -u", "-u", "1000").split() == ["out", "1000"]
    assert remapped.run("run", "--rm", "toolbox", "sh", "-c", "echo out > /dev/stdout").stdout == "out\n"
    assert "300                  400" in shell(remapped, sleeper, "cat /proc/1/limits")
    shown = remapped.in_terminal("exec", "-it", sleeper, "sh", "-c", "tty; echo typed > /dev/tty")
    assert shown.split() == ["/dev/pts/0", "typed"]


def test_copies_have_the_owners_of_the_container(remapped: Remapped, sleeper: str, tmp_path: Path) -> None:
    """An archive speaks the container's numbers, in both directions, whether it runs or not."""
    (tmp_path / "f").write_text("x")
    assert remapped.run("cp", f"{tmp_path}/f", f"{sleeper}:/tmp/f").returncode == 0
    assert shell(remapped, sleeper, "stat -c %u:%g /tmp/f; chown 7:8 /tmp/f") == "0:0\n"
    command = remapped.command("cp", f"{sleeper}:/tmp/f", "-")
    archive = subprocess.run(command, capture_output=True, check=True, cwd=Path(__file__).parents[2]).stdout
    with tarfile.open(fileobj=io.BytesIO(archive)) as tar:
        assert [(m.uid, m.gid) for m in tar] == [(7, 8)]
    stopped = remapped.new_name()
    remapped.run("create", "--name", stopped, "toolbox", "stat", "-c", "%u:%g", "/tmp/f")
    remapped.run("cp", f"{tmp_path}/f", f"{stopped}:/tmp/f")
    assert remapped.run("start", "-a", stopped).stdout == "0:0\n"


def test_image_that_is_built_or_committed_has_the_containers_numbers(remapped: Remapped, tmp_path: Path) -> None:
    """What is sent to a registry must not say on whose numbers it was made."""
    (tmp_path / "file").write_text("x")
    lines = ["FROM toolbox", "WORKDIR /w", "COPY file /f", "COPY --chown=5:6 file /g", "RUN touch /r && stat -c %u:%g /w /f /g /r"]
    (tmp_path / "Dockerfile").write_text("\n".join(lines) + "\n")
    built = remapped.run("build", "-t", "numbers", "--progress", "plain", str(tmp_path))
    assert built.returncode == 0, built.stderr
    assert remapped.run("run", "--rm", "numbers", "stat", "-c", "%u:%g", "/w", "/f", "/g", "/r").stdout.split() == ["0:0", "0:0", "5:6", "0:0"]
    assert remapped.run("save", "-o", f"{tmp_path}/saved.tar", "numbers").returncode == 0
    owners = set()
    with tarfile.open(tmp_path / "saved.tar") as image:
        for member in image:
            file = image.extractfile(member)
            content = io.BytesIO(file.read() if file is not None else b"")
            with suppress(tarfile.ReadError), tarfile.open(fileobj=content) as layer:
                owners |= {(m.uid, m.gid) for m in layer}
    assert owners == {(0, 0), (5, 6)}


@pytest.mark.requires("busybox")
def test_program_with_privileges_keeps_them_inside(remapped: Remapped) -> None:
    """A file's capabilities name the root for whom they count; in a layer they name nobody, and are given to the container's root."""
    capability = (0x02000001).to_bytes(4, "little") + (1 << 13).to_bytes(4, "little") + bytes(12)  # CAP_NET_RAW, effective
    archive = io.BytesIO()
    with tarfile.open(fileobj=archive, mode="w", format=tarfile.PAX_FORMAT) as tar:
        member = tarfile.TarInfo("grep")
        content = Path(shutil.which("busybox") or "/bin/busybox").read_bytes()
        member.size, member.mode = len(content), 0o755
        member.pax_headers = {"SCHILY.xattr.security.capability": capability.decode("utf-8", "surrogateescape")}
        tar.addfile(member, io.BytesIO(content))
    path = remapped.directory / "caps.tar"
    path.write_bytes(archive.getvalue())
    assert remapped.run("import", str(path), "caps").returncode == 0
    result = remapped.run("run", "--rm", "-u", "1000", "caps", "/grep", "CapEff", "/proc/self/status")
    assert result.stdout.split() == ["CapEff:", "0000000000002000"], result.stderr


def test_two_containers_that_share_a_namespace_share_users(remapped: Remapped, sleeper: str) -> None:
    """The network of another container belongs to its user namespace."""
    script = "cat /proc/1/cmdline | tr '\\0' ' '; readlink /proc/self/ns/user"
    result = remapped.run("run", "--rm", "--net", f"container:{sleeper}", "--pid", f"container:{sleeper}", "toolbox", "sh", "-c", script)
    assert result.stdout.split() == ["sleep", "1000", shell(remapped, sleeper, "readlink /proc/self/ns/user").strip()]


def test_container_may_keep_the_hosts_users(remapped: Remapped) -> None:
    """`--userns=host` is for what needs the host's root; without it, privileges over the host are refused in Docker's words."""
    result = remapped.run("run", "--rm", "--userns=host", "--privileged", "toolbox", "cat", "/proc/self/uid_map")
    assert result.stdout.split() == ["0", "0", "4294967295"]
    refused = remapped.run("run", "--rm", "--privileged", "toolbox", "true")
    assert refused.returncode == 125
    assert "privileged mode is incompatible with user namespaces" in refused.stderr


def test_server_that_comes_back_finds_its_containers(remapped: Remapped, sleeper: str) -> None:
    """The monitor has adopted a process that is not its child by birth, and still learns how it ends."""
    name = remapped.new_name()
    remapped.run("run", "-d", "--name", name, "toolbox", "sh", "-c", "read x < /dev/zero; exit 7")
    remapped.run("run", "-d", "--name", f"{name}b", "toolbox", "sh", "-c", "sleep 0.2; exit 7")
    remapped.kill9()
    remapped.start()
    assert shell(remapped, sleeper, "id -u") == "0\n"
    assert remapped.run("wait", f"{name}b").stdout == "7\n"
    assert remapped.run("rm", "-f", name, f"{name}b").returncode == 0


@pytest.fixture(scope="module")
def machine(remapped: Remapped, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Machine]:
    """The remapped server, asked through its API."""
    asked = Machine(remapped, tmp_path_factory.mktemp("bound"))
    yield asked
    asked.client.close()


@pytest.mark.parametrize("options", ["", "--user nobody --read-only -v named:/data --ulimit nofile=100:200", "--network none --ipc host --init --device /dev/null:/dev/nought:rw"])
def test_model_agrees_about_users(machine: Machine, options: str) -> None:
    """The simulator ends in the state of the kernel, mounts and numbers and devices."""
    compare(machine, options, sees_host=False, own_network=True, ordered=False)


@pytest.mark.requires("busybox", "ip")
@pytest.mark.parametrize("options", [CONFIGS["network-none"], "--user nobody --ulimit nofile=100:200 --oom-score-adj 100"])
def test_script_gives_the_same_users(machine: Machine, tmp_path: Path, options: str) -> None:
    """By hand: one shell makes the namespace, the other writes the map. The tools walk paths, so the way must be open to the new root."""
    server = machine.server
    for path in (server.directory, server.directory / "data", server.data, server.data / "containers"):
        path.chmod(0o711)
    container = machine.create(options, LOOK)
    try:
        by_engine = machine.watch(container)
        machine.client.call("POST", f"/containers/{container}/wait").read()
        for directory, _names, _files in os.walk(server.data / "containers" / container):
            os.chmod(directory, 0o755)
            break
        by_hand = build_by_hand(machine, container, server.directory)
    finally:
        machine.remove(container)
    assert canonical(in_order_of_paths(parse_mountinfo(by_hand[0]))) == canonical(in_order_of_paths(parse_mountinfo(by_engine[0])))
    fields = {name for name in STATUS_FIELDS if "Seccomp" not in name}
    identity = [{line for line in status.splitlines() if line.partition(":")[0] in fields} for status in (by_hand[1], by_engine[1])]
    assert identity[0] == identity[1]
    assert by_hand[3:9] == by_engine[3:9]
    assert network_of(by_hand[9]) == network_of(by_engine[9])
