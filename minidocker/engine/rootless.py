"""A server without root: it is root of a user namespace of its own.

Acting, before the server has a second thread. A user may map only himself, to one number; with ranges in `/etc/subuid` and the
set-user-ID programs `newuidmap` and `newgidmap` he may map those too. A small process, the **anchor**, holds the user namespace and a
network namespace where the bridges of containers are; both outlive the server, as containers do, and the next server finds them
there. The way from that network to the outside is a program of the host's, `pasta` or `slirp4netns`, that copies packets: making a cable
to the host would take a right over the host. The server itself stays in the host's network, where it pulls and publishes ports.

See user_namespaces(7), newuidmap(1), pasta(1), slirp4netns(1).
"""

from __future__ import annotations

import grp
import json
import os
import pwd
import select
import shutil
import signal
import subprocess
import time
from collections.abc import Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from minidocker.codec.idmap import IdMap, IdRange, make_ranges, parse_id_map, parse_subids
from minidocker.errors import HostError
from minidocker.kernel.flags import Clone
from minidocker.kernel.namespaces import open_namespace, setns
from minidocker.kernel.netlink import open_route_socket, set_loopback_up
from minidocker.kernel.probe import find_userns_blocker
from minidocker.kernel.process import set_dumpable
from minidocker.kernel.user_namespace import become_root, start_anchor, write_id_maps
from minidocker.spec.record import read_record, render_record

__all__ = ["Rootless", "enter_rootless", "leave_rootless"]

