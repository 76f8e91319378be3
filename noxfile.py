"""Every check of the project behind one command: `python3 noxfile.py`.

The command needs nothing but Python 3.11: it fetches pip's wheel, makes `.venv`, installs the development packages there, and
runs every session that this machine allows. `python3 noxfile.py lint unit` runs some of them, `nox -s unit` does as well.
It goes on after a failure, and ends by saying what failed, what could not run, and why.

Rule: this file runs before anything is installed, so the standard library is all it imports.
"""

from __future__ import annotations

import base64
import configparser
import hashlib
import html.parser
import io
import os
import re
import ssl
import subprocess
import sys
import tarfile
import time
import tokenize
import tomllib
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
PIP_WHEEL = re.compile(r"/pip-(\d+(?:\.\d+)*)-py3-none-any\.whl$")
PIP_SHA256 = "f3b60b20ffaadd4415ed7957212a38ac63fa4c5fa375bd0f4a797777940fad13"
"""The digest of pip 26.3: the wheel for machines that cannot check certificates."""
PYODIDE_URL = "https://registry.npmjs.org/pyodide/-/pyodide-314.0.7.tgz"
PYODIDE_SHA512 = "0YvXxEhfEdpLfb/XkM2BFAeMROq0iMUX2bzzH9pOttyMcWkwq+HbE5uyuGD82LN7y2q+SNvi/6V5JEsOlD2R1A=="
"""Python for the pages of the book, as the npm registry has it, and its digest as it stands there."""
SIZE_BUDGET = 15_000
"""What we want to hold in the head."""
SIZE_CEILING = 40_000
"""What the whole command line, API, registry and builder of Docker may take; see docs/decisions/0009-size-by-package.md."""
CONCEPT_BUDGET = 1_500
CONCEPTS = ("reference", "image", "registry", "dockerfile", "build", "container", "cgroup", "network", "volume")


# -- the environment -------------------------------------------------------------------------------------------------------


def read_pip_setting(name: str) -> str:
    """Return a setting of pip from its environment variable or its configuration files, as pip itself would."""
    if value := os.environ.get(f"PIP_{name.upper().replace('-', '_')}"):
        return value
    own = Path(os.environ["VIRTUAL_ENV"], "pip.conf") if "VIRTUAL_ENV" in os.environ else Path()
    user = Path(os.environ.get("XDG_CONFIG_HOME") or Path.home() / ".config", "pip/pip.conf")
    for path in (os.environ.get("PIP_CONFIG_FILE", ""), own, user, Path.home() / ".pip/pip.conf", "/etc/xdg/pip/pip.conf", "/etc/pip.conf"):
        parser = configparser.ConfigParser(interpolation=None)
        with suppress(configparser.Error, OSError):  # pip will say what is wrong with its file
            parser.read(path)
            for section in ("install", "global"):
                if value := parser.get(section, name, fallback=""):
                    return value
    return ""


@dataclass
class Wheel:
    """One wheel of pip that an index offers."""

    version: tuple[int, ...]
    url: str
    sha256: str


