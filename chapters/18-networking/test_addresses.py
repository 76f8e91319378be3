"""Addresses are given out from the bottom, and some belong to nobody."""

from __future__ import annotations

import pytest

from minidocker.errors import HostError


def test_lowest_free_address_is_given(choose_address):
    """The gateway has the first, a container that ended gave the third back."""
    in_use = {"10.0.0.1", "10.0.0.2", "10.0.0.4"}
    assert choose_address("10.0.0.0/24", in_use) == "10.0.0.3"


def test_first_and_last_address_of_the_subnet_are_nobodys(choose_address):
    """The first names the subnet itself, the last everybody in it: a /30 has room for two, even where a range says otherwise."""
    assert choose_address("10.0.0.0/30", set()) == "10.0.0.1"
    with pytest.raises(HostError):
        choose_address("10.0.0.0/30", {"10.0.0.1", "10.0.0.2"})
    with pytest.raises(HostError):
        choose_address("10.0.0.0/24", {"10.0.0.254"}, ip_range="10.0.0.254/31")


def test_range_may_be_used_to_its_ends(choose_address):
    """`--ip-range 10.0.0.8/30` is a piece of the subnet, not a subnet: 10.0.0.8 and 10.0.0.11 are addresses like others."""
    assert choose_address("10.0.0.0/24", {"10.0.0.1"}, ip_range="10.0.0.8/30") == "10.0.0.8"
    assert choose_address("10.0.0.0/24", {"10.0.0.8", "10.0.0.9", "10.0.0.10"}, ip_range="10.0.0.8/30") == "10.0.0.11"


def test_full_subnet_is_refused_with_the_networks_name(choose_address):
    """Docker's words, because people search for them."""
    with pytest.raises(HostError, match=r"no available IPv4 addresses on this network's address pools: web \(1234\)"):
        choose_address("10.0.0.0/30", {"10.0.0.1", "10.0.0.2"}, name="web (1234)")


def test_ipv6_has_no_broadcast_address(choose_address):
    """Groups have addresses of their own there, so the last of a subnet is one like others."""
    assert choose_address("fd00::/126", {"fd00::1", "fd00::2"}) == "fd00::3"


def test_huge_subnet_is_not_walked_through(choose_address):
    """2^64 addresses: whoever makes a list of them is still at it."""
    assert choose_address("fd00::/64", {"fd00::1"}) == "fd00::2"
