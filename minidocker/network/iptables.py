"""The table in the words of iptables: for people who read those, and to compare with a real Docker's.

Pure, and for reading only: iptables knows no sets of several fields and no maps, so a rule that looks something up becomes
one line for each element. That is what the packet filter of an older Docker looks like. See iptables(8). Chapter 18.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Final, assert_never

from minidocker.codec.nftables import (
    CONNECTION_STATES, Accept, Chain, Counter, DnatMap, Drop, ElementSet, Jump, Masquerade, MatchAddress, MatchConnection,
    MatchFamily, MatchLink, MatchLocal, MatchSet, MatchTranslated, Rule, Statement, Table,
)  # fmt: skip

__all__ = ["render_iptables"]

_HOOKS: Final = {"prerouting": "PREROUTING", "output": "OUTPUT", "forward": "FORWARD", "postrouting": "POSTROUTING"}
_FLAGS: Final = {"iifname": "-i", "oifname": "-o", "ip saddr": "-s", "ip daddr": "-d", "ip6 saddr": "-s", "ip6 daddr": "-d"}


def render_iptables(table: Table) -> str:
    """Return *table* as `iptables-save` and `ip6tables-save` would print it, one after the other."""
    return "".join(_render_family(table, family) for family in ("ip", "ip6"))


def _render_family(table: Table, family: str) -> str:
    program = "iptables" if family == "ip" else "ip6tables"
    lines = [f"# {program}-save, what it would print of table inet {table.name}"]
    sets = {made.name: made for made in table.sets}
    jumped = [chain for chain in table.chains if not chain.type]
    for kind in ("raw", "nat", "filter"):
        hooked = [chain for chain in table.chains if chain.type and _table_of(chain) == kind]
        own = [c for c in jumped if any(s.chain == c.name for h in hooked for r in h.rules for s in r.statements if isinstance(s, Jump))]
        rules = [line for chain in (*hooked, *own) for rule in chain.rules for line in _lines(chain, rule, sets, family)]
        lines += [f"*{kind}", *(f":{_HOOKS[c.hook]} ACCEPT" for c in hooked), *(f":{c.name} -" for c in own), *rules, "COMMIT"]
    return "\n".join(lines) + "\n"


def _table_of(chain: Chain) -> str:
    """Return the table of iptables whose chains run when *chain* does."""
    return "raw" if chain.priority == "raw" else chain.type


def _lines(chain: Chain, rule: Rule, sets: Mapping[str, ElementSet], family: str) -> Iterator[str]:
    """Yield *rule* once for each combination of the elements that it looks up; none if it is of the other family."""
    rows: list[str] = [f"-A {_HOOKS.get(chain.hook, chain.name)}"]
    for statement in rule.statements:
        words = list(_words(statement, sets, family))
        rows = [f"{row} {word}".rstrip() for row in rows for word in words]
    comment = f' -m comment --comment "{rule.comment}"' if rule.comment else ""
    for row in rows:
        head, jump, target = row.partition(" -j ")
        yield f"{head}{comment}{jump}{target}"


def _words(statement: Statement, sets: Mapping[str, ElementSet], family: str) -> Iterable[str]:
    """Return what *statement* is in iptables: one text for each way in which it can hold."""
    match statement:
        case MatchLink():
            return (f"{'! ' if statement.is_not else ''}{_FLAGS[statement.direction]} {statement.name}",)
        case MatchAddress():
            is_ours = (":" in statement.network) == (family == "ip6")
            flag = _FLAGS[f"ip {statement.direction}"]
            return (f"{'! ' if statement.is_not else ''}{flag} {statement.network}",) if is_ours else ()
        case MatchFamily():
            return ("",) if statement.family == family else ()
        case MatchSet():
            return _set_words(statement, sets[statement.set_name], family)
        case DnatMap():
            return _dnat_words(statement, sets[statement.map_name]) if statement.family == family else ()
        case MatchConnection():
            states = ",".join(sorted(statement.states, key=CONNECTION_STATES.__getitem__)).upper()
            return (f"-m conntrack --ctstate {states}",)
        case MatchTranslated():
            return ("-m conntrack --ctstate DNAT",)
        case MatchLocal():
            return ("-m addrtype --dst-type LOCAL",)
        case Counter():
            return ("",)
        case Accept() | Drop() | Masquerade():
            return (f"-j {type(statement).__name__.upper()}",)
        case Jump():
            return (f"-j {statement.chain}",)
        case _:
            assert_never(statement)


def _set_words(statement: MatchSet, made: ElementSet, family: str) -> Iterable[str]:
    if any(field.startswith(("ip ", "ip6 ")) and field.split()[0] != family for field in statement.fields):
        return ()
    if statement.is_not:  # in none of them: one after the other, and all must hold
        return (" ".join(f"! {_key_words(statement.fields, key)}" for key in made.elements),)
    return [_key_words(statement.fields, key) for key in made.elements]


def _dnat_words(statement: DnatMap, made: ElementSet) -> Iterable[str]:
    for key, (address, port) in made.elements.items():
        target = f"[{address}]:{port}" if ":" in address else f"{address}:{port}"
        yield f"{_key_words(statement.fields, key)} -j DNAT --to-destination {target}"


def _key_words(fields: Iterable[str], key: Iterable[str]) -> str:
    """Return the matches for one element: `-p tcp --dport 8080` for a protocol and a port."""
    words = []
    for field, text in zip(fields, key, strict=True):
        match field:
            case "meta l4proto":
                words.append(f"-p {text} -m {text}")
            case "th dport":
                words.append(f"--dport {text}")
            case _:
                words.append(f"{_FLAGS[field]} {text}")
    return " ".join(words)
