"""The command line of QEMU."""

from __future__ import annotations

from pathlib import Path

import pytest

from minidocker.errors import HostError
from minidocker.machine.qemu import Hardware, _has_virtualisation, find_qemu, render_command

PLAIN = Hardware(machine="x86_64", kernel=Path("/k"), initramfs=Path("/i"))


def test_machine_has_a_serial_console_and_no_screen() -> None:
    """What the kernel says must be text that can be read, kept and shown."""
    command = " ".join(render_command("qemu", PLAIN))
    assert "-display none" in command
    assert "-serial stdio" in command
    assert "console=ttyS0" in command


def test_network_is_there_only_when_asked_for() -> None:
    """A test machine cannot reach anything; a server's ports are bound to loopback."""
    assert "-netdev" not in render_command("qemu", PLAIN)
    command = render_command("qemu", Hardware(machine="x86_64", kernel=Path("/k"), initramfs=Path("/i"), network=True, forwards=((2376, 2376),)))
    assert "user,id=net,hostfwd=tcp:127.0.0.1:2376-:2376" in command


def test_comma_in_a_path_is_written_twice() -> None:
    """QEMU separates options by commas: a folder called `a,readonly=on` would change the disk."""
    command = render_command("qemu", Hardware(machine="x86_64", kernel=Path("/k"), initramfs=Path("/i"), disks=(Path("/a,b"),)))
    assert any("file=/a,,b," in word for word in command)


@pytest.mark.parametrize(("platform", "hint"), [("linux", "apt-get install qemu-system-x86"), ("darwin", "brew install qemu"), ("win32", "winget")])
def test_missing_qemu_says_what_to_install(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, platform: str, hint: str) -> None:
    """One sentence for the system that one has."""
    monkeypatch.setattr("sys.platform", platform)
    with pytest.raises(HostError, match=r"there is no `qemu-system-x86_64` on this host") as caught:
        find_qemu("x86_64", search_path=str(tmp_path))
    assert hint in caught.value.hint


@pytest.mark.parametrize(("flags", "expected"), [("fpu vmx sse", True), ("fpu svm", True), ("fpu hypervisor", False), ("", False)])
def test_processor_must_say_that_it_can_virtualise(flags: str, expected: bool) -> None:
    """In some clouds `/dev/kvm` is there and a machine hangs: the file alone is no proof."""
    assert _has_virtualisation(f"processor : 0\nflags\t\t: {flags}\nbugs :\n") is expected
