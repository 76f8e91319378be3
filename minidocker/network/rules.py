"""What the packet filter is told about the server's bridges and their published ports.

Pure: `plan_table` turns the wanted state into one table; `minidocker.network.apply` puts it into the kernel.

**The rules never change; what changes are the elements of sets.** A bridge is an element, a published port is an element.
A packet finds its port in a hash table, however many there are, and to publish one more is one small message, however many
there were. A packet meets the base chains in this order; `raw` comes before connections are looked up, `nat` sees only the
first packet of a connection:

| hook        | chain                 | for                                                                     |
|-------------|-----------------------|-------------------------------------------------------------------------|
| prerouting  | `raw-prerouting`      | drop what comes from outside for a port published on 127.0.0.1          |
| prerouting  | `nat-prerouting`      | a published port of this host: on to `published`                        |
| output      | `nat-output`          | the same for programs on this host, except on 127.0.0.0/8 (the proxy)   |
| forward     | `filter-forward`      | into a bridge: on to `into-bridge`; out of an internal one: drop        |
| postrouting | `nat-postrouting`     | masquerade what leaves the bridges                                      |

What enters a bridge from elsewhere is let in only if its destination was rewritten here: a neighbour that routes the
bridge's subnet by hand reaches nothing, and neither do containers of another bridge.

An `accept` here does not override a `drop` in a table of somebody else: every base chain of a hook must let a packet
pass. See nft(8) and Docker's table `ip docker-bridges`, which has the same chains. Chapter 18.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Final

from minidocker.codec.nftables import (
    Accept, Chain, Counter, DnatMap, Drop, Elements, ElementSet, Jump, Masquerade, MatchAddress, MatchConnection, MatchLink,
    MatchFamily, MatchLocal, MatchSet, MatchTranslated, Rule, Statement, Table,
)  # fmt: skip
from minidocker.network.bridge import Bridge

__all__ = ["ANY_ADDRESSES", "Forward", "plan_elements", "plan_table"]

ANY_ADDRESSES: Final = ("", "0.0.0.0", "::")
"""A port published on one of these is published on every address of its family."""

_PORT: Final = ("meta l4proto", "th dport")
_PORT_TYPES: Final = ("inet_proto", "inet_service")

_SETS: Final = (
    ElementSet(name="bridges", key_types=("ifname",)),
    ElementSet(name="internal", key_types=("ifname",)),
    ElementSet(name="masqueraded", key_types=("ifname",)),
    ElementSet(name="neighbours", key_types=("ifname", "ifname")),
    ElementSet(name="loopback-ports", key_types=("ipv4_addr", *_PORT_TYPES)),
    ElementSet(name="ports", key_types=_PORT_TYPES, data_types=("ipv4_addr", "inet_service")),
    ElementSet(name="address-ports", key_types=("ipv4_addr", *_PORT_TYPES), data_types=("ipv4_addr", "inet_service")),
    ElementSet(name="ports6", key_types=_PORT_TYPES, data_types=("ipv6_addr", "inet_service")),
    ElementSet(name="address-ports6", key_types=("ipv6_addr", *_PORT_TYPES), data_types=("ipv6_addr", "inet_service")),
)
"""The sets, empty."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Forward:
    """One published port: what comes to `host_ip:host_port` goes to `container_ip:container_port`."""

    protocol: str
    host_ip: str
    host_port: int
    container_ip: str
    container_port: int


def plan_table(name: str, bridges: Iterable[Bridge], forwards: Iterable[Forward]) -> Table:
    """Return the whole table; its rules depend on nothing but its sets."""
    elements = plan_elements(bridges, forwards)
    return Table(name=name, sets=tuple(elements.get(s.name, s) for s in _SETS), chains=_CHAINS)


def plan_elements(bridges: Iterable[Bridge], forwards: Iterable[Forward]) -> Mapping[str, ElementSet]:
    """Return the elements that *bridges* and *forwards* are in each set, in an order of their own; empty sets are left out.

    What one container adds and removes is what this function says of it alone.
    """
    found: dict[str, dict[tuple[str, ...], tuple[str, ...]]] = {}
    for bridge in bridges:
        memberships = {
            "bridges": True, "internal": bridge.internal, "masqueraded": bridge.masquerade and not bridge.internal,
        }  # fmt: skip
        for set_name in (name for name, is_member in memberships.items() if is_member):
            found.setdefault(set_name, {})[(bridge.name,)] = ()
        if bridge.icc:
            found.setdefault("neighbours", {})[(bridge.name, bridge.name)] = ()
    for forward in forwards:
        set_name, key, value = _place_forward(forward)
        if set_name:
            found.setdefault(set_name, {})[key] = value
    return {made.name: _with(made, found[made.name]) for made in _SETS if made.name in found}


