"""Compare builds with BuildKit, the classic builder and buildah; print Markdown for `docs/benchmarks.md`.

    sudo [DOCKER_26_ROOT=DIR] python3 benchmarks/compare_build.py [--rounds N] [--files N] [--only cold,cached,context,change]

Whole processes, each engine with its own client: BuildKit and the classic builder are one dockerd, Debian's, or the one below
`DOCKER_26_ROOT` (the unpacked files of a newer docker.io, docker-cli, containerd and docker-buildx, with client settings in `config`).
Every engine builds the same directory from an image that it imported; `--no-cache` makes a build cold.
"""

from __future__ import annotations

import argparse
import os
import shlex
import shutil
import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from pathlib import Path

CHECKOUT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(CHECKOUT))

from benchmarks import compare_run  # noqa: E402 - needs the checkout on the path
from benchmarks.compare_run import OURS, Candidate, describe_machine, find_able, measure, render_comparison, run_process  # noqa: E402
from benchmarks.peers import IMAGE, Engine, Missing, make_image_tar, read_output, require_program, start_dockerd, start_minidocker  # noqa: E402

BUILDKIT, CLASSIC, BUILDAH = "BuildKit", "classic builder", "`buildah bud`"
TEN_STEPS = "FROM bench\n" + "".join(f"RUN echo {n} > /r{n}\nCOPY f{n} /c{n}\n" for n in range(5))
FILES = "FROM bench\nCOPY files /files\n"


def fifty_steps(last: int) -> str:
    """Return a Dockerfile of fifty steps whose last one is new each time."""
    return "FROM bench\n" + "".join(f"RUN echo {n} > /r{n}\n" for n in range(49)) + f"RUN echo last {last} > /last\n"


@contextmanager
def _start_docker(directory: Path, image_tar: Path) -> Iterator[Engine]:
    root = os.environ.get("DOCKER_26_ROOT", "")
    if root:
        os.environ["PATH"] = f"{root}/usr/bin:{root}/usr/sbin:{os.environ['PATH']}"
        os.environ["DOCKER_CONFIG"] = f"{root}/config"
    with start_dockerd(directory, image_tar) as engine:
        client = "/usr/bin/docker" if not root and os.path.exists("/usr/bin/docker") else engine.command[0]  # the one with BuildKit inside
        yield replace(engine, command=(client, *engine.command[1:]))


@contextmanager
def _start_buildah(directory: Path, image_tar: Path) -> Iterator[Engine]:
    buildah = require_program("buildah", "buildah")
    directory.mkdir()
    command = (buildah, "--root", f"{directory}/data", "--runroot", f"{directory}/run")
    context = directory / "base"
    context.mkdir()
    shutil.copy(image_tar, context / "image.tar")
    (context / "Dockerfile").write_text("FROM scratch\nADD image.tar /\n")
    read_output((*command, "bud", "-q", "-t", IMAGE, str(context)))
    yield Engine(name=BUILDAH, version=read_output((buildah, "--version")).split()[2], command=command)


def builders(stack: ExitStack, directory: Path, image_tar: Path, notes: list[str]) -> dict[str, Callable[[Path, bool], None]]:
    """Return for each builder a function of the context and of whether it may use its cache; *notes* gets what is missing."""
    found: dict[str, Callable[[Path, bool], None]] = {}

    def add(name: str, command: Sequence[str], *, environment: Sequence[str] = (), options: Sequence[str] = ()) -> None:
        def build(context: Path, is_cached: bool) -> None:
            fresh = () if is_cached else ("--no-cache",)
            run_process(("env", *environment, *command, *options, *fresh, "-t", "result", str(context)))

        found[name] = build

    versions = []
    for name, start in ((OURS, start_minidocker), ("docker", _start_docker), (BUILDAH, _start_buildah)):
        try:
            engine = stack.enter_context(start(directory / name.strip("`").split()[0], image_tar))
        except Missing as error:
            if name == OURS:
                raise
            notes.append(f"- {name} was left out: {error}")
            continue
        versions.append(f"{name.strip('`')} {engine.version}")
        if name == "docker":
            add(BUILDKIT, (*engine.command, "build"), environment=("DOCKER_BUILDKIT=1",))
            add(CLASSIC, (*engine.command, "build"), environment=("DOCKER_BUILDKIT=0",))
        elif name == OURS:
            add(OURS, (*engine.command, "build"), options=("--progress", "plain"))
        else:
            isolation = ("--runtime", "runc", "--layers") if shutil.which("runc") else ("--layers",)
            add(BUILDAH, (*engine.command, "bud"), options=isolation)
    notes.append(f"With {', '.join(versions)}.")
    return found


