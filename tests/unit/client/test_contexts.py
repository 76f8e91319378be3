"""Contexts on the disk, as Docker's client keeps them."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from minidocker.client.contexts import (
    Context, current_context, list_contexts, meta_directory, parse_meta, read_config, read_context, remove_context, render_meta,
    use_context, write_config, write_context,
)  # fmt: skip
from minidocker.errors import InvalidParameter, MinidockerError, NotFound


def test_context_is_read_as_it_was_written(tmp_path: Path) -> None:
    """Under the hash of its name, which Docker's client computes too."""
    write_context(str(tmp_path), Context("lab", "tcp://lab:2376", description="the lab", skip_verify=True))
    found = read_context(str(tmp_path), "lab")
    assert (found.name, found.host, found.description, found.skip_verify) == ("lab", "tcp://lab:2376", "the lab", True)
    assert meta_directory("", "bla").endswith("4df3c3f68fcc83b27e9d42c90431a72499f17875c81a599b566c9889b9696703")


def test_words_of_other_programs_stay_in_a_context() -> None:
    """Other tools keep a name space or an endpoint of their own there."""
    document = {"Name": "a", "Metadata": {"Description": "old", "Other": 1}, "Endpoints": {"docker": {"Host": "x", "Extra": 2}, "else": {}}}
    found = parse_meta(json.loads(json.dumps(document)))
    found.description, found.host = "", "y"
    assert render_meta(found) == {
        "Name": "a", "Metadata": {"Other": 1}, "Endpoints": {"docker": {"Host": "y", "Extra": 2, "SkipTLSVerify": False}, "else": {}},
    }  # fmt: skip


def test_choice_is_kept_beside_other_settings(tmp_path: Path) -> None:
    """`config.json` also holds logins: they survive."""
    write_config(str(tmp_path), {"auths": {"r": {}}})
    write_context(str(tmp_path), Context("lab", "tcp://lab"))
    use_context(str(tmp_path), "lab")
    assert (current_context(str(tmp_path)), read_config(str(tmp_path))) == ("lab", {"auths": {"r": {}}, "currentContext": "lab"})
    use_context(str(tmp_path), "default")
    assert (current_context(str(tmp_path)), read_config(str(tmp_path))) == ("", {"auths": {"r": {}}})
    with pytest.raises(NotFound, match="context not found"):
        use_context(str(tmp_path), "gone")


def test_removed_context_leaves_nothing(tmp_path: Path) -> None:
    """A key that stays behind is a key that is stolen later."""
    write_context(str(tmp_path), Context("lab", "tcp://lab"), {"key": b"secret"})
    assert [context.name for context in list_contexts(str(tmp_path))] == ["lab"]
    remove_context(str(tmp_path), "lab")
    assert (list_contexts(str(tmp_path)), [path for path in tmp_path.rglob("*") if path.is_file()]) == ([], [])
    with pytest.raises(NotFound, match='context "lab" does not exist'):
        remove_context(str(tmp_path), "lab")


@pytest.mark.parametrize("name", ["default", "a b", "-a", "../x", "a", ""])
def test_name_that_is_none_is_refused(name: str, tmp_path: Path) -> None:
    """The words of Docker's client; `default` is what the environment says."""
    with pytest.raises(InvalidParameter, match=r"reserved|is invalid"):
        write_context(str(tmp_path), Context(name, "tcp://x"))


def test_broken_settings_are_named(tmp_path: Path) -> None:
    """Silently using the default server would be worse than stopping."""
    (tmp_path / "config.json").write_text('{"currentContext": ')
    with pytest.raises(MinidockerError, match="it is not JSON"):
        current_context(str(tmp_path))
