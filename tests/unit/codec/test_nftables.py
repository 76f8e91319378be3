"""nf_tables: a transaction between its marks, statements as expressions, and the same rules in nft's words."""

from __future__ import annotations

import struct

import pytest

from minidocker.codec.netlink import Message, Nlm, find_attribute, parse_attributes, parse_name
from minidocker.codec.nft_messages import change_elements_messages, create_table_messages, delete_table_messages, render_batch, replace_table_messages
from minidocker.codec.nftables import (
    Accept, Chain, Counter, DnatMap, Drop, ElementSet, Jump, Masquerade, MatchAddress, MatchConnection, MatchFamily, MatchLink,
    MatchLocal, MatchSet, MatchTranslated, Rule, Statement, Table, render_nft,
)  # fmt: skip

NFGENMSG_BYTES = 4

STATEMENTS: list[tuple[Statement, str, list[str]]] = [
    (MatchLink(direction="iifname", name="br0"), 'iifname "br0"', ["meta", "cmp"]),
    (MatchLink(direction="oifname", name="br0", is_not=True), 'oifname != "br0"', ["meta", "cmp"]),
    (MatchAddress(direction="saddr", network="172.17.0.0/16"), "ip saddr 172.17.0.0/16", ["meta", "cmp", "payload", "bitwise", "cmp"]),
    (MatchAddress(direction="daddr", network="127.0.0.1"), "ip daddr 127.0.0.1", ["meta", "cmp", "payload", "cmp"]),
    (MatchAddress(direction="daddr", network="10.0.0.0/8", is_not=True), "ip daddr != 10.0.0.0/8", ["meta", "cmp", "payload", "bitwise", "cmp"]),
    (MatchAddress(direction="daddr", network="::1", is_not=True), "ip6 daddr != ::1", ["meta", "cmp", "payload", "cmp"]),
    (MatchFamily("ip6"), "meta nfproto ipv6", ["meta", "cmp"]),
    (MatchSet(fields=("oifname",), set_name="s", is_not=True), "oifname != @s", ["meta", "lookup"]),
    (MatchSet(fields=("meta l4proto", "th dport"), set_name="s"), "meta l4proto . th dport @s", ["meta", "payload", "lookup"]),
    (MatchSet(fields=("ip daddr",), set_name="s"), "ip daddr @s", ["meta", "cmp", "payload", "lookup"]),
    (MatchTranslated(), "ct status dnat", ["ct", "bitwise", "cmp"]),
    (MatchConnection(states=("related", "established")), "ct state established,related", ["ct", "bitwise", "cmp"]),
    (MatchLocal(), "fib daddr type local", ["fib", "cmp"]),
    (Counter(), "counter", ["counter"]),
    (Accept(), "accept", ["immediate"]),
    (Drop(), "drop", ["immediate"]),
    (Jump("published"), "jump published", ["immediate"]),
    (Masquerade(), "masquerade", ["masq"]),
    (
        DnatMap(family="ip", fields=("meta l4proto", "th dport"), map_name="m"),
        "dnat ip to meta l4proto . th dport map @m", ["meta", "payload", "lookup", "nat"],
    ),
]


def rule_message(statement: Statement, comment: str = "") -> Message:
    """Return the message for a rule of one statement."""
    chain = Chain(name="c", rules=(Rule(statements=(statement,), comment=comment),))
    return replace_table_messages(Table(name="t", chains=(chain,)))[-1]


def expressions_of(message: Message) -> list[tuple[str, bytes]]:
    """Return name and data of each expression of a rule."""
    listed = find_attribute(parse_attributes(message.body[NFGENMSG_BYTES:]), 4) or b""
    elements = [parse_attributes(element) for _, element in parse_attributes(listed)]
    return [(parse_name(find_attribute(e, 1)), find_attribute(e, 2) or b"") for e in elements]


@pytest.mark.parametrize(("statement", "text", "names"), STATEMENTS, ids=[text for _, text, _ in STATEMENTS])
def test_statement_is_one_phrase_for_people_and_expressions_for_the_kernel(statement: Statement, text: str, names: list[str]) -> None:
    """Nft's words and the kernel's small machine say the same thing."""
    assert [name for name, _ in expressions_of(rule_message(statement))] == names
    table = Table(name="t", chains=(Chain(name="c", rules=(Rule(statements=(statement,)),)),))
    assert f"\t\t{text}\n" in render_nft(table)


def test_link_name_is_compared_with_its_padding() -> None:
    """The register holds sixteen bytes; a shorter comparison would match every name that begins so."""
    _, compare = expressions_of(rule_message(MatchLink(direction="iifname", name="br0")))[1]
    value = find_attribute(parse_attributes(find_attribute(parse_attributes(compare), 3) or b""), 1)
    assert value == b"br0" + bytes(13)


PORTS = ElementSet(
    name="m", key_types=("inet_proto", "inet_service"), data_types=("ipv4_addr", "inet_service"),
    elements={("tcp", "8080"): ("172.17.0.2", "80"), ("udp", "53"): ("172.17.0.3", "5353")},
)  # fmt: skip


