"""A container on the bridge, in network namespaces of the test's own: the world outside, a host, a container.

    outside 192.0.2.2 ── veth ── 192.0.2.1 host 172.17.0.1 ── bridge ── 172.17.0.2 container

Tier 2: root. The test's process moves between the namespaces; the machine's own network is never touched. No test waits
for something that must not arrive: it sends the forbidden packet first and a permitted one behind it, and looks at
which came.
"""

from __future__ import annotations

import os
import re
import selectors
import shutil
import socket
import subprocess
from contextlib import ExitStack
from dataclasses import replace
from errno import EPERM, EPROTONOSUPPORT
from pathlib import Path

import pytest

from minidocker.codec.nftables import Chain, Jump, Rule, Table, render_nft
from minidocker.container.record import State, Status
from minidocker.engine.networks import Networks
from minidocker.errors import Conflict, Forbidden, HostError
from minidocker.kernel import netlink
from minidocker.network.apply import FilterUnavailable, apply_table
from minidocker.network.bridge import adopt_bridge
from minidocker.network.ports import PortUnavailable
from minidocker.network.proxy import PortProxy
from minidocker.network.record import Ipam, IpamConfig, NetworkRequest
from minidocker.network.rules import Forward, plan_table
from minidocker.spec.container import PortBinding
from tests.linux.worlds import (
    BRIDGE_NAME, DATA_ROOT, HOST, OUTSIDE, SUBNET, WAIT_S, World, bound, connect_container, connected, inside, place, record_of,
)  # fmt: skip

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="needs root: run the tests with sudo")


def test_container_has_address_and_mac_and_reaches_the_host(world: World, networks: Networks) -> None:
    """`172.17.0.2` and `02:42:ac:11:00:02`, behind a card that is called eth0; the host is the gateway."""
    endpoint, listeners = place(networks, record_of(1))
    assert endpoint is not None
    assert (endpoint.address, endpoint.gateway, listeners) == ("172.17.0.2", "172.17.0.1", [])
    container = connect_container(endpoint)
    with inside(container), netlink.open_route_socket() as route:
        link = netlink.require_link(route, "eth0")
        assert (link.mac_address, link.kind, link.up) == ("02:42:ac:11:00:02", "veth", True)
        assert [a.address for a in netlink.list_addresses(route) if a.link_index == link.index][:1] == ["172.17.0.2/16"]
        assert "0.0.0.0/0" in [r.destination for r in netlink.list_routes(route)]
    with bound(world.host, "172.17.0.1", 5000) as server, connected(container, "172.17.0.1", 5000) as client:
        connection, peer = server.accept()
        with connection:
            assert peer[0] == "172.17.0.2"
            connection.sendall(b"hello")
            assert client.recv(10) == b"hello"
    os.close(container)


def test_containers_of_one_bridge_reach_each_other(networks: Networks) -> None:
    """The bridge is a switch: neighbours talk without the host's routing."""
    namespaces = []
    for number in (1, 2):
        endpoint, _ = place(networks, record_of(number))
        assert endpoint is not None
        namespaces.append(connect_container(endpoint))
    with bound(namespaces[0], "172.17.0.2", 80) as server, connected(namespaces[1], "172.17.0.2", 80):
        connection, peer = server.accept()
        connection.close()
    assert peer[0] == "172.17.0.3"
    for namespace in namespaces:
        os.close(namespace)


def test_container_speaks_to_the_world_with_the_hosts_address(world: World, networks: Networks) -> None:
    """Masquerade: nobody outside has a route to 172.17.0.0/16, so the answer must go to the host."""
    endpoint, _ = place(networks, record_of(1))
    assert endpoint is not None
    container = connect_container(endpoint)
    with bound(world.outside, OUTSIDE, 80) as server, connected(container, OUTSIDE, 80) as client:
        connection, peer = server.accept()
        with connection:
            assert peer[0] == HOST
            connection.sendall(b"hello")
            assert client.recv(10) == b"hello"
    os.close(container)


