"""Host ports, really bound: the only sure way to learn that a port is free, and to keep it.

Acting. A bound socket does two things: nobody else can take the port, and the proxy accepts clients on it that the packet
filter does not see. The caller owns the sockets. Chapter 18.
"""

from __future__ import annotations

import ipaddress
import os
import socket
import sys
from collections.abc import Iterable
from contextlib import ExitStack, closing, suppress
from dataclasses import dataclass
from errno import EADDRINUSE
from pathlib import Path
from typing import Final

from minidocker.network.ports import HostPort, PortRequest, PortUnavailable, bind_addresses, TakenPorts, candidate_ports

__all__ = ["BoundPort", "bind_port", "find_holder", "has_ipv6"]

BACKLOG: Final = 1024
"""Clients that may wait to be accepted; the kernel cuts it to net.core.somaxconn."""

_SOCKET_TYPES: Final = {"tcp": socket.SOCK_STREAM, "udp": socket.SOCK_DGRAM}


@dataclass(frozen=True, slots=True, kw_only=True)
class BoundPort:
    """A host port that is ours, and the container port it stands for."""

    host: HostPort
    container_port: int
    listener: socket.socket | None
    """None where no proxy exists for the protocol (sctp): the packet filter alone serves it."""


def has_ipv6() -> bool:
    """Whether this host can listen on IPv6 addresses."""
    try:
        with socket.socket(socket.AF_INET6, socket.SOCK_STREAM) as probe:
            probe.bind(("::1", 0))
    except OSError:
        return False
    return True


def bind_port(
    request: PortRequest, taken: TakenPorts, *, start: int, ipv6: bool, default_ip: str = "0.0.0.0", target_ip: str
) -> tuple[BoundPort, ...]:
    """Bind the first host port that is free on every address that *request* wants.

    Raises:
        PortUnavailable: no candidate is free; the text is Docker's.
    """
    addresses = bind_addresses(request, has_ipv6=ipv6, default_ip=default_ip)
    refusal = PortUnavailable("all ports are allocated")
    for port in candidate_ports(request, start=start):
        wanted = tuple(HostPort(protocol=request.protocol, address=address, port=port) for address in addresses)
        clash = next((host for host in wanted if taken.find_clash(host)), None)
        if clash is not None:
            refusal = PortUnavailable(f"Bind for {clash} failed: port is already allocated", wanted=clash)
            continue
        try:
            return _bind_all(wanted, request.container_port)
        except OSError as error:
            target = f"{target_ip}:{request.container_port}/{request.protocol}"
            reason = (error.strerror or str(error)).lower()
            failed = next(host for host in wanted if str(host) == error.filename)
            refusal = PortUnavailable(f"failed to bind host port for {error.filename}:{target}: {reason}", wanted=failed)
            if error.errno != EADDRINUSE:
                break
    raise refusal


def _bind_all(hosts: Iterable[HostPort], container_port: int) -> tuple[BoundPort, ...]:
    """Bind every one of *hosts*, or none; the error's file name is the one that failed."""
    with ExitStack() as undo:
        bound: list[BoundPort] = []
        for host in hosts:
            listener = _bind(host)
            if listener is not None:
                undo.enter_context(closing(listener))
            bound.append(BoundPort(host=host, container_port=container_port, listener=listener))
        undo.pop_all()
    return tuple(bound)


def _bind(host: HostPort) -> socket.socket | None:
    """Return a non-blocking socket that owns *host*."""
    kind = _SOCKET_TYPES.get(host.protocol)
    if kind is None:
        return None
    family = socket.AF_INET6 if ":" in host.address else socket.AF_INET
    listener = socket.socket(family, kind | socket.SOCK_CLOEXEC | socket.SOCK_NONBLOCK)
    try:
        if family == socket.AF_INET6:
            listener.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)  # 0.0.0.0 has a socket of its own
        if kind == socket.SOCK_STREAM:
            # connections of the last owner that linger in TIME_WAIT do not matter, a live listener still does
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind((host.address, host.port))
        if kind == socket.SOCK_STREAM:
            listener.listen(BACKLOG)
    except OSError as error:
        listener.close()
        raise OSError(error.errno, os.strerror(error.errno or 0), str(host)) from error
    return listener


def find_holder(error: PortUnavailable, taken: TakenPorts) -> str:
    """Return a sentence that says who has the port in the way: a container of ours, or a process of this host; or nothing."""
    if error.wanted is None:
        return error.hint
    clash = taken.find_clash(error.wanted)
    if clash is not None:
        port, holder = clash
        return f"container `{holder}` holds {port}/{port.protocol}"
    for inode in _find_sockets(error.wanted):
        for process in Path("/proc").glob("[0-9]*"):
            with suppress(OSError):  # it ended while we looked, or is nobody's business
                if any(os.readlink(fd) == f"socket:[{inode}]" for fd in (process / "fd").iterdir()):
                    return f"process {process.name} ({(process / 'comm').read_text().strip()}) holds {error.wanted}/{error.wanted.protocol}"
    return error.hint


def _find_sockets(wanted: HostPort) -> list[str]:
    """Return the inodes of the sockets bound to *wanted*'s port on its address or on all, from `/proc/net`; see proc(5)."""
    found = []
    for name in (wanted.protocol, f"{wanted.protocol}6"):
        with suppress(OSError):  # no such protocol in this kernel
            for line in Path("/proc/net", name).read_text().splitlines()[1:]:
                words = line.split()
                address, _, port = words[1].partition(":")
                if int(port, 16) != wanted.port or (name.startswith("tcp") and words[3] != "0A"):
                    continue
                bound = _parse_proc_address(address)
                if bound in (ipaddress.ip_address(wanted.address), ipaddress.ip_address("0.0.0.0"), ipaddress.ip_address("::")) or wanted.address in ("0.0.0.0", "::"):
                    found.append(words[9])
    return found


def _parse_proc_address(text: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address:
    """Return the address in `0100007F`: words of 32 bits, each in the machine's byte order."""
    words = [bytes.fromhex(text[i : i + 8]) for i in range(0, len(text), 8)]
    return ipaddress.ip_address(b"".join(word[::-1] if sys.byteorder == "little" else word for word in words))