def elements_of(message: Message) -> list[tuple[bytes, bytes]]:
    """Return key and value of each element in a message."""
    listed = find_attribute(parse_attributes(message.body[NFGENMSG_BYTES:]), 3) or b""
    found = []
    for _, element in parse_attributes(listed):
        parts = parse_attributes(element)
        values = (find_attribute(parse_attributes(find_attribute(parts, kind) or b""), 1) or b"" for kind in (1, 2))
        found.append(tuple(values))
    return found  # type: ignore[return-value]  # pairs


def test_key_of_several_fields_pads_each_to_a_register() -> None:
    """A protocol is one byte and a port two, in network byte order; the next field begins at the next four."""
    (message,) = change_elements_messages("t", add=(PORTS,))
    assert elements_of(message)[0] == (b"\x06\0\0\0\x1f\x90\0\0", b"\xac\x11\0\x02\0\x50\0\0")


def test_element_is_removed_by_its_key_alone() -> None:
    """Whatever it led to; removals come first, so that a key may change its value in one transaction."""
    removal, addition = change_elements_messages("t", remove=(PORTS,), add=(PORTS,))
    assert (removal.type & 0xFF, addition.type & 0xFF) == (14, 12)
    assert [value for _, value in elements_of(removal)] == [b"", b""]


def test_many_elements_travel_in_several_messages() -> None:
    """An attribute's length has sixteen bits: a thousand ports do not fit into one."""
    many = ElementSet(name="s", key_types=("inet_service",), elements={(str(port),): () for port in range(1, 1001)})
    messages = change_elements_messages("t", add=(many,))
    assert len(messages) == 4
    assert sum(len(elements_of(m)) for m in messages) == 1000


def test_map_reads_as_nft_prints_it() -> None:
    """Types in front, then the elements, one below the other."""
    lines = render_nft(Table(name="t", sets=(PORTS,))).splitlines()
    assert [line.strip() for line in lines] == [
        "table inet t {",
        "map m {",
        "type inet_proto . inet_service : ipv4_addr . inet_service",
        "elements = { tcp . 8080 : 172.17.0.2 . 80,",
        "udp . 53 : 172.17.0.3 . 5353 }",
        "}",
        "}",
    ]


def test_comment_travels_with_the_rule_and_is_cut_at_nfts_limit() -> None:
    """Nft keeps a comment as type, length and text in the rule's user data; a longer one would be refused."""
    attributes = parse_attributes(rule_message(Accept(), comment="x" * 300).body[NFGENMSG_BYTES:])
    assert find_attribute(attributes, 7) == b"\0\x80" + b"x" * 127 + b"\0"


def test_batch_stands_between_marks_and_asks_for_one_answer() -> None:
    """What is between begin and end is one transaction, and its last message's answer is the whole one's."""
    batch = render_batch(delete_table_messages("t"))
    assert [m.type for m in batch] == [16, 10 << 8, 10 << 8 | 2, 17]
    assert [bool(m.flags & Nlm.ACK) for m in batch] == [False, False, True, False]
    assert batch[0].body == struct.pack(">BBH", 0, 0, 10)


def test_table_is_replaced_in_one_transaction_rules_last() -> None:
    """Make, delete, make: the table is new whether or not it was there; rules may name any of its sets and chains."""
    chains = (Chain(name="a", rules=(Rule(statements=(Jump("b"),)),)), Chain(name="b", rules=(Rule(statements=(Drop(),)),)))
    kinds = [m.type & 0xFF for m in replace_table_messages(Table(name="t", chains=chains, sets=(PORTS,)))]
    assert kinds == [0, 2, 0, 9, 12, 3, 3, 6, 6]


def test_new_table_deletes_nothing_and_refuses_another_of_its_name() -> None:
    """In a namespace made a moment ago there is nothing to delete, and what deletes makes the next close(2) wait."""
    messages = create_table_messages(Table(name="t", sets=(PORTS,)))
    assert [m.type & 0xFF for m in messages] == [0, 9, 12]
    assert messages[0].flags & Nlm.EXCL


def test_rule_is_appended_not_inserted() -> None:
    """Without NLM_F_APPEND the kernel puts a new rule in front of the others, and the order is the meaning."""
    assert rule_message(Accept()).flags & Nlm.APPEND


def test_base_chain_says_where_it_hangs() -> None:
    """Type, hook, priority and policy make a chain a base chain; nft names a priority only where its name belongs."""
    table = Table(
        name="t",
        chains=(
            Chain(name="in", type="nat", hook="prerouting", priority="dstnat"),
            Chain(name="out", type="nat", hook="output", priority="dstnat"),
            Chain(name="fwd", type="filter", hook="forward", policy="drop"),
        ),
    )
    text = render_nft(table)
    assert "type nat hook prerouting priority dstnat; policy accept;" in text
    assert "type nat hook output priority -100; policy accept;" in text
    assert "type filter hook forward priority filter; policy drop;" in text
