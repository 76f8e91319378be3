"""Every check of the project behind one command: `python3 noxfile.py`.

The command needs nothing but Python 3.11: it fetches pip's wheel, makes `.venv`, installs the development packages there, and
runs every session that this machine allows. `python3 noxfile.py lint unit` runs some of them, `nox -s unit` does as well.
It goes on after a failure, and ends by saying what failed, what could not run, and why.

Rule: this file runs before anything is installed, so the standard library is all it imports.
"""

from __future__ import annotations

import configparser
import hashlib
import html.parser
import io
import os
import re
import ssl
import subprocess
import sys
import time
import tokenize
import tomllib
import urllib.error
import urllib.parse
import urllib.request
import venv
import xml.etree.ElementTree as ElementTree
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

ROOT = Path(__file__).resolve().parent
VENV = ROOT / ".venv"
DEFAULT_INDEX = "https://pypi.org/simple"
PIP_VERSIONS = re.compile(r"pip-(\d+(?:\.\d+)*)-py3-none-any\.whl")
SIZE_BUDGET = 15_000
"""What we want to hold in the head."""
SIZE_CEILING = 17_500
"""What is there today must not grow beyond; see docs/decisions/0008-size.md for how it comes down."""
CONCEPT_BUDGET = 1_500
CONCEPTS = ("reference", "image", "registry", "dockerfile", "build", "container", "cgroup", "network", "volume")


# -- the environment -------------------------------------------------------------------------------------------------------


def read_pip_setting(name: str) -> str:
    """Return a setting of pip from its environment variable or its configuration files, as pip itself would."""
    if value := os.environ.get(f"PIP_{name.upper().replace('-', '_')}"):
        return value
    home = Path.home()
    for path in (os.environ.get("PIP_CONFIG_FILE", ""), home / ".pip/pip.conf", home / ".config/pip/pip.conf", "/etc/pip.conf"):
        parser = configparser.ConfigParser(interpolation=None)
        with suppress(configparser.Error):
            parser.read(path)
            if value := parser.get("global", name, fallback=""):
                return value
    return ""


class _Links(html.parser.HTMLParser):
    """Collects the addresses of a package index page."""

    def __init__(self) -> None:
        super().__init__()
        self.found: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Keep the address of each link."""
        self.found += [value for name, value in attrs if tag == "a" and name == "href" and value]


def fetch(url: str) -> bytes:
    """Return what is at *url*."""
    bundle = read_pip_setting("cert")
    context = ssl.create_default_context(cafile=bundle or None)
    with urllib.request.urlopen(url, timeout=120, context=context if url.startswith("https") else None) as answer:
        return bytes(answer.read())


def fetch_pip(directory: Path) -> Path:
    """Download pip's newest wheel from the package index, check its digest, and return its path."""
    page = (read_pip_setting("index-url") or DEFAULT_INDEX).rstrip("/") + "/pip/"
    links = _Links()
    links.feed(fetch(page).decode())
    wheels = [(match, link) for link in links.found if (match := PIP_VERSIONS.search(link))]
    match, link = max(wheels, key=lambda wheel: tuple(map(int, wheel[0][1].split("."))))
    url, _, fragment = urllib.parse.urljoin(page, link).partition("#")
    content = fetch(url)
    algorithm, _, digest = fragment.partition("=")
    if algorithm == "sha256" and hashlib.sha256(content).hexdigest() != digest:
        raise SystemExit(f"noxfile: the wheel of pip at {url} has another digest than the index says")
    path = directory / match[0]
    path.write_bytes(content)
    return path


def requirements() -> list[str]:
    """Return the development packages that pyproject.toml names."""
    document = tomllib.loads((ROOT / "pyproject.toml").read_text())
    return [str(item) for item in document["project"]["optional-dependencies"]["dev"]]


