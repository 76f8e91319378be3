"""Addresses: which subnet the next network gets, and which address of it the next container ("IP address management").

Pure: what is in use goes in, a subnet or an address comes out; who holds which address is written in the container records
and nowhere else, so that there is no second list to disagree with. Works for IPv4 and IPv6 alike. Chapter 18.
"""

from __future__ import annotations

import hashlib
import ipaddress
from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass
from typing import Final

from minidocker.errors import Conflict, Forbidden, HostError, InvalidParameter

__all__ = [
    "DEFAULT_POOLS", "AddressPool", "check_overlap", "choose_address", "choose_subnet", "compute_ipv6_pool", "compute_mac_address",
    "parse_pool", "parse_subnet", "require_address",
]  # fmt: skip

Address = ipaddress.IPv4Address | ipaddress.IPv6Address
Network = ipaddress.IPv4Network | ipaddress.IPv6Network


@dataclass(frozen=True, slots=True, kw_only=True)
class AddressPool:
    """Where subnets come from: *base*, cut into pieces whose prefix is *size* long."""

    base: str
    size: int


DEFAULT_POOLS: Final = (
    *(AddressPool(base=f"172.{n}.0.0/16", size=16) for n in range(17, 32)), AddressPool(base="192.168.0.0/16", size=20),
)  # fmt: skip
"""Docker's own pools, in the order in which it tries them."""


def parse_pool(text: str) -> AddressPool:
    """Return the pool of `base=10.10.0.0/16,size=24`.

    Raises:
        InvalidParameter: another form, or pieces larger than the whole.
    """
    fields = dict(item.strip().partition("=")[::2] for item in text.split(","))
    size = fields.get("size", "")
    if set(fields) != {"base", "size"} or not size.isdecimal():
        raise InvalidParameter(f"invalid address pool `{text[:80]}`: expected base=SUBNET,size=LENGTH")
    base = parse_subnet(fields["base"])
    if not base.prefixlen <= int(size) <= base.max_prefixlen:
        raise InvalidParameter(f"invalid address pool `{text[:80]}`: pieces of size {size} do not fit into {base}")
    return AddressPool(base=str(base), size=int(size))


def parse_subnet(text: str) -> Network:
    """Return the subnet that *text* names; bits behind the prefix are dropped, as in Docker.

    Raises:
        InvalidParameter: it is none.
    """
    try:
        return ipaddress.ip_network(text, strict=False)
    except ValueError as error:
        raise InvalidParameter(f"invalid network config:\ninvalid subnet {text[:60]}: {error}") from error


def choose_subnet(taken: Iterable[str], *, pools: Iterable[AddressPool] = DEFAULT_POOLS) -> str:
    """Return the first piece of *pools* that overlaps nothing in *taken* (networks, and addresses and routes of the host).

    The default route overlaps everything and is left out.

    Raises:
        HostError: all are in use.
    """
    used = [n for text in taken if (n := ipaddress.ip_network(text, strict=False)).prefixlen > 0]
    for pool in pools:
        for candidate in _pieces(pool, used):
            return candidate
    raise HostError(
        "all predefined address pools have been fully subnetted",
        hint="name one with --subnet, give the server more with --default-address-pool, or remove networks that are not needed",
    )


def _pieces(pool: AddressPool, used: Collection[Network]) -> Iterator[str]:
    """Yield the free pieces of *pool*; one that is taken is passed in one step, however large what takes it."""
    base = parse_subnet(pool.base)
    step = 1 << (base.max_prefixlen - pool.size)
    start = int(base.network_address)
    while start <= int(base.broadcast_address):
        piece = type(base)((start, pool.size))
        blocker = next((n for n in used if n.version == piece.version and n.overlaps(piece)), None)
        if blocker is None:
            yield str(piece)
            start += step
        else:
            start = max(start + step, (int(blocker.broadcast_address) // step + 1) * step)


def check_overlap(subnet: str, taken: Iterable[str]) -> None:
    """Refuse a subnet that somebody named if a network has a part of it.

    Raises:
        Forbidden: in Docker's words.
    """
    wanted = parse_subnet(subnet)
    for text in taken:
        other = parse_subnet(text)
        if other.version == wanted.version and other.prefixlen and wanted.overlaps(other):
            raise Forbidden(
                "invalid pool request: Pool overlaps with other one on this address space",
                hint=f"{wanted} and {other} have addresses in common",
            )


def compute_ipv6_pool(data_root: str) -> AddressPool:
    """Return the pool of a server that was given none: unique local addresses (RFC 4193), the same after every start."""
    identity = hashlib.sha256(f"ula of {data_root}".encode()).digest()[:5]
    return AddressPool(base=str(ipaddress.IPv6Network((b"\xfd" + identity + bytes(10), 48))), size=64)


def choose_address(subnet: str, in_use: Collection[str], *, ip_range: str = "", name: str = "") -> str:
    """Return the lowest address of *ip_range* (or the whole subnet) that is not *in_use*; never the first or last of all.

    Raises:
        HostError: every address is in use.
    """
    whole = ipaddress.ip_network(subnet)
    pool = ipaddress.ip_network(ip_range, strict=False) if ip_range else whole
    used = {int(ipaddress.ip_address(text)) for text in in_use if text}
    first, last = int(pool.network_address), int(pool.broadcast_address)
    number = next((n for n in _numbers(first, last) if n not in used and _is_usable(whole, n)), None)
    if number is None:
        where = f"network's address pools: {name}" if name else f"subnet `{subnet}`"
        raise HostError(
            f"no available IPv{whole.version} addresses on this {where}", hint="remove containers that are not needed"
        )
    return str(type(whole.network_address)(number))


def _numbers(first: int, last: int) -> Iterator[int]:
    """Count from *first* to *last*; a range of Python ends at 2^63."""
    while first <= last:
        yield first
        first += 1


def _is_usable(subnet: Network, number: int) -> bool:
    """Whether a card can have this address: not the subnet's own, and in IPv4 not the one for everybody."""
    if subnet.prefixlen >= subnet.max_prefixlen - 1:
        return True
    return number != int(subnet.network_address) and (subnet.version == 6 or number != int(subnet.broadcast_address))


def require_address(subnet: str, address: str, in_use: Collection[str]) -> str:
    """Return *address*, which somebody asked for by name, if it can be given away.

    Raises:
        InvalidParameter: it is no address, or lies outside of *subnet*.
        Conflict: somebody has it.
    """
    network = ipaddress.ip_network(subnet)
    try:
        wanted = ipaddress.ip_address(address)
    except ValueError as error:
        raise InvalidParameter(f"invalid IPv{network.version} address: {address[:60]}") from error
    if wanted not in network or not _is_usable(network, int(wanted)):
        raise InvalidParameter(f"no configured subnet contains IP address {address}", hint=f"the network's is {subnet}")
    if str(wanted) in in_use:
        raise Conflict("Address already in use", hint=f"{address} belongs to the host or to another container")
    return str(wanted)


def compute_mac_address(address: str) -> str:
    """Return the hardware address for an address: `172.17.0.2` → `02:42:ac:11:00:02`, for IPv6 its last four bytes.

    The second bit of the first byte says "administered locally". Made from the address it is unique on the bridge, and
    neighbours' ARP entries stay right when the address is used again.
    """
    return (b"\x02\x42" + ipaddress.ip_address(address).packed[-4:]).hex(":")
