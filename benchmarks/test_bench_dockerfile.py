"""How long a Dockerfile of 1,000 lines takes, here and in the official parser (Go, PyPI `dockerfile`); nothing here asserts a time.

Ours also gives every instruction its record and checks it; the official one stops at words.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

import pytest

from minidocker.dockerfile.check import check_dockerfile
from minidocker.dockerfile.ignore import decide, parse_ignore_file
from minidocker.dockerfile.parser import parse_dockerfile

T = TypeVar("T")
Benchmark = Callable[[Callable[[], T]], T]
LINES = 1000


def _compose() -> str:
    """Return a file with what files usually have: continuations, quotes, flags, arrays, comments, heredocs."""
    lines = ["FROM debian:13 AS base"]
    number = 0
    while len(lines) < LINES - 12:
        number += 1
        lines += [
            f'ENV VERSION_{number}=1.{number} NAME_{number}="some value"', "RUN apt-get update && \\",
            f"    apt-get install -y --no-install-recommends package{number} && \\", "    rm -rf /var/lib/apt/lists/*",
            f"COPY --chown=1000:1000 src/{number}.txt lib/ /usr/src/app/{number}/", f'LABEL org.example.{number}="text {number}"', "# a comment", "",
            f'CMD ["python3", "-m", "app{number}"]', "RUN <<EOF", f"echo {number}", "EOF",
        ]  # fmt: skip
    return "\n".join(lines) + "\n"


TEXT = _compose()


@pytest.mark.benchmark(group="parse a Dockerfile of 1,000 lines")
def test_dockerfile_is_parsed(benchmark: Benchmark[int]) -> None:
    """From text to records."""
    assert benchmark(lambda: len(parse_dockerfile(TEXT).stages[0].instructions)) > 400


@pytest.mark.benchmark(group="parse a Dockerfile of 1,000 lines")
def test_dockerfile_is_parsed_by_the_official_parser(benchmark: Benchmark[int]) -> None:
    """From text to words; the aim is at most three times its time."""
    official = pytest.importorskip("dockerfile", reason="needs the official parser: pip install dockerfile")
    assert benchmark(lambda: len(official.parse_string(TEXT))) > 400


def test_dockerfile_is_checked(benchmark: Benchmark[int]) -> None:
    """All 22 rules."""
    parsed = parse_dockerfile(TEXT)
    assert benchmark(lambda: len(check_dockerfile(parsed))) > 0


def test_ignore_file_decides(benchmark: Benchmark[int]) -> None:
    """Ten rules on 1,000 paths."""
    rules = parse_ignore_file("node_modules\n**/*.pyc\n*.md\n!README.md\n.git\n**/__pycache__\nbuild/**\ntemp?\n[ab].txt\ndocs\n")
    paths = [f"src/module{number}/file{number}.py" for number in range(1000)]
    assert benchmark(lambda: sum(decide(rules, path).is_ignored for path in paths)) == 0
