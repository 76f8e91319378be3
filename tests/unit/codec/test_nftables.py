"""nf_tables: a transaction between its marks, statements as expressions, and the same rules in nft's words."""

from __future__ import annotations

import struct

import pytest

from minidocker.codec.netlink import Message, Nlm, find_attribute, parse_attributes, parse_name
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
    delete_table_messages,
    render_batch,
    render_nft,
    replace_table_messages,
)

NFGENMSG_BYTES = 4

STATEMENTS: list[tuple[Statement, str, list[str]]] = [
    (MatchLink(direction="iifname", name="br0"), 'iifname "br0"', ["meta", "cmp"]),
    (MatchLink(direction="oifname", name="br0", is_not=True), 'oifname != "br0"', ["meta", "cmp"]),
    (MatchAddress(direction="saddr", network="172.17.0.0/16"), "ip saddr 172.17.0.0/16", ["payload", "bitwise", "cmp"]),
    (MatchAddress(direction="daddr", network="127.0.0.1"), "ip daddr 127.0.0.1", ["payload", "cmp"]),
    (MatchAddress(direction="daddr", network="10.0.0.0/8", is_not=True), "ip daddr != 10.0.0.0/8", ["payload", "bitwise", "cmp"]),
    (MatchPort(protocol="tcp", port=80), "tcp dport 80", ["meta", "cmp", "payload", "cmp"]),
    (MatchPort(protocol="udp", port=53), "udp dport 53", ["meta", "cmp", "payload", "cmp"]),
    (MatchConnection(states=("related", "established")), "ct state established,related", ["ct", "bitwise", "cmp"]),
    (MatchLocal(), "fib daddr type local", ["fib", "cmp"]),
    (Counter(), "counter", ["counter"]),
    (Accept(), "accept", ["immediate"]),
    (Drop(), "drop", ["immediate"]),
    (Jump("published"), "jump published", ["immediate"]),
    (Masquerade(), "masquerade", ["masq"]),
    (Dnat("172.17.0.2", 80), "dnat to 172.17.0.2:80", ["immediate", "immediate", "nat"]),
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


def test_port_travels_in_network_byte_order() -> None:
    """The register is compared with bytes of the packet as they are on the wire."""
    compare = expressions_of(rule_message(MatchPort(protocol="tcp", port=8080)))[3][1]
    assert find_attribute(parse_attributes(find_attribute(parse_attributes(compare), 3) or b""), 1) == b"\x1f\x90"


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


def test_table_is_replaced_in_one_transaction_chains_before_rules() -> None:
    """Make, delete, make: the table is new whether or not it was there; rules may jump to any of its chains."""
    chains = (Chain(name="a", rules=(Rule(statements=(Jump("b"),)),)), Chain(name="b", rules=(Rule(statements=(Drop(),)),)))
    kinds = [m.type & 0xFF for m in replace_table_messages(Table(name="t", chains=chains))]
    assert kinds == [0, 2, 0, 3, 3, 6, 6]


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
