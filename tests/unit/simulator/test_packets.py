"""One packet: through hooks, chains and namespaces, and its answer back."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from minidocker.codec.nftables import Accept, Chain, Drop, Jump, MatchConnection, MatchLink, Rule, Table
from minidocker.kernel.flags import Clone
from minidocker.network.bridge import Bridge
from minidocker.network.rules import Forward, plan_table
from minidocker.simulator.linux import Linux
from minidocker.simulator.network import add_address, add_route, create_veth, set_link_up
from minidocker.simulator.packets import Packet, Walk, answer_of, walk_packet
from minidocker.simulator.processes import fork, unshare
from tests.unit.simulator.small import start

BRIDGE = Bridge(name="minidocker0", subnet="172.17.0.0/16", gateway="172.17.0.1")
FORWARDS = (
    Forward(protocol="tcp", host_ip="", host_port=8080, container_ip="172.17.0.2", container_port=80),
    Forward(protocol="tcp", host_ip="127.0.0.1", host_port=9090, container_ip="172.17.0.2", container_port=90),
)


def connect(linux: Linux, host: int, name: str, address: str, *, isolated: bool = False) -> tuple[Linux, int]:
    """Add a namespace with a cable to the bridge; return it."""
    linux, inside = fork(linux, host)
    linux = unshare(linux, inside, Clone.NEWNET)
    linux = create_veth(
        linux, host, host_name=name, peer_name="eth0", peer_pid=inside, bridge="minidocker0", mac_address="02:42:ac:11:00:02", isolated=isolated
    )
    linux = set_link_up(add_address(linux, inside, "eth0", f"{address}/16"), inside, "eth0")
    return add_route(linux, inside, gateway="172.17.0.1"), linux.net_of(inside)[0]


def machine(*tables: Table, isolated: bool = False) -> tuple[Linux, int, int, int]:
    """Return a host with two containers, and the three namespaces."""
    linux, pid = start()
    linux, web = connect(linux, pid, "veth1", "172.17.0.2", isolated=isolated)
    linux, db = connect(linux, pid, "veth2", "172.17.0.3", isolated=isolated)
    number, net = linux.net_of(pid)
    return linux.with_namespace(number, replace(net, tables=tables or (plan_table("t", (BRIDGE,), FORWARDS),))), number, web, db


def packet(source: str, destination: str, port: int, *, in_link: str = "") -> Packet:
    """Return the first packet of a connection."""
    return Packet(protocol="tcp", source=source, source_port=40000, destination=destination, destination_port=port, in_link=in_link)


def back(linux: Linux, walk: Walk) -> Walk:
    """Walk the answer."""
    return walk_packet(linux, walk.namespace, answer_of(walk), connections=walk.connections)


OUTSIDE, HOST_ADDRESS, WEB, DB = "198.51.100.7", "192.0.2.10", "172.17.0.2", "172.17.0.3"


def test_published_port_is_rewritten_and_the_answer_rewritten_back() -> None:
    """The client never learns of the container: it is answered by the address and port that it asked."""
    linux, host, web, _ = machine()
    there = walk_packet(linux, host, packet(OUTSIDE, HOST_ADDRESS, 8080, in_link="eth0"))
    assert (there.fate, there.namespace, there.packet.flow) == ("delivered", web, ("tcp", OUTSIDE, 40000, WEB, 80))
    answer = back(linux, there)
    assert (answer.fate, answer.packet.flow) == ("sent", ("tcp", HOST_ADDRESS, 8080, OUTSIDE, 40000))


def test_masquerade_hides_the_container() -> None:
    """Outside nobody has a route to 172.17.0.0/16; the connection remembers whom the answer is for."""
    linux, host, web, _ = machine()
    out = walk_packet(linux, web, packet(WEB, OUTSIDE, 443))
    assert (out.fate, out.packet.source) == ("sent", HOST_ADDRESS)
    answer = replace(answer_of(out), in_link="eth0")
    home = walk_packet(linux, host, answer, connections=out.connections)
    assert (home.fate, home.namespace, home.packet.destination) == ("delivered", web, WEB)


def test_answer_without_a_question_is_a_stranger() -> None:
    """The same packet, without the connection: it is for the host itself, where nobody waits for it."""
    linux, host, web, _ = machine()
    out = walk_packet(linux, web, packet(WEB, OUTSIDE, 443))
    stray = walk_packet(linux, host, replace(answer_of(out), in_link="eth0"))
    assert (stray.fate, stray.namespace) == ("delivered", host)


FATES = {
    "neighbours-on-a-bridge": ("web", packet(WEB, DB, 5432), "delivered", "the bridge passes it on, no rule sees it"),
    "not-published": ("host", packet(OUTSIDE, WEB, 80, in_link="eth0"), "dropped", "whoever routes by hand is not let in"),
    "published-on-loopback-from-outside": ("host", packet(OUTSIDE, "127.0.0.1", 9090, in_link="eth0"), "dropped", "CVE-2025-54388 class"),
    "host-to-container": ("host", packet("172.17.0.1", WEB, 80), "delivered", "the host may always"),
    "published-from-the-host": ("host", packet(HOST_ADDRESS, HOST_ADDRESS, 8080), "delivered", "output is rewritten, too"),
    "loopback-port-on-the-host": ("host", packet("127.0.0.1", "127.0.0.1", 9090), "delivered", "the proxy listens there"),
    "nobody-there": ("web", packet(WEB, "172.17.9.9", 80), "unreachable", "no cable leads to that address"),
    "no-route": ("web", packet(WEB, "2001:db8::1", 80), "unreachable", "no IPv6 in this container"),
}


@pytest.mark.parametrize(("begin", "first", "fate", "why"), FATES.values(), ids=FATES)
def test_packet_ends_where_it_should(begin: str, first: Packet, fate: str, why: str) -> None:
    """The rules of the engine's own table, one packet for each promise."""
    linux, host, web, _ = machine()
    assert walk_packet(linux, host if begin == "host" else web, first).fate == fate, why


