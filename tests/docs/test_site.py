"""The site in a browser: pages without errors, Python on the page, exercises solved there, search, keyboard, narrow and dark.

The site is built by `python3 noxfile.py docs` (or by the first of these tests), served on loopback, and looked at by headless
Chromium. Nothing may be asked of any other host: a book has to work in a room without a network.
"""

from __future__ import annotations

import functools
import http.server
import os
import shutil
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from chapters.manifest import read_exercises
from chapters.stub import find_functions
from chapters.variant import compute_source
from docs.web.classroom import can_be_solved_here
from docs.web.extension import has_python

CHECKOUT = Path(__file__).resolve().parents[2]
SITE = CHECKOUT / "build" / "html"
PATIENCE_MS = 120_000
"""Loading Python takes two seconds; a busy machine may take its time."""

pytestmark = pytest.mark.requires("chromium")
needs_python = pytest.mark.skipif(not has_python(), reason="needs Pyodide in build/pyodide: `python3 noxfile.py docs` fetches it from the npm registry")


class _Quiet(http.server.SimpleHTTPRequestHandler):
    def log_message(self, format: str, *args: object) -> None:
        """Say nothing."""


@pytest.fixture(scope="module")
def address() -> Iterator[str]:
    """The address of the site, served by this process."""
    if not (SITE / "index.html").exists():
        subprocess.run([sys.executable, "-m", "sphinx", "-q", "-c", "docs", ".", str(SITE)], cwd=CHECKOUT, check=True, timeout=600)
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(_Quiet, directory=str(SITE)))
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()
    thread.join()


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    """Headless Chromium; as root it cannot make its own sandbox, and it sees only our pages."""
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=shutil.which("chromium"), args=["--no-sandbox"] if os.geteuid() == 0 else [])
        yield browser
        browser.close()


class Visit:
    """A page, what went wrong on it, and whom it asked."""

    def __init__(self, browser: Any, **options: Any) -> None:
        self.context = browser.new_context(**options)
        self.page = self.context.new_page()
        self.page.set_default_timeout(PATIENCE_MS)
        self.problems: list[str] = []
        self.hosts: set[str] = set()
        self.page.on("console", lambda message: self.problems.append(message.text) if message.type in ("error", "warning") else None)
        self.page.on("pageerror", lambda error: self.problems.append(str(error)))
        self.page.on("request", lambda request: self.hosts.add(request.url.split("/")[2]) if request.url.startswith("http") else None)


@pytest.fixture
def visit(browser: Any) -> Iterator[Visit]:
    """A fresh visitor; whatever a test does, the page must not have complained."""
    visit = Visit(browser)
    yield visit
    visit.context.close()
    assert not visit.problems


def pages() -> list[str]:
    """Return every page of the book."""
    names = [page.relative_to(CHECKOUT).with_suffix(".html").as_posix() for page in sorted(CHECKOUT.glob("chapters/*/index.md"))]
    return [*names, *(f"docs/{page.stem}.html" for page in sorted(CHECKOUT.glob("docs/*.md")))]


def test_every_page_opens_without_an_error_and_asks_no_other_host(visit: Visit, address: str) -> None:
    """Scripts and styles come from the site itself, and every link within it leads to something."""
    links: set[str] = set()
    for name in pages():
        answer = visit.page.goto(f"{address}/{name}", wait_until="load")
        assert answer.status == 200, name
        links |= set(visit.page.evaluate("[...document.querySelectorAll('a[href]')].map(a => a.href.split('#')[0])"))
    assert visit.hosts == {address.removeprefix("http://")}
    own = {link.removeprefix(address).lstrip("/") for link in links if link.startswith(address)}
    missing = sorted(link for link in own if not (SITE / link).exists())
    assert not missing


