"""nf_tables: tables, chains and rules of the kernel's packet filter, as values and as nft text.

Pure. A *table* holds *chains* and *sets*; a *base chain* hangs in one of the hooks through which every packet passes; a
*rule* is a row of statements, where each match must hold for the next one to run and the last one usually decides; a set
is a hash table that rules look things up in, and a *map* is a set whose elements have a value. The same values are
rendered twice: `minidocker.codec.nft_messages` for the kernel, `render_nft` for people, in the words that `nft list
ruleset` prints.

See nft(8). Chapter 18.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Final, assert_never

__all__ = [
    "CONNECTION_STATES", "FIELDS", "FIELD_TYPES", "HOOKS", "LINK_NAME_BYTES", "POLICIES", "PRIORITIES", "PROTOCOLS", "Accept",
    "Chain", "Counter", "DnatMap", "Drop", "ElementSet", "Elements", "Field", "FieldType", "Jump", "Masquerade", "MatchAddress",
    "MatchConnection", "MatchFamily", "MatchLink", "MatchLocal", "MatchSet", "MatchTranslated", "Rule", "Statement", "Table",
    "describe_rule", "family_of", "plan_name_redirect", "render_nft",
]  # fmt: skip

PRIORITIES: Final = {"raw": -300, "dstnat": -100, "filter": 0, "srcnat": 100}
"""nft's names for when a base chain runs, lowest first; destinations are rewritten before the filter, sources after it."""
_PRIORITY_HOOKS: Final = {"dstnat": "prerouting", "srcnat": "postrouting"}
"""Where nft prints the name; elsewhere it prints the number."""
HOOKS: Final = {"prerouting": 0, "input": 1, "forward": 2, "output": 3, "postrouting": 4}
POLICIES: Final = {"drop": 0, "accept": 1}
PROTOCOLS: Final = {"tcp": 6, "udp": 17, "sctp": 132}
CONNECTION_STATES: Final = {"invalid": 1, "established": 2, "related": 4, "new": 8, "untracked": 64}

LINK_NAME_BYTES: Final = 16
"""A register holds a link's name padded with zero bytes to `IFNAMSIZ`."""


@dataclass(frozen=True, slots=True, kw_only=True)
class MatchLink:
    """The packet came in by, or goes out by, the link called *name*."""

    direction: str
    """`iifname` or `oifname`."""
    name: str
    is_not: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class MatchAddress:
    """The packet's `saddr` or `daddr` lies in *network* (`172.17.0.0/16`, `::1`), whose family is the packet's too."""

    direction: str
    network: str
    is_not: bool = False


@dataclass(frozen=True, slots=True)
class MatchFamily:
    """The packet is of family `ip` or `ip6`: needed where nothing else in the rule says so."""

    family: str


@dataclass(frozen=True, slots=True, kw_only=True)
class MatchSet:
    """What the packet has in *fields* (names of `FIELDS`) is an element of the set called *set_name*."""

    fields: tuple[str, ...]
    set_name: str
    is_not: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class MatchConnection:
    """The connection that the packet belongs to is in one of *states*; see `CONNECTION_STATES`."""

    states: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class MatchTranslated:
    """The connection's destination was rewritten when it began."""


@dataclass(frozen=True, slots=True)
class MatchLocal:
    """The packet's destination is an address of this machine."""


@dataclass(frozen=True, slots=True)
class Counter:
    """Count packets and bytes that came this far."""


@dataclass(frozen=True, slots=True)
class Accept:
    """Let the packet pass this hook."""


@dataclass(frozen=True, slots=True)
class Drop:
    """Throw the packet away, without an answer."""


@dataclass(frozen=True, slots=True)
class Jump:
    """Go on in another chain, and come back behind this rule if that one does not decide."""

    chain: str


@dataclass(frozen=True, slots=True)
class Masquerade:
    """Replace the source by the address of the link that the packet leaves by; answers are translated back."""


@dataclass(frozen=True, slots=True, kw_only=True)
class DnatMap:
    """Replace the destination by the address and port that map *map_name* has for *fields*; without an element, go on."""

    family: str
    fields: tuple[str, ...]
    map_name: str


Statement = (
    MatchLink
    | MatchAddress
    | MatchFamily
    | MatchSet
    | MatchConnection
    | MatchTranslated
    | MatchLocal
    | Counter
    | Accept
    | Drop
    | Jump
    | Masquerade
    | DnatMap
)
"""Any part of a rule."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Rule:
    """Statements in the order in which they run."""

    statements: tuple[Statement, ...]
    comment: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Chain:
    """A list of rules; a base chain has *type*, *hook* and *priority*, another is only jumped to."""

    name: str
    rules: tuple[Rule, ...] = ()
    type: str = ""
    """`filter` or `nat`; empty for a chain that is no base chain."""
    hook: str = ""
    """One of `HOOKS`."""
    priority: str = "filter"
    """One of `PRIORITIES`."""
    policy: str = "accept"
    """What happens to a packet that no rule decided."""


Elements = Mapping[tuple[str, ...], tuple[str, ...]]
"""Key → value, each a field for every type of its set; the value of a plain set's element is empty."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ElementSet:
    """A set, or with *data_types* a map; types are nft's (`ifname`, `inet_proto`, …)."""

    name: str
    key_types: tuple[str, ...]
    data_types: tuple[str, ...] = ()
    elements: Elements = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Table:
    """A table of family `inet`, which sees IPv4 and IPv6: sets and chains that belong to nobody else."""

    name: str
    chains: tuple[Chain, ...] = ()
    sets: tuple[ElementSet, ...] = ()


@dataclass(frozen=True, slots=True)
class FieldType:
    """A kind of value in registers."""

    number: int
    """nft's number for it, which only listings need."""
    size: int


