"""nf_tables, the kernel's side: a table as the netlink messages that make it.

Pure. In the kernel a statement is a few *expressions* on small registers. `ip daddr 10.0.0.1` is "payload: load 4 bytes at
16 of the network header into register 1" and "cmp: register 1 equals 0a000001". Attributes are big-endian; register contents
are in the order of the packet for addresses and ports, and in the machine's own for `meta`, `ct` and `fib`. A key of
several fields lies in neighbouring registers, each field padded to four bytes.

Rule: a batch is one transaction; all of it takes effect together or nothing does. See `<linux/netfilter/nf_tables.h>`.
Chapter 18.
"""

from __future__ import annotations

import ipaddress
import struct
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from enum import IntEnum
from typing import Final, assert_never

from minidocker.codec.netlink import (
    Attributes, Message, Nlm, find_attribute, parse_attributes, parse_name, render_attributes, render_name,
)  # fmt: skip
from minidocker.codec.nftables import (
    CONNECTION_STATES, FIELDS, FIELD_TYPES, HOOKS, LINK_NAME_BYTES, POLICIES, PRIORITIES, PROTOCOLS, Accept, Chain, Counter, DnatMap,
    Drop, ElementSet, Jump, Masquerade, MatchAddress, MatchConnection, MatchFamily, MatchLink, MatchLocal, MatchSet,
    MatchTranslated, Rule, Statement, Table, family_of,
)  # fmt: skip

__all__ = [
    "HookedChain", "change_elements_messages", "create_table_messages", "delete_table_messages", "list_chains_request", "parse_hooked_chain", "render_batch",
    "replace_table_messages",
]  # fmt: skip

NFPROTO_INET: Final = 1
"""The family of a table that sees IPv4 and IPv6."""
FAMILIES: Final = {"ip": 2, "ip6": 10}
SUBSYSTEM: Final = 10
"""`NFNL_SUBSYS_NFTABLES`, the upper byte of every message type."""
BATCH_BEGIN: Final = 16
BATCH_END: Final = 17
ELEMENTS_PER_MESSAGE: Final = 250
"""The list of elements is one attribute, and no attribute is longer than 64 KiB."""
COMMENT_MAX_BYTES: Final = 128
"""nft's own limit for the text of a comment."""


class Nft(IntEnum):
    """Message types."""

    NEWTABLE = 0
    DELTABLE = 2
    NEWCHAIN = 3
    GETCHAIN = 4
    NEWRULE = 6
    NEWSET = 9
    NEWSETELEM = 12
    DELSETELEM = 14


class Verdict(IntEnum):
    """What a rule can decide; from `<linux/netfilter.h>` and `enum nft_verdicts`."""

    DROP = 0
    ACCEPT = 1
    JUMP = -3


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


def _padded(size: int) -> int:
    """Return *size* rounded up to whole registers of four bytes."""
    return (size + 3) & ~3


