"""Compile a seccomp profile into the filter that the kernel runs before every system call of a container.

Pure: a profile and a container in, bytes for `minidocker.kernel.seccomp` out. The filter

1. kills whoever calls through another machine's entry (32-bit calls on x86_64): its numbers mean other calls;
2. finds the number in a binary tree over ranges of numbers with the same fate, about eight comparisons;
3. compares arguments where the fate depends on them, in two halves, because the BPF machine has 32 bits;
4. answers.

A number newer than every one that the profile names gets ENOSYS, "no such call", so that a libc which tries it falls back
to an older call; EPERM would make it give up. The numbers of the x32 ABI (bit 30) get the same.

Where rules of one call overlap, the kernel library of runc decides: a rule without argument tests beats those with some,
else the first counts; a rule that says what the default says is skipped.

What does not work: comparing all 64 bits of an argument that the kernel cuts to 32 (`socket`'s family is an `int`).
2**32 + 38 is then greater than 40 and AF_ALG is open. For these arguments the high half is taken as 0.

See seccomp(2), seccomp_rule_add(3). Chapter 19.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from functools import cache
from typing import Final, NamedTuple

from minidocker.codec.bpf import (
    ARCH_OFFSET,
    NUMBER_OFFSET,
    Instruction,
    Operation,
    Statement,
    argument_offsets,
    assemble,
    disassemble,
    parse_program,
    render_program,
)  # fmt: skip
from minidocker.codec.syscalls import AUDIT_ARCH, load_syscall_names, load_syscall_numbers
from minidocker.container.seccomp_profile import (
    EPERM,
    Action,
    ArgumentTest,
    Comparison,
    Conditions,
    Profile,
    Rule,
    default_profile,
    parse_kernel_version,
    parse_profile,
)  # fmt: skip
from minidocker.errors import NotSupported

__all__ = ["compile_profile", "default_profile", "describe_answer", "explain_filter", "parse_profile"]

_ANSWERS: Final[Mapping[Action, int]] = {
    Action.KILL_PROCESS: 0x80000000,
    Action.KILL_THREAD: 0x00000000,
    Action.KILL: 0x00000000,
    Action.TRAP: 0x00030000,
    Action.ERRNO: 0x00050000,
    Action.TRACE: 0x7FF00000,
    Action.LOG: 0x7FFC0000,
    Action.ALLOW: 0x7FFF0000,
}
"""`SECCOMP_RET_*` of `<linux/seccomp.h>`; errno or the tracer's number goes into the low 16 bits."""

_KILL_PROCESS: Final = _ANSWERS[Action.KILL_PROCESS]
_NO_SUCH_CALL: Final = _ANSWERS[Action.ERRNO] | 38
_PERMISSIVE: Final = frozenset({Action.ALLOW, Action.LOG, Action.TRACE})
"""Default actions under which an unknown number is the kernel's business."""

_X32_BIT: Final = 0x40000000

_DOCKER_ARCH: Final[Mapping[str, str]] = {"x86_64": "amd64", "aarch64": "arm64"}

_INT_ARGUMENTS: Final[Mapping[str, frozenset[int]]] = {
    "fcntl": frozenset({0, 1}),
    "ioctl": frozenset({0, 1}),
    "personality": frozenset({0}),
    "prctl": frozenset({0}),
    "setns": frozenset({0, 1}),
    "socket": frozenset({0, 1, 2}),
    "socketpair": frozenset({0, 1, 2}),
}
"""Arguments of which the kernel reads the low half only, among the calls that profiles look into (CVE-2019-10063)."""


class Clause(NamedTuple):
    """One step of a fate: the answer, if all tests hold."""

    tests: tuple[ArgumentTest, ...]
    int_arguments: frozenset[int]
    answer: int


Fate = tuple[Clause, ...]
"""What happens to a system call: the first clause that holds. The last one has no tests."""


def compile_profile(profile: Profile, *, capabilities: frozenset[str], machine: str, kernel: tuple[int, int]) -> bytes:
    """Return the filter for a container with *capabilities* on *machine* (as uname(2) calls it) and *kernel*.

    Raises:
        NotSupported: no table of system calls for *machine*.
        InvalidProgram: the profile gives more instructions than the kernel takes.
    """
    if machine not in AUDIT_ARCH:
        raise NotSupported(
            f"compile seccomp filter: no system call numbers for the machine `{machine}`",
            hint="run with --security-opt seccomp=unconfined",
        )
    return _compile(profile, capabilities, machine, kernel)


@cache
def _compile(profile: Profile, capabilities: frozenset[str], machine: str, kernel: tuple[int, int]) -> bytes:
    rules = [rule for rule in profile.syscalls if _counts(rule, capabilities, _DOCKER_ARCH[machine], kernel)]
    default = _answer(profile.default_action, profile.default_errno_ret)
    fates = _find_fates(rules, default, load_syscall_numbers(machine))
    ranges = _find_ranges(fates, default, machine=machine, permissive=profile.default_action in _PERMISSIVE)
    return render_program(assemble(list(_plan_filter(ranges, AUDIT_ARCH[machine]))))


