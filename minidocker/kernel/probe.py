"""What this machine offers for containers, found out by trying.

Acts, and leaves nothing behind: whatever could change something is tried in a forked child inside namespaces of its own, which
end with it. `doctor` prints the answers, tests ask them through `requires(…)`. A probe that fails says why in the kernel's words
and what would help. Runs on any system; elsewhere than on Linux the answers are all no. See namespaces(7). Chapter 16.
"""

from __future__ import annotations

import functools
import os
import sys
import tempfile
import warnings
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Final

__all__ = ["Feature", "compute_tier", "probe_features"]

NOBODY: Final = 65534
LIMIT_CONTROLLERS: Final = ("memory", "cpu", "pids")
"""The controllers behind `--memory`, `--cpus` and `--pids-limit`."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Feature:
    """Whether something is there."""

    available: bool
    reason: str = ""
    """What was found, or in the kernel's words why not."""
    hint: str = ""
    """What would help."""


@functools.cache
def probe_features() -> Mapping[str, Feature]:
    """Return every feature by name; it is found out once."""
    if sys.platform != "linux":
        hint = "use a Linux machine, or a Linux VM"
        return MappingProxyType({name: Feature(available=False, reason=f"this is {sys.platform}", hint=hint) for name in PROBES})
    return MappingProxyType({name: probe() for name, probe in PROBES.items()})


def compute_tier(features: Mapping[str, Feature]) -> tuple[str, str]:
    """Return the tier that *features* give (`T0` any system, `T1` user namespaces, `T2` root), and the way to the next one."""
    if features["root"].available and features["namespaces"].available:
        return "T2", ""
    if features["root"].available:
        return "T0", f"root here may not make namespaces ({features['namespaces'].reason}): leave the container you are in, or run it --privileged"
    if features["userns"].available:
        return "T1", "T2: run it with sudo"
    if features["linux"].available:
        return "T0", f"T1: {features['userns'].hint or features['userns'].reason}; T2: run it with sudo"
    return "T0", features["linux"].hint


def _try_in_child(test: Callable[[], None]) -> str:
    """Run *test* in a forked child and return why it failed, or nothing."""
    readable, writable = os.pipe()
    with warnings.catch_warnings():
        # The child makes a few system calls and ends; it takes no lock that another thread could hold.
        warnings.simplefilter("ignore", DeprecationWarning)
        pid = os.fork()
    if pid == 0:
        from minidocker.kernel.process import exit_child

        try:
            test()
        except OSError as error:
            os.write(writable, (error.strerror or str(error)).encode())
        except Exception as error:  # noqa: BLE001 - the parent shall hear of it, whatever it is
            os.write(writable, f"{type(error).__name__}: {error}".encode())
        exit_child(0)
    os.close(writable)
    with os.fdopen(readable, "rb") as report:
        reason = report.read().decode(errors="replace")
    os.waitpid(pid, 0)
    return reason


def _feature(reason: str, *, hint: str = "", found: str = "") -> Feature:
    return Feature(available=False, reason=reason, hint=hint) if reason else Feature(available=True, reason=found)


def _enter_user_namespace() -> None:
    """Become root of a new user namespace."""
    from minidocker.kernel.flags import Clone
    from minidocker.kernel.namespaces import unshare

    uid, gid = os.geteuid(), os.getegid()
    unshare(Clone.NEWUSER)
    for name, text in (("setgroups", "deny"), ("uid_map", f"0 {uid} 1"), ("gid_map", f"0 {gid} 1")):
        Path(f"/proc/self/{name}").write_text(text)


def _enter_namespaces(flags_name: str) -> None:
    """Enter new namespaces (`NEWNS`, `NEWNET`), through a user namespace where we are not root."""
    from minidocker.kernel.flags import Clone
    from minidocker.kernel.namespaces import unshare

    if os.geteuid() != 0:
        _enter_user_namespace()
    unshare(Clone[flags_name])


def _read(path: str) -> str:
    try:
        return Path(path).read_text().strip()
    except OSError:
        return ""


