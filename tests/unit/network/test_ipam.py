"""Addresses: always the lowest free one, never the gateway's, never twice."""

from __future__ import annotations

import ipaddress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from minidocker.codec.rtnetlink import parse_mac_address
from minidocker.errors import Conflict, HostError, InvalidParameter
from minidocker.network.ipam import choose_address, compute_mac_address, require_address


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
