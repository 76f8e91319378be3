"""Who reaches whom: networks that somebody made, IPv6, and what the filter holds back.

Tier 2: root, in network namespaces of the test's own (`tests.linux.worlds`). No test waits for something that must not
arrive: the forbidden packet goes first and a permitted one behind it, and the receiver looks at which came; or the sender's
own kernel says that the packet was refused.
"""

from __future__ import annotations

import os
import resource
import shutil
import socket
import struct
import subprocess
from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

from minidocker.container.record import ContainerRecord, NetworkEndpoint
from minidocker.engine.networks import Networks
from minidocker.errors import HostError
from minidocker.kernel import netlink
from minidocker.network.apply import teardown_table, write_sysctl
from minidocker.network.record import Ipam, IpamConfig, NetworkRequest
from minidocker.network.settings import NetworkSettings
from minidocker.spec.container import PortBinding
from tests.linux.worlds import (
    BRIDGE_NAME, HOST, HOST6, OUTSIDE, OUTSIDE6, WAIT_S, World, bound, connect_container, connected, inside, new_namespace, place, record_of,
)  # fmt: skip

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="needs root: run the tests with sudo")

ICC = "com.docker.network.bridge.enable_icc"


@dataclass(frozen=True, slots=True, kw_only=True)
class Guest:
    """A container: what it was given, and its namespace."""

    endpoint: NetworkEndpoint
    namespace: int


@pytest.fixture
def own(world: World, tmp_path: Path) -> Iterator[Networks]:
    """Return a server's networks whose records lie in a directory of the test's."""
    networks = Networks(tmp_path)
    yield networks
    networks.close()


@contextmanager
def guests(networks: Networks, *records: ContainerRecord) -> Iterator[list[Guest]]:
    """Run containers in their networks."""
    with ExitStack() as stack:
        found = []
        for record in records:
            endpoint, listeners = place(networks, record)
            assert endpoint is not None
            for listener in listeners:
                stack.enter_context(closing(listener))
            namespace = connect_container(endpoint)
            stack.callback(os.close, namespace)
            stack.callback(networks.release, (endpoint,))
            found.append(Guest(endpoint=endpoint, namespace=namespace))
        yield found


def make(networks: Networks, name: str, subnet: str, **wanted: object) -> None:
    """Make a network."""
    ipam = Ipam(config=tuple(IpamConfig(subnet=text) for text in subnet.split()))
    networks.create(NetworkRequest(name=name, ipam=ipam, **wanted), created="")  # type: ignore[arg-type]  # checked by NetworkRequest


def receives_only(receiver: socket.socket, expected: bytes) -> None:
    """Check that *expected* is the first datagram that arrives, and the only one."""
    assert receiver.recv(100) == expected
    receiver.setblocking(False)
    with pytest.raises(BlockingIOError):
        receiver.recv(100)


def test_networks_do_not_reach_each_other(world: World, own: Networks) -> None:
    """The host routes between its bridges, and the filter says no; neighbours of one network talk."""
    make(own, "front", "10.1.0.0/24")
    make(own, "back", "10.2.0.0/24")
    records = record_of(1, network_mode="front"), record_of(2, network_mode="back"), record_of(3, network_mode="back")
    with guests(own, *records) as (stranger, target, neighbour):
        address = target.endpoint.address
        with (
            bound(target.namespace, address, 53, socket.SOCK_DGRAM) as server,
            bound(stranger.namespace, stranger.endpoint.address, 0, socket.SOCK_DGRAM) as outsider,
            bound(neighbour.namespace, neighbour.endpoint.address, 0, socket.SOCK_DGRAM) as insider,
        ):
            outsider.sendto(b"from another network", (address, 53))
            insider.sendto(b"from a neighbour", (address, 53))
            receives_only(server, b"from a neighbour")


def test_internal_network_reaches_nobody_and_nobody_reaches_it(world: World, own: Networks) -> None:
    """No way out in its routes; and where somebody adds one by hand, the filter drops."""
    make(own, "inner", "10.3.0.0/24", internal=True)
    with guests(own, record_of(1, network_mode="inner", port_bindings={"53/udp": (PortBinding(host_port="5353"),)})) as (guest,):
        assert (guest.endpoint.gateway, guest.endpoint.ports) == ("", ())
        with bound(guest.namespace, "0.0.0.0", 53, socket.SOCK_DGRAM) as inner, pytest.raises(OSError, match="unreachable"):
            inner.sendto(b"out", (OUTSIDE, 53))
        with inside(guest.namespace), netlink.open_route_socket() as route:
            netlink.add_route(route, "10.3.0.1")
        with inside(world.outside), netlink.open_route_socket() as route:
            netlink.add_route(route, HOST, destination="10.3.0.0/24")
        with (
            bound(guest.namespace, guest.endpoint.address, 53, socket.SOCK_DGRAM) as inner,
            bound(world.outside, OUTSIDE, 53, socket.SOCK_DGRAM) as outer,
            bound(world.host, HOST, 0, socket.SOCK_DGRAM) as host,
        ):
            inner.sendto(b"out", (OUTSIDE, 53))
            host.sendto(b"from the host", (OUTSIDE, 53))
            receives_only(outer, b"from the host")
            outer.sendto(b"in", (guest.endpoint.address, 53))
            host.sendto(b"from the host", (guest.endpoint.address, 53))
            receives_only(inner, b"from the host")


