"""A container's network as the engine sees it: which one, with which steps, with which files."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from minidocker.container.record import ContainerRecord, NetworkEndpoint
from minidocker.engine.endpoint import plan_endpoint
from minidocker.engine.networks import Networks, network_of, write_name_files
from minidocker.errors import NotFound
from minidocker.kernel.steps import AddAddress, AddRoute, CreateVeth, SetLinkUp
from minidocker.network.apply import read_host_resolv_conf
from minidocker.spec.container import ContainerConfig, HostConfig

ENDPOINT = NetworkEndpoint(
    network="bridge", network_id="n" * 64, endpoint_id="e" * 64, gateway="172.17.0.1", address="172.17.0.2", prefix_length=16,
    mac_address="02:42:ac:11:00:02", host_link="vetheeeeeee", bridge="minidocker0",
)  # fmt: skip


def record_of(mode: str, *, disabled: bool = False, extra_hosts: tuple[str, ...] = ()) -> ContainerRecord:
    """Return a container with this `NetworkMode`."""
    return ContainerRecord(
        id="c" * 64, name="web", created="", image_id="", config=ContainerConfig(hostname="web", network_disabled=disabled),
        host_config=HostConfig(network_mode=mode, dns=("192.0.2.53",), extra_hosts=extra_hosts),
    )  # fmt: skip


@pytest.mark.parametrize(
    ("mode", "network"),
    [("", "bridge"), ("default", "bridge"), ("bridge", "bridge"), ("host", "host"), ("none", "none"), ("container:web", "")],
)
def test_network_mode_names_a_network(mode: str, network: str) -> None:
    """`default` is what the CLI sends when nobody chose."""
    assert network_of(record_of(mode)) == network


def test_network_that_is_disabled_is_none() -> None:
    """An old field of the image configuration, which wins over the mode."""
    assert network_of(record_of("bridge", disabled=True)) == "none"


def test_unknown_network_is_not_found_in_dockers_words() -> None:
    """Status 404, so that `docker run --network nowhere` ends with 125 and this sentence."""
    with pytest.raises(NotFound, match=r"^network nowhere not found$"):
        network_of(record_of("nowhere"))


@pytest.mark.parametrize("mode", ["host", "none"])
def test_networks_without_a_bridge_need_no_steps(mode: str, tmp_path: Path) -> None:
    """`host` is the host's own namespace, `none` has only `lo`: an endpoint is kept for `docker inspect` alone."""
    endpoint, listeners = Networks(tmp_path).allocate_endpoint(record_of(mode))
    assert endpoint is not None
    assert (endpoint.network, endpoint.address, listeners) == (mode, "", [])
    assert plan_endpoint(endpoint) == ()


def test_shared_network_has_no_endpoint_of_its_own(tmp_path: Path) -> None:
    """`--network container:X` joins X's namespace, address and all."""
    assert Networks(tmp_path).allocate_endpoint(record_of("container:web")) == (None, [])


def test_bridge_is_joined_in_four_steps_each_with_its_reason() -> None:
    """Cable, address, on, route: a route is only taken over a card that is on and has an address."""
    steps = plan_endpoint(ENDPOINT)
    assert [type(step) for step in steps] == [CreateVeth, AddAddress, SetLinkUp, AddRoute]
    assert all(step.why for step in steps)


def test_name_files_are_written_for_everybody_to_read(tmp_path: Path) -> None:
    """The container's user need not be root."""
    write_name_files(Networks(tmp_path), replace(record_of("bridge", extra_hosts=("gw:host-gateway",)), endpoint=ENDPOINT), tmp_path)
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
