"""`--help` in Docker's layout, made from the tables. Pure; imported only when somebody asks."""

from __future__ import annotations

from minidocker.cli.commands import ENTRIES, GROUPS, Entry
from minidocker.cli.flags import BOOL, LIST, STRING, Flag

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable

    from minidocker.cli.command import Command

__all__ = ["GLOBAL_FLAGS", "render_command_help", "render_group_help", "render_program_help"]

WIDTH = 80
"""Columns of a page of help."""

COMMON = ("run", "exec", "ps", "pull", "images", "version", "info")
"""The commands that `minidocker --help` shows first."""

GLOBAL_FLAGS = (
    Flag("config", STRING, "Directory of the client's configuration"),
    Flag("context", STRING, "Name of the context whose server to connect to (overrides DOCKER_HOST)", short="c"),
    Flag("debug", BOOL, "Enable debug mode", short="D"),
    Flag("host", LIST, "Socket of the server to connect to", short="H"),
    Flag("log-level", STRING, "Set the logging level", short="l", default="info"),
    Flag("tls", BOOL, "Use TLS; implied by --tlsverify"),
    Flag("tlscacert", STRING, "Trust certificates signed only by this CA"),
    Flag("tlscert", STRING, "Path to the TLS certificate file"),
    Flag("tlskey", STRING, "Path to the TLS key file"),
    Flag("tlsverify", BOOL, "Use TLS and verify the server"),
    Flag("version", BOOL, "Print version information and quit", short="v"),
)


def render_command_help(entry: Entry, command: Command, name: str) -> str:
    """Return what `minidocker NAME --help` prints."""
    parts = [f"Usage:  minidocker {name} {command.usage}".rstrip(), entry.summary]
    if len(entry.spellings) > 1:
        parts.append("Aliases:\n  " + ", ".join(f"minidocker {spelling}" for spelling in entry.spellings))
    if command.flags:
        parts.append("Options:\n" + _render_flags(command.flags))
    return "\n\n".join(parts)


def render_group_help(group: str) -> str:
    """Return what `minidocker container` prints."""
    rows = sorted(
        (entry.spellings[0].partition(" ")[2], entry.summary)
        for entry in ENTRIES
        if entry.spellings[0].startswith(f"{group} ")
    )
    return "\n\n".join(
        (
            f"Usage:  minidocker {group} COMMAND",
            GROUPS[group],
            "Commands:\n" + _render_rows(rows),
            f"Run 'minidocker {group} COMMAND --help' for more information on a command.",
        )
    )


def render_program_help() -> str:
    """Return what `minidocker --help` prints."""
    short = {entry.spellings[-1]: entry.summary for entry in ENTRIES if " " not in entry.spellings[-1]}
    others = sorted((name, summary) for name, summary in short.items() if name not in COMMON)
    return "\n\n".join(
        (
            "Usage:  minidocker [OPTIONS] COMMAND",
            "Docker, written to be read",
            "Common Commands:\n" + _render_rows([(name, short[name]) for name in COMMON]),
            "Management Commands:\n" + _render_rows(GROUPS.items()),
            "Commands:\n" + _render_rows(others),
            "Global Options:\n" + _render_flags(GLOBAL_FLAGS),
            "Run 'minidocker COMMAND --help' for more information on a command.",
        )
    )


def _render_rows(rows: Iterable[tuple[str, str]]) -> str:
    return "\n".join(f"  {name:<11} {summary}" for name, summary in rows)


def _render_flags(flags: Iterable[Flag]) -> str:
    import textwrap

    shown = sorted((flag for flag in flags if not flag.hidden), key=lambda flag: flag.name)
    heads = [
        ("  " + (f"-{flag.short}, " if flag.short else "    ") + f"--{flag.name} {flag.kind.word}").rstrip()
        for flag in shown
    ]
    margin = max(map(len, heads)) + 3
    lines = []
    for head, flag in zip(heads, shown, strict=True):
        first, *more = textwrap.wrap(flag.summary + _default_note(flag), max(WIDTH - margin, 30), break_on_hyphens=False) or [""]
        lines.append(f"{head:<{margin}}{first}".rstrip())
        lines.extend(" " * margin + line for line in more)
    return "\n".join(lines)


def _default_note(flag: Flag) -> str:
    if flag.default == flag.kind.zero or flag.kind.many:
        return ""
    if isinstance(flag.default, bool):
        return f" (default {str(flag.default).lower()})"
    return f' (default "{flag.default}")' if isinstance(flag.default, str) else f" (default {flag.default})"