def ensure_environment() -> Path:
    """Return the interpreter of `.venv`, made or brought up to date first."""
    wanted = requirements()
    stamp = VENV / "requirements.sha256"
    digest = hashlib.sha256("\n".join([sys.version, *wanted]).encode()).hexdigest()
    python = VENV / ("Scripts/python.exe" if os.name == "nt" else "bin/python")
    if stamp.exists() and stamp.read_text() == digest and python.exists():
        return python
    print(f"noxfile: making {VENV} with {len(wanted)} development packages", flush=True)
    venv.EnvBuilder(with_pip=False, clear=True, symlinks=os.name != "nt").create(VENV)
    try:
        pip = fetch_pip(VENV)
    except (OSError, ValueError, urllib.error.URLError) as error:
        raise SystemExit(f"noxfile: no package index can be reached ({error}); set PIP_INDEX_URL, or go online once") from error
    # A wheel is a zip file that Python can run from.
    subprocess.run([python, f"{pip}/pip", "install", "--quiet", "--no-warn-script-location", *wanted], check=True, cwd=ROOT)
    stamp.write_text(digest)
    return python


# -- sessions --------------------------------------------------------------------------------------------------------------


@dataclass
class Outcome:
    """How one session ended."""

    name: str
    ok: bool = True
    seconds: float = 0.0
    passed: int = 0
    failed: int = 0
    skipped: int = 0
    reasons: dict[str, int] = field(default_factory=dict)
    """Why tests were skipped, and how many."""
    note: str = ""


@dataclass
class Runner:
    """Runs programs of the environment for a session."""

    python: Path
    outcome: Outcome

    def run(self, *arguments: str, environment: dict[str, str] | None = None) -> None:
        """Run a module of the environment (`python -m …`); a status other than 0 fails the session."""
        command = [str(self.python), "-m", *arguments]
        result = subprocess.run(command, cwd=ROOT, env={**os.environ, **(environment or {})}, check=False)
        self.outcome.ok = self.outcome.ok and result.returncode == 0

    def pytest(self, *arguments: str) -> None:
        """Run tests and count them."""
        report = VENV / f"report-{self.outcome.name}.xml"
        report.unlink(missing_ok=True)
        self.run("pytest", "-q", "-ra", f"--junit-xml={report}", *arguments)
        if report.exists():
            self._count(ElementTree.parse(report))

    def _count(self, report: ElementTree.ElementTree) -> None:
        for case in report.iter("testcase"):
            skipped = case.find("skipped")
            if skipped is not None:
                self.outcome.skipped += 1
                reason = skipped.get("message", "")
                self.outcome.reasons[reason] = self.outcome.reasons.get(reason, 0) + 1
            elif case.find("failure") is not None or case.find("error") is not None:
                self.outcome.failed += 1
            else:
                self.outcome.passed += 1


def lint(runner: Runner) -> None:
    """Style: ruff."""
    runner.run("ruff", "check", "minidocker", "tests", "benchmarks", "noxfile.py")


def types(runner: Runner) -> None:
    """Types: mypy --strict."""
    runner.run("mypy")


def unit(runner: Runner) -> None:
    """Tier 0: any system, no root, no network; with branch coverage of the pure modules."""
    runner.pytest("tests/unit", "--cov=minidocker", "--cov-branch", "--cov-report=", "-p", "no:cacheprovider")
    runner.run("tests.architecture.coverage_gate")


def architecture(runner: Runner) -> None:
    """What imports what, what may do I/O, how large things are, whether everything is documented."""
    runner.pytest("tests/architecture")


def linux(runner: Runner) -> None:
    """Tiers 1 and 2: real namespaces, control groups, networks and containers."""
    runner.pytest("tests/linux")


def compat(runner: Runner) -> None:
    """Against programs that nobody here wrote: the docker CLI, docker-py, dockerd, skopeo."""
    runner.pytest("tests/compat")


def docs(runner: Runner) -> None:
    """The book: Sphinx with warnings as errors, and every console block in it."""
    runner.run("sphinx", "-q", "-W", "-n", "--keep-going", "-c", "docs", ".", "build/html")
    runner.pytest("tests/docs")


def size(runner: Runner) -> None:
    """Small enough to hold in the head: lines of code without comments and docstrings."""
    counts = {p.name: sum(count_code_lines(f) for f in p.rglob("*.py")) for p in sorted((ROOT / "minidocker").iterdir()) if p.is_dir()}
    counts.pop("__pycache__", None)
    counts["(top)"] = sum(count_code_lines(f) for f in (ROOT / "minidocker").glob("*.py"))
    total = sum(counts.values())
    for name, lines in sorted(counts.items(), key=lambda item: -item[1]):
        over = name in CONCEPTS and lines > CONCEPT_BUDGET
        print(f"{name:12}{lines:7}{'  over the budget of a concept package' if over else ''}")
    print(f"{'total':12}{total:7} of {SIZE_BUDGET}")
    runner.outcome.note = f"{total} lines of code of {SIZE_BUDGET}"
    runner.outcome.ok = total <= SIZE_CEILING


