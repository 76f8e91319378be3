"""`--chmod`."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from minidocker.build.mode import parse_mode
from minidocker.dockerfile.mistake import DockerfileError


@pytest.mark.parametrize(
    ("text", "mode", "expected"),
    [
        ("755", 0o644, 0o755), ("4755", 0o644, 0o4755), ("u+x", 0o644, 0o744), ("a=r", 0o777, 0o444), ("go-w", 0o666, 0o644),
        ("u=rwx,go=rx", 0o600, 0o755), ("+X", 0o644, 0o644), ("+X", 0o744, 0o755), ("g=u", 0o640, 0o660), ("+t", 0o755, 0o1755),
        ("u+s", 0o755, 0o4755), ("", 0o640, 0o640),
    ],
)  # fmt: skip
def test_mode_of_a_file_becomes_what_chmod_would_make_of_it(text: str, mode: int, expected: int) -> None:
    """See chmod(1)."""
    assert parse_mode(text)(mode, False) == expected


def test_big_x_always_means_directories() -> None:
    """A directory that cannot be entered is of no use."""
    assert parse_mode("a=rX")(0o600, True) == 0o555


@pytest.mark.parametrize("text", ["8", "77777", "z+x", "rwx", "u+x;", "-1"])
def test_what_is_no_mode_is_refused(text: str) -> None:
    """In BuildKit's words, with the value to be seen."""
    with pytest.raises(DockerfileError, match="invalid chmod parameter"):
        parse_mode(text)


@given(st.integers(0, 0o7777), st.integers(0, 0o7777))
def test_octal_digits_replace_the_whole_mode(wanted: int, before: int) -> None:
    """Nothing of the old mode is left."""
    assert parse_mode(f"{wanted:o}")(before, False) == wanted
