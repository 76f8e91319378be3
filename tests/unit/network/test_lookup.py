"""Lookup: neighbours by name, everybody else elsewhere."""

from __future__ import annotations

import pytest

from minidocker.codec.dns import Answer, Query, Rcode, RecordType
from minidocker.network.lookup import Reply, plan_reply, read_table

TABLE = read_table(
    {
        "network": "Shop",
        "members": [
            {"names": ["web-1", "web"], "addresses": ["172.18.0.2", "fd00::2"]}, {"names": ["Web-2", "web"], "addresses": ["172.18.0.3"]},
        ],
    }
)  # fmt: skip


def asked(name: str, kind: int = RecordType.A, *, turn: int = 0, forward: bool = True, links: dict[str, str] | None = None) -> Reply | None:
    """Return the reply to a question."""
    query = Query(id=1, name=name, type=kind, question=b"")
    return plan_reply(query, [TABLE], links=links or {}, turn=turn, can_forward=forward)


def values(reply: Reply | None) -> list[str]:
    """Return what a reply of our own says."""
    assert reply is not None
    return [answer.value for answer in reply.answers]


def test_name_has_the_addresses_of_all_who_are_called_so() -> None:
    """A service of compose is a name that several containers share; letters' case does not matter."""
    assert values(asked("web")) == ["172.18.0.2", "172.18.0.3"]
    assert values(asked("web-2")) == values(asked("web-2.shop")) == ["172.18.0.3"]


def test_addresses_take_turns() -> None:
    """Round robin: clients take the first."""
    assert [values(asked("web", turn=turn))[0] for turn in range(4)] == ["172.18.0.2", "172.18.0.3"] * 2


@pytest.mark.parametrize(("kind", "found"), [(RecordType.AAAA, ["fd00::2"]), (15, []), (RecordType.ANY, ["172.18.0.2", "fd00::2"])])
def test_name_of_ours_without_what_was_asked_for_is_an_empty_answer(kind: int, found: list[str]) -> None:
    """Not "no such name", which would make clients give up on IPv4, too; and nobody outside knows better."""
    assert values(asked("web-1", kind)) == found


def test_address_of_ours_has_a_name() -> None:
    """PTR: the container's name in its network, which resolves again."""
    assert values(asked("2.0.18.172.in-addr.arpa", RecordType.PTR)) == ["web-1.Shop"]
    reverse6 = ".".join(reversed("fd000000000000000000000000000002")) + ".ip6.arpa"
    assert values(asked(reverse6, RecordType.PTR)) == ["web-1.Shop"]


def test_link_is_a_name_that_only_one_container_knows() -> None:
    """`--link web-2:shop`."""
    assert values(asked("front", links={"front": "web-2"})) == ["172.18.0.3"]


@pytest.mark.parametrize(("name", "rcode"), [("nobody", Rcode.NXDOMAIN), ("example.com", Rcode.SERVFAIL)])
def test_other_names_are_asked_for_outside_or_nowhere(name: str, rcode: Rcode) -> None:
    """CVE-2024-29018: from an internal network no question leaves."""
    assert asked(name) is None
    assert asked(name, forward=False) == Reply(rcode=rcode)


def test_answer_is_worth_ten_minutes() -> None:
    """Docker's time to live."""
    reply = asked("web-2")
    assert reply is not None
    assert reply.answers == (Answer(value="172.18.0.3", ttl_s=600),)