def _counts(rule: Rule, capabilities: frozenset[str], arch: str, kernel: tuple[int, int]) -> bool:
    """Return whether *rule* is about this container, machine and kernel."""
    wanted, unwanted = rule.includes, rule.excludes
    return not (
        (wanted.arches and arch not in wanted.arches)
        or not capabilities.issuperset(wanted.caps)
        or (wanted.min_kernel and not _is_at_least(kernel, wanted))
        or arch in unwanted.arches
        or not capabilities.isdisjoint(unwanted.caps)
        or (unwanted.min_kernel and _is_at_least(kernel, unwanted))
    )


def _is_at_least(kernel: tuple[int, int], conditions: Conditions) -> bool:
    return kernel >= parse_kernel_version(conditions.min_kernel)


def _answer(action: Action, errno: int | None) -> int:
    data = (EPERM if errno is None else errno) & 0xFFFF if action in (Action.ERRNO, Action.TRACE) else 0
    return _ANSWERS[action] | data


def _find_fates(rules: Sequence[Rule], default: int, numbers: Mapping[str, int]) -> dict[int, Fate]:
    """Return the fate of each number that *rules* name; names without a number here are skipped, as runc does."""
    unconditional: dict[int, Fate] = {}
    conditional: dict[int, list[Clause]] = {}
    for rule in rules:
        answer = _answer(rule.action, rule.errno_ret)
        if answer == default:
            continue
        alternatives = _split_tests(rule.args)
        always = () if rule.args else (Clause((), frozenset(), answer),)
        for name in rule.names or (rule.name,):
            number = numbers.get(name, -1)
            if number < 0:
                continue
            if always:
                unconditional.setdefault(number, always)
            else:
                narrow = _INT_ARGUMENTS.get(name, frozenset())
                conditional.setdefault(number, []).extend(Clause(tests, narrow, answer) for tests in alternatives)
    otherwise = Clause((), frozenset(), default)
    return {number: (*clauses, otherwise) for number, clauses in conditional.items()} | unconditional


def _split_tests(tests: tuple[ArgumentTest, ...]) -> tuple[tuple[ArgumentTest, ...], ...]:
    """Return the alternatives of a rule: one, with all tests, unless an argument is tested twice."""
    return (tests,) if len({test.index for test in tests}) == len(tests) else tuple((test,) for test in tests)


def _find_ranges(fates: Mapping[int, Fate], default: int, *, machine: str, permissive: bool) -> list[tuple[int, Fate]]:
    """Return (first number, fate) of consecutive ranges that cover all numbers."""
    otherwise: Fate = (Clause((), frozenset(), default),)
    no_such_call: Fate = (Clause((), frozenset(), _NO_SUCH_CALL),)
    newest = max(fates, default=-1)
    candidates = [(number, fates.get(number, otherwise)) for number in range(newest + 1)]
    candidates.append((newest + 1, otherwise if permissive or newest < 0 else no_such_call))
    if machine == "x86_64":
        candidates.append((_X32_BIT, no_such_call))
    return [one for index, one in enumerate(candidates) if not index or one[1] != candidates[index - 1][1]]


def _plan_filter(ranges: Sequence[tuple[int, Fate]], arch: int) -> Iterator[Statement]:
    """Yield the whole filter: the machine, the tree, the argument tests, the answers."""
    yield Statement(Operation.LOAD, ARCH_OFFSET)
    yield Statement(Operation.IF_EQUAL, arch, otherwise=_place_of_answer(_KILL_PROCESS))
    yield Statement(Operation.LOAD, NUMBER_OFFSET)
    places: dict[Fate, str] = {}
    for start, fate in ranges:
        places.setdefault(fate, f"call {start}" if fate[0].tests else _place_of_answer(fate[0].answer))
    if len(ranges) == 1:
        yield Statement(Operation.JUMP, then=places[ranges[0][1]])
    else:
        yield from _plan_tree([(start, places[fate]) for start, fate in ranges])
    for fate, place in places.items():
        yield from _plan_clauses(fate, place)
    for answer in dict.fromkeys((_KILL_PROCESS, *(clause.answer for fate in places for clause in fate))):
        yield Statement(Operation.RETURN, answer, label=_place_of_answer(answer))


def _place_of_answer(answer: int) -> str:
    return f"answer {answer:#x}"


