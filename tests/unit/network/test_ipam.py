"""Addresses: always the lowest free one, never the gateway's, never twice."""

from __future__ import annotations

import ipaddress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from minidocker.codec.rtnetlink import parse_mac_address
from minidocker.errors import Conflict, Forbidden, HostError, InvalidParameter
from minidocker.network.ipam import (
    AddressPool, check_overlap, choose_address, choose_subnet, compute_ipv6_pool, compute_mac_address, parse_pool, require_address,
)  # fmt: skip


@given(st.sets(st.integers(1, 14)))
def test_address_is_the_lowest_that_is_free(taken: set[int]) -> None:
    """First come, first served, from the bottom; what was given back is given out again."""
    in_use = {f"10.0.0.{n}" for n in taken}
    free = sorted(set(range(1, 15)) - taken)
    if free:
        assert choose_address("10.0.0.0/28", in_use) == f"10.0.0.{free[0]}"
    else:
        with pytest.raises(HostError, match="no available IPv4 addresses"):
            choose_address("10.0.0.0/28", in_use)


def test_address_is_never_the_network_or_the_broadcast_address() -> None:
    """A /30 has room for two: the gateway and one container."""
    assert choose_address("10.0.0.0/30", {"10.0.0.1"}) == "10.0.0.2"
    with pytest.raises(HostError):
        choose_address("10.0.0.0/30", {"10.0.0.1", "10.0.0.2"})


@pytest.mark.parametrize(
    ("address", "error"),
    [
        ("10.0.0.300", InvalidParameter), ("10.0.1.2", InvalidParameter), ("10.0.0.0", InvalidParameter),
        ("10.0.0.255", InvalidParameter), ("10.0.0.1", Conflict),
    ],
)  # fmt: skip
def test_address_asked_for_by_name_must_be_one_that_can_be_had(address: str, error: type[Exception]) -> None:
    """Outside of the subnet is the asker's mistake; taken is a conflict."""
    with pytest.raises(error):
        require_address("10.0.0.0/24", address, {"10.0.0.1"})
    assert require_address("10.0.0.0/24", "10.0.0.9", {"10.0.0.1"}) == "10.0.0.9"


@given(st.ip_addresses(v=4))
def test_mac_address_spells_the_ip_address(address: ipaddress.IPv4Address) -> None:
    """Locally administered, no group, and as unique as the address it is made from."""
    packed = parse_mac_address(compute_mac_address(str(address)))
    assert packed[:2] == b"\x02\x42"
    assert ipaddress.IPv4Address(packed[2:]) == address


NETWORKS = st.builds(lambda a, n: f"{a}/{n}", st.ip_addresses(v=4), st.integers(1, 32))


@given(st.lists(NETWORKS, max_size=5))
def test_subnet_overlaps_nothing_that_the_host_uses(taken: list[str]) -> None:
    """Two ways to one address: the host would lose its way to the other network (a VPN, typically)."""
    try:
        subnet = ipaddress.IPv4Network(choose_subnet(taken))
    except HostError:
        return
    assert not any(subnet.overlaps(ipaddress.IPv4Network(text, strict=False)) for text in taken)


@pytest.mark.parametrize(
    ("taken", "expected"),
    [
        ((), "172.17.0.0/16"),
        (("172.17.0.1/16",), "172.18.0.0/16"),
        (("172.17.5.0/24", "172.18.0.0/15"), "172.20.0.0/16"),
        (("0.0.0.0/0", "fe80::1/64", "::/0"), "172.17.0.0/16"),
        (("172.16.0.0/12",), "192.168.0.0/20"),
    ],
    ids=["nothing in the way", "a real Docker", "two in the way", "default routes and IPv6", "all of the first kind"],
)
def test_subnet_is_the_first_free_one_of_dockers_pools(taken: tuple[str, ...], expected: str) -> None:
    """Docker's pools in Docker's order, so that addresses look as people know them."""
    assert choose_subnet(taken) == expected


def test_subnet_on_a_full_host_is_refused_with_a_way_out() -> None:
    """One sentence, and what to do."""
    with pytest.raises(HostError, match="all predefined address pools have been fully subnetted") as caught:
        choose_subnet(["172.16.0.0/12", "192.168.0.0/16"])
    assert "--default-address-pool" in caught.value.hint


def test_pool_is_cut_into_pieces_and_what_is_taken_is_passed_in_one_step() -> None:
    """A pool of millions of pieces, all but one taken by a single route, is no reason to look at each."""
    pool = parse_pool("base=10.0.0.0/8,size=30")
    assert choose_subnet(["10.0.0.0/9", "10.128.0.0/16"], pools=[pool]) == "10.129.0.0/30"
    assert choose_subnet([], pools=[AddressPool(base="fd00::/48", size=64)]) == "fd00::/64"


@pytest.mark.parametrize("text", ["", "base=10.0.0.0/8", "base=10.0.0.0/8,size=x", "base=10.0.0.0/8,size=4", "base=x,size=24", "a=b"])
def test_pool_of_another_form_is_refused(text: str) -> None:
    """A wrong flag ends the server's start with a sentence, not its first network."""
    with pytest.raises(InvalidParameter):
        parse_pool(text)


def test_range_limits_who_gets_what_by_itself() -> None:
    """`--ip-range`: the rest of the subnet is for those who ask by name; auxiliary addresses are never given away."""
    assert choose_address("10.0.0.0/24", {"10.0.0.1", "10.0.0.128"}, ip_range="10.0.0.128/25") == "10.0.0.129"
    assert require_address("10.0.0.0/24", "10.0.0.5", set()) == "10.0.0.5"


def test_ipv6_addresses_are_chosen_as_ipv4_ones_are() -> None:
    """Only that there is no broadcast address; a subnet of 2^64 is not walked through."""
    assert choose_address("fd00::/64", {"fd00::1"}) == "fd00::2"
    assert compute_mac_address("fd00::2") == "02:42:00:00:00:02"


def test_overlapping_subnet_is_refused_in_dockers_words() -> None:
    """Compose looks at this sentence."""
    with pytest.raises(Forbidden, match="Pool overlaps with other one on this address space"):
        check_overlap("10.0.1.0/24", ["fd00::/64", "10.0.0.0/16"])
    check_overlap("10.1.0.0/24", ["10.0.0.0/16"])


def test_server_has_its_own_unique_local_addresses() -> None:
    """RFC 4193: forty bits that nobody else has, the same after every start."""
    pool = compute_ipv6_pool("/a")
    assert pool == compute_ipv6_pool("/a") != compute_ipv6_pool("/b")
    assert ipaddress.IPv6Network(pool.base).subnet_of(ipaddress.IPv6Network("fd00::/8"))
