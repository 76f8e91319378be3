"""A container's network as the engine sees it: which one, with which steps, with which files."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from minidocker.container.record import ContainerRecord, NetworkEndpoint
from minidocker.engine.endpoint import assign_ways_out, plan_endpoint, plan_endpoints
from minidocker.engine.name_files import compose_name_service, update_name_files, write_name_files
from minidocker.engine.allocation import Allocation
from minidocker.engine.networks import Networks
from minidocker.errors import NotFound
from minidocker.kernel.steps import AddAddress, AddRoute, CreateVeth, ServeNames, SetLinkUp
from minidocker.network.apply import read_host_resolv_conf
from minidocker.network.settings import NetworkSettings
from minidocker.spec.container import ContainerConfig, HostConfig

ENDPOINT = NetworkEndpoint(
    network="bridge", network_id="n" * 64, endpoint_id="e" * 64, gateway="172.17.0.1", address="172.17.0.2", prefix_length=16,
    mac_address="02:42:ac:11:00:02", host_link="vetheeeeeee", bridge="minidocker0", is_way_out=True,
)  # fmt: skip

def record_of(mode: str, *, disabled: bool = False, extra_hosts: tuple[str, ...] = ()) -> ContainerRecord:
    """Return a container with this `NetworkMode`."""
    return ContainerRecord(
        id="c" * 64, name="web", created="", image_id="", config=ContainerConfig(hostname="web", network_disabled=disabled),
        host_config=HostConfig(network_mode=mode, dns=("192.0.2.53",), extra_hosts=extra_hosts),
    )  # fmt: skip


def test_unknown_network_is_not_found_in_dockers_words(tmp_path: Path) -> None:
    """Status 404, so that `docker run --network nowhere` ends with 125 and this sentence."""
    with pytest.raises(NotFound, match=r"^network nowhere not found$"):
        Networks(tmp_path).allocate(record_of("nowhere"))


@pytest.mark.parametrize("mode", ["host", "none"])
def test_networks_without_a_bridge_need_no_steps(mode: str, tmp_path: Path) -> None:
    """`host` is the host's own namespace, `none` has only `lo`: an endpoint is kept for `docker inspect` alone."""
    allocation = Networks(tmp_path).allocate(record_of(mode))
    (endpoint,) = allocation.endpoints
    assert (endpoint.network, endpoint.address, allocation.listeners) == (mode, "", ())
    assert plan_endpoints(allocation.endpoints) == ()


def test_shared_network_has_no_endpoint_of_its_own(tmp_path: Path) -> None:
    """`--network container:X` joins X's namespace, address and all; a network that is disabled wins over the mode."""
    assert Networks(tmp_path).allocate(record_of("container:web")) == Allocation()
    assert [e.network for e in Networks(tmp_path).allocate(record_of("bridge", disabled=True)).endpoints] == ["none"]


def test_way_out_is_the_network_of_highest_priority_then_the_first_by_name() -> None:
    """`gw-priority`; an internal network has no gateway, and IPv6 may leave by another than IPv4."""
    inner = replace(ENDPOINT, network="a", endpoint_id="1", gateway="", is_way_out=False)
    four, six = replace(ENDPOINT, network="b", endpoint_id="2"), replace(ENDPOINT, network="c", endpoint_id="3", gateway6="fd00::1")

    def ways(priorities: dict[str, int]) -> list[tuple[bool, bool]]:
        return [(e.is_way_out, e.is_way_out6) for e in assign_ways_out([inner, four, six], priorities)]

    assert ways({}) == [(False, False), (True, False), (False, True)]
    assert ways({"c": 1}) == [(False, False), (False, False), (True, True)]


def test_name_service_comes_with_a_network_that_somebody_made() -> None:
    """The default bridge has none, as in Docker; one is enough for several networks."""
    served = replace(ENDPOINT, dns_names=("web",))
    assert not any(isinstance(step, ServeNames) for step in plan_endpoints([ENDPOINT]))
    assert [type(step) for step in plan_endpoints([served, served])].count(ServeNames) == 1