def test_isolated_neighbours_do_not_reach_each_other() -> None:
    """`enable_icc=false` is a property of the bridge's ports; the host is still reached."""
    linux, _, web, _ = machine(isolated=True)
    assert walk_packet(linux, web, packet(WEB, DB, 5432)).fate == "unreachable"
    assert walk_packet(linux, web, packet(WEB, "172.17.0.1", 53)).fate == "delivered"


def rule(*statements: Accept | Drop | Jump | MatchLink | MatchConnection) -> Rule:
    """Return one rule."""
    return Rule(statements=statements)


def forward_chain(name: str, *rules: Rule, priority: str = "filter", policy: str = "accept") -> Chain:
    """Return a base chain of the hook forward."""
    return Chain(name=name, type="filter", hook="forward", priority=priority, policy=policy, rules=rules)


VERDICTS = {
    "accept-ends-only-its-chain": ((Table(name="a", chains=(forward_chain("x", rule(Accept())),)), Table(name="b", chains=(forward_chain("y", rule(Drop())),))), "dropped"),
    "lower-priority-first": ((Table(name="a", chains=(forward_chain("late", rule(Accept())), forward_chain("early", rule(Drop()), priority="raw"))),), "dropped"),
    "policy-decides-last": ((Table(name="a", chains=(forward_chain("x", policy="drop"),)),), "dropped"),
    "jump-comes-back": (
        (Table(name="a", chains=(Chain(name="sub", rules=(rule(MatchLink(direction="iifname", name="nope"), Drop()),)), forward_chain("x", rule(Jump("sub")), rule(Drop())))),),
        "dropped",
    ),
    "jump-decides": ((Table(name="a", chains=(Chain(name="sub", rules=(rule(Accept()),)), forward_chain("x", rule(Jump("sub")), rule(Drop())))),), "delivered"),
    "state-of-a-first-packet": ((Table(name="a", chains=(forward_chain("x", rule(MatchConnection(states=("new",)), Drop())),)),), "dropped"),
}  # fmt: skip


@pytest.mark.parametrize(("tables", "fate"), VERDICTS.values(), ids=VERDICTS)
def test_verdict_follows_the_rules_of_nft(tables: tuple[Table, ...], fate: str) -> None:
    """nft(8): a drop is final; an accept is not, if another base chain of the hook drops."""
    linux, host, _, _ = machine(*tables)
    assert walk_packet(linux, host, packet(OUTSIDE, WEB, 80, in_link="eth0")).fate == fate


def test_two_namespaces_that_route_to_each_other_are_a_circle() -> None:
    """A packet that nobody wants ends after sixteen hops, as its time to live would."""
    linux, pid = start()
    linux, web = connect(linux, pid, "veth1", WEB)
    number, net = linux.net_of(pid)
    there = next(r for r in net.routes if r.destination == "0.0.0.0/0")
    linux = linux.with_namespace(number, replace(net, routes=(*(r for r in net.routes if r != there), replace(there, gateway=WEB, link_index=3))))
    assert walk_packet(linux, web, packet(WEB, OUTSIDE, 1)).fate == "unreachable"


ADDRESSES = st.sampled_from([OUTSIDE, HOST_ADDRESS, WEB, DB, "172.17.0.1", "127.0.0.1", "172.17.7.7"])


@given(st.sampled_from(["host", "web", "db"]), ADDRESSES, ADDRESSES, st.sampled_from([80, 90, 8080, 9090]), st.booleans())
def test_every_packet_has_a_fate_and_its_answer_comes_home(begin: str, source: str, destination: str, port: int, arrives: bool) -> None:
    """Whatever is sent: it ends, and an answer to what was delivered comes back from the address that was asked."""
    linux, host, web, db = machine()
    namespace = {"host": host, "web": web, "db": db}[begin]
    there = walk_packet(linux, namespace, packet(source, destination, port, in_link="eth0" if arrives else ""))
    assert there.fate in ("delivered", "dropped", "sent", "unreachable")
    honest = (begin, source) in (("host", HOST_ADDRESS), ("web", WEB), ("db", DB)) and not arrives
    if honest and there.fate == "delivered":
        answer = back(linux, there)
        assert (answer.fate, answer.namespace) == ("delivered", namespace)
        assert answer.packet.flow == ("tcp", destination, port, source, 40000)
