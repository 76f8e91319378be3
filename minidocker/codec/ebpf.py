"""The eBPF program that decides about devices in a version 2 control group.

Pure. Version 1 had files for it (`devices.allow`); in version 2 the kernel asks a program on every open and mknod of a device.
It gets `struct bpf_cgroup_dev_ctx` of `<linux/bpf.h>`: access (mknod 1, read 2, write 4) in the upper and type (block 1,
character 2) in the lower half of the first word, then major, then minor; it answers 1 for yes.

An instruction is 8 bytes: code, registers (source and destination, 4 bits each), 16-bit jump offset, 32-bit constant. Only the
seven codes below are used. See `Documentation/bpf/standardization/instruction-set.rst` of the kernel. Chapter 17.
"""

from __future__ import annotations

import struct
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from minidocker.errors import InvalidParameter

__all__ = ["DeviceRule", "assemble_device_program", "parse_device_rule"]

LOAD_WORD: Final = 0x61
"""destination = *(u32 *)(source + offset)"""
AND_CONSTANT: Final = 0x54
SHIFT_RIGHT_CONSTANT: Final = 0x74
MOVE_REGISTER: Final = 0xBF
MOVE_CONSTANT: Final = 0xB7
JUMP_UNLESS_CONSTANT: Final = 0x55
JUMP_UNLESS_REGISTER: Final = 0x5D
EXIT: Final = 0x95

_RESULT, _CONTEXT, _TYPE, _ACCESS, _MAJOR, _MINOR, _SCRATCH = range(7)
"""Registers: the kernel passes the context in 1 and takes the result from 0."""
_TYPES: Final = {"b": 1, "c": 2, "a": None}
_PERMISSIONS: Final = {"m": 1, "r": 2, "w": 4}
_EVERYTHING: Final = 7


@dataclass(frozen=True, slots=True, kw_only=True)
class DeviceRule:
    """Which access to which devices is allowed; None stands for any."""

    type: int | None
    major: int | None
    minor: int | None
    access: int


def parse_device_rule(text: str) -> DeviceRule:
    """Return the rule that `c 136:* rwm` spells, the form of version 1's files and of `--device-cgroup-rule`.

    Raises:
        InvalidParameter: another form.
    """
    words = text.split(" ")
    numbers = words[1].split(":") if len(words) == 3 else []
    valid = len(numbers) == 2 and all(n == "*" or n.isdigit() for n in numbers)
    if not valid or words[0] not in _TYPES or not words[2] or not set(words[2]) <= set(_PERMISSIONS):
        raise InvalidParameter(f"invalid device cgroup rule format: '{text}'", hint="such as `c 1:3 rwm`")
    major, minor = (None if n == "*" else int(n) for n in numbers)
    return DeviceRule(type=_TYPES[words[0]], major=major, minor=minor, access=sum(_PERMISSIONS[p] for p in set(words[2])))


def _instruction(code: int, destination: int = 0, source: int = 0, offset: int = 0, constant: int = 0) -> bytes:
    return struct.pack("<BBhi", code, source << 4 | destination, offset, constant)


def assemble_device_program(rules: Sequence[DeviceRule]) -> bytes:
    """Return the program that allows what any of *rules* allows, and nothing else."""
    program = [
        _instruction(LOAD_WORD, _TYPE, _CONTEXT, 0),
        _instruction(AND_CONSTANT, _TYPE, constant=0xFFFF),
        _instruction(LOAD_WORD, _ACCESS, _CONTEXT, 0),
        _instruction(SHIFT_RIGHT_CONSTANT, _ACCESS, constant=16),
        _instruction(LOAD_WORD, _MAJOR, _CONTEXT, 4),
        _instruction(LOAD_WORD, _MINOR, _CONTEXT, 8),
    ]
    for rule in rules:
        program += _assemble_rule(rule)
    return b"".join([*program, _instruction(MOVE_CONSTANT, _RESULT, constant=0), _instruction(EXIT)])


def _assemble_rule(rule: DeviceRule) -> list[bytes]:
    """Tests that jump over the two last instructions, `return 1`, unless they hold."""
    tests: list[tuple[int, int, int, int]] = []
    if rule.type is not None:
        tests.append((JUMP_UNLESS_CONSTANT, _TYPE, 0, rule.type))
    if rule.access != _EVERYTHING:
        tests.append((MOVE_REGISTER, _SCRATCH, _ACCESS, 0))
        tests.append((AND_CONSTANT, _SCRATCH, 0, rule.access))
        tests.append((JUMP_UNLESS_REGISTER, _SCRATCH, _ACCESS, 0))  # something was asked for that is not allowed
    if rule.major is not None:
        tests.append((JUMP_UNLESS_CONSTANT, _MAJOR, 0, rule.major))
    if rule.minor is not None:
        tests.append((JUMP_UNLESS_CONSTANT, _MINOR, 0, rule.minor))
    jumps = (JUMP_UNLESS_CONSTANT, JUMP_UNLESS_REGISTER)
    return [
        _instruction(code, destination, source, len(tests) - place + 1 if code in jumps else 0, constant)
        for place, (code, destination, source, constant) in enumerate(tests)
    ] + [_instruction(MOVE_CONSTANT, _RESULT, constant=1), _instruction(EXIT)]