@needs_python
def test_changed_dockerfile_shows_other_keys(visit: Visit, address: str) -> None:
    """A change in one COPY's file moves its key and all keys after it in that stage, and no other."""
    visit.page.goto(f"{address}/chapters/10-builder/index.html")
    box = visit.page.locator('.play[data-kind="dockerfile"]').first
    area = box.locator("textarea")
    area.fill(area.input_value().replace('print("hello")', 'print("bye")'))
    box.locator("td.play-changed").first.wait_for()
    keys = box.locator("table").nth(2).locator("tr")
    moved = [row.locator("td").nth(1).inner_text() for row in keys.all() if row.locator("td.play-changed").count()]
    assert moved == ["COPY app.py .", 'CMD ["python3", "app.py"]']


CHANGES = {
    "layers": ("04-layered-image", "base\n+ a\nnext\n- a", "/.wh.a"),
    "references": ("07-repository", "Nope", "must be lowercase"),
    "ignore": ("09-dockerfile", "*.md\n---\nx.md", "stays here"),
    "frames": ("12-remote-api", "stderr oh", "stderr 'oh\\n'"),
    "container": ("16-namespaces", "minidocker run --hostname here toolbox sh", "here"),
    "packet": ("18-networking", "container a 172.17.0.2\ntrace host a:80", "delivered in a"),
}


@needs_python
@pytest.mark.parametrize(("kind", "chapter", "text", "wanted"), [(kind, *case) for kind, case in CHANGES.items()], ids=CHANGES)
def test_playground_answers_to_what_is_typed(visit: Visit, address: str, kind: str, chapter: str, text: str, wanted: str) -> None:
    """The real code runs in the page: layers, names, ignore rules, frames, a simulated container, the way of a packet."""
    visit.page.goto(f"{address}/chapters/{chapter}/index.html")
    box = visit.page.locator(f'.play[data-kind="{kind}"]').first
    box.locator("textarea").fill(text)
    box.locator(".play-output", has_text=wanted).wait_for()
    box.locator(".play-reset").click()
    box.locator(".play-output:not(.play-loading)").wait_for()
    visit.page.wait_for_function("box => box.querySelector('textarea').value === box.querySelector('textarea').defaultValue", arg=box.element_handle())


@needs_python
def test_mistake_is_an_answer_too(visit: Visit, address: str) -> None:
    """The error is the one that a user would get, with its place, and typing goes on."""
    visit.page.goto(f"{address}/chapters/09-dockerfile/index.html")
    box = visit.page.locator('.play[data-kind="dockerfile"]').first
    box.locator("textarea").fill("FORM alpine")
    box.locator(".play-problem", has_text="unknown instruction: FORM (did you mean FROM?)").wait_for()
    box.locator("textarea").fill("FROM alpine")
    box.locator("td", has_text="stage-0").first.wait_for()


SOLVED = "chain-ids"


def solution(exercise_id: str) -> str:
    """Return our own functions, as a learner would write them."""
    import ast

    exercise = read_exercises()[exercise_id]
    [module] = exercise.files
    source = compute_source(exercise, module, "solution").decode()
    node = find_functions(ast.parse(source))[exercise.targets_in(module)[0]]
    return "".join(source.splitlines(keepends=True)[node.lineno - 1 : node.end_lineno])


@needs_python
def test_exercise_is_solved_on_the_page(visit: Visit, address: str) -> None:
    """From the empty question over a well-known mistake, with its hint, to the solution; what was written outlives the page."""
    exercise = read_exercises()[SOLVED]
    visit.page.goto(f"{address}/chapters/{exercise.chapter}/index.html")
    box = visit.page.locator(f'.play[data-id="{SOLVED}"]')
    box.locator("summary").first.click()
    box.locator(".play-check").click()
    box.locator(".play-output", has_text="not written yet").wait_for()
    box.locator("textarea").fill(exercise.mutant_path(exercise.mutants[0].name).read_text())
    box.locator(".play-check").click()
    box.locator(".play-hint").wait_for()
    box.locator("textarea").fill(solution(SOLVED))
    box.locator(".play-check").click()
    box.locator("p.play-pass", has_text="Solved.").wait_for()
    visit.page.reload()
    assert visit.page.locator(f'.play[data-id="{SOLVED}"] textarea').input_value() == solution(SOLVED)


