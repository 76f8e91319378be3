"""Numbers of system calls: as the kernel has them."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from minidocker.codec.syscalls import SYSCALL_MACHINES, load_syscall_names, load_syscall_numbers

HEADERS = {
    "x86_64": (Path("/usr/include/x86_64-linux-gnu/asm/unistd_64.h"), Path("/usr/include/asm/unistd_64.h")),
    "aarch64": (Path("/usr/include/asm-generic/unistd.h"),),
}


def read_header_numbers(path: Path) -> dict[str, int]:
    """Return name to number from a kernel header; asm-generic has `__NR3264_` where 32 bits have another name."""
    defines = re.findall(r"^#define __NR(?:3264)?_(\w+)\s+(\d+)", path.read_text(), re.MULTILINE)
    return {name: int(value) for name, value in defines}


@pytest.mark.parametrize("machine", SYSCALL_MACHINES)
def test_numbers_are_those_of_the_installed_headers(machine: str) -> None:
    """A wrong number allows another call than the profile names, so the table is held against the kernel's own."""
    found = [path for path in HEADERS[machine] if path.exists()]
    if not found:
        pytest.skip(f"no kernel headers for {machine} (Debian: linux-libc-dev)")
    header, table = read_header_numbers(found[0]), load_syscall_numbers(machine)
    common = header.keys() & table.keys()
    assert len(common) > 250
    assert {name: table[name] for name in common} == {name: header[name] for name in common}


@pytest.mark.parametrize("machine", SYSCALL_MACHINES)
def test_every_number_has_one_name(machine: str) -> None:
    """Names and numbers are two views of one table."""
    numbers, names = load_syscall_numbers(machine), load_syscall_names(machine)
    assert len(names) == len(numbers)
    assert {names[number] for number in names} == set(numbers)


@pytest.mark.parametrize(
    ("name", "x86_64", "aarch64"),
    [
        pytest.param("read", 0, 63, id="first-on-x86"),
        pytest.param("rseq", 334, 293, id="last-before-the-common-ones"),
        pytest.param("recvmmsg", 299, 243, id="before-the-gap"),
        pytest.param("wait4", 61, 260, id="behind-the-gap"),
        pytest.param("clone3", 435, 435, id="common"),
        pytest.param("mseal", 462, 462, id="linux-6.10"),
        pytest.param("file_setattr", 469, 469, id="newest"),
        pytest.param("fork", 57, None, id="only-old-machines-have-fork"),
    ],
)
def test_landmarks_stand_at_their_numbers(name: str, x86_64: int, aarch64: int | None) -> None:
    """One slipped word would move every number behind it; these would show it without any header."""
    assert load_syscall_numbers("x86_64").get(name) == x86_64
    assert load_syscall_numbers("aarch64").get(name) == aarch64
