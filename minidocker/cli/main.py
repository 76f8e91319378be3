"""Run one command line: global flags, dispatch, and what a failure looks like.

Acts. `main` is the only place that turns errors into messages and exit statuses: 125 for a command line that cannot be
understood (as Docker's client does), 1 for a refusal, 130 after Ctrl-C; `run` and `exec` decide their own. Chapter 14.
"""

from __future__ import annotations

import os
import sys

from minidocker.cli.commands import GROUPS, find_entry
from minidocker.cli.flags import HelpRequested, Options, UsageError, parse_flags
from minidocker.errors import MinidockerError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import TextIO

__all__ = ["main"]

EXIT_INTERRUPTED = 130
EXIT_BROKEN_PIPE = 141
"""128 + SIGPIPE, what a program that is killed by a closed pipe shows."""


def main(words: list[str] | None = None) -> int:
    """Carry out the command line *words* (by default the program's own) and return its exit status."""
    if words is None:
        words = sys.argv[1:]
        if os.path.basename(sys.argv[0]) == "minidockerd":
            words = ["daemon", *words]
    try:
        status = _dispatch(words)
        sys.stdout.flush()
    except MinidockerError as error:
        print(error.message, file=sys.stderr)
        if error.hint:
            print(f"  {error.hint}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return EXIT_INTERRUPTED
    except BrokenPipeError:
        # The interpreter would flush once more at its end and complain.
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
        return EXIT_BROKEN_PIPE
    except OSError as error:
        print(f"{error.strerror}: {error.filename}" if error.filename else error, file=sys.stderr)
        return 1
    return status


def _dispatch(words: list[str]) -> int:
    options: Options | None = None
    if not words or words[0].startswith("-"):
        from minidocker.cli.usage import GLOBAL_FLAGS, render_program_help

        try:
            options = parse_flags(GLOBAL_FLAGS, words, interspersed=False)
        except HelpRequested:
            print(render_program_help())
            return 0
        except UsageError as error:
            return _explain_usage(error, "minidocker", "[OPTIONS] COMMAND [ARG...]")
        if options.switch("version"):
            from minidocker import VERSION

            print(f"Docker version {VERSION}, build minidocker")
            return 0
        words = options.arguments
        if not words:
            print(render_program_help())
            return 0
    if words[0] == "help":
        words = [*words[1:], "--help"]
    if words[0] in GROUPS:
        return _run_command(" ".join(words[:2]), words[2:], options) if len(words) > 1 else _show_group(words[0], sys.stderr)
    return _run_command(words[0], words[1:], options)


def _run_command(name: str, words: list[str], options: Options | None) -> int:
    entry = find_entry(name)
    if entry is None:
        return _unknown_command(name)
    from importlib import import_module

    from minidocker.cli.command import Command, check_arguments
    from minidocker.cli.session import Session

    command = getattr(import_module(f"minidocker.cli.{entry.module}"), entry.attribute)
    assert isinstance(command, Command)
    full_name = f"minidocker {name}"
    try:
        parsed = parse_flags(command.flags, words, interspersed=command.interspersed)
        check_arguments(command, full_name, len(parsed.arguments))
        return command.act(Session(options), parsed)
    except HelpRequested:
        from minidocker.cli.usage import render_command_help

        print(render_command_help(entry, command, name))
        return 0
    except UsageError as error:
        return _explain_usage(error, full_name, command.usage)


def _explain_usage(error: UsageError, name: str, usage: str) -> int:
    start = "minidocker: " if error.prefix else ""
    parts = [f"{start}{error.message}", f"Usage:  {name} {usage}".rstrip(), f"{error.verb} '{name} --help' for more information"]
    if error.brief:
        del parts[1]
    print("\n\n".join(parts), file=sys.stderr)
    return error.exit_status


def _show_group(group: str, out: TextIO) -> int:
    from minidocker.cli.usage import render_group_help

    print(render_group_help(group), file=out)
    return 0


def _unknown_command(name: str) -> int:
    group, _, rest = name.partition(" ")
    if rest in ("--help", "-h", "help"):
        return _show_group(group, sys.stdout)
    if not rest and name in ("--help", "-h"):
        return _dispatch(["--help"])
    lines = [f"minidocker: unknown command: minidocker {name}", ""]
    if rest:
        lines += [f"Usage:  minidocker {group}", "", f"Run 'minidocker {group} --help' for more information"]
    else:
        lines.append("Run 'minidocker --help' for more information")
    print("\n".join(lines), file=sys.stderr)
    return 1
