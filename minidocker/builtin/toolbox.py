"""Put together the files of the `toolbox` image from the host's own programs.

Acting, but reads only: it returns what the image will hold. Where the host has a busybox of this machine, that one program is all
commands; which of them, its own table of names says. Otherwise the host's shell and the usual commands are taken one by one,
followed through symbolic links such as those of `/etc/alternatives`. Either way with what they need: the loader (`PT_INTERP`),
the libraries (`DT_NEEDED`), theirs, and so on, looked for where ld.so(8) looks.

A command that is missing stays missing; only `ps` and `kill` are replaced by scripts of ours, because a container whose
processes cannot be seen teaches nothing. No program of the host is run. Chapter 7.
"""

from __future__ import annotations

import os
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Final

from minidocker.codec.elf import MACHINE_NUMBERS
from minidocker.codec.tar import Kind
from minidocker.errors import HostError
from minidocker.builtin.libraries import LibrarySearch, read_elf, resolve_file

__all__ = ["TreeFile", "gather_toolbox"]

PROGRAM_DIRECTORIES: Final = ("bin", "usr/bin", "sbin", "usr/sbin", "usr/local/bin", "run/current-system/sw/bin")

COMMANDS: Final = tuple(
    """
    [ awk base64 basename cat chgrp chmod chown chroot cksum clear cmp comm cp cut date dd df diff dirname dmesg du echo egrep
    env expand expr factor false fgrep find fold free getent grep groups gunzip gzip head hexdump hostid hostname id ifconfig
    install ip join kill less link ln logname ls lsns md5sum mkdir mkfifo mknod mktemp more mount mountpoint mv nc netstat nice
    nl nohup nproc nsenter nslookup od paste pgrep pidof ping printenv printf prlimit ps pstree pwd readlink realpath
    renice rev rm rmdir route sed seq setpriv setsid sh sha1sum sha256sum shuf sleep sort split ss stat strings stty sum
    sync sysctl tac tail tar taskset tee telnet test time timeout top touch tr traceroute true truncate tsort tty ulimit umount
    uname unexpand uniq unlink unshare uptime users vi vmstat watch wc wget which who whoami xargs xxd yes zcat
    """.split()  # noqa: SIM905 - a text reads better than two hundred quotes
)
"""What people type in a shell, as far as the host has it."""

BUSYBOX_MARK: Final = b"BusyBox v"

DIRECTORIES: Final = {
    "bin": 0o755, "dev": 0o755, "etc": 0o755, "home": 0o755, "proc": 0o555, "root": 0o700, "run": 0o755, "sbin": 0o755,
    "sys": 0o555, "tmp": 0o1777, "usr": 0o755, "usr/bin": 0o755, "usr/sbin": 0o755, "var": 0o755, "var/tmp": 0o1777,
}  # fmt: skip

PASSWD: Final = "root:x:0:0:root:/root:/bin/sh\nnobody:x:65534:65534:nobody:/nonexistent:/bin/false\n"
GROUP: Final = "root:x:0:\ntty:x:5:\nnogroup:x:65534:\n"
NSSWITCH: Final = "passwd: files\ngroup: files\nhosts: files dns\nservices: files\n"
NAME_SERVICE_LIBRARIES: Final = ("libnss_files.so.2", "libnss_dns.so.2", "libresolv.so.2")
"""What a C library loads by name when it looks up users and hosts; newer ones have it built in."""

PS_SCRIPT: Final = """#!/bin/sh
# ps: this image was put together on a host without one. Options are accepted and change nothing.
printf '%7s %-8s %s\\n' PID STAT COMMAND
cd /proc || exit 1
for pid in [0-9]*; do
    { read -r line < "$pid/stat"; } 2> /dev/null || continue
    name=${line#*"("}; name=${name%")"*}; rest=${line##*") "}
    command=
    while IFS= read -r word; do command="$command${command:+ }$word"; done 2> /dev/null << WORDS
$(tr '\\0' '\\n' < "$pid/cmdline" 2> /dev/null)
WORDS
    printf '%7s %-8s %s\\n' "$pid" "${rest%% *}" "${command:-[$name]}"
done
"""

KILL_SCRIPT: Final = """#!/bin/sh
# kill: every shell has it inside; this makes it a program, for `exec CONTAINER kill 1`.
kill "$@"
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class TreeFile:
    """One file of an image to be: made up, or taken from the host."""

    path: str
    """In the image, without a leading `/`."""
    kind: Kind = Kind.FILE
    mode: int = 0o644
    content: bytes = b""
    link: str = ""
    host_path: str = ""
    """Where the content is, if it is not given."""

    def read(self) -> bytes:
        """Return the file's content."""
        return Path(self.host_path).read_bytes() if self.host_path else self.content


