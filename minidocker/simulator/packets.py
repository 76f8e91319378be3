"""One packet on its way: hooks, chains in the order of their priorities, verdicts, translation, and the answer's way back.

Pure. In a namespace a packet meets five hooks. In each it passes every base chain, lowest priority first: `drop` ends it, `accept`
only ends that chain. `nat` chains see the first packet of a connection; for the others, and for all answers, the connection remembers
what was decided. Between namespaces a packet follows a cable; a bridge hands it to whoever has the address, and only what is
addressed to the host itself climbs up to the host's rules.

    arrives ─ prerouting ─ route ─┬─ forward ─ postrouting ─ leaves
                                  └─ input ─ delivered
    made here ─ route ─ output ─ route again ─ postrouting ─ leaves

See nft(8), "Netfilter hooks", and `Documentation/networking/nf_conntrack-sysctl.rst` of the kernel. Chapter 18.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Final, assert_never

from minidocker.codec.nftables import (
    PRIORITIES, Accept, Chain, Counter, DnatMap, Drop, Jump, Masquerade, MatchAddress, MatchConnection, MatchFamily, MatchLink,
    MatchLocal, MatchSet, MatchTranslated, Rule, Table, describe_rule,
)  # fmt: skip
from minidocker.codec.rtnetlink import Link, Route
from minidocker.simulator.linux import Linux, Net
from minidocker.simulator.network import LOCAL, find_route

__all__ = ["Connection", "Event", "Packet", "Walk", "answer_of", "walk_packet"]

MAX_HOPS: Final = 16
"""More namespaces than this in a row are a circle of routes."""

Flow = tuple[str, str, int, str, int]
"""Protocol, source, its port, destination, its port: what a connection is recognised by."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Packet:
    """The head of a packet, and what is known beside it."""

    protocol: str
    source: str
    source_port: int
    destination: str
    destination_port: int
    in_link: str = ""
    out_link: str = ""

    @property
    def flow(self) -> Flow:
        """What a connection is recognised by."""
        return self.protocol, self.source, self.source_port, self.destination, self.destination_port

    def __str__(self) -> str:
        """Return it as people write it."""
        return f"{self.protocol} {_join(self.source, self.source_port)} -> {_join(self.destination, self.destination_port)}"


def _join(address: str, port: int) -> str:
    return f"[{address}]:{port}" if ":" in address else f"{address}:{port}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Connection:
    """What a namespace remembers: the flow as it began, and as it went on after translation."""

    original: Flow
    translated: Flow

    @property
    def is_redirected(self) -> bool:
        """Whether the destination was rewritten: `ct status dnat`."""
        return self.original[3:] != self.translated[3:]


@dataclass(frozen=True, slots=True, kw_only=True)
class Event:
    """One thing that happened to a packet."""

    namespace: int
    hook: str
    chain: str = ""
    """Where a rule matched: its table and chain."""
    what: str
    rule: Rule | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Walk:
    """The way of one packet."""

    events: tuple[Event, ...]
    fate: str
    """`delivered`, `dropped`, `sent` (it left the machine) or `unreachable`."""
    packet: Packet
    """As it was at the end."""
    namespace: int
    """Where it ended."""
    connections: Mapping[int, tuple[Connection, ...]] = field(default_factory=dict)
    """By namespace: what an answer will be recognised by."""


def answer_of(walk: Walk) -> Packet:
    """Return the first packet of the answer."""
    p = walk.packet
    return Packet(
        protocol=p.protocol, source=p.destination, source_port=p.destination_port, destination=p.source, destination_port=p.source_port
    )


