"""The Sphinx extension of this book: the directives `playground` and `drawing`, and what the browser needs beside the pages.

    ```{playground} dockerfile          the text is what one begins with; without Python in the browser it stays as it is
    FROM alpine
    ```

    ```{drawing} states                 made from the code's own tables; see `diagrams`
    ```

`book.zip` holds the modules that run in the browser and pytest, from this environment; Pyodide itself is what `noxfile.py docs` has
put into `build/pyodide`. Where it is missing, pages are complete but for the buttons.
"""

from __future__ import annotations

import html
import importlib.metadata
import shutil
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

from docutils import nodes
from docutils.parsers.rst import Directive
from sphinx.application import Sphinx
from sphinx.util.docutils import SphinxDirective

from chapters.manifest import CHECKOUT, Exercise

__all__ = ["has_python", "render_exercise_box", "setup"]

PYODIDE: Final = CHECKOUT / "build" / "pyodide"
PYODIDE_FILES: Final = ("pyodide.mjs", "pyodide.asm.mjs", "pyodide.asm.wasm", "python_stdlib.zip", "pyodide-lock.json")
TEST_PACKAGES: Final = ("pytest", "pluggy", "iniconfig", "packaging", "pygments")
"""What runs the tests of an exercise."""


def has_python() -> bool:
    """Whether pages can offer Python."""
    return all((PYODIDE / name).is_file() for name in PYODIDE_FILES)


class _Playground(Directive):
    """A text that may be changed, and what the code makes of it."""

    required_arguments = 1
    has_content = True

    def run(self) -> list[nodes.Node]:
        """Show the answer to the text that stands there."""
        from docs.web.playground import KINDS, show

        [kind], text = self.arguments, "\n".join(self.content)
        if kind not in KINDS:
            raise self.error(f"playground: there is no `{kind}`, only {', '.join(KINDS)}")
        return [nodes.raw("", _render_playground(kind, text, show(kind, text)), format="html")]


class _Drawing(SphinxDirective):
    """A drawing made from the code's own tables."""

    required_arguments = 1

    def run(self) -> list[nodes.Node]:
        """Draw it."""
        from docs.web.diagrams import DRAWINGS

        [name] = self.arguments
        if name not in DRAWINGS:
            raise self.error(f"drawing: there is no `{name}`, only {', '.join(DRAWINGS)}")
        return [nodes.raw("", DRAWINGS[name](), format="html")]


def _render_playground(kind: str, text: str, answer: str) -> str:
    hidden = "" if has_python() else " data-static hidden"
    rows = text.count("\n") + 2
    return (
        f'<div class="play" data-kind="{kind}"><p class="play-title">Try it: change the text</p>'
        f'<textarea rows="{rows}" spellcheck="false" autocapitalize="off" autocomplete="off" aria-label="{kind}: input"{" readonly" if hidden else ""}>'
        f"\n{html.escape(text)}</textarea><button type=\"button\" class=\"play-reset\" hidden>As it was</button>"
        f'<div class="play-output" aria-live="polite" tabindex="0" role="region" aria-label="{kind}: result">{answer}</div></div>'
    )


def render_exercise_box(exercise: Exercise) -> str:
    """Return the box in which an exercise is solved on the page; empty where that needs more than a browser."""
    from docs.web.classroom import can_be_solved_here, compute_question

    if not has_python() or not can_be_solved_here(exercise):
        return ""
    text = compute_question(exercise)
    hints = "".join(
        f"<details><summary>Hint {number}</summary><pre>{html.escape(hint)}</pre></details>" for number, hint in enumerate(exercise.hints, 1)
    )
    return (
        f'<details class="play" data-id="{exercise.id}"><summary>Solve it on this page</summary>'
        f'<textarea rows="{min(30, text.count(chr(10)) + 2)}" spellcheck="false" autocapitalize="off" autocomplete="off" '
        f'aria-label="{exercise.id}: your answer">\n{html.escape(text)}</textarea>'
        '<button type="button" class="play-check" hidden>Check</button><button type="button" class="play-reset" hidden>Start again</button>'
        f'<div class="play-output" aria-live="polite" tabindex="0" role="region" aria-label="{exercise.id}: result"></div>{hints}</details>'
    )


def _book_files() -> Iterator[tuple[Path, str]]:
    """Yield every file that the browser needs, and its name in the archive."""
    for folder in ("minidocker", "chapters", "docs/web"):
        for path in sorted((CHECKOUT / folder).rglob("*")):
            if path.suffix in (".py", ".toml", ".json") and "__pycache__" not in path.parts:
                yield path, str(path.relative_to(CHECKOUT))
    for package in TEST_PACKAGES:
        for file in importlib.metadata.files(package) or ():
            if file.suffix == ".py" and ".." not in file.parts:
                yield Path(str(file.locate())), str(file)


def _finish(app: Sphinx, error: Exception | None) -> None:
    if error or app.builder.format != "html":
        return
    front = app.builder.get_target_uri(app.config.root_doc)
    Path(app.outdir, "index.html").write_text(f'<!doctype html><meta charset="utf-8"><title>minidocker</title><meta http-equiv="refresh" content="0; url={front}"><a href="{front}">minidocker</a>\n')
    if not has_python():
        return
    place = Path(app.outdir) / "_static" / "play"
    for name in PYODIDE_FILES:
        shutil.copyfile(PYODIDE / name, place / name)
    with zipfile.ZipFile(place / "book.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        for path, name in _book_files():
            archive.write(path, name)


def setup(app: Sphinx) -> dict[str, Any]:
    """Connect all of it."""
    app.add_directive("playground", _Playground)
    app.add_directive("drawing", _Drawing)
    app.add_css_file("playground.css")
    if has_python():
        app.add_js_file("playground.js", loading_method="defer")
    app.connect("build-finished", _finish)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
