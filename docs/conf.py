"""How the documentation is built: `sphinx-build -W -n --keep-going -c docs . build/html`, from the checkout's root.

The root is the source directory, so that chapters lie beside the code they include. Pages whose text is a matter of fact are
made from the code while they are read: a line `% generated: NAME` stands for what `_GENERATORS[NAME]` returns, and so
cannot be out of date.
"""

from __future__ import annotations

import importlib
import inspect
import sys
import typing
from collections.abc import Callable
from pathlib import Path

from sphinx.application import Sphinx

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

project = "minidocker"
author = "the minidocker authors"
extensions = ["myst_parser", "docs.web.extension"]
root_doc = "docs/index"
include_patterns = ["docs/**", "chapters/**"]
exclude_patterns = ["**/__pycache__"]
source_suffix = {".md": "markdown"}
myst_enable_extensions = ["colon_fence", "deflist"]
myst_heading_anchors = 3
html_theme = "furo"
html_static_path = ["web/static"]
html_favicon = "web/static/icon.svg"
html_title = "minidocker"
highlight_language = "text"


def _render_commands() -> str:
    """Return the help of every command as Markdown."""
    from minidocker.cli.commands import ENTRIES
    from minidocker.cli.usage import render_command_help, render_program_help

    parts = ["```text", render_program_help(), "```"]
    for entry in sorted(ENTRIES, key=lambda entry: entry.spellings[-1]):
        command = getattr(importlib.import_module(f"minidocker.cli.{entry.module}"), entry.attribute)
        name = entry.spellings[-1]
        parts += [f"\n## {name}\n", "```text", render_command_help(entry, command, name), "```"]
    return "\n".join(parts)


def _render_steps() -> str:
    """Return a table of the steps: name, who performs it, what it does."""
    from minidocker.kernel import steps

    rows = ["| step | by | what it does |", "|---|---|---|"]
    for kind in typing.get_args(steps.Step):
        by = "either" if kind in (steps.Unshare, steps.Join) else _actor_of_kind(kind)
        rows.append(f"| `{kind.__name__}` | {by} | {_first_line(kind)} |")
    return "\n".join(rows)


def _actor_of_kind(kind: type) -> str:
    from minidocker.kernel import steps

    return "monitor" if kind in steps._MONITOR_STEPS else "both" if kind is steps.Synchronise else "init"


def _render_messages() -> str:
    """Return a table of the messages between server, launcher, monitor and init."""
    from minidocker.container import protocol

    kinds = typing.get_args(protocol.Message)
    return "\n".join(["| message | meaning |", "|---|---|", *(f"| `{k.__name__}` | {_first_line(k)} |" for k in kinds)])


def _first_line(kind: type) -> str:
    return (inspect.getdoc(kind) or "").partition("\n")[0].replace("|", "\\|")


def _render_exercises(chapter: str) -> str:
    """Return the exercises of a chapter: what one writes, how to begin, what one learns."""
    from chapters.manifest import read_exercises
    from docs.web.extension import render_exercise_box

    parts = []
    for exercise in read_exercises().values():
        if exercise.chapter == chapter:
            targets = ", ".join(f"`{target.qualname}` in `{target.module}`" for target in exercise.targets)
            verb = "repair" if exercise.kind == "fix" else "write"
            facts = f"T{exercise.tier} · about {exercise.minutes} minutes · difficulty {exercise.difficulty} of 5 · {exercise.points} points"
            parts += [f"### `{exercise.id}`: {exercise.title}\n", f"{facts}. You {verb} {targets}:\n"]
            parts += [f"- {objective};" for objective in exercise.objectives]
            parts += ["", f"Begin with `python3 -m chapters start {exercise.id}`.\n"]
            parts += [f"```{{raw}} html\n{box}\n```\n"] if (box := render_exercise_box(exercise)) else []
    return "\n".join(parts)


def _render_questions(chapter: str) -> str:
    """Return the questions of a chapter, the answers folded away."""
    from chapters.manifest import read_questions

    parts = []
    for question in read_questions().values():
        if question.chapter == chapter:
            parts += [f"**{question.ask}**\n", *(f"{n}. {choice}" for n, choice in enumerate(question.choices, 1))]
            parts += ["\n<details><summary>Answer</summary>\n", f"**{question.answer}.** {question.why}", f"Proved by `{question.shown_by}`.\n", "</details>\n"]
    return "\n".join(parts)


def _render_tests() -> str:
    """Return every test as a sentence with its reason."""
    from chapters.catalogue import render_markdown

    return render_markdown()


_GENERATORS: dict[str, Callable[[], str]] = {
    "commands": _render_commands,
    "messages": _render_messages,
    "steps": _render_steps,
    "tests": _render_tests,
}


def _write_reference(_app: Sphinx) -> None:
    """Write the pages about the code, which belong to nobody's checkout."""
    from docs.web.reference import render_index, render_package

    source, place = Path(__file__).resolve().parents[1] / "minidocker", Path(__file__).resolve().parent / "reference"
    place.mkdir(exist_ok=True)
    packages = {f"minidocker.{path.parent.name}" if path.parent != source else "minidocker": path.parent for path in source.rglob("__init__.py")}
    pages = {name: render_package(name, directory) for name, directory in packages.items()} | {"index": render_index(sorted(packages))}
    for name, text in pages.items():
        path = place / f"{name}.md"
        if not path.exists() or path.read_text(encoding="utf-8") != text:  # Sphinx reads again what is newer
            path.write_text(text, encoding="utf-8")


def _fill_in(_app: Sphinx, docname: str, source: list[str]) -> None:
    for name, render in (("exercises", _render_exercises), ("questions", _render_questions)):
        marker = f"% generated: {name}\n"
        if marker in source[0]:
            source[0] = source[0].replace(marker, render(Path(docname).parent.name) + "\n")
    for name, generate in _GENERATORS.items():
        marker = f"% generated: {name}\n"
        if marker in source[0]:
            source[0] = source[0].replace(marker, generate() + "\n")


def setup(app: Sphinx) -> dict[str, bool]:
    """Connect the generators."""
    app.connect("builder-inited", _write_reference)
    app.connect("source-read", _fill_in)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
