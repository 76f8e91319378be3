"""Fetching a kernel package: everything apt does is played by a script."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest

from minidocker.errors import HostError, PeerError
from minidocker.machine import packages
from minidocker.machine.packages import fetch_package

APT = """#!{python}
import pathlib, sys
words = " ".join(sys.argv[1:])
if "indextargets" in words:
    print("http://mirror.example/debian/\\nhttp://other.example/ubuntu/")
elif "depends" in words:
    print("linux-image-cloud-amd64\\n  Depends: linux-image-6.1.0-9-cloud-amd64")
elif "download" in words:
    {download}
"""
KERNEL = "linux-image-6.1.0-9-cloud-amd64_6.1.90-1_amd64.deb"


@pytest.fixture
def apt(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Put a directory for programs in front of everything else, and pretend that Debian's keys are there."""
    (tmp_path / "bin").mkdir()
    (tmp_path / "keys").write_text("")
    monkeypatch.setenv("PATH", str(tmp_path / "bin"))
    monkeypatch.setattr(packages, "_KEYRINGS", (str(tmp_path / "keys"),))
    return tmp_path / "bin"


def install(apt: Path, download: str) -> None:
    """Install an apt whose `download` does what is said."""
    for name in ("apt-get", "apt-cache"):
        (apt / name).write_text(APT.format(python=sys.executable, download=download))
        (apt / name).chmod(0o755)


@pytest.mark.skipif(os.name == "nt", reason="apt is a program of Debian")
def test_package_is_fetched_once_from_the_hosts_mirror(apt: Path, tmp_path: Path) -> None:
    """The lists and sources are our own; the mirror is the one that the host uses."""
    install(apt, f"pathlib.Path({KERNEL!r}).write_text('deb')")
    cache = tmp_path / "cache"
    first = fetch_package("6.1", flavour="cloud", machine="x86_64", cache=cache)
    assert first.name == KERNEL
    assert "http://mirror.example/debian bookworm main" in (first.parent / "sources.list").read_text()
    install(apt, "sys.exit(1)")
    assert fetch_package("6.1", flavour="cloud", machine="x86_64", cache=cache) == first


@pytest.mark.skipif(os.name == "nt", reason="apt is a program of Debian")
def test_failure_of_apt_is_told_in_its_own_words(apt: Path, tmp_path: Path) -> None:
    """No network, a full disk: apt knows, and says it last."""
    install(apt, "sys.exit('E: Unable to connect to mirror.example')")
    with pytest.raises(PeerError, match=r"fetch kernel 6.1: E: Unable to connect"):
        fetch_package("6.1", flavour="cloud", machine="x86_64", cache=tmp_path)


def test_system_without_apt_is_asked_for_a_kernel_by_path(apt: Path, tmp_path: Path) -> None:
    """Fedora, macOS: a kernel from anywhere will do."""
    with pytest.raises(HostError, match="has no `apt-get`") as caught:
        fetch_package("6.1", flavour="cloud", machine="x86_64", cache=tmp_path)
    assert "by path" in caught.value.hint
