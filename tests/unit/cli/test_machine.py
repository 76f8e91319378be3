"""`minidocker machine`, as far as it goes without QEMU."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest

from minidocker.cli.machine_supervise import published_ports
from minidocker.cli.main import main

if sys.platform == "win32":
    pytest.skip("machines are locked with flock(2)", allow_module_level=True)

from minidocker.cli.machine import render_environment
from minidocker.machine.store import MachineRecord, create_machine

VALUES = {"DOCKER_HOST": "tcp://localhost:2376", "DOCKER_CERT_PATH": "/a b"}
SHELLS = {
    "sh": ("sh", False, "export DOCKER_HOST=tcp://localhost:2376\nexport DOCKER_CERT_PATH='/a b'"),
    "sh-unset": ("sh", True, "unset DOCKER_HOST\nunset DOCKER_CERT_PATH"),
    "fish": ("fish", False, "set -gx DOCKER_HOST tcp://localhost:2376;\nset -gx DOCKER_CERT_PATH '/a b';"),
    "powershell": ("powershell", False, '$Env:DOCKER_HOST = "tcp://localhost:2376"\n$Env:DOCKER_CERT_PATH = "/a b"'),
}


@pytest.fixture
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return a home for machines, with one in it."""
    monkeypatch.setenv("MINIDOCKER_MACHINE_HOME", str(tmp_path))
    with create_machine(tmp_path, MachineRecord(name="box", machine="x86_64", disk_mib=64)):
        pass
    return tmp_path


@pytest.mark.parametrize(("shell", "unset", "expected"), SHELLS.values(), ids=SHELLS)
def test_environment_is_written_for_the_shell(shell: str, unset: bool, expected: str) -> None:
    """What is printed is evaluated, so a blank in a path must not end a word."""
    assert render_environment(VALUES, shell, unset=unset) == expected


def test_env_points_any_client_at_the_machine(root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The three variables that every Docker client knows."""
    assert main(["machine", "env", "--shell", "sh", "box"]) == 0
    assert capsys.readouterr().out == (
        f"export DOCKER_HOST=tcp://localhost:2376\nexport DOCKER_TLS_VERIFY=1\nexport DOCKER_CERT_PATH={root}/box/tls\n"
    )


def test_life_of_a_machine_that_is_off(root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """It is listed, described and removed; stopping it is no error, opening a shell is."""
    assert main(["machine", "ls"]) == 0
    assert "box" in capsys.readouterr().out
    assert main(["machine", "inspect", "box"]) == 0
    document = json.loads(capsys.readouterr().out)
    assert (document[0]["Name"], document[0]["State"]["Running"]) == ("box", False)
    assert main(["machine", "stop", "box"]) == 0
    assert main(["machine", "shell", "box"]) == 1
    assert "is not running" in capsys.readouterr().err
    assert main(["machine", "rm", "box"]) == 0
    assert not list(root.iterdir())


def test_machine_that_is_not_there_is_a_sentence(root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Whatever is asked of it."""
    for words in (["start"], ["stop"], ["env"], ["inspect"], ["shell"], ["rm", "other"]):
        assert main(["machine", *words]) == 1
        assert "no such machine" in capsys.readouterr().err


def test_published_ports_are_what_the_server_says() -> None:
    """A port without a public side is nobody's on the host; IPv4 and IPv6 of one port are one port."""
    answer = [
        {"Ports": [{"PrivatePort": 80, "PublicPort": 8080, "Type": "tcp", "IP": "0.0.0.0"}, {"PrivatePort": 80, "PublicPort": 8080, "Type": "tcp", "IP": "::"}]},
        {"Ports": [{"PrivatePort": 53, "PublicPort": 53, "Type": "udp"}, {"PrivatePort": 99, "Type": "tcp"}]},
        {"Ports": None},
    ]
    assert published_ports(answer) == {("tcp", 8080), ("udp", 53)}  # type: ignore[arg-type]  # lists are invariant
