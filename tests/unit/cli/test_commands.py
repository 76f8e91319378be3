"""The table of commands, their help and their number of arguments."""

from __future__ import annotations

import subprocess
import sys
from importlib import import_module
from pathlib import Path

import pytest

from minidocker.cli.command import Command, check_arguments
from minidocker.cli.commands import ENTRIES, GROUPS, Entry, find_entry
from minidocker.cli.flags import UsageError
from minidocker.cli.main import main
from minidocker.cli.usage import render_command_help, render_group_help, render_program_help

CHECKOUT = Path(__file__).resolve().parents[3]


def load(entry: Entry) -> Command:
    command = getattr(import_module(f"minidocker.cli.{entry.module}"), entry.attribute)
    assert isinstance(command, Command)
    return command


@pytest.mark.parametrize("entry", ENTRIES, ids=lambda entry: entry.spellings[0])
def test_every_command_exists_and_explains_itself(entry: Entry) -> None:
    """The table is text; this is what keeps it true."""
    command = load(entry)
    text = render_command_help(entry, command, entry.spellings[-1])
    assert text.startswith(f"Usage:  minidocker {entry.spellings[-1]}")
    assert all(f"--{flag.name}" in text for flag in command.flags if not flag.hidden)


@pytest.mark.parametrize("entry", ENTRIES, ids=lambda entry: entry.spellings[0])
def test_flags_of_a_command_are_told_apart(entry: Entry) -> None:
    """No two flags share a name or a letter, every one is sorted into the help, and aliases lead somewhere."""
    flags = load(entry).flags
    names = [flag.name for flag in flags]
    letters = [flag.short for flag in flags if flag.short]
    assert len(set(names)) == len(names)
    assert len(set(letters)) == len(letters)
    assert {flag.stored_as for flag in flags} <= set(names)


def test_spellings_are_unique_and_groups_are_known() -> None:
    """`ps`, `container ls`, `container list` are one command; no spelling is two."""
    spellings = [spelling for entry in ENTRIES for spelling in entry.spellings]
    assert len(set(spellings)) == len(spellings)
    assert {spelling.split()[0] for spelling in spellings if " " in spelling} == set(GROUPS)
    assert find_entry("container ls") is find_entry("ps")


@pytest.mark.parametrize("group", GROUPS)
def test_group_lists_its_commands(group: str) -> None:
    """`minidocker container` shows what can be done with containers."""
    text = render_group_help(group)
    assert all(entry.spellings[0].split()[1] in text for entry in ENTRIES if entry.spellings[0].startswith(f"{group} "))


def test_program_help_names_every_plain_command() -> None:
    """The first page shows everything that can be typed as one word."""
    text = render_program_help()
    assert all(f"\n  {entry.spellings[-1]} " in text for entry in ENTRIES if " " not in entry.spellings[-1])


ARGUMENTS = [
    (0, 0, 1, "accepts no arguments"),
    (1, None, 0, "requires at least 1 argument"),
    (2, None, 1, "requires at least 2 arguments"),
    (2, 2, 1, "requires 2 arguments"),
    (0, 1, 2, "requires at most 1 argument"),
    (1, 2, 3, "requires at least 1 and at most 2 arguments"),
]


@pytest.mark.parametrize(("low", "high", "count", "words"), ARGUMENTS, ids=[words for *_, words in ARGUMENTS])
def test_wrong_number_of_arguments_is_said(low: int, high: int | None, count: int, words: str) -> None:
    """Docker's sentences, with status 1."""
    command = Command("", lambda session, options: 0, minimum=low, maximum=high)
    with pytest.raises(UsageError) as caught:
        check_arguments(command, "minidocker x", count)
    assert caught.value.message == f"'minidocker x' {words}"
    assert caught.value.exit_status == 1


MISTAKES = [
    (["nosuch"], 1, "minidocker: unknown command: minidocker nosuch\n"),
    (["container", "nosuch"], 1, "minidocker: unknown command: minidocker container nosuch\n\nUsage:  minidocker container\n"),
    (["--nosuch"], 125, "unknown flag: --nosuch\n\nUsage:  minidocker [OPTIONS] COMMAND"),
    (["ps", "--nosuch"], 125, "unknown flag: --nosuch\n\nUsage:  minidocker ps [OPTIONS]\n\nRun 'minidocker ps --help'"),
    (["run"], 1, "minidocker: 'minidocker run' requires at least 1 argument\n\nUsage:  minidocker run [OPTIONS]"),
    (["run", "-p", "x", "i"], 125, "minidocker: invalid containerPort: x\n\nRun 'minidocker run --help' for more information"),
    (["run", "UPPER"], 125, "minidocker: invalid reference format: repository name (library/UPPER) must be lowercase"),
]


@pytest.mark.parametrize(("words", "status", "text"), MISTAKES, ids=lambda item: str(item)[:40])
def test_mistake_shows_the_way_to_the_help(words: list[str], status: int, text: str, capsys: pytest.CaptureFixture[str]) -> None:
    """A command line that cannot be understood never reaches a server."""
    assert main(words) == status
    assert capsys.readouterr().err.startswith(text)


@pytest.mark.parametrize("words", [[], ["--help"], ["ps", "--help"], ["help", "ps"], ["container", "--help"]], ids=str)
def test_help_goes_to_standard_output(words: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    """Who asks for help gets it where it can be piped into a pager, and status 0."""
    assert main(words) == 0
    assert capsys.readouterr().out.startswith("Usage:  minidocker")


def test_unreachable_server_is_one_sentence_with_the_next_step(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The first thing that a beginner sees; `run` has 125 for it, the rest 1."""
    host = f"unix://{tmp_path}/none.sock"
    assert main(["-H", host, "ps"]) == 1
    assert capsys.readouterr().err.startswith(f"Cannot connect to the Docker daemon at {host}. Is the docker daemon running?\n  ")
    assert main(["-H", host, "run", "x"]) == 125
    assert capsys.readouterr().err.startswith(f"minidocker: Cannot connect to the Docker daemon at {host}.")


HEAVY = ("argparse", "dataclasses", "typing", "http.client", "subprocess", "tempfile", "inspect", "threading", "ssl", "ctypes", "urllib.parse", "asyncio")


@pytest.mark.parametrize("module", ["main", "containers", "run", "execute", "logs", "lifecycle", "images", "session"])
def test_common_command_imports_nothing_heavy(module: str) -> None:
    """Start-up time is imports: each of these costs milliseconds before the first request leaves."""
    script = f"import sys; import minidocker.cli.{module}; import json; print(*sorted(set(sys.modules) & set({HEAVY!r})))"
    done = subprocess.run([sys.executable, "-S", "-c", script], cwd=CHECKOUT, capture_output=True, text=True, check=True)
    assert done.stdout.split() == []
