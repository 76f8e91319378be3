"""The packet filter's table: the same wanted state gives the same table, and what is not published stays closed."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from minidocker.codec.nftables import render_nft
from minidocker.network.bridge import Bridge, adopt_bridge
from minidocker.network.rules import Forward, plan_elements, plan_table

BRIDGE = adopt_bridge("minidocker0", "172.17.0.0/16")
OTHER = Bridge(name="br-other", subnet="10.0.0.0/24", gateway="10.0.0.1", internal=True, icc=False)
FORWARDS = st.builds(
    Forward,
    protocol=st.sampled_from(["tcp", "udp", "sctp"]), host_ip=st.sampled_from(["", "0.0.0.0", "127.0.0.1", "192.0.2.1", "::", "::1"]),
    host_port=st.integers(1, 65535), container_ip=st.sampled_from(["172.17.0.2", "fd00::2"]), container_port=st.integers(1, 65535),
)  # fmt: skip


def forward(host_ip: str, *, host_port: int = 8080) -> Forward:
    """Return port 80 of a container published on *host_ip*."""
    return Forward(protocol="tcp", host_ip=host_ip, host_port=host_port, container_ip="172.17.0.2", container_port=80)


def elements(*forwards: Forward) -> dict[str, dict[tuple[str, ...], tuple[str, ...]]]:
    """Return what *forwards* add to the sets."""
    return {name: dict(made.elements) for name, made in plan_elements((), forwards).items()}


def test_rules_are_the_same_whatever_is_published() -> None:
    """What changes are elements: the thousandth port costs what the first did, for the kernel and for each packet."""
    few, many = (plan_table("t", (BRIDGE,), [forward("", host_port=port) for port in range(1, count)]) for count in (2, 1000))
    assert few.chains == many.chains
    assert plan_table("t", (), ()).chains == plan_table("t", (BRIDGE, OTHER), ()).chains


def test_last_word_about_packets_into_a_bridge_is_no() -> None:
    """Neighbours, answers and published ports may enter, and nothing else."""
    chain = render_nft(plan_table("t", (BRIDGE,), ())).split("chain into-bridge {")[1].split("\t}")[0]
    assert [line.strip() for line in chain.strip().splitlines()] == [
        'iifname . oifname @neighbours accept comment "containers of one bridge reach each other"',
        "ct state established,related accept",
        'oifname @internal counter drop comment "internal"',
        'ct status dnat accept comment "a published port"',
        'counter drop comment "not published"',
    ]


def test_bridge_is_an_element_of_what_it_takes_part_in() -> None:
    """An internal network is not masqueraded; without inter-container communication there are no neighbours."""
    found = {name: sorted(made.elements) for name, made in plan_elements((BRIDGE, OTHER), ()).items()}
    assert found == {
        "bridges": [("br-other",), ("minidocker0",)], "internal": [("br-other",)], "masqueraded": [("minidocker0",)],
        "neighbours": [("minidocker0", "minidocker0")],
    }  # fmt: skip


def test_port_on_all_addresses_is_found_by_protocol_and_port() -> None:
    """One element: whoever comes for it is sent on."""
    assert elements(forward("0.0.0.0")) == {"ports": {("tcp", "8080"): ("172.17.0.2", "80")}}


def test_port_on_one_address_is_translated_there_only() -> None:
    """`-p 192.0.2.1:8080:80` says nothing about the host's other addresses."""
    assert elements(forward("192.0.2.1")) == {"address-ports": {("192.0.2.1", "tcp", "8080"): ("172.17.0.2", "80")}}


def test_port_on_loopback_is_closed_to_everybody_outside() -> None:
    """`-p 127.0.0.1:8080:80` is served by the proxy; a neighbour that routes 127.0.0.1 here by hand meets a drop first.

    CVE-2025-54388 class.
    """
    assert elements(forward("127.0.0.1")) == {"loopback-ports": {("127.0.0.1", "tcp", "8080"): ()}}


def test_port_of_the_other_family_leaves_no_element() -> None:
    """IPv6 clients of a container without an IPv6 address are the proxy's."""
    assert elements(forward("::"), forward("::1"), forward("fd00::9")) == {}


def test_port_on_ipv6_leads_to_an_ipv6_address() -> None:
    """A network with IPv6 keeps the clients' addresses in both families."""
    six = Forward(protocol="udp", host_ip="::", host_port=53, container_ip="fd00::2", container_port=53)
    assert elements(six) == {"ports6": {("udp", "53"): ("fd00::2", "53")}}


@given(st.lists(FORWARDS, max_size=8, unique_by=lambda f: (f.protocol, f.host_ip or "0.0.0.0", f.host_port)).flatmap(
    lambda found: st.tuples(st.just(found), st.permutations(found))
))  # fmt: skip
def test_table_does_not_depend_on_the_order_of_ports(orders: tuple[list[Forward], list[Forward]]) -> None:
    """A server that starts again computes the table from its records and finds the same one."""
    assert render_nft(plan_table("t", (BRIDGE,), orders[0])) == render_nft(plan_table("t", (BRIDGE,), orders[1]))
