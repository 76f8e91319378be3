"""Netlink sockets: ask the kernel's network stack, and hear why it refused.

Acting. The messages are made by `minidocker.codec.rtnetlink` and `minidocker.codec.nftables`; here they are sent, and the
answers collected. Every function takes the socket first: a netlink socket belongs for good to the network namespace in
which it was opened, so one opened inside a container goes on configuring that container wherever its owner is.

Rule: a refusal is `OSError(errno, text, object)`, where *text* is the kernel's own explanation if it gives one
(NETLINK_EXT_ACK). Several requests travel in one send(2); each is answered on its own. See netlink(7). Chapter 18.
"""

from __future__ import annotations

import os
import socket
from collections.abc import Iterable, Iterator, Sequence
from errno import EEXIST, ENODEV, ENOENT
from typing import Final

from minidocker.codec.netlink import (
    Ack,
    Message,
    Nlm,
    Nlmsg,
    number_messages,
    parse_ack,
    parse_messages,
    render_messages,
)
from minidocker.codec.rtnetlink import (
    Link,
    LinkAddress,
    Route,
    Rtm,
    add_address_request,
    add_route_request,
    change_link_request,
    create_bridge_request,
    create_veth_request,
    delete_link_request,
    disable_ipv6_address_request,
    get_link_request,
    isolate_port_request,
    list_addresses_request,
    list_links_request,
    list_routes_request,
    parse_link,
    parse_link_address,
    parse_route,
)
from minidocker.kernel.namespaces import in_network_home

__all__ = [
    "add_address", "add_route", "create_bridge", "create_veth", "delete_link", "dump", "find_link", "isolate_port", "list_addresses",
    "list_links", "list_routes", "open_netfilter_socket", "open_route_socket", "request", "require_link", "send_batch",
    "set_link_alias", "set_link_up", "set_loopback_up",
]  # fmt: skip

SOL_NETLINK: Final = 270
NETLINK_CAP_ACK: Final = 10
"""Errors repeat only the header of the request."""
NETLINK_EXT_ACK: Final = 11
"""Errors carry a text."""
NETLINK_ROUTE: Final = 0
NETLINK_NETFILTER: Final = 12

RECEIVE_BYTES: Final = 64 * 1024
"""More than the kernel puts into one datagram (32 KiB for lists)."""
SEND_BUFFER_BYTES: Final = 4 * 1024 * 1024
"""A transaction must fit into one send: about ten thousand rules."""


def _open_socket(protocol: int) -> socket.socket:
    """Return a connected netlink socket that asks for explained errors."""
    sock = in_network_home(lambda: socket.socket(socket.AF_NETLINK, socket.SOCK_RAW | socket.SOCK_CLOEXEC, protocol))
    try:
        for option in (NETLINK_EXT_ACK, NETLINK_CAP_ACK):
            sock.setsockopt(SOL_NETLINK, option, 1)
        sock.bind((0, 0))
    except OSError:
        sock.close()
        raise
    return sock


def open_route_socket() -> socket.socket:
    """Return a socket for links, addresses and routes of the calling thread's network namespace; see rtnetlink(7)."""
    return _open_socket(NETLINK_ROUTE)


def open_netfilter_socket() -> socket.socket:
    """Return a socket for the packet filter of the calling thread's network namespace."""
    sock = _open_socket(NETLINK_NETFILTER)
    # Past the limit of net.core.wmem_max only CAP_NET_ADMIN in the initial user namespace may go; the default size is
    # enough for about five hundred rules.
    option = getattr(socket, "SO_SNDBUFFORCE", 32)
    try:
        sock.setsockopt(socket.SOL_SOCKET, option, SEND_BUFFER_BYTES)
    except PermissionError:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, SEND_BUFFER_BYTES)
    return sock


def _raise_refusal(ack: Ack, subject: str) -> None:
    """Raise what the kernel answered, unless it agreed."""
    if ack.errno:
        raise OSError(ack.errno, ack.text or os.strerror(ack.errno), subject or None)


def _first_sequence() -> int:
    """Return a sequence number that an answer left over from an earlier request does not carry."""
    return int.from_bytes(os.urandom(4), "little")


def request(sock: socket.socket, *messages: Message, subject: str = "") -> None:
    """Send *messages* in one go and wait until each is done.

    All are carried out, in order, whether or not an earlier one failed.

    Raises:
        OSError: the first refusal; *subject* is its file name.
    """
    numbered = number_messages(messages, first=_first_sequence())
    sock.send(render_messages(numbered))
    waiting = {m.sequence for m in numbered if m.flags & Nlm.ACK}
    acks: list[Ack] = []
    while waiting:
        for answer in parse_messages(sock.recv(RECEIVE_BYTES)):
            if answer.type == Nlmsg.ERROR and answer.sequence in waiting:
                waiting.discard(answer.sequence)
                acks.append(parse_ack(answer))
    for ack in acks:
        _raise_refusal(ack, subject)


def send_batch(sock: socket.socket, messages: Sequence[Message], *, subject: str = "") -> None:
    """Send one nf_tables transaction: all of *messages* take effect together, or none does.

    Only the last message but the end mark asks for an acknowledgement; every refused one is answered anyway.

    Raises:
        OSError: the first refusal; nothing was changed.
    """
    numbered = number_messages(messages, first=_first_sequence())
    waiting = {m.sequence for m in numbered if m.flags & Nlm.ACK}
    sequences = {m.sequence for m in numbered}
    sock.send(render_messages(numbered))
    refusal: Ack | None = None
    while waiting and refusal is None:
        for answer in parse_messages(sock.recv(RECEIVE_BYTES)):
            if answer.type != Nlmsg.ERROR or answer.sequence not in sequences:
                continue
            ack = parse_ack(answer)
            waiting.discard(ack.sequence)
            if ack.errno and refusal is None:
                refusal = ack
    if refusal is not None:
        _raise_refusal(refusal, subject)


