"""The classic BPF machine: assemble, show and run the programs that seccomp filters are.

Pure. The machine has one 32-bit accumulator, reads a fixed block of 64 bytes, jumps forward only and ends in a return:
it cannot loop, so the kernel need not trust whoever wrote it. An instruction is 8 bytes (`<linux/filter.h>`):

    struct sock_filter { u16 code; u8 jt; u8 jf; u32 k; };      jt and jf: how many instructions to skip

and the block is the system call that is about to be made (`<linux/seccomp.h>`):

    struct seccomp_data { int nr; u32 arch; u64 instruction_pointer; u64 args[6]; };

Programs are written with names for places (`Statement`). A conditional jump skips at most 255 instructions; where a
place is farther away the assembler adds an unconditional jump, which has 32 bits.

Rule: only the nine operations that the filters here are made of; see bpf(4) of the BSDs and seccomp(2). Chapter 19.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import IntEnum
from typing import Final

from minidocker.errors import UserError

__all__ = [
    "ARCH_OFFSET", "INSTRUCTION_BYTES", "MAX_INSTRUCTIONS", "NUMBER_OFFSET", "Instruction", "InvalidProgram",
    "Operation", "Statement", "SyscallData", "argument_offsets", "assemble", "disassemble", "parse_program",
    "render_program", "run_filter",
]  # fmt: skip

INSTRUCTION_BYTES: Final = 8
"""Size of `struct sock_filter`."""

MAX_INSTRUCTIONS: Final = 4096
"""`BPF_MAXINSNS`: longer programs are refused by the kernel."""

NUMBER_OFFSET: Final = 0
"""Where the number of the system call stands."""

ARCH_OFFSET: Final = 4
"""Where the machine stands, as `AUDIT_ARCH_*`."""

_ARGUMENTS_OFFSET: Final = 16
_DATA_BYTES: Final = 64
_MAX_SKIP: Final = 255
_WORD: Final = 0xFFFFFFFF


class InvalidProgram(UserError):
    """A program is too long, jumps nowhere, or uses an instruction that no filter here has."""


class Operation(IntEnum):
    """The operations, with the numbers of `code`; *k* is the operand, *a* the accumulator."""

    LOAD = 0x20
    """a = the 32-bit word at offset k of the data."""
    LOAD_NUMBER = 0x00
    """a = k."""
    AND = 0x54
    """a = a & k."""
    JUMP = 0x05
    """Skip k instructions."""
    IF_EQUAL = 0x15
    """Skip by whether a == k."""
    IF_GREATER = 0x25
    """Skip by whether a > k, without sign."""
    IF_AT_LEAST = 0x35
    """Skip by whether a >= k, without sign."""
    IF_ANY_BIT = 0x45
    """Skip by whether a & k is not zero."""
    RETURN = 0x06
    """Answer k."""


_TESTS: Final[Mapping[Operation, tuple[str, Callable[[int, int], bool]]]] = {
    Operation.IF_EQUAL: ("==", lambda a, k: a == k),
    Operation.IF_GREATER: (">", lambda a, k: a > k),
    Operation.IF_AT_LEAST: (">=", lambda a, k: a >= k),
    Operation.IF_ANY_BIT: ("&", lambda a, k: a & k != 0),
}


@dataclass(frozen=True, slots=True)
class Statement:
    """One operation as people write it; `then` and `otherwise` name places, an empty one is the next statement."""

    operation: Operation
    operand: int = 0
    then: str = field(default="", kw_only=True)
    """Where a test that holds, or `JUMP`, goes on."""
    otherwise: str = field(default="", kw_only=True)
    label: str = field(default="", kw_only=True)
    """The name of this place."""


@dataclass(frozen=True, slots=True)
class Instruction:
    """One `struct sock_filter`."""

    code: Operation
    jt: int
    jf: int
    k: int


@dataclass(frozen=True, slots=True, kw_only=True)
class SyscallData:
    """What a filter sees of a system call. Pointers are numbers: what they point to stays unseen."""

    number: int
    arch: int
    arguments: tuple[int, ...] = ()


def argument_offsets(index: int) -> tuple[int, int]:
    """Return the offsets of the high and the low half of argument *index* (0 to 5) on a little-endian machine."""
    low = _ARGUMENTS_OFFSET + 8 * index
    return low + 4, low


def assemble(statements: Sequence[Statement]) -> tuple[Instruction, ...]:
    """Return the instructions for *statements*, with long jumps where they are needed.

    Raises:
        InvalidProgram: a place is missing, doubled or lies behind, or the program is too long.
    """
    places = _find_places(statements)
    targets = [_find_targets(index, statement, places) for index, statement in enumerate(statements)]
    wide: set[int] = set()
    while True:
        starts = _layout(len(statements), wide)
        grown = {
            index
            for index, statement in enumerate(statements)
            if statement.operation in _TESTS
            and max(starts[target] for target in targets[index]) - starts[index] - 1 > _MAX_SKIP
        }
        if grown <= wide:
            break
        wide |= grown
    if starts[-1] > MAX_INSTRUCTIONS:
        raise InvalidProgram(f"assemble filter: {starts[-1]} instructions, the kernel takes {MAX_INSTRUCTIONS}")
    program: list[Instruction] = []
    for index, statement in enumerate(statements):
        program += _encode(statement, starts, index=index, targets=targets[index], wide=index in wide)
    return tuple(program)


def _find_places(statements: Sequence[Statement]) -> dict[str, int]:
    places: dict[str, int] = {}
    for index, statement in enumerate(statements):
        if statement.label in places:
            raise InvalidProgram(f"assemble filter: two places are called `{statement.label}`")
        if statement.label:
            places[statement.label] = index
    return places


def _find_targets(index: int, statement: Statement, places: Mapping[str, int]) -> tuple[int, int]:
    """Return the indexes of the statements that follow *statement* when its test holds, and when not."""
    found = []
    for name in (statement.then, statement.otherwise):
        target = places.get(name, -1) if name else index + 1
        if target <= index:
            raise InvalidProgram(f"assemble filter: statement {index} jumps to `{name}`, which does not follow it")
        found.append(target)
    return found[0], found[1]


def _layout(count: int, wide: set[int]) -> list[int]:
    """Return where each statement starts, and the length of the whole at the end; a wide test takes three places."""
    starts = [0]
    for index in range(count):
        starts.append(starts[-1] + (3 if index in wide else 1))
    return starts


def _encode(
    statement: Statement, starts: Sequence[int], *, index: int, targets: tuple[int, int], wide: bool
) -> Iterable[Instruction]:
    then, otherwise = (starts[target] - starts[index] - 1 for target in targets)
    operation, operand = statement.operation, statement.operand & _WORD
    if operation is Operation.JUMP:
        return (Instruction(operation, 0, 0, then),)
    if operation not in _TESTS:
        return (Instruction(operation, 0, 0, operand),)
    if not wide:
        return (Instruction(operation, then, otherwise, operand),)
    return (
        Instruction(operation, 0, 1, operand),
        Instruction(Operation.JUMP, 0, 0, then - 1),
        Instruction(Operation.JUMP, 0, 0, otherwise - 2),
    )


def render_program(program: Iterable[Instruction]) -> bytes:
    """Return *program* as `struct sock_filter[]`, in the byte order of the machines that are supported."""
    return b"".join(struct.pack("<HBBI", one.code, one.jt, one.jf, one.k) for one in program)


def parse_program(data: bytes) -> tuple[Instruction, ...]:
    """Return the program that *data* holds, after the checks that the kernel makes before it runs one.

    Raises:
        InvalidProgram: an instruction is unknown, a jump leaves the program, or its end can be run past.
    """
    count, rest = divmod(len(data), INSTRUCTION_BYTES)
    if rest or not 0 < count <= MAX_INSTRUCTIONS:
        raise InvalidProgram(f"parse filter: {len(data)} bytes are not 1 to {MAX_INSTRUCTIONS} instructions of 8 bytes")
    program: list[Instruction] = []
    for index, (code, jt, jf, k) in enumerate(struct.iter_unpack("<HBBI", data)):
        try:
            operation = Operation(code)
        except ValueError as error:
            raise InvalidProgram(f"parse filter: instruction {index} has the unknown code `{code:#x}`") from error
        skip = k if operation is Operation.JUMP else max(jt, jf) if operation in _TESTS else 0
        ends = operation is Operation.RETURN
        if not ends and index + skip + 1 >= count:
            raise InvalidProgram(f"parse filter: instruction {index} leads out of the program")
        if operation is Operation.LOAD and (k % 4 or k >= _DATA_BYTES):
            raise InvalidProgram(f"parse filter: instruction {index} reads at offset {k}, outside of the data")
        program.append(Instruction(operation, jt, jf, k))
    return tuple(program)


def run_filter(program: Sequence[Instruction], data: SyscallData) -> int:
    """Return what *program* answers for a system call, as the kernel would find it.

    Preconditions:
        *program* comes from `assemble` or `parse_program`, so every path ends in a return.
    """
    arguments = (*data.arguments, *(0,) * 6)[:6]
    block = struct.pack("<IIQ6Q", data.number & _WORD, data.arch, 0, *(value & 2**64 - 1 for value in arguments))
    accumulator = place = 0
    while True:
        instruction = program[place]
        place += 1
        match instruction.code:
            case Operation.RETURN:
                return instruction.k
            case Operation.LOAD:
                (accumulator,) = struct.unpack_from("<I", block, instruction.k)
            case Operation.LOAD_NUMBER:
                accumulator = instruction.k
            case Operation.AND:
                accumulator &= instruction.k
            case Operation.JUMP:
                place += instruction.k
            case test:
                place += instruction.jt if _TESTS[test][1](accumulator, instruction.k) else instruction.jf


def disassemble(program: Sequence[Instruction], notes: Mapping[int, str] | None = None) -> str:
    """Return *program* as text, one numbered line for each instruction; *notes* adds a remark after some of them."""
    lines = []
    for index, one in enumerate(program):
        line = f"{index:4}  {_describe(index, one)}"
        note = (notes or {}).get(index, "")
        lines.append(f"{line:<44}; {note}" if note else line)
    return "\n".join(lines)


def _describe(index: int, one: Instruction) -> str:
    match one.code:
        case Operation.LOAD:
            return f"a = {_name_offset(one.k)}"
        case Operation.LOAD_NUMBER:
            return f"a = {one.k:#x}"
        case Operation.AND:
            return f"a &= {one.k:#x}"
        case Operation.JUMP:
            return f"goto {index + 1 + one.k}"
        case Operation.RETURN:
            return f"return {one.k:#010x}"
        case test:
            return f"if a {_TESTS[test][0]} {_show(one.k)} goto {index + 1 + one.jt} else {index + 1 + one.jf}"


def _show(operand: int) -> str:
    """Small numbers are numbers of calls or families, large ones are bits."""
    return str(operand) if operand < 1000 else hex(operand)


def _name_offset(offset: int) -> str:
    if offset >= _ARGUMENTS_OFFSET:
        index, high = divmod(offset - _ARGUMENTS_OFFSET, 8)
        return f"args[{index}].{'high' if high else 'low'}"
    return {NUMBER_OFFSET: "nr", ARCH_OFFSET: "arch"}.get(offset, f"data[{offset}]")