def test_published_port_is_reached_from_outside_with_the_clients_own_address(world: World, networks: Networks) -> None:
    """The filter rewrites the destination only; the container sees who is asking (CVE-2021-20199 was the opposite)."""
    endpoint, listeners = place(networks, record_of(1, port_bindings={"80/tcp": (PortBinding(host_port="8080"),)}))
    assert endpoint is not None
    assert [(p.host_ip, p.host_port) for p in endpoint.ports] == [("0.0.0.0", 8080), ("::", 8080)]
    container = connect_container(endpoint)
    with bound(container, "0.0.0.0", 80) as server:
        for client_namespace, address in ((world.outside, OUTSIDE), (world.host, HOST)):
            with connected(client_namespace, HOST, 8080):
                connection, peer = server.accept()
                connection.close()
                assert peer[0] == address
    os.close(container)
    for listener in listeners:
        listener.close()


def test_only_published_ports_let_packets_in(world: World, networks: Networks) -> None:
    """A neighbour that routes the bridge's subnet by hand gets nowhere; through the published port it does."""
    endpoint, listeners = place(networks, record_of(1, port_bindings={"53/udp": (PortBinding(host_port="5353"),)}))
    assert endpoint is not None
    container = connect_container(endpoint)
    with inside(world.outside), netlink.open_route_socket() as route:
        netlink.add_route(route, HOST, destination="172.17.0.0/16")
    with bound(container, "0.0.0.0", 53, socket.SOCK_DGRAM) as server, bound(world.outside, OUTSIDE, 0, socket.SOCK_DGRAM) as client:
        client.sendto(b"straight to the container", ("172.17.0.2", 53))
        client.sendto(b"through the published port", (HOST, 5353))
        assert server.recv(100) == b"through the published port"
        server.setblocking(False)
        with pytest.raises(BlockingIOError):
            server.recv(100)
    os.close(container)
    for listener in listeners:
        listener.close()


def test_port_that_is_taken_is_refused_in_dockers_words_and_nothing_is_kept(networks: Networks) -> None:
    """The same port of another container, or of any other program: the kernel is asked by binding it."""
    wish = {"80/tcp": (PortBinding(host_port="8080"),)}
    endpoint, listeners = place(networks, record_of(1, port_bindings=wish))
    assert endpoint is not None
    text = r"driver failed programming external connectivity on endpoint c2 \([0-9a-f]{64}\): Bind for 0.0.0.0:8080 failed: port is already allocated"
    with pytest.raises(PortUnavailable, match=text):
        place(networks, record_of(2, port_bindings=wish))
    networks.release((endpoint,))
    with pytest.raises(PortUnavailable, match=r"failed to bind host port for 0\.0\.0\.0:8080:172\.17\.0\.2:80/tcp: address already in use"):
        place(networks, record_of(2, port_bindings=wish))
    for listener in listeners:
        listener.close()
    again, listeners = place(networks, record_of(2, port_bindings=wish))
    assert again is not None
    assert again.address == "172.17.0.2"
    for listener in listeners:
        listener.close()


def test_next_server_finds_the_network_of_running_containers(world: World, networks: Networks) -> None:
    """Subnet, addresses and ports in use come back from the records and the kernel; a stale table is replaced."""
    record = record_of(1, port_bindings={"80/tcp": (PortBinding(host_port="8080"),)})
    endpoint, listeners = place(networks, record)
    assert endpoint is not None
    networks.close()
    running = replace(record, endpoints=(endpoint,), state=State(status=Status.RUNNING, pid=1))
    following = Networks(DATA_ROOT)
    following.restore((running,))
    other, _ = place(following, record_of(2))
    assert other is not None
    assert other.address == "172.17.0.3"
    with pytest.raises(PortUnavailable, match="already allocated"):
        place(following, record_of(3, port_bindings=record.host_config.port_bindings))
    bridge = following.require("bridge")
    assert sorted(m.ipv4_address for m in bridge.containers.values()) == ["172.17.0.2/16", "172.17.0.3/16"]
    following.close()
    for listener in listeners:
        listener.close()


