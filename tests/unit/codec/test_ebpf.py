"""The device program of cgroup v2, run by an interpreter of its seven instructions."""

from __future__ import annotations

import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from minidocker.codec.ebpf import DeviceRule, assemble_device_program, parse_device_rule
from minidocker.errors import InvalidParameter


def _run(program: bytes, *, kind: int, access: int, major: int, minor: int) -> int:
    """Interpret the program on one request, as the kernel would."""
    context = struct.pack("<III", access << 16 | kind, major, minor)
    registers, place = [0] * 11, 0
    while True:
        code, both, offset, constant = struct.unpack_from("<BBhi", program, place * 8)
        to, source = both & 15, both >> 4
        place += 1
        match code:
            case 0x61:
                registers[to] = struct.unpack_from("<I", context, offset)[0]
            case 0x54:
                registers[to] &= constant
            case 0x74:
                registers[to] >>= constant
            case 0xBF:
                registers[to] = registers[source]
            case 0xB7:
                registers[to] = constant
            case 0x55:
                place += offset if registers[to] != constant else 0
            case 0x5D:
                place += offset if registers[to] != registers[source] else 0
            case 0x95:
                return registers[0]
            case _:
                raise AssertionError(f"unknown instruction {code:#x}")


SMALL = st.integers(0, 3)
RULES = st.builds(
    DeviceRule, type=st.sampled_from([None, 1, 2]), major=st.none() | SMALL, minor=st.none() | SMALL, access=st.integers(1, 7)
)


@given(st.lists(RULES, max_size=5), st.sampled_from([1, 2]), st.integers(1, 7), SMALL, SMALL)
def test_program_allows_what_some_rule_allows_and_nothing_else(
    rules: list[DeviceRule], kind: int, access: int, major: int, minor: int
) -> None:
    """A request passes if one rule covers its type, its numbers and every kind of access that it asks for."""
    expected = any(
        rule.type in (None, kind) and rule.major in (None, major) and rule.minor in (None, minor) and access & ~rule.access == 0
        for rule in rules
    )
    assert _run(assemble_device_program(rules), kind=kind, access=access, major=major, minor=minor) == int(expected)


def test_rule_is_written_as_in_version_1() -> None:
    """The text form is version 1's, which `--device-cgroup-rule` keeps."""
    assert parse_device_rule("c 136:* rw") == DeviceRule(type=2, major=136, minor=None, access=6)
    assert parse_device_rule("a *:* rwm") == DeviceRule(type=None, major=None, minor=None, access=7)


@pytest.mark.parametrize("text", ["", "c", "c 1:3", "x 1:3 rwm", "c 1 rwm", "c 1:3 q", "c 1:3:4 r", "c a:b r", "c 1:3 "])
def test_rule_of_another_form_is_refused(text: str) -> None:
    """A rule that is not understood must not become one that allows nothing, or everything."""
    with pytest.raises(InvalidParameter, match="device cgroup rule"):
        parse_device_rule(text)