def _probe_linux() -> Feature:
    return Feature(available=True, reason=f"{os.uname().release} {os.uname().machine}")


def _probe_root() -> Feature:
    return _feature("" if os.geteuid() == 0 else f"user id {os.geteuid()}", hint="run it with sudo")


def _probe_namespaces() -> Feature:
    def test() -> None:
        if os.geteuid() != 0:
            _enter_user_namespace()
        from minidocker.kernel.flags import Clone
        from minidocker.kernel.namespaces import unshare

        unshare(Clone.NEWNS | Clone.NEWPID | Clone.NEWNET | Clone.NEWUTS | Clone.NEWIPC | Clone.NEWCGROUP)

    return _feature(_try_in_child(test), hint="needs root, or user namespaces")


def _probe_userns() -> Feature:
    def test() -> None:
        if os.geteuid() == 0:
            os.setgroups([])
            os.setgid(NOBODY)
            os.setuid(NOBODY)
        from minidocker.kernel.flags import Clone
        from minidocker.kernel.namespaces import unshare

        # Who has just dropped root is not dumpable and may not write its own map, so only the making is tried.
        unshare(Clone.NEWUSER)
        unshare(Clone.NEWNS)

    reason = _try_in_child(test)
    return _feature(reason, hint=find_userns_blocker() if reason else "")


def find_userns_blocker() -> str:
    """Return what switches user namespaces off, and how to switch them on."""
    if _read("/proc/sys/kernel/unprivileged_userns_clone") == "0":
        return "the kernel switches it off for users: sudo sysctl -w kernel.unprivileged_userns_clone=1"
    if _read("/proc/sys/user/max_user_namespaces") == "0":
        return "the limit is zero: sudo sysctl -w user.max_user_namespaces=15000"
    if _read("/proc/sys/kernel/apparmor_restrict_unprivileged_userns") == "1":
        return "AppArmor restricts it: sudo sysctl -w kernel.apparmor_restrict_unprivileged_userns=0"
    if "\nSeccomp:\t2" in _read("/proc/self/status"):
        return "a seccomp filter forbids it, such as that of a container: leave it, or run it --privileged"
    return "the kernel is built without CONFIG_USER_NS, or a security module forbids it"


def _probe_overlayfs() -> Feature:
    def test() -> None:
        _enter_namespaces("NEWNS")
        from minidocker.kernel.flags import Ms
        from minidocker.kernel.mount import mount, separate_mounts

        separate_mounts(Ms.PRIVATE)
        # In this mount namespace only: a tmpfs over the directory for temporary files, as the place to stack on.
        place = tempfile.gettempdir()
        mount("tmpfs", place, fstype="tmpfs")
        for name in ("lower", "upper", "work", "merged"):
            os.mkdir(f"{place}/{name}")
        data = f"lowerdir={place}/lower,upperdir={place}/upper,workdir={place}/work"
        mount("overlay", f"{place}/merged", fstype="overlay", data=data)

    return _feature(_try_in_child(test), hint="images are copied instead (the vfs driver); `sudo modprobe overlay` may help")


def _cgroup_mounts() -> tuple[list[str], list[str]]:
    """Return the controllers that version 1 and version 2 have on this machine."""
    known = {line.split("\t")[0] for line in _read("/proc/cgroups").splitlines()}
    first: list[str] = []
    second: list[str] = []
    for line in _read("/proc/self/mounts").splitlines():
        _, place, kind, options, *_ = line.split(" ")
        if kind == "cgroup":
            first += known.intersection(options.split(","))
        elif kind == "cgroup2":
            second = ["(mounted)", *_read(f"{place}/cgroup.controllers").split()]
    return first, second


def _probe_cgroup1() -> Feature:
    controllers = sorted(set(_cgroup_mounts()[0]))
    return _feature("" if controllers else "not mounted", found=" ".join(controllers))


def _probe_cgroup2() -> Feature:
    mounted = _cgroup_mounts()[1]
    return _feature("" if mounted else "not mounted", found=" ".join(mounted[1:]) or "no controllers")


