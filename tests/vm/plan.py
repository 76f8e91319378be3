"""Which machines there are, which tests run in each, and which of them may be skipped there.

Software emulation is 8 to 12 times slower than the host, so a machine runs what depends on its kernel and its control groups, not
the whole suite; see `tests/linux` for that.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final
from xml.etree import ElementTree

__all__ = ["MACHINES", "Machine", "Verdict", "judge_report", "names_of"]

BASICS: Final = (
    "tests/linux/test_limits.py",
    "tests/linux/test_run.py::test_limits_are_written_to_the_control_group",
    "tests/linux/test_run.py::test_fork_bomb_stops_at_the_pids_limit",
    "tests/linux/test_run.py::test_pause_freezes_and_unpause_thaws",
    "tests/linux/test_run.py::test_container_is_gone_after_rm",
    "tests/linux/test_run.py::test_exec_shares_everything_with_the_container",
    "tests/linux/test_run.py::test_stop_sends_term_first",
    "tests/linux/test_run.py::test_host_devices_are_out_of_reach",
)
"""What has to be the same whatever the kernel: limits and their reports, the freezer, devices, the way in and the way out."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Machine:
    """A kernel with one version of control groups, and what is tested there."""

    kernel: str
    cgroup_version: int
    tests: tuple[str, ...]
    may_skip: tuple[str, ...] = ()
    """Reasons (regular expressions) for which a test may be skipped there; any other skip is a failure."""
    limit_s: float = 780.0
    """An ordinary run takes two to four minutes on two processors; a machine that hangs is ended then."""


MACHINES: Final = {
    "6.1-cgroup2": Machine(
        kernel="6.1", cgroup_version=2, may_skip=(r"needs cgroup1\b", r"needs `?nft\b"),
        tests=(*BASICS, "tests/linux/test_network_bridge.py", "tests/linux/test_seccomp_filter.py"),
    ),
    "6.1-cgroup1": Machine(kernel="6.1", cgroup_version=1, may_skip=(r"needs cgroup2\b",), tests=BASICS),
    "6.12-cgroup2": Machine(
        kernel="6.12", cgroup_version=2, may_skip=(r"needs cgroup1\b", r"needs `?nft\b"), tests=(*BASICS, "tests/linux/test_network_bridge.py")
    ),
}  # fmt: skip


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """What the report of one machine comes to."""

    passed: int
    problems: tuple[str, ...]
    """A line for each test that failed, and for each that was skipped and should have run."""
    report: bytes = b""
    """The report with each skip that is not allowed turned into a failure, for whoever counts."""


def judge_report(report: bytes, machine: Machine) -> Verdict:
    """Return what the JUnit XML in *report* says; one that is empty, cut off or without tests is a problem, too."""
    try:
        root = ElementTree.fromstring(report)
    except ElementTree.ParseError as error:
        return Verdict(passed=0, problems=(f"the report of the tests is damaged ({error}): the machine ended before they did",))
    cases = list(root.iter("testcase"))
    problems = [problem for case in cases for problem in _problems_of(case, machine)]
    passed = sum(1 for case in cases if not any(case.find(tag) is not None for tag in ("failure", "error", "skipped")))
    if not cases:
        problems = ["no test ran"]
    return Verdict(passed=passed, problems=tuple(problems), report=ElementTree.tostring(root))


def _problems_of(case: ElementTree.Element, machine: Machine) -> Iterator[str]:
    """Yield what is wrong with one test; a skip that is not allowed becomes a failure."""
    name = f"{case.get('classname', '')}::{case.get('name', '')}"
    for mark in list(case):
        message = mark.get("message", "")
        if mark.tag in ("failure", "error"):
            yield f"{name} failed: {message or 'no message'}\n{mark.text or ''}"
        elif mark.tag == "skipped" and not any(re.search(reason, message) for reason in machine.may_skip):
            mark.tag = "failure"
            yield f"{name} was skipped and should have run: {message}"


def names_of(words: Sequence[str]) -> list[str]:
    """Return the machines that *words* name, all for none.

    Raises:
        SystemExit: there is no such machine.
    """
    unknown = [word for word in words if word not in MACHINES]
    if unknown:
        raise SystemExit(f"tests.vm: no machine `{unknown[0]}`; there are {', '.join(MACHINES)}")
    return list(words or MACHINES)
