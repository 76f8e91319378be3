"""What a container's name service answers by itself."""

from __future__ import annotations

from minidocker.codec.dns import Query, Rcode, RecordType
from minidocker.network.lookup import NameTable

SHOP = NameTable(
    network="shop", addresses={"web": ("172.18.0.2", "172.18.0.3"), "db": ("172.18.0.4", "fd00::4")},
    names={"172.18.0.2": "web-1.shop", "172.18.0.3": "web-2.shop", "172.18.0.4": "db.shop"},
)  # fmt: skip
STORE = NameTable(network="store", addresses={"backup": ("10.0.0.2",)}, names={"10.0.0.2": "backup.store"})


def question(name, kind=RecordType.A):
    """A question for the addresses of *name*."""
    return Query(id=1, name=name, type=int(kind), question=b"")


def values(reply):
    """What the answers say."""
    return [answer.value for answer in reply.answers]


def test_name_has_all_its_addresses(plan_reply):
    """A name may be several containers', in any network that the asker is in."""
    known = {"links": {}, "turn": 0, "can_forward": True}
    assert values(plan_reply(question("web"), [SHOP, STORE], **known)) == ["172.18.0.2", "172.18.0.3"]
    assert values(plan_reply(question("backup"), [SHOP, STORE], **known)) == ["10.0.0.2"]


def test_addresses_take_turns(plan_reply):
    """Clients take the first, so the first changes."""
    first = [values(plan_reply(question("web"), [SHOP], links={}, turn=turn, can_forward=True))[0] for turn in range(3)]
    assert first == ["172.18.0.2", "172.18.0.3", "172.18.0.2"]


def test_link_is_another_name(plan_reply):
    """`--link db:database`: only this container says database."""
    assert values(plan_reply(question("database"), [SHOP], links={"database": "db"}, turn=0, can_forward=True)) == ["172.18.0.4"]


def test_missing_kind_of_address_is_an_empty_answer(plan_reply):
    """`web` has no IPv6 address, and nobody outside knows better: not None, not “no such name”."""
    reply = plan_reply(question("web", RecordType.AAAA), [SHOP], links={}, turn=0, can_forward=True)
    assert (values(reply), reply.rcode) == ([], Rcode.NOERROR)


def test_stranger_is_asked_for_elsewhere(plan_reply):
    """None: the question goes to the servers of the host, as it came."""
    assert plan_reply(question("example.com"), [SHOP], links={}, turn=0, can_forward=True) is None


def test_question_stays_inside_an_internal_network(plan_reply):
    """CVE-2024-29018: names are data, and a server that somebody else runs reads them."""
    reply = plan_reply(question("secret.example.com"), [SHOP], links={}, turn=0, can_forward=False)
    assert (values(reply), reply.rcode) == ([], Rcode.SERVFAIL)
    assert plan_reply(question("nobody"), [SHOP], links={}, turn=0, can_forward=False).rcode == Rcode.NXDOMAIN


def test_address_has_a_name(plan_reply):
    """Backwards: whoever sees 172.18.0.4 in a log asks who that is."""
    reply = plan_reply(question("4.0.18.172.in-addr.arpa", RecordType.PTR), [SHOP, STORE], links={}, turn=0, can_forward=True)
    assert values(reply) == ["db.shop"]
