"""What `docker network ls` and `inspect` read."""

from __future__ import annotations

from minidocker.network.bridge import plan_bridge
from minidocker.network.record import NetworkMember, compute_network_id, describe_network
from minidocker.spec.record import render_record


def test_bridge_is_described_with_subnet_and_members() -> None:
    """Keys are spelled as Docker spells them, which is not always CamelCase."""
    member = NetworkMember(name="web", endpoint_id="e" * 64, mac_address="02:42:ac:11:00:02", ipv4_address="172.17.0.2/16")
    bridge = plan_bridge("minidocker0", ())
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