def test_network_without_icc_isolates_its_containers_from_each_other(world: World, own: Networks) -> None:
    """The bridge itself keeps its ports apart: frames between neighbours never meet the filter of a router."""
    make(own, "quiet", "10.4.0.0/24", options={ICC: "false"})
    with (
        guests(own, record_of(1, network_mode="quiet"), record_of(2, network_mode="quiet")) as (one, two),
        bound(two.namespace, two.endpoint.address, 53, socket.SOCK_DGRAM) as server,
        bound(one.namespace, one.endpoint.address, 0, socket.SOCK_DGRAM) as neighbour,
        bound(world.host, "10.4.0.1", 0, socket.SOCK_DGRAM) as host,
    ):
        neighbour.sendto(b"from a neighbour", (two.endpoint.address, 53))
        host.sendto(b"from the host", (two.endpoint.address, 53))
        receives_only(server, b"from the host")


def test_ipv6_flows_out_masqueraded_and_in_through_published_ports(world: World, own: Networks) -> None:
    """Both families alike; the container sees the client's own address on the kernel's path."""
    make(own, "six", "10.5.0.0/24 fd00:5::/64", enable_ipv6=True)
    with guests(own, record_of(1, network_mode="six", port_bindings={"80/tcp": (PortBinding(host_port="8080"),)})) as (guest,):
        assert (guest.endpoint.address6, guest.endpoint.gateway6) == ("fd00:5::2", "fd00:5::1")
        with bound(world.outside, OUTSIDE6, 80) as server, connected(guest.namespace, OUTSIDE6, 80):
            connection, peer = server.accept()
            connection.close()
            assert peer[0] == HOST6
        with bound(guest.namespace, "::", 80) as server:
            for client, target in ((OUTSIDE, HOST), (OUTSIDE6, HOST6)):
                with connected(world.outside, target, 8080):
                    connection, peer = server.accept()
                    connection.close()
                    assert peer[0].removeprefix("::ffff:") == client


def test_network_without_ipv6_has_none(world: World, own: Networks) -> None:
    """CVE-2024-32473: not even a link-local address, over which neighbours would get past rules for IPv4."""
    make(own, "four", "10.6.0.0/24")
    with guests(own, record_of(1, network_mode="four")) as (guest,), inside(guest.namespace), netlink.open_route_socket() as route:
        index = netlink.require_link(route, "eth0").index
        assert [a.address for a in netlink.list_addresses(route) if a.link_index == index] == ["10.6.0.2/24"]
    assert Path("/proc/sys/net/ipv6/conf").exists()


def to_loopback(mac_address: str, *, port: int, content: bytes) -> bytes:
    """Return a frame from outside with a datagram for 127.0.0.1, which no routing table would send."""
    datagram = struct.pack(">HHHH", 4000, port, 8 + len(content), 0) + content
    header = struct.pack(
        ">BBHHHBBH4s4s", 0x45, 0, 20 + len(datagram), 1, 0, 64, 17, 0, socket.inet_aton(OUTSIDE), socket.inet_aton("127.0.0.1")
    )
    total = sum(struct.unpack(">10H", header))
    checksum = ~((total & 0xFFFF) + (total >> 16)) & 0xFFFF
    header = header[:10] + struct.pack(">H", checksum) + header[12:]
    return bytes.fromhex(mac_address.replace(":", "")) + b"\x02" * 6 + b"\x08\0" + header + datagram