def make_contexts(directory: Path, files: int) -> dict[str, Path]:
    """Write the contexts: ten steps, many files, fifty steps."""
    contexts = {name: directory / "contexts" / name for name in ("ten", "files", "fifty")}
    for context in contexts.values():
        context.mkdir(parents=True)
    for number in range(5):
        (contexts["ten"] / f"f{number}").write_text(f"{number}\n" * 1000)
    (contexts["ten"] / "Dockerfile").write_text(TEN_STEPS)
    for number in range(files):
        place = contexts["files"] / "files" / f"d{number // 100}"
        place.mkdir(parents=True, exist_ok=True)
        (place / f"f{number}").write_bytes(os.urandom(number % 4000))
    (contexts["files"] / "Dockerfile").write_text(FILES)
    (contexts["fifty"] / "Dockerfile").write_text(fifty_steps(0))
    return contexts


def compare(found: dict[str, Callable[[Path, bool], None]], context: Path, *, is_cached: bool, target: float, changes: bool = False) -> list[Candidate]:
    """Return the candidates of one comparison; with *changes* the last line of the Dockerfile is new each time."""
    turn = [0]

    def act(build: Callable[[Path, bool], None]) -> None:
        if changes:
            turn[0] += 1
            (context / "Dockerfile").write_text(fifty_steps(turn[0]))
        build(context, is_cached)

    return [Candidate(name=name, act=lambda b=build: act(b), target=None if name == OURS else target) for name, build in found.items()]  # type: ignore[misc]


def main(arguments: Sequence[str]) -> int:
    """Measure what was asked for and print it."""
    parser = argparse.ArgumentParser(description="Compare builds with BuildKit, the classic builder and buildah.")
    parser.add_argument("--rounds", type=int, default=5, help="turns that are counted (default: 5)")
    parser.add_argument("--files", type=int, default=20_000, help="files in the large context (default: 20000)")
    parser.add_argument("--only", default="cold,cached,context,change", help="comparisons, separated by commas (default: %(default)s)")
    options = parser.parse_args(arguments)
    if sys.platform != "linux" or os.geteuid() != 0:
        print("compare_build: starts engines, and needs Linux and root for it", file=sys.stderr)
        return 2
    compare_run.WARM_UP_ROUNDS = 1  # a build is warm after one
    directory = Path(tempfile.mkdtemp(prefix="mdb"))
    notes: list[str] = []
    try:
        with ExitStack() as stack:
            make_image_tar(directory / "image.tar")
            contexts = make_contexts(directory, options.files)
            found = builders(stack, directory, directory / "image.tar", notes)
            print(f"Measured on {describe_machine()}, by:\n\n```sh\nsudo python3 benchmarks/compare_build.py {shlex.join(arguments)}".rstrip() + "\n```\n")
            for key, title, context, is_cached, target in (
                ("cold", "Ten RUN and COPY steps, `--no-cache`", "ten", False, 0.25), ("cached", "The same, all cached", "ten", True, 1.0),
                ("context", f"A context of {options.files:,} files, `COPY` of all, `--no-cache`", "files", False, 1.0),
                ("change", "A change in the last of 50 steps", "fifty", True, 1.0),
            ):  # fmt: skip
                if key in options.only.split(","):
                    candidates = compare(found, contexts[context], is_cached=is_cached, target=target, changes=key == "change")
                    able = find_able(candidates, notes)
                    print(render_comparison(title, able, measure(able, options.rounds)), flush=True)
            print("\n".join(notes))
    except Missing as error:
        print(f"compare_build: {error}", file=sys.stderr)
        return 2
    finally:
        shutil.rmtree(directory, ignore_errors=True)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
