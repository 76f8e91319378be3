"""Transcripts in chapters and documentation are executed: what a page shows is what happens.

A block is fenced as `console`: lines `$ command`, continued by lines `> more`, each followed by what it prints; `...` stands
for what varies, white space does not count. The commands of a block share one shell, in an empty directory.

A block that needs more than Python and a shell names it in its info string or in a comment in front of it, in the words of
`tests/conftest.py`: `% requires: root`. In a block `minidocker` is this checkout, talking to a server of its own, which is
started for the first block that requires root; `python3` is the interpreter of the tests.
"""

from __future__ import annotations

import doctest
import os
import re
import select
import shlex
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

CHECKOUT = Path(__file__).resolve().parents[2]
PAGES = (CHECKOUT / "README.md", *sorted(CHECKOUT.glob("docs/**/*.md")), *sorted(CHECKOUT.glob("chapters/*/index.md")))
OPTIONS = doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE
BLOCK_LIMIT_S = 60.0
START_LIMIT_S = 30.0

_BLOCK = re.compile(r"(?:^%[ ]*requires:(?P<comment>.*)\n+)?^```console(?P<info>.*)\n(?P<body>(?:.*\n)*?)```$", re.MULTILINE)


@dataclass(frozen=True, slots=True, kw_only=True)
class Example:
    """One command of a block and what it prints."""

    command: str
    output: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Block:
    """A transcript on a page."""

    page: str
    line: int
    requires: tuple[str, ...]
    examples: tuple[Example, ...]


def parse_blocks(page: str, text: str) -> list[Block]:
    """Return the transcripts in the Markdown *text*."""
    return [
        Block(
            page=page, line=text.count("\n", 0, match.start("body")) + 1, examples=parse_examples(match["body"]),
            requires=tuple(re.findall(r"[\w-]+", match["comment"] or match["info"].partition("requires:")[2])),
        )
        for match in _BLOCK.finditer(text)
    ]  # fmt: skip


def parse_examples(body: str) -> tuple[Example, ...]:
    """Return the commands of a transcript, each with the lines up to the next."""
    examples: list[Example] = []
    for piece in re.split(r"^\$ ", body, flags=re.MULTILINE)[1:]:
        command, *rest = piece.splitlines()
        while rest and rest[0].startswith(">"):
            command += "\n" + rest.pop(0)[1:].removeprefix(" ")
        examples.append(Example(command=command, output="".join(f"{line}\n" for line in rest)))
    return tuple(examples)


BLOCKS = [block for page in PAGES for block in parse_blocks(str(page.relative_to(CHECKOUT)), page.read_text(encoding="utf-8"))]

_SERVER = """
import sys
from minidocker.kernel.flags import Clone
from minidocker.kernel.namespaces import unshare
from minidocker.kernel.netlink import open_route_socket, set_loopback_up
unshare(Clone.NEWNET)
with open_route_socket() as route:
    set_loopback_up(route)
from minidocker.cli.main import main
sys.exit(main())
"""


@pytest.fixture(scope="module")
def start_server() -> Iterator[Callable[[], str]]:
    """Return a function that starts a server in a network namespace of its own, once, and returns its address."""
    directory = Path(tempfile.mkdtemp(prefix="md"))  # short: a socket's path has 108 bytes
    processes: list[subprocess.Popen[bytes]] = []

    def start() -> str:
        address = f"unix://{directory}/s"
        if not processes:
            options = f"daemon -H {address} --data-root {directory}/data --exec-root {directory}/exec --pidfile {directory}/pid"
            with open(directory / "log", "wb") as log:
                processes.append(
                    subprocess.Popen(
                        [sys.executable, "-c", _SERVER, *options.split()], cwd=CHECKOUT, stdin=subprocess.DEVNULL, stdout=log, stderr=log
                    )
                )
            _wait_for_server(processes[0], directory)
        return address

    yield start
    for process in processes:
        process.send_signal(signal.SIGTERM)
        process.wait(timeout=30)
    shutil.rmtree(directory, ignore_errors=True)