@pytest.mark.parametrize("reloaded", [False, True], ids=["as made", "after a reload"])
def test_port_on_loopback_is_closed_even_where_routing_to_loopback_is_on(world: World, networks: Networks, reloaded: bool) -> None:
    """CVE-2025-54388: a neighbour puts 127.0.0.1 on the wire; also after somebody reloaded the firewall and a port was added."""
    wish = {"53/udp": (PortBinding(host_ip="127.0.0.1", host_port="5353"),)}
    endpoint, (listener,) = place(networks, record_of(1, port_bindings=wish))
    assert endpoint is not None
    write_sysctl("net/ipv4/conf/up0/route_localnet", "1")
    with netlink.open_netfilter_socket() as netfilter:
        if reloaded:
            teardown_table(netfilter, BRIDGE_NAME)
    more = networks.allocate(record_of(2, port_bindings={"1/udp": (PortBinding(host_ip="127.0.0.1", host_port="5001"),)}))
    with inside(world.outside):
        wire = socket.socket(socket.AF_PACKET, socket.SOCK_RAW)
        wire.bind(("eth0", 0))
    with netlink.open_route_socket() as route:
        mac_address = netlink.require_link(route, "up0").mac_address
    with wire, listener, bound(world.host, "127.0.0.1", 0, socket.SOCK_DGRAM) as local:
        wire.send(to_loopback(mac_address, port=5353, content=b"from outside"))
        listener.settimeout(WAIT_S)
        local.sendto(b"from here", ("127.0.0.1", 5353))
        receives_only(listener, b"from here")
    more.close()


def test_rules_that_somebody_flushed_are_made_again_with_the_next_change(world: World, networks: Networks) -> None:
    """One element cannot be added to a table that is gone; then the kernel is told everything."""
    if shutil.which("nft") is None:
        pytest.skip("needs `nft`: apt-get install nftables")
    wish = {"53/udp": (PortBinding(host_port="5353"),)}
    with guests(networks, record_of(1, port_bindings=wish)) as (guest,):
        subprocess.run(["nft", "flush", "ruleset"], check=True)
        with (
            guests(networks, record_of(2, port_bindings={"80/tcp": ()})),
            bound(guest.namespace, "0.0.0.0", 53, socket.SOCK_DGRAM) as server,
            bound(world.outside, OUTSIDE, 0, socket.SOCK_DGRAM) as client,
        ):
            client.sendto(b"hello", (HOST, 5353))
            receives_only(server, b"hello")


def test_datagrams_follow_a_port_to_its_new_owner(world: World, own: Networks) -> None:
    """The kernel keeps sending a flow where its first datagram went: it must be told to forget when the port changes hands."""
    make(own, "web", "10.9.0.0/24")
    wish = {"53/udp": (PortBinding(host_ip=HOST, host_port="5353"),)}
    with bound(world.outside, OUTSIDE, 4000, socket.SOCK_DGRAM) as client:
        for number in (1, 2):  # the second cannot have the address of the first, whose card is still there
            with (
                guests(own, record_of(number, network_mode="web", port_bindings=wish)) as (guest,),
                bound(guest.namespace, "0.0.0.0", 53, socket.SOCK_DGRAM) as server,
            ):
                held = os.dup(guest.namespace)
                client.sendto(b"for %d" % number, (HOST, 5353))
                assert server.recvfrom(100) == (b"for %d" % number, (OUTSIDE, 4000))
                assert guest.endpoint.address == f"10.9.0.{number + 1}"
        os.close(held)


def test_datagram_in_fragments_arrives_whole(world: World, networks: Networks) -> None:
    """Only the first fragment has a port: connection tracking puts them together before the filter looks."""
    message = os.urandom(9000)
    with (
        guests(networks, record_of(1, port_bindings={"53/udp": (PortBinding(host_port="5353"),)})) as (guest,),
        bound(guest.namespace, "0.0.0.0", 53, socket.SOCK_DGRAM) as server,
        bound(world.outside, OUTSIDE, 0, socket.SOCK_DGRAM) as client,
    ):
        client.settimeout(WAIT_S)
        client.sendto(message, (HOST, 5353))
        data, peer = server.recvfrom(65536)
        assert (data, peer[0]) == (message, OUTSIDE)
        server.sendto(data, peer)
        answer, answerer = client.recvfrom(65536)
        assert (answer, answerer) == (message, (HOST, 5353))


def test_many_connections_are_served_at_once(world: World, networks: Networks) -> None:
    """Each keeps the client's address and port, and its own conversation."""
    limits = resource.getrlimit(resource.RLIMIT_NOFILE)
    with (
        guests(networks, record_of(1, port_bindings={"80/tcp": (PortBinding(host_port="8080"),)})) as (guest,),
        bound(guest.namespace, "0.0.0.0", 80) as server,
        ExitStack() as open_,
    ):
        resource.setrlimit(resource.RLIMIT_NOFILE, (min(4096, limits[1]), limits[1]))  # two sockets each
        open_.callback(resource.setrlimit, resource.RLIMIT_NOFILE, limits)
        server.listen(1024)
        pairs = []
        for _ in range(1000):
            client = open_.enter_context(connected(world.outside, HOST, 8080))
            connection, peer = server.accept()
            open_.enter_context(connection)
            assert peer == client.getsockname()
            pairs.append((client, connection))
        for number, (client, connection) in enumerate(pairs):
            client.sendall(str(number).encode())
            assert connection.recv(10) == str(number).encode()