def test_server_without_containers_leaves_nothing_behind(networks: Networks) -> None:
    """Not at its clean end, and not after a crash: the next one removes what it finds."""
    with netlink.open_route_socket() as route:
        before = [link.name for link in netlink.list_links(route)]
        endpoint, _ = place(networks, record_of(1))
        assert endpoint is not None
        networks.release((endpoint,))
        networks.close()
        assert [link.name for link in netlink.list_links(route)] == before
        crashed = Networks(DATA_ROOT)
        place(crashed, record_of(1))
        assert netlink.find_link(route, BRIDGE_NAME) is not None
        following = Networks(DATA_ROOT)
        following.restore(())
        assert [link.name for link in netlink.list_links(route)] == before
        following.close()
        crashed.close()  # the rest of a process that is gone: its sockets


def test_two_servers_have_bridges_and_subnets_of_their_own(networks: Networks) -> None:
    """Separate data roots run side by side and do not see each other's containers."""
    other = Networks(Path("/nowhere/another"))
    one, two = (place(n, record_of(1))[0] for n in (networks, other))
    assert one is not None
    assert two is not None
    assert (one.gateway, two.gateway) == ("172.17.0.1", "172.18.0.1")
    assert one.bridge != two.bridge
    other.release((two,))
    other.close()


def words_of(ruleset: str) -> list[str]:
    """Return the lines of a ruleset, the elements of each set sorted: nft lists them in the order of a hash table."""

    def ordered(found: re.Match[str]) -> str:
        return "elements = { " + ", ".join(sorted(re.split(r",\s+", found[1].strip()))) + " }"

    return re.sub(r"elements = \{(.*?)\}", ordered, ruleset, flags=re.DOTALL).splitlines()


@pytest.mark.skipif(shutil.which("nft") is None, reason="needs nft: apt-get install nftables")
def test_kernel_lists_the_rules_as_we_print_them(world: World) -> None:
    """`render_nft` says what the kernel has: nft, which knows nothing of us, reads the same table back."""
    bridge = adopt_bridge("br-test", "172.17.0.0/16")
    forwards = [
        Forward(protocol=protocol, host_ip=host_ip, host_port=port, container_ip="172.17.0.2", container_port=port)
        for port, (protocol, host_ip) in enumerate([("tcp", ""), ("udp", HOST), ("tcp", "127.0.0.1"), ("sctp", "0.0.0.0"), ("udp", "0.0.0.0")], 1000)
    ]
    table = plan_table("br-test", (bridge,), forwards)
    with netlink.open_netfilter_socket() as netfilter:
        apply_table(netfilter, table)
    listed = subprocess.run(["nft", "list", "ruleset"], capture_output=True, text=True, check=True).stdout
    assert words_of(re.sub(r"counter packets \d+ bytes \d+", "counter", listed)) == words_of(render_nft(table))


def test_table_is_replaced_whole_or_not_at_all(world: World) -> None:
    """One wrong rule rolls the transaction back: the old table stands, and the error names the table."""
    good = plan_table("br-test", (adopt_bridge("br-test", "172.17.0.0/16"),), ())
    bad = Table(name="br-test", chains=(Chain(name="c", rules=(Rule(statements=(Jump("no such chain"),)),)),))
    with netlink.open_netfilter_socket() as netfilter:
        apply_table(netfilter, good)
        with pytest.raises(FilterUnavailable, match="br-test"):
            apply_table(netfilter, bad)
        apply_table(netfilter, replace(good, chains=(*good.chains, Chain(name="still-works"))))


