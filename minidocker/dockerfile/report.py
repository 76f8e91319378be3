"""What `build --check` prints: BuildKit's words and layout, which scripts look for. Pure. Chapter 9."""

from __future__ import annotations

from collections.abc import Sequence

from minidocker.dockerfile.rules import Finding
from minidocker.dockerfile.text import Span

__all__ = ["render_check", "render_source", "render_violation"]


def render_check(findings: Sequence[Finding], lines: Sequence[str], file: str = "Dockerfile") -> str:
    """Return the whole report on a file of *lines*."""
    if not findings:
        return "Check complete, no warnings found.\n"
    count = "1 warning has been found!" if len(findings) == 1 else f"{len(findings)} warnings have been found!"
    parts = [f"Check complete, {count}\n"]
    for finding in findings:
        url = f" - {finding.rule.url}" if finding.rule.url else ""
        parts.append(f"\nWARNING: {finding.rule.title}{url}\n{finding.detail}\n{render_source(finding.span, lines, file)}")
    return "".join(parts)


def render_source(span: Span, lines: Sequence[str], file: str = "Dockerfile") -> str:
    """Return the lines of *span*, marked, with a few around them."""
    first, last = max(1, span.first), min(max(span.first, span.last), len(lines))
    start, end = first, last
    shown, wanted = 0, 4 if first == last else 2
    while shown < wanted:
        shown += (start > 1) + (end < len(lines)) + 1
        start, end = max(1, start - 1), min(len(lines), end + 1)
    rows = (f" {number:3d} | {'>>>' if first <= number <= last else '   '} {lines[number - 1]}\n" for number in range(start, end + 1))
    rule = "--------------------\n"
    return f"{file}:{first}\n{rule}{''.join(rows)}{rule}"


def render_violation(findings: Sequence[Finding]) -> str:
    """Return the error of a build whose file says `check=error=true`."""
    return f"lint violation found for rules: {', '.join(dict.fromkeys(finding.rule.title for finding in findings))}"
