"""Results of a class as JSON, JUnit XML, CSV, or one HTML page that needs nothing else.

Pure. The document is what `chapters.grade` makes: the exercises, and for each student points, messages and every test.
"""

from __future__ import annotations

import csv
import html
import io
import json
from collections import Counter
from collections.abc import Callable, Mapping
from typing import Any, Final
from xml.etree import ElementTree

__all__ = ["RENDERERS", "find_weak_spots"]

Document = Mapping[str, Any]
SHOWN_WEAK_SPOTS = 12


def render_json(document: Document) -> str:
    """Return everything."""
    return json.dumps(document, indent=1) + "\n"


def render_junit(document: Document) -> str:
    """Return one test suite for each student, as build servers read it."""
    suites = ElementTree.Element("testsuites", name="minidocker")
    for student in document["students"]:
        tests = [(exercise, test) for exercise in student["exercises"] for test in exercise["tests"]]
        refused = [exercise for exercise in student["exercises"] if exercise["status"] == "error"]
        failures = sum(not test["passed"] for _, test in tests)
        suite = ElementTree.SubElement(
            suites, "testsuite", name=student["student"], tests=str(len(tests) + len(refused)), failures=str(failures), errors=str(len(refused))
        )
        for exercise, test in tests:
            case = ElementTree.SubElement(suite, "testcase", classname=exercise["id"], name=test["test"] + (f"[{test['case']}]" if test["case"] else ""))
            if not test["passed"]:
                ElementTree.SubElement(case, "failure", message=_printable(test["message"].partition("\n")[0])).text = _printable(test["message"])
        for exercise in refused:
            case = ElementTree.SubElement(suite, "testcase", classname=exercise["id"], name="could be run")
            ElementTree.SubElement(case, "error", message=_printable(exercise["message"]))
    return ElementTree.tostring(suites, encoding="unicode", xml_declaration=True) + "\n"


def _printable(text: str) -> str:
    """Return *text* without the control characters that XML has no way to write."""
    return "".join(c if c >= " " or c in "\t\n" else "\ufffd" for c in text if not "\ud800" <= c <= "\udfff" and c not in "\ufffe\uffff")


def render_csv(document: Document) -> str:
    """Return one line for each student, for a spreadsheet: no cell begins with what a spreadsheet would compute."""
    names = [exercise["id"] for exercise in document["exercises"]]
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(["student", *names, "points", "max_points", "message"])
    for student in document["students"]:
        points = {exercise["id"]: exercise["points"] for exercise in student["exercises"]}
        cells = [student["student"], *(points.get(name, 0) for name in names), student["points"], student["max_points"], student["message"]]
        writer.writerow([f"'{cell}" if str(cell)[:1] in ("=", "+", "-", "@") else cell for cell in cells])
    return out.getvalue()


def find_weak_spots(document: Document) -> list[tuple[str, str, int, int]]:
    """Return (exercise, test, students that fail it, students that were tested), the most failed first."""
    failed: Counter[tuple[str, str]] = Counter()
    tried: Counter[tuple[str, str]] = Counter()
    for student in document["students"]:
        for exercise in student["exercises"]:
            names = {test["test"] for test in exercise["tests"]}
            bad = {test["test"] for test in exercise["tests"] if not test["passed"]}
            tried.update((exercise["id"], name) for name in names)
            failed.update((exercise["id"], name) for name in bad)
    order = sorted(failed, key=lambda key: (-failed[key] / tried[key], key))
    return [(*key, failed[key], tried[key]) for key in order]


def render_html(document: Document) -> str:
    """Return the class as one page: points, weak spots, and under each student what failed and why."""
    names = [exercise["id"] for exercise in document["exercises"]]
    head = "".join(f"<th scope=col>{html.escape(name)}</th>" for name in names)
    rows, details = [], []
    for student in document["students"]:
        by_id = {exercise["id"]: exercise for exercise in student["exercises"]}
        name = html.escape(student["student"])
        cells = "".join(_render_cell(by_id.get(exercise)) for exercise in names)
        rows.append(f"<tr><th scope=row>{name}</th>{cells}<td class=sum>{student['points']:g}/{student['max_points']}</td></tr>")
        details.append(f"<details><summary>{name}: {student['points']:g} of {student['max_points']} {html.escape(student['message'])}</summary>{''.join(map(_render_exercise, student['exercises']))}</details>")
    weak = "".join(
        f"<li><b>{count} of {of}</b> {html.escape(exercise)}: {html.escape(test.removeprefix('test_').replace('_', ' '))}</li>"
        for exercise, test, count, of in find_weak_spots(document)[:SHOWN_WEAK_SPOTS]
    )
    return (
        f"<!doctype html><html lang=en><meta charset=utf-8><meta name=viewport content='width=device-width'><title>Results</title><style>{_STYLE}</style>"
        f"<h1>Results</h1><p>{len(rows)} students, {len(names)} exercises. Submissions ran in: {html.escape(document['isolation'])}.</p>"
        f"<h2>Weak spots of the class</h2><ol>{weak or '<li>none</li>'}</ol><h2>Points</h2><div class=wide><table><tr><th></th>{head}<th>sum</th></tr>{''.join(rows)}</table></div>"
        f"<h2>Students</h2>{''.join(details)}</html>\n"
    )


_STYLE: Final = (
    ":root{color-scheme:light dark}body{font:16px/1.4 system-ui,sans-serif;max-width:70rem;margin:2rem auto;padding:0 1rem}.wide{overflow-x:auto}"
    "table{border-collapse:collapse}th,td{padding:.2rem .6rem;text-align:right}th[scope=row]{text-align:left}tr:nth-child(even){background:#8882}"
    ".pass{color:#080}.fail{color:#b50}.error{color:#c00}@media(prefers-color-scheme:dark){.pass{color:#6d6}.fail{color:#fa6}.error{color:#f77}}"
    "pre{white-space:pre-wrap;margin:.2rem 0 .6rem 1rem}details{margin:.3rem 0}"
)


def _render_cell(exercise: Mapping[str, Any] | None) -> str:
    if exercise is None:
        return "<td class=error>–</td>"
    return f"<td class={exercise['status']} title='{html.escape(exercise['message'], quote=True)}'>{exercise['points']:g}</td>"


def _render_exercise(exercise: Mapping[str, Any]) -> str:
    failed = [test for test in exercise["tests"] if not test["passed"]]
    lines = "".join(
        f"<li>{html.escape(test['test'].removeprefix('test_').replace('_', ' '))}<pre>{html.escape(test['message'])}</pre></li>" for test in failed
    )
    title = f"{html.escape(exercise['id'])}: {exercise['points']:g} of {exercise['max_points']} {html.escape(exercise['message'])}"
    return f"<p class={exercise['status']}>{title}</p>" + (f"<ul>{lines}</ul>" if lines else "")


RENDERERS: Final[Mapping[str, Callable[[Document], str]]] = {".json": render_json, ".xml": render_junit, ".csv": render_csv, ".html": render_html}
"""End of a file's name → what is written into it."""
