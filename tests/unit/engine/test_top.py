"""`docker top`: the columns that people ask of ps(1)."""

from __future__ import annotations

import pytest

from minidocker.engine.top import COLUMNS, parse_ps_columns
from minidocker.errors import InvalidParameter

FORMS = {
    "-ef": ("UID", "PID", "PPID", "C", "STIME", "TTY", "TIME", "CMD"),
    "aux": ("USER", "PID", "%CPU", "%MEM", "VSZ", "RSS", "TTY", "STAT", "START", "TIME", "COMMAND"),
    "-o pid,cmd": ("PID", "CMD"),
    "-opid,comm": ("PID", "COMMAND"),
    "-eo pid=NUMBER,args": ("NUMBER", "COMMAND"),
    "-o pid -o user": ("PID", "USER"),
}


@pytest.mark.parametrize(("arguments", "titles"), FORMS.items(), ids=FORMS)
def test_arguments_of_ps_choose_the_columns(arguments: str, titles: tuple[str, ...]) -> None:
    """Docker runs the host's ps; the same words mean the same here, without that program."""
    assert tuple(title for title, _ in parse_ps_columns(arguments)) == titles


@pytest.mark.parametrize("arguments", ["-o cmd", "-o pid,bogus"], ids=["no-pid", "unknown"])
def test_unknown_columns_and_lists_without_pid_are_refused(arguments: str) -> None:
    """Docker needs the pid to know which lines are the container's, and says so."""
    with pytest.raises(InvalidParameter):
        parse_ps_columns(arguments)


def test_every_form_names_columns_that_exist() -> None:
    """A column that nobody can fill would fail only when somebody asks."""
    assert {column for form in FORMS for _, column in parse_ps_columns(form)} <= set(COLUMNS)
