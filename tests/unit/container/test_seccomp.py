"""Seccomp: a profile says what may happen, the filter does exactly that."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from minidocker.codec.bpf import MAX_INSTRUCTIONS, InvalidProgram, SyscallData, parse_program, run_filter
from minidocker.codec.syscalls import AUDIT_ARCH, SYSCALL_MACHINES, load_syscall_numbers
from minidocker.container.capabilities import CAPABILITIES, DEFAULT_CAPABILITIES
from minidocker.container.seccomp import compile_profile, default_profile, describe_answer, explain_filter
from minidocker.container.seccomp_profile import Action, ArgumentTest, Comparison, Conditions, Profile, Rule
from minidocker.errors import NotSupported

KERNEL = (6, 1)
ALLOW, EPERM, ENOSYS, KILL = "allow", "errno EPERM", "errno ENOSYS", "kill process"
NUMBERS = load_syscall_numbers("x86_64")
WORDS = st.one_of(st.integers(0, 2**64 - 1), st.integers(0, 64), st.sampled_from([2**32, 2**32 + 38, 2**32 - 1, 2**63]))


def ask(
    profile: Profile,
    number: int,
    *arguments: int,
    machine: str = "x86_64",
    arch: str | int = "",
    capabilities: frozenset[str] = DEFAULT_CAPABILITIES,
    kernel: tuple[int, int] = KERNEL,
) -> str:
    """Return what the compiled filter answers."""
    program = parse_program(compile_profile(profile, capabilities=capabilities, machine=machine, kernel=kernel))
    audit = arch if isinstance(arch, int) else AUDIT_ARCH[arch or machine]
    return describe_answer(run_filter(program, SyscallData(number=number, arch=audit, arguments=arguments)))


def ask_default(name: str, *arguments: int, add: str = "", machine: str = "x86_64") -> str:
    """Return what the default profile answers to *name* in a container with the capability *add* besides."""
    capabilities = DEFAULT_CAPABILITIES | frozenset(add.split())
    number = load_syscall_numbers(machine)[name]
    return ask(default_profile(), number, *arguments, machine=machine, capabilities=capabilities)


@pytest.mark.parametrize("machine", SYSCALL_MACHINES)
@pytest.mark.parametrize(
    ("name", "arguments", "answer"),
    [
        pytest.param("getpid", (), ALLOW, id="getpid"),
        pytest.param("execve", (), ALLOW, id="execve"),
        pytest.param("ptrace", (), ALLOW, id="ptrace"),
        pytest.param("chroot", (), ALLOW, id="chroot"),
        pytest.param("mount", (), EPERM, id="mount"),
        pytest.param("unshare", (0x10000000,), EPERM, id="unshare"),
        pytest.param("setns", (), EPERM, id="setns"),
        pytest.param("bpf", (), EPERM, id="bpf"),
        pytest.param("keyctl", (), EPERM, id="keyctl"),
        pytest.param("add_key", (), EPERM, id="add_key"),
        pytest.param("io_uring_setup", (), EPERM, id="io_uring"),
        pytest.param("userfaultfd", (), EPERM, id="userfaultfd"),
        pytest.param("init_module", (), EPERM, id="init_module"),
        pytest.param("kexec_load", (), EPERM, id="kexec_load"),
        pytest.param("open_by_handle_at", (), EPERM, id="shocker"),
        pytest.param("clone3", (), ENOSYS, id="clone3-falls-back"),
        pytest.param("clone", (0x01200011,), ALLOW, id="clone-as-fork"),
        pytest.param("clone", (0x003D0F00,), ALLOW, id="clone-as-thread"),
        pytest.param("clone", (0x10000011,), EPERM, id="clone-with-user-namespace"),
        pytest.param("clone", (0x02000011,), EPERM, id="clone-with-cgroup-namespace"),
        pytest.param("socket", (1, 1, 0), ALLOW, id="unix-socket"),
        pytest.param("socket", (10, 1, 0), ALLOW, id="inet6-socket"),
        pytest.param("socket", (16, 3, 0), ALLOW, id="netlink-socket"),
        pytest.param("socket", (38, 5, 0), EPERM, id="af-alg"),
        pytest.param("socket", (39, 1, 0), ALLOW, id="af-nfc"),
        pytest.param("socket", (40, 1, 0), EPERM, id="vsock"),
        pytest.param("socket", (41, 1, 0), ALLOW, id="af-kcm"),
        pytest.param("socket", (2**32 + 38, 5, 0), EPERM, id="af-alg-with-a-high-half"),
        pytest.param("socket", (2**63 + 40, 5, 0), EPERM, id="vsock-with-a-high-half"),
        pytest.param("personality", (0,), ALLOW, id="personality-linux"),
        pytest.param("personality", (0x20008,), ALLOW, id="personality-linux32-uname26"),
        pytest.param("personality", (0xFFFFFFFF,), ALLOW, id="personality-question"),
        pytest.param("personality", (2**64 - 1,), ALLOW, id="personality-question-sign-extended"),
        pytest.param("personality", (0x0040000,), EPERM, id="personality-without-randomization"),
    ],
)
def test_default_profile_answers_as_dockers(machine: str, name: str, arguments: tuple[int, ...], answer: str) -> None:
    """What no ordinary program needs and what has been attacked is refused; EPERM, so that programs can cope."""
    assert ask_default(name, *arguments, machine=machine) == answer


@pytest.mark.parametrize(
    ("capability", "name"),
    [
        pytest.param("CAP_SYS_ADMIN", "mount", id="mount"),
        pytest.param("CAP_SYS_ADMIN", "clone3", id="clone3"),
        pytest.param("CAP_SYS_PTRACE", "kcmp", id="kcmp"),
        pytest.param("CAP_SYS_MODULE", "init_module", id="init_module"),
        pytest.param("CAP_SYS_TIME", "clock_settime", id="clock_settime"),
        pytest.param("CAP_SYSLOG", "syslog", id="syslog"),
        pytest.param("CAP_BPF", "bpf", id="bpf"),
        pytest.param("CAP_PERFMON", "perf_event_open", id="perf"),
        pytest.param("CAP_DAC_READ_SEARCH", "open_by_handle_at", id="open_by_handle_at"),
        pytest.param("CAP_SYS_NICE", "mbind", id="mbind"),
    ],
)
def test_capability_brings_its_system_calls(capability: str, name: str) -> None:
    """`--cap-add` alone must be enough: nobody should have to switch the filter off besides."""
    assert ask_default(name) != ALLOW
    assert ask_default(name, add=capability) == ALLOW


def test_namespace_flags_of_clone_come_with_sys_admin() -> None:
    """The rule with the argument test is excluded, the one without counts."""
    assert ask_default("clone", 0x10000011, add="CAP_SYS_ADMIN") == ALLOW


@pytest.mark.parametrize(
    "capabilities", [DEFAULT_CAPABILITIES, frozenset(CAPABILITIES), frozenset()], ids=["default", "all", "none"]
)
def test_ways_around_the_isolation_stay_closed_for_everybody(capabilities: frozenset[str]) -> None:
    """No capability opens keyrings, io_uring, userfaultfd, kexec or swap: `seccomp=unconfined` has to be said."""
    for name in (
        "add_key",
        "request_key",
        "keyctl",
        "io_uring_setup",
        "userfaultfd",
        "kexec_load",
        "swapon",
        "pivot_root",
    ):
        assert ask(default_profile(), NUMBERS[name], capabilities=capabilities) == EPERM


@pytest.mark.parametrize(
    ("number", "arch", "answer"),
    [
        pytest.param(20, 0x40000003, KILL, id="i386-getpid"),
        pytest.param(39, AUDIT_ARCH["aarch64"], KILL, id="another-machine"),
        pytest.param(0x40000000 | 39, AUDIT_ARCH["x86_64"], ENOSYS, id="x32-getpid"),
        pytest.param(0xFFFFFFFF, AUDIT_ARCH["x86_64"], ENOSYS, id="minus-one"),
        pytest.param(600, AUDIT_ARCH["x86_64"], ENOSYS, id="number-of-the-future"),
        pytest.param(400, AUDIT_ARCH["x86_64"], EPERM, id="number-in-the-gap"),
        pytest.param(NUMBERS["removexattrat"], AUDIT_ARCH["x86_64"], ALLOW, id="newest-named"),
        pytest.param(NUMBERS["removexattrat"] + 1, AUDIT_ARCH["x86_64"], ENOSYS, id="first-unnamed"),
    ],
)
def test_numbers_that_mean_something_else_do_not_pass(number: int, arch: int, answer: str) -> None:
    """A number counts on its machine only; and EPERM for a call of the future would make libc give up."""
    assert ask(default_profile(), number, arch=arch) == answer


def test_deny_list_does_not_leak_through_x32() -> None:
    """Under a default of allow the x32 numbers would be a second door to every refused call."""
    profile = Profile(
        default_action=Action.ALLOW, syscalls=(Rule(names=("mkdir",), action=Action.ERRNO, errno_ret=13),)
    )
    assert ask(profile, NUMBERS["mkdir"]) == "errno EACCES"
    assert ask(profile, NUMBERS["mkdir"] | 0x40000000) == ENOSYS
    assert ask(profile, 600) == ALLOW
    assert ask(profile, 34, machine="aarch64") == ALLOW


COMPARISONS = {
    Comparison.NOT_EQUAL: lambda a, v, w: a != v,
    Comparison.LESS: lambda a, v, w: a < v,
    Comparison.AT_MOST: lambda a, v, w: a <= v,
    Comparison.EQUAL: lambda a, v, w: a == v,
    Comparison.AT_LEAST: lambda a, v, w: a >= v,
    Comparison.GREATER: lambda a, v, w: a > v,
    Comparison.MASKED_EQUAL: lambda a, v, w: a & v == w,
}


@given(
    op=st.sampled_from(Comparison),
    index=st.integers(0, 5),
    argument=WORDS,
    value=WORDS,
    value_two=WORDS,
    near=st.sampled_from([None, -1, 0, 1]),
)
@example(op=Comparison.GREATER, index=0, argument=2**32, value=2**32 - 1, value_two=0, near=None)
@example(op=Comparison.LESS, index=5, argument=2**32, value=2**32, value_two=0, near=None)
@settings(max_examples=200, deadline=None)
def test_64_bit_comparisons_hold_in_32_bit_halves(
    op: Comparison, index: int, argument: int, value: int, value_two: int, near: int | None
) -> None:
    """The machine compares halves; a borrow forgotten between them would open what the profile closes."""
    if near is not None:
        argument = (value + near) % 2**64
    if op is Comparison.MASKED_EQUAL and near is not None:
        value_two = argument & value
    test = ArgumentTest(index=index, op=op, value=value, value_two=value_two)
    profile = Profile(default_action=Action.ERRNO, syscalls=(Rule(names=("read",), action=Action.ALLOW, args=(test,)),))
    answer = ask(profile, NUMBERS["read"], *(argument if i == index else 0 for i in range(6)))
    assert answer == (ALLOW if COMPARISONS[op](argument, value, value_two) else EPERM)


SOME_NAMES = st.sampled_from(["read", "write", "socket", "mseal", "clone3", "no_such_call", "umount"])
TESTS = st.builds(
    ArgumentTest,
    index=st.integers(0, 2),
    op=st.sampled_from(Comparison),
    value=st.integers(0, 3),
    value_two=st.integers(0, 3),
)
RULES = st.builds(
    Rule,
    names=st.lists(SOME_NAMES, min_size=1, max_size=3).map(tuple),
    action=st.sampled_from([Action.ALLOW, Action.ERRNO, Action.KILL_PROCESS]),
    errno_ret=st.sampled_from([None, 1, 5]),
    args=st.lists(TESTS, max_size=3).map(tuple),
    includes=st.builds(Conditions, caps=st.sampled_from([(), ("CAP_KILL",), ("CAP_BPF",)]), min_kernel=st.sampled_from(["", "4.8", "7.0"])),
    excludes=st.builds(Conditions, caps=st.sampled_from([(), ("CAP_KILL", "CAP_BPF"), ("CAP_BPF",)]), arches=st.sampled_from([(), ("amd64",)])),
)  # fmt: skip


def evaluate(profile: Profile, name: str, arguments: tuple[int, ...]) -> str:
    """Return what *profile* says about a call of *name*, read straight from the rules."""

    def says(rule: Rule) -> str:
        errno = {None: EPERM, 1: EPERM, 38: ENOSYS}.get(rule.errno_ret, f"errno {rule.errno_ret}")
        return {Action.ALLOW: ALLOW, Action.ERRNO: errno, Action.KILL_PROCESS: KILL}[rule.action]

    def counts(rule: Rule) -> bool:
        return (
            name in rule.names
            and says(rule) != default
            and DEFAULT_CAPABILITIES.issuperset(rule.includes.caps)
            and rule.includes.min_kernel != "7.0"
            and not DEFAULT_CAPABILITIES.intersection(rule.excludes.caps)
            and "amd64" not in rule.excludes.arches
        )

    def holds(rule: Rule) -> bool:
        results = [COMPARISONS[t.op](arguments[t.index], t.value, t.value_two) for t in rule.args]
        return any(results) if len({t.index for t in rule.args}) < len(rule.args) else all(results)

    default = says(Rule(action=profile.default_action, errno_ret=profile.default_errno_ret))
    relevant = [rule for rule in profile.syscalls if counts(rule)]
    for rule in [rule for rule in relevant if not rule.args] + [rule for rule in relevant if rule.args]:
        if holds(rule):
            return says(rule)
    newest = max(
        (
            NUMBERS[n]
            for r in profile.syscalls
            for n in r.names
            if n in NUMBERS and counts(replace(r, names=(*r.names, name)))
        ),
        default=2**32,
    )
    return ENOSYS if NUMBERS[name] > newest and default != ALLOW else default


@given(
    default=st.sampled_from([Action.ERRNO, Action.ALLOW, Action.KILL_PROCESS]),
    rules=st.lists(RULES, max_size=6),
    name=st.sampled_from(["read", "write", "socket", "mseal", "clone3", "getpid"]),
    arguments=st.tuples(*[st.integers(0, 4)] * 3),
)
@settings(max_examples=300, deadline=None)
def test_filter_answers_what_the_rules_say(
    default: Action, rules: list[Rule], name: str, arguments: tuple[int, ...]
) -> None:
    """The tree, the jumps and the halves are an encoding: read plainly, the rules give the same answer."""
    profile = Profile(default_action=default, syscalls=tuple(rules))
    assert ask(profile, NUMBERS[name], *arguments) == evaluate(profile, name, arguments)


@given(name=st.sampled_from(sorted(NUMBERS)), arguments=st.tuples(WORDS, WORDS))
@settings(max_examples=200, deadline=None)
def test_default_filter_answers_what_the_default_rules_say(name: str, arguments: tuple[int, int]) -> None:
    """The same for the real profile and for any call, where all 64 bits of an argument count."""
    if name in ("socket", "personality"):
        arguments = (arguments[0] % 2**32, arguments[1])
    assert ask_default(name, *arguments) == evaluate(default_profile(), name, arguments)


@pytest.mark.parametrize(("machine", "allowed"), [("x86_64", 309), ("aarch64", 267)])
def test_number_of_allowed_calls_is_known(machine: str, allowed: int) -> None:
    """A name that is lost or added by mistake shows in the count, whatever it is."""
    calls = load_syscall_numbers(machine)
    assert sum(ask_default(name, machine=machine) == ALLOW for name in calls) == allowed


def test_default_filter_is_small() -> None:
    """It runs before every system call of every container; libseccomp makes three times as many instructions."""
    program = compile_profile(default_profile(), capabilities=DEFAULT_CAPABILITIES, machine="x86_64", kernel=KERNEL)
    assert len(parse_program(program)) < 150


def test_equal_containers_share_one_compilation() -> None:
    """Starting a container must not pay for the compiler again."""
    first, second = (
        compile_profile(
            default_profile(), capabilities=frozenset(DEFAULT_CAPABILITIES), machine="aarch64", kernel=KERNEL
        )
        for _ in range(2)
    )
    assert first is second


def test_profile_with_thousands_of_tests_is_refused() -> None:
    """The kernel takes 4096 instructions; a sentence is better than its EINVAL."""
    tests = tuple(ArgumentTest(index=0, op=Comparison.EQUAL, value=n) for n in range(MAX_INSTRUCTIONS // 4))
    profile = Profile(default_action=Action.ERRNO, syscalls=(Rule(names=("read",), action=Action.ALLOW, args=tests),))
    with pytest.raises(InvalidProgram, match="4096"):
        ask(profile, 0)


def test_unknown_machine_is_refused() -> None:
    """Numbers of another machine would allow other calls."""
    with pytest.raises(NotSupported, match="riscv64") as caught:
        compile_profile(default_profile(), capabilities=frozenset(), machine="riscv64", kernel=KERNEL)
    assert "unconfined" in caught.value.hint


@pytest.mark.parametrize(
    ("action", "errno", "words"),
    [
        pytest.param(Action.KILL, None, "kill thread", id="kill"),
        pytest.param(Action.TRAP, None, "trap", id="trap"),
        pytest.param(Action.LOG, None, "log", id="log"),
        pytest.param(Action.TRACE, 7, "trace", id="trace"),
        pytest.param(Action.ERRNO, 95, "errno 95", id="errno"),
        pytest.param(Action.ERRNO, None, EPERM, id="errno-unsaid-is-eperm"),
    ],
)
def test_every_action_has_its_answer(action: Action, errno: int | None, words: str) -> None:
    """All actions of the kernel but the one that asks another process."""
    rule = Rule(names=("read",), action=action, errno_ret=errno)
    assert ask(Profile(default_action=Action.ALLOW, syscalls=(rule,)), NUMBERS["read"]) == words


def test_unknown_answer_is_shown_as_a_number() -> None:
    """A filter from elsewhere may answer what is not known here."""
    assert describe_answer(0x7FC00000) == "0x7fc00000"


def test_explanation_names_calls_and_answers() -> None:
    """`run --explain` is read by people."""
    program = compile_profile(default_profile(), capabilities=DEFAULT_CAPABILITIES, machine="x86_64", kernel=KERNEL)
    text = explain_filter(program)
    for words in (
        "; x86_64",
        "; socket",
        "; mseal",
        "; kill process",
        "; errno ENOSYS",
        "args[0].low",
    ):
        assert words in text
