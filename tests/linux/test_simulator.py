"""The simulator and the kernel agree.

A container is made twice from one configuration: by the engine on this kernel, and by the simulator from the engine's own plan and a
description of this machine. Then `/proc`, `/sys/fs/cgroup`, `/dev` and netlink are read inside the real one, and laid beside what the
model says. What is masked, and why:

- ids of mounts and peer groups, device numbers: the kernel counts in its own way; which ones are *equal* is compared;
- process numbers outside of the container, for the same reason;
- options that newer kernels print (`MASKED_OPTIONS`): no property of the container;
- MAC addresses of the host's end of a cable: random.
"""

from __future__ import annotations

import json
import os
import re
import socket
import time
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from minidocker.client.transport import Transport
from minidocker.cli.flags import parse_flags
from minidocker.cli.run_body import Surroundings, build_create_body
from minidocker.cli.run_flags import CREATE_FLAGS
from minidocker.codec.mountinfo import parse_mountinfo
from minidocker.container.plan import MASKED_PATHS, READONLY_PATHS
from minidocker.container.user import resolve_user
from minidocker.kernel import netlink
from minidocker.kernel.flags import Clone
from minidocker.kernel.namespaces import open_namespace, setns
from minidocker.kernel.steps import Step, WriteSysctl
from minidocker.simulator.linux import DIRECTORY, Linux, Node, NodeKind
from minidocker.simulator.machine import Facts, boot, prepare
from minidocker.simulator.network import MAIN
from minidocker.simulator.perform import Simulation, simulate
from minidocker.simulator.processes import read_sysctls
from minidocker.simulator.views import list_devices, list_mounts, render_cgroup, render_limits, render_status
from minidocker.spec.record import read_record
from tests.linux.conftest import Server
from tests.linux.mount_tables import canonical, in_order_of_paths
from tests.linux.pairwise import Row, choose_rows

pytestmark = pytest.mark.requires("root")

FACTORS = {
    "network": ("bridge", "none", "host"),
    "pid": ("", "host"),
    "ipc": ("", "host"),
    "uts": ("", "host"),
    "cgroupns": ("", "host"),
    "user": ("", "nobody", "1000:1000", "0:tty --group-add nogroup"),
    "capabilities": ("", "--cap-drop ALL", "--cap-add NET_ADMIN --cap-drop CHOWN", "--privileged", "--cap-add ALL"),
    "security": ("", "no-new-privileges", "seccomp=unconfined", "systempaths=unconfined"),
    "root": ("", "--read-only"),
    "terminal": ("", "--tty"),
    "init": ("", "--init"),
    "files": ("", "-v {dir}:/data:ro", "-v {dir}/file:/etc/file", "-v named:/data", "--mount type=bind,src={dir},dst=/d,bind-propagation=rslave"),
    "memory": ("", "--tmpfs /scratch:size=1m,mode=1770", "--shm-size 1m", "--mount type=tmpfs,dst=/var/run/deep,readonly"),
    "limits": ("", "--memory 64m --pids-limit 42", "--cpus 0.5 --cpu-shares 200", "--memory 32m --memory-swap 48m --cpuset-cpus 0"),
    "process": ("", "--ulimit nofile=100:200 --oom-score-adj 100", "--workdir /made/here", "--hostname box --domainname example.org"),
    "kernel": ("", "--sysctl net.ipv4.ip_forward=1", "--sysctl kernel.shmmax=1000000", "--device /dev/null:/dev/nought:rw"),
}
"""Options that change what is seen from inside; an empty word is the default."""

IMPOSSIBLE = (
    ({"network": "host", "kernel": "--sysctl net.ipv4.ip_forward=1"}, "the host's own parameter"),
    ({"ipc": "host", "kernel": "--sysctl kernel.shmmax=1000000"}, "the host's own parameter"),
    ({"uts": "host", "process": "--hostname box --domainname example.org"}, "the host's own name"),
    ({"network": "host", "process": "--hostname box --domainname example.org"}, "as Docker has it, the name goes into its own UTS namespace"),
)
"""Pairs that the engine refuses, or that would change the host."""



def is_possible(row: Row) -> bool:
    """Return whether the engine makes this container."""
    return not any(pair.items() <= row.items() for pair, _ in IMPOSSIBLE)


ROWS = choose_rows(FACTORS, is_possible)

