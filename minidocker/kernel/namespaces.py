"""Namespaces: make them, enter them, name them; see namespaces(7).

All calls act on the calling thread, so only single-threaded processes (launcher, monitor, init) may use them. Chapter 16.
"""

from __future__ import annotations

import os
import socket
import threading
from collections.abc import Callable
from typing import Final, TypeVar

from minidocker.kernel.flags import Clone
from minidocker.kernel.libc import LIBC, check

__all__ = ["NAMESPACE_FILES", "enter_network", "in_network_home", "open_namespace", "open_socket_in", "set_hostname", "set_network_home", "setns", "unshare"]

T = TypeVar("T")

NAMESPACE_FILES: Final = {
    Clone.NEWUSER: "user", Clone.NEWIPC: "ipc", Clone.NEWUTS: "uts", Clone.NEWNET: "net", Clone.NEWPID: "pid",
    Clone.NEWCGROUP: "cgroup", Clone.NEWTIME: "time", Clone.NEWNS: "mnt",
}  # fmt: skip
"""File names under `/proc/PID/ns`, in an order that works for joining: user first, mount last."""


def unshare(namespaces: Clone) -> None:
    """Move the calling thread into new *namespaces* (a new pid namespace: its next child); see unshare(2)."""
    check("unshare", lambda: LIBC.unshare(int(namespaces)))


def setns(fd: int, namespace: Clone) -> None:
    """Move the calling thread into the namespace that *fd* refers to; see setns(2)."""
    check("setns", lambda: LIBC.setns(fd, int(namespace)))


def open_namespace(pid: int | str, namespace: Clone) -> int:
    """Return a close-on-exec descriptor of a namespace of process *pid* (or `self`)."""
    return os.open(f"/proc/{pid}/ns/{NAMESPACE_FILES[namespace]}", os.O_RDONLY | os.O_CLOEXEC)


def open_socket_in(netns: int, family: socket.AddressFamily, kind: socket.SocketKind, at_home: bool = False) -> socket.socket:
    """Return a socket of network namespace *netns*, or of our own; it stays there wherever we are."""
    if at_home:
        return socket.socket(family, kind | socket.SOCK_CLOEXEC)
    home = open_namespace("self", Clone.NEWNET)
    try:
        setns(netns, Clone.NEWNET)
        return socket.socket(family, kind | socket.SOCK_CLOEXEC)
    finally:
        setns(home, Clone.NEWNET)
        os.close(home)


def enter_network(path: str) -> None:
    """Move to the network namespace that *path* stands for."""
    fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        setns(fd, Clone.NEWNET)
    finally:
        os.close(fd)


_network_home = -1


def set_network_home(path: str) -> None:
    """Let the bridges of this process be in the network namespace that *path* stands for, and not in its own."""
    global _network_home
    _network_home = os.open(path, os.O_RDONLY | os.O_CLOEXEC)


def in_network_home(action: Callable[[], T]) -> T:
    """Return what *action* returns in the network namespace of the bridges.

    From another namespace than the host's there is no way back without a right over the host, so a thread goes, and ends there.
    """
    if _network_home == -1:
        return action()
    results: list[T] = []
    errors: list[BaseException] = []

    def go() -> None:
        try:
            setns(_network_home, Clone.NEWNET)
            results.append(action())
        except BaseException as error:  # noqa: BLE001 - raised again where it was asked for
            errors.append(error)

    thread = threading.Thread(target=go, name="md:network")
    thread.start()
    thread.join()
    for error in errors:
        raise error
    return results[0]


def set_hostname(hostname: str, *, domainname: str = "") -> None:
    """Set host and domain name of the UTS namespace; see sethostname(2)."""
    name = os.fsencode(hostname)
    check("sethostname", lambda: LIBC.sethostname(name, len(name)))
    if domainname:
        domain = os.fsencode(domainname)
        check("setdomainname", lambda: LIBC.setdomainname(domain, len(domain)))