def _wait_for_server(process: subprocess.Popen[bytes], directory: Path) -> None:
    deadline = time.monotonic() + START_LIMIT_S
    while True:
        with socket.socket(socket.AF_UNIX) as probe:
            if probe.connect_ex(f"{directory}/s") == 0:
                return
        if process.poll() is not None or time.monotonic() > deadline:
            raise AssertionError(f"the server does not start:\n{(directory / 'log').read_text(errors='replace')}")
        select.select([], [], [], 0.01)


def run_block(block: Block, directory: Path, environment: dict[str, str]) -> list[str]:
    """Run a block's commands in one shell and return what each printed; `$?` carries over from one to the next."""
    programs = directory / "bin"
    programs.mkdir()
    for name, words in (("python3", [sys.executable]), ("minidocker", [sys.executable, "-m", "minidocker"])):
        (programs / name).write_text(f'#!/bin/sh\nexec {shlex.join(words)} "$@"\n')
        (programs / name).chmod(0o755)
    place = directory / "work"
    place.mkdir()
    mark = "== end of output =="
    script = "".join(f"{e.command}\n_status=$?; echo; echo '{mark}'; (exit $_status)\n" for e in block.examples)
    result = subprocess.run(
        ["sh", "-c", f"exec 2>&1\n{script}"], cwd=place, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False,
        timeout=BLOCK_LIMIT_S, env=environment | {"PATH": f"{programs}{os.pathsep}{environment.get('PATH', os.defpath)}"},
    )  # fmt: skip
    return result.stdout.split(f"\n{mark}\n")[: len(block.examples)]


@pytest.mark.parametrize(
    "block",
    [pytest.param(b, id=f"{b.page}:{b.line}", marks=pytest.mark.requires(*b.requires)) for b in BLOCKS],
)
def test_transcript_shows_what_happens(block: Block, tmp_path: Path, start_server: Callable[[], str]) -> None:
    """A reader who types a transcript sees what the page shows."""
    if shutil.which("sh") is None:
        pytest.skip("needs a POSIX shell")
    environment = dict(os.environ, PYTHONPATH=str(CHECKOUT), PYTHONDONTWRITEBYTECODE="1", LC_ALL="C")
    environment["MINIDOCKER_HOST"] = start_server() if "root" in block.requires else f"unix://{tmp_path}/nobody"
    outputs = run_block(block, tmp_path, environment)
    assert len(outputs) == len(block.examples), "the shell ended before the block did"
    checker = doctest.OutputChecker()
    for example, output in zip(block.examples, outputs, strict=True):
        expected = doctest.Example(f"$ {example.command}\n", example.output)
        if not checker.check_output(example.output, output + "\n" if output else "", OPTIONS):
            raise AssertionError(f"{block.page}:{block.line}: $ {example.command}\n" + checker.output_difference(expected, output, OPTIONS))


def test_pages_hold_transcripts() -> None:
    """The reader of pages finds blocks at all: a pattern that matches nothing would pass every page."""
    assert {block.page for block in BLOCKS} >= {"README.md", "chapters/16-namespaces/index.md"}
    assert all(block.examples for block in BLOCKS)


def test_block_is_taken_apart_into_commands_and_output() -> None:
    """Info string and comment mean the same; `>` goes on with the command."""
    text = "text\n\n% requires: root, docker\n\n```console\n$ cat <<END\n> a\n>\n> END\na\n$ true\n```\n\n```console requires: root\n$ x\n```\n"
    examples = (Example(command="cat <<END\na\n\nEND", output="a\n"), Example(command="true", output=""))
    assert parse_blocks("page", text) == [
        Block(page="page", line=6, requires=("root", "docker"), examples=examples),
        Block(page="page", line=15, requires=("root",), examples=(Example(command="x", output=""),)),
    ]
