"""What `build --check` prints."""

from __future__ import annotations

from minidocker.dockerfile.check import check_dockerfile
from minidocker.dockerfile.text import Span
from minidocker.dockerfile.parser import parse_dockerfile
from minidocker.dockerfile.report import render_check, render_source, render_violation

TEXT = "FROM scratch AS Base\nCMD echo \\\n  hi\n"


def test_report_is_buildkits() -> None:
    """Count, then for each finding its rule, what is wrong, and the lines."""
    parsed = parse_dockerfile(TEXT)
    findings = check_dockerfile(parsed)
    assert render_check(findings, parsed.lines, "web/Dockerfile") == (
        "Check complete, 2 warnings have been found!\n"
        "\n"
        "WARNING: StageNameCasing - https://docs.docker.com/go/dockerfile/rule/stage-name-casing/\n"
        "Stage name 'Base' should be lowercase\n"
        "web/Dockerfile:1\n"
        "--------------------\n"
        "   1 | >>> FROM scratch AS Base\n"
        "   2 |     CMD echo \\\n"
        "   3 |       hi\n"
        "--------------------\n"
        "\n"
        "WARNING: JSONArgsRecommended - https://docs.docker.com/go/dockerfile/rule/json-args-recommended/\n"
        "JSON arguments recommended for CMD to prevent unintended behavior related to OS signals\n"
        "web/Dockerfile:2\n"
        "--------------------\n"
        "   1 |     FROM scratch AS Base\n"
        "   2 | >>> CMD echo \\\n"
        "   3 | >>>   hi\n"
        "   4 |     \n"
        "--------------------\n"
    )  # fmt: skip
    assert render_violation(findings) == "lint violation found for rules: StageNameCasing, JSONArgsRecommended"


def test_report_on_nothing_says_so() -> None:
    """One finding is a warning, not warnings."""
    assert render_check((), ()) == "Check complete, no warnings found.\n"
    parsed = parse_dockerfile("FROM a AS B")
    assert render_check(check_dockerfile(parsed), parsed.lines).startswith("Check complete, 1 warning has been found!\n")


def test_source_shows_more_where_there_is_more() -> None:
    """Four lines around one, two around several."""
    lines = [str(number) for number in range(1, 10)]
    assert [row[7:] for row in render_source(Span(first=5, last=5), lines).splitlines()[2:-1]] == ["    3", "    4", ">>> 5", "    6", "    7"]
    assert render_source(Span(first=5, last=5), lines).count(" | ") == 5
    assert render_source(Span(first=1, last=1), lines).count(" | ") == 3
    assert render_source(Span(first=9, last=9), lines).count(" | ") == 3
    assert render_source(Span(first=4, last=6), lines).count(" | ") == 5
