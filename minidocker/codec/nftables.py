"""nf_tables: tables, chains and rules of the kernel's packet filter, as values, as messages and as nft text.

Pure. A *table* holds *chains*; a *base chain* hangs in one of the hooks through which every packet passes; a *rule* is a
row of statements, where each match must hold for the next one to run and the last one usually decides. The same values
are rendered twice: `render_batch` for the kernel, `render_nft` for people, in the words that `nft list ruleset` prints.

In the kernel a statement is a few *expressions* on small registers. `ip daddr 10.0.0.1` is "payload: load 4 bytes at 16
of the network header into register 1" and "cmp: register 1 equals 0a000001". Attributes are big-endian; register contents
are in the order of the packet for addresses and ports, and in the machine's own for `meta`, `ct` and `fib`.

Rule: a batch is one transaction; all of it takes effect together or nothing does. See nft(8),
`<linux/netfilter/nf_tables.h>`. Chapter 18.
"""

from __future__ import annotations

import ipaddress
import struct
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from enum import IntEnum
from typing import Final, assert_never

from minidocker.codec.netlink import Attributes, Message, Nlm, render_attributes, render_name

__all__ = [
    "PRIORITIES", "Accept", "Chain", "Counter", "Dnat", "Drop", "Jump", "Masquerade", "MatchAddress", "MatchConnection",
    "MatchLink", "MatchLocal", "MatchPort", "Rule", "Statement", "Table", "delete_table_messages", "render_batch",
    "render_nft", "replace_table_messages",
]  # fmt: skip

AF_INET: Final = 2
NFPROTO_IPV4: Final = 2
SUBSYSTEM: Final = 10
"""`NFNL_SUBSYS_NFTABLES`, the upper byte of every message type."""
BATCH_BEGIN: Final = 16
BATCH_END: Final = 17

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
COMMENT_MAX_BYTES: Final = 128
"""nft's own limit for the text of a comment."""


class Nft(IntEnum):
    """Message types."""

    NEWTABLE = 0
    DELTABLE = 2
    NEWCHAIN = 3
    NEWRULE = 6


class Verdict(IntEnum):
    """What a rule can decide; from `<linux/netfilter.h>` and `enum nft_verdicts`."""

    DROP = 0
    ACCEPT = 1
    JUMP = -3


@dataclass(frozen=True, slots=True, kw_only=True)
class MatchLink:
    """The packet came in by, or goes out by, the link called *name*."""

    direction: str
    """`iifname` or `oifname`."""
    name: str
    is_not: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class MatchAddress:
    """The packet's `saddr` or `daddr` lies in *network* (`172.17.0.0/16`, or one address without a prefix length)."""

    direction: str
    network: str
    is_not: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class MatchPort:
    """The packet goes to *port* of `tcp`, `udp` or `sctp`."""

    protocol: str
    port: int


@dataclass(frozen=True, slots=True, kw_only=True)
class MatchConnection:
    """The connection that the packet belongs to is in one of *states*; see `CONNECTION_STATES`."""

    states: tuple[str, ...]


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


@dataclass(frozen=True, slots=True)
class Dnat:
    """Replace the destination by *address* and *port*; answers are translated back."""

    address: str
    port: int


