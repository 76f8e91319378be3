"""`minidocker tls init`."""

from __future__ import annotations

from pathlib import Path

import pytest

from minidocker.cli.main import main


def test_init_says_how_both_sides_use_what_it_made(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Two lines to copy: one for who runs the server, one for who uses it."""
    directory = tmp_path / "with blank" / "tls"
    assert main(["tls", "init", "--host", "box.example", str(directory)]) == 0
    out = capsys.readouterr().out
    assert f"--tlscert '{directory}'/server-cert.pem" in out
    assert f"export DOCKER_HOST=tcp://box.example:2376 DOCKER_TLS_VERIFY=1 DOCKER_CERT_PATH='{directory}'" in out
    assert sorted(path.name for path in directory.iterdir()) == ["ca.pem", "cert.pem", "key.pem", "server-cert.pem", "server-key.pem"]


@pytest.mark.parametrize(("arguments", "text"), [(["--days", "-1"], '"--days" flag'), (["--host", "a b"], "no host name"), (["x", "y"], "requires at most 1 argument")])
def test_mistake_is_one_sentence_and_leaves_nothing(tmp_path: Path, capsys: pytest.CaptureFixture[str], arguments: list[str], text: str) -> None:
    """Nothing is written before everything is known to be right."""
    assert main(["tls", "init", str(tmp_path / "c"), *arguments]) != 0
    assert text in capsys.readouterr().err
    assert not list(tmp_path.iterdir())