def walk_packet(
    linux: Linux, namespace: int, packet: Packet, *, connections: Mapping[int, tuple[Connection, ...]] | None = None
) -> Walk:
    """Return the way of *packet* from *namespace*: made there, or with an *in_link* arriving there.

    Args:
        linux: namespaces, cables and tables.
        namespace: where it begins.
        packet: its head.
        connections: what an earlier walk left; an answer is recognised by them.
    """
    events: list[Event] = []
    known = dict(connections or {})
    for _ in range(MAX_HOPS):
        stage = _Stage(linux, namespace, packet, known.get(namespace, ()))
        fate = stage.pass_through()
        events += stage.events
        packet, known[namespace] = stage.packet, stage.connections
        if fate != "sent":
            return Walk(events=tuple(events), fate=fate, packet=packet, namespace=namespace, connections=known)
        onward = _follow_cable(linux, namespace, packet, stage.next_hop)
        if onward is None:
            return Walk(events=tuple(events), fate=stage.fate_outside, packet=packet, namespace=namespace, connections=known)
        namespace, link, how = onward
        packet = replace(packet, in_link=link, out_link="")
        events.append(Event(namespace=namespace, hook="link", what=how))
    return Walk(events=tuple(events), fate="unreachable", packet=packet, namespace=namespace, connections=known)


def _net(linux: Linux, number: int) -> Net:
    namespace = linux.namespaces[number]
    assert isinstance(namespace, Net)
    return namespace


def _link(net: Net, index: int) -> Link:
    return next(link for link in net.links if link.index == index)


def _follow_cable(linux: Linux, namespace: int, packet: Packet, next_hop: str) -> tuple[int, str, str] | None:
    """Return where a packet arrives that leaves by *out_link* for *next_hop*: namespace, link and how; None outside."""
    net = _net(linux, namespace)
    out = next(link for link in net.links if link.name == packet.out_link)
    if out.kind == "bridge":
        return _cross_bridge(linux, namespace, out, next_hop, came_by=None)
    other = _other_end(linux, namespace, out.index)
    if other is None:
        return None
    there, index = other
    plug = _link(_net(linux, there), index)
    if not plug.master:
        return there, plug.name, f"through the cable {packet.out_link} to {plug.name}"
    bridge = _link(_net(linux, there), plug.master)
    if any(a.link_index == bridge.index and a.address.partition("/")[0] == next_hop for a in _net(linux, there).addresses):
        return there, bridge.name, f"through the cable to {plug.name} and up: bridge {bridge.name} has the address {next_hop}"
    return _cross_bridge(linux, there, bridge, next_hop, came_by=plug)


def _cross_bridge(linux: Linux, namespace: int, bridge: Link, next_hop: str, *, came_by: Link | None) -> tuple[int, str, str] | None:
    """Return the neighbour on *bridge* with the address *next_hop*; isolated ports do not reach each other."""
    net = _net(linux, namespace)
    for port in (link for link in net.links if link.master == bridge.index and link != came_by):
        other = _other_end(linux, namespace, port.index)
        if other is None or (came_by is not None and {came_by.name, port.name} <= net.isolated):
            continue
        there, index = other
        if any(a.link_index == index and a.address.partition("/")[0] == next_hop for a in _net(linux, there).addresses):
            rules = "; no rule of the host sees it" if came_by is not None else ""
            return there, _link(_net(linux, there), index).name, f"over bridge {bridge.name} and the cable {port.name}{rules}"
    return None


def _other_end(linux: Linux, namespace: int, index: int) -> tuple[int, int] | None:
    for pair in linux.cables:
        if (namespace, index) in pair:
            return pair[1] if pair[0] == (namespace, index) else pair[0]
    return None


