"""The fabric: a server's bridges and its table in the packet filter, as they are in the kernel now.

Acting. `Fabric` knows what it has told the kernel, so that a change is told as a change: one bridge, one container's ports.
When the kernel does not agree any more (somebody flushed the rules), it is told everything again. It is not safe for several
threads; its owner orders them.

Rule: a bridge is made for its first user, costs the server's start nothing, and carries an alias that says whose it is. So
the next server after a crash finds what nobody needs. Chapter 18.
"""

from __future__ import annotations

import socket
from collections.abc import Collection, Iterable
from contextlib import suppress

from minidocker.codec.nft_messages import change_elements_messages
from minidocker.codec.nftables import Table
from minidocker.errors import HostError
from minidocker.kernel.netlink import delete_link, find_link, open_netfilter_socket, open_route_socket
from minidocker.network.apply import (
    FilterUnavailable, apply_table, change_table, find_blocking_chains, find_own_bridges, forget_flows, remove_stale_ports,
    setup_bridge, teardown_bridge, teardown_table,
)  # fmt: skip
from minidocker.network.bridge import Bridge
from minidocker.network.rules import Forward, plan_elements, plan_table

__all__ = ["Fabric"]


class Fabric:
    """The bridges and rules of the server whose table is called *name*."""

    def __init__(self, name: str, *, alias: str) -> None:
        """Touch nothing yet; *alias* is what every bridge of this server carries."""
        self.name, self._alias = name, alias
        self.bridges: dict[str, Bridge] = {}
        self.warnings: list[str] = []
        self._forwards: set[Forward] = set()
        self._route: socket.socket | None = None
        self._netfilter: socket.socket | None = None
        self._has_filter = True
        self._has_table = False

    @property
    def route(self) -> socket.socket:
        """The socket for links and addresses."""
        if self._route is None:
            self._route = open_route_socket()
        return self._route

    # -- bridges -----------------------------------------------------------------------------------------------------

    def open_bridges(self, bridges: Iterable[Bridge], *, forwards: Iterable[Forward] = ()) -> None:
        """Make *bridges* and their rules, unless that was done; *forwards* are published in the same transaction.

        Raises:
            HostError: the kernel refuses.
        """
        new = [bridge for bridge in bridges if bridge.name not in self.bridges]
        if not new:
            return
        for bridge in new:
            warnings = setup_bridge(self.route, bridge, alias=self._alias)
            self.warnings += [text for text in warnings if text not in self.warnings]
            self.bridges[bridge.name] = bridge
        ports = set(forwards)
        self._forwards |= ports
        if not self._has_filter:
            return
        try:
            self._change(add=(new, ports))
        except FilterUnavailable as error:
            self._has_filter = False
            self.warnings.append(
                f"{error.message}: containers reach no other hosts, and published ports go through the proxy only"
            )

    def close_bridge(self, name: str) -> None:
        """Remove a bridge and its rules, and with the last one the table."""
        bridge = self.bridges.pop(name, None)
        with suppress(HostError, OSError):  # a server without the rights has never made it
            teardown_bridge(self.route, name)
            if bridge is not None and self._has_table and self.bridges:
                self._change(remove=((bridge,), ()))
        if not self.bridges:
            self._remove_table()

    def sweep(self, *, links: Collection[str]) -> None:
        """Remove the bridges of this server that are not open, and of the open ones every cable that is not in *links*."""
        for name in find_own_bridges(self.route, self._alias) - set(self.bridges):
            teardown_bridge(self.route, name)
        for name in self.bridges:
            remove_stale_ports(self.route, name, keep=links)
        if not self.bridges:
            self._remove_table()

    def _remove_table(self) -> None:
        self._has_table = False
        with suppress(HostError, OSError), open_netfilter_socket() as netfilter:  # no rights, no table
            teardown_table(netfilter, self.name)

    # -- rules -------------------------------------------------------------------------------------------------------

    def publish(self, forwards: Iterable[Forward]) -> None:
        """Send what comes to these ports on.

        Raises:
            FilterUnavailable: the kernel refuses; nothing was changed.
        """
        new = set(forwards) - self._forwards
        self._forwards |= new
        if new and self._has_filter:
            try:
                self._change(add=((), new))
            except FilterUnavailable:
                self._forwards -= new
                raise

    def withdraw(self, forwards: Iterable[Forward]) -> None:
        """Send what comes to these ports on no longer."""
        gone = self._forwards & set(forwards)
        self._forwards -= gone
        if gone and self._has_filter and self._has_table:
            with suppress(FilterUnavailable):  # its rules lead nowhere now; the next change takes them away
                self._change(remove=((), gone))

    def _change(
        self,
        *,
        add: tuple[Iterable[Bridge], Iterable[Forward]] = ((), ()),
        remove: tuple[Iterable[Bridge], Iterable[Forward]] = ((), ()),
    ) -> None:
        """Tell the kernel what changed, or everything if it does not know the rest."""
        if self._netfilter is None:
            try:
                self._netfilter = open_netfilter_socket()
            except OSError as error:
                raise FilterUnavailable(f"open the packet filter: {error.strerror}") from error
        messages = change_elements_messages(self.name, remove=plan_elements(*remove).values(), add=plan_elements(*add).values())
        is_changed = False
        if self._has_table:
            with suppress(FilterUnavailable):  # somebody removed our table or its elements: below
                change_table(self._netfilter, self.name, messages)
                is_changed = True
        if not is_changed:
            apply_table(self._netfilter, self.table())
            if not self._has_table:
                self.warnings += find_blocking_chains(self._netfilter, own=self.name)
            self._has_table = True
        forget_flows(self._netfilter, self.route, (*add[1], *remove[1]))

    def table(self) -> Table:
        """Return the table as the kernel should have it."""
        return plan_table(self.name, self.bridges.values(), self._forwards)

    # -- the end -----------------------------------------------------------------------------------------------------

    def close(self) -> None:
        """Leave everything as it is and give the sockets back."""
        for sock in (self._route, self._netfilter):
            if sock is not None:
                sock.close()
        self._route = self._netfilter = None
        self.bridges.clear()
        self._has_table = False

    def remove_link(self, name: str) -> None:
        """Delete a cable, if it is there; takes 20 to 60 ms."""
        delete_link(self.route, name)

    def has_link(self, name: str) -> bool:
        """Whether a link of that name exists."""
        return find_link(self.route, name) is not None
