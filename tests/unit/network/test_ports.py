"""Published ports: Docker's two maps become requests, and requests become candidates."""

from __future__ import annotations

from collections.abc import Mapping

import pytest
from hypothesis import given
from hypothesis import strategies as st

from minidocker.errors import InvalidParameter
from minidocker.network.ports import (
    EPHEMERAL_PORTS,
    HostPort,
    PortRequest,
    bind_addresses,
    candidate_ports,
    TakenPorts,
    parse_port_key,
    plan_ports,
)
from minidocker.spec.container import PortBinding

WEB = PortRequest(container_port=80, protocol="tcp")


@pytest.mark.parametrize(
    ("bindings", "expected"),
    [
        ({}, ()),
        ({"80/tcp": ()}, (WEB,)),
        ({"80": (PortBinding(),)}, (WEB,)),
        ({"80/tcp": (PortBinding(host_port="0"),)}, (WEB,)),
        ({"80/tcp": (PortBinding(host_port="8080"),)}, (PortRequest(container_port=80, protocol="tcp", first_port=8080, last_port=8080),)),
        (
            {"80/TCP": (PortBinding(host_ip="[::1]", host_port="8000-8010"),)},
            (PortRequest(container_port=80, protocol="tcp", host_ip="::1", first_port=8000, last_port=8010),),
        ),
        (
            {"80/tcp": (PortBinding(), PortBinding(host_port="8080"))},
            (PortRequest(container_port=80, protocol="tcp", first_port=8080, last_port=8080), WEB),
        ),
    ],
    ids=["none", "empty list", "no protocol", "port zero", "fixed", "range on one address", "fixed before ephemeral"],
)
def test_bindings_become_requests(bindings: Mapping[str, tuple[PortBinding, ...]], expected: tuple[PortRequest, ...]) -> None:
    """An empty list is "any port" in the Engine API, and fixed ports are taken before an ephemeral one could take them."""
    assert plan_ports((), bindings) == expected


def test_exposed_ports_are_published_only_when_all_are_asked_for() -> None:
    """EXPOSE documents, `-P` publishes; a port that has a binding of its own keeps it."""
    bindings = {"80/tcp": (PortBinding(host_port="8080"),)}
    assert plan_ports(("80/tcp", "53/udp"), {}) == ()
    requests = plan_ports(("80/tcp", "53/udp"), bindings, publish_all=True)
    assert [(r.container_port, r.protocol, r.first_port) for r in requests] == [(80, "tcp", 8080), (53, "udp", 0)]


@pytest.mark.parametrize("key", ["", "0", "65536", "80/icmp", "a/tcp", "-1", "８０", pytest.param("9" * 5000, id="endless")])
def test_container_port_that_is_none_is_refused(key: str) -> None:
    """1 to 65535, and a protocol that has ports."""
    with pytest.raises(InvalidParameter, match="invalid port"):
        parse_port_key(key)


@pytest.mark.parametrize(
    "binding",
    [PortBinding(host_port="x"), PortBinding(host_port="10-5"), PortBinding(host_port="1-"), PortBinding(host_ip="localhost")],
    ids=["no number", "backwards", "half a range", "a name"],
)
def test_binding_that_cannot_be_meant_is_refused(binding: PortBinding) -> None:
    """Refused when the container starts, before anything is bound."""
    with pytest.raises(InvalidParameter):
        plan_ports((), {"80/tcp": (binding,)})


@given(st.integers(0, 70000))
def test_ephemeral_candidates_are_every_dynamic_port_once(start: int) -> None:
    """They go round from where the last search ended, so that a port just freed is the last to be used again."""
    low, high = EPHEMERAL_PORTS
    candidates = candidate_ports(WEB, start=start)
    first = next(candidates)
    assert first == (start if low <= start <= high else low)
    rest = list(candidates)
    assert len(rest) == high - low
    assert set(rest) | {first} == set(range(low, high + 1))


def test_range_candidates_are_the_range_in_order() -> None:
    """`-p 8000-8002:80` takes the first of the range that is free."""
    request = PortRequest(container_port=80, protocol="tcp", first_port=8000, last_port=8002)
    assert list(candidate_ports(request, start=50000)) == [8000, 8001, 8002]


def test_port_without_address_is_bound_on_both_families() -> None:
    """Docker publishes on `0.0.0.0` and `[::]`; a host without IPv6 has only the first."""
    assert bind_addresses(WEB, has_ipv6=True) == ("0.0.0.0", "::")
    assert bind_addresses(WEB, has_ipv6=False) == ("0.0.0.0",)
    named = PortRequest(container_port=80, protocol="tcp", host_ip="127.0.0.1")
    assert bind_addresses(named, has_ipv6=True) == ("127.0.0.1",)


@pytest.mark.parametrize(
    ("protocol", "address", "port", "clashes"),
    [
        ("tcp", "0.0.0.0", 80, True), ("tcp", "127.0.0.1", 80, True), ("tcp", "::", 80, False), ("udp", "0.0.0.0", 80, False),
        ("tcp", "0.0.0.0", 81, False),
    ],
)  # fmt: skip
def test_port_clashes_on_the_same_address_or_on_all(protocol: str, address: str, port: int, clashes: bool) -> None:
    """`0.0.0.0` includes every IPv4 address; families and protocols have ports of their own."""
    wanted, taken = HostPort(protocol=protocol, address=address, port=port), HostPort(protocol="tcp", address="0.0.0.0", port=80)
    for one, other in ((wanted, taken), (taken, wanted)):
        ports = TakenPorts()
        ports.add(other, "web")
        assert ports.find_clash(one) == ((other, "web") if clashes else None)
        ports.remove(other)
        assert ports.find_clash(one) is None


def test_host_port_is_written_as_people_write_it() -> None:
    """IPv6 addresses stand in brackets, or their colons would be taken for the port's."""
    assert str(HostPort(protocol="tcp", address="::", port=80)) == "[::]:80"
    assert str(HostPort(protocol="tcp", address="0.0.0.0", port=80)) == "0.0.0.0:80"