STATUS_FIELDS = (
    "Umask", "Uid", "Gid", "Groups", "NSpid", "NSsid", "CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb", "NoNewPrivs", "Seccomp",
    "Seccomp_filters",
)  # fmt: skip
MARK = "== next =="
SCRIPT = (
    "for f in mountinfo status cgroup limits oom_score_adj; do cat /proc/$$/$f; echo '== next =='; done;"
    " hostname; echo '== next =='; pwd; echo '== next ==';"
    " find /dev -path /dev/pts -prune -o '(' -type c -o -type b ')' -exec stat -c '%n %F %t:%T' '{}' ';'; echo '== next ==';"
    " cat /proc/sys/net/ipv4/ip_forward /proc/sys/kernel/shmmax; echo '== end =='; exec sleep 1000"
)
"""The shell becomes the sleeper, so that the container stays to be looked at with netlink."""


class Machine:
    """A server of one's own, asked through its API: no client process for each question."""

    def __init__(self, server: Server, directory: Path) -> None:
        """Begin with an empty directory whose file can be bound."""
        self.server, self.directory = server, directory
        self.client = Transport(self._connect)
        (directory / "file").write_text("")

    def _connect(self) -> socket.socket:
        connection = socket.socket(socket.AF_UNIX)
        connection.connect(f"{self.server.directory}/s")
        return connection

    def create(self, options: str, script: str = SCRIPT) -> str:
        """Create a container that shows what it sees, and return its id."""
        words = [*options.format(dir=self.directory).split(), "toolbox", "sh", "-c", script]
        body = build_create_body(parse_flags(CREATE_FLAGS, words, interspersed=False), Surroundings({}, "/", lambda path: Path(path).read_text()))
        created = self.client.post("/containers/create", body=body)
        assert isinstance(created, dict)
        return str(created["Id"])

    def watch(self, container: str) -> list[str]:
        """Start a container and return what it shows, part by part."""
        self.client.call("POST", f"/containers/{container}/start").read()
        log = self.server.data / "containers" / container / f"{container}-json.log"
        deadline = time.monotonic() + 60
        while time.monotonic() < deadline:
            text = "".join(json.loads(line)["log"] for line in log.read_text().splitlines()) if log.exists() else ""
            if "== end ==" in text:
                return [part.strip("\r\n") for part in text.replace("\r\n", "\n").partition("== end ==")[0].split(MARK)]
            time.sleep(0.005)
        raise AssertionError(f"the container says nothing: {text}")

    def plan(self, container: str) -> tuple[Step, ...]:
        """Return the steps that the engine performed."""
        answer = self.client.call("GET", f"/minidocker/{container}/explain").json()
        assert isinstance(answer, list)
        return tuple(read_record(Step, step) for step in answer)  # type: ignore[arg-type]  # a union stands for its members

    def pid(self, container: str) -> int:
        """Return the host pid of a container's first process."""
        document: Any = self.client.call("GET", f"/containers/{container}/json").json()
        return int(document["State"]["Pid"])

    def remove(self, container: str) -> None:
        """Kill and remove a container with its volumes."""
        self.client.call("DELETE", f"/containers/{container}", {"force": "1", "v": "1"}).read()


@pytest.fixture(scope="module")
def machine(server: Server, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Machine]:
    """The server of the session, with a directory for bind mounts."""
    server.run("run", "--rm", "toolbox", "true")  # makes the image and the bridge
    asked = Machine(server, tmp_path_factory.mktemp("bound"))
    yield asked
    asked.client.close()


def observe_machine(server: Server) -> Facts:
    """Describe the machine as the server's launcher finds it: monitors are its forks."""
    launcher = server.descendants("md:launcher")[0]
    status, limits, cgroup, mountinfo = (Path(f"/proc/{launcher}/{name}").read_text() for name in ("status", "limits", "cgroup", "mountinfo"))
    with netlink.open_route_socket() as route:
        links, addresses, routes = netlink.list_links(route), netlink.list_addresses(route), netlink.list_routes(route)
    groups = {}
    for mount in parse_mountinfo(mountinfo):
        if mount.fstype in ("cgroup", "cgroup2"):
            for directory in (mount.mount_point, f"{mount.mount_point}/minidocker"):
                groups[directory] = _read_group(Path(directory))
    proc = {path.removeprefix("/proc"): _kind(path) for path in (*MASKED_PATHS, *READONLY_PATHS) if path.startswith("/proc") and os.path.lexists(path)}
    sys_paths = ("/sys/firmware", "/sys/devices", "/sys/devices/virtual", "/sys/devices/virtual/powercap", "/sys/fs", "/sys/fs/cgroup")
    sysfs = {path.removeprefix("/sys"): _kind(path) for path in sys_paths if os.path.lexists(path)}
    return Facts(
        mountinfo=mountinfo, status=re.sub(r"\nPid:.*", f"\nPid:\t{launcher}", status), cgroup=cgroup, limits=limits, hostname=os.uname().nodename,
        groups=groups, links=links, addresses=addresses, routes=routes, trees={"proc": {"/": DIRECTORY, **proc}, "sysfs": {"/": DIRECTORY, **sysfs}},
        sysctls={"fs.nr_open": Path("/proc/sys/fs/nr_open").read_text().strip()},
    )  # fmt: skip