Statement = (
    MatchLink
    | MatchAddress
    | MatchPort
    | MatchConnection
    | MatchLocal
    | Counter
    | Accept
    | Drop
    | Jump
    | Masquerade
    | Dnat
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


@dataclass(frozen=True, slots=True, kw_only=True)
class Table:
    """A table of family `ip`: a name, and chains that belong to nobody else."""

    name: str
    chains: tuple[Chain, ...] = ()


def _be32(number: int) -> bytes:
    """Return a (possibly negative) 32-bit number as attributes carry it."""
    return struct.pack(">I", number & 0xFFFFFFFF)


def _native(number: int) -> bytes:
    """Return a 32-bit number as `meta`, `ct` and `fib` leave it in a register."""
    return struct.pack("=I", number)


def _expression(name: str, *attributes: tuple[int, bytes | Attributes]) -> tuple[int, Attributes]:
    """Return one element of a list of expressions."""
    return 1, ((1, render_name(name)), (2, attributes))


_REGISTER: Final = _be32(1)
_REGISTER_2: Final = _be32(2)


def _compare(value: bytes, *, is_not: bool = False) -> tuple[int, Attributes]:
    """Register 1 equals *value*, or the rule ends here."""
    return _expression("cmp", (1, _REGISTER), (2, _be32(1 if is_not else 0)), (3, ((1, value),)))


def _load_payload(base: int, offset: int, length: int) -> tuple[int, Attributes]:
    """Load bytes of the packet; *base* 1 is the network header, 2 the transport header."""
    return _expression("payload", (1, _REGISTER), (2, _be32(base)), (3, _be32(offset)), (4, _be32(length)))


def _mask(mask: bytes) -> tuple[int, Attributes]:
    """Keep the bits of register 1 that *mask* has."""
    length = _be32(len(mask))
    return _expression("bitwise", (1, _REGISTER), (2, _REGISTER), (3, length), (4, ((1, mask),)), (5, ((1, bytes(len(mask))),)))


def _load_meta(key: int) -> tuple[int, Attributes]:
    """Load what is known beside the packet: 6 is the input link's name, 7 the output link's, 16 the protocol."""
    return _expression("meta", (2, _be32(key)), (1, _REGISTER))


def _decide(verdict: Verdict, *, chain: str = "") -> tuple[int, Attributes]:
    """Write a verdict into register 0, which ends the rule."""
    target = ((2, render_name(chain)),) if chain else ()
    return _expression("immediate", (1, _be32(0)), (2, ((2, ((1, _be32(verdict)), *target)),)))


def _load_constant(register: bytes, value: bytes) -> tuple[int, Attributes]:
    """Put *value* into a register."""
    return _expression("immediate", (1, register), (2, ((1, value),)))


def _match_expressions(statement: MatchLink | MatchAddress | MatchPort | MatchConnection) -> Attributes:
    """Return the expressions of a match."""
    match statement:
        case MatchLink():
            name = statement.name.encode().ljust(LINK_NAME_BYTES, b"\0")
            return _load_meta(6 if statement.direction == "iifname" else 7), _compare(name, is_not=statement.is_not)
        case MatchAddress():
            network = ipaddress.IPv4Network(statement.network)
            load = _load_payload(1, 12 if statement.direction == "saddr" else 16, 4)
            masks = (_mask(network.netmask.packed),) if network.prefixlen < 32 else ()
            return load, *masks, _compare(network.network_address.packed, is_not=statement.is_not)
        case MatchPort():
            protocol = bytes((PROTOCOLS[statement.protocol],))
            return _load_meta(16), _compare(protocol), _load_payload(2, 2, 2), _compare(struct.pack(">H", statement.port))
        case MatchConnection():
            bits = sum(CONNECTION_STATES[state] for state in statement.states)
            load = _expression("ct", (2, _be32(0)), (1, _REGISTER))
            return load, _mask(_native(bits)), _compare(_native(0), is_not=True)
        case _:
            assert_never(statement)


def _expressions(statement: Statement) -> Attributes:
    """Return the expressions that *statement* consists of."""
    match statement:
        case MatchLocal():
            # fib: look the destination (flag 2) up in the routing tables, keep the kind of address (result 3);
            # kind 2 is RTN_LOCAL
            return _expression("fib", (3, _be32(2)), (2, _be32(3)), (1, _REGISTER)), _compare(_native(2))
        case Counter():
            return (_expression("counter"),)
        case Accept():
            return (_decide(Verdict.ACCEPT),)
        case Drop():
            return (_decide(Verdict.DROP),)
        case Jump():
            return (_decide(Verdict.JUMP, chain=statement.chain),)
        case Masquerade():
            return (_expression("masq"),)
        case Dnat():
            address = _load_constant(_REGISTER, ipaddress.IPv4Address(statement.address).packed)
            port = _load_constant(_REGISTER_2, struct.pack(">H", statement.port))
            kind_and_family = (1, _be32(1)), (2, _be32(NFPROTO_IPV4))
            registers = (3, _REGISTER), (4, _REGISTER), (5, _REGISTER_2), (6, _REGISTER_2)
            return address, port, _expression("nat", *kind_and_family, *registers)
        case _:
            return _match_expressions(statement)


def _message(kind: Nft, attributes: Attributes, *, flags: int = 0) -> Message:
    """Return one message of family `ip`; an acknowledgement is asked for by the batch."""
    body = struct.pack(">BBH", AF_INET, 0, 0) + render_attributes(attributes)
    return Message(type=SUBSYSTEM << 8 | kind, flags=Nlm.REQUEST | flags, body=body)


def _chain_message(table: str, chain: Chain) -> Message:
    """Return the message that makes *chain*, without rules."""
    attributes: list[tuple[int, bytes | Attributes]] = [(1, render_name(table)), (3, render_name(chain.name))]
    if chain.type:
        hook = (1, _be32(HOOKS[chain.hook])), (2, _be32(PRIORITIES[chain.priority]))
        attributes += [(4, hook), (5, _be32(POLICIES[chain.policy])), (7, render_name(chain.type))]
    return _message(Nft.NEWCHAIN, attributes, flags=Nlm.CREATE)


def _rule_message(table: str, chain: str, rule: Rule) -> Message:
    """Return the message that appends *rule*; without APPEND it would go to the front."""
    expressions = tuple(e for statement in rule.statements for e in _expressions(statement))
    attributes: list[tuple[int, bytes | Attributes]] = [(1, render_name(table)), (2, render_name(chain)), (4, expressions)]
    if rule.comment:
        text = rule.comment.encode()[: COMMENT_MAX_BYTES - 1] + b"\0"
        attributes.append((7, bytes((0, len(text))) + text))
    return _message(Nft.NEWRULE, attributes, flags=Nlm.CREATE | Nlm.APPEND)


def delete_table_messages(name: str) -> tuple[Message, ...]:
    """Return what deletes a table whether or not it is there.

    Making one that exists is no error, deleting one that does not exist would be; so it is made first.
    """
    attributes = ((1, render_name(name)),)
    return _message(Nft.NEWTABLE, attributes, flags=Nlm.CREATE), _message(Nft.DELTABLE, attributes)


def replace_table_messages(table: Table) -> tuple[Message, ...]:
    """Return what puts *table* in the place of whatever has its name; chains come first, because rules jump to them."""
    name = ((1, render_name(table.name)),)
    chains = (_chain_message(table.name, chain) for chain in table.chains)
    rules = (_rule_message(table.name, chain.name, rule) for chain in table.chains for rule in chain.rules)
    return *delete_table_messages(table.name), _message(Nft.NEWTABLE, name, flags=Nlm.CREATE), *chains, *rules


def render_batch(messages: Iterable[Message]) -> tuple[Message, ...]:
    """Return *messages* between the marks of a transaction; the last of them asks for an acknowledgement.

    Answers come in order and one refusal ends the transaction, so the last one's answer is the whole one's.
    """
    mark = struct.pack(">BBH", 0, 0, SUBSYSTEM)
    *first, last = messages
    last = Message(type=last.type, flags=last.flags | Nlm.ACK, body=last.body)
    begin = Message(type=BATCH_BEGIN, flags=Nlm.REQUEST, body=mark)
    return begin, *first, last, Message(type=BATCH_END, flags=Nlm.REQUEST, body=mark)


def _describe(statement: Statement) -> str:
    """Return *statement* in nft's words."""
    match statement:
        case MatchLink():
            return f'{statement.direction} {"!= " if statement.is_not else ""}"{statement.name}"'
        case MatchAddress():
            return f"ip {statement.direction} {'!= ' if statement.is_not else ''}{statement.network.removesuffix('/32')}"
        case MatchPort():
            return f"{statement.protocol} dport {statement.port}"
        case MatchConnection():
            return f"ct state {','.join(sorted(statement.states, key=CONNECTION_STATES.__getitem__))}"
        case MatchLocal():
            return "fib daddr type local"
        case Counter():
            return "counter"
        case Accept() | Drop() | Masquerade():
            return type(statement).__name__.lower()
        case Jump():
            return f"jump {statement.chain}"
        case Dnat():
            return f"dnat to {statement.address}:{statement.port}"
        case _:
            assert_never(statement)


def _chain_lines(chain: Chain) -> Iterator[str]:
    """Yield the lines of *chain*."""
    yield f"\tchain {chain.name} {{"
    if chain.type:
        has_name = _PRIORITY_HOOKS.get(chain.priority, chain.hook) == chain.hook
        priority = chain.priority if has_name else str(PRIORITIES[chain.priority])
        yield f"\t\ttype {chain.type} hook {chain.hook} priority {priority}; policy {chain.policy};"
    for rule in chain.rules:
        comment = f' comment "{rule.comment}"' if rule.comment else ""
        yield f"\t\t{' '.join(map(_describe, rule.statements))}{comment}"
    yield "\t}"


def render_nft(table: Table) -> str:
    """Return *table* as `nft list ruleset` prints it; `nft -f` reads it back."""
    chains = "\n\n".join("\n".join(_chain_lines(chain)) for chain in table.chains)
    return f"table ip {table.name} {{\n{chains}\n}}\n"
