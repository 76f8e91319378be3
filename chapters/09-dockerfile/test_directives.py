"""Parser directives: Dockerfile reference, "Parser directives"."""

from __future__ import annotations

import pytest

from minidocker.dockerfile.instructions import Directives
from minidocker.dockerfile.mistake import DockerfileError


def test_directives_at_the_top_are_read(read_directives):
    """Their number is told, too: the comments after them may be about the first instruction."""
    lines = ["# syntax=docker/dockerfile:1", "#escape = `", "# a comment", "FROM scratch"]
    assert read_directives(lines) == (Directives(syntax="docker/dockerfile:1", escape="`"), 2)


def test_empty_line_ends_them(read_directives):
    """The rule is strict, so that nobody has to read a whole file to know its escape character."""
    assert read_directives(["", "# escape=`", "FROM scratch"]) == (Directives(), 0)


def test_other_comment_ends_them(read_directives):
    """An ordinary comment is as much an end as an instruction is, and so is a directive that nobody knows."""
    assert read_directives(["# hello", "# escape=`"]) == (Directives(), 0)
    assert read_directives(["# colour=blue", "# escape=`"]) == (Directives(), 0)


def test_case_does_not_matter(read_directives):
    """`# Escape=` is the same directive."""
    assert read_directives(["# Escape=`"]) == (Directives(escape="`"), 1)


def test_two_of_a_kind_are_refused(read_directives):
    """Two answers to one question are a mistake, whichever is meant."""
    with pytest.raises(DockerfileError):
        read_directives(["# escape=`", "# ESCAPE=\\"])


def test_other_escape_is_refused(read_directives):
    """Any other character would occur in ordinary text."""
    with pytest.raises(DockerfileError):
        read_directives(["# escape=^"])