def _register(offset: int) -> bytes:
    """Return the register *offset* bytes into the key: register 1 is the first, those of four bytes begin at 8."""
    return _be32(8 + offset // 4 if offset else 1)


def _render_value(kind: str, text: str) -> bytes:
    """Return *text* as a register of type *kind* holds it."""
    match kind:
        case "ifname":
            return text.encode().ljust(LINK_NAME_BYTES, b"\0")
        case "inet_proto":
            return bytes((PROTOCOLS[text],))
        case "inet_service":
            return struct.pack(">H", int(text))
        case _:
            return ipaddress.ip_address(text).packed


def _render_key(kinds: tuple[str, ...], texts: tuple[str, ...]) -> bytes:
    """Return the fields of a key one behind the other; only in a key of several is the last one padded."""
    values = [_render_value(kind, text) for kind, text in zip(kinds, texts, strict=True)]
    return values[0] if len(values) == 1 else b"".join(v.ljust(_padded(len(v)), b"\0") for v in values)


def _key_size(kinds: tuple[str, ...]) -> int:
    """Return how many bytes `_render_key` makes."""
    sizes = [FIELD_TYPES[kind].size for kind in kinds]
    return sizes[0] if len(sizes) == 1 else sum(map(_padded, sizes))


def _type_number(kinds: tuple[str, ...]) -> int:
    """Return nft's number for a key: six bits for each field."""
    number = 0
    for kind in kinds:
        number = number << 6 | FIELD_TYPES[kind].number
    return number


def _load_fields(names: tuple[str, ...]) -> list[tuple[int, Attributes]]:
    """Load the fields of a key into neighbouring registers."""
    loads, offset = [], 0
    for name in names:
        found, size = FIELDS[name], FIELD_TYPES[FIELDS[name].type].size
        if found.meta:
            loads.append(_expression("meta", (2, _be32(found.meta)), (1, _register(offset))))
        else:
            where = (2, _be32(found.base)), (3, _be32(found.offset)), (4, _be32(size))
            loads.append(_expression("payload", (1, _register(offset)), *where))
        offset += _padded(size)
    return loads


def _require_family(names: Iterable[str]) -> list[tuple[int, Attributes]]:
    """Let only packets go on whose header is the one that *names* lie in: an `inet` table sees both kinds."""
    family = next((FAMILIES[word] for name in names if (word := name.partition(" ")[0]) in FAMILIES), 0)
    return [_load_meta(15), _compare(bytes((family,)))] if family else []


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


def _expressions(statement: Statement) -> Attributes:
    """Return the expressions that *statement* consists of."""
    match statement:
        case MatchLink():
            name = _render_value("ifname", statement.name)
            return *_load_fields((statement.direction,)), _compare(name, is_not=statement.is_not)
        case MatchAddress():
            network = ipaddress.ip_network(statement.network)
            names = (f"{family_of(network)} {statement.direction}",)
            masks = (_mask(network.netmask.packed),) if network.prefixlen < network.max_prefixlen else ()
            test = _compare(network.network_address.packed, is_not=statement.is_not)
            return *_require_family(names), *_load_fields(names), *masks, test
        case MatchFamily():
            return _load_meta(15), _compare(bytes((FAMILIES[statement.family],)))
        case MatchSet():
            flags = ((5, _be32(1)),) if statement.is_not else ()
            look = _expression("lookup", (1, render_name(statement.set_name)), (2, _REGISTER), *flags)
            return *_require_family(statement.fields), *_load_fields(statement.fields), look
        case MatchConnection():
            bits = sum(CONNECTION_STATES[state] for state in statement.states)
            return _expression("ct", (2, _be32(0)), (1, _REGISTER)), _mask(_native(bits)), _compare(_native(0), is_not=True)
        case MatchTranslated():
            # key 2 is the connection's status, bit 5 of it IPS_DST_NAT
            return _expression("ct", (2, _be32(2)), (1, _REGISTER)), _mask(_native(1 << 5)), _compare(_native(0), is_not=True)
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
        case DnatMap():
            look = _expression("lookup", (1, render_name(statement.map_name)), (2, _REGISTER), (3, _REGISTER))
            port = _register(FIELD_TYPES["ipv4_addr" if statement.family == "ip" else "ipv6_addr"].size)
            kind_and_family = (1, _be32(1)), (2, _be32(FAMILIES[statement.family]))
            nat = _expression("nat", *kind_and_family, (3, _REGISTER), (5, port))
            return *_require_family(statement.fields), *_load_fields(statement.fields), look, nat
        case _:
            assert_never(statement)


def _message(kind: Nft, attributes: Attributes, *, flags: int = 0) -> Message:
    """Return one message of family `inet`; an acknowledgement is asked for by the batch."""
    body = struct.pack(">BBH", NFPROTO_INET, 0, 0) + render_attributes(attributes)
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


def _set_message(table: str, made: ElementSet, number: int) -> Message:
    """Return the message that makes *made*, without elements; *number* tells the sets of one transaction apart."""
    flags = 8 if made.data_types else 0  # NFT_SET_MAP
    attributes: list[tuple[int, bytes | Attributes]] = [(1, render_name(table)), (2, render_name(made.name)), (3, _be32(flags))]
    attributes += [(4, _be32(_type_number(made.key_types))), (5, _be32(_key_size(made.key_types)))]
    if made.data_types:
        attributes += [(6, _be32(_type_number(made.data_types))), (7, _be32(_key_size(made.data_types)))]
    if made.key_types == ("ifname",):  # nft keeps in the user data that such keys are in the machine's byte order
        attributes.append((13, b"\0\x04" + _native(1)))
    return _message(Nft.NEWSET, (*attributes, (10, _be32(number))), flags=Nlm.CREATE)


def _element_messages(kind: Nft, table: str, changed: ElementSet) -> Iterator[Message]:
    """Yield what adds (or with DELSETELEM removes) the elements of *changed*."""
    elements = []
    for key, value in changed.elements.items():
        parts: list[tuple[int, Attributes]] = [(1, ((1, _render_key(changed.key_types, key)),))]
        if value and kind is Nft.NEWSETELEM:
            parts.append((2, ((1, _render_key(changed.data_types, value)),)))
        elements.append((1, parts))
    flags = Nlm.CREATE if kind is Nft.NEWSETELEM else 0
    for start in range(0, len(elements), ELEMENTS_PER_MESSAGE):
        some = elements[start : start + ELEMENTS_PER_MESSAGE]
        yield _message(kind, ((1, render_name(table)), (2, render_name(changed.name)), (3, some)), flags=flags)


def change_elements_messages(table: str, *, remove: Iterable[ElementSet] = (), add: Iterable[ElementSet] = ()) -> tuple[Message, ...]:
    """Return what takes elements out of the sets of *table* and puts others in; the rules stay as they are."""
    gone = (m for changed in remove for m in _element_messages(Nft.DELSETELEM, table, changed))
    new = (m for changed in add for m in _element_messages(Nft.NEWSETELEM, table, changed))
    return *gone, *new


def delete_table_messages(name: str) -> tuple[Message, ...]:
    """Return what deletes a table whether or not it is there.

    Making one that exists is no error, deleting one that does not exist would be; so it is made first.
    """
    attributes = ((1, render_name(name)),)
    return _message(Nft.NEWTABLE, attributes, flags=Nlm.CREATE), _message(Nft.DELTABLE, attributes)


def replace_table_messages(table: Table) -> tuple[Message, ...]:
    """Return what puts *table* in the place of whatever has its name."""
    return *delete_table_messages(table.name), *_table_messages(table, Nlm.CREATE)


def create_table_messages(table: Table) -> tuple[Message, ...]:
    """Return what makes *table*, and is refused (EEXIST) if there is one of its name.

    Deleting what may be there costs: closing a socket waits until no packet can be in anything that a transaction deleted.
    """
    return _table_messages(table, Nlm.CREATE | Nlm.EXCL)


def _table_messages(table: Table, flags: int) -> tuple[Message, ...]:
    """Return what makes *table* with all that is in it; rules come last, because they name all the rest."""
    sets = (_set_message(table.name, made, number) for number, made in enumerate(table.sets, 1))
    elements = change_elements_messages(table.name, add=table.sets)
    chains = (_chain_message(table.name, chain) for chain in table.chains)
    rules = (_rule_message(table.name, chain.name, rule) for chain in table.chains for rule in chain.rules)
    return _message(Nft.NEWTABLE, ((1, render_name(table.name)),), flags=flags), *sets, *elements, *chains, *rules


def render_batch(messages: Iterable[Message]) -> tuple[Message, ...]:
    """Return *messages* between the marks of a transaction; the last of them asks for an acknowledgement.

    Answers come in order and one refusal ends the transaction, so the last one's answer is the whole one's.
    """
    mark = struct.pack(">BBH", 0, 0, SUBSYSTEM)
    *first, last = messages
    last = Message(type=last.type, flags=last.flags | Nlm.ACK, body=last.body)
    begin = Message(type=BATCH_BEGIN, flags=Nlm.REQUEST, body=mark)
    return begin, *first, last, Message(type=BATCH_END, flags=Nlm.REQUEST, body=mark)


@dataclass(frozen=True, slots=True, kw_only=True)
class HookedChain:
    """A base chain of any table, as the kernel lists it."""

    family: str
    table: str
    name: str
    hook: str
    policy: str


def list_chains_request() -> Message:
    """Ask for the chains of all tables of all families."""
    return Message(type=SUBSYSTEM << 8 | Nft.GETCHAIN, flags=Nlm.REQUEST | Nlm.DUMP, body=struct.pack(">BBH", 0, 0, 0))


def parse_hooked_chain(message: Message) -> HookedChain | None:
    """Return the base chain that *message* describes; None for one that is only jumped to, or of a family without IP."""
    family = {1: "inet", 2: "ip", 10: "ip6"}.get(message.body[0] if message.body else 0)
    attributes = parse_attributes(message.body[4:])
    hooked = find_attribute(attributes, 4)
    if family is None or hooked is None:
        return None
    number, policy = find_attribute(parse_attributes(hooked), 1), find_attribute(attributes, 5)
    hook = next((name for name, value in HOOKS.items() if number == _be32(value)), "")
    table, name = (parse_name(find_attribute(attributes, kind)) for kind in (1, 3))
    return HookedChain(family=family, table=table, name=name, hook=hook, policy="drop" if policy == _be32(0) else "accept")