def bench(runner: Runner) -> None:
    """Speed, beside other engines in the same run; not part of the default."""
    runner.pytest("benchmarks", "--benchmark-only", "--benchmark-columns=min,median,max")
    runner.run("benchmarks.compare_run")


SESSIONS: dict[str, Callable[[Runner], None]] = {
    "lint": lint, "types": types, "architecture": architecture, "unit": unit, "linux": linux, "compat": compat, "docs": docs,
    "size": size, "bench": bench,
}  # fmt: skip
DEFAULT = [name for name in SESSIONS if name != "bench"]


def count_code_lines(path: Path) -> int:
    """Return how many lines of a Python file hold code: no blank lines, no comments, no docstrings."""
    lines: set[int] = set()
    previous = tokenize.INDENT
    for token in tokenize.generate_tokens(io.StringIO(path.read_text()).readline):
        if token.type in (tokenize.COMMENT, tokenize.NL, tokenize.NEWLINE, tokenize.INDENT, tokenize.DEDENT, tokenize.ENDMARKER):
            previous = token.type if token.type not in (tokenize.COMMENT, tokenize.NL) else previous
            continue
        is_docstring = token.type == tokenize.STRING and previous in (tokenize.NEWLINE, tokenize.INDENT, tokenize.DEDENT)
        if not is_docstring:
            lines.update(range(token.start[0], token.end[0] + 1))
        previous = token.type
    return len(lines)


# -- the command -----------------------------------------------------------------------------------------------------------


def run_sessions(names: list[str], python: Path) -> list[Outcome]:
    """Run each session to its end, whatever the others did."""
    outcomes = []
    for name in names:
        print(f"\n=== {name}: {(SESSIONS[name].__doc__ or '').splitlines()[0]}", flush=True)
        outcome, begin = Outcome(name), time.monotonic()
        SESSIONS[name](Runner(python, outcome))
        outcome.seconds = time.monotonic() - begin
        outcomes.append(outcome)
    return outcomes


def summarise(outcomes: list[Outcome]) -> int:
    """Print what happened; return the exit status. The last line is the sum of all tests."""
    print("\n=== summary")
    for o in outcomes:
        tests = f"{o.passed} passed, {o.failed} failed, {o.skipped} skipped" if o.passed + o.failed + o.skipped else o.note
        print(f"{'ok' if o.ok else 'FAILED':7}{o.name:14}{o.seconds:6.1f} s  {tests}")
    reasons = [(f"{count} in {o.name}: {reason}") for o in outcomes for reason, count in sorted(o.reasons.items())]
    if reasons:
        print("could not run here:", *reasons, sep="\n  ")
    print(f"{sum(o.passed for o in outcomes)} passed, {sum(o.failed for o in outcomes)} failed, {sum(o.skipped for o in outcomes)} skipped")
    return int(not all(o.ok for o in outcomes))


def main(arguments: list[str]) -> int:
    """Run the sessions named on the command line, or all that belong to the default."""
    unknown = [name for name in arguments if name not in SESSIONS]
    if unknown:
        print(f"noxfile: no session `{unknown[0]}`; there are {', '.join(SESSIONS)}", file=sys.stderr)
        return 2
    return summarise(run_sessions(arguments or DEFAULT, ensure_environment()))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

with suppress(ImportError):  # under `nox -s NAME` each session becomes one of nox's, in the same environment
    import nox

    def _register(name: str) -> None:
        def session(_session: nox.Session) -> None:
            outcomes = run_sessions([name], ensure_environment())
            if summarise(outcomes):
                raise SystemExit(1)

        session.__doc__ = SESSIONS[name].__doc__
        nox.session(name=name, venv_backend="none", default=name in DEFAULT)(session)

    for _name in SESSIONS:
        _register(_name)
