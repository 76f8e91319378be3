"""The exec form is JSON, or it is none: Dockerfile reference, "Shell and exec form"."""

from __future__ import annotations

import pytest

from minidocker.dockerfile.mistake import DockerfileError


def test_array_of_texts_gives_its_words(parse_json_words):
    """What execve(2) will be given, blanks and all; an empty array has no words, and is one."""
    assert parse_json_words('["echo", "two words", "\\u00e4"]') == ("echo", "two words", "ä")
    assert parse_json_words("[]") == ()


def test_single_quotes_make_no_array(parse_json_words):
    """JSON knows double quotes only. There is no error: a line for the shell may begin with a bracket."""
    assert parse_json_words("['echo', 'hi']") is None
    assert parse_json_words("[ -e /etc/passwd ] && echo yes") is None
    assert parse_json_words("echo") is None


def test_text_behind_the_array_makes_none(parse_json_words):
    """`CMD ["a"] b` is no array with something behind it; the whole is a line."""
    assert parse_json_words('["echo"] hi') is None


def test_number_in_the_array_is_refused(parse_json_words):
    """It is JSON, so it was meant as an array; but programs are given texts."""
    with pytest.raises(DockerfileError):
        parse_json_words('["sleep", 10]')


def test_deep_nesting_is_no_array(parse_json_words):
    """A hundred thousand brackets must not exhaust the reader's stack: a Dockerfile is a stranger's text."""
    assert parse_json_words("[" * 100_000) is None