@needs_python
def test_every_exercise_without_a_kernel_can_be_done_on_its_page(visit: Visit, address: str) -> None:
    """The same tests as on the command line: each solution passes in the browser."""
    wanted = [e for e in read_exercises().values() if can_be_solved_here(e) and len(e.targets) == 1 and "." not in e.targets[0].qualname]
    assert len(wanted) > 10
    visit.page.goto(f"{address}/chapters/{wanted[0].chapter}/index.html")
    script = """async (list) => {
        const worker = new Worker(new URL("/_static/play/worker.js", location.href), { type: "module" });
        const failed = [];
        for (const [number, request] of list.entries()) {
            const answer = new Promise((resolve) => { worker.onmessage = ({ data }) => resolve(data); });
            worker.postMessage({ number, request });
            const { html, error } = await answer;
            if (error || !html.includes("Solved.")) failed.push([request.id, error ?? html]);
        }
        return failed;
    }"""
    assert visit.page.evaluate(script, [{"do": "check", "id": e.id, "text": solution(e.id)} for e in wanted]) == []


@needs_python
def test_loop_that_never_ends_is_stopped(browser: Any, address: str) -> None:
    """The page stays alive, says so, and Python starts again for the next try."""
    visit = Visit(browser)
    visit.page.add_init_script("window.setTimeout = ((real) => (f, ms) => real(f, ms > 30000 ? ms / 20 : ms))(window.setTimeout)")
    visit.page.goto(f"{address}/chapters/04-layered-image/index.html")
    box = visit.page.locator(f'.play[data-id="{SOLVED}"]')
    box.locator("summary").first.click()
    box.locator("textarea").fill("def compute_chain_ids(diff_ids):\n    while True:\n        pass\n")
    box.locator(".play-check").click()
    box.locator(".play-output", has_text="a loop that never ends?").wait_for()
    assert box.locator(".play-check").is_enabled()
    visit.context.close()


def test_page_can_be_used_with_the_keyboard_alone(visit: Visit, address: str) -> None:
    """Tab leads into the text and out of it again: it is no trap."""
    visit.page.goto(f"{address}/chapters/04-layered-image/index.html")
    visit.page.locator(".play textarea").first.focus()
    visit.page.keyboard.press("Tab")
    assert visit.page.evaluate("document.activeElement.tagName") != "TEXTAREA"
    visit.page.keyboard.press("Shift+Tab")
    assert visit.page.evaluate("document.activeElement.tagName") == "TEXTAREA"


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [360, 1400])
def test_page_fits_the_screen_and_can_be_read(browser: Any, address: str, scheme: str, width: int) -> None:
    """Nothing sticks out of a telephone's screen, and the text of drawings and answers stands out from what is behind it."""
    visit = Visit(browser, viewport={"width": width, "height": 800}, color_scheme=scheme)
    for name in ("04-layered-image", "10-builder", "16-namespaces", "18-networking"):
        visit.page.goto(f"{address}/chapters/{name}/index.html")
        assert visit.page.evaluate("document.documentElement.scrollWidth") <= width
    light = "(text) => { const c = getComputedStyle(text); const v = (c.fill.startsWith('rgb') ? c.fill : c.color).match(/[0-9.]+/g).map(Number); return (v[0] + v[1] + v[2]) / 3 }"
    brightness = visit.page.locator(".drawing text").first.evaluate(light)
    assert brightness > 128 if scheme == "dark" else brightness < 128
    assert not visit.problems
    visit.context.close()


def test_search_finds_a_chapter(visit: Visit, address: str) -> None:
    """The index is part of the site."""
    visit.page.goto(f"{address}/search.html?q=whiteout")
    visit.page.locator("#search-results li a", has_text="Layered image").first.wait_for()