class _Stage:
    """A packet in one namespace. A class, because translation changes the packet from hook to hook."""

    def __init__(self, linux: Linux, namespace: int, packet: Packet, connections: tuple[Connection, ...]) -> None:
        self._linux, self.net, self.namespace = linux, _net(linux, namespace), namespace
        self.packet, self.connections = packet, connections
        self.events: list[Event] = []
        self.next_hop = ""
        self.fate_outside = "sent"
        self._connection, self._is_answer = self._recognise()
        self._is_new = self._connection is None
        self._first = packet.flow

    def _recognise(self) -> tuple[Connection | None, bool]:
        for connection in self.connections:
            protocol, source, source_port, destination, destination_port = connection.translated
            if self.packet.flow == (protocol, destination, destination_port, source, source_port):
                return connection, True
            if self.packet.flow == connection.original:
                return connection, False
        return None, False

    def pass_through(self) -> str:
        """Take the packet through the hooks and return its fate."""
        made_here = not self.packet.in_link
        if made_here:
            if not self._route("before anything else: by which link, so that rules can ask"):
                return "unreachable"
            entered = self._hook("output")
        else:
            entered = self._hook("prerouting")
        if not entered:
            return "dropped"
        if not self._route("again" if made_here else ""):
            return "unreachable"
        if self.packet.out_link == "lo" or not self.packet.out_link:
            return self._deliver(made_here)
        if not made_here and not self._hook("forward"):
            return "dropped"
        if not self._hook("postrouting"):
            return "dropped"
        self._remember()
        return "sent"

    def _deliver(self, made_here: bool) -> str:
        if made_here:
            self.packet = replace(self.packet, in_link="lo")
        if not self._hook("input"):
            return "dropped"
        self._remember()
        self._say("input", f"delivered: {self.packet}")
        return "delivered"

    def _route(self, why: str) -> bool:
        """Look the destination up; an address of one's own has no link to leave by."""
        route = find_route(self.net, self.packet.destination)
        if route is None:
            self._say("route", f"no route to {self.packet.destination}")
            return False
        link = _link(self.net, route.link_index)
        is_own = route.table == LOCAL
        self.packet = replace(self.packet, out_link="" if is_own else link.name)
        self.next_hop = route.gateway or self.packet.destination
        self.fate_outside = "unreachable" if link.kind == "bridge" or self._is_cable(link) else "sent"
        if why != "again":
            self._say("route", f"{self.packet.destination} is this machine" if is_own else _describe_route(route, link))
        return True

    def _is_cable(self, link: Link) -> bool:
        return _other_end(self._linux, self.namespace, link.index) is not None

    def _say(self, hook: str, what: str, *, chain: str = "", rule: Rule | None = None) -> None:
        self.events.append(Event(namespace=self.namespace, hook=hook, chain=chain, what=what, rule=rule))

    def _hook(self, hook: str) -> bool:
        """Pass the base chains of *hook*; return whether the packet goes on."""
        bases = [(PRIORITIES[chain.priority], table, chain) for table in self.net.tables for chain in table.chains if chain.hook == hook]
        translated = not self._is_new
        for _, table, chain in sorted(bases, key=lambda base: base[0]):
            if chain.type == "nat" and translated:
                continue
            before = self.packet.flow
            if self._run(hook, table, chain) == "drop":
                return False
            translated = translated or self.packet.flow != before
        if not self._is_new:
            self._translate_again(hook)
        return True

    def _translate_again(self, hook: str) -> None:
        """What the connection remembers: destinations are rewritten where packets come in, sources where they leave the hooks."""
        connection = self._connection
        if connection is None or hook not in ("prerouting", "output", "postrouting", "input"):
            return
        before = self.packet
        _, source, source_port, destination, destination_port = connection.original if self._is_answer else connection.translated
        if self._is_answer:
            source, source_port, destination, destination_port = destination, destination_port, source, source_port
        if hook in ("prerouting", "output"):
            self.packet = replace(self.packet, destination=destination, destination_port=destination_port)
        else:
            self.packet = replace(self.packet, source=source, source_port=source_port)
        if self.packet != before:
            self._say(hook, f"the connection is known: now {self.packet}")

    def _remember(self) -> None:
        if self._connection is None:
            self._connection = Connection(original=self._first, translated=self.packet.flow)
            self.connections = (*self.connections, self._connection)

    def _run(self, hook: str, table: Table, chain: Chain) -> str:
        """Run a chain's rules and return `accept`, `drop`, or empty for a jump that decided nothing."""
        for rule in chain.rules:
            verdict = self._try(hook, table, chain, rule)
            if verdict:
                return verdict
        if not chain.hook:
            return ""
        if chain.policy == "drop":
            self._say(hook, "dropped by the policy", chain=f"{table.name} {chain.name}")
        return chain.policy

    def _try(self, hook: str, table: Table, chain: Chain, rule: Rule) -> str:
        """Run one rule: each statement must hold for the next to run."""
        where = f"{table.name} {chain.name}"
        for statement in rule.statements:
            match statement:
                case Counter():
                    continue
                case Accept() | Drop():
                    self._say(hook, describe_rule(rule), chain=where, rule=rule)
                    return type(statement).__name__.lower()
                case Jump():
                    self._say(hook, describe_rule(rule), chain=where, rule=rule)
                    target = next(c for c in table.chains if c.name == statement.chain)
                    return self._run(hook, table, target)
                case Masquerade():
                    self.packet = replace(self.packet, source=self._address_of(self.packet.out_link))
                    self._say(hook, f"{describe_rule(rule)}: now {self.packet}", chain=where, rule=rule)
                    return "accept"
                case DnatMap():
                    value = self._look_up(table, statement.map_name, statement.fields)
                    if value is None:
                        return ""
                    self.packet = replace(self.packet, destination=value[0], destination_port=int(value[1]))
                    self._say(hook, f"{describe_rule(rule)}: now {self.packet}", chain=where, rule=rule)
                    return "accept"
                case _:
                    if not self._matches(table, statement):
                        return ""
        return ""

    def _matches(
        self, table: Table, statement: MatchLink | MatchAddress | MatchFamily | MatchSet | MatchConnection | MatchTranslated | MatchLocal
    ) -> bool:
        match statement:
            case MatchLink():
                return (self._field(statement.direction) == statement.name) != statement.is_not
            case MatchAddress():
                network = ipaddress.ip_network(statement.network)
                address = ipaddress.ip_address(self.packet.source if statement.direction == "saddr" else self.packet.destination)
                return address.version == network.version and (address in network) != statement.is_not
            case MatchFamily():
                return (":" in self.packet.destination) == (statement.family == "ip6")
            case MatchSet():
                return (self._look_up(table, statement.set_name, statement.fields) is not None) != statement.is_not
            case MatchConnection():
                return ("new" if self._is_new else "established") in statement.states
            case MatchTranslated():
                if self._connection is not None:
                    return self._connection.is_redirected
                return self._first[3:] != self.packet.flow[3:]
            case MatchLocal():
                route = find_route(self.net, self.packet.destination)
                return route is not None and route.table == LOCAL
            case _:
                assert_never(statement)

    def _look_up(self, table: Table, name: str, fields: tuple[str, ...]) -> tuple[str, ...] | None:
        """Return the value of the element that the packet has in *fields*; empty for a set's, None for none."""
        found = next(s for s in table.sets if s.name == name)
        key = tuple(self._field(word) for word in fields)
        return found.elements.get(key)

    def _field(self, name: str) -> str:
        """Return what the packet has in a field; a field of the other family is empty, and in no set."""
        packet, is_ipv6 = self.packet, ":" in self.packet.destination
        families = {"ip saddr": packet.source, "ip daddr": packet.destination} if not is_ipv6 else {
            "ip6 saddr": packet.source, "ip6 daddr": packet.destination,
        }  # fmt: skip
        known = {
            "iifname": packet.in_link, "oifname": packet.out_link, "meta l4proto": packet.protocol, "th dport": str(packet.destination_port),
        }  # fmt: skip
        return {**known, **families}.get(name, "")

    def _address_of(self, name: str) -> str:
        """Return the first address of a link in the packet's family: what masquerading takes."""
        link = next(link for link in self.net.links if link.name == name)
        is_ipv6 = ":" in self.packet.destination
        addresses = (a.address.partition("/")[0] for a in self.net.addresses if a.link_index == link.index)
        return next((a for a in addresses if (":" in a) == is_ipv6), self.packet.source)


def _describe_route(route: Route, link: Link) -> str:
    return f"to {route.destination} by {link.name}{f', next hop {route.gateway}' if route.gateway else ''}"