FIELD_TYPES: Final = {
    "ipv4_addr": FieldType(7, 4), "ipv6_addr": FieldType(8, 16), "inet_proto": FieldType(12, 1), "inet_service": FieldType(13, 2),
    "ifname": FieldType(41, LINK_NAME_BYTES),
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Field:
    """Something of a packet: its type, and where it is: a `meta` key, or base and offset of the payload."""

    type: str
    meta: int = 0
    base: int = 0
    offset: int = 0


FIELDS: Final = {
    "iifname": Field("ifname", meta=6), "oifname": Field("ifname", meta=7), "meta l4proto": Field("inet_proto", meta=16),
    "ip saddr": Field("ipv4_addr", base=1, offset=12), "ip daddr": Field("ipv4_addr", base=1, offset=16),
    "ip6 saddr": Field("ipv6_addr", base=1, offset=8), "ip6 daddr": Field("ipv6_addr", base=1, offset=24),
    "th dport": Field("inet_service", base=2, offset=2),
}  # fmt: skip
"""What rules look up in sets; `th` is the transport header, whichever protocol it is of."""


def family_of(network: ipaddress.IPv4Network | ipaddress.IPv6Network) -> str:
    """Return nft's word for the family of *network*."""
    return "ip" if network.version == 4 else "ip6"


def plan_name_redirect(address: str, *, udp_port: str, tcp_port: str) -> Table:
    """Return the table that sends a container's questions for port 53 of *address* to the ports where somebody listens."""
    names = ElementSet(
        name="name-service", key_types=("ipv4_addr", "inet_proto", "inet_service"), data_types=("ipv4_addr", "inet_service"),
        elements={(address, "tcp", "53"): (address, tcp_port), (address, "udp", "53"): (address, udp_port)},
    )  # fmt: skip
    redirect = DnatMap(family="ip", fields=("ip daddr", "meta l4proto", "th dport"), map_name=names.name)
    chain = Chain(name="output", type="nat", hook="output", priority="dstnat", rules=(Rule(statements=(redirect,)),))
    return Table(name="minidocker-names", sets=(names,), chains=(chain,))


def _describe(statement: Statement) -> str:
    """Return *statement* in nft's words."""
    match statement:
        case MatchLink():
            return f'{statement.direction} {"!= " if statement.is_not else ""}"{statement.name}"'
        case MatchAddress():
            network = ipaddress.ip_network(statement.network)
            text = str(network.network_address) if network.prefixlen == network.max_prefixlen else str(network)
            return f"{family_of(network)} {statement.direction} {'!= ' if statement.is_not else ''}{text}"
        case MatchFamily():
            return f"meta nfproto {'ipv4' if statement.family == 'ip' else 'ipv6'}"
        case MatchSet():
            return f"{' . '.join(statement.fields)} {'!= ' if statement.is_not else ''}@{statement.set_name}"
        case MatchConnection():
            return f"ct state {','.join(sorted(statement.states, key=CONNECTION_STATES.__getitem__))}"
        case MatchTranslated():
            return "ct status dnat"
        case MatchLocal():
            return "fib daddr type local"
        case Counter():
            return "counter"
        case Accept() | Drop() | Masquerade():
            return type(statement).__name__.lower()
        case Jump():
            return f"jump {statement.chain}"
        case DnatMap():
            return f"dnat {statement.family} to {' . '.join(statement.fields)} map @{statement.map_name}"
        case _:
            assert_never(statement)


def describe_rule(rule: Rule) -> str:
    """Return *rule* as nft prints it."""
    comment = f' comment "{rule.comment}"' if rule.comment else ""
    return " ".join(map(_describe, rule.statements)) + comment


def _chain_lines(chain: Chain) -> Iterator[str]:
    """Yield the lines of *chain*."""
    yield f"\tchain {chain.name} {{"
    if chain.type:
        has_name = _PRIORITY_HOOKS.get(chain.priority, chain.hook) == chain.hook
        priority = chain.priority if has_name else str(PRIORITIES[chain.priority])
        yield f"\t\ttype {chain.type} hook {chain.hook} priority {priority}; policy {chain.policy};"
    for rule in chain.rules:
        yield f"\t\t{describe_rule(rule)}"
    yield "\t}"


def _set_lines(made: ElementSet) -> Iterator[str]:
    """Yield the lines of a set or map."""
    data = f" : {' . '.join(made.data_types)}" if made.data_types else ""
    yield f"\t{'map' if made.data_types else 'set'} {made.name} {{"
    yield f"\t\ttype {' . '.join(made.key_types)}{data}"
    if made.elements:
        yield f"\t\telements = {{ {_join(_quote(made.key_types, k) + (f' : {_join_value(v)}' if v else '') for k, v in made.elements.items())} }}"
    yield "\t}"


def _join(elements: Iterable[str]) -> str:
    """Return *elements* below each other."""
    return ",\n\t\t\t     ".join(elements)


def _join_value(value: tuple[str, ...]) -> str:
    """Return the fields of a map's value."""
    return " . ".join(value)


def _quote(kinds: tuple[str, ...], key: tuple[str, ...]) -> str:
    """Return the fields of a key; names of links stand in quotes."""
    return " . ".join(f'"{text}"' if kind == "ifname" else text for kind, text in zip(kinds, key, strict=True))


def render_nft(table: Table) -> str:
    """Return *table* as `nft list ruleset` prints it (but for line breaks in sets); `nft -f` reads it back."""
    blocks = [_set_lines(made) for made in table.sets] + [_chain_lines(chain) for chain in table.chains]
    text = "\n\n".join("\n".join(lines) for lines in blocks)
    return f"table inet {table.name} {{\n{text}\n}}\n"
