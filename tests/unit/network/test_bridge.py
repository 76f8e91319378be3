"""The default bridge: a name that says whose it is, a subnet that nobody else uses."""

from __future__ import annotations

import ipaddress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from minidocker.codec.rtnetlink import LINK_NAME_MAX_BYTES
from minidocker.errors import HostError
from minidocker.network.bridge import ADDRESS_POOLS, adopt_bridge, choose_subnet, compute_bridge_name, plan_bridge

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
    with pytest.raises(HostError) as caught:
        choose_subnet(ADDRESS_POOLS)
    assert "--network host" in caught.value.hint


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
    assert plan_bridge("b", ()).address == "172.17.0.1/16"
    assert adopt_bridge("b", "172.18.0.1/16") == adopt_bridge("b", "172.18.0.0/16")
