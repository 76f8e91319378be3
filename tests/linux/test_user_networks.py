"""Networks of one's own with a real server: names between containers, joining and leaving, a crash, and nothing left over.

Tier 2: root. The server lives in a network namespace of the test's own.
"""

from __future__ import annotations

import json
import os
import select
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from minidocker.kernel import netlink
from tests.linux.conftest import Server
from tests.linux.worlds import World

pytestmark = [pytest.mark.skipif(os.geteuid() != 0, reason="needs root: run the tests with sudo"), pytest.mark.requires("busybox")]


@pytest.fixture
def apart(world: World) -> Iterator[Server]:
    """A server on a host of its own."""
    server = Server()
    yield server
    server.close()


def done(server: Server, *arguments: str) -> str:
    """Run our client, which must succeed, and return what it prints."""
    result = server.run(*arguments)
    assert result.returncode == 0, result.stderr
    return result.stdout


def links() -> set[str]:
    """Return the names of the host's bridges and cables."""
    with netlink.open_route_socket() as route:
        return {link.name for link in netlink.list_links(route) if link.kind in ("bridge", "veth") and link.name != "up0"}


def addresses_of(server: Server, name: str, *, asker: str) -> list[str]:
    """Return what *asker*'s name service says about *name*."""
    shown = server.run("exec", asker, "nslookup", name).stdout.partition("Name:")[2]
    return sorted(line.split()[-1] for line in shown.splitlines() if line.startswith("Address"))


def test_containers_find_each_other_by_name_through_crashes_and_renames(apart: Server) -> None:
    """Names and addresses are as they were while no server runs, and after the next one has come; a removed one is forgotten."""
    done(apart, "network", "create", "--subnet", "10.40.0.0/24", "shop")
    for name, address in (("till-1", "10.40.0.11"), ("till-2", "10.40.0.12")):
        done(apart, "run", "-d", "--name", name, "--network", "shop", "--network-alias", "till", "--ip", address, "toolbox", "sleep", "1000")
    assert addresses_of(apart, "till", asker="till-1") == ["10.40.0.11", "10.40.0.12"]
    apart.kill9()
    apart.start()
    assert addresses_of(apart, "till", asker="till-1") == ["10.40.0.11", "10.40.0.12"]
    done(apart, "rename", "till-2", "safe")
    assert addresses_of(apart, "safe", asker="till-1") == ["10.40.0.12"]
    done(apart, "rm", "-f", "safe")
    assert addresses_of(apart, "till", asker="till-1") == ["10.40.0.11"]
    assert apart.run("network", "rm", "shop").stderr.startswith(
        "Error response from daemon: error while removing network: network shop has active endpoints"
    )


def test_running_container_joins_and_leaves_networks(apart: Server) -> None:
    """Card, address, names and way out follow; ports go where the way out is; the record says so."""
    done(apart, "network", "create", "--subnet", "10.41.0.0/24", "front")
    done(apart, "network", "create", "--subnet", "10.42.0.0/24", "--internal", "back")
    done(apart, "run", "-d", "--name", "web", "--network", "back", "-p", "18090:80", "toolbox", "sleep", "1000")
    assert done(apart, "port", "web") == ""
    assert "default" not in done(apart, "exec", "web", "ip", "route")
    done(apart, "network", "connect", "--alias", "www", "--ip", "10.41.0.7", "front", "web")
    assert "default via 10.41.0.1 dev eth1" in done(apart, "exec", "web", "ip", "route")
    assert "80/tcp -> 0.0.0.0:18090" in done(apart, "port", "web")
    assert addresses_of(apart, "www", asker="web") == ["10.41.0.7"]
    assert "10.41.0.7" in done(apart, "exec", "web", "cat", "/etc/hosts")
    done(apart, "network", "disconnect", "front", "web")
    assert "eth1" not in done(apart, "exec", "web", "ip", "addr")
    assert "default" not in done(apart, "exec", "web", "ip", "route")
    assert done(apart, "port", "web") == ""
    done(apart, "restart", "-t", "0", "web")
    networks = apart.inspect("web")["NetworkSettings"]["Networks"]
    assert list(networks) == ["back"]
    assert networks["back"]["IPAddress"] == "10.42.0.2"