def _with(empty: ElementSet, elements: Elements) -> ElementSet:
    """Return *empty* with *elements*, sorted."""
    ordered = {key: elements[key] for key in sorted(elements)}
    return ElementSet(name=empty.name, key_types=empty.key_types, data_types=empty.data_types, elements=ordered)


def _place_forward(forward: Forward) -> tuple[str, tuple[str, ...], tuple[str, ...]]:
    """Return set, key and value of a published port; no set where the proxy alone serves it."""
    host, target = forward.host_ip, (forward.container_ip, str(forward.container_port))
    key, version6 = (forward.protocol, str(forward.host_port)), ":" in host
    if host.startswith("127."):
        return "loopback-ports", (host, *key), ()
    if host == "::1" or version6 != (":" in forward.container_ip):
        return "", (), ()
    suffix = "6" if version6 else ""
    return (f"ports{suffix}", key, target) if host in ANY_ADDRESSES else (f"address-ports{suffix}", (host, *key), target)


def _rule(*statements: Statement, comment: str = "") -> Rule:
    """Return one rule."""
    return Rule(statements=statements, comment=comment)


def _base(name: str, kind: str, hook: str, priority: str, *rules: Rule) -> Chain:
    """Return a chain that hangs in *hook*."""
    return Chain(name=name, type=kind, hook=hook, priority=priority, rules=rules)


def _in(set_name: str, *fields: str, is_not: bool = False) -> MatchSet:
    """Match what is in a set."""
    return MatchSet(fields=fields, set_name=set_name, is_not=is_not)


_TO_PUBLISHED: Final = (MatchLocal(), Jump("published"))
"""Only for addresses of this host; on to the maps of ports."""

_CHAINS: Final = (
    Chain(
        name="published",
        rules=(
            _rule(DnatMap(family="ip", fields=("ip daddr", *_PORT), map_name="address-ports")),
            _rule(MatchFamily("ip"), DnatMap(family="ip", fields=_PORT, map_name="ports")),
            _rule(DnatMap(family="ip6", fields=("ip6 daddr", *_PORT), map_name="address-ports6")),
            _rule(MatchFamily("ip6"), DnatMap(family="ip6", fields=_PORT, map_name="ports6")),
        ),
    ),
    Chain(
        name="into-bridge",
        rules=(
            _rule(_in("neighbours", "iifname", "oifname"), Accept(), comment="containers of one bridge reach each other"),
            _rule(MatchConnection(states=("established", "related")), Accept()),
            _rule(_in("internal", "oifname"), Counter(), Drop(), comment="internal"),
            _rule(MatchTranslated(), Accept(), comment="a published port"),
            _rule(Counter(), Drop(), comment="not published"),
        ),
    ),
    # A neighbour on the host's network can route 127.0.0.1 to this host by hand, and where somebody has switched
    # route_localnet on it would arrive (CVE-2025-54388 class).
    _base(
        "raw-prerouting", "filter", "prerouting", "raw",
        _rule(MatchLink(direction="iifname", name="lo", is_not=True), _in("loopback-ports", "ip daddr", *_PORT), Drop()),
    ),
    _base("nat-prerouting", "nat", "prerouting", "dstnat", _rule(_in("bridges", "iifname", is_not=True), *_TO_PUBLISHED)),
    _base(
        "nat-output", "nat", "output", "dstnat",
        _rule(MatchAddress(direction="daddr", network="127.0.0.0/8", is_not=True), *_TO_PUBLISHED),
        _rule(MatchAddress(direction="daddr", network="::1", is_not=True), *_TO_PUBLISHED),
    ),
    _base(
        "filter-forward", "filter", "forward", "filter",
        _rule(_in("bridges", "oifname"), Jump("into-bridge")),
        _rule(_in("internal", "iifname"), Counter(), Drop(), comment="internal"),
    ),
    _base(
        "nat-postrouting", "nat", "postrouting", "srcnat",
        _rule(_in("masqueraded", "iifname"), _in("bridges", "oifname", is_not=True), Masquerade()),
    ),
)  # fmt: skip