def test_refusal_carries_the_kernels_own_words(world: World) -> None:
    """NETLINK_EXT_ACK: an error number alone leaves people guessing."""
    with netlink.open_route_socket() as route:
        with pytest.raises(OSError, match="Nexthop has invalid gateway") as caught:
            netlink.add_route(route, "198.51.100.1")
        assert caught.value.filename == "default via 198.51.100.1"
        with pytest.raises(FileExistsError):
            netlink.create_bridge(route, "up0")
        assert netlink.find_link(route, "nowhere") is None
        assert netlink.delete_link(route, "nowhere") is False


def test_link_without_ipv6_comes_up_without_an_address_of_its_own(world: World) -> None:
    """A network that is IPv4 only must not be reachable over link-local IPv6, past every IPv4 rule (CVE-2024-32473)."""
    with inside(world.outside), netlink.open_route_socket() as route:
        netlink.create_veth(route, host_name="a6", container_name="b6", container_netns_fd=world.outside)
        netlink.create_veth(route, host_name="a4", container_name="b4", container_netns_fd=world.outside)
        netlink.set_link_up(route, "b6")
        netlink.set_link_up(route, "b4", ipv6=False)
        addresses = {a.link_index for a in netlink.list_addresses(route)}
        assert netlink.require_link(route, "b6").index in addresses
        assert netlink.require_link(route, "b4").index not in addresses


@pytest.mark.parametrize(("family", "address"), [(0, "127.0.0.1"), (1, "::1")], ids=["IPv4", "IPv6"])
def test_client_on_the_host_is_served_by_the_proxy(world: World, networks: Networks, family: int, address: str) -> None:
    """127.0.0.1 and IPv6 are left to the proxy: the filter cannot send them into an IPv4 bridge."""
    wish = {"80/tcp": (PortBinding(host_port="8080"),)}
    endpoint, listeners = place(networks, record_of(1, port_bindings=wish))
    assert endpoint is not None
    container = connect_container(endpoint)
    watch = selectors.DefaultSelector()
    received: list[bytes] = []
    proxy = PortProxy(watch, listener=listeners.pop(family), target=(endpoint.address, 80))
    with bound(container, "0.0.0.0", 80) as server, connected(world.host, address, 8080) as client, ExitStack() as connections:

        def accept(_mask: int) -> None:
            connection, peer = server.accept()
            assert peer[0] == "172.17.0.1"
            connections.enter_context(connection)
            watch.register(connection, selectors.EVENT_READ, lambda _mask: received.append(connection.recv(10)))

        watch.register(server, selectors.EVENT_READ, accept)
        client.sendall(b"hello")
        while not received:
            for key, mask in watch.select(WAIT_S):
                key.data(mask)
        assert received == [b"hello"]
        proxy.close()
    watch.close()
    os.close(container)
    for listener in listeners:
        listener.close()


def test_host_without_packet_filter_runs_containers_with_a_warning(
    world: World, networks: Networks, monkeypatch: pytest.MonkeyPatch
) -> None:
    """No masquerade and no DNAT, but an address, neighbours and ports through the proxy; said once, in one sentence."""

    def refuse() -> socket.socket:
        raise OSError(EPROTONOSUPPORT, os.strerror(EPROTONOSUPPORT))

    monkeypatch.setattr("minidocker.network.fabric.open_netfilter_socket", refuse)
    wish = {"80/tcp": (PortBinding(host_port="8080"),)}
    endpoint, listeners = place(networks, record_of(1, port_bindings=wish))
    assert endpoint is not None
    assert endpoint.address == "172.17.0.2"
    assert len(listeners) == 2
    (warning,) = networks.warnings
    assert "Protocol not supported" in warning
    assert "through the proxy only" in warning
    networks.release((endpoint,))
    for listener in listeners:
        listener.close()


def test_ephemeral_ports_differ_and_skip_what_others_listen_on(world: World, networks: Networks) -> None:
    """`-p 80` takes a dynamic port that really is free, the same one in both families."""
    with bound(world.host, "0.0.0.0", 49154):
        wish = {"80/tcp": (), "81/tcp": ()}
        endpoint, listeners = place(networks, record_of(1, port_bindings=wish))
    assert endpoint is not None
    assert [(p.container_port, p.host_port) for p in endpoint.ports] == [(80, 49153), (80, 49153), (81, 49155), (81, 49155)]
    for listener in listeners:
        listener.close()