def test_networks_are_made_again_after_a_reboot_and_leave_nothing_at_the_end(apart: Server) -> None:
    """The records survive; bridges, cables, rules and tables of names are made for the first container that needs them."""
    before = links()
    done(apart, "network", "create", "--subnet", "10.43.0.0/24", "shop")
    done(apart, "run", "-d", "--name", "till", "--network", "shop", "--restart", "always", "-p", "18091:80", "toolbox", "sleep", "1000")
    pid = apart.inspect("till")["State"]["Pid"]
    monitor = int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1])
    apart.kill9()
    watched = os.pidfd_open(monitor)
    for victim in (monitor, pid):
        os.kill(victim, 9)
    apart.wait_readable(watched)
    os.close(watched)
    with netlink.open_route_socket() as route:
        for name in links() - before:
            netlink.delete_link(route, name)
    apart.start()
    deadline = time.monotonic() + 20
    while not apart.inspect("till")["State"]["Pid"] and time.monotonic() < deadline:  # `Running` says Docker while it restarts, too
        select.select([], [], [], 0.05)
    assert apart.inspect("till")["NetworkSettings"]["Networks"]["shop"]["IPAddress"] == "10.43.0.2"
    assert addresses_of(apart, "till", asker="till") == ["10.43.0.2"]
    assert "18091" in done(apart, "network", "rules")
    done(apart, "rm", "-f", "till")
    assert done(apart, "network", "prune", "-f").splitlines()[:2] == ["Deleted Networks:", "shop"]
    apart.stop()
    deadline = time.monotonic() + 10
    while links() - before and time.monotonic() < deadline:
        select.select([], [], [], 0.05)
    assert links() == before
    assert not list(Path(apart.directory, "exec", "names").glob("*"))
    apart.start()


@pytest.mark.requires("docker")
def test_docker_cli_makes_shows_and_removes_networks(apart: Server) -> None:
    """What compose does, by hand: create with IPAM and labels, run with aliases, inspect, events, remove."""
    started = int(time.time())
    made = apart.docker("network", "create", "--label", "a=b", "--subnet", "10.44.0.0/24", "--gateway", "10.44.0.254", "shop")
    assert made.returncode == 0, made.stderr
    assert apart.docker("network", "ls", "-q", "--no-trunc", "--filter", "label=a=b").stdout == made.stdout
    apart.docker("run", "-d", "--name", "till", "--network", "name=shop,alias=counter,ip=10.44.0.9", "toolbox", "sleep", "1000")
    (network,) = json.loads(apart.docker("network", "inspect", "shop").stdout)
    assert network["IPAM"]["Config"] == [{"Subnet": "10.44.0.0/24", "Gateway": "10.44.0.254"}]
    assert [member["IPv4Address"] for member in network["Containers"].values()] == ["10.44.0.9/24"]
    endpoint = json.loads(apart.docker("inspect", "till").stdout)[0]["NetworkSettings"]["Networks"]["shop"]
    assert (endpoint["Aliases"], endpoint["IPAMConfig"]) == (["counter"], {"IPv4Address": "10.44.0.9"})
    assert endpoint["DNSNames"][:2] == ["till", "counter"]
    taken = apart.docker("run", "--rm", "--network", "shop", "--ip", "10.44.0.9", "toolbox", "true")
    assert (taken.returncode, "Address already in use" in taken.stderr) == (125, True)
    assert "has active endpoints" in apart.docker("network", "rm", "shop").stderr
    apart.docker("rm", "-f", "till")
    assert apart.docker("network", "rm", "shop").stdout == "shop\n"
    span = "--since", str(started), "--until", str(int(time.time()) + 1)  # whole seconds: it waits for the last one to end
    shown = apart.docker("events", *span, "--filter", "type=network", "--format", "{{.Action}}").stdout.split()
    assert shown == ["create", "connect", "disconnect", "destroy"]
