"""Bridges and rules: make the kernel agree with the plan.

Acting. `setup_bridge` and `apply_table` may be called again at any time: they end in the same state. A host without
nf_tables (`FilterUnavailable`) can still run containers with an address on the bridge; ports then go through the proxy
only, and nothing is masqueraded. See rtnetlink(7), `ip-sysctl` in the kernel's documentation. Chapter 18.
"""

from __future__ import annotations

import socket
from collections.abc import Collection, Iterable
from contextlib import suppress
from pathlib import Path

from minidocker.codec.conntrack import UDP, delete_flow_request, list_flows_request, parse_flow
from minidocker.codec.netlink import Message
from minidocker.codec.nft_messages import (
    delete_table_messages, list_chains_request, parse_hooked_chain, render_batch, replace_table_messages,
)  # fmt: skip
from minidocker.codec.nftables import Table
from minidocker.codec.rtnetlink import AF_INET
from minidocker.errors import HostError
from minidocker.kernel import netlink
from minidocker.kernel.namespaces import in_network_home
from minidocker.network.bridge import Bridge, adopt_bridge
from minidocker.network.ipam import compute_mac_address
from minidocker.network.rules import Forward

__all__ = [
    "FilterUnavailable", "apply_table", "change_table", "find_blocking_chains", "find_bridge", "find_own_bridges", "forget_flows", "list_taken_networks",
    "read_host_resolv_conf", "remove_stale_ports", "setup_bridge", "teardown_bridge", "teardown_table", "write_sysctl",
]  # fmt: skip

SYSTEMD_STUB = "127.0.0.53"
"""systemd-resolved's address, which means nothing inside a container."""


class FilterUnavailable(HostError):
    """The kernel has no nf_tables, or lacks one of the expressions."""


def list_taken_networks(route: socket.socket, *, own: Collection[str]) -> tuple[str, ...]:
    """Return the addresses and IPv4 routes of this host that a subnet must keep away from; those of links *own* are ours."""
    ours = {link.index for link in netlink.list_links(route) if link.name in own}
    addresses = (a.address for a in netlink.list_addresses(route, family=AF_INET) if a.link_index not in ours)
    routes = (r.destination for r in netlink.list_routes(route) if r.link_index not in ours)
    return *addresses, *routes


def find_bridge(route: socket.socket, name: str) -> Bridge | None:
    """Return the bridge called *name* as it stands in the kernel; one without an address is none."""
    link = netlink.find_link(route, name)
    if link is None or link.kind != "bridge":
        return None
    addresses = netlink.list_addresses(route, family=AF_INET)
    subnet = next((a.address for a in addresses if a.link_index == link.index), None)
    return adopt_bridge(name, subnet) if subnet else None


def setup_bridge(route: socket.socket, bridge: Bridge, *, alias: str = "") -> tuple[str, ...]:
    """Make *bridge*, unless it is there, give it its address and let the host forward; return warnings.

    Raises:
        HostError: the kernel refuses, most often for want of CAP_NET_ADMIN.
    """
    try:
        if netlink.find_link(route, bridge.name) is None:
            # an own MAC address: otherwise the bridge takes the lowest of its ports' and changes it as they come and go
            mac_address = compute_mac_address(bridge.gateway or bridge.gateway6)
            netlink.create_bridge(route, bridge.name, mac_address=mac_address, mtu=bridge.mtu)
            if alias:
                netlink.set_link_alias(route, bridge.name, alias)
        for address in bridge.addresses:
            netlink.add_address(route, bridge.name, address)
    except OSError as error:
        hint = "run the server as root, or the container with `--network none` or `--network host`"
        raise HostError(f"make bridge `{bridge.name}`: {error.strerror}", hint=hint) from error
    # A container must not be able to make the host take routes from it (CVE-2020-13401).
    with suppress(FileNotFoundError, PermissionError):  # no IPv6 in this kernel, or /proc/sys read-only
        write_sysctl(f"net/ipv6/conf/{bridge.name}/accept_ra", "0")
    return _enable_forwarding(bridge)


def _enable_forwarding(bridge: Bridge) -> tuple[str, ...]:
    """Let the host pass packets between its links; return a warning for each IP version in which it cannot be told to."""
    warnings = []
    for version, subnet, path in ((4, bridge.subnet, "net/ipv4/ip_forward"), (6, bridge.subnet6, "net/ipv6/conf/all/forwarding")):
        try:
            if subnet and not bridge.internal:
                write_sysctl(path, "1")
        except OSError as error:
            reason = f"IPv{version} forwarding is off and cannot be switched on ({error.strerror})"
            warnings.append(f"{reason}: containers do not reach other hosts")
    return tuple(warnings)


def write_sysctl(path: str, value: str) -> None:
    """Set a kernel parameter under `/proc/sys`, unless it has that value already."""

    def write() -> None:
        file = Path("/proc/sys", path)
        if file.read_text().strip() != value:
            file.write_text(value)

    in_network_home(write)


