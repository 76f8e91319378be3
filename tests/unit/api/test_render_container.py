"""Containers in Docker's JSON."""

from __future__ import annotations

from dataclasses import replace

import pytest

from minidocker.api.render_container import parse_time, render_container_details, render_container_summary, render_status
from minidocker.container.record import (
    ZERO_TIME,
    ContainerRecord,
    MountPoint,
    NetworkEndpoint,
    PublishedPort,
    State,
    Status,
)
from minidocker.spec.container import ContainerConfig, HostConfig

NOW = parse_time("2026-01-01T00:10:00Z")
RUNNING = State(status=Status.RUNNING, pid=42, started_at="2026-01-01T00:07:00.500000000Z")
RECORD = ContainerRecord(
    id="ab" * 32,
    name="web",
    created="2026-01-01T00:00:00.123456789Z",
    image_id="sha256:" + "cd" * 32,
    config=ContainerConfig(
        image="nginx", cmd=("nginx", "-g", "daemon off;"), labels={"a": "b"}, exposed_ports={"80/tcp": {}, "443/tcp": {}}
    ),
    host_config=HostConfig(network_mode="bridge"),
    layers=("base", "top"),
    mounts=(MountPoint(type="volume", source="/v/_data", destination="/data", name="v", driver="local", mode="z"),),
    state=RUNNING,
    endpoints=(
        NetworkEndpoint(
            network="bridge", network_id="n1", endpoint_id="e1", gateway="172.17.0.1", address="172.17.0.2", prefix_length=16,
            mac_address="02:42:ac:11:00:02",
            ports=(PublishedPort(container_port=80, protocol="tcp", host_ip="", host_port=8080),),
        ),
    ),
)  # fmt: skip

STATUSES = {
    "running": (RUNNING, "Up 2 minutes"),
    "paused": (replace(RUNNING, status=Status.PAUSED), "Up 2 minutes (Paused)"),
    "created": (State(), "Created"),
    "failed to start": (State(exit_code=127, error="not found"), "Created"),
    "exited": (
        State(status=Status.EXITED, exit_code=1, started_at="2026-01-01T00:00:00Z", finished_at="2026-01-01T00:09:58Z"),
        "Exited (1) 2 seconds ago",
    ),
    "restarting": (
        State(status=Status.RESTARTING, exit_code=3, started_at="2026-01-01T00:00:00Z", finished_at="2026-01-01T00:09:55Z"),
        "Restarting (3) 5 seconds ago",
    ),
    "removing": (State(status=Status.REMOVING), "Removal In Progress"),
    "dead": (State(status=Status.DEAD), "Dead"),
}


@pytest.mark.parametrize(("state", "text"), STATUSES.values(), ids=STATUSES.keys())
def test_status_is_worded_as_docker_words_it(state: State, text: str) -> None:
    """The STATUS column of `docker ps`."""
    assert render_status(state, NOW) == text


def test_summary_has_dockers_keys_in_dockers_order() -> None:
    """What dockerd sends for one container of the list, key by key."""
    summary = render_container_summary(RECORD, now=NOW)
    assert [*summary] == [
        "Id", "Names", "Image", "ImageID", "Command", "Created", "Ports", "Labels", "State", "Status", "HostConfig",
        "NetworkSettings", "Mounts",
    ]  # fmt: skip


def test_summary_shows_what_docker_ps_prints() -> None:
    """A name has a slash, the time is a number, a word with a blank is quoted, an exposed port is listed without a host."""
    summary = render_container_summary(RECORD, now=NOW)
    assert summary["Names"] == ["/web"]
    assert summary["Created"] == 1767225600
    assert summary["Command"] == "nginx -g 'daemon off;'"
    assert summary["Ports"] == [
        {"IP": "0.0.0.0", "PrivatePort": 80, "PublicPort": 8080, "Type": "tcp"},
        {"PrivatePort": 443, "Type": "tcp"},
    ]
    assert summary["Mounts"] == [
        {"Type": "volume", "Name": "v", "Source": "/v/_data", "Destination": "/data", "Driver": "local", "Mode": "z",
         "RW": True, "Propagation": ""}
    ]  # fmt: skip


def test_summary_has_sizes_only_when_they_were_measured() -> None:
    """Measuring walks a file system, so `docker ps -s` has to ask for it."""
    assert "SizeRw" not in render_container_summary(RECORD, now=NOW)
    sized = render_container_summary(RECORD, now=NOW, sizes=(3, 10))
    assert (sized["SizeRw"], sized["SizeRootFs"]) == (3, 10)


def test_summary_of_a_container_that_ended_has_no_ports() -> None:
    """Ports and address are given back when it ends; the network keeps its name."""
    ended = replace(RECORD, state=replace(RUNNING, status=Status.EXITED), endpoints=())
    summary = render_container_summary(ended, now=NOW)
    assert summary["Ports"] == []
    settings = summary["NetworkSettings"]
    assert isinstance(settings, dict)
    assert isinstance(settings["Networks"], dict)
    assert [*settings["Networks"]] == ["bridge"]


def test_details_say_where_the_files_are() -> None:
    """The paths with which one can look at a container from outside."""
    details = render_container_details(RECORD, directory="/d/containers/x", layers_directory="/d/layers")
    assert details["LogPath"] == ""
    assert details["HostsPath"] == "/d/containers/x/hosts"
    driver = details["GraphDriver"]
    assert isinstance(driver, dict)
    assert isinstance(driver["Data"], dict)
    assert driver["Data"]["LowerDir"] == "/d/layers/top/diff:/d/layers/base/diff"


def test_details_separate_the_program_from_its_arguments() -> None:
    """`Path` and `Args` are entrypoint and command together."""
    record = replace(RECORD, config=replace(RECORD.config, entrypoint=("/entry", "-v")))
    details = render_container_details(record, directory="/d", layers_directory="/l")
    assert (details["Path"], details["Args"]) == ("/entry", ["-v", "nginx", "-g", "daemon off;"])


def test_details_print_null_where_go_has_a_nil_list() -> None:
    """`docker inspect --format '{{json .HostConfig.Binds}}'` prints null; scripts compare."""
    details = render_container_details(RECORD, directory="/d", layers_directory="/l")
    host = details["HostConfig"]
    assert isinstance(host, dict)
    assert host["Binds"] is None
    assert host["CapAdd"] is None
    assert host["Dns"] == []
    config = details["Config"]
    assert isinstance(config, dict)
    assert config["OnBuild"] is None


def test_details_show_addresses_under_the_network_and_beside_it() -> None:
    """Old clients read the default network's address from the outer object."""
    settings = render_container_details(RECORD, directory="/d", layers_directory="/l")["NetworkSettings"]
    assert isinstance(settings, dict)
    networks = settings["Networks"]
    assert isinstance(networks, dict)
    assert isinstance(networks["bridge"], dict)
    assert settings["IPAddress"] == networks["bridge"]["IPAddress"] == "172.17.0.2"
    assert settings["Ports"] == {"80/tcp": [{"HostIp": "0.0.0.0", "HostPort": "8080"}], "443/tcp": None}


def test_time_never_is_zero() -> None:
    """Go's zero time lies before 1970; as a number it means "not yet"."""
    assert parse_time(ZERO_TIME) == 0.0
    assert parse_time("2026-01-01T00:10:00.25Z") == NOW + 0.25
