"""Names and switches of the rules."""

from __future__ import annotations

import pytest

from minidocker.dockerfile.mistake import DockerfileError
from minidocker.dockerfile.rules import CheckOptions, Rule, parse_check_options


def test_names_and_addresses_are_buildkits() -> None:
    """People have them in their files and in their search engines."""
    assert Rule.JSON_ARGS_RECOMMENDED.title == "JSONArgsRecommended"
    assert Rule.JSON_ARGS_RECOMMENDED.url == "https://docs.docker.com/go/dockerfile/rule/json-args-recommended/"
    assert Rule.FROM_AS_CASING.title == "FromAsCasing"
    assert Rule.INVALID_BASE_IMAGE_PLATFORM.url == ""
    assert len(Rule) == 22


def test_options_are_read() -> None:
    """Blanks around names do not matter."""
    assert parse_check_options("skip=A, B;error=True;experimental=all") == CheckOptions(skip=frozenset({"A", "B"}), experimental=frozenset({"all"}), is_error=True)
    assert parse_check_options("") == CheckOptions()


@pytest.mark.parametrize(("text", "message"), [("skip", 'invalid check option "skip"'), ("skpi=all", 'invalid check option "skpi"'), ("error=maybe", 'failed to parse check option "error=maybe"')])
def test_option_that_means_nothing_is_refused(text: str, message: str) -> None:
    """A misspelt switch that did nothing would let through what it was to stop."""
    with pytest.raises(DockerfileError) as caught:
        parse_check_options(text)
    assert caught.value.message == message
