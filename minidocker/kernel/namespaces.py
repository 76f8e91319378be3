"""Namespaces: make them, enter them, name them; see namespaces(7).

All calls act on the calling thread, so only single-threaded processes (launcher, monitor, init) may use them. Chapter 16.
"""

from __future__ import annotations

import os
import socket
from typing import Final

from minidocker.kernel.flags import Clone
from minidocker.kernel.libc import LIBC, check

__all__ = ["NAMESPACE_FILES", "open_namespace", "open_socket_in", "set_hostname", "setns", "unshare"]

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


def set_hostname(hostname: str, *, domainname: str = "") -> None:
    """Set host and domain name of the UTS namespace; see sethostname(2)."""
    name = os.fsencode(hostname)
    check("sethostname", lambda: LIBC.sethostname(name, len(name)))
    if domainname:
        domain = os.fsencode(domainname)
        check("setdomainname", lambda: LIBC.setdomainname(domain, len(domain)))