def _kind(path: str) -> Node:
    return DIRECTORY if os.path.isdir(path) else Node()


def _read_group(directory: Path) -> dict[str, str]:
    """Return the files from which a new group inherits."""
    names = ("cpuset.cpus", "cpuset.mems", "devices.list", "memory.swappiness", "cgroup.controllers", "cgroup.subtree_control")
    return {name: (directory / name).read_text().strip() for name in names if (directory / name).exists()}


def read_image(server: Server) -> dict[str, Node]:
    """Return the files of the toolbox image, from its only layer."""
    layers = [path for path in (server.data / "layers").iterdir() if (path / "diff" / "etc" / "passwd").exists()]
    found = {"/": DIRECTORY}
    for path in sorted((layers[0] / "diff").rglob("*")):
        name = f"/{path.relative_to(layers[0] / 'diff')}"
        if path.is_symlink():
            found[name] = Node(kind=NodeKind.SYMLINK, content=os.readlink(path))
        else:
            found[name] = DIRECTORY if path.is_dir() else Node(content=path.read_text() if path.parent.name == "etc" else "")
    return found


def find_identity(step: Any, passwd: str, group: str) -> tuple[int, int, tuple[int, ...]]:
    """Look the user up as init does."""
    user = resolve_user(step.user, passwd.encode(), group.encode(), step.extra_groups)
    return user.uid, user.gid, user.groups


def simulate_on(facts: Facts, steps: tuple[Step, ...], image: Mapping[str, Node], bound: Path) -> Simulation:
    """Perform *steps* on a model of this machine."""
    linux, pid = boot(facts)
    linux = prepare(linux, pid, steps, image)
    assert bound.exists()
    return simulate(linux, pid, steps, find_identity)


def compare_mounts(linux: Linux, pid: int, text: str, *, ordered: bool = True) -> None:
    """Both tables have the same mounts in the same order, with the same parents, file systems and peers."""
    arrange = tuple if ordered else in_order_of_paths
    assert canonical(arrange(parse_mountinfo(text))) == canonical(arrange(list_mounts(linux, pid)))


def compare_status(linux: Linux, pid: int, text: str, *, sees_host: bool) -> None:
    """Users, groups, capabilities, filters, numbers."""
    fields = [name for name in STATUS_FIELDS if not (sees_host and name in ("NSpid", "NSsid"))]
    real = {name: value.split() for name, value in (line.split(":", 1) for line in text.splitlines() if ":" in line)}
    model = {name: value.split() for name, value in (line.split(":", 1) for line in render_status(linux, pid).splitlines())}
    assert {name: real[name] for name in fields} == {name: model[name] for name in fields}


def compare_groups(linux: Linux, pid: int, container: str) -> None:
    """Every file of every group of the container that the model knows holds what the kernel shows, read on the host."""
    process = linux.processes[pid]
    for tree in linux.file_systems.values():
        if tree.hierarchy < 0 or container not in process.groups.get(tree.hierarchy, ""):
            continue
        mount = next(m for m in parse_mountinfo(Path("/proc/self/mountinfo").read_text()) if m.device == tree.device)
        directory = mount.mount_point + process.groups[tree.hierarchy]
        prefix = process.groups[tree.hierarchy] + "/"
        for path, node in tree.files.items():
            name = path.removeprefix(prefix)
            if path.startswith(prefix) and name not in ("cgroup.procs", "devices.allow", "devices.deny") and os.path.exists(f"{directory}/{name}"):
                real = Path(f"{directory}/{name}").read_text().strip()
                assert (path, real.splitlines()) == (path, node.content.splitlines())