def _probe_limits() -> Feature:
    first, second = _cgroup_mounts()
    missing = [name for name in LIMIT_CONTROLLERS if name not in first and name not in second]
    hint = "limits such as --memory have no effect without them"
    return _feature(f"no controller: {', '.join(missing)}" if missing else "", hint=hint, found=" ".join(LIMIT_CONTROLLERS))


def _probe_nftables() -> Feature:
    def test() -> None:
        _enter_namespaces("NEWNET")
        import socket
        import struct

        get_generation = (10 << 8) | 16  # NFNL_SUBSYS_NFTABLES, NFT_MSG_GETGEN of linux/netfilter/nf_tables.h
        netfilter = 12
        with socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, netfilter) as netlink:
            netlink.send(struct.pack("=IHHIIBBH", 20, get_generation, 1, 1, 0, 0, 0, 0))
            answer = netlink.recv(4096)
        _, kind, *_ = struct.unpack_from("=IHHII", answer)
        if kind == 2:  # NLMSG_ERROR
            code = -struct.unpack_from("=i", answer, 16)[0]
            raise OSError(code, os.strerror(code))

    return _feature(_try_in_child(test), hint="`sudo modprobe nf_tables`; without it containers reach no other machine")


def _probe_bridge() -> Feature:
    def test() -> None:
        _enter_namespaces("NEWNET")
        from minidocker.kernel.netlink import create_bridge, open_route_socket

        with open_route_socket() as netlink:
            create_bridge(netlink, "md-probe")

    return _feature(_try_in_child(test), hint="`sudo modprobe bridge`; without it use --network host or none")


def _probe_veth() -> Feature:
    def test() -> None:
        _enter_namespaces("NEWNET")
        from minidocker.kernel.flags import Clone
        from minidocker.kernel.namespaces import open_namespace
        from minidocker.kernel.netlink import create_veth, open_route_socket

        with open_route_socket() as netlink:
            namespace = open_namespace("self", Clone.NEWNET)
            create_veth(netlink, host_name="md-probe0", container_name="md-probe1", container_netns_fd=namespace)

    return _feature(_try_in_child(test), hint="`sudo modprobe veth`; without it use --network host or none")


def _probe_seccomp() -> Feature:
    actions = _read("/proc/sys/kernel/seccomp/actions_avail")
    return _feature("" if actions else "the kernel is built without CONFIG_SECCOMP_FILTER", hint="containers run without a system call filter")


def _probe_openat2() -> Feature:
    def test() -> None:
        from minidocker.kernel.mount import open_in_root

        root = os.open("/", os.O_PATH | os.O_DIRECTORY)
        os.close(open_in_root(root, "/"))

    return _feature(_try_in_child(test), hint="needs Linux 5.6, and no seccomp filter that forbids it")


def _probe_memfd() -> Feature:
    def test() -> None:
        os.memfd_create("probe", os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING)

    return _feature(_try_in_child(test), hint="needs Linux 3.17")


def _probe_pidfd() -> Feature:
    def test() -> None:
        os.pidfd_open(os.getpid())

    return _feature(_try_in_child(test), hint="needs Linux 5.3")


def _probe_devpts() -> Feature:
    def test() -> None:
        os.openpty()

    return _feature(_try_in_child(test), hint="mount it: sudo mount -t devpts devpts /dev/pts")


PROBES: Final[Mapping[str, Callable[[], Feature]]] = {
    "linux": _probe_linux, "root": _probe_root, "namespaces": _probe_namespaces, "userns": _probe_userns,
    "overlayfs": _probe_overlayfs, "cgroup1": _probe_cgroup1, "cgroup2": _probe_cgroup2, "limits": _probe_limits,
    "nftables": _probe_nftables, "bridge": _probe_bridge, "veth": _probe_veth, "seccomp": _probe_seccomp,
    "openat2": _probe_openat2, "memfd": _probe_memfd, "pidfd": _probe_pidfd, "devpts": _probe_devpts,
}  # fmt: skip
"""How each feature is found out, in the order in which `doctor` shows them."""