def test_echo_request_is_answered_by_the_world(world: World, own: Networks) -> None:
    """ICMP has no ports: masquerading goes by its identifier; too large for a link, an error comes back to who sent it."""
    make(own, "web", "10.8.0.0/24")
    with guests(own, record_of(1, network_mode="web")) as (guest,), inside(guest.namespace):
        Path("/proc/sys/net/ipv4/ping_group_range").write_text("0 2147483647")
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM, socket.IPPROTO_ICMP) as ping:
            ping.settimeout(WAIT_S)
            ping.sendto(b"\x08\0\0\0\0\0\0\x07hello", (OUTSIDE, 0))
            answer, peer = ping.recvfrom(100)
    assert (answer[0], answer[8:], peer[0]) == (0, b"hello", OUTSIDE)


def test_router_in_between_changes_nothing(world: World, networks: Networks) -> None:
    """Client, router, container host: the client is two hops away, and still the one whom the container sees."""
    with guests(networks, record_of(1, port_bindings={"80/tcp": (PortBinding(host_port="8080"),)})) as (guest,):
        with inside(world.outside):
            client = new_namespace()
        with inside(world.outside), netlink.open_route_socket() as route:
            write_sysctl("net/ipv4/ip_forward", "1")
            netlink.create_veth(route, host_name="far0", container_name="eth0", container_netns_fd=client)
            netlink.add_address(route, "far0", "198.51.100.1/24")
        with inside(client), netlink.open_route_socket() as route:
            netlink.add_address(route, "eth0", "198.51.100.9/24")
            netlink.set_link_up(route, "eth0")
            netlink.add_route(route, "198.51.100.1")
        with netlink.open_route_socket() as route:
            netlink.add_route(route, OUTSIDE, destination="198.51.100.0/24")
        with bound(guest.namespace, "0.0.0.0", 80) as server, connected(client, HOST, 8080):
            connection, peer = server.accept()
            connection.close()
        assert peer[0] == "198.51.100.9"
        os.close(client)


@pytest.mark.requires("iptables")
def test_rules_of_another_firewall_stay_as_they_are_and_one_that_drops_is_named(world: World, own: Networks) -> None:
    """A real Docker sets FORWARD to drop: our accept does not help there, so one sentence says it; nothing of it is touched."""
    for command in ("-P FORWARD DROP", "-A FORWARD -i docker0 -j ACCEPT", "-t nat -A POSTROUTING -s 172.17.0.0/16 -j MASQUERADE"):
        subprocess.run(["iptables", *command.split()], check=True)

    def theirs() -> str:
        listed = subprocess.run(["nft", "list", "tables"], check=True, capture_output=True, text=True).stdout
        tables = [line.split()[1:] for line in listed.splitlines() if "inet" not in line]
        return "".join(subprocess.run(["nft", "list", "table", *t], check=True, capture_output=True, text=True).stdout for t in tables)

    before = theirs()
    make(own, "web", "10.9.0.0/24")
    with guests(own, record_of(1, network_mode="web", port_bindings={"80/tcp": (PortBinding(host_port="8080"),)})):
        (warning,) = own.warnings
        assert "another firewall (table `ip filter`, chain `FORWARD`)" in warning
        assert theirs() == before
    assert theirs() == before


def test_port_is_published_where_the_server_was_told(world: World, tmp_path: Path) -> None:
    """`daemon --ip 127.0.0.1`: what a container publishes stays on this machine, unless it names an address."""
    networks = Networks(tmp_path, settings=NetworkSettings(host_ip="127.0.0.1"))
    wish = {"80/tcp": (PortBinding(host_port="8080"),), "81/tcp": (PortBinding(host_ip="0.0.0.0", host_port="8081"),)}
    with guests(networks, record_of(1, port_bindings=wish)) as (guest,):
        assert [(p.host_ip, p.host_port) for p in guest.endpoint.ports] == [("127.0.0.1", 8080), ("0.0.0.0", 8081)]
    networks.close()


def test_pool_that_is_exhausted_is_said_and_nothing_is_kept(world: World, own: Networks) -> None:
    """A /30 has room for one container."""
    make(own, "tiny", "10.10.0.0/30")
    with guests(own, record_of(1, network_mode="tiny")):
        with pytest.raises(HostError, match=r"no available IPv4 addresses on this network's address pools: tiny \("):
            own.allocate(record_of(2, network_mode="tiny"))
        assert [m.name for m in own.require("tiny").containers.values()] == ["c1"]
