"""What `docker network ls` and `inspect` read."""

from __future__ import annotations

import pytest

from minidocker.errors import Forbidden, InvalidParameter, MinidockerError, NotFound, NotSupported, Unavailable
from minidocker.network.bridge import adopt_bridge
from minidocker.network.ipam import compute_ipv6_pool
from minidocker.network.record import (
    Ipam, IpamConfig, NetworkMember, NetworkRecord, NetworkRequest, compute_network_id, describe_network, plan_bridge, plan_network,
)  # fmt: skip
from minidocker.spec.record import render_record


def test_bridge_is_described_with_subnet_and_members() -> None:
    """Keys are spelled as Docker spells them, which is not always CamelCase."""
    member = NetworkMember(name="web", endpoint_id="e" * 64, mac_address="02:42:ac:11:00:02", ipv4_address="172.17.0.2/16")
    bridge = adopt_bridge("minidocker0", "172.17.0.0/16")
    document = render_record(describe_network("bridge", data_root="/x", created="now", bridge=bridge, members={"c" * 64: member}))
    assert isinstance(document, dict)
    assert document["Driver"] == "bridge"
    assert document["IPAM"] == {"Driver": "default", "Options": None, "Config": [{"Subnet": "172.17.0.0/16", "Gateway": "172.17.0.1"}]}
    assert document["Containers"] == {
        "c" * 64: {
            "Name": "web", "EndpointID": "e" * 64, "MacAddress": "02:42:ac:11:00:02", "IPv4Address": "172.17.0.2/16", "IPv6Address": "",
        }
    }  # fmt: skip
    assert {"Name", "Id", "Created", "Scope", "EnableIPv4", "EnableIPv6", "ConfigFrom", "Options", "Labels"} <= set(document)


def test_none_is_the_null_driver_without_a_subnet() -> None:
    """`docker network ls` shows `none  null  local`."""
    record = describe_network("none", data_root="/x", created="now", bridge=None, members={})
    assert (record.driver, record.scope, record.ipam.config, record.options) == ("null", "local", (), {})


def test_network_id_is_the_same_after_every_start_and_another_for_every_server() -> None:
    """Records of running containers refer to it, so it may not be random."""
    assert compute_network_id("bridge", "/a") == compute_network_id("bridge", "/a")
    assert len({compute_network_id(name, root) for name in ("bridge", "none") for root in ("/a", "/b")}) == 4


def planned(request: NetworkRequest, *, networks: tuple[str, ...] = ("172.17.0.0/16",), taken: tuple[str, ...] = ()) -> NetworkRecord:
    """Return the record that *request* becomes beside the default network."""
    return plan_network(
        request, network_id="0123456789abcdef" * 4, created="now", networks=networks, taken=taken, pool6=compute_ipv6_pool("/x")
    )


def asking(**config: object) -> NetworkRequest:
    """Return a request for one subnet."""
    return NetworkRequest(name="web", ipam=Ipam(config=(IpamConfig(**config),)))  # type: ignore[arg-type]  # checked by IpamConfig


def test_network_gets_a_free_subnet_and_its_first_address_as_gateway() -> None:
    """`docker network create web` on a host that has a route to 172.18.0.0/16 already."""
    record = planned(NetworkRequest(name="web"), taken=("172.18.3.0/24",))
    assert record.ipam.config == (IpamConfig(subnet="172.19.0.0/16", gateway="172.19.0.1"),)
    assert (record.driver, record.scope, record.enable_ipv6) == ("bridge", "local", False)


def test_network_with_ipv6_gets_a_unique_local_subnet_too() -> None:
    """Nobody has to know about ULA to try IPv6."""
    four, six = planned(NetworkRequest(name="web", enable_ipv6=True)).ipam.config
    assert (four.subnet, six.subnet.startswith("fd"), six.gateway.endswith("::1")) == ("172.18.0.0/16", True, True)


