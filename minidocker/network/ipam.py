"""Addresses: which one of a subnet the next container gets ("IP address management").

Pure: the set of addresses in use goes in, an address comes out; who holds which address is written in the container
records and nowhere else, so that there is no second list to disagree with. Chapter 18.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Collection

from minidocker.errors import Conflict, HostError, InvalidParameter

__all__ = ["choose_address", "compute_mac_address", "require_address"]


def choose_address(subnet: str, in_use: Collection[str]) -> str:
    """Return the lowest address of *subnet* that is not *in_use* (the gateway's is); never the first or last of all.

    Raises:
        HostError: every address is in use.
    """
    network = ipaddress.IPv4Network(subnet)
    address = next((text for text in map(str, network.hosts()) if text not in in_use), None)
    if address is None:
        raise HostError(f"no available IPv4 addresses in subnet `{subnet}`", hint="remove containers that are not needed")
    return address


def require_address(subnet: str, address: str, in_use: Collection[str]) -> str:
    """Return *address*, which somebody asked for by name, if it can be given away.

    Raises:
        InvalidParameter: it is no address, or lies outside of *subnet*.
        Conflict: somebody has it.
    """
    try:
        wanted = ipaddress.IPv4Address(address)
    except ValueError as error:
        raise InvalidParameter(f"invalid IPv4 address `{address[:60]}`: {error}") from error
    network = ipaddress.IPv4Network(subnet)
    if wanted not in network or wanted in (network.network_address, network.broadcast_address):
        raise InvalidParameter(f"no configured subnet contains IP address `{address}`: the network's is `{subnet}`")
    if str(wanted) in in_use:
        raise Conflict(f"give address `{address}` to a container: Address already in use")
    return str(wanted)


def compute_mac_address(address: str) -> str:
    """Return the hardware address for an IPv4 address: `172.17.0.2` → `02:42:ac:11:00:02`.

    The second bit of the first byte says "administered locally". Made from the address it is unique on the bridge, and
    neighbours' ARP entries stay right when the address is used again.
    """
    return (b"\x02\x42" + ipaddress.IPv4Address(address).packed).hex(":")
