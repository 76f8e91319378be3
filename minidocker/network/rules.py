"""What the packet filter is told about a bridge and its published ports.

Pure: `plan_table` turns the wanted state into one table; `minidocker.network.apply` puts it into the kernel, whole.

A packet meets the base chains in this order; `raw` comes before connections are looked up, `nat` sees only the first
packet of a connection:

| hook        | chain                 | for                                                                     |
|-------------|-----------------------|-------------------------------------------------------------------------|
| prerouting  | `raw-prerouting`      | drop what comes from outside straight for a container, or for 127.0.0.1 |
| prerouting  | `nat-prerouting`      | a published port of this host: on to `published`                        |
| output      | `nat-output`          | the same for programs on this host, except on 127.0.0.0/8 (the proxy)   |
| forward     | `filter-forward`      | into the bridge: on to `into-bridge`                                    |
| postrouting | `nat-postrouting`     | masquerade what leaves the subnet                                       |

An `accept` here does not override a `drop` in a table of somebody else: every base chain of a hook must let a packet
pass. See nft(8) and Docker's table `ip docker-bridges`, whose design this follows. Chapter 18.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import astuple, dataclass
from typing import Final

from minidocker.codec.nftables import (
    Accept,
    Chain,
    Counter,
    Dnat,
    Drop,
    Jump,
    Masquerade,
    MatchAddress,
    MatchConnection,
    MatchLink,
    MatchLocal,
    MatchPort,
    Rule,
    Statement,
    Table,
)
from minidocker.network.bridge import Bridge

__all__ = ["ANY_ADDRESSES", "Forward", "plan_table"]

ANY_ADDRESSES: Final = ("", "0.0.0.0")
"""A port published on one of these is published on every IPv4 address of the host."""

LOOPBACK: Final = "127.0.0.0/8"


@dataclass(frozen=True, slots=True, kw_only=True)
class Forward:
    """One published port: what comes to `host_ip:host_port` goes to `container_ip:container_port`."""

    protocol: str
    host_ip: str
    host_port: int
    container_ip: str
    container_port: int


def plan_table(bridge: Bridge, forwards: Iterable[Forward]) -> Table:
    """Return the whole table for *bridge*; IPv6 addresses of the host are the proxy's business and leave no rule."""
    ipv4 = sorted((f for f in forwards if ":" not in f.host_ip), key=astuple)
    translated = [f for f in ipv4 if not f.host_ip.startswith("127.")]
    to_published = (MatchLocal(), Jump("published"))
    not_loopback = MatchAddress(direction="daddr", network=LOOPBACK, is_not=True)
    return Table(
        name=bridge.name,
        chains=(
            Chain(name="published", rules=tuple(_translate(f) for f in translated)),
            Chain(name="into-bridge", rules=_into_bridge(bridge, translated)),
            _base("raw-prerouting", "filter", "prerouting", "raw", _guard(bridge, ipv4)),
            _base("nat-prerouting", "nat", "prerouting", "dstnat", (_rule(_from(bridge, is_not=True), *to_published),)),
            _base("nat-output", "nat", "output", "dstnat", (_rule(not_loopback, *to_published),)),
            _base("filter-forward", "filter", "forward", "filter", (_rule(_to(bridge), Jump("into-bridge")),)),
            _base("nat-postrouting", "nat", "postrouting", "srcnat", (_masquerade(bridge),)),
        ),
    )


def _rule(*statements: Statement, comment: str = "") -> Rule:
    """Return one rule."""
    return Rule(statements=statements, comment=comment)


def _base(name: str, kind: str, hook: str, priority: str, rules: tuple[Rule, ...]) -> Chain:
    """Return a chain that hangs in *hook*."""
    return Chain(name=name, type=kind, hook=hook, priority=priority, rules=rules)


def _from(bridge: Bridge, *, is_not: bool = False) -> MatchLink:
    """Match packets that come in by *bridge*."""
    return MatchLink(direction="iifname", name=bridge.name, is_not=is_not)


def _to(bridge: Bridge, *, is_not: bool = False) -> MatchLink:
    """Match packets that go out by *bridge*."""
    return MatchLink(direction="oifname", name=bridge.name, is_not=is_not)


def _masquerade(bridge: Bridge) -> Rule:
    """Hide the containers' addresses from everybody outside: nobody there has a route back to them."""
    return _rule(MatchAddress(direction="saddr", network=bridge.subnet), _to(bridge, is_not=True), Masquerade())


def _translate(forward: Forward) -> Rule:
    """Rewrite the destination of what comes to a published port."""
    address = (MatchAddress(direction="daddr", network=forward.host_ip),) if forward.host_ip not in ANY_ADDRESSES else ()
    port = MatchPort(protocol=forward.protocol, port=forward.host_port)
    return _rule(*address, port, Dnat(forward.container_ip, forward.container_port))


def _into_bridge(bridge: Bridge, translated: Sequence[Forward]) -> tuple[Rule, ...]:
    """Let in answers, neighbours and published ports (already translated here), and nothing else."""
    targets = dict.fromkeys((f.container_ip, f.protocol, f.container_port) for f in translated)
    published = (
        _rule(MatchAddress(direction="daddr", network=address), MatchPort(protocol=protocol, port=port), Accept())
        for address, protocol, port in targets
    )
    return (
        _rule(MatchConnection(states=("established", "related")), Accept()),
        _rule(_from(bridge), Accept(), comment="containers of one bridge reach each other"),
        *published,
        _rule(Counter(), Drop(), comment="not published"),
    )


def _guard(bridge: Bridge, forwards: Sequence[Forward]) -> tuple[Rule, ...]:
    """Drop what must not come from outside, before anything is translated.

    A neighbour on the host's network can route the bridge's subnet, or 127.0.0.1, to this host by hand: without these
    rules it would reach ports published on one address only, or on none (CVE-2025-54388 class).
    """
    not_loopback = MatchLink(direction="iifname", name="lo", is_not=True)
    straight = _rule(_from(bridge, is_not=True), not_loopback, MatchAddress(direction="daddr", network=bridge.subnet), Drop())
    local = (
        _rule(not_loopback, MatchAddress(direction="daddr", network=f.host_ip), MatchPort(protocol=f.protocol, port=f.host_port), Drop())
        for f in forwards
        if f.host_ip.startswith("127.")
    )
    return straight, *local
