"""Wishes: which networks a container wants to join, in which order, with which addresses and names.

Pure. Old and new clients say it in three places: `HostConfig.NetworkMode` names the first network, `EndpointsConfig` says
more about each, `Config.MacAddress` is from the time when there was one. `complete_wishes` makes one map of it, by the
networks' names; what a wish cannot be is refused in Docker's words. Chapter 18.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Final

from minidocker.codec.rtnetlink import parse_mac_address
from minidocker.errors import InvalidParameter
from minidocker.network.record import BUILT_IN_NETWORKS, NetworkRecord
from minidocker.spec.container import EndpointAddresses, EndpointConfig, NetworkingConfig

__all__ = ["Wishes", "check_wish", "complete_wishes", "is_user_defined", "parse_link"]

Wishes = Mapping[str, EndpointConfig]
"""Network name → how to join it, the network of the container's mode first."""

_DEFAULT_NAMES: Final = ("", "default", "bridge")


def is_user_defined(name: str) -> bool:
    """Whether a network mode names a network that somebody made."""
    return name not in BUILT_IN_NETWORKS and name not in _DEFAULT_NAMES and not name.startswith("container:")


def complete_wishes(
    mode: str, config: NetworkingConfig, *, mac_address: str = "", resolve: Callable[[str], str] = lambda name: name
) -> Wishes:
    """Return what a container with network *mode* wishes; *resolve* turns a network's id into its name.

    Raises:
        InvalidParameter: networks that exclude each other, or a wish that cannot be.
    """
    given: dict[str, EndpointConfig] = {}
    for key, value in config.endpoints_config.items():
        given[_canonical(key, resolve)] = value or EndpointConfig()
    if mode.startswith("container:"):
        if given and set(given) != {mode}:
            raise InvalidParameter("conflicting options: cannot attach both user-defined and non-user-defined network-modes")
        return {}
    first = _canonical(mode, resolve)
    if first in ("host", "none") and set(given) - {first}:
        raise InvalidParameter("conflicting options: cannot attach both user-defined and non-user-defined network-modes")
    own = given.pop(first, EndpointConfig())
    if mac_address and own.mac_address and own.mac_address.lower() != mac_address.lower():
        raise InvalidParameter("conflicting MAC-addresses specified: the container-wide one and the endpoint's are different")
    wishes = {first: replace(own, mac_address=own.mac_address or mac_address), **given}
    for name, wish in wishes.items():
        check_wish(name, wish)
    return wishes


def _canonical(name: str, resolve: Callable[[str], str]) -> str:
    return "bridge" if name in _DEFAULT_NAMES else name if name in BUILT_IN_NETWORKS else resolve(name)


def check_wish(name: str, wish: EndpointConfig, network: NetworkRecord | None = None) -> None:
    """Refuse what a container cannot have in the network called *name*; with *network* also what that one cannot give.

    Raises:
        InvalidParameter: in Docker's words.
    """
    addresses = wish.ipam_config or EndpointAddresses()
    wanted = [text for text in (addresses.ipv4_address, addresses.ipv6_address) if text]
    if wish.mac_address:
        parse_mac_address(wish.mac_address)
    for version, text in ((4, addresses.ipv4_address), (6, addresses.ipv6_address)):
        if text and not _is_address(text, version):
            raise InvalidParameter(f"invalid endpoint settings:\ninvalid IPv{version} address: {text[:60]}")
    if name in BUILT_IN_NETWORKS:
        if wanted:
            raise InvalidParameter("invalid endpoint settings:\nuser specified IP address is supported on user defined networks only")
        if wish.aliases:
            raise InvalidParameter(
                "invalid endpoint settings:\nnetwork-scoped alias is supported only for containers in user defined networks"
            )
        return
    for link in wish.links:
        parse_link(link)
    for version, text in ((4, addresses.ipv4_address), (6, addresses.ipv6_address)):
        if text and network is not None and network.config(version) is None:
            raise InvalidParameter(
                f"invalid endpoint settings:\nuser specified IP address is supported only when connecting to networks with "
                f"user configured subnets: {name} has no IPv{version}"
            )


def _is_address(text: str, version: int) -> bool:
    try:
        return ipaddress.ip_address(text).version == version
    except ValueError:
        return False


def parse_link(text: str) -> tuple[str, str]:
    """Return container and alias of `CONTAINER[:ALIAS]`.

    Raises:
        InvalidParameter: another form.
    """
    parts = text.split(":")
    if len(parts) > 2 or not all(parts):
        raise InvalidParameter(f"bad format for links: {text[:80]}")
    container = parts[0].removeprefix("/")
    return container, (parts[1] if len(parts) == 2 else container).rpartition("/")[2]