def test_bridge_without_the_rights_is_refused_with_a_way_out(world: World, networks: Networks, monkeypatch: pytest.MonkeyPatch) -> None:
    """The sentence names the bridge and the networks that need none."""

    def refuse(*_arguments: object, **_options: object) -> None:
        raise PermissionError(EPERM, os.strerror(EPERM), BRIDGE_NAME)

    monkeypatch.setattr(netlink, "create_bridge", refuse)
    with pytest.raises(HostError, match="make bridge") as caught:
        place(networks, record_of(1))
    assert "--network none" in caught.value.hint


def test_address_is_given_out_again_when_its_cable_is_gone(networks: Networks) -> None:
    """A container with `--network container:X` lives on in X's namespace: X's address must not get a second owner."""
    first, _ = place(networks, record_of(1))
    assert first is not None
    shared = connect_container(first)
    networks.release((first,))
    second, _ = place(networks, record_of(2))
    assert second is not None
    assert second.address == "172.17.0.3"
    os.close(shared)
    with netlink.open_route_socket() as route:
        netlink.delete_link(route, first.host_link)
    third, _ = place(networks, record_of(3))
    assert third is not None
    assert third.address == "172.17.0.2"


def test_next_server_removes_cables_that_nobody_owns(networks: Networks) -> None:
    """A server that was killed between making a pair and writing it down leaves one; the containers' own stay."""
    owned, lost = (place(networks, record_of(number))[0] for number in (1, 2))
    assert owned is not None
    assert lost is not None
    namespaces = [connect_container(endpoint) for endpoint in (owned, lost)]
    following = Networks(DATA_ROOT)
    following.restore((replace(record_of(1), endpoints=(owned,), state=State(status=Status.RUNNING, pid=1)),))
    with netlink.open_route_socket() as route:
        assert netlink.find_link(route, owned.host_link) is not None
        assert netlink.find_link(route, lost.host_link) is None
    following.close()
    for namespace in namespaces:
        os.close(namespace)


def test_link_of_another_kind_with_the_bridges_name_is_left_alone(networks: Networks) -> None:
    """What we have not made we do not delete."""
    with netlink.open_route_socket() as route:
        namespace = os.open("/proc/thread-self/ns/net", os.O_RDONLY)
        netlink.create_veth(route, host_name=BRIDGE_NAME, container_name="other", container_netns_fd=namespace)
        os.close(namespace)
        following = Networks(DATA_ROOT)
        following.restore(())
        following.close()
        assert netlink.find_link(route, BRIDGE_NAME) is not None


def test_networks_come_back_from_disk(world: World, tmp_path: Path) -> None:
    """A record is written whole before anybody hears of the network; a file of another version is left alone."""
    first = Networks(tmp_path)
    made = first.create(NetworkRequest(name="web", labels={"a": "b"}, ipam=SUBNET), created="2026-01-01T00:00:00Z")
    first.close()
    (tmp_path / "networks" / "broken.json").write_text("{")
    again = Networks(tmp_path)
    assert again.require("web") == again.require(made.id[:8]) == made
    with pytest.raises(Conflict, match="network with name web already exists"):
        again.create(NetworkRequest(name="web", ipam=Ipam(config=(IpamConfig(subnet="10.8.0.0/24"),))), created="")
    with pytest.raises(Forbidden, match="Pool overlaps"):
        again.create(NetworkRequest(name="db", ipam=SUBNET), created="")
    assert again.remove("web") == made
    assert Networks(tmp_path).resolve("web") == "web"
    with pytest.raises(Forbidden, match="bridge is a pre-defined network and cannot be removed"):
        again.remove("bridge")
    again.close()