def dump(sock: socket.socket, message: Message, *, subject: str = "") -> Iterator[Message]:
    """Yield the things that a "list" or "get" request returns.

    Raises:
        OSError: the kernel refused.
    """
    (numbered,) = number_messages((message,), first=_first_sequence())
    sock.send(render_messages((numbered,)))
    found: list[Message] = []
    is_done = False
    while not is_done:
        for answer in parse_messages(sock.recv(RECEIVE_BYTES)):
            if answer.sequence != numbered.sequence:
                continue
            if answer.type in (Nlmsg.ERROR, Nlmsg.DONE):
                _raise_refusal(parse_ack(answer), subject)
                is_done = True
            else:
                found.append(answer)
                is_done = is_done or not answer.flags & Nlm.MULTI
    yield from found


def create_bridge(sock: socket.socket, name: str, *, mac_address: str = "", mtu: int = 0) -> Link:
    """Make a bridge that is up, and return it."""
    request(sock, create_bridge_request(name, mac_address=mac_address, mtu=mtu), subject=name)
    return require_link(sock, name)


def create_veth(
    sock: socket.socket, *, host_name: str, container_name: str, container_netns_fd: int, bridge_index: int = 0,
    mac_address: str = "", mtu: int = 0,
) -> None:  # fmt: skip
    """Make a veth pair in one message: one end up on the bridge, the other down inside the container's namespace."""
    message = create_veth_request(
        host_name=host_name, container_name=container_name, container_netns_fd=container_netns_fd,
        bridge_index=bridge_index, mac_address=mac_address, mtu=mtu,
    )  # fmt: skip
    request(sock, message, subject=host_name)


def set_link_up(sock: socket.socket, link: str | int, *, ipv6: bool = True) -> None:
    """Switch *link* on; without *ipv6* it makes itself no link-local address."""
    up = change_link_request(link, up=True)
    # first the mode, then up: the address is made at the moment in which the link comes up
    messages = (up,) if ipv6 else (disable_ipv6_address_request(link), up)
    request(sock, *messages, subject=str(link))


def set_loopback_up(sock: socket.socket) -> None:
    """Switch `lo` on; it gets its addresses by itself."""
    request(sock, change_link_request("lo", up=True), subject="lo")


def set_link_alias(sock: socket.socket, link: str | int, alias: str) -> None:
    """Give *link* a text for people, which `ip link` shows."""
    request(sock, change_link_request(link, alias=alias), subject=str(link))


def isolate_port(sock: socket.socket, link: str) -> None:
    """Let a port of a bridge reach no other port that is isolated, only the host; see bridge(8), `isolated`."""
    request(sock, isolate_port_request(require_link(sock, link).index), subject=link)


def delete_link(sock: socket.socket, link: str | int) -> bool:
    """Delete *link* and return whether it was there; of a veth pair both ends go."""
    try:
        request(sock, delete_link_request(link), subject=str(link))
    except OSError as error:
        if error.errno in (ENODEV, ENOENT):
            return False
        raise
    return True


def find_link(sock: socket.socket, name: str | int) -> Link | None:
    """Return the link called (or numbered) *name*."""
    try:
        answers = list(dump(sock, get_link_request(name), subject=str(name)))
    except OSError as error:
        if error.errno in (ENODEV, ENOENT):
            return None
        raise
    return next((parse_link(answer) for answer in answers if answer.type == Rtm.NEWLINK), None)


def require_link(sock: socket.socket, name: str | int) -> Link:
    """Return the link called *name*.

    Raises:
        OSError: ENODEV, there is none.
    """
    link = find_link(sock, name)
    if link is None:
        raise OSError(ENODEV, os.strerror(ENODEV), str(name))
    return link


def list_links(sock: socket.socket) -> tuple[Link, ...]:
    """Return all links."""
    return tuple(parse_link(m) for m in _only(dump(sock, list_links_request()), Rtm.NEWLINK))


def add_address(sock: socket.socket, link: str | int, address: str) -> None:
    """Give *link* an address with its prefix length, such as `172.17.0.2/16`; an address that it has is fine."""
    index = link if isinstance(link, int) else require_link(sock, link).index
    try:
        request(sock, add_address_request(index, address), subject=f"{address} on {link}")
    except OSError as error:
        if error.errno != EEXIST:
            raise


def list_addresses(sock: socket.socket, *, family: int = 0) -> tuple[LinkAddress, ...]:
    """Return the addresses of all links; see `minidocker.codec.rtnetlink.AF_INET`."""
    return tuple(parse_link_address(m) for m in _only(dump(sock, list_addresses_request(family=family)), Rtm.NEWADDR))


def add_route(sock: socket.socket, gateway: str, *, destination: str = "", replace: bool = False) -> None:
    """Send packets to *destination* (empty: to everywhere else) by way of *gateway*; with *replace* instead of another."""
    request(sock, add_route_request(destination=destination, gateway=gateway, replace=replace), subject=destination or f"default via {gateway}")


def list_routes(sock: socket.socket) -> tuple[Route, ...]:
    """Return the IPv4 routes of all tables."""
    return tuple(parse_route(m) for m in _only(dump(sock, list_routes_request()), Rtm.NEWROUTE))


def _only(messages: Iterable[Message], kind: int) -> Iterator[Message]:
    """Yield the messages of type *kind*."""
    return (m for m in messages if m.type == kind)
