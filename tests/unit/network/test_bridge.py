"""Bridges: a name that says whose it is, and the host's own addresses."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from minidocker.codec.rtnetlink import LINK_NAME_MAX_BYTES
from minidocker.network.bridge import Bridge, adopt_bridge, compute_bridge_name

@given(st.text(min_size=1))
def test_bridge_name_of_any_data_root_fits_the_kernel(data_root: str) -> None:
    """Fifteen bytes; a stable name lets the next server find the bridge."""
    name = compute_bridge_name(data_root)
    assert len(name.encode()) <= LINK_NAME_MAX_BYTES
    assert name == compute_bridge_name(data_root)


def test_bridge_names_of_two_servers_differ() -> None:
    """Several servers with separate roots run side by side; the usual one has the name that people look for."""
    assert compute_bridge_name("/var/lib/minidocker") == "minidocker0"
    assert len({compute_bridge_name(root) for root in ("/var/lib/minidocker", "/a", "/b")}) == 3


def test_bridge_has_the_first_address_of_its_subnet() -> None:
    """The gateway of every container is the host itself."""
    assert adopt_bridge("b", "172.18.0.1/16") == adopt_bridge("b", "172.18.0.0/16")
    assert adopt_bridge("b", "10.9.0.254/24").gateway == "10.9.0.254"


def test_bridge_has_an_address_in_each_version_of_ip_that_its_network_has() -> None:
    """A network may be IPv4, IPv6, or both."""
    both = Bridge(name="b", subnet="172.18.0.0/16", gateway="172.18.0.1", subnet6="fd00::/64", gateway6="fd00::1")
    assert both.addresses == ("172.18.0.1/16", "fd00::1/64")
    assert Bridge(name="b", subnet="", gateway="", subnet6="fd00::/64", gateway6="fd00::1").addresses == ("fd00::1/64",)
