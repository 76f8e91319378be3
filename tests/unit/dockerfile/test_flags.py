"""Flags of instructions."""

from __future__ import annotations

import pytest

from minidocker.dockerfile.flags import FlagKind, parse_flags
from minidocker.dockerfile.mistake import DockerfileError

KNOWN = {"from": FlagKind.TEXT, "link": FlagKind.SWITCH, "mount": FlagKind.LIST, "keep-git-dir": FlagKind.SWITCH}


def test_flags_become_fields() -> None:
    """A switch needs no value, a list takes several, a text may be empty."""
    found = parse_flags(("--from=", "--link", "--mount=a=b", "--mount=c", "--keep-git-dir=FALSE"), KNOWN)
    assert found == {"from_": "", "link": True, "mounts": ("a=b", "c"), "keep_git_dir": False}


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("--form=x",), "unknown flag: --form (did you mean from?)"),
        (("--from=x", "--from=y"), "duplicate flag specified: --from"),
        (("--from",), "missing a value on flag: --from (write --from=VALUE)"),
        (("--link=",), "missing a value on flag: --link (write --link=VALUE)"),
        (("--link=maybe",), "expecting boolean value for flag --link, not: maybe"),
        (("--=",), "unknown flag: --"),
    ],
)
def test_flag_that_is_wrong_is_refused(words: tuple[str, ...], message: str) -> None:
    """The value comes after `=`; `--from x` would be a source called x."""
    with pytest.raises(DockerfileError) as caught:
        parse_flags(words, KNOWN)
    assert str(caught.value) == message
