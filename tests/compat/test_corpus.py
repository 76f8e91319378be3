"""Our builder against the corpus: the same files and the same configuration as those that others make of the same Dockerfiles.

Most expectations are what BuildKit made (`tests/compat/corpus.py` says how); what is newer than that BuildKit is written by hand.
`DIFFERENCES` lists what we do otherwise, and why.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.compat.corpus import Case, Run, build_and_describe, import_base, make_context, read_cases
from tests.compat.servers import start_server

pytestmark = pytest.mark.requires("root", "docker", "overlayfs", "cgroup", "busybox")

CASES = read_cases()
OWN_CLIENT = ("copy-all", "copy-modes", "copy-source-link", "ignore-exceptions", "ignore-anchored", "arg-env-order", "target", "label", "run-failure")
"""Cases that our own client builds, too: what differs between clients is the context and the options."""

NO_LAYER = "a step that changes no file makes no layer here, and an empty one there"
NEWER = "today's BuildKit: a name on a line of ARG sees those before it, and a value that was given is shown"
TWICE = "today's BuildKit: an argument that is declared twice is shown once"
SHORTEST = "a path is kept in its shortest form, as today's BuildKit does"
DIFFERENCES: dict[tuple[str, str], str] = {
    **{
        ("add-archive", f"files./{kind}/packed/{name}"): "attributes in the name space `user` are kept; Docker's layers have only capabilities"
        for kind in ("gz", "bz2", "xz") for name in ("file", "hard")
    },
    ("arg-env-order", "files./5"): NEWER, ("arg-env-order", "history.8"): NEWER, ("arg-env-order", "history.11"): NEWER,
    ("arg-env-order", "history.12"): NEWER, ("arg-predefined", "history.1"): NEWER, ("arg-global", "history.1"): NEWER,
    ("arg-global", "history.4"): TWICE, ("arg-global", "history.5"): NEWER, ("arg-global", "history.6"): TWICE,
    ("copy-wildcard-nothing", "history.0"): NO_LAYER, ("mount-cache", "history.0"): NO_LAYER,
    ("run-forms", "history.5"): NO_LAYER, ("workdir", "history.7"): NO_LAYER,
    ("mount-bind", "history.3"): NO_LAYER, ("mount-bind", "history.4"): NO_LAYER,
    ("env-modifiers", "config.WorkingDir"): SHORTEST, ("env-modifiers", "history.3"): SHORTEST, ("workdir", "history.3"): SHORTEST,
    ("run-heredoc", "history.4"): "a script is executed by itself; there a shell is told to execute it",
}  # fmt: skip
"""(case, field) → why we differ."""


@pytest.fixture(scope="module")
def host() -> Iterator[str]:
    with start_server() as address:
        yield address


@pytest.fixture(scope="module")
def docker(host: str) -> Run:
    def run(*words: str, input: bytes | None = None) -> subprocess.CompletedProcess[bytes]:
        environment = {**os.environ, "DOCKER_HOST": host, "DOCKER_BUILDKIT": "0"}
        return subprocess.run(["docker", *words], env=environment, input=input, capture_output=True, timeout=120, check=False)

    import_base(run, shutil.which("busybox") or "")
    return run


@pytest.fixture(scope="module")
def own(host: str, docker: Run) -> Run:
    def run(*words: str, input: bytes | None = None) -> subprocess.CompletedProcess[bytes]:
        command = [sys.executable, "-m", "minidocker", "-H", host, *words]
        return subprocess.run(command, input=input, capture_output=True, timeout=120, check=False)

    return run


@pytest.fixture(scope="module")
def context() -> Iterator[Path]:
    with tempfile.TemporaryDirectory() as directory:
        make_context(Path(directory))
        yield Path(directory)


def _fields(described: Any) -> dict[str, Any]:
    """Return one entry for each thing that is compared."""
    fields = {name: value for name, value in described.items() if name not in ("oracle", "config", "files", "history")}
    fields |= {f"history.{number}": line for number, line in enumerate(described.get("history", ()))}
    fields |= {f"config.{name}": value for name, value in described.get("config", {}).items()}
    return fields | {f"files.{path}": value for path, value in described.get("files", {}).items()}


def _compare(case: Case, made: Any) -> None:
    expected = case.expected
    if "error" in expected:
        assert "error" in made, made
        assert case.error in made["error"]
        return
    assert "error" not in made, made["error"]
    theirs, ours = _fields(expected), _fields(made)
    wrong = {name: (ours.get(name), theirs.get(name)) for name in ours.keys() | theirs.keys() if ours.get(name) != theirs.get(name)}
    assert {name: pair for name, pair in wrong.items() if (case.name, name) not in DIFFERENCES} == {}
    excused = {name for name_of_case, name in DIFFERENCES if name_of_case == case.name}
    assert excused <= wrong.keys(), "a difference that is none any more"


WITHOUT_OWN_RULES = [case for case in CASES if not Path(f"{case.path}.dockerignore").exists()]
"""The classic client knows no ignore file beside a Dockerfile: those cases are our client's."""


@pytest.mark.parametrize("case", WITHOUT_OWN_RULES, ids=lambda case: case.name)
def test_same_dockerfile_gives_the_same_image(case: Case, docker: Run, context: Path) -> None:
    """Files with type, mode, owner, content, links and attributes; configuration field by field; history."""
    _compare(case, build_and_describe(docker, case, context))


@pytest.mark.parametrize("case", [case for case in CASES if case.name in OWN_CLIENT], ids=lambda case: case.name)
def test_own_client_gives_the_same_image(case: Case, own: Run, context: Path) -> None:
    """It packs the context itself."""
    _compare(case, build_and_describe(own, case, context))


def test_corpus_is_complete() -> None:
    """At least 40 Dockerfiles, each with an oracle and what that made."""
    assert len(CASES) >= 40
    assert {case.name for case in CASES} - {case.name for case in WITHOUT_OWN_RULES} <= set(OWN_CLIENT)
    assert all(case.oracle and case.rule and case.path.with_suffix(".json").exists() for case in CASES)
