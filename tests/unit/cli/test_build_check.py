"""`build --check`, without a server."""

from __future__ import annotations

from pathlib import Path

import pytest

from minidocker.cli.build_check import check_build
from minidocker.cli.session import Session
from minidocker.dockerfile.mistake import DockerfileError
from minidocker.errors import HostError, InvalidParameter


@pytest.fixture
def session(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Session:
    """Return a session whose server does not answer."""
    monkeypatch.setenv("DOCKER_HOST", f"unix://{tmp_path}/nobody")
    return Session()


def test_findings_are_printed_and_counted(session: Session, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The exit code is 1, so that a pipeline stops; the ignore file beside is known."""
    (tmp_path / "Dockerfile").write_text("FROM nowhere:1\nCOPY a.log /\nCMD run\n")
    (tmp_path / ".dockerignore").write_text("*.log\n")
    assert check_build(session, str(tmp_path), "", {}) == 1
    printed = capsys.readouterr().out
    assert printed.startswith("Check complete, 2 warnings have been found!\n")
    assert "WARNING: CopyIgnoredFile" in printed
    assert "Dockerfile:3\n" in printed


def test_nothing_found_is_success(session: Session, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """No server is needed, not even for a base image that nobody knows."""
    (tmp_path / "web.Dockerfile").write_text("FROM nowhere:1\nCOPY $anything /\n")
    assert check_build(session, str(tmp_path), str(tmp_path / "web.Dockerfile"), {}) == 0
    assert capsys.readouterr().out == "Check complete, no warnings found.\n"


def test_what_cannot_be_read_is_an_error(session: Session, tmp_path: Path) -> None:
    """A mistake has its place; a file or directory that is not there is named."""
    (tmp_path / "Dockerfile").write_text("FROM a\nRUNN b\n")
    with pytest.raises(DockerfileError, match="did you mean RUN"):
        check_build(session, str(tmp_path), "", {})
    with pytest.raises(HostError, match="failed to read dockerfile"):
        check_build(session, str(tmp_path), str(tmp_path / "other"), {})
    with pytest.raises(InvalidParameter, match="not found"):
        check_build(session, str(tmp_path / "nowhere"), "", {})