def _plan_tree(ranges: Sequence[tuple[int, str]], label: str = "") -> Iterator[Statement]:
    """Yield a binary search for the range that the number lies in; each leaf is a place to go on."""
    middle = len(ranges) // 2
    halves = ranges[:middle], ranges[middle:]
    below, above = (half[0][1] if len(half) == 1 else f"from {half[0][0]} to {half[-1][0]}" for half in halves)
    yield Statement(Operation.IF_AT_LEAST, ranges[middle][0], then=above, otherwise=below, label=label)
    for half, place in zip(halves, (below, above), strict=True):
        if len(half) > 1:
            yield from _plan_tree(half, place)


def _plan_clauses(fate: Fate, place: str) -> Iterator[Statement]:
    """Yield the argument tests of *fate*, clause after clause; without tests there is nothing to do."""
    starts = [f"{place}.{i}" if clause.tests else _place_of_answer(clause.answer) for i, clause in enumerate(fate)]
    starts[0] = place
    for clause, start, following in zip(fate, starts, starts[1:], strict=False):
        steps = [start, *(f"{start} and {i}" for i in range(1, len(clause.tests))), _place_of_answer(clause.answer)]
        for test, here, there in zip(clause.tests, steps, steps[1:], strict=False):
            narrow = test.index in clause.int_arguments
            yield from _plan_test(test, narrow, label=here, holds=there, fails=following)


def _plan_test(test: ArgumentTest, narrow: bool, *, label: str, holds: str, fails: str) -> Iterator[Statement]:
    """Yield one comparison of 64 bits, the high half first; less than is the failure of at least, and so on."""
    high_offset, low_offset = argument_offsets(test.index)
    load_high = (Operation.LOAD_NUMBER, 0) if narrow else (Operation.LOAD, high_offset)
    yield Statement(*load_high, label=label)
    if test.op in (Comparison.LESS, Comparison.AT_MOST, Comparison.NOT_EQUAL):
        holds, fails = fails, holds
    if test.op in (Comparison.EQUAL, Comparison.NOT_EQUAL, Comparison.MASKED_EQUAL):
        is_masked = test.op is Comparison.MASKED_EQUAL
        mask, value = (test.value, test.value_two) if is_masked else (-1, test.value)
        if is_masked:
            yield Statement(Operation.AND, mask >> 32)
        yield Statement(Operation.IF_EQUAL, value >> 32, otherwise=fails)
        yield Statement(Operation.LOAD, low_offset)
        if is_masked:
            yield Statement(Operation.AND, mask)
        yield Statement(Operation.IF_EQUAL, value, then=holds, otherwise=fails)
        return
    yield Statement(Operation.IF_GREATER, test.value >> 32, then=holds)
    yield Statement(Operation.IF_EQUAL, test.value >> 32, otherwise=fails)
    yield Statement(Operation.LOAD, low_offset)
    at_least = test.op in (Comparison.AT_LEAST, Comparison.LESS)
    last = Operation.IF_AT_LEAST if at_least else Operation.IF_GREATER
    yield Statement(last, test.value, then=holds, otherwise=fails)


_ERRNO_NAMES: Final[Mapping[int, str]] = {1: "EPERM", 13: "EACCES", 22: "EINVAL", 38: "ENOSYS"}
"""Linux numbers; the `errno` module has those of the machine that one reads on."""


def describe_answer(answer: int) -> str:
    """Return what a filter's answer means: `allow`, `errno EPERM`, `kill process`."""
    action, data = answer & 0xFFFF0000, answer & 0xFFFF
    if action == _ANSWERS[Action.ERRNO]:
        return f"errno {_ERRNO_NAMES.get(data, data)}"
    names = {
        value: name.removeprefix("SCMP_ACT_").replace("_", " ").lower()
        for name, value in _ANSWERS.items()
        if name != Action.KILL
    }
    return names.get(action, f"{answer:#010x}")


def explain_filter(program: bytes) -> str:
    """Return *program* as text, with the names of system calls and answers beside the numbers."""
    instructions = parse_program(program)
    archs = {arch: machine for machine, arch in AUDIT_ARCH.items()}
    machine = next((archs[one.k] for one in instructions if one.k in archs), "")
    names = load_syscall_names(machine) if machine else {}
    notes: dict[int, str] = {}
    loaded = -1
    for index, one in enumerate(instructions):
        loaded = one.k if one.code is Operation.LOAD else loaded
        notes[index] = _note(one, loaded, machine, names)
    return disassemble(instructions, notes)


def _note(one: Instruction, loaded: int, machine: str, names: Mapping[int, str]) -> str:
    """Return a remark on *one*; *loaded* is the offset that the accumulator was filled from."""
    if one.code is Operation.RETURN:
        return describe_answer(one.k)
    if one.code is Operation.IF_EQUAL and loaded == ARCH_OFFSET:
        return machine
    if one.code is Operation.IF_AT_LEAST and loaded == NUMBER_OFFSET:
        return names.get(one.k, "x32" if one.k == _X32_BIT else "")
    return ""