def test_internal_network_tells_nobody_outside_what_is_asked(tmp_path: Path) -> None:
    """CVE-2024-29018: names that a container asks for are data, and forwarding them is a way out."""
    networks = Networks(tmp_path)
    outer = replace(ENDPOINT, network="outer", dns_names=("web",))
    inner = replace(outer, network="inner", gateway="")
    both, closed = (compose_name_service(networks, replace(record_of("inner"), endpoints=e)) for e in ((inner, outer), (inner,)))
    assert both is not None
    assert closed is not None
    assert (both.servers, closed.servers) == (("192.0.2.53",), ())
    assert compose_name_service(networks, replace(record_of("bridge"), endpoints=(ENDPOINT,))) is None


def test_name_files_follow_a_container_into_a_network_and_out_of_it(tmp_path: Path) -> None:
    """Written into the same file, which is bound into the container; lines of somebody else stay."""
    networks, old = Networks(tmp_path), replace(record_of("bridge"), endpoints=(ENDPOINT,))
    write_name_files(networks, old, tmp_path)
    inode = (tmp_path / "hosts").stat().st_ino
    with (tmp_path / "hosts").open("a") as file:
        file.write("192.0.2.7\tprinter\n")
    joined = replace(old, endpoints=(ENDPOINT, replace(ENDPOINT, network="n", address="10.0.0.2", dns_names=("web",))))
    update_name_files(networks, old, joined, tmp_path)
    assert (tmp_path / "hosts").read_text().splitlines()[-3:] == ["172.17.0.2\tweb", "192.0.2.7\tprinter", "10.0.0.2\tweb"]
    assert "nameserver 127.0.0.11\n" in (tmp_path / "resolv.conf").read_text()
    update_name_files(networks, joined, old, tmp_path)
    assert "10.0.0.2" not in (tmp_path / "hosts").read_text()
    assert "nameserver 192.0.2.53\n" in (tmp_path / "resolv.conf").read_text()
    assert (tmp_path / "hosts").stat().st_ino == inode


def test_bridge_is_joined_in_four_steps_each_with_its_reason() -> None:
    """Cable, address, on, route: a route is only taken over a card that is on and has an address."""
    steps = plan_endpoint(ENDPOINT)
    assert [type(step) for step in steps] == [CreateVeth, AddAddress, SetLinkUp, AddRoute]
    assert all(step.why for step in steps)


def test_name_files_are_written_for_everybody_to_read(tmp_path: Path) -> None:
    """The container's user need not be root."""
    networks = Networks(tmp_path, settings=NetworkSettings(host_gateway="172.17.0.1"))
    write_name_files(networks, replace(record_of("bridge", extra_hosts=("gw:host-gateway",)), endpoints=(ENDPOINT,)), tmp_path)
    assert (tmp_path / "hosts").read_text().splitlines()[-2:] == ["172.17.0.1\tgw", "172.17.0.2\tweb"]
    assert (tmp_path / "hostname").read_text() == "web\n"
    assert "nameserver 192.0.2.53\n" in (tmp_path / "resolv.conf").read_text()
    assert {(tmp_path / name).stat().st_mode & 0o777 for name in ("hosts", "hostname", "resolv.conf")} == {0o644}


def test_name_files_of_a_shared_network_are_the_other_containers(tmp_path: Path) -> None:
    """Same address, same names."""
    (tmp_path / "other").mkdir()
    (tmp_path / "mine").mkdir()
    (tmp_path / "other/hosts").write_text("172.17.0.9\tother\n")
    write_name_files(Networks(tmp_path), record_of("container:other"), tmp_path / "mine")
    assert (tmp_path / "mine/hosts").read_text() == "172.17.0.9\tother\n"
    assert not (tmp_path / "mine/hostname").exists()


def test_host_resolv_conf_behind_systemds_stub_is_found(tmp_path: Path) -> None:
    """127.0.0.53 is the host's own; systemd keeps the real servers in a file beside it."""
    etc, run = tmp_path / "etc", tmp_path / "run"
    (run / "systemd/resolve").mkdir(parents=True)
    etc.mkdir()
    assert read_host_resolv_conf(etc, run) == ""
    (etc / "resolv.conf").write_text("nameserver 127.0.0.53\n")
    assert read_host_resolv_conf(etc, run) == "nameserver 127.0.0.53\n"
    (run / "systemd/resolve/resolv.conf").write_text("nameserver 192.0.2.53\n")
    assert read_host_resolv_conf(etc, run) == "nameserver 192.0.2.53\n"
    (etc / "resolv.conf").write_text("nameserver 192.0.2.1\n")
    assert read_host_resolv_conf(etc, run) == "nameserver 192.0.2.1\n"