class WheelPage(html.parser.HTMLParser):
    """Reads the page of pip in a package index: links with a digest, and which Python each file is for."""

    def __init__(self, address: str) -> None:
        """Start a page that came from *address*; its links may be relative."""
        super().__init__()
        self._address = address
        self.wheels: list[Wheel] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Keep a link to a wheel that this Python can run."""
        values = {name: value or "" for name, value in attrs}
        url, _, fragment = urllib.parse.urljoin(self._address, values.get("href", "")).partition("#")
        match = PIP_WHEEL.search(url)
        floor = re.search(r">=\s*(\d+)\.(\d+)", values.get("data-requires-python", ""))
        too_new = floor is not None and (int(floor[1]), int(floor[2])) > sys.version_info[:2]
        if tag == "a" and match and not too_new and "data-yanked" not in values and fragment.startswith("sha256="):
            version = tuple(map(int, match[1].split(".")))
            self.wheels.append(Wheel(version=version, url=url, sha256=fragment.removeprefix("sha256=")))


def fetch(url: str, *, context: ssl.SSLContext | None = None) -> bytes:
    """Return what is at *url*: `http`, `https` through the usual proxies, or `file`, where a directory has an `index.html`."""
    place = urllib.parse.urlsplit(url)
    if place.scheme == "file":
        path = Path(urllib.request.url2pathname(place.path))
        return (path / "index.html" if path.is_dir() else path).read_bytes()
    with urllib.request.urlopen(url, timeout=120, context=context) as answer:
        return bytes(answer.read())


def find_pip(address: str, *, context: ssl.SSLContext) -> list[Wheel]:
    """Return the wheels of pip in the package index at *address*, the newest first."""
    page_address = address.rstrip("/") + "/pip/"
    page = WheelPage(page_address)
    page.feed(fetch(page_address, context=context).decode())
    return sorted(page.wheels, key=lambda wheel: wheel.version, reverse=True)


def fetch_pip(directory: Path) -> Path:
    """Download pip's wheel from a package index, check its digest, and return its path.

    A machine that knows no certificate authorities (Debian has them in a package of their own) cannot tell who answers. It takes
    the one wheel whose digest stands in this file, whoever sends it; pip brings authorities of its own for everything else.

    Raises:
        LookupError: no index can be reached, or none has what is wanted; says why.
    """
    secure = ssl.create_default_context(cafile=read_pip_setting("cert") or None)
    blind = ssl._create_unverified_context()
    problems = []
    for address in [read_pip_setting("index-url") or DEFAULT_INDEX, *read_pip_setting("extra-index-url").split()]:
        for context in (secure, blind):
            try:
                wheels = [w for w in find_pip(address, context=context) if context is secure or w.sha256 == PIP_SHA256]
                if wheels:
                    content = fetch(wheels[0].url, context=context)
                    if hashlib.sha256(content).hexdigest() != wheels[0].sha256:
                        raise LookupError(f"{wheels[0].url} has another digest than the index says")
                    path = directory / Path(urllib.parse.urlsplit(wheels[0].url).path).name
                    path.write_bytes(content)
                    return path
                problems.append(f"{address} has no wheel of pip for this Python")
                break
            except (OSError, ValueError) as error:
                problems.append(f"{address}: {getattr(error, 'reason', error)}")
                if not isinstance(getattr(error, "reason", None), ssl.SSLCertVerificationError):
                    break
    raise LookupError("; ".join(problems))


def read_requirements() -> list[str]:
    """Return the development packages that pyproject.toml names."""
    document = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    return [str(item) for item in document["project"]["optional-dependencies"]["dev"]]


def ensure_environment() -> Path:
    """Return the interpreter of `.venv`, made or brought up to date first; end with one sentence where that cannot be."""
    wanted = read_requirements()
    stamp = VENV / "requirements.sha256"
    digest = hashlib.sha256("\n".join([sys.version, sys.base_prefix, *wanted]).encode()).hexdigest()
    python = VENV / ("Scripts/python.exe" if os.name == "nt" else "bin/python")
    if stamp.exists() and stamp.read_text() == digest and python.exists():
        return python
    print(f"noxfile: making {VENV} with {len(wanted)} development packages", flush=True)
    venv.EnvBuilder(with_pip=False, clear=True, symlinks=os.name != "nt").create(VENV)
    try:
        pip = fetch_pip(VENV)
    except LookupError as error:
        raise SystemExit(f"noxfile: get pip: {error} (go online once, or set PIP_INDEX_URL to a package index you can reach)") from error
    # A wheel is a zip file that Python can run from.
    command = [str(python), f"{pip}/pip", "install", "--quiet", "--disable-pip-version-check", "--no-warn-script-location", *wanted]
    if subprocess.run(command, cwd=ROOT, check=False).returncode:
        raise SystemExit("noxfile: install the development packages: pip failed, and says above why (it starts afresh next time)")
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
    lacking: str = ""
    """Why the session, or a part of it, could not run at all."""

    @property
    def word(self) -> str:
        """The outcome in a word or two."""
        nothing_ran = not self.passed and (self.lacking or self.skipped)
        return "FAILED" if not self.ok else "could not run" if nothing_ran else "ok"


@dataclass
class Runner:
    """Runs programs of the environment for a session."""

    python: Path
    outcome: Outcome

    def run(self, *arguments: str) -> None:
        """Run a module of the environment (`python -m …`); a status other than 0 fails the session."""
        self.outcome.ok = self.call(*arguments) == 0 and self.outcome.ok

    def call(self, *arguments: str) -> int:
        """Run a module of the environment and return its status."""
        return subprocess.run([str(self.python), "-m", *arguments], cwd=ROOT, check=False).returncode

    def pytest(self, folder: str, *arguments: str) -> None:
        """Run the tests below *folder* and count them."""
        if not any((ROOT / folder).rglob("test_*.py")):
            self.outcome.lacking = f"there are no tests in {folder}"
            return
        report = VENV / f"report-{self.outcome.name}.xml"
        report.unlink(missing_ok=True)
        self.run("pytest", "-q", "-ra", f"--junit-xml={report}", folder, *arguments)
        if report.exists():
            self.count(ElementTree.parse(report).getroot())

    def count(self, report: ElementTree.Element) -> None:
        """Add the tests of a report in JUnit's XML to the outcome."""
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
    runner.run("ruff", "check", *existing_sources("docs/conf.py", "docs/web"))


def types(runner: Runner) -> None:
    """Types: mypy --strict."""
    runner.run("mypy", *existing_sources("docs/web"))


def unit(runner: Runner) -> None:
    """Tier 0: any system, no root, no network; with branch coverage of the pure modules."""
    runner.pytest("tests/unit", "--cov=minidocker", "--cov-branch", "--cov-report=", "-p", "no:cacheprovider")
    runner.run("tests.architecture.coverage_gate")


def architecture(runner: Runner) -> None:
    """What imports what, what may do I/O, how large things are, whether everything is documented."""
    runner.pytest("tests/architecture")


