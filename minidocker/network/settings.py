"""What a server is told about networks when it starts. Pure. Chapter 18."""

from __future__ import annotations

import ipaddress
from collections.abc import Sequence
from dataclasses import dataclass

from minidocker.errors import InvalidParameter
from minidocker.network.bridge import DEFAULT_MTU
from minidocker.network.ipam import DEFAULT_POOLS, AddressPool, parse_pool, parse_subnet

__all__ = ["NetworkSettings", "read_network_settings"]


@dataclass(frozen=True, slots=True, kw_only=True)
class NetworkSettings:
    """The flags of `minidocker daemon` that are about networks."""

    host_ip: str = "0.0.0.0"
    """`--ip`: where ports are published when nobody says; `127.0.0.1` keeps them on this machine."""
    pools: tuple[AddressPool, ...] = DEFAULT_POOLS
    """`--default-address-pool`."""
    bridge_address: str = ""
    """`--bip`: address and prefix length of the default bridge; empty: the first subnet of *pools* that is free."""
    bridge_subnet6: str = ""
    """`--fixed-cidr-v6`: IPv6 subnet of the default bridge; empty: it has no IPv6."""
    icc: bool = True
    """`--icc`: whether containers on the default bridge reach each other."""
    mtu: int = DEFAULT_MTU
    dns: tuple[str, ...] = ()
    dns_search: tuple[str, ...] = ()
    dns_options: tuple[str, ...] = ()
    way_out_dns: str = ""
    """Where the program that carries a rootless server's packets answers questions about names; for containers on bridges."""
    host_gateway: str = ""
    """`--host-gateway-ip`: what `host-gateway` stands for; empty: the default bridge's own address."""


def read_network_settings(
    *, host_ip: str, pools: Sequence[str], bridge_address: str, bridge_subnet6: str, icc: bool, mtu: int, dns: Sequence[str],
    dns_search: Sequence[str], dns_options: Sequence[str], host_gateway: str,
) -> NetworkSettings:  # fmt: skip
    """Return the settings that the texts of flags say.

    Raises:
        InvalidParameter: an address, subnet or pool that is none.
    """
    for flag, text in (("--ip", host_ip), ("--host-gateway-ip", host_gateway), *(("--dns", server) for server in dns)):
        if text and not _is_address(text):
            raise InvalidParameter(f"invalid address for {flag}: `{text[:60]}`")
    if bridge_address:
        try:
            address = ipaddress.IPv4Interface(bridge_address)
        except ValueError as error:
            raise InvalidParameter(f"invalid address for --bip: {error}", hint="it is like 10.9.0.1/24") from error
        if address.network.prefixlen > 30:
            raise InvalidParameter(f"invalid address for --bip: {address.network} has no room for containers")
    if bridge_subnet6 and parse_subnet(bridge_subnet6).version != 6:
        raise InvalidParameter(f"invalid subnet for --fixed-cidr-v6: `{bridge_subnet6}` is not IPv6")
    return NetworkSettings(
        host_ip=host_ip or "0.0.0.0", pools=tuple(map(parse_pool, pools)) or DEFAULT_POOLS, bridge_address=bridge_address,
        bridge_subnet6=bridge_subnet6, icc=icc, mtu=mtu or DEFAULT_MTU, dns=tuple(dns), dns_search=tuple(dns_search),
        dns_options=tuple(dns_options), host_gateway=host_gateway,
    )  # fmt: skip


def _is_address(text: str) -> bool:
    try:
        ipaddress.ip_address(text.partition("%")[0])
    except ValueError:
        return False
    return True
