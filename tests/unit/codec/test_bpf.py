"""Classic BPF: what is assembled runs, and what runs answers as the statements say."""

from __future__ import annotations

import struct

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from minidocker.codec.bpf import (
    MAX_INSTRUCTIONS,
    Instruction,
    InvalidProgram,
    Operation,
    Statement,
    SyscallData,
    argument_offsets,
    assemble,
    disassemble,
    parse_program,
    render_program,
    run_filter,
)

WORDS = st.integers(0, 2**32 - 1)


def decide(number: int, *, distance: int) -> tuple[Instruction, ...]:
    """Return a program that answers 1 for *number* and 2 for others, with *distance* idle statements on the way."""
    return assemble(
        [
            Statement(Operation.LOAD, 0),
            Statement(Operation.IF_EQUAL, number, then="yes", otherwise="no"),
            *[Statement(Operation.LOAD_NUMBER, 0)] * distance,
            Statement(Operation.RETURN, 1, label="yes"),
            Statement(Operation.RETURN, 2, label="no"),
        ]
    )


@given(number=WORDS, called=WORDS, distance=st.sampled_from([0, 1, 253, 254, 255, 256, 700]))
@example(number=5, called=5, distance=254)
@example(number=5, called=6, distance=254)
@settings(max_examples=60, deadline=None)
def test_jump_of_any_distance_reaches_its_place(number: int, called: int, distance: int) -> None:
    """A test skips 255 instructions at most; farther places are reached through an added jump, with the same answer."""
    program = decide(number, distance=distance)
    assert run_filter(program, SyscallData(number=called, arch=0)) == (1 if called == number else 2)
    assert all(one.jt <= 255 and one.jf <= 255 for one in program)


def test_long_jump_costs_two_instructions_only_where_needed() -> None:
    """The assembler widens what is too far and nothing else: short filters stay short."""
    assert len(decide(1, distance=254)) == 4 + 254
    assert len(decide(1, distance=255)) == 4 + 255 + 2


def test_widening_one_jump_widens_those_that_it_pushed_too_far() -> None:
    """Room taken by a long jump can make another one long; the layout is repeated until nothing changes."""
    program = assemble(
        [
            Statement(Operation.IF_EQUAL, 0, then="near"),
            Statement(Operation.IF_EQUAL, 1, then="far"),
            *[Statement(Operation.LOAD_NUMBER, 0)] * 254,
            Statement(Operation.RETURN, 1, label="near"),
            Statement(Operation.RETURN, 2),
            Statement(Operation.RETURN, 3, label="far"),
        ]
    )
    assert [one.code for one in program].count(Operation.JUMP) == 4
    assert run_filter(program, SyscallData(number=0, arch=0)) == 1


@given(
    st.lists(
        st.tuples(
            st.sampled_from([op for op in Operation if op.name.startswith("IF")]),
            WORDS,
            st.integers(1, 20),
            st.integers(1, 20),
        ),
        max_size=20,
    ),
    WORDS,
)
@settings(max_examples=50, deadline=None)
def test_program_survives_rendering_and_parsing(tests: list[tuple[Operation, int, int, int]], number: int) -> None:
    """Bytes are the same program: the kernel gets what was assembled."""
    count = len(tests)
    statements = [Statement(Operation.LOAD, 0)]
    for index, (operation, operand, then, otherwise) in enumerate(tests):
        places = (f"p{min(index + skip, count)}" for skip in (then, otherwise))
        statements.append(Statement(operation, operand, then=next(places), otherwise=next(places), label=f"p{index}"))
    statements.append(Statement(Operation.RETURN, 7, label=f"p{count}"))
    program = assemble(statements)
    assert parse_program(render_program(program)) == program
    assert run_filter(program, SyscallData(number=number, arch=0)) == 7
    assert len(disassemble(program).splitlines()) == len(program)


@given(st.binary(max_size=64))
@settings(max_examples=200, deadline=None)
def test_garbage_raises_only_invalid_program(data: bytes) -> None:
    """Whatever parses can be run to its end: the checks are those that let the kernel trust a stranger's program."""
    try:
        program = parse_program(data)
    except InvalidProgram:
        return
    assert 0 <= run_filter(program, SyscallData(number=1, arch=2, arguments=(3,))) < 2**32