def apply_table(netfilter: socket.socket, table: Table) -> None:
    """Replace our table by *table*, in one transaction: no packet ever meets half of it.

    Raises:
        FilterUnavailable: the kernel refused; nothing was changed.
    """
    _send(netfilter, table.name, render_batch(replace_table_messages(table)))


def change_table(netfilter: socket.socket, name: str, messages: Iterable[Message]) -> None:
    """Carry out a change to the elements of our table, all of it or nothing.

    Raises:
        FilterUnavailable: the kernel's table is not the one that we think it is.
    """
    _send(netfilter, name, render_batch(messages))


def forget_flows(netfilter: socket.socket, route: socket.socket, forwards: Iterable[Forward]) -> None:
    """Let the next datagram to each UDP port of *forwards* be looked up again: the kernel remembers where it sent the last one.

    Flows to other hosts' ports are none of ours. TCP needs no such thing: a new owner's client makes a new connection.
    """
    ports = {forward.host_port for forward in forwards if forward.protocol == "udp"}
    if not ports:
        return
    own = {address.address.partition("/")[0] for address in netlink.list_addresses(route)}
    with suppress(OSError):  # a kernel that cannot list flows: they end after three minutes of silence
        for flow in [parse_flow(m) for m in netlink.dump(netfilter, list_flows_request())]:
            if flow is not None and flow.protocol == UDP and flow.destination_port in ports and flow.destination in own:
                with suppress(FileNotFoundError):  # it ended by itself
                    netlink.request(netfilter, delete_flow_request(flow))


def find_blocking_chains(netfilter: socket.socket, *, own: str) -> tuple[str, ...]:
    """Return a sentence for each chain of somebody else that drops forwarded packets which none of its rules accepts.

    A packet must pass every chain of a hook: our accept does not help where another firewall says no.
    """
    try:
        chains = [parse_hooked_chain(m) for m in netlink.dump(netfilter, list_chains_request())]
    except OSError:
        return ()  # a kernel that cannot list them: nothing is known, nothing is said
    return tuple(
        f"another firewall (table `{c.family} {c.table}`, chain `{c.name}`) drops forwarded packets by default: published ports "
        f"and the way out of containers may be closed until it accepts the bridges of table `inet {own}`"
        for c in chains
        if c is not None and c.hook == "forward" and c.policy == "drop" and c.table != own
    )


def find_own_bridges(route: socket.socket, alias: str) -> set[str]:
    """Return the names of the bridges that carry *alias*: those that this server or its predecessor made."""
    return {link.name for link in netlink.list_links(route) if link.kind == "bridge" and link.alias == alias}


def teardown_table(netfilter: socket.socket, name: str) -> None:
    """Delete our table, whether or not it is there.

    Raises:
        FilterUnavailable: the kernel refused.
    """
    _send(netfilter, name, render_batch(delete_table_messages(name)))


def _send(netfilter: socket.socket, name: str, batch: tuple[Message, ...]) -> None:
    """Carry out one transaction on table *name*."""
    try:
        netlink.send_batch(netfilter, batch, subject=name)
    except OSError as error:
        raise FilterUnavailable(f"set packet filter rules in table `inet {name}`: {error.strerror}") from error


def teardown_bridge(route: socket.socket, name: str) -> bool:
    """Delete a bridge, and return whether it was there; another kind of link with its name belongs to somebody else.

    Takes 20 to 60 ms, in which the kernel waits until no packet can be on it: never on the path of a command.
    """
    link = netlink.find_link(route, name)
    return link is not None and link.kind == "bridge" and netlink.delete_link(route, link.index)


def remove_stale_ports(route: socket.socket, bridge_name: str, *, keep: Collection[str]) -> tuple[str, ...]:
    """Delete the veth pairs on a bridge that are not in *keep*, and return their names; each takes 20 to 60 ms."""
    links = netlink.list_links(route)
    index = next((link.index for link in links if link.name == bridge_name), 0)
    stale = [link for link in links if index and link.master == index and link.kind == "veth" and link.name not in keep]
    for link in stale:
        netlink.delete_link(route, link.index)
    return tuple(link.name for link in stale)


def read_host_resolv_conf(etc: Path = Path("/etc"), run: Path = Path("/run")) -> str:
    """Return the host's `/etc/resolv.conf`, or the one behind systemd's stub resolver; empty if there is none."""
    try:
        text = (etc / "resolv.conf").read_text(errors="replace")
    except OSError:
        return ""
    servers = {words[1] for line in text.splitlines() if len(words := line.split()) > 1 and words[0] == "nameserver"}
    if servers == {SYSTEMD_STUB}:
        with suppress(OSError):  # the stub without its file: the caller falls back on public servers
            return (run / "systemd/resolve/resolv.conf").read_text(errors="replace")
    return text
