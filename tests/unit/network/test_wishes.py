"""Wishes: three places where clients say which networks they want, one map of it."""

from __future__ import annotations

import pytest

from minidocker.errors import InvalidParameter
from minidocker.network.wishes import complete_wishes, is_user_defined, parse_link
from minidocker.spec.container import EndpointAddresses, EndpointConfig, NetworkingConfig


def wishes(mode: str, **endpoints: EndpointConfig | None) -> list[str]:
    """Return the names of the networks, in order."""
    return list(complete_wishes(mode, NetworkingConfig(endpoints_config=endpoints)))


def test_network_of_the_mode_comes_first_and_is_always_there() -> None:
    """`eth0` is on it; docker-py sends `null` for a network without wishes, old clients no map at all."""
    assert wishes("web", db=None, web=None) == ["web", "db"]
    assert wishes("") == wishes("default") == wishes("bridge", default=EndpointConfig()) == ["bridge"]
    assert wishes("container:x") == []


def test_ids_become_names() -> None:
    """A network is known by its name in what `inspect` shows, whatever the client called it."""
    config = NetworkingConfig(endpoints_config={"0123": EndpointConfig(aliases=("www",))})
    found = complete_wishes("0123", config, resolve={"0123": "web"}.__getitem__)
    assert found == {"web": EndpointConfig(aliases=("www",))}


def test_mac_address_of_old_clients_is_that_of_the_first_network() -> None:
    """`Config.MacAddress` is from the time when there was one network; two different ones contradict each other."""
    config = NetworkingConfig(endpoints_config={"web": EndpointConfig(mac_address="02:42:00:00:00:01")})
    assert complete_wishes("web", NetworkingConfig(), mac_address="02:42:00:00:00:02")["web"].mac_address == "02:42:00:00:00:02"
    with pytest.raises(InvalidParameter, match="conflicting MAC-addresses"):
        complete_wishes("web", config, mac_address="02:42:00:00:00:02")


@pytest.mark.parametrize(
    ("mode", "wish", "text"),
    [
        ("bridge", EndpointConfig(aliases=("a",)), "network-scoped alias is supported only for containers in user defined networks"),
        (
            "bridge", EndpointConfig(ipam_config=EndpointAddresses(ipv4_address="10.0.0.2")),
            "user specified IP address is supported on user defined networks only",
        ),
        ("web", EndpointConfig(ipam_config=EndpointAddresses(ipv4_address="fd00::2")), "invalid IPv4 address: fd00::2"),
        ("web", EndpointConfig(mac_address="nonsense"), "invalid MAC address"),
        ("web", EndpointConfig(links=("a:b:c",)), "bad format for links"),
    ],
)  # fmt: skip
def test_wish_that_cannot_be_is_refused_in_dockers_words(mode: str, wish: EndpointConfig, text: str) -> None:
    """At create, before anything exists."""
    with pytest.raises(InvalidParameter, match=text):
        complete_wishes(mode, NetworkingConfig(endpoints_config={mode: wish}))


@pytest.mark.parametrize("mode", ["host", "none", "container:x"])
def test_networks_that_exclude_each_other_are_refused(mode: str) -> None:
    """Who lives in the host's namespace, in another container's or in none cannot have cards of its own."""
    with pytest.raises(InvalidParameter, match="cannot attach both user-defined and non-user-defined network-modes"):
        complete_wishes(mode, NetworkingConfig(endpoints_config={"web": None}))


def test_link_names_a_container_and_what_it_is_called() -> None:
    """Docker keeps them as `/db:/web/database`; without an alias the name is the alias."""
    assert parse_link("/db:/web/database") == ("db", "database")
    assert parse_link("db") == ("db", "db")


def test_only_networks_that_somebody_made_are_user_defined() -> None:
    """Names, aliases and fixed addresses are theirs."""
    assert [m for m in ("", "default", "bridge", "host", "none", "container:x", "web") if is_user_defined(m)] == ["web"]