def linux(runner: Runner) -> None:
    """Tiers 1 and 2: real namespaces, control groups, networks and containers."""
    if sys.platform != "linux":
        runner.outcome.lacking = f"needs Linux, and this is {sys.platform}: use a Linux machine or a VM"
        return
    runner.pytest("tests/linux")


def compat(runner: Runner) -> None:
    """Against programs that nobody here wrote: the docker CLI, docker-py, dockerd, skopeo."""
    if sys.platform != "linux":
        runner.outcome.lacking = f"needs Linux, and this is {sys.platform}: use a Linux machine or a VM"
        return
    runner.pytest("tests/compat")


def fetch_pyodide() -> str:
    """Put Pyodide into `build/pyodide`, from where the book takes it; return why that was not possible, or nothing."""
    place = ROOT / "build" / "pyodide"
    stamp = place / "sha512"
    if stamp.exists() and stamp.read_text() == PYODIDE_SHA512:
        return ""
    url = PYODIDE_URL.replace("https://registry.npmjs.org", os.environ.get("NPM_CONFIG_REGISTRY", "https://registry.npmjs.org").rstrip("/"))
    try:
        # Who answers does not matter: the digest stands above.
        content = fetch(url, context=ssl._create_unverified_context())
    except (OSError, ValueError) as error:
        return f"pages without Python: fetch {url}: {getattr(error, 'reason', error)} (go online once)"
    if base64.b64encode(hashlib.sha512(content).digest()).decode() != PYODIDE_SHA512:
        return f"pages without Python: {url} has another digest than noxfile.py says"
    place.mkdir(parents=True, exist_ok=True)
    with tarfile.open(fileobj=io.BytesIO(content)) as archive:
        for member in archive:
            if member.isfile() and Path(member.name).suffix in (".mjs", ".wasm", ".zip", ".json"):
                data = archive.extractfile(member)
                assert data
                (place / Path(member.name).name).write_bytes(data.read())
    stamp.write_text(PYODIDE_SHA512)
    return ""


def docs(runner: Runner) -> None:
    """The book: Sphinx with warnings as errors, every console block in it, and the pages in a browser."""
    if problem := fetch_pyodide():
        print(f"noxfile: {problem}", flush=True)
    runner.run("sphinx", "-q", "-W", "-n", "--keep-going", "-c", "docs", ".", "build/html")
    runner.pytest("tests/docs")


def chapters(runner: Runner) -> None:
    """The exercises: each can be solved, an empty answer fails, wrong answers get the right hint; and the learner's tool."""
    runner.pytest("tests/chapters")


def vm(runner: Runner) -> None:
    """Tier 2 for everybody: chosen tests in small virtual machines with other kernels and control groups, without root."""
    lacking = VENV / "vm-lacking.txt"
    for path in [lacking, *VENV.glob("report-vm-*.xml")]:
        path.unlink(missing_ok=True)
    status = runner.call("tests.vm", "--reports", str(VENV), *(["--keep"] if "--keep" in sys.argv else []))
    for path in VENV.glob("report-vm-*.xml"):
        runner.count(ElementTree.parse(path).getroot())
    runner.outcome.ok = status in (0, 3)
    if lacking.exists():
        runner.outcome.lacking = lacking.read_text(encoding="utf-8")


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
    "chapters": chapters, "vm": vm, "size": size, "bench": bench,
}  # fmt: skip
DEFAULT = [name for name in SESSIONS if name != "bench" and (name != "vm" or os.environ.get("CI"))]
"""Machines take minutes under emulation: they belong to the fullest run, on CI, and to whoever asks for them."""


def existing_sources(*more: str) -> list[str]:
    """Return the folders and files of ours that hold Python code in this checkout."""
    names = ("minidocker", "tests", "benchmarks", "chapters", "noxfile.py", *more)
    return [name for name in names if (ROOT / name).is_file() or any((ROOT / name).rglob("*.py"))]


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
        print(f"{o.word:14}{o.name:14}{o.seconds:6.1f} s  {tests or o.lacking}".rstrip())
    reasons = [f"{o.name}: {o.lacking}" for o in outcomes if o.lacking]
    reasons += [f"{o.name}, {count} skipped: {reason}" for o in outcomes for reason, count in sorted(o.reasons.items())]
    if reasons:
        print("what could not run here, and what would help:", *reasons, sep="\n  ")
    print(f"{sum(o.passed for o in outcomes)} passed, {sum(o.failed for o in outcomes)} failed, {sum(o.skipped for o in outcomes)} skipped")
    return int(not all(o.ok for o in outcomes))


def main(arguments: list[str]) -> int:
    """Run the sessions named on the command line, or all that belong to the default."""
    arguments = [word for word in arguments if word != "--keep"]
    unknown = [name for name in arguments if name not in SESSIONS]
    if unknown:
        print(f"noxfile: no session `{unknown[0]}`; there are {', '.join(SESSIONS)}", file=sys.stderr)
        return 2
    status = summarise(run_sessions(arguments or DEFAULT, ensure_environment()))
    if not arguments and "vm" not in DEFAULT:
        print("left out, because it takes minutes: `python3 noxfile.py vm`, the kernel's tests in virtual machines (needs QEMU, no root)")
    return status


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