def gather_toolbox(machine: str, *, root: Path = Path("/")) -> Sequence[TreeFile]:
    """Return the files of the toolbox image, made of what is below *root*, the host's.

    Raises:
        HostError: there is no shell.
    """
    tree = {path: TreeFile(path=path, kind=Kind.DIRECTORY, mode=mode) for path, mode in DIRECTORIES.items()}
    _add_text(tree, "etc/passwd", PASSWD)
    _add_text(tree, "etc/group", GROUP)
    _add_text(tree, "etc/nsswitch.conf", NSSWITCH)
    _add_commands(tree, root, MACHINE_NUMBERS.get(machine, -1))
    if "bin/sh" not in tree:
        raise HostError(
            "make image `toolbox`: this host has no shell to put into it (looked for `busybox` and `sh`)",
            hint="install busybox, or load an image with `minidocker load`",
        )
    for name, script in (("ps", PS_SCRIPT), ("kill", KILL_SCRIPT)):
        tree.setdefault(f"bin/{name}", TreeFile(path=f"bin/{name}", mode=0o755, content=script.encode()))
    return tuple(tree.values())


def _add_text(tree: dict[str, TreeFile], path: str, text: str) -> None:
    tree[path] = TreeFile(path=path, content=text.encode())


def _find_busybox(root: Path, machine: int) -> str:
    """Return where a busybox for *machine* is that has a shell, or nothing."""
    for name in (f"{directory}/busybox" for directory in PROGRAM_DIRECTORIES):
        path = resolve_file(root, name)
        elf = read_elf(root, path) if path else None
        if elf and elf.machine == machine:
            content = (root / path).read_bytes()
            if BUSYBOX_MARK in content and "sh" in _applets_of(content):
                return path
    return ""


def _applets_of(content: bytes) -> tuple[str, ...]:
    """Return the commands that a busybox has: its table of names, in alphabetical order, each ending in NUL."""
    tables = re.findall(rb"(?:[a-z0-9_.\[-]{1,24}\0){40,}", content)
    names = [name.decode() for table in tables for name in table.split(b"\0") if name]
    return tuple(name for name in COMMANDS if name in names)


def _add_commands(tree: dict[str, TreeFile], root: Path, machine: int) -> None:
    """Add every command that the host has, and the libraries of all; a program with several names is added once."""
    libraries = LibrarySearch(root, machine)
    busybox = _find_busybox(root, machine)
    applets = _applets_of((root / busybox).read_bytes()) if busybox else ()
    first_names: dict[str, str] = {}
    for command in COMMANDS:
        path = _find_program(root, command) if not applets else busybox if command in applets else ""
        if not path:
            continue
        place = f"bin/{command}"
        if path in first_names:
            tree[place] = TreeFile(path=place, kind=Kind.SYMLINK, mode=0o777, link=first_names[path])
        elif _is_runnable(root, path, machine, libraries):
            first_names[path] = "busybox" if path == busybox else command
            tree[f"bin/{first_names[path]}"] = TreeFile(path=f"bin/{first_names[path]}", mode=0o755, host_path=str(root / path))
            if path == busybox:
                tree[place] = TreeFile(path=place, kind=Kind.SYMLINK, mode=0o777, link="busybox")
    if not applets:
        for name in NAME_SERVICE_LIBRARIES:
            libraries.add_library(name, ())
    _add_libraries(tree, root, libraries.found)


def _find_program(root: Path, command: str) -> str:
    """Return where the host has *command*, or nothing."""
    paths = (resolve_file(root, f"{directory}/{command}") for directory in PROGRAM_DIRECTORIES)
    return next((path for path in paths if path and os.access(root / path, os.X_OK)), "")


def _is_runnable(root: Path, path: str, machine: int, libraries: LibrarySearch) -> bool:
    """Whether the image can run what is at *path*; its libraries are added."""
    elf = read_elf(root, path)
    if elf is None:
        return _is_shell_script(root / path)
    return elf.machine == machine and libraries.add_needed(path, elf)


def _add_libraries(tree: dict[str, TreeFile], root: Path, found: dict[str, str]) -> None:
    for place, source in found.items():
        tree.setdefault(place, TreeFile(path=place, mode=0o755, host_path=str(root / source)))
        for parent in PurePosixPath(place).parents:
            if str(parent) != ".":
                tree.setdefault(str(parent), TreeFile(path=str(parent), kind=Kind.DIRECTORY, mode=0o755))


def _is_shell_script(path: Path) -> bool:
    with path.open("rb") as file:
        return file.readline(64).strip() in (b"#!/bin/sh", b"#! /bin/sh", b"#!/bin/sh -e")
