"""Our numbers are the kernel's: compared with the headers of this machine, where they are installed."""

from __future__ import annotations

import platform
import re
import sys
from pathlib import Path

import pytest

from minidocker.kernel.flags import CAPABILITIES, Clone, Mnt, Ms, Resolve, Rlimit

HEADERS = {
    "linux/sched.h": ("CLONE_", Clone), "linux/mount.h": ("MS_", Ms), "linux/openat2.h": ("RESOLVE_", Resolve),
    "sys/mount.h": ("MNT_", Mnt),
}  # fmt: skip


def _find(name: str) -> str:
    places = [Path("/usr/include", name), *Path("/usr/include").glob(f"*-linux-gnu/{name}")]
    found = next((place for place in places if place.exists()), None)
    if found is None:
        pytest.skip(f"needs the header {name}: apt-get install libc6-dev")
    return found.read_text()


@pytest.mark.parametrize(("header", "prefix_and_kind"), HEADERS.items(), ids=HEADERS)
def test_flag_values_are_those_of_the_header(header: str, prefix_and_kind: tuple[str, type[Clone]]) -> None:
    """A wrong bit would ask the kernel for something else, mostly without an error."""
    prefix, kind = prefix_and_kind
    defined = dict(re.findall(rf"(?:#\s*define\s+|\s){prefix}(\w+)\s*=?\s*(0x[0-9a-fA-F]+|\(1<<\d+\)|\d+)", _find(header)))
    compared = 0
    for member in kind:
        if str(member.name) in defined:
            text = defined[str(member.name)].strip("()")
            base, _, shift = text.partition("<<")
            assert int(member) == (int(base, 0) << int(shift or 0)), f"{prefix}{member.name}"
            compared += 1
    assert compared >= len(kind) // 2


def test_capability_numbers_are_those_of_the_header() -> None:
    """A capability is its place in the table."""
    defined = dict(re.findall(r"#define (CAP_\w+)\s+(\d+)", _find("linux/capability.h")))
    for number, name in enumerate(CAPABILITIES):
        if name in defined:
            assert number == int(defined[name])
    assert len(defined) > 30


def test_resource_numbers_are_those_of_the_header() -> None:
    """prlimit(2) knows limits by number; Docker's `--ulimit` by name."""
    defined = dict(re.findall(r"#\s*define RLIMIT_(\w+)\s+(\d+)", _find("asm-generic/resource.h")))
    assert {str(member.name): str(int(member)) for member in Rlimit} == {name: defined[name] for name in defined if name in Rlimit.__members__}


@pytest.mark.skipif(sys.platform != "linux", reason="needs Linux: the numbers are of this machine")
def test_system_call_numbers_are_those_of_the_header() -> None:
    """A wrong number would call something else; libc has no wrapper that could be asked instead."""
    from minidocker.kernel.libc import SYSCALL_NUMBERS

    header = "asm/unistd_64.h" if platform.machine() == "x86_64" else "asm-generic/unistd.h"
    defined = {name: int(number) for name, number in re.findall(r"#define __NR(?:3264)?_(\w+)\s+(\d+)", _find(header))}
    assert {name: defined[name] for name in SYSCALL_NUMBERS} == SYSCALL_NUMBERS
