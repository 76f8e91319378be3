"""ELF files: what is written is read again; damage is noticed."""

from __future__ import annotations

import struct
from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from minidocker.codec.elf import MACHINE_NUMBERS, Elf, InvalidElf, parse_elf, render_greeting_program
from minidocker.errors import NotSupported


def make_library(*, strings: bytes, tags: list[tuple[int, int]], interpreter: bytes = b"") -> bytes:
    """Return a 64-bit file with a dynamic section, and one segment that maps all of it at 0x1000."""
    dynamic = b"".join(struct.pack("<qQ", tag, value) for tag, value in [*tags, (0, 0)])
    start = 64 + 3 * 56
    places = [start, start + len(dynamic), start + len(dynamic) + len(strings)]
    dynamic = dynamic.replace(struct.pack("<qQ", 5, 0), struct.pack("<qQ", 5, 0x1000 + places[1]))
    size = places[2] + len(interpreter)
    header = b"\x7fELF\x02\x01\x01".ljust(16, b"\0") + struct.pack("<HHIQQQIHHHHHH", 3, 62, 1, 0, 64, 0, 0, 64, 56, 3, 0, 0, 0)
    segments = [(1, 0, 0x1000, size), (2, places[0], 0x1000 + places[0], len(dynamic)), (3, places[2], 0, len(interpreter))]
    table = b"".join(struct.pack("<IIQQQQQQ", kind, 0, place, at, at, count, count, 1) for kind, place, at, count in segments)
    return header + table + dynamic + strings + interpreter


def test_dynamic_section_names_libraries_and_directories() -> None:
    """ldd(1) runs the loader to know this; we must not run anything of an untrusted file, so we read."""
    strings = b"\0libc.so.6\0/opt/lib:$ORIGIN/x\0"
    content = make_library(strings=strings, tags=[(5, 0), (1, 1), (29, 11)], interpreter=b"/lib64/ld.so\0")
    assert parse_elf(content) == Elf(
        bits=64, machine=62, interpreter="/lib64/ld.so", needed=("libc.so.6",), runpath=("/opt/lib", "$ORIGIN/x")
    )


@pytest.mark.parametrize("machine", MACHINE_NUMBERS)
def test_greeting_program_is_static_and_carries_its_text(machine: str) -> None:
    """The image `hello` has no loader and no library: whatever the program needs is in its one segment."""
    program = render_greeting_program(b"hi\n", machine=machine)
    assert parse_elf(program) == Elf(bits=64, machine=MACHINE_NUMBERS[machine])
    assert program.endswith(b"hi\n")


def test_greeting_program_for_an_unknown_machine_is_refused() -> None:
    """Instructions are per machine; a wrong file would fail with `exec format error` only when it is run."""
    with pytest.raises(NotSupported, match="riscv64"):
        render_greeting_program(b"hi\n", machine="riscv64")


LIBRARY = make_library(strings=b"\0libc.so.6\0", tags=[(5, 0), (1, 1)], interpreter=b"/lib/ld.so\0")


@given(st.integers(0, len(LIBRARY) - 1), st.binary(max_size=8))
def test_damaged_file_raises_only_the_own_error(place: int, change: bytes) -> None:
    """Tables of a file point anywhere; none of it may be believed."""
    content = LIBRARY[:place] + change + LIBRARY[place + len(change) :]
    for damaged in (content, content[:place]):
        with suppress(InvalidElf):
            assert parse_elf(damaged).bits in (32, 64)