def compare_network(linux: Linux, pid: int, real_pid: int) -> None:
    """Links, addresses and routes, asked through netlink inside the container's network namespace."""
    home, away = open_namespace("self", Clone.NEWNET), open_namespace(real_pid, Clone.NEWNET)
    try:
        setns(away, Clone.NEWNET)
        with netlink.open_route_socket() as route:
            links, addresses, routes = netlink.list_links(route), netlink.list_addresses(route), netlink.list_routes(route)
    finally:
        setns(home, Clone.NEWNET)
        os.close(home)
        os.close(away)
    _, net = linux.net_of(pid)
    known = {link.index for link in net.links}
    present = [link for link in links if link.index in known or link.name in ("lo", "eth0")]  # others: tunnels that a module adds
    mask = {"peer_index": 0, "mac_address": "", "alias": ""}
    assert [replace(n, **(mask if n.name == "lo" else {"peer_index": 0})) for n in present] == [
        replace(n, **(mask if n.name == "lo" else {"peer_index": 0})) for n in net.links
    ]
    assert {(a.link_index, a.address) for a in addresses} == {(a.link_index, a.address) for a in net.addresses}
    assert {(r.destination, r.gateway, r.link_index) for r in routes if r.table == MAIN} == {
        (r.destination, r.gateway, r.link_index) for r in net.routes if r.table == MAIN and ":" not in r.destination
    }
    ours = {(r.destination, r.link_index) for r in net.routes if r.table != MAIN and ":" not in r.destination}
    assert ours == {(r.destination, r.link_index) for r in routes if r.table != MAIN}


def compare(machine: Machine, options: str, *, sees_host: bool, own_network: bool, ordered: bool = True) -> None:
    """Make one container twice and compare everything that is seen from inside.

    Copies of mounts that are taken along into a user namespace have the numbers of when they were taken: no order of the table.
    """
    facts, image = observe_machine(machine.server), read_image(machine.server)
    container = machine.create(options)
    try:
        seen = machine.watch(container)
        mountinfo, status, cgroup, limits, oom_score, hostname, cwd, devices, sysctls = seen
        steps = machine.plan(container)
        simulation = simulate_on(facts, steps, image, machine.directory)
        linux, pid = simulation.linux, simulation.command
        compare_mounts(linux, pid, mountinfo, ordered=ordered)
        compare_status(linux, pid, status, sees_host=sees_host)
        assert render_cgroup(linux, pid).split() == cgroup.split()
        assert [line.split() for line in render_limits(linux, pid).splitlines()] == [line.split() for line in limits.splitlines()]
        assert linux.processes[pid].oom_score_adj == int(oom_score)
        _compare_small_things(simulation, hostname, cwd, devices)
        wanted = {step.name for step in steps if isinstance(step, WriteSysctl)}
        model = read_sysctls(linux, pid)
        for name, value in zip(("net.ipv4.ip_forward", "kernel.shmmax"), sysctls.split(), strict=True):
            assert name not in wanted or model[name] == value
        compare_groups(linux, pid, container)
        if own_network:
            compare_network(linux, pid, machine.pid(container))
    finally:
        machine.remove(container)


def _compare_small_things(simulation: Simulation, hostname: str, cwd: str, devices: str) -> None:
    linux, pid = simulation.linux, simulation.command
    uts: Any = linux.namespaces[linux.processes[pid].namespaces[Clone.NEWUTS]]
    assert uts.hostname == hostname
    assert linux.processes[pid].cwd.path == cwd
    real = {}
    for line in devices.splitlines():
        path, kind, numbers = line.split()[0], line.split()[1], line.split()[-1]
        real[path] = f"{kind[0]} {':'.join(str(int(n, 16)) for n in numbers.split(':'))}"
    assert list_devices(linux, pid) == {p: n for p, n in real.items() if p != "/dev/console"}


def options_of(row: Row) -> str:
    """Return the command line that a row stands for."""
    named = {"network": "--network", "pid": "--pid", "ipc": "--ipc", "uts": "--uts", "cgroupns": "--cgroupns", "user": "--user", "security": "--security-opt"}
    words = [f"{named[factor]} {value}" if factor in named else value for factor, value in row.items() if value]
    return " ".join(words)


@pytest.mark.parametrize("row", ROWS, ids=[f"row{n}" for n in range(len(ROWS))])
def test_container_looks_the_same_in_the_model(machine: Machine, row: Row) -> None:
    """Whatever two options are combined, the model ends in the state of the kernel: what it teaches is true."""
    compare(machine, options_of(row), sees_host=row["pid"] == "host", own_network=row["network"] != "host")


@settings(max_examples=max(1, settings().max_examples // 50), suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])
@given(row=st.fixed_dictionaries({factor: st.sampled_from(values) for factor, values in FACTORS.items()}).filter(is_possible))
def test_any_container_looks_the_same_in_the_model(machine: Machine, row: Row) -> None:
    """Three options and more at once: two rows on CI, a hundred in the profile `deep`."""
    compare(machine, options_of(row), sees_host=row["pid"] == "host", own_network=row["network"] != "host")