def test_subnet_that_somebody_named_may_be_in_use_by_the_host() -> None:
    """Only other networks stand in the way, as in Docker: whoever names a subnet knows the host."""
    assert planned(asking(subnet="10.1.2.3/24"), taken=("10.1.2.0/24",)).ipam.config[0].subnet == "10.1.2.0/24"


def test_gateway_is_the_first_address_of_the_range() -> None:
    """Docker takes it from where containers get theirs; auxiliary addresses are left alone."""
    config = planned(asking(subnet="10.0.0.0/24", ip_range="10.0.0.128/25", auxiliary_addresses={"router": "10.0.0.128"})).ipam.config[0]
    assert config.gateway == "10.0.0.129"
    assert planned(asking(subnet="10.0.0.0/24", gateway="10.0.0.254")).ipam.config[0].gateway == "10.0.0.254"


@pytest.mark.parametrize(
    ("request_", "error", "text"),
    [
        (NetworkRequest(), InvalidParameter, "name is empty"),
        (NetworkRequest(name="a/b"), InvalidParameter, "are not allowed"),
        (NetworkRequest(name="bridge"), Forbidden, "operation is not permitted on predefined bridge network"),
        (NetworkRequest(name="w", driver="host"), Forbidden, 'only one instance of "host" network is allowed'),
        (NetworkRequest(name="w", driver="overlay"), Unavailable, "This node is not a swarm manager"),
        (NetworkRequest(name="w", driver="macvlan"), NotFound, 'plugin "macvlan" not found'),
        (NetworkRequest(name="w", config_only=True), NotSupported, "not supported"),
        (NetworkRequest(name="w", enable_ipv4=False), InvalidParameter, "must be enabled"),
        (NetworkRequest(name="w", options={"com.docker.network.driver.mtu": "x"}), InvalidParameter, "not a number"),
        (NetworkRequest(name="w", options={"com.docker.network.bridge.name": "x" * 16}), InvalidParameter, "1 to 15 bytes"),
        (asking(subnet="10.0.0.0/33"), InvalidParameter, "invalid subnet"),
        (asking(subnet="10.0.0.0/31"), InvalidParameter, "too small"),
        (asking(gateway="10.0.0.1"), InvalidParameter, "without a subnet"),
        (asking(subnet="10.0.0.0/24", gateway="10.0.1.1"), InvalidParameter, "invalid gateway 10.0.1.1"),
        (asking(subnet="10.0.0.0/24", gateway="nowhere"), InvalidParameter, "invalid gateway nowhere"),
        (asking(subnet="10.0.0.0/24", ip_range="10.0.0.0/16"), InvalidParameter, "invalid ip-range"),
        (asking(subnet="10.0.0.0/24", auxiliary_addresses={"a": "1.2.3.4"}), InvalidParameter, "auxiliary address a"),
        (asking(subnet="172.17.9.0/24"), Forbidden, "Pool overlaps with other one on this address space"),
    ],
    ids=str,
)
def test_network_that_cannot_be_is_refused_in_one_sentence(request_: NetworkRequest, error: type[MinidockerError], text: str) -> None:
    """Docker's words and status where clients look at them; nothing is half made."""
    with pytest.raises(error, match=text):
        planned(request_)


def test_bridge_of_a_network_is_named_after_its_id_and_does_what_its_options_say() -> None:
    """Fifteen bytes is as long as a link's name can be; the name can be chosen, as can who reaches whom."""
    record = planned(NetworkRequest(name="web", internal=True, options={"com.docker.network.bridge.enable_icc": "false"}))
    bridge = plan_bridge(record, mtu=1400)
    assert (bridge.name, bridge.internal, bridge.icc, bridge.mtu) == ("br-0123456789ab", True, False, 1400)
    named = NetworkRequest(name="w", options={"com.docker.network.bridge.name": "mine", "com.docker.network.bridge.enable_ip_masquerade": "false"})
    assert (plan_bridge(planned(named)).name, plan_bridge(planned(named)).masquerade) == ("mine", False)
