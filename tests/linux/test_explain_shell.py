"""`--explain=shell`: the printed script builds the same container by hand.

The engine runs a container, then the script of its plan is run with the host's own tools, and both show what they see from inside: the
same mounts, identity, limits, control groups, devices, parameters and network. What a shell cannot do is a comment in the script and left
out here: the filter of system calls, a terminal, an init.
"""

from __future__ import annotations

import re
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from minidocker.codec.mountinfo import parse_mountinfo
from minidocker.kernel.shell import render_shell
from tests.linux.conftest import Server
from tests.linux.mount_tables import canonical
from tests.linux.test_simulator import MARK, SCRIPT, STATUS_FIELDS, Machine

pytestmark = pytest.mark.requires("root", "busybox", "ip")

LOOK = SCRIPT.removesuffix("; echo '== end =='; exec sleep 1000") + "; echo '== next =='; ip addr show; ip route; echo $HOME $PATH $HOSTNAME; echo '== end =='"
CONFIGS = {
    "plain": "",
    "network-none": "--network none --hostname box --domainname example.org",
    "network-host": "--network host --ipc host",
    "user": "--user nobody --workdir /made/here --cap-add NET_ADMIN",
    "user-and-groups": "--user 1000:tty --group-add nogroup --security-opt no-new-privileges",
    "no-capabilities": "--cap-drop ALL --read-only --tmpfs /scratch:size=1m",
    "privileged": "--privileged --pid host --cgroupns host",
    "files": "-v {dir}:/data:ro -v {dir}/file:/etc/file -v /anonymous --mount type=bind,src={dir},dst=/d,bind-propagation=rslave",
    "limits": "--memory 64m --cpus 0.5 --pids-limit 42 --cpuset-cpus 0 --ulimit nofile=100:200 --oom-score-adj 100",
    "parameters": "--sysctl net.ipv4.ip_forward=1 --sysctl kernel.shmmax=1000000 --device /dev/null:/dev/nought:rw --security-opt systempaths=unconfined",
}


@pytest.fixture(scope="module")
def machine(server: Server, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Machine]:
    """The server of the session, with a directory for bind mounts."""
    server.run("run", "--rm", "toolbox", "true")
    asked = Machine(server, tmp_path_factory.mktemp("bound"))
    yield asked
    asked.client.close()


def build_by_hand(machine: Machine, container: str, place: Path) -> list[str]:
    """Run the script for a container that has ended, and return what the second one shows, part by part."""
    script = place / "container.sh"
    script.write_text(render_shell(machine.plan(container)))
    result = subprocess.run(["sh", str(script)], stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=60, check=False)
    assert result.returncode == 0, result.stderr
    return [part.strip("\n") for part in result.stdout.partition("== end ==")[0].split(MARK)]


@pytest.mark.parametrize("options", CONFIGS.values(), ids=CONFIGS)
def test_script_builds_the_same_container(machine: Machine, tmp_path: Path, options: str) -> None:
    """Whoever types the script sees what the engine does, step by step; and nothing is left behind."""
    before = machine.server.inventory()
    container = machine.create(options, LOOK)
    try:
        by_engine = machine.watch(container)
        machine.client.call("POST", f"/containers/{container}/wait").read()
        by_hand = build_by_hand(machine, container, tmp_path)
    finally:
        machine.remove(container)
    assert canonical(parse_mountinfo(by_hand[0])) == canonical(parse_mountinfo(by_engine[0]))
    fields = {name for name in STATUS_FIELDS if "Seccomp" not in name and not ("--pid host" in options and name.startswith("NS"))}
    identity = [{line for line in status.splitlines() if line.partition(":")[0] in fields} for status in (by_hand[1], by_engine[1])]
    assert identity[0] == identity[1]
    assert by_hand[2:9] == by_engine[2:9]
    if "--network host" not in options:
        assert network_of(by_hand[9]) == network_of(by_engine[9])
    machine.server.assert_unchanged(before)


def network_of(text: str) -> list[str]:
    """Return the lines of `ip` and the environment without numbers of links, and without the last byte of the container's own address.

    The engine may give the address to the next one while it still buries the first.
    """
    own = re.search(r"inet ((?:[0-9]+\.){3}[0-9]+)/[0-9]+ .*global", text)
    for address in (own[1], f":{int(own[1].rpartition('.')[2]):02x} brd") if own else ():
        text = text.replace(address, address.rpartition(".")[0] or " brd")
    return [line.partition(" qdisc")[0] if ": <" not in line else line.split(": ")[1].partition("@")[0] for line in text.splitlines()]
