"""How the report of a test machine is judged (`tests/vm/plan.py`)."""

from __future__ import annotations

import pytest

from tests.vm.plan import MACHINES, judge_report

CASE = '<testsuites><testsuite><testcase classname="t" name="n">{}</testcase></testsuite></testsuites>'
REPORTS = {
    "passed": (CASE.format(""), 1, ""),
    "failed": (CASE.format('<failure message="no">trace</failure>'), 0, "t::n failed: no"),
    "error": (CASE.format('<error message="no"/>'), 0, "t::n failed: no"),
    "skip-that-is-allowed": (CASE.format('<skipped message="needs cgroup1: not mounted"/>'), 0, ""),
    "skip-that-should-have-run": (CASE.format('<skipped message="needs overlayfs"/>'), 0, "t::n was skipped and should have run: needs overlayfs"),
    "empty": ("", 0, "the report of the tests is damaged"),
    "cut-off": (CASE[:40], 0, "the report of the tests is damaged"),
    "no-tests": ("<testsuites/>", 0, "no test ran"),
}


@pytest.mark.parametrize(("report", "passed", "problem"), REPORTS.values(), ids=REPORTS)
def test_report_is_judged(report: str, passed: int, problem: str) -> None:
    """A machine is there for what cannot be skipped: a skip without leave is a failure, and so is no report."""
    verdict = judge_report(report.encode(), MACHINES["6.1-cgroup2"])
    assert verdict.passed == passed
    assert (verdict.problems == ()) == (problem == "")
    assert problem in "".join(verdict.problems)


def test_wrong_skip_counts_as_a_failure_in_the_report() -> None:
    """Whoever counts the report afterwards must come to the same result."""
    report = judge_report(REPORTS["skip-that-should-have-run"][0].encode(), MACHINES["6.1-cgroup2"]).report
    assert b"<failure" in report
    assert b"<skipped" not in report
