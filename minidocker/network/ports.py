"""Published ports: what `-p` and `EXPOSE` ask for, and which host port each gets.

Pure. `plan_ports` turns Docker's two maps into requests; `candidate_ports` says which host ports may be tried for one, in
order. Whether a port is free only the kernel knows: `minidocker.network.listeners` really binds it. Chapter 18.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from minidocker.errors import HostError, InvalidParameter
from minidocker.spec.container import PortBinding

__all__ = [
    "EPHEMERAL_PORTS", "PROTOCOLS", "HostPort", "PortRequest", "PortUnavailable", "bind_addresses", "candidate_ports",
    "TakenPorts", "parse_port_key", "plan_ports",
]  # fmt: skip

PROTOCOLS: Final = ("tcp", "udp", "sctp")
PORT_MAX: Final = 65535
EPHEMERAL_PORTS: Final = (49153, PORT_MAX)
"""IANA's dynamic ports, from which Docker takes one when none is named."""


class PortUnavailable(HostError):
    """A host port is taken or may not be bound."""

    def __init__(self, message: str, *, hint: str = "", wanted: HostPort | None = None) -> None:
        """Keep *wanted*, the host port that cannot be had."""
        super().__init__(message, hint=hint)
        self.wanted = wanted


@dataclass(frozen=True, slots=True, kw_only=True)
class PortRequest:
    """One container port to publish on a host port between *first_port* and *last_port* (0: any ephemeral one)."""

    container_port: int
    protocol: str
    host_ip: str = ""
    """Empty means every address of the host, IPv4 and IPv6."""
    first_port: int = 0
    last_port: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class HostPort:
    """A port of this host that is spoken for."""

    protocol: str
    address: str
    port: int

    def __str__(self) -> str:
        """The form in messages: `0.0.0.0:80`, `[::]:80`."""
        return f"[{self.address}]:{self.port}" if ":" in self.address else f"{self.address}:{self.port}"


def parse_port_key(key: str) -> tuple[int, str]:
    """Return port and protocol of `80/tcp`; without a protocol it is tcp.

    Raises:
        InvalidParameter: no port, or an unknown protocol.
    """
    number, _, protocol = key.partition("/")
    protocol = protocol.lower() or "tcp"
    if protocol not in PROTOCOLS:
        raise InvalidParameter(f"invalid port `{key[:40]}`: unknown protocol `{protocol[:20]}`, expected {', '.join(PROTOCOLS)}")
    return _parse_port(number, key), protocol


def _parse_port(text: str, whole: str) -> int:
    """Return the port number in *text*, which is part of *whole*."""
    if not (text.isascii() and text.isdecimal() and len(text) <= 5 and 0 < int(text) <= PORT_MAX):
        raise InvalidParameter(f"invalid port `{whole[:40]}`: expected a number from 1 to {PORT_MAX}")
    return int(text)


def _parse_range(text: str) -> tuple[int, int]:
    """Return the ends of `8000-8010`, `8000` or nothing; `0` is nothing too."""
    if text in ("", "0"):
        return 0, 0
    first, dash, last = text.partition("-")
    low = _parse_port(first, text)
    high = _parse_port(last, text) if dash else low
    if high < low:
        raise InvalidParameter(f"invalid host port range `{text}`: the end is below the start")
    return low, high


def _parse_address(text: str) -> str:
    """Return *text* in the normal form of an IP address; empty stays empty."""
    if not text:
        return ""
    try:
        return str(ipaddress.ip_address(text.strip("[]")))
    except ValueError as error:
        raise InvalidParameter(f"invalid host address `{text[:60]}`: {error}") from error


def plan_ports(
    exposed: Iterable[str], bindings: Mapping[str, Sequence[PortBinding]], *, publish_all: bool = False
) -> tuple[PortRequest, ...]:
    """Return a request for every binding, and with *publish_all* for every exposed port that has none.

    A port whose list of bindings is empty gets an ephemeral port, as in Docker.

    Raises:
        InvalidParameter: a port, address or range that is none.
    """
    wanted: dict[tuple[int, str], Sequence[PortBinding]] = {}
    if publish_all:
        wanted |= {parse_port_key(key): () for key in exposed}
    wanted |= {parse_port_key(key): found for key, found in bindings.items()}
    requests: list[PortRequest] = []
    for (port, protocol), found in sorted(wanted.items()):
        for binding in found or (PortBinding(),):
            first, last = _parse_range(binding.host_port)
            address = _parse_address(binding.host_ip)
            requests.append(
                PortRequest(container_port=port, protocol=protocol, host_ip=address, first_port=first, last_port=last)
            )
    # Fixed ports first: an ephemeral one must not take what another binding names.
    return tuple(sorted(requests, key=lambda r: r.first_port == 0))


def candidate_ports(request: PortRequest, *, start: int) -> Iterator[int]:
    """Yield the host ports to try; ephemeral ones from *start* on and round, so that a port just freed comes last."""
    if request.first_port:
        yield from range(request.first_port, request.last_port + 1)
        return
    low, high = EPHEMERAL_PORTS
    start = start if low <= start <= high else low
    yield from range(start, high + 1)
    yield from range(low, start)


def bind_addresses(request: PortRequest, *, has_ipv6: bool, default_ip: str = "0.0.0.0") -> tuple[str, ...]:
    """Return the host addresses to bind: the one that was named, or the server's default, which is all of both families."""
    if request.host_ip or default_ip != "0.0.0.0":
        return (request.host_ip or default_ip,)
    return ("0.0.0.0", "::") if has_ipv6 else ("0.0.0.0",)


class TakenPorts:
    """The host ports that are ours, with who has each; found by number, however many there are."""

    def __init__(self) -> None:
        """Begin with none."""
        self._holders: dict[tuple[str, int, bool], dict[HostPort, str]] = {}

    def add(self, port: HostPort, holder: str) -> None:
        """Note that *holder* has *port*."""
        self._holders.setdefault(_slot(port), {})[port] = holder

    def remove(self, port: HostPort) -> None:
        """Note that nobody has *port* any more."""
        holders = self._holders.get(_slot(port), {})
        holders.pop(port, None)
        if not holders:
            self._holders.pop(_slot(port), None)

    def find_clash(self, wanted: HostPort) -> tuple[HostPort, str] | None:
        """Return what is in the way of *wanted*, and whose: the same port on the same address, or on all of its family."""
        for other, holder in self._holders.get(_slot(wanted), {}).items():
            if other.address == wanted.address or {"0.0.0.0", "::"} & {wanted.address, other.address}:
                return other, holder
        return None


def _slot(port: HostPort) -> tuple[str, int, bool]:
    """Return what two ports have in common that can clash: protocol, number and IP version."""
    return port.protocol, port.port, ":" in port.address
