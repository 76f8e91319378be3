"""Lookup: what a container's name service answers by itself, and what it passes on.

Pure. A container asks for `web` and gets the addresses of every container that is called so in one of its networks; `web.NET`
means the one in network NET. A name that a container has, but no address of the kind that was asked for, is answered with
nothing, not passed on: nobody outside knows better. Several addresses come in another order each time, so that clients, who
take the first, spread ("round robin"). Chapter 18.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from minidocker.codec.dns import Answer, Query, Rcode, RecordType, parse_reverse_name

__all__ = ["NameTable", "Reply", "plan_reply", "read_table"]


@dataclass(frozen=True, slots=True, kw_only=True)
class NameTable:
    """The names of one network."""

    network: str
    addresses: Mapping[str, Sequence[str]]
    """By name in lower case."""
    names: Mapping[str, str]
    """By address."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Reply:
    """What the name service answers itself."""

    answers: tuple[Answer, ...] = ()
    rcode: Rcode = Rcode.NOERROR


def read_table(document: object) -> NameTable:
    """Return the table in *document*, the parsed JSON of a network's file; what has another form is left out."""
    found = document if isinstance(document, dict) else {}
    network = str(found.get("network", ""))
    addresses: dict[str, list[str]] = {}
    names: dict[str, str] = {}
    for member in found.get("members", ()):
        own = [str(text).lower() for text in member["names"]]
        for address in member["addresses"]:
            names.setdefault(str(address), f"{own[0]}.{network}" if own else "")
            for name in own:
                addresses.setdefault(name, []).append(str(address))
    return NameTable(network=network, addresses=addresses, names=names)


def plan_reply(query: Query, tables: Sequence[NameTable], *, links: Mapping[str, str], turn: int, can_forward: bool) -> Reply | None:
    """Return the answer to *query*; None if somebody else has to be asked. *turn* counts the questions so far."""
    if query.type == RecordType.PTR:
        address = parse_reverse_name(query.name)
        name = next((table.names[address] for table in tables if address in table.names), "")
        if name:
            return Reply(answers=(Answer(value=name),))
    else:
        name = links.get(query.name, query.name).lower()
        found = [address for table in tables for address in _find(table, name)]
        if found:
            return Reply(answers=_answers(query, found, turn))
    if can_forward:
        return None
    return Reply(rcode=Rcode.NXDOMAIN if "." not in query.name or query.type == RecordType.PTR else Rcode.SERVFAIL)


def _find(table: NameTable, name: str) -> Sequence[str]:
    """Return the addresses of *name*, or of *name* without the network's own behind it."""
    return table.addresses.get(name) or table.addresses.get(name.removesuffix(f".{table.network.lower()}"), ())


def _answers(query: Query, addresses: Sequence[str], turn: int) -> tuple[Answer, ...]:
    versions: dict[int, tuple[int, ...]] = {RecordType.A: (4,), RecordType.AAAA: (6,), RecordType.ANY: (4, 6)}
    wanted = versions.get(query.type, ())
    fitting = [a for a in dict.fromkeys(addresses) if ipaddress.ip_address(a).version in wanted]
    start = turn % len(fitting) if fitting else 0
    return tuple(Answer(value=address) for address in (*fitting[start:], *fitting[:start]))