@pytest.mark.parametrize(
    ("operation", "operand", "holds_for", "fails_for"),
    [
        pytest.param(Operation.IF_EQUAL, 7, (7,), (6, 8), id="equal"),
        pytest.param(Operation.IF_GREATER, 7, (8, 2**32 - 1), (0, 7), id="greater-without-sign"),
        pytest.param(Operation.IF_AT_LEAST, 7, (7, 2**31), (0, 6), id="at-least"),
        pytest.param(Operation.IF_ANY_BIT, 6, (2, 4, 6, 7), (0, 1, 8), id="any-bit"),
    ],
)
def test_each_test_takes_its_two_ways(
    operation: Operation, operand: int, holds_for: tuple[int, ...], fails_for: tuple[int, ...]
) -> None:
    """Comparisons have no sign: a number with the highest bit is large."""
    program = assemble(
        [
            Statement(Operation.LOAD, 0),
            Statement(operation, operand, then="yes"),
            Statement(Operation.RETURN, 0),
            Statement(Operation.RETURN, 1, label="yes"),
        ]
    )
    answers = {n: run_filter(program, SyscallData(number=n, arch=0)) for n in (*holds_for, *fails_for)}
    assert answers == dict.fromkeys(holds_for, 1) | dict.fromkeys(fails_for, 0)


@pytest.mark.parametrize("index", range(6))
def test_argument_halves_stand_where_struct_seccomp_data_has_them(index: int) -> None:
    """An argument has 64 bits, the machine 32: the low half stands first on little-endian machines."""
    arguments = tuple(0x1111_0000_2222_0000 + n * 0x0000_0001_0000_0001 for n in range(6))
    answers = []
    for offset, wanted in zip(argument_offsets(index), (0x1111_0000 + index, 0x2222_0000 + index), strict=True):
        program = assemble(
            [
                Statement(Operation.LOAD, offset),
                Statement(Operation.IF_EQUAL, wanted, otherwise="no"),
                Statement(Operation.RETURN, 1),
                Statement(Operation.RETURN, 0, label="no"),
            ]
        )
        answers.append(run_filter(program, SyscallData(number=0, arch=0, arguments=arguments)))
    assert answers == [1, 1]


@pytest.mark.parametrize(
    ("statements", "complaint"),
    [
        pytest.param([Statement(Operation.JUMP, then="nowhere")], "`nowhere`", id="missing-place"),
        pytest.param(
            [Statement(Operation.LOAD, 0, label="back"), Statement(Operation.JUMP, then="back")], "`back`", id="loop"
        ),
        pytest.param(
            [Statement(Operation.RETURN, 0, label="a"), Statement(Operation.RETURN, 0, label="a")],
            "two places",
            id="double",
        ),
        pytest.param([Statement(Operation.RETURN, 0)] * (MAX_INSTRUCTIONS + 1), "4097", id="too-long"),
    ],
)
def test_program_that_the_kernel_would_refuse_is_not_assembled(statements: list[Statement], complaint: str) -> None:
    """The kernel says EINVAL for each of these; here the sentence names the place."""
    with pytest.raises(InvalidProgram, match=complaint):
        assemble(statements)


@pytest.mark.parametrize(
    ("instructions", "complaint"),
    [
        pytest.param([], "0 bytes", id="empty"),
        pytest.param([(0x06, 0, 0, 0), (0x20, 0, 0, 0)], "instruction 1 leads out", id="runs-off-the-end"),
        pytest.param([(0x15, 3, 0, 0), (0x06, 0, 0, 0)], "instruction 0 leads out", id="jumps-off-the-end"),
        pytest.param([(0x20, 0, 0, 64), (0x06, 0, 0, 0)], "offset 64", id="reads-outside"),
        pytest.param([(0x20, 0, 0, 2), (0x06, 0, 0, 0)], "offset 2", id="reads-across"),
        pytest.param([(0x07, 0, 0, 0), (0x06, 0, 0, 0)], "`0x7`", id="unknown-code"),
    ],
)
def test_unsafe_bytes_are_refused(instructions: list[tuple[int, int, int, int]], complaint: str) -> None:
    """A filter comes from outside, too; it is checked before it is run."""
    with pytest.raises(InvalidProgram, match=complaint):
        parse_program(b"".join(struct.pack("<HBBI", *one) for one in instructions))


def test_disassembly_reads_as_a_program() -> None:
    """People read `--explain`: places are numbers of lines, data has names, remarks stand behind."""
    program = assemble(
        [
            Statement(Operation.LOAD, 4),
            Statement(Operation.IF_EQUAL, 0xC000003E, otherwise="end"),
            Statement(Operation.LOAD, argument_offsets(1)[0]),
            Statement(Operation.AND, 0xFF00),
            Statement(Operation.IF_ANY_BIT, 4, then="end"),
            Statement(Operation.LOAD_NUMBER, 3),
            Statement(Operation.JUMP, then="end"),
            Statement(Operation.RETURN, 0, label="end"),
        ]
    )
    assert [line.split(maxsplit=1)[1] for line in disassemble(program, {7: "kill thread"}).splitlines()] == [
        "a = arch",
        "if a == 0xc000003e goto 2 else 7",
        "a = args[1].high",
        "a &= 0xff00",
        "if a & 4 goto 7 else 5",
        "a = 0x3",
        "goto 7",
        "return 0x00000000                     ; kill thread",
    ]