ANCHOR_TITLE: Final = "md:anchor"
HELPER_LIMIT_S: Final = 10.0
HELPER_POLL_S: Final = 0.01
PASTA_DNS, SLIRP_DNS = "169.254.1.1", "10.0.2.3"
"""Where the two programs answer questions about names."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Rootless:
    """What a server without root has; kept beside its sockets for the next one."""

    anchor: int
    """Pid of the process that holds the namespaces."""
    started: str
    """When it was born, in the kernel's ticks: its number may be somebody else's tomorrow."""
    helper: int = 0
    """Pid of the program that connects containers with the outside; 0: there is none."""
    dns: str = ""
    """Where it answers questions about names."""
    notes: tuple[str, ...] = ()
    """What cannot be had here, a sentence each."""

    @property
    def network(self) -> str:
        """The file that stands for the network namespace of the bridges."""
        return f"/proc/{self.anchor}/ns/net"

    def read_ids(self) -> IdMap:
        """Return who the users of containers may be, seen from inside, where the server is as well."""
        ranges = [
            (IdRange(0, 0, sum(r.count for r in parse_id_map(Path(f"/proc/{self.anchor}/{kind}").read_text(encoding="ascii")))),)
            for kind in ("uid_map", "gid_map")
        ]
        return IdMap(uids=ranges[0], gids=ranges[1], collapses=True)


def enter_rootless(exec_root: Path) -> Rootless:
    """Become root of the user namespace of this user's server, made if there is none.

    Preconditions: one thread.

    Raises:
        HostError: the kernel lets no user make one; the hint names the switch.
    """
    exec_root.mkdir(mode=0o700, parents=True, exist_ok=True)
    found = _find_anchor(exec_root)
    if found is None:
        found = _make_anchor()
        (exec_root / "anchor.json").write_text(json.dumps(render_record(found)), encoding="ascii")
    fd = open_namespace(found.anchor, Clone.NEWUSER)
    try:
        setns(fd, Clone.NEWUSER)
    finally:
        os.close(fd)
    become_root()
    set_dumpable()  # the launcher, another program under the same user, has to find our descriptors
    return found


def leave_rootless(rootless: Rootless, exec_root: Path) -> None:
    """End what holds the namespaces, when no container needs them any more."""
    for pid in (rootless.helper, rootless.anchor):
        with suppress(ProcessLookupError):
            if pid:
                os.kill(pid, signal.SIGKILL)
    (exec_root / "anchor.json").unlink(missing_ok=True)


def _find_anchor(exec_root: Path) -> Rootless | None:
    try:
        found = read_record(Rootless, json.loads((exec_root / "anchor.json").read_bytes()))
        return found if _read_start(found.anchor) == found.started else None
    except (OSError, ValueError):
        return None


def _read_start(pid: int) -> str:
    """Return when a process was born; empty for one that has ended and was not collected."""
    words = Path(f"/proc/{pid}/stat").read_text(encoding="ascii", errors="replace").rpartition(")")[2].split()
    return words[19] if words[0] != "Z" else ""


def _make_anchor() -> Rootless:
    user = pwd.getpwuid(os.getuid()) if _has_entry() else None
    owners = (user.pw_name, str(user.pw_uid)) if user is not None else (str(os.getuid()),)
    notes: list[str] = []

    def map_users(pid: int) -> None:
        refusal = _map_ranges(pid, owners)
        if refusal:
            notes.append(f"containers have one user, you: {refusal}; files of others are made root's, and chown(2) and --user fail with EINVAL")
            write_id_maps(pid, (IdRange(0, os.getuid(), 1),), (IdRange(0, os.getgid(), 1),))

    try:
        anchor = start_anchor(map_users, _switch_loopback_on, title=ANCHOR_TITLE)
    except OSError as error:
        raise HostError(f"start a server without root: {(error.strerror or str(error)).lower()}", hint=find_userns_blocker()) from error
    helper, dns, refusal = _connect(anchor)
    if refusal:
        notes.append(f"containers reach each other and their published ports, but nothing outside ({refusal}); --network host has the host's network")
    return Rootless(anchor=anchor, started=_read_start(anchor), helper=helper, dns=dns, notes=tuple(notes))


def _switch_loopback_on() -> None:
    with open_route_socket() as route:
        set_loopback_up(route)


def _has_entry() -> bool:
    with suppress(KeyError):
        return bool(pwd.getpwuid(os.getuid()))
    return False


def _map_ranges(pid: int, owners: Sequence[str]) -> str:
    """Map ourselves to root and lent numbers to the others; return why that cannot be done."""
    programs = [shutil.which(name) for name in ("newuidmap", "newgidmap")]
    if None in programs:
        return "no `newuidmap` (package uidmap)"
    for program, file, own, names in (
        (programs[0], "subuid", os.getuid(), owners), (programs[1], "subgid", os.getgid(), (*owners, *_group_names())),
    ):  # fmt: skip
        lent = parse_subids(_read(Path("/etc", file)), names)
        if not lent:
            return f"nobody lent you numbers in /etc/{file}"
        ranges = (IdRange(0, own, 1), *make_ranges(lent, first=1))
        words = [str(number) for r in ranges for number in (r.inside, r.outside, r.count)]
        result = subprocess.run([str(program), str(pid), *words], capture_output=True, text=True, check=False)
        if result.returncode:
            return result.stderr.strip().splitlines()[-1] if result.stderr.strip() else f"`{program}` failed"
    return ""


def _group_names() -> Iterable[str]:
    with suppress(KeyError):
        yield grp.getgrgid(os.getgid()).gr_name


def _read(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8", errors="replace")
    except OSError:
        return ""


def _connect(anchor: int) -> tuple[int, str, str]:
    """Start the program that connects the anchor's network with the outside; return its pid, its name server, or why not."""
    if not os.access("/dev/net/tun", os.R_OK | os.W_OK):
        return 0, "", "`/dev/net/tun` is closed to you: sudo chmod 666 /dev/net/tun"
    refusal = "no `pasta` or `slirp4netns`: packages passt, slirp4netns"
    for name, options, dns in (
        ("pasta", ["--config-net", "--foreground", "--quiet", "--no-map-gw", "-t", "none", "-u", "none", "-T", "none", "-U", "none", "--dns-forward", PASTA_DNS], PASTA_DNS),
        ("slirp4netns", ["--configure", "--mtu=65520", "--disable-host-loopback"], SLIRP_DNS),
    ):  # fmt: skip
        program = shutil.which(name)
        if program is None:
            continue
        words = [program, *options, str(anchor), *(["tap0"] if name == "slirp4netns" else [])]
        helper = subprocess.Popen(words, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, start_new_session=True)
        refusal = _await_way_out(helper, anchor, name)
        if not refusal:
            helper.returncode = 0  # it outlives this object
            return helper.pid, dns, ""
    return 0, "", refusal


def _await_way_out(helper: subprocess.Popen[bytes], anchor: int, name: str) -> str:
    """Return once the anchor's network has a default route; else what the program said."""
    assert helper.stderr is not None
    deadline = time.monotonic() + HELPER_LIMIT_S
    while helper.poll() is None and time.monotonic() < deadline:
        routes = _read(Path(f"/proc/{anchor}/net/route"))
        if any(words[1] == "00000000" for line in routes.splitlines()[1:] if len(words := line.split()) > 1):
            return ""
        select.select([], [], [], HELPER_POLL_S)
    helper.kill()
    helper.wait()
    said = helper.stderr.read().decode(errors="replace").strip().splitlines()
    return f"`{name}`: {said[-1] if said else 'it makes no way out'}"
